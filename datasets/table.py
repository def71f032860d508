"""Tables of records: `clips.parquet` of `Clip` rows and `scores.parquet` of `Score` rows.

A table is written whole or not at all, so that a reader never meets half of one; clips go in and
come out one after the other, so that a table may be longer than memory.
"""

import contextlib
import dataclasses
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import pyarrow
import pyarrow.parquet

from obverse.clip import Clip, Score
from obverse.errors import ConfigError, InputError, OutputExistsError
from obverse.files import draft_of

__all__ = [
    "clip_path",
    "flat_table",
    "iter_clips",
    "read_clips",
    "read_notes",
    "read_scores",
    "write_clips",
    "write_scores",
]

Record = TypeVar("Record")

# What a reader of the file wants to have at hand; `read_clips` derives it anew.
_DERIVED = ("binary", "binary_av")
_WHOLE = ("frames", "width", "height", "seed")
_NOTES = b"obverse"  # key of the file's own notes
_BATCH = 16_384  # rows that are in memory as columns at a time

# Columns that a table of only missing values must still have as numbers.
_SCORE_NUMBERS = ("score", "lr")
_SCORE_TUPLES = ("frame_scores", "times")


def clip_path(clip: Clip, folder: Path) -> Path:
    """Return where a clip's file is; a relative path starts at `folder`, that of its table."""
    path = Path(clip.path)
    return path if path.is_absolute() else folder / path


def write_clips(
    path: Path,
    clips: Iterable[Clip],
    *,
    force: bool = False,
    notes: Callable[[], Mapping[str, Any]] = dict,
) -> int:
    """Write a table of clips, with the columns `binary` and `binary_av` derived from them.

    Args:
        path: the table.
        clips: its rows, taken one by one.
        force: replace a table that is there.
        notes: asked at the end how the table was made; `read_notes` gives it back.

    Returns:
        The number of rows.

    Raises:
        OutputExistsError: the table is there and `force` is not given.
        ConfigError: two clips have one id.
    """
    _require_free(path, force)
    schema = _schema()
    seen: set[bytes] = set()
    with (
        _whole(path) as stream,
        pyarrow.parquet.ParquetWriter(stream, schema, compression="zstd") as writer,
    ):
        rows = iter(clips)
        while batch := list(itertools.islice(rows, _BATCH)):
            for clip in batch:
                _require_new(clip.id, seen)
            writer.write_table(
                pyarrow.Table.from_pylist([_clip_row(clip) for clip in batch], schema=schema)
            )
        writer.add_key_value_metadata({_NOTES: json.dumps(dict(notes()))})
    return len(seen)


def iter_clips(path: Path) -> Iterator[Clip]:
    """Yield the clips of a table written by `write_clips`, one after the other.

    Raises:
        InputError: the file is absent, is no such table, or has a row that contradicts itself.
    """
    seen: set[bytes] = set()
    for number, row in enumerate(_rows(path, ("id", "path", "label", "kind")), start=1):
        try:
            clip = Clip.from_row(row)
        except (ConfigError, ValueError, TypeError) as error:
            raise InputError(f"row {number} of {path} cannot be used: {error}") from error
        try:
            _require_new(clip.id, seen)
        except ConfigError as error:
            raise InputError(f"{path} cannot be used: {error}") from error
        yield clip


def read_clips(path: Path) -> list[Clip]:
    """Read a table written by `write_clips` at once.

    Raises:
        InputError: the file is absent, is no such table, or has a row that contradicts itself.
    """
    return list(iter_clips(path))


def read_notes(path: Path) -> dict[str, Any]:
    """Return what a table says of how it was made; empty where it says nothing.

    Raises:
        InputError: the file is absent or no table.
    """
    with _opened(path) as file:
        metadata = file.metadata.metadata or {}
    try:
        notes = json.loads(metadata.get(_NOTES, b"{}"))
    except ValueError:
        return {}
    return notes if isinstance(notes, dict) else {}


def flat_table(clips: Iterable[Clip]) -> pd.DataFrame:
    """Return clips as a table for pandas: a column a field, `binary`, `binary_av`, `seconds`, and a
    column for every attribute (`attribute.gender`) and parent (`parent.twin`).

    Segments stay as tuples of seconds; other nested fields become JSON text.
    """
    rows = []
    for clip in clips:
        row = _clip_row(clip)
        row["seconds"] = clip.seconds
        row["fake_segments"], row["sound_segments"] = clip.fake_segments, clip.sound_segments
        del row["attributes"], row["parents"]
        row.update({f"attribute.{name}": value for name, value in clip.attributes.items()})
        row.update({f"parent.{role}": name for role, name in clip.parents.items()})
        rows.append(row)
    return pd.DataFrame(rows)


def write_scores(path: Path, scores: Sequence[Score], *, force: bool = False) -> None:
    """Write a table of scores, a row a clip.

    Raises:
        OutputExistsError: the table is there and `force` is not given.
        ConfigError: one detector has two scores for one clip.
    """
    _require_free(path, force)
    names = set()
    for score in scores:
        if (score.detector, score.clip) in names:
            raise ConfigError(
                f"the table has two scores called {score.detector} on {score.clip}; keep one."
            )
        names.add((score.detector, score.clip))
    columns = [field.name for field in dataclasses.fields(Score)]
    rows = []
    for score in scores:
        row = dataclasses.asdict(score)
        row.update({name: json.dumps(row[name]) for name in _SCORE_TUPLES})
        rows.append(row)
    table = pd.DataFrame(rows, columns=columns)
    table[list(_SCORE_NUMBERS)] = table[list(_SCORE_NUMBERS)].astype("float64")
    with _whole(path) as stream:
        table.to_parquet(stream, index=False)


def read_scores(path: Path) -> list[Score]:
    """Read a table written by `write_scores`.

    Raises:
        InputError: the file is absent, is no such table, or has a row that contradicts itself.
    """
    scores = []
    rows = _rows(path, ("clip", "detector", "status", "score"))
    for number, row in enumerate(rows, start=1):
        try:
            scores.append(_score_from_row(row))
        except (ConfigError, ValueError, TypeError) as error:
            raise InputError(f"row {number} of {path} cannot be used: {error}") from error
    return scores


def _score_from_row(row: Mapping[str, Any]) -> Score:
    values = {
        field.name: row[field.name] for field in dataclasses.fields(Score) if field.name in row
    }
    for name, value in values.items():
        if name in _SCORE_TUPLES:
            values[name] = tuple(float(item) for item in json.loads(value)) if value else ()
        elif value is None or value != value:  # NaN
            values[name] = None
    return Score(**values)


def _clip_row(clip: Clip) -> dict[str, Any]:
    return clip.to_row() | {name: getattr(clip, name) for name in _DERIVED}


def _schema() -> Any:
    """Return the columns' types, which are the same whatever is in them."""
    kinds = dict.fromkeys(_WHOLE, pyarrow.int64()) | {"fps": pyarrow.float64()}
    columns = [
        (field.name, kinds.get(field.name, pyarrow.string())) for field in dataclasses.fields(Clip)
    ]
    return pyarrow.schema([*columns, *((name, pyarrow.int8()) for name in _DERIVED)])


def _require_new(name: str, seen: set[bytes]) -> None:
    # Half as large as text, where the name is an id.
    key = bytes.fromhex(name) if _is_hex(name) else name.encode()
    if key in seen:
        raise ConfigError(f"the table has two clips called {name}; keep one.")
    seen.add(key)


def _is_hex(name: str) -> bool:
    return len(name) == 32 and not set(name) - set("0123456789abcdef")


def _require_free(path: Path, force: bool) -> None:
    if path.exists() and not force:
        raise OutputExistsError(f"{path} exists already; use --force to overwrite it.")


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[Any]:
    """Give a stream whose content becomes the file at the end, if all goes well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with draft_of(path) as draft, draft.open("wb") as stream:
        yield stream


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(pyarrow.parquet.ParquetFile(path))
        except FileNotFoundError as error:
            raise InputError(f"{path} does not exist; give a table written by obverse.") from error
        except (OSError, ValueError, pyarrow.ArrowException) as error:
            raise _no_table(path, error) from error
        yield file


def _no_table(path: Path, error: Exception) -> InputError:
    if path.is_dir():
        return InputError(
            f"{path} is a folder; give the table in it, such as {path / 'clips.parquet'}."
        )
    return InputError(f"{path} is not a parquet table: {' '.join(str(error).split())}")


def _rows(path: Path, required: Sequence[str]) -> Iterator[dict[str, Any]]:
    with _opened(path) as file:
        names = file.schema_arrow.names
        if lacking := [name for name in required if name not in names]:
            raise InputError(
                f"{path} lacks the column {lacking[0]}; give a table written by obverse."
            )
        batches: Callable[..., Iterator[Any]] = file.iter_batches
        try:
            for batch in batches(batch_size=_BATCH):
                yield from batch.to_pylist()
        except (OSError, pyarrow.ArrowException) as error:
            raise _no_table(path, error) from error
