"""What a detector is tried under: chains of steps with names and levels, built in or from YAML.

A grid file is a mapping:

    name: mine
    include: [basic]                     # built-in grids whose conditions are wanted too
    ladders:                             # one step at several levels
      - {family: blur, do: blur, levels: {1: {kernel: 7}, 2: {kernel: 9}}}
    conditions:                          # a chain of steps
      - name: chat
        family: platform
        level: 1
        steps:
          - {do: codec, codec: h264, crf: 30, short_px: 480}
          - {do: jpeg, quality: 60}
    crossed:                             # classes under different conditions
      - {name: blurred-fakes, pristine: none, synthetic: blur-1}
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from obverse.errors import ConfigError, InputError
from obverse.eval.distortions import FRAME_STEPS, SOUND_STEPS, FrameStep, SoundStep, require
from obverse.eval.encoders import Codec
from obverse.eval.marks import Marking

__all__ = ["GRIDS", "NONE", "Condition", "Crossed", "Grid", "Mix", "Step", "load_grid", "seed_of"]


@dataclasses.dataclass(frozen=True, slots=True)
class Mix:
    """Draw some of DeeperForensics' seven distortions, each at one of its five levels, for each
    clip anew: what a grid calls `mix`. The codec, if drawn, comes last.
    """

    count: int

    def __post_init__(self) -> None:
        """Refuse more than there are."""
        require(self, "count", 1 <= self.count <= len(DEEPERFORENSICS), "1 to 7")

    def draw(self, rng: np.random.Generator) -> tuple["Step", ...]:
        """Return the steps for one clip."""
        names = list(DEEPERFORENSICS)
        chosen = sorted(rng.choice(len(names), self.count, replace=False).tolist())
        return tuple(
            build_step(DEEPERFORENSICS[names[i]][0], DEEPERFORENSICS[names[i]][1][level])
            for i, level in zip(chosen, rng.integers(0, 5, self.count).tolist(), strict=True)
        )


Step = FrameStep | SoundStep | Codec | Marking | Mix

_STEPS: dict[str, Callable[..., Step]] = {
    **FRAME_STEPS,
    **SOUND_STEPS,
    "codec": Codec,
    "mark": Marking,
    "mix": Mix,
}

# DeeperForensics-1.0's parameters for its levels 1 to 5; the codec is what ffmpeg does by default.
DEEPERFORENSICS: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "saturation": ("saturation", [{"factor": v} for v in (0.4, 0.3, 0.2, 0.1, 0.0)]),
    "contrast": ("contrast", [{"factor": v} for v in (0.85, 0.725, 0.6, 0.475, 0.35)]),
    "blocks": ("blocks", [{"count": v} for v in (16, 32, 48, 64, 80)]),
    "noise": ("noise", [{"variance": v} for v in (0.001, 0.002, 0.005, 0.01, 0.05)]),
    "blur": ("blur", [{"kernel": v} for v in (7, 9, 13, 17, 21)]),
    "pixelate": ("pixelate", [{"factor": v} for v in (2, 3, 4, 5, 6)]),
    "h264": ("codec", [{"codec": "h264", "crf": v} for v in (30, 32, 35, 38, 40)]),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Condition:
    """One way in which every clip is changed."""

    name: str
    family: str = ""
    level: float | None = None  # a place on the family's curve; None where it has none
    steps: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a name that no file could have."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", self.name):
            raise ConfigError(
                f"a condition is called {self.name!r}; use up to 64 letters, digits, dots, dashes, "
                "plus signs and underscores."
            )

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that differ where scores would."""
        steps = [
            {"do": type(step).__name__, **dataclasses.asdict(step)}  # type: ignore[arg-type]
            for step in self.steps
        ]
        return hashlib.sha256(json.dumps(steps, sort_keys=True).encode()).hexdigest()[:8]

    def steps_for(self, clip: str) -> tuple[Step, ...]:
        """Return a clip's steps, with what is drawn for it."""
        rng = np.random.default_rng(seed_of(clip, f"{self.name} mix"))
        found: list[Step] = []
        for step in self.steps:
            found += step.draw(rng) if isinstance(step, Mix) else [step]
        return tuple(found)


NONE = Condition("none", "none", 0.0)


@dataclasses.dataclass(frozen=True, slots=True)
class Crossed:
    """The two classes under two conditions."""

    name: str
    pristine: str  # names of conditions
    synthetic: str
    reference: str = NONE.name  # what it is compared with: a condition of both classes


@dataclasses.dataclass(frozen=True, slots=True)
class Grid:
    """What is tried; the undistorted clips are always among it."""

    name: str
    conditions: tuple[Condition, ...]
    crossed: tuple[Crossed, ...] = ()

    def __post_init__(self) -> None:
        """Refuse names that are double or unknown."""
        names = [condition.name for condition in self.conditions]
        every = names + [one.name for one in self.crossed]
        if double := sorted({name for name in every if every.count(name) > 1}):
            raise ConfigError(f"grid {self.name} has {double[0]!r} twice; give each its own name.")
        for one in self.crossed:
            for name in (one.pristine, one.synthetic, one.reference):
                if name not in names:
                    raise ConfigError(
                        f"{one.name} of grid {self.name} needs {name!r}, which is no condition of "
                        f"it; it has {', '.join(names)}."
                    )


def seed_of(*names: str) -> int:
    """Return a seed that belongs to some names."""
    return int.from_bytes(hashlib.sha256("\0".join(names).encode()).digest()[:8], "big")


def build_step(do: str, values: Mapping[str, Any]) -> Step:
    """Build a step by its name in a grid.

    Raises:
        ConfigError: there is no such step, or it has no such value, or lacks one.
    """
    if do not in _STEPS:
        raise ConfigError(f"there is no step {do!r}; there are {', '.join(_STEPS)}.")
    maker = _STEPS[do]
    fields = dataclasses.fields(maker)  # type: ignore[arg-type]
    names = [field.name for field in fields]
    if unknown := [name for name in values if name not in names]:
        raise ConfigError(f"{do} has no {unknown[0]!r}; it has {', '.join(names)}.")
    for field in fields:
        needed = field.default is dataclasses.MISSING
        if needed and field.name not in values:
            raise ConfigError(f"{do} lacks {field.name}; say how much.")
    for name, value in values.items():
        if name not in ("codec", "preset", "present") and (
            isinstance(value, bool) or not isinstance(value, int | float | None)
        ):
            raise ConfigError(f"{name} of {do} is {value!r}; it must be a number.")
    if do == "mark" and not isinstance(values["present"], bool):
        raise ConfigError(f"present of mark is {values['present']!r}; it must be true or false.")
    try:
        return maker(**values)
    except TypeError as error:
        raise ConfigError(f"{do} cannot be made of {dict(values)}: {error}.") from error


def ladder(family: str, do: str, levels: Mapping[float, Mapping[str, Any]]) -> list[Condition]:
    """Return one step at several levels, named FAMILY-LEVEL."""
    return [
        Condition(f"{family}-{level:g}", family, float(level), (build_step(do, values),))
        for level, values in levels.items()
    ]


_MARKS = (
    Condition("marked", "mark", None, (Marking(True),)),
    Condition("unmarked", "mark", None, (Marking(False),)),
)
_MARKS_CROSSED = (
    Crossed("both-unmarked", "unmarked", "unmarked", "marked"),
    Crossed("only-pristine-marked", "marked", "unmarked", "marked"),
    Crossed("only-synthetic-marked", "unmarked", "marked", "marked"),
)


def _basic() -> Grid:
    crfs: dict[float, dict[str, Any]] = {v: {"codec": "h264", "crf": v} for v in (23, 32, 40)}
    half = Condition("half-size", "size", 0.5, (build_step("resize", {"factor": 0.5}),))
    return Grid("basic", (NONE, *ladder("h264-crf", "codec", crfs), half, *_MARKS), _MARKS_CROSSED)


def _marks() -> Grid:
    return Grid("marks", (NONE, *_MARKS), _MARKS_CROSSED)


def _deeperforensics() -> Grid:
    found = [NONE]
    for family, (do, values) in DEEPERFORENSICS.items():
        found += ladder(family, do, {float(i): each for i, each in enumerate(values, start=1)})
    found += [Condition(f"mix-{n}", "mix", float(n), (Mix(n),)) for n in (2, 3, 4)]
    return Grid("deeperforensics", tuple(found))


GRIDS: dict[str, Callable[[], Grid]] = {
    "basic": _basic,
    "marks": _marks,
    "deeperforensics": _deeperforensics,
}


def load_grid(name: str) -> Grid:
    """Return a built-in grid by its name, or one in a YAML file.

    Raises:
        InputError: the file cannot be read.
        ConfigError: there is no such grid, or the file does not describe one.
    """
    if name in GRIDS:
        return GRIDS[name]()
    path = Path(name)
    if path.suffix.lower() not in (".yaml", ".yml"):
        raise ConfigError(
            f"there is no grid {name!r}; there are {', '.join(GRIDS)}, or give a .yaml file."
        )
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the name.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}.") from error
    try:
        return _grid_of(said, path.stem)
    except ConfigError as error:
        raise ConfigError(f"{path} is no grid: {error}") from error


def _grid_of(said: object, stem: str) -> Grid:
    top = _mapping(said, "a grid", ("name", "include", "ladders", "conditions", "crossed"))
    conditions: list[Condition] = [NONE]
    crossed: list[Crossed] = []
    for name in _items(top, "include"):
        if name not in GRIDS:
            raise ConfigError(f"include names {name!r}; there are {', '.join(GRIDS)}.")
        other = GRIDS[str(name)]()
        conditions += [each for each in other.conditions if each not in conditions]
        crossed += [each for each in other.crossed if each not in crossed]
    for item in _items(top, "ladders"):
        each = _mapping(item, "a ladder", ("family", "do", "levels"))
        levels = each.get("levels")
        if not isinstance(levels, dict) or not levels:
            raise ConfigError("a ladder lacks levels; give {1: {...}, 2: {...}}.")
        for level, values in levels.items():
            if isinstance(level, bool) or not isinstance(level, int | float):
                raise ConfigError(f"a ladder has the level {level!r}; a level is a number.")
            _mapping(values, f"level {level}")
        do = str(each.get("do"))
        conditions += ladder(str(each.get("family", do)), do, levels)
    for item in _items(top, "conditions"):
        conditions.append(_condition_of(item))
    for item in _items(top, "crossed"):
        each = _mapping(item, "a crossed pair", ("name", "pristine", "synthetic", "reference"))
        if lacking := [key for key in ("name", "pristine", "synthetic") if key not in each]:
            raise ConfigError(f"a crossed pair lacks {lacking[0]}.")
        crossed.append(Crossed(**{key: str(value) for key, value in each.items()}))
    return Grid(str(top.get("name", stem)), tuple(conditions), tuple(crossed))


def _condition_of(item: object) -> Condition:
    each = _mapping(item, "a condition", ("name", "family", "level", "steps"))
    name, level = str(each.get("name", "")), each.get("level")
    if level is not None and (isinstance(level, bool) or not isinstance(level, int | float)):
        raise ConfigError(f"{name or 'a condition'} has the level {level!r}; a level is a number.")
    steps = []
    for part in _items(each, "steps"):
        values = _mapping(part, f"a step of {name}")
        if "do" not in values:
            raise ConfigError(f"a step of {name} lacks do; name one of {', '.join(_STEPS)}.")
        steps.append(build_step(str(values["do"]), {k: v for k, v in values.items() if k != "do"}))
    if not steps:
        raise ConfigError(f"{name or 'a condition'} has no steps; give at least one.")
    return Condition(
        name, str(each.get("family", name)), None if level is None else float(level), tuple(steps)
    )


def _mapping(said: object, what: str, known: Sequence[str] = ()) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise ConfigError(f"{what} is {said!r}; it must be a mapping of names to values.")
    if known and (unknown := [key for key in said if key not in known]):
        raise ConfigError(f"{what} has {unknown[0]!r}; it may have {', '.join(known)}.")
    return {str(key): value for key, value in said.items()}


def _items(said: Mapping[str, Any], key: str) -> Iterable[Any]:
    found = said.get(key) or []
    if not isinstance(found, list):
        raise ConfigError(f"{key} is {found!r}; it must be a list.")
    return found
