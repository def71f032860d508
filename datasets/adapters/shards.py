"""Shards of `obverse data shards`: tars in which every sample carries its record."""

import dataclasses
import json
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from obverse.clip import Clip
from obverse.datasets.adapter import About, Findings, Place, require_found
from obverse.datasets.walk import FILMS, PICTURES
from obverse.errors import ConfigError, InputError

__all__ = ["Shards"]

_FIELDS = frozenset(field.name for field in dataclasses.fields(Clip))
_SEGMENTS = ("fake_segments", "sound_segments")
_BARE = "without a film or pictures"


_ABOUT = About(
    title="shards of obverse",
    layout="tars that `obverse data shards` wrote",
    official=("train", "val", "test"),
    splits="those of the table that was packed",
    terms="those of the set that was packed",
    reference="docs/data.md",
    notes=("Masks stay in the shards; the table names none.",),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Shards:
    """Reads what `obverse data shards` wrote, where it lies."""

    about: About = _ABOUT

    def read(self, place: Place, findings: Findings) -> Iterator[Clip]:
        """Yield the samples tar by tar; of a tar its list of files and the records are read."""
        return require_found(_clips(place.root, findings), place, self.about)


def _clips(root: Path, findings: Findings) -> Iterator[Clip]:
    for path in sorted(root.glob("*.tar")):
        try:
            with tarfile.open(path, "r:") as archive:
                yield from _samples(path, archive, findings)
        except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
            raise InputError(f"{path} cannot be read as a tar ({error}); copy it anew.") from error


def _samples(path: Path, archive: tarfile.TarFile, findings: Findings) -> Iterator[Clip]:
    """Yield the clips of a shard; a sample's files lie together, its record last."""
    key, member = "", None
    for item in archive:
        archive.members = []  # type: ignore[attr-defined]  # else it holds all that went by
        name, _, ending = item.name.partition(".")
        if name != key:
            key, member = name, None
        number, _, suffix = ending.rpartition(".")
        if ending == "json":
            stream = archive.extractfile(item)
            assert stream is not None  # it is a file
            if member is None:
                findings.note(_BARE, f"{path.name}/{key}")
            else:
                yield _clip(stream.read(), f"{path}/{item.name}", path.name, member)
        elif number.isdigit() and f".{suffix}" in PICTURES:
            member = key
        elif not number and f".{suffix}" in FILMS | PICTURES:
            member = item.name


def _clip(content: bytes, name: str, path: str, member: str) -> Clip:
    try:
        record: dict[str, Any] = json.loads(content)
        values = {key: value for key, value in record.items() if key in _FIELDS}
        values |= {
            key: tuple((float(start), float(end)) for start, end in values[key])
            for key in _SEGMENTS
            if key in values
        }
        if "warnings" in values:
            values["warnings"] = tuple(values["warnings"])
        return Clip(**values | {"path": path, "member": member})
    except (ValueError, TypeError, AttributeError, ConfigError) as error:
        raise InputError(
            f"{name} is no record of a clip ({error}); pack the shards again."
        ) from error
