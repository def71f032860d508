"""Scores of any detector, with their labels: a parquet or CSV file, a row a clip, track or frame.

A row belongs to a clip because its `clip` says so. Nothing is ever joined by a file's name or by a
part of one, and a row without a score keeps its status and gets no number.
"""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow
import pyarrow.parquet

from obverse.clip import Clip, Judged
from obverse.datasets.table import iter_clips
from obverse.errors import ConfigError, InputError
from obverse.media.container import require_file

__all__ = ["UNITS", "ScoreTable", "Unit", "detectors_in", "read_score_table"]

Unit = Literal["clip", "track", "frame"]
UNITS: tuple[Unit, ...] = get_args(Unit)

_STATUSES = ("ok", "missing", "error")
_LABELS = {"pristine": False, "0": False, "synthetic": True, "1": True}
_OF_CLIPS = ("identity", "method", "dataset", "kind", "split", "speaker")  # taken from labels
_OWN = (
    "clip", "label", "score", "status", "detector", "lr", "verdict", "reason", "frame_scores",
    "times", "tracks_json", "track", "frame", "time", "judges",
)  # fmt: skip
_NOTHING = ("", "nan", "none", "null")

Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class ScoreTable:
    """What one detector says of clips, tracks or frames, and what they are."""

    detector: str  # its name, or that of the file
    unit: Unit
    clip: npt.NDArray[np.object_]  # [N] ids
    truth: npt.NDArray[np.bool_]  # [N] synthetic
    status: npt.NDArray[np.object_]  # [N] ok, missing or error
    score: Floats  # [N] in [0, 1], NaN unless ok
    ratio: Floats | None  # [N] natural logarithm of the likelihood ratio, NaN where it is
    # withheld; None where none has one
    verdict: npt.NDArray[np.object_] | None  # [N]; None where the detector gives none
    groups: Mapping[str, npt.NDArray[np.object_]]  # column -> [N] values, None where unknown
    absent: int = 0  # labelled clips of which the scores say nothing
    judges: Judged | None = None  # what the scores are about; None where nobody says

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.clip)

    @property
    def ok(self) -> npt.NDArray[np.bool_]:
        """Which rows have a score."""
        return np.asarray(self.status == "ok")

    def rows(self, chosen: npt.NDArray[Any]) -> "ScoreTable":
        """Return some rows, by a mask or by their numbers."""
        return dataclasses.replace(
            self,
            clip=self.clip[chosen],
            truth=self.truth[chosen],
            status=self.status[chosen],
            score=self.score[chosen],
            ratio=None if self.ratio is None else self.ratio[chosen],
            verdict=None if self.verdict is None else self.verdict[chosen],
            groups={name: values[chosen] for name, values in self.groups.items()},
        )

    def to_frame(self) -> pd.DataFrame:
        """Return it as it is written to `scores.csv`."""
        columns: dict[str, Any] = {
            "detector": self.detector,
            "clip": self.clip,
            **({} if self.judges is None else {"judges": self.judges}),
            "label": np.where(self.truth, "synthetic", "pristine"),
            "status": self.status,
            "score": self.score,
        }
        if self.ratio is not None:
            columns["lr"] = np.exp(self.ratio)
        if self.verdict is not None:
            columns["verdict"] = self.verdict
        return pd.DataFrame(columns | dict(self.groups))


@dataclasses.dataclass(slots=True)
class _Row:
    """A line of the file, checked."""

    clip: str
    track: str
    frame: str
    status: str
    score: float
    lr: float | None
    verdict: str | None
    label: bool | None
    seconds: float | None
    tracks_json: str | None
    groups: dict[str, str | None]


def read_score_table(
    path: Path,
    labels: Path | None = None,
    *,
    detector: str | None = None,
    unit: Unit = "clip",
    split: str | None = None,
    judged: Judged | None = None,
) -> ScoreTable:
    """Read scores and join them with labels by the clips' ids.

    Args:
        path: `scores.parquet` as `obverse detect -o` writes it, or any parquet or CSV with the
            columns clip and score, and label unless `labels` is given. Optional: status (ok where
            there is a score, otherwise missing), lr, verdict, detector, judges, track, frame, time
            in seconds; all other columns can be sliced by.
        labels: a table of clips, whose label and columns are taken: the label of the picture, or
            of picture and sound where the detector judges both.
        detector: which one, where the file holds several.
        unit: what is measured. Frames of a track are pooled by their mean, tracks of a clip by
            their highest score.
        split: only clips of this split.
        judged: which of `labels`' labels is a clip's truth, whatever the file says: where it is
            sound too, a pristine picture with synthetic sound is synthetic. Without it, what the
            file says; the picture, where that says nothing.

    Raises:
        InputError: a file is absent, damaged, or contradicts itself.
        ConfigError: the unit is not in the file, or several detectors are.
    """
    if unit not in UNITS:
        raise ConfigError(f"the unit is {unit!r}; it must be one of {', '.join(UNITS)}.")
    records = _records(path)
    columns = list(records[0]) if records else []
    _require_columns(path, columns, labelled=labels is not None)
    name, numbered = _of_one_detector(path, records, detector)
    clips = None if labels is None else _clips(labels, split)
    judges = _judges(path, [record for _, record in numbered])
    judged = judged or judges or "picture"
    rows = [_checked_row(path, number, record) for number, record in numbered]
    rows, absent = _labelled(path, rows, clips, labels, split, judged)
    if not rows:
        raise InputError(f"{path} holds no score{'' if split is None else f' of split {split}'}.")
    held: Unit = "track" if "track" in columns else "clip"
    held = "frame" if "frame" in columns or "time" in columns else held
    spread = [part for row in rows for part in _parts(path, row, held, unit, clips, judged)]
    _require_once(path, spread)
    pooled = spread if unit == "frame" else _pooled(spread, by_track=unit == "track")
    return dataclasses.replace(_table(name, unit, pooled, absent), judges=judges)


def detectors_in(path: Path) -> list[str | None]:
    """Return the names in a file's column detector; a single None where it has no such column.

    Raises:
        InputError: the file is absent or damaged.
    """
    records = _records(path)
    if not records or "detector" not in records[0]:
        return [None]
    return [*sorted({str(record["detector"]) for record in records})]


def _records(path: Path) -> list[dict[str, Any]]:
    require_file(path)
    if path.suffix.lower() == ".parquet":
        try:
            table: list[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
        except (OSError, ValueError, pyarrow.ArrowException) as error:
            raise InputError(
                f"{path} is not a parquet table: {' '.join(str(error).split())}"
            ) from error
        return table
    try:
        # As text: "007" is a name, and an empty cell is no number.
        frame = pd.read_csv(
            path, dtype=str, keep_default_na=False, skipinitialspace=True, encoding="utf-8-sig"
        )
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} is not a CSV table ({' '.join(str(error).split())}); give a .parquet or a CSV "
            "file with the columns clip, label, score, status."
        ) from error
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def _require_columns(path: Path, columns: Sequence[str], *, labelled: bool) -> None:
    if not columns:
        raise InputError(f"{path} holds no rows; give a table with a row a clip.")
    if len(columns) == 1 and (mark := next((m for m in ";\t|" if m in columns[0]), None)):
        named = {";": "semicolons", "\t": "tabs", "|": "bars"}[mark]
        raise InputError(f"{path} has {named} between its columns; write it with commas.")
    for name in ("clip", "score"):
        if name not in columns:
            raise InputError(
                f"{path} has the columns {', '.join(columns)} and none called {name}; rename the "
                f"one that holds it to {name}."
            )
    if "label" not in columns and not labelled:
        raise InputError(
            f"{path} has the columns {', '.join(columns)} and none called label; add one "
            "(pristine or synthetic), or pass --labels clips.parquet."
        )


def _of_one_detector(
    path: Path, records: Sequence[dict[str, Any]], wanted: str | None
) -> tuple[str, list[tuple[int, dict[str, Any]]]]:
    """Return the detector's name and its records, numbered from 1."""
    numbered = list(enumerate(records, 1))
    if "detector" not in records[0]:
        if wanted is not None:
            raise ConfigError(f"{path} has no column detector; leave out --detector.")
        return path.stem, numbered
    names = sorted({str(record["detector"]) for record in records})
    if wanted is None and len(names) > 1:
        raise ConfigError(f"{path} holds scores of {', '.join(names)}; choose one with --detector.")
    if wanted is not None and wanted not in names:
        raise ConfigError(f"{path} holds no scores of {wanted!r}; it has {', '.join(names)}.")
    name = wanted or names[0]
    return name, [(number, record) for number, record in numbered if record["detector"] == name]


def _judges(path: Path, records: Sequence[dict[str, Any]]) -> Judged | None:
    """Return what the file says that its scores are about."""
    found = {_text(record.get("judges")) for record in records}
    if len(found) > 1:
        names = " and ".join(sorted("nothing" if name is None else name for name in found))
        raise InputError(f"the column judges of {path} says {names}; a detector judges one thing.")
    (name,) = found
    if name is not None and name not in get_args(Judged):
        raise InputError(
            f"the column judges of {path} says {name!r}; it must be picture or picture and sound."
        )
    return cast(Judged | None, name)


def _text(value: Any) -> str | None:
    """Return a cell as text; None where it is empty."""
    if value is None or value != value:
        return None
    text = str(value).strip()
    return None if text.lower() in _NOTHING else text


def _number(where: str, name: str, value: Any) -> float | None:
    text = _text(value)
    if text is None:
        return None
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"{where} has the {name} {text!r}, which is no number.") from error


def _checked_row(path: Path, number: int, record: Mapping[str, Any]) -> _Row:
    clip = _text(record["clip"])
    where = f"row {number} of {path}"
    if clip is None:
        raise InputError(f"{where} has no clip; every row needs the id of one.")
    where = f"{where} (clip {clip})"
    score = _number(where, "score", record["score"])
    status = _text(record.get("status"))
    if status is None:
        if "status" in record:
            raise InputError(f"{where} has no status; it must be ok, missing or error.")
        status = "missing" if score is None else "ok"
    if status not in _STATUSES:
        raise InputError(f"{where} has the status {status!r}; it must be ok, missing or error.")
    if status == "ok" and score is None:
        raise InputError(
            f"{where} has status ok and no score; give a number, or the status missing or error."
        )
    if status != "ok" and score is not None:
        raise InputError(
            f"{where} has status {status} and the score {score:g}; a clip without a score has no "
            "number: leave it empty."
        )
    if score is not None and not 0 <= score <= 1:
        raise InputError(
            f"{where} has the score {score:g}; it must lie in [0, 1], higher = synthetic (put "
            "logits through 1 / (1 + exp(-x)))."
        )
    lr = _number(where, "lr", record.get("lr"))
    if lr is not None and not 0 < lr < math.inf:
        raise InputError(
            f"{where} has the likelihood ratio {lr:g}; it must be above 0 and finite, for no "
            "number of clips can show certainty."
        )
    return _Row(
        clip=clip,
        track=_text(record.get("track")) or "",
        frame=_text(record.get("frame")) or _text(record.get("time")) or "",
        status=status,
        score=math.nan if score is None else score,
        lr=lr,
        verdict=_text(record.get("verdict")),
        label=_label(where, record["label"]) if "label" in record else None,
        seconds=_number(where, "time", record.get("time")),
        tracks_json=_text(record.get("tracks_json")),
        groups={name: _text(value) for name, value in record.items() if name not in _OWN},
    )


def _label(where: str, value: Any) -> bool:
    text = _text(value)
    if isinstance(value, bool):
        return value
    if text is not None and text.endswith(".0"):
        text = text[:-2]
    if text not in _LABELS:
        raise InputError(
            f"{where} has the label {text!r}; it must be pristine or 0, synthetic or 1."
        )
    return _LABELS[text]


def _clips(path: Path, split: str | None) -> dict[str, Clip]:
    clips = {clip.id: clip for clip in iter_clips(path)}
    if split is not None and not any(clip.split == split for clip in clips.values()):
        raise InputError(f"{path} has no clip of the split {split}; leave out --split.")
    return clips


def _labelled(
    path: Path,
    rows: list[_Row],
    clips: Mapping[str, Clip] | None,
    labels: Path | None,
    split: str | None,
    judged: Judged,
) -> tuple[list[_Row], int]:
    """Give every row its label and its clip's columns; leave out other splits; count the clips
    that have no row.
    """
    if clips is None:
        if split is not None and rows and "split" not in rows[0].groups:
            raise ConfigError(f"{path} has no column split; leave out --split, or pass --labels.")
        kept = [row for row in rows if split is None or row.groups.get("split") == split]
        return kept, 0
    unknown = sorted({row.clip for row in rows} - clips.keys())
    if unknown:
        raise InputError(
            f"{len(unknown)} of the scored clips, such as {unknown[0]}, are not in {labels}; give "
            "the table that they were scored from."
        )
    kept = []
    for row in rows:
        clip = clips[row.clip]
        if split is not None and clip.split != split:
            continue
        label = clip.synthetic_in(judged)
        if row.label is not None and row.label != label:
            said = "synthetic" if label else "pristine"
            raise InputError(
                f"clip {row.clip} is {said} ({judged}) in {labels} and not in {path}; mend one of "
                "them, or pass --sound where, and only where, sound is judged as well."
            )
        row.label = label
        own = {name: getattr(clip, name) for name in _OF_CLIPS}
        own |= {f"attribute.{name}": value for name, value in clip.attributes.items()}
        row.groups = {**own, **{k: v for k, v in row.groups.items() if own.get(k) is None}}
        kept.append(row)
    meant = {name for name, clip in clips.items() if split is None or clip.split == split}
    return kept, len(meant - {row.clip for row in kept})


def _parts(
    path: Path,
    row: _Row,
    held: Unit,
    unit: Unit,
    clips: Mapping[str, Clip] | None,
    judged: Judged,
) -> list[_Row]:
    """Return what is to be measured of a row: itself where it holds that, or its tracks or frames.

    Args:
        path: the file.
        row: one of its rows.
        held: what a row of the file is.
        unit: what is measured.
        clips: by id, for the segments that are fake.
        judged: what the scores are about.
    """
    if unit == "clip" or row.status != "ok" or UNITS.index(held) >= UNITS.index(unit):
        return [_at_its_time(row, clips, judged)] if unit == "frame" else [row]
    try:
        tracks = json.loads(row.tracks_json) if row.tracks_json else []
    except ValueError as error:
        raise InputError(f"{path} holds a damaged tracks_json of clip {row.clip}.") from error
    if not tracks:
        raise ConfigError(
            f"{path} holds no {unit}s of clip {row.clip}; measure clips, or give a table with the "
            f"column {unit}."
        )
    found = []
    for number, track in enumerate(tracks):
        one = dataclasses.replace(
            row,
            track=str(number),
            score=float(track["score"]),
            lr=track.get("lr"),
            verdict=track.get("verdict"),
        )
        if unit == "track":
            found.append(one)
            continue
        for time, value in zip(track["times"], track["frame_scores"], strict=True):
            frame = dataclasses.replace(
                one, frame=str(time), seconds=time, score=float(value), lr=None, verdict=None
            )
            found.append(_at_its_time(frame, clips, judged))
    return found


def _at_its_time(row: _Row, clips: Mapping[str, Clip] | None, judged: Judged) -> _Row:
    """Return a frame with the label of its moment, where only segments of its clip are fake."""
    if clips is None or row.seconds is None:
        return row
    clip, seconds = clips[row.clip], row.seconds

    def fake(label: str | None, segments: Sequence[tuple[float, float]]) -> bool:
        within = any(start <= seconds < end for start, end in segments)
        return label == "synthetic" and (within or not segments)

    label = fake(clip.label, clip.fake_segments)
    if judged == "picture and sound":
        label = label or fake(clip.sound, clip.sound_segments)
    return dataclasses.replace(row, label=label)


def _require_once(path: Path, rows: Sequence[_Row]) -> None:
    seen = set()
    for row in rows:
        key = (row.clip, row.track, row.frame)
        if key in seen:
            what = f"clip {row.clip}"
            what += f", track {row.track}" if row.track else ""
            what += f", frame {row.frame}" if row.frame else ""
            raise InputError(
                f"{path} holds {what} twice; keep one row (clips of different methods that share "
                "a file name need ids of their own)."
            )
        seen.add(key)


def _pooled(rows: Sequence[_Row], *, by_track: bool) -> list[_Row]:
    """Return the mean over each track's frames and, unless tracks are meant, each clip's highest
    track.
    """
    tracks: dict[tuple[str, str], list[_Row]] = {}
    for row in rows:
        tracks.setdefault((row.clip, row.track), []).append(row)
    pooled = [_mean(frames) for frames in tracks.values()]
    if by_track:
        return pooled
    clips: dict[str, list[_Row]] = {}
    for row in pooled:
        clips.setdefault(row.clip, []).append(row)
    return [_highest(each) for each in clips.values()]


def _mean(frames: Sequence[_Row]) -> _Row:
    if len(frames) == 1:
        return frames[0]
    scored = [row.score for row in frames if row.status == "ok"]
    _require_one_label(frames)
    if not scored:
        return dataclasses.replace(frames[0], frame="", status=_worst_status(frames))
    score = math.fsum(scored) / len(scored)
    return dataclasses.replace(frames[0], frame="", status="ok", score=score, lr=None, verdict=None)


def _highest(tracks: Sequence[_Row]) -> _Row:
    _require_one_label(tracks)
    scored = [row for row in tracks if row.status == "ok"]
    if not scored:
        return dataclasses.replace(tracks[0], status=_worst_status(tracks))
    return max(scored, key=lambda row: row.score)


def _worst_status(rows: Sequence[_Row]) -> str:
    return "error" if any(row.status == "error" for row in rows) else "missing"


def _require_one_label(rows: Sequence[_Row]) -> None:
    if len({row.label for row in rows}) > 1:
        raise InputError(f"clip {rows[0].clip} has rows of both labels; measure frames.")


def _table(name: str, unit: Unit, rows: Sequence[_Row], absent: int) -> ScoreTable:
    truth = np.array([row.label for row in rows], bool)
    if truth.all() or not truth.any():
        raise InputError(
            f"all {len(rows)} {unit}s are {'synthetic' if truth[0] else 'pristine'}; to measure "
            "how well the classes are told apart both are needed."
        )
    ok = [row for row in rows if row.status == "ok"]
    ratio = verdict = None
    if any(row.lr is not None for row in ok):  # a detector withholds it out of its domain
        ratio = np.log([math.nan if row.lr is None else row.lr for row in rows])
    if ok and all(row.verdict is not None for row in ok):
        verdict = np.array([row.verdict for row in rows], object)
    columns = {key: None for row in rows for key in row.groups}
    return ScoreTable(
        detector=name,
        unit=unit,
        clip=np.array([row.clip for row in rows], object),
        truth=truth,
        status=np.array([row.status for row in rows], object),
        score=np.array([row.score for row in rows], np.float64),
        ratio=ratio,
        verdict=verdict,
        groups={
            key: np.array([row.groups.get(key) for row in rows], object)
            for key in columns
            if any(row.groups.get(key) is not None for row in rows)
        },
        absent=absent,
    )
