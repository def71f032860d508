"""Hidden folders beside a destination, in which a file is made before it appears.

A process that is killed cannot clean up after itself. Its folder carries the machine's name and the
process's number, so that the next one that works there can tell what nobody will finish.
"""

import contextlib
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["hidden_folder", "sweep_stale"]

_STALE_SECONDS = 86_400.0  # untouched for so long, whoever made it


def _machine() -> str:
    return re.sub(r"[^A-Za-z0-9.]", "_", platform.node()) or "localhost"


@contextlib.contextmanager
def hidden_folder(parent: Path, kind: str) -> Iterator[Path]:
    """Make a folder `.KIND-...` in `parent` and remove it at the end, whatever happens.

    Stale folders of the same kind are removed first.

    Raises:
        OSError: `parent` cannot be written to.
    """
    sweep_stale(parent, kind)
    prefix = f".{kind}-{_machine()}-{os.getpid()}-"
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep_stale(parent: Path, kind: str) -> None:
    """Remove the hidden folders of a kind that killed processes left in `parent`.

    That is one whose process was of this machine and lives no more, or one of another machine, or
    without a name that can be read, in which nothing was touched for a day.
    """
    for left in parent.glob(f".{kind}-*"):
        if left.is_dir() and not left.is_symlink() and _abandoned(left, kind):
            shutil.rmtree(left, ignore_errors=True)


def _abandoned(folder: Path, kind: str) -> bool:
    match = re.fullmatch(rf"\.{re.escape(kind)}-(.+)-(\d+)-[^-]*", folder.name)
    if os.name == "posix" and match is not None and match[1] == _machine():
        return not _alive(int(match[2]))
    try:
        touched = max(each.stat().st_mtime for each in (folder, *folder.iterdir()))
    except OSError:
        return False  # somebody is at work on it
    return time.time() - touched > _STALE_SECONDS


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True  # there, but not ours
    return True
