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
        on: frames                       # or crops: what a detector cuts out is changed
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
from typing import Any, Literal, get_args

import numpy as np
import yaml

from obverse.errors import ConfigError, InputError
from obverse.eval.distortions import (
    FRAME_STEPS,
    SOUND_STEPS,
    FrameStep,
    Resize,
    SoundStep,
    require,
)
from obverse.eval.encoders import Codec
from obverse.eval.marks import RELEASED, Marking
from obverse.provenance.manifest import MARK_ALGORITHM

__all__ = [
    "GRIDS",
    "NONE",
    "Condition",
    "Crossed",
    "Grid",
    "Mix",
    "Onset",
    "Step",
    "keeps_place",
    "load_grid",
    "seed_of",
]


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


@dataclasses.dataclass(frozen=True, slots=True)
class Onset:
    """Begin the film where its sound begins, picture and sound alike, encoded as this project
    encodes: what a grid calls `onset`. For a detector that does not hear, nothing is cut.
    """

    lead: float = 0.0  # seconds of silence that are left

    def __post_init__(self) -> None:
        """Refuse a lead that is none."""
        require(self, "lead", 0 <= self.lead <= 60, "0 to 60")


Where = Literal["frames", "crops"]
Step = FrameStep | SoundStep | Codec | Marking | Onset | Mix


def keeps_place(step: Step, *, hears: bool) -> bool:
    """Whether a step's copy shows each point where the clip does, up to the picture's size, and
    when the clip does: then its faces are where the clip's are.

    Args:
        step: what makes the copy.
        hears: the detector hears the sound, so that an onset is cut for it.
    """
    if isinstance(step, Onset):
        return not hears
    if isinstance(step, Codec):
        return step.fps is None  # else the frame nearest to a moment is another
    # A step of sound, a mark and a mix do not say: they leave every point where it is.
    return bool(getattr(step, "keeps_place", True))


_STEPS: dict[str, Callable[..., Step]] = {
    **FRAME_STEPS,
    **SOUND_STEPS,
    "codec": Codec,
    "mark": Marking,
    "onset": Onset,
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
    on: Where = "frames"  # of the film, or on the crops that are cut out of it

    def __post_init__(self) -> None:
        """Refuse a name that no file could have, and steps that crops cannot go through."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", self.name):
            raise ConfigError(
                f"a condition is called {self.name!r}; use up to 64 letters, digits, dots, dashes, "
                "plus signs and underscores."
            )
        require(self, "on", self.on in get_args(Where), "frames or crops")
        for step in self.steps if self.on == "crops" else ():
            if isinstance(step, Resize) or not isinstance(step, tuple(FRAME_STEPS.values())):  # type: ignore[arg-type]
                raise ConfigError(
                    f"{self.name} does {type(step).__name__.lower()} on crops; a crop keeps its "
                    "size and is no film."
                )

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that differ where scores would."""
        steps = [
            {"do": type(step).__name__, **dataclasses.asdict(step)}  # type: ignore[arg-type]
            | ({"by": MARK_ALGORITHM} if isinstance(step, Marking) else {})
            for step in self.steps
        ]
        text = json.dumps(steps if self.on == "frames" else [self.on, *steps], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

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
    about: str = ""  # what was swapped between the classes; pairs of one are summed up together


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
        if name not in ("codec", "preset", "present", "how") and (
            isinstance(value, bool) or not isinstance(value, int | float | None)
        ):
            raise ConfigError(f"{name} of {do} is {value!r}; it must be a number.")
    if do == "mark" and not isinstance(values["present"], bool):
        raise ConfigError(f"present of mark is {values['present']!r}; it must be true or false.")
    try:
        return maker(**values)
    except TypeError as error:
        raise ConfigError(f"{do} cannot be made of {dict(values)}: {error}.") from error


def ladder(
    family: str,
    do: str,
    levels: Mapping[float, Mapping[str, Any]],
    on: Where = "frames",
) -> list[Condition]:
    """Return one step at several levels, mildest first, named FAMILY-LEVEL."""
    return [
        Condition(f"{family}-{level:g}", family, float(level), (build_step(do, values),), on)
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


def _swaps() -> Grid:
    """Return what a detector may have learned in place of the forgery, put on one class alone."""
    released = Codec(
        crf=RELEASED.crf,
        preset=RELEASED.preset,
        gop=RELEASED.gop,
        sound_kbps=RELEASED.audio_bitrate // 1000,
    )
    changed = {
        "h265": ("codec", (Codec(codec="h265", crf=28),)),
        "silent-start": ("silence", (build_step("silence", {"seconds": 0.5}), released)),
        "no-silent-start": ("silence", (Onset(),)),
    }
    conditions = [NONE, Condition("encoded", "encoding", None, (released,))]
    crossed = [
        Crossed("only-pristine-encoded", "encoded", "none", "none", "encoding"),
        Crossed("only-synthetic-encoded", "none", "encoded", "none", "encoding"),
    ]
    for name, (about, steps) in changed.items():
        conditions.append(Condition(name, about, None, steps))
        crossed += [
            Crossed(f"both-{name}", name, name, "encoded"),
            Crossed(f"only-pristine-{name}", name, "encoded", "encoded", about),
            Crossed(f"only-synthetic-{name}", "encoded", name, "encoded", about),
        ]
    return Grid("swaps", tuple(conditions), tuple(crossed))


def _deeperforensics() -> Grid:
    found = [NONE]
    for family, (do, values) in DEEPERFORENSICS.items():
        found += ladder(family, do, {float(i): each for i, each in enumerate(values, start=1)})
    found += [Condition(f"mix-{n}", "mix", float(n), (Mix(n),)) for n in (2, 3, 4)]
    return Grid("deeperforensics", tuple(found))


def _gend() -> Grid:
    """GenD's sweep (Yermakov et al., arXiv 2508.06248; its src/exp), which distorts crops."""
    found = [NONE]
    qualities: dict[float, dict[str, Any]] = {q: {"quality": q} for q in (100, 80, 60, 40, 20, 10)}
    found += ladder("jpeg", "jpeg", qualities, "crops")
    blurs = ((5, 0.5), (7, 1.0), (11, 1.5), (13, 2.0), (19, 3.0))
    found += ladder("blur", "blur", {s: {"kernel": k, "sigma": s} for k, s in blurs}, "crops")
    for how in ("nearest", "linear", "cubic", "area", "lanczos"):
        sides: dict[float, dict[str, Any]] = {p: {"short_px": p, "how": how} for p in (112, 64)}
        found += ladder(f"resize-{how}", "lowres", sides, "crops")
    found += ladder(
        "noise", "grain", {s: {"sigma": s} for s in (0.01, 0.03, 0.05, 0.1, 0.2)}, "crops"
    )
    return Grid("gend", tuple(found))


_CODEC_CRFS: dict[str, tuple[int, ...]] = {
    "h264": (18, 23, 28, 33, 38, 43),
    "h265": (18, 23, 28, 33, 38, 43),
    "av1": (30, 38, 46, 54, 62),
    "vp9": (30, 38, 46, 54, 62),
}


def _codecs() -> Grid:
    found = [NONE]
    for codec, crfs in _CODEC_CRFS.items():
        levels: dict[float, dict[str, Any]] = {crf: {"codec": codec, "crf": crf} for crf in crfs}
        found += ladder(f"{codec}-crf", "codec", levels)
    return Grid("codecs", tuple(found))


def _sizes() -> Grid:
    found = [NONE, *ladder("resize", "resize", {f: {"factor": f} for f in (0.75, 0.5, 0.35, 0.25)})]
    found += ladder("fps", "codec", {f: {"crf": 18, "fps": f} for f in (15.0, 10.0, 5.0)})
    found += ladder(
        "lowres",
        "lowres",
        {p: {"short_px": p, "how": "cubic"} for p in (360.0, 240.0, 180.0, 120.0)},
    )
    return Grid("sizes", tuple(found))


def _codec(**values: Any) -> Step:
    return build_step("codec", values)


# Rungs of Apple's HLS Authoring Specification, H.264: short side in px -> kbit/s.
_HLS_KBPS = {720: 3000, 540: 2000, 432: 730, 360: 365, 234: 145}


def _platforms() -> Grid:
    """Return what publications say that platforms and sets do to films; see docs/robustness.md."""
    hls = {
        f"hls-{px}p": _codec(short_px=px, kbps=kbps, gop=48, sound_kbps=96)
        for px, kbps in _HLS_KBPS.items()
    }
    c23, c40 = _codec(crf=23), _codec(crf=40)
    chains: list[tuple[str, str, float | None, tuple[Step, ...]]] = [
        ("ff-c23", "ff", 23.0, (c23,)),
        ("ff-c40", "ff", 40.0, (c40,)),
        ("dfdc-15fps", "dfdc", None, (_codec(crf=23, fps=15),)),
        ("dfdc-quarter", "dfdc", None, (_codec(crf=23, scale=0.25),)),
        *((f"hls-{px}p", "hls", float(px), (hls[f"hls-{px}p"],)) for px in _HLS_KBPS),
        ("c23-twice", "double", None, (c23, c23)),
        ("c23-hls-360p", "double", None, (c23, hls["hls-360p"])),
        ("h265-hls-432p", "double", None, (_codec(codec="h265", crf=28), hls["hls-432p"])),
        ("hls-720p-to-360p", "double", None, (hls["hls-720p"], hls["hls-360p"])),
        ("hls-360p-twice", "double", None, (hls["hls-360p"], hls["hls-360p"])),
    ]
    return Grid("platforms", (NONE, *(Condition(*chain) for chain in chains)))


def _screen() -> Grid:
    """Return recordings of a screen, by software and by a camera: models, not measurements."""
    captured = (_codec(crf=23, preset="veryfast", scale=1.5), _codec(crf=28, scale=2 / 3))
    found = [NONE, Condition("screen-recorded", "screen", None, captured)]
    found += ladder("filmed", "filmed", {s: {"strength": s} for s in (0.25, 0.5, 1.0)})
    poor = (build_step("filmed", {"strength": 0.5}), _codec(crf=30, short_px=480))
    found.append(Condition("filmed-and-sent", "screen", None, poor))
    return Grid("screen", tuple(found))


def _sound() -> Grid:
    """Return what is done to sound alone, for detectors that hear it."""
    found = [NONE, *ladder("hiss", "hiss", {v: {"snr_db": v} for v in (30.0, 20.0, 10.0, 0.0)})]
    telephone = build_step("band", {"low_hz": 300, "high_hz": 3400})
    found.append(Condition("telephone", "band", None, (telephone,)))
    found += ladder(
        "aac", "codec", {k: {"crf": 18, "sound_kbps": int(k)} for k in (64.0, 32.0, 16.0)}
    )
    shifts = {v: {"seconds": v} for v in (0.04, 0.08, 0.2, 0.4)}
    found += ladder("late", "shift", shifts)
    found += ladder("early", "shift", {v: {"seconds": -v} for v in shifts})
    found += ladder("gain", "gain", {v: {"db": v} for v in (-10.0, -20.0, -30.0)})
    found += ladder("silent-start", "silence", {v: {"seconds": v} for v in (0.5, 1.0)})
    return Grid("sound", tuple(found))


GRIDS: dict[str, Callable[[], Grid]] = {
    "basic": _basic,
    "marks": _marks,
    "swaps": _swaps,
    "deeperforensics": _deeperforensics,
    "gend": _gend,
    "codecs": _codecs,
    "sizes": _sizes,
    "platforms": _platforms,
    "screen": _screen,
    "sound": _sound,
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
        each = _mapping(item, "a ladder", ("family", "do", "levels", "on"))
        levels = each.get("levels")
        if not isinstance(levels, dict) or not levels:
            raise ConfigError("a ladder lacks levels; give {1: {...}, 2: {...}}.")
        for level, values in levels.items():
            if isinstance(level, bool) or not isinstance(level, int | float):
                raise ConfigError(f"a ladder has the level {level!r}; a level is a number.")
            _mapping(values, f"level {level}")
        do = str(each.get("do"))
        conditions += ladder(str(each.get("family", do)), do, levels, each.get("on", "frames"))
    for item in _items(top, "conditions"):
        conditions.append(_condition_of(item))
    for item in _items(top, "crossed"):
        known = ("name", "pristine", "synthetic", "reference", "about")
        each = _mapping(item, "a crossed pair", known)
        if lacking := [key for key in ("name", "pristine", "synthetic") if key not in each]:
            raise ConfigError(f"a crossed pair lacks {lacking[0]}.")
        crossed.append(Crossed(**{key: str(value) for key, value in each.items()}))
    return Grid(str(top.get("name", stem)), tuple(conditions), tuple(crossed))


def _condition_of(item: object) -> Condition:
    each = _mapping(item, "a condition", ("name", "family", "level", "on", "steps"))
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
        name,
        str(each.get("family", name)),
        None if level is None else float(level),
        tuple(steps),
        each.get("on", "frames"),
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
