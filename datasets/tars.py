"""Packs the clips of a table into tars that WebDataset reads, the same tars on every machine.

A sample's files share a key, the clip's id, up to their first dot: `ID.mp4` the film (or
`ID.000000.png` and so on for pictures), `ID.mask.png` or `ID.mask.mp4`, and `ID.json` the record
with `binary` and `binary_av`. Clips are ordered by their ids, which are hashes, so that a shard
holds a mixture.
"""

import dataclasses
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from obverse.clip import Clip
from obverse.datasets.footage import Footage
from obverse.datasets.table import clip_path, iter_clips
from obverse.errors import ConfigError, InputError, OutputExistsError
from obverse.files import draft_of, write_whole

__all__ = ["ShardReport", "write_shards"]

INDEX = "shards.json"
_BLOCK = 512  # bytes of a tar's header, and of what its contents are rounded up to
Progress = Callable[[int, int], None]  # clips packed, of how many


@dataclasses.dataclass(frozen=True, slots=True)
class ShardReport:
    """What was packed."""

    folder: Path
    shards: tuple[str, ...]
    clips: int
    skipped: tuple[str, ...]  # why a clip is in no shard, a sentence each


@dataclasses.dataclass(frozen=True, slots=True)
class _Shard:
    name: str
    clips: tuple[Clip, ...]

    @property
    def digest(self) -> str:
        """What tells a shard of these records from others."""
        text = json.dumps([clip.to_row() for clip in self.clips])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_shards(
    table: Path,
    folder: Path,
    *,
    shard_bytes: int = 1 << 30,
    force: bool = False,
    progress: Progress | None = None,
) -> ShardReport:
    """Write `SPLIT-000000.tar` and so on, and `shards.json` that lists them.

    A run that was stopped goes on with the shards that it still owes. A clip that cannot be read is
    in no shard, and named in the report.

    Args:
        table: the clips.
        folder: made if it is not there.
        shard_bytes: a shard is closed before it would grow beyond this; a larger clip is alone.
        force: replace other shards that are in the folder.
        progress: told how many clips are packed.

    Raises:
        InputError: the table is absent, or is none.
        OutputExistsError: the folder holds the shards of another table or size.
        ConfigError: the size is too small.
    """
    if shard_bytes < 1 << 10:
        raise ConfigError(f"shards of {shard_bytes} bytes hold no clip; give at least 1024.")
    home = table.parent
    skipped: list[str] = []
    shards = list(_plan(table, home, shard_bytes, skipped))
    planned = {shard.name: {"clips": len(shard.clips), "digest": shard.digest} for shard in shards}
    _require_place(folder, planned, force)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / INDEX, _index(planned, {}, complete=False))
    total = sum(len(shard.clips) for shard in shards)
    done = 0
    bytes_of: dict[str, int] = {}
    for shard in shards:
        path = folder / shard.name
        if not path.is_file():
            _write_shard(path, shard, home, skipped)
        bytes_of[shard.name] = path.stat().st_size
        done += len(shard.clips)
        if progress is not None:
            progress(done, total)
    write_whole(folder / INDEX, _index(planned, bytes_of, complete=True))
    return ShardReport(folder, tuple(planned), total, tuple(skipped))


def _plan(table: Path, home: Path, shard_bytes: int, skipped: list[str]) -> Iterator[_Shard]:
    """Divide the clips among shards by their sizes alone."""
    sized: list[tuple[str, str, int, Clip]] = []
    for clip in iter_clips(table):
        try:
            size = Footage.of(clip, home).size_bytes()
        except InputError as error:
            skipped.append(str(error))
            continue
        sized.append((clip.split or "none", clip.id, size, clip))
    sized.sort(key=lambda item: item[:2])
    number, held, weight = 0, list[Clip](), 0
    for position, (split, _, size, clip) in enumerate(sized):
        cost = size + 4 * _BLOCK
        if held and (weight + cost > shard_bytes or split != sized[position - 1][0]):
            yield _Shard(f"{sized[position - 1][0]}-{number:06d}.tar", tuple(held))
            number = number + 1 if split == sized[position - 1][0] else 0
            held, weight = [], 0
        held.append(clip)
        weight += cost
    if held:
        yield _Shard(f"{sized[-1][0]}-{number:06d}.tar", tuple(held))


def _require_place(folder: Path, planned: dict[str, Any], force: bool) -> None:
    """Refuse a folder that holds other shards; with `force`, throw those away."""
    if folder.exists() and not folder.is_dir():
        raise OutputExistsError(f"{folder} is a file; shards are a folder, name another one.")
    there = sorted(folder.glob("*.tar"))
    try:
        listed = json.loads((folder / INDEX).read_text(encoding="utf-8"))["shards"]
        same = {name: {key: listed[name][key] for key in ("clips", "digest")} for name in listed}
    except (OSError, ValueError, KeyError, TypeError):
        same = None
    if same == planned or not there:
        if force:
            for path in there:
                path.unlink()
        return
    if not force:
        raise OutputExistsError(
            f"{folder} holds other shards; name another folder, or pass --force to replace them."
        )
    for path in there:
        path.unlink()


def _write_shard(path: Path, shard: _Shard, home: Path, skipped: list[str]) -> None:
    with (
        draft_of(path) as draft,
        tarfile.open(draft, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for clip in shard.clips:
            try:
                files = list(_sample(clip, home))
            except InputError as error:
                skipped.append(str(error))
                continue
            for member, content in files:
                # Nothing of this machine or moment: the same clips give the same bytes.
                item = tarfile.TarInfo(member)
                item.size, item.mode = len(content), 0o644
                archive.addfile(item, io.BytesIO(content))


def _sample(clip: Clip, home: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the members of a clip's sample, all under one key."""
    footage = Footage.of(clip, home)
    sequence = footage.form == "pictures"
    for number, (name, content) in enumerate(footage.files()):
        suffix = PurePosixPath(name).suffix.lower()
        yield f"{clip.id}.{number:06d}{suffix}" if sequence else f"{clip.id}{suffix}", content
    if clip.mask_path is not None:
        mask = clip_path(clip.replace(path=clip.mask_path), home)
        if mask.is_file():
            yield f"{clip.id}.mask{mask.suffix.lower()}", mask.read_bytes()
    yield f"{clip.id}.json", json.dumps(_record(clip), sort_keys=True).encode()


def _record(clip: Clip) -> dict[str, Any]:
    record = dataclasses.asdict(clip)
    for name in ("path", "member", "mask_path"):  # of this machine
        del record[name]
    return {name: value for name, value in record.items() if value not in (None, (), {}, "")} | {
        "binary": clip.binary,
        "binary_av": clip.binary_av,
    }


def _index(planned: dict[str, Any], bytes_of: dict[str, int], *, complete: bool) -> str:
    shards = {
        name: about | ({"bytes": bytes_of[name]} if name in bytes_of else {})
        for name, about in planned.items()
    }
    return json.dumps({"complete": complete, "shards": shards}, indent=1) + "\n"
