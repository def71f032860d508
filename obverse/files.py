"""Files that appear whole or not at all.

A file is written beside its place under another name and moved there when it is done. Whoever looks
meanwhile sees the old one or none, and so does everybody when the writer fails.
"""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

__all__ = ["draft_of", "write_whole"]

_PUBLIC, _PRIVATE = 0o666, 0o600  # less what the process's umask takes away


@contextlib.contextmanager
def draft_of(path: Path, *, ending: str = ".tmp", private: bool = False) -> Iterator[Path]:
    """Make an empty file `.draft-...` beside `path`; at the end it takes that place.

    Where `path` is a device or a pipe, it is written to as it is.

    Args:
        path: where the file is to be; a file that is there is replaced. Its folder exists.
        ending: of the draft's name, for writers that go by it. What a killed writer leaves has this
            ending too, and is met by those who look for files that have it.
        private: only the owner may read or write the file.

    Raises:
        OSError: the folder cannot be written to; the error names `path`.
    """
    if path.exists() and not path.is_file():
        yield path  # a device or a pipe takes what comes; a folder refuses it
        return
    draft = path.with_name(f".draft-{secrets.token_hex(4)}{ending}")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        os.close(os.open(draft, flags, _PRIVATE if private else _PUBLIC))
    except OSError as error:
        error.filename = str(path)
        raise
    try:
        yield draft
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def write_whole(
    path: Path, content: bytes | str, *, private: bool = False, durable: bool = False
) -> None:
    """Write a file whole or not at all; a text in UTF-8.

    Args:
        path: where; a file that is there is replaced. Its folder exists.
        content: all of it.
        private: only the owner may read or write the file.
        durable: a power cut leaves the old file or the new one; that waits for the disk.

    Raises:
        OSError: it cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    with draft_of(path, private=private) as draft, draft.open("wb") as stream:
        stream.write(data)
        if durable:
            stream.flush()
            os.fsync(stream.fileno())
