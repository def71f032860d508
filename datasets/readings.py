"""What only opening a file tells: its hash, its size and length. Kept as it is found, so that a run
that was stopped goes on where it was.
"""

import collections
import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from obverse.clip import Clip
from obverse.datasets.adapter import UNREADABLE, Findings
from obverse.datasets.footage import Footage
from obverse.datasets.table import clip_path
from obverse.errors import InputError
from obverse.media.video import probe

__all__ = ["probe_footage", "read_each", "with_readings"]

_AHEAD = 8  # files in flight for each thread

Reading = dict[str, Any]  # JSON


def probe_footage(clip: Clip, folder: Path) -> Reading:
    """Return `fps`, `frames`, `width` and `height` of a clip, by its headers and first frame.

    Raises:
        InputError: the clip cannot be read.
    """
    footage = Footage.of(clip, folder)
    if footage.form == "film":
        with footage.film() as path:
            info = probe(path)
        return {
            "fps": info.fps,
            "frames": info.frames or 0,
            "width": info.width,
            "height": info.height,
        }
    with footage.pictures() as pictures:
        image = pictures.read(0)
        return {"frames": len(pictures), "width": image.shape[1], "height": image.shape[0]}


def read_each(
    clips: Iterable[Clip],
    folder: Path,
    read: Callable[[Clip, Path], Reading],
    *,
    kept: Path | None = None,
    workers: int = 1,
) -> Iterator[tuple[Clip, Reading]]:
    """Yield each clip, in order, with what `read` says of it, or `error`: why it cannot be read.

    Args:
        clips: the clips.
        folder: where their relative paths start.
        read: opens a clip's file; what it returns can be written as JSON.
        kept: a file of readings, for a run that goes on; a reading counts while its clip's file is
            unchanged. The caller removes it at the end.
        workers: threads.
    """
    known = {} if kept is None else _load(kept)
    flight: collections.deque[tuple[Clip, Future[tuple[bool, Reading]]]] = collections.deque()
    with contextlib.ExitStack() as stack:
        notes = None
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            notes = stack.enter_context(kept.open("a", encoding="utf-8"))
        pool = stack.enter_context(ThreadPoolExecutor(workers))

        def landed() -> tuple[Clip, Reading]:
            clip, future = flight.popleft()
            fresh, reading = future.result()
            if notes is not None and fresh:
                notes.write(json.dumps({"id": clip.id, **reading}) + "\n")
                notes.flush()
            return clip, reading

        try:
            for clip in clips:
                flight.append((clip, pool.submit(_read, clip, folder, read, known.get(clip.id))))
                if len(flight) >= _AHEAD * workers:
                    yield landed()
            while flight:
                yield landed()
        finally:
            for _, future in flight:
                future.cancel()


def with_readings(
    clips: Iterable[Clip],
    folder: Path,
    findings: Findings,
    *,
    sha256: bool,
    details: bool,
    kept: Path,
    workers: int = 1,
) -> Iterator[Clip]:
    """Yield the clips with what their files say, in their order.

    Args:
        clips: the clips.
        folder: where their relative paths start.
        findings: told of files that cannot be read; their clips stay as they are.
        sha256: whether to hash the files.
        details: whether to look for rate, length and size.
        kept: as in `read_each`; one for each choice of `sha256` and `details`.
        workers: threads.
    """

    def read(clip: Clip, folder: Path) -> Reading:
        reading: Reading = {"sha256": Footage.of(clip, folder).sha256()} if sha256 else {}
        return reading | probe_footage(clip, folder) if details else reading

    fields = ("sha256", "fps", "frames", "width", "height")
    for clip, reading in read_each(clips, folder, read, kept=kept, workers=workers):
        if "error" in reading:
            findings.note(UNREADABLE, reading["error"])
            yield clip
        else:
            yield clip.replace(**{name: reading[name] for name in fields if name in reading})


def _load(kept: Path) -> dict[str, Reading]:
    found: dict[str, Reading] = {}
    with contextlib.suppress(FileNotFoundError), kept.open(encoding="utf-8") as lines:
        for line in lines:
            with contextlib.suppress(ValueError, KeyError, TypeError):  # the last may be half
                row = json.loads(line)
                found[row["id"]] = row
    return found


def _read(
    clip: Clip,
    folder: Path,
    read: Callable[[Clip, Path], Reading],
    known: Mapping[str, Any] | None,
) -> tuple[bool, Reading]:
    """Return whether a clip was read anew, and the reading; only good ones are kept."""
    try:
        state = clip_path(clip, folder).stat()
        mark = [state.st_size, state.st_mtime_ns]
        if known is not None and known.get("mark") == mark:
            return False, dict(known)
        return True, {"mark": mark, **read(clip, folder)}
    except OSError as error:
        return False, {"error": f"{clip_path(clip, folder)} cannot be opened ({error.strerror})"}
    except InputError as error:
        return False, {"error": str(error)}
