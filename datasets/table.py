"""Tables of records: `clips.parquet` of `Clip` rows and `scores.parquet` of `Score` rows.

A table is written whole or not at all, so that a reader never meets half of one.
"""

import dataclasses
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import pyarrow

from obverse.clip import Clip, Score
from obverse.errors import ConfigError, InputError, OutputExistsError

__all__ = ["clip_path", "read_clips", "read_scores", "write_clips", "write_scores"]

Record = TypeVar("Record")

# Columns that a table of only missing values must still have as numbers.
_SCORE_NUMBERS = ("score", "lr")
_SCORE_TUPLES = ("frame_scores", "times")


def clip_path(clip: Clip, folder: Path) -> Path:
    """Return where a clip's file is; a relative path starts at `folder`, that of its table."""
    path = Path(clip.path)
    return path if path.is_absolute() else folder / path


def write_clips(path: Path, clips: Sequence[Clip], *, force: bool = False) -> None:
    """Write a table of clips.

    Raises:
        OutputExistsError: the table is there and `force` is not given.
        ConfigError: two clips have one id.
    """
    _require_unique([clip.id for clip in clips], "clips")
    columns = [field.name for field in dataclasses.fields(Clip)]
    _write(path, pd.DataFrame([clip.to_row() for clip in clips], columns=columns), force)


def read_clips(path: Path) -> list[Clip]:
    """Read a table written by `write_clips`.

    Raises:
        InputError: the file is absent, is no such table, or has a row that contradicts itself.
    """
    clips = _read(path, Clip.from_row, ("id", "path", "label", "kind"))
    try:
        _require_unique([clip.id for clip in clips], "clips")
    except ConfigError as error:
        raise InputError(f"{path} cannot be used: {error}") from error
    return clips


def write_scores(path: Path, scores: Sequence[Score], *, force: bool = False) -> None:
    """Write a table of scores, a row a clip.

    Raises:
        OutputExistsError: the table is there and `force` is not given.
        ConfigError: one detector has two scores for one clip.
    """
    _require_unique([f"{score.detector} on {score.clip}" for score in scores], "scores")
    columns = [field.name for field in dataclasses.fields(Score)]
    rows = []
    for score in scores:
        row = dataclasses.asdict(score)
        row.update({name: json.dumps(row[name]) for name in _SCORE_TUPLES})
        rows.append(row)
    table = pd.DataFrame(rows, columns=columns)
    table[list(_SCORE_NUMBERS)] = table[list(_SCORE_NUMBERS)].astype("float64")
    _write(path, table, force)


def read_scores(path: Path) -> list[Score]:
    """Read a table written by `write_scores`.

    Raises:
        InputError: the file is absent, is no such table, or has a row that contradicts itself.
    """
    return _read(path, _score_from_row, ("clip", "detector", "status", "score"))


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


def _require_unique(names: Iterable[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ConfigError(f"the table has two {what} called {name}; keep one.")
        seen.add(name)


def _write(path: Path, table: pd.DataFrame, force: bool) -> None:
    if path.exists() and not force:
        raise OutputExistsError(f"{path} exists already; use --force to overwrite it.")
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            table.to_parquet(stream, index=False)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # mkstemp's file is for its owner alone
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _read(
    path: Path, build: Callable[[Mapping[str, Any]], Record], required: Sequence[str]
) -> list[Record]:
    try:
        table = pd.read_parquet(path)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; give a table written by obverse.") from error
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise InputError(
            f"{path} is not a parquet table: {' '.join(str(error).split())}"
        ) from error
    if lacking := [name for name in required if name not in table.columns]:
        raise InputError(f"{path} lacks the column {lacking[0]}; give a table written by obverse.")
    records = []
    for number, row in enumerate(table.to_dict("records"), start=1):
        try:
            records.append(build({str(name): value for name, value in row.items()}))
        except (ConfigError, ValueError, TypeError) as error:
            raise InputError(f"row {number} of {path} cannot be used: {error}") from error
    return records
