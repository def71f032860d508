"""A corpus out of a user's own recordings, settled before a frame is made: people, splits, twins.

Each recording is a scene: the recording itself, encoded anew, is the pristine twin, and a still out
of it is made to speak by each method. What the plan holds are hashes, not names: a file's or a
folder's name may say who somebody is, and would end up in manifests.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import obverse
from obverse.clip import Split, lineage_id
from obverse.datasets.table import clip_path, iter_clips
from obverse.datasets.walk import FILMS, films_below
from obverse.errors import ConfigError, InputError, RightsError
from obverse.generator.methods import NEEDS
from obverse.generator.performance import PerformanceConfig
from obverse.generator.plan import CorpusPlan, Take, apportion, lender
from obverse.generator.release import RIGHTS
from obverse.media.video import EncodeConfig
from obverse.weights import sha256_file

__all__ = ["RecordedScene", "Recording", "RecordingPlan", "lay_out_recordings", "plan_recordings"]

# Settings of a plan that sitters and bundled voices need, and recordings have no use for.
_SITTERS_ONLY = ("identities", "voices", "voices_each", "sentences")
_NAME_DIGITS = 16
_SEED_BITS = 31


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One film of somebody."""

    sha256: str
    person: str  # stands for who is on screen; no name
    split: Split | None = None  # where a table states it


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RecordingPlan:
    """A corpus: recordings x controls, each scene as it was recorded and once by each method."""

    recordings: tuple[Recording, ...]  # in the order of their hashes
    rights: str  # under which they are used, one of `release.RIGHTS`
    settings: CorpusPlan  # methods, controls, size, seconds, seed, split, encode

    def __post_init__(self) -> None:
        """Refuse a plan that cannot be carried out."""
        if self.rights not in RIGHTS:
            raise RightsError(
                f"{self.rights!r} states no right to use these recordings; state one of "
                f"{', '.join(RIGHTS)}."
            )
        stated: dict[str, Split] = {}
        for each in self.recordings:
            if each.split is not None and stated.setdefault(each.person, each.split) != each.split:
                raise ConfigError(
                    f"{each.person} is in the splits {stated[each.person]} and {each.split}; "
                    "index the set anew with --splits disjoint."
                )
        least = self.least_people
        if not stated:
            people = {recording.person for recording in self.recordings}
            apportion("people", len(people), self.settings.split, least)
        for split in sorted(set(stated.values())):
            count = list(stated.values()).count(split)
            if count < least:
                raise ConfigError(
                    f"the split {split} has {count} person, and a method that borrows faces or "
                    f"voices needs {least} in each; leave that method out, or give the split more "
                    "people."
                )

    @property
    def least_people(self) -> int:
        """How many people each split needs: two where one lends the other a face or a voice."""
        return 2 if self.settings.lays_sound else self.settings.least_people

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for corpus.json."""
        settings = self.settings.to_dict()
        return {
            "recordings": {
                each.sha256: each.person if each.split is None else f"{each.person} {each.split}"
                for each in self.recordings
            },
            "rights": self.rights,
            **{name: value for name, value in settings.items() if name not in _SITTERS_ONLY},
        }


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RecordedScene:
    """One recording under one setting: the pristine take, and one take by each method."""

    source: Path
    sha256: str
    identity: str
    donor: Recording | None  # of another person of the split; None: no method borrows a face
    donor_source: Path | None  # its film
    heard: Recording | None  # of another person of the split, whose sound is laid over the film;
    # None: no method does
    heard_source: Path | None  # its film
    rights: str
    seconds: float | None  # None: all of it
    controls: PerformanceConfig
    split: Split
    size: int
    encode: EncodeConfig
    alike: bool  # whether the takes are encoded in as many bytes as the twin
    twin: Take
    takes: tuple[Take, ...]

    def ids(self) -> tuple[str, ...]:
        """Return the ids of all clips, the twin's first."""
        return (self.twin.id, *(take.id for take in self.takes))


def plan_recordings(
    folder: Path,
    rights: str,
    settings: Mapping[str, Any] | None = None,
    *,
    people: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[RecordingPlan, dict[str, Path]]:
    """Read what recordings a folder holds, and settle a plan.

    Args:
        folder: films, one person each, in it or below it; or a table of clips, whose pristine films
            are taken with their people and splits.
        rights: under which they are used: synthetic, public-domain or consented.
        settings: as in a plan for sitters: methods, controls, size, seconds, seed, split, encode.
        people: each folder right below `folder` is a person; without it each film is one.
        progress: told how many films are hashed, of how many.

    Returns:
        The plan, and where the film of each hash lies.

    Raises:
        RightsError: the rights are not among those allowed.
        InputError: there is no film.
        ConfigError: a setting is unknown or not allowed, or there are fewer people than splits.
    """
    if rights not in RIGHTS:
        raise RightsError(
            f"{rights!r} states no right to use the recordings in {folder}; state one of "
            f"{', '.join(RIGHTS)}."
        )
    given = {name: value for name, value in (settings or {}).items() if value is not None}
    if useless := [name for name in _SITTERS_ONLY if name in given]:
        raise ConfigError(
            f"a plan of recordings has no {useless[0]}: people and voices are those of the "
            "recordings; leave it out."
        )
    chosen = CorpusPlan.from_dict(given)
    films = list(_films_of_table(folder) if folder.is_file() else _films_of_folder(folder, people))
    if not films:
        raise InputError(f"{folder} holds no film; name a folder with recordings of people.")
    sources: dict[str, Path] = {}
    known: dict[str, _Film] = {}
    for done, film in enumerate(films, start=1):
        sha256 = sha256_file(film.path)
        other = known.setdefault(sha256, film)
        if (other.person, other.split) != (film.person, film.split):
            raise ConfigError(
                f"{film.path} and {sources[sha256]} are one film of two people, or in two splits; "
                "keep one."
            )
        sources.setdefault(sha256, film.path)
        if progress is not None:
            progress(done, len(films))
    # A hash of a name could be guessed from the name; that of a person's film cannot.
    first: dict[str, str] = {}
    for sha256 in sorted(known):
        first.setdefault(known[sha256].person or sha256, f"person-{sha256[:_NAME_DIGITS]}")
    recordings = tuple(
        Recording(
            sha256=sha256,
            person=first[known[sha256].person or sha256],
            split=known[sha256].split,
        )
        for sha256 in sorted(known)
    )
    return RecordingPlan(recordings=recordings, rights=rights, settings=chosen), sources


class _Film(NamedTuple):
    path: Path
    person: str | None  # what stands for them here; None: nobody says
    split: Split | None


def _films_of_folder(folder: Path, people: bool) -> Iterator[_Film]:
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder of recordings, and no table of clips.")
    for path in films_below(folder):
        person = path.partition("/")[0] if people and "/" in path else None
        yield _Film(folder / path, person, None)


def _films_of_table(table: Path) -> Iterator[_Film]:
    """Yield the pristine films of a table, such as one of VoxCeleb2; where it has splits, those in
    none are left out.
    """
    clips = [clip for clip in iter_clips(table) if not clip.binary_av and clip.member is None]
    divided = any(clip.split is not None for clip in clips)
    for clip in clips:
        path = clip_path(clip, table.parent)
        if path.suffix.lower() in FILMS and (clip.split is not None or not divided):
            yield _Film(path, clip.identity, clip.split)


def lay_out_recordings(
    plan: RecordingPlan, sources: Mapping[str, Path]
) -> tuple[RecordedScene, ...]:
    """Return the scenes of a plan. Nobody is in two splits."""
    settings = plan.settings
    splits: dict[str, Split] = {}
    if any(recording.split is not None for recording in plan.recordings):
        splits = {each.person: each.split for each in plan.recordings if each.split is not None}
    else:
        splits = _splits({recording.person for recording in plan.recordings}, plan)
    people: dict[Split, list[str]] = {}
    for person, split in sorted(splits.items()):
        people.setdefault(split, []).append(person)
    scenes = []
    for recording in plan.recordings:
        donor: Recording | None = None
        if settings.least_people > 1:
            split = splits[recording.person]
            who = lender(
                recording.person, people[split], _number(settings.seed, recording.sha256, "donor")
            )
            donor = next(each for each in plan.recordings if each.person == who)
        heard: Recording | None = None
        if settings.lays_sound:
            others = [
                each
                for each in plan.recordings
                if each.person != recording.person
                and splits[each.person] == splits[recording.person]
            ]
            heard = others[_number(settings.seed, recording.sha256, "over") % len(others)]
        scenes += [
            _scene(plan, recording, donor, heard, sources, splits[recording.person], controls)
            for controls in settings.controls
        ]
    return tuple(scenes)


def _number(*parts: object) -> int:
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - _SEED_BITS)


def _splits(people: set[str], plan: RecordingPlan) -> dict[str, Split]:
    """Divide people among the splits by their shares, in an order drawn by the seed."""
    settings = plan.settings

    def drawn(person: str) -> bytes:
        return hashlib.sha256(f"{settings.seed}:{person}".encode()).digest()

    ordered: Sequence[str] = sorted(people, key=drawn)
    counts = apportion("people", len(ordered), settings.split, plan.least_people)
    places = [split for split, count in counts.items() for _ in range(count)]
    return dict(zip(ordered, places, strict=True))


def _scene(
    plan: RecordingPlan,
    recording: Recording,
    donor: Recording | None,
    heard: Recording | None,
    sources: Mapping[str, Path],
    split: Split,
    controls: PerformanceConfig,
) -> RecordedScene:
    settings = plan.settings
    controlled = dataclasses.asdict(controls)
    encode = settings.encode_of(_number(settings.seed, recording.sha256, controlled, "encode"))
    lineage: dict[str, Any] = {
        "recording": recording.sha256,
        "person": recording.person,
        "rights": plan.rights,
        "seconds": settings.seconds,
        "controls": controlled,
        "size": settings.size,
        "encode": dataclasses.asdict(encode),
        "alike": settings.alike,
        "tool": f"obverse {obverse.__version__}",
    }

    def take(method: str | None) -> Take:
        seed = _number(settings.seed, recording.sha256, lineage["controls"], method)
        made = lineage | {"method": method, "seed": seed}
        if method is not None and NEEDS[method].donor and donor is not None:
            made["donor"] = donor.sha256
        if method is not None and NEEDS[method].other_sound and heard is not None:
            made["over"] = heard.sha256
        return Take(id=lineage_id(made), method=method, seed=seed)

    return RecordedScene(
        source=sources[recording.sha256],
        sha256=recording.sha256,
        identity=recording.person,
        donor=donor,
        donor_source=None if donor is None else sources[donor.sha256],
        heard=heard,
        heard_source=None if heard is None else sources[heard.sha256],
        rights=plan.rights,
        seconds=settings.seconds,
        controls=controls,
        split=split,
        size=settings.size,
        encode=encode,
        alike=settings.alike,
        twin=take(None),
        takes=tuple(take(method) for method in settings.methods),
    )
