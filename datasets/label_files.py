"""Label files as publishers write them: JSON, CSV and lists, each error one sentence."""

import csv
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from obverse.errors import InputError

__all__ = [
    "find_label_file",
    "read_csv",
    "read_json",
    "read_list",
    "read_segments",
    "stream_json_rows",
]

_CHUNK = 1 << 20
_BETWEEN = re.compile(r"[,\s]*")


def find_label_file(root: Path, names: Sequence[str], title: str) -> Path:
    """Return the first of `names` below `root` that is there.

    Raises:
        InputError: none is.
    """
    for name in names:
        if (root / name).is_file():
            return root / name
    if not root.is_dir():
        raise InputError(f"{root} is no folder; name the folder of {title}.")
    raise InputError(
        f"{root} lacks {names[0]}, a label file of {title}; copy it there from the publisher's "
        "download, or name the folder that holds it."
    )


def read_json(path: Path, kind: type[Any]) -> Any:
    """Read a JSON file that holds a `kind` (dict or list).

    Raises:
        InputError: it cannot be read, or holds something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error}); copy it anew.") from error
    if not isinstance(values, kind):
        raise InputError(
            f"{path} holds a {type(values).__name__} and not a {kind.__name__}; copy it anew from "
            "the publisher's download."
        )
    return values


def stream_json_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON file that is one list of objects, one at a time in memory.

    Raises:
        InputError: it cannot be read, or holds something else.
    """
    decoder = json.JSONDecoder()
    try:
        with path.open(encoding="utf-8-sig") as stream:
            text = ""
            while not text and (piece := stream.read(_CHUNK)):
                text = piece.lstrip()
            if not text.startswith("["):
                raise InputError(f"{path} does not start with a list; copy it anew.")
            at = 1
            while True:
                at = _BETWEEN.match(text, at).end()  # type: ignore[union-attr]
                if text.startswith("]", at):
                    return
                try:
                    row, end = decoder.raw_decode(text, at)
                except json.JSONDecodeError:
                    more = stream.read(_CHUNK)
                    if not more:
                        raise
                    text, at = text[at:] + more, 0
                    continue
                if not isinstance(row, dict):
                    raise InputError(f"{path} lists {row!r} where an object belongs; copy it anew.")
                yield row
                at = end
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error}); copy it anew.") from error


def read_csv(
    path: Path, required: Sequence[str] = (), *, fields: Sequence[str] = ()
) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV file with a header, blanks around names and values removed.

    Args:
        path: the file.
        required: columns that must be there.
        fields: names to use in place of the header's, for a header that is wrong.

    Raises:
        InputError: it cannot be read, or lacks a column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = csv.reader(stream)
            names = [name.strip() for name in next(rows, [])]
            if lacking := [name for name in required if name not in names]:
                raise InputError(
                    f"{path} lacks the column {lacking[0]}; it has {', '.join(names) or 'none'}."
                )
            names = list(fields) or names
            for row in rows:
                if any(cell.strip() for cell in row):
                    cells = [cell.strip() for cell in row]
                    cells += [""] * (len(names) - len(cells))  # a short row lacks its last values
                    yield dict(zip(names, cells, strict=False))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as CSV ({error}); copy it anew.") from error


def read_list(path: Path) -> Iterator[str]:
    """Yield the lines of a text file that are not blank.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig") as stream:
            for line in stream:
                if line.strip():
                    yield line.strip()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as text ({error}); copy it anew.") from error


def read_segments(values: object, path: Path, name: str) -> tuple[tuple[float, float], ...]:
    """Return segments in seconds, out of a row's list of pairs; empty ones are left out.

    Args:
        values: the list, or None.
        path: the label file, for errors.
        name: the clip, for errors.

    Raises:
        InputError: they are no pairs of numbers.
    """
    try:
        pairs = [(float(start), float(end)) for start, end in values or ()]  # type: ignore[attr-defined]
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{path} gives {name} the segments {values!r:.60}; they are pairs of seconds."
        ) from error
    return tuple((start, end) for start, end in pairs if end > start >= 0)
