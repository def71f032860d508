"""What a corpus will hold, settled before a frame is made: sitters, voices, splits, twins and clip
ids.

A plan is small and readable; `lay_out` turns it into scenes. Everything in them follows from the
plan alone, so that a run that was killed knows what it still owes, and two machines with the same
plan make the same clips.
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
import yaml
from scipy.optimize import linear_sum_assignment

import obverse
from obverse.clip import Split, lineage_id
from obverse.errors import ConfigError, InputError
from obverse.generator.methods import NEEDS
from obverse.generator.performance import PerformanceConfig
from obverse.generator.plan_values import (
    SEEDS,
    SPLITS,
    count_of,
    read_controls,
    read_encode,
    read_names,
    read_real,
    read_shares,
    read_whole,
    require_count,
    require_known,
    require_seeds,
    require_split,
)
from obverse.generator.sitters.sitter import attributes_of
from obverse.generator.voices import Voice, list_voices, voice_path
from obverse.media.video import EncodeConfig
from obverse.weights import sha256_file

__all__ = [
    "CorpusPlan",
    "Said",
    "Scene",
    "Take",
    "apportion",
    "lay_out",
    "lender",
    "read_plan",
    "read_settings",
    "sitter_name",
]

_MAX_SITTERS = 1_000_000
_SEED_BITS = 31
# How much less somebody suits as a lender who differs in an attribute, or whose glasses would come
# along.
_UNLIKE: Mapping[str, int] = {"skin_tone": 8, "facial_hair": 2, "presentation": 2, "age_band": 1}
_GLASSES = 4
Person = TypeVar("Person", int, str)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CorpusPlan:
    """A corpus: identities x voices x sentences x controls, each scene once pristine and once by
    each method.
    """

    identities: int | tuple[int, ...] = 6  # how many sitters, or their seeds
    voices: int | tuple[str, ...] = 6  # how many bundled voices, or their ids
    methods: tuple[str, ...] = ("talk",)  # names of `NEEDS`; one clip a scene for each
    controls: tuple[PerformanceConfig, ...] = (
        PerformanceConfig(),
    )  # performance settings, each a scene with a twin of its own
    sentences: int = 1  # sentences for each identity and voice
    voices_each: int | None = (
        None  # how many of its split's voices an identity speaks with; None: all
    )
    size: int = 512  # px of the square frames, even
    seconds: float | None = None  # every clip's length; None: as long as its sentence
    seed: int = 0
    refine: bool = True  # whether the refiner repaints the mouths of synthetic clips
    split: Mapping[Split, float] = dataclasses.field(
        default_factory=lambda: {"train": 0.5, "val": 0.2, "test": 0.3}
    )  # shares of the identities, and of the voices
    encode: EncodeConfig = dataclasses.field(
        default_factory=lambda: EncodeConfig(threads=1)
    )  # where each scene's settings begin; a worker is a process with one thread
    crf_spread: float = 0.0  # how far from encode's crf each scene's may lie, drawn evenly
    alike: bool = True  # whether each take is encoded in as many bytes as its twin

    def __post_init__(self) -> None:
        """Refuse a plan that cannot be carried out."""
        if isinstance(self.identities, tuple):
            require_seeds(self.identities)
        require_count("identities", self.identities, _MAX_SITTERS)
        require_count("voices", self.voices, len(list_voices()))
        require_known("methods", self.methods, tuple(NEEDS))
        if not isinstance(self.voices, int):
            require_known("voices", self.voices, _voice_ids())
        if not self.controls or len(set(self.controls)) != len(self.controls):
            raise ConfigError(
                "a plan's controls are empty or name one setting twice; list each setting once."
            )
        if not 1 <= self.sentences <= 1000:
            raise ConfigError(f"a plan asks for {self.sentences} sentences; ask for 1 to 1000.")
        if self.voices_each is not None and self.voices_each < 1:
            raise ConfigError(
                f"a plan's voices_each is {self.voices_each}; give at least 1, or leave it out."
            )
        if not 128 <= self.size <= 2048 or self.size % 2:
            raise ConfigError(
                f"a plan's size is {self.size} px; it must be even, from 128 to 2048."
            )
        if self.seconds is not None and not 0.4 <= self.seconds <= 3600:
            raise ConfigError(f"a plan's clips last {self.seconds} s; they may last 0.4 to 3600.")
        for name in ("refine", "alike"):
            if not isinstance(value := getattr(self, name), bool):
                raise ConfigError(f"a plan's {name} is {value!r}; it must be true or false.")
        if not 0 <= self.crf_spread <= min(10.0, self.encode.crf - 1, 51 - self.encode.crf):
            raise ConfigError(
                f"a plan's crf_spread is {self.crf_spread}; it must be from 0 to 10 and keep crf "
                f"{self.encode.crf:g} within 1 to 51."
            )
        if not 0 <= self.seed < 1 << 63:
            raise ConfigError(f"a plan's seed is {self.seed}; it must be {SEEDS}.")
        require_split(self.split)
        apportion("identities", count_of(self.identities), self.split, self.least_people)
        apportion("voices", count_of(self.voices), self.split)

    @property
    def least_people(self) -> int:
        """How many people each split needs: two where one lends the other a face."""
        return 2 if any(NEEDS[name].donor for name in self.methods) else 1

    @property
    def lays_sound(self) -> bool:
        """Whether a method lays another sound over a film."""
        return any(NEEDS[name].other_sound for name in self.methods)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a plan from plain values, as they stand in YAML and in corpus.json.

        Raises:
            ConfigError: a name is unknown, or a value is not allowed.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(map(str, values)) - known)
        if unknown:
            raise ConfigError(
                f"a plan knows no {', '.join(unknown)}; it knows {', '.join(sorted(known))}."
            )
        changed = {name: value for name, value in values.items() if value is not None}
        for name in ("identities", "voices"):
            if isinstance(changed.get(name), list):
                changed[name] = tuple(changed[name])
        if isinstance(changed.get("voices"), tuple):
            changed["voices"] = read_names("voices", changed["voices"])
        if "methods" in changed:
            named = changed["methods"]
            changed["methods"] = read_names(
                "methods", (named,) if isinstance(named, str) else named
            )
        if "controls" in changed:
            changed["controls"] = read_controls(changed["controls"])
        if "split" in changed:
            changed["split"] = read_shares(changed["split"])
        if "encode" in changed:
            changed["encode"] = read_encode(changed["encode"])
        for name in ("sentences", "voices_each", "size", "seed"):
            if name in changed:
                changed[name] = read_whole(f"a plan's {name}", changed[name])
        for name in ("seconds", "crf_spread"):
            if name in changed:
                changed[name] = read_real(f"a plan's {name}", changed[name])
        return cls(**changed)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for corpus.json; `from_dict` reads them back."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values["controls"] = [dataclasses.asdict(item) for item in self.controls]
        values["encode"] = dataclasses.asdict(self.encode)
        values["split"] = dict(self.split)
        for name in ("identities", "voices", "methods"):
            if isinstance(values[name], tuple):
                values[name] = list(values[name])
        return values

    def sitter_seeds(self) -> tuple[int, ...]:
        """Return the sitters' seeds; a plan with more identities keeps those of the smaller one."""
        if not isinstance(self.identities, int):
            return self.identities
        # A few to spare: 32-bit numbers may repeat.
        drawn = np.random.SeedSequence(self.seed).generate_state(self.identities + 64)
        return tuple(dict.fromkeys(int(seed) for seed in drawn))[: self.identities]

    def encode_of(self, drawn: int) -> EncodeConfig:
        """Return the settings of the scene that a number was drawn for."""
        if not self.crf_spread:
            return self.encode
        spread = np.random.default_rng(drawn).uniform(-self.crf_spread, self.crf_spread)
        return dataclasses.replace(self.encode, crf=round(self.encode.crf + float(spread), 2))

    def voice_ids(self) -> tuple[str, ...]:
        """Return the ids of the voices, in an order drawn by the plan's seed."""
        ids = _voice_ids() if isinstance(self.voices, int) else self.voices
        order = np.random.default_rng([self.seed, 1]).permutation(len(ids))
        return tuple(ids[index] for index in order[: count_of(self.voices)])


class Said(NamedTuple):
    """A speech of a bundled voice."""

    voice: str
    sentences: tuple[Path, ...]  # sound files, said one after the other


class _Speech(NamedTuple):
    """What somebody says in one scene or, under other controls, in several."""

    sitter: int
    voice: str
    first: int  # the first sentence's number
    sentences: tuple[Path, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """One clip to be made."""

    id: str  # Clip.id
    method: str | None  # None: the sitter performs, pristine
    seed: int  # of the performance


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One sitter says one thing under one setting: the pristine take, and one take by each
    method.
    """

    sitter: int  # seed
    donor: int | None  # seed of another sitter of the split; None: no method borrows a face
    voice: str
    sentences: tuple[Path, ...]  # sound files, said one after the other
    over: Said | None  # another speech, to be laid over the film; None: no method does
    seconds: float | None  # None: as long as the sentences
    controls: PerformanceConfig
    split: Split
    size: int
    refine: bool  # of the synthetic takes
    encode: EncodeConfig
    alike: bool  # whether the takes are encoded in as many bytes as the twin
    twin: Take
    takes: tuple[Take, ...]

    @property
    def identity(self) -> str:
        """The sitter's name in tables."""
        return sitter_name(self.sitter)

    def ids(self) -> tuple[str, ...]:
        """Return the ids of all clips, the twin's first."""
        return (self.twin.id, *(take.id for take in self.takes))


def sitter_name(seed: int) -> str:
    """Return what a sitter is called in tables."""
    return f"sitter-{seed}"


def read_plan(path: Path) -> CorpusPlan:
    """Read a plan from YAML.

    Raises:
        InputError: the file cannot be read, or is no mapping of settings.
        ConfigError: a setting is unknown or has a value that is not allowed.
    """
    return CorpusPlan.from_dict(read_settings(path))


def read_settings(path: Path) -> dict[str, Any]:
    """Read a plan's settings from YAML, as they stand there.

    Raises:
        InputError: the file cannot be read, or is no mapping of settings.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"the plan {path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: no text, or no such number or date
        reason = " ".join(str(error).split())
        raise InputError(f"the plan {path} is not YAML ({reason}).") from error
    if not isinstance(values, dict):
        raise InputError(f"the plan {path} holds no settings; write lines such as 'identities: 6'.")
    return {str(name): value for name, value in values.items()}


def apportion(
    what: str, count: int, shares: Mapping[Split, float], least: int = 1
) -> dict[Split, int]:
    """Divide `count` things among the splits by largest remainder, at least `least` for each split
    with a share.

    Raises:
        ConfigError: there are too few things.
    """
    wanted = [split for split in SPLITS if shares.get(split, 0) > 0]
    if count < least * len(wanted):
        lent = f", {least} in each, as a method asks that borrows faces or voices"
        each = "" if least == 1 else lent
        raise ConfigError(
            f"{count} {what} cannot be kept apart in {len(wanted)} splits ({', '.join(wanted)})"
            f"{each}; ask for at least {least * len(wanted)}, or give 'split' fewer names "
            "in a plan file."
        )
    total = sum(shares[split] for split in wanted)
    ideal = {split: count * shares[split] / total for split in wanted}
    parts = {split: max(least, int(ideal[split])) for split in wanted}
    while sum(parts.values()) < count:
        most = max(wanted, key=lambda split: ideal[split] - parts[split])
        parts[most] += 1
    while sum(parts.values()) > count:
        spare = min(
            (split for split in wanted if parts[split] > least),
            key=lambda split: ideal[split] - parts[split],
        )
        parts[spare] -= 1
    return {split: parts.get(split, 0) for split in SPLITS}


def lay_out(plan: CorpusPlan) -> tuple[Scene, ...]:
    """Return the scenes of a plan. No identity, voice or sentence is in two splits."""
    sitters, voices = plan.sitter_seeds(), plan.voice_ids()
    identity_counts = apportion("identities", len(sitters), plan.split, plan.least_people)
    voice_counts = apportion("voices", len(voices), plan.split)
    catalogue = {voice.id: voice for voice in list_voices()}
    scenes: list[Scene] = []
    for split in SPLITS:
        own_sitters, sitters = sitters[: identity_counts[split]], sitters[identity_counts[split] :]
        own_voices, voices = voices[: voice_counts[split]], voices[voice_counts[split] :]
        said: list[_Speech] = []
        spoken = dict.fromkeys(own_voices, 0)  # by how many sitters so far
        for number, sitter in enumerate(own_sitters):
            # In turn, so that all voices of a split are heard where there are enough sitters.
            each = min(plan.voices_each or len(own_voices), len(own_voices))
            turn = [own_voices[(number * each + index) % len(own_voices)] for index in range(each)]
            for name in turn:
                voice = catalogue[name]
                for first in _first_sentences(plan, voice, spoken[name]):
                    said.append(
                        _Speech(sitter, name, first, _sentences(voice, first, plan.seconds))
                    )
                spoken[name] += 1
        laid = _exchanged(said, plan.seed) if plan.lays_sound and plan.seconds is not None else {}
        for speech in said:
            drawn_for = (plan.seed, speech.sitter, speech.voice, speech.first)
            over = laid.get(speech)
            if plan.lays_sound and over is None:
                others = [catalogue[other] for other in _from(speech.voice, own_voices)]
                drawn = _number(*drawn_for, "over")
                over = _other_speech(others, speech.sentences, plan.seconds, drawn)
            for item in plan.controls:
                donor: int | None = None
                if plan.least_people > 1:
                    drawn = _number(*drawn_for, dataclasses.asdict(item))
                    donor = lender(speech.sitter, _alike(speech.sitter, own_sitters), drawn)
                scenes.append(_scene(plan, speech, donor, over, split, item))
    return tuple(scenes)


def _alike(sitter: int, sitters: Sequence[int]) -> list[int]:
    """Return the other sitters who are most like one, as somebody would choose who swaps faces."""
    looks = {seed: _looks(seed) for seed in sitters}
    own = looks.pop(sitter)
    unlike = {
        seed: sum(cost for name, cost in _UNLIKE.items() if other[name] != own[name])
        + _GLASSES * (other["glasses"] == "yes")
        for seed, other in looks.items()
    }
    least = min(unlike.values())
    return [seed for seed, cost in unlike.items() if cost == least]


@functools.lru_cache(maxsize=4096)
def _looks(seed: int) -> Mapping[str, str]:
    return attributes_of(seed)


def lender(person: Person, people: Sequence[Person], drawn: int) -> Person:
    """Return who of `people`, two at least, lends somebody a face, by a number that was drawn."""
    others = [other for other in people if other != person]
    return others[drawn % len(others)]


def _first_sentences(plan: CorpusPlan, voice: Voice, spoken: int) -> list[int]:
    """Return the first sentences of the next who speaks with a voice, `spoken` having done so.

    They go round in an order of the voice's own, so that all are said as often.
    """
    count = len(voice.sentences)
    if plan.sentences > count:
        raise ConfigError(
            f"voice {voice.id} has {count} sentences and not {plan.sentences}; ask for fewer."
        )
    order = np.random.default_rng(_number(plan.seed, voice.id)).permutation(count)
    start = spoken * plan.sentences
    return [int(order[(start + index) % count]) for index in range(plan.sentences)]


def _sentences(voice: Voice, first: int, seconds: float | None) -> tuple[Path, ...]:
    """Return a sentence's file, and the next ones' where `seconds` asks for more."""
    chosen: list[Path] = []
    length = 0.0
    index = first
    while not chosen or (seconds is not None and length < seconds):
        number = index % len(voice.sentences)
        chosen.append(voice_path(voice.id, number))
        length += voice.sentences[number].seconds
        index += 1
    return tuple(chosen)


def _from(first: str, names: Sequence[str]) -> list[str]:
    """Return the names from one of them on, and then those before it."""
    at = names.index(first)
    return [*names[at:], *names[:at]]


def _exchanged(said: Sequence[_Speech], seed: int) -> Mapping[_Speech, Said]:
    """Return for each speech the one of another scene by the same voice, each of them once.

    A speech is then laid over a film as often as it is said in one, and what is heard does not tell
    which. Speeches for which none is left that says something else are left out.
    """
    by_voice: dict[str, list[_Speech]] = {}
    for speech in said:
        by_voice.setdefault(speech.voice, []).append(speech)
    laid: dict[_Speech, Said] = {}
    for voice, own in by_voice.items():
        alike = [[not set(a.sentences).isdisjoint(b.sentences) for b in own] for a in own]
        drawn = np.random.default_rng(_number(seed, voice, "over")).random((len(own), len(own)))
        rows, columns = linear_sum_assignment(drawn + len(own) * np.array(alike))
        for row, column in zip(rows, columns, strict=True):
            if not alike[row][column]:
                laid[own[row]] = Said(voice, own[column].sentences)
    return laid


def _other_speech(
    voices: Sequence[Voice], said: Sequence[Path], seconds: float | None, drawn: int
) -> Said:
    """Return another speech than what is said: of the first voice that has sentences left.

    Args:
        voices: the scene's own first.
        said: the scene's sentences, of which none is chosen.
        seconds: how long every clip lasts; None: as long as what is said. The speech is as long,
            or all that the voice has left.
        drawn: a number that chooses the first sentence.
    """
    own = {path.name for path in said}
    for voice in voices:
        left = [index for index, each in enumerate(voice.sentences) if each.file not in own]
        if left:
            break
    else:
        raise ConfigError(
            f"voice {voices[0].id} says all its sentences in a scene of "
            f"{'its own length' if seconds is None else f'{seconds:g} s'}, and its split has no "
            "other voice to lay over it; give the plan fewer seconds or more voices."
        )
    start = drawn % len(left)
    left = left[start:] + left[:start]
    if seconds is None:
        # The film ends when its sentence does: one of nearly its length ends so, too.
        seconds = sum(each.seconds for each in voices[0].sentences if each.file in own)
        length = seconds
        left.sort(key=lambda index: abs(voice.sentences[index].seconds - length))
    chosen: list[int] = []
    while len(chosen) < len(left) and sum(voice.sentences[i].seconds for i in chosen) < seconds:
        chosen.append(left[len(chosen)])
    return Said(voice.id, tuple(voice_path(voice.id, index) for index in chosen))


def _scene(
    plan: CorpusPlan,
    said: _Speech,
    donor: int | None,
    over: Said | None,
    split: Split,
    controls: PerformanceConfig,
) -> Scene:
    sitter, voice, sentences = said.sitter, said.voice, said.sentences
    speech = [_sha256(path) for path in sentences]
    drawn = _number(plan.seed, sitter, speech, dataclasses.asdict(controls), "encode")
    encode = plan.encode_of(drawn)
    lineage: dict[str, Any] = {
        "sitter": sitter,
        "voice": voice,
        "speech": speech,
        "seconds": plan.seconds,
        "controls": dataclasses.asdict(controls),
        "size": plan.size,
        "refine": plan.refine,
        "encode": dataclasses.asdict(encode),
        "alike": plan.alike,
        "tool": f"obverse {obverse.__version__}",
    }

    def take(method: str | None) -> Take:
        # Two performances of one sentence differ, as two takes of an actor do.
        seed = _number(plan.seed, sitter, lineage["speech"], lineage["controls"], method)
        made = lineage | {"method": method, "seed": seed}
        if method is not None and NEEDS[method].donor:
            made["donor"] = donor
        if method is not None and NEEDS[method].other_sound and over is not None:
            made["over"] = [_sha256(path) for path in over.sentences]
        return Take(id=lineage_id(made), method=method, seed=seed)

    return Scene(
        sitter=sitter,
        donor=donor,
        voice=voice,
        sentences=sentences,
        over=over,
        seconds=plan.seconds,
        controls=controls,
        split=split,
        size=plan.size,
        refine=plan.refine,
        encode=encode,
        alike=plan.alike,
        twin=take(None),
        takes=tuple(take(method) for method in plan.methods),
    )


@functools.cache
def _sha256(bundled: Path) -> str:
    return sha256_file(bundled)


def _number(*parts: object) -> int:
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - _SEED_BITS)


def _voice_ids() -> tuple[str, ...]:
    return tuple(voice.id for voice in list_voices())
