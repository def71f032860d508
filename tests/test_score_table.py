"""Scores are joined by the clips' ids, rows without a score keep their status, and what
contradicts itself is refused in a sentence.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from obverse.clip import Clip, Score
from obverse.datasets.table import read_clips, write_clips, write_scores
from obverse.errors import ConfigError, InputError
from obverse.eval.score_table import read_score_table


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def csv_file(tmp_path: Path) -> Path:
    return write(
        tmp_path / "s.csv",
        "clip,label,score,status,method\n"
        "007,pristine,0.2,ok,\n"
        "7,synthetic,0.9,ok,swap\n"
        "b,1,,missing,talk\n"
        "c,0,,error,\n",
    )


def test_a_csv_is_read_as_it_is_written(csv_file: Path) -> None:
    table = read_score_table(csv_file)
    assert list(table.clip) == ["007", "7", "b", "c"]  # names, not numbers
    assert list(table.truth) == [False, True, True, False]
    assert list(table.status) == ["ok", "ok", "missing", "error"]
    assert np.isnan(table.score[2:]).all()
    assert list(table.groups["method"]) == [None, "swap", "talk", None]
    assert (table.detector, table.ratio, table.verdict, table.absent) == ("s", None, None, 0)


def test_a_spreadsheets_csv_is_read(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_bytes("\ufeffclip, label, score\r\na, 0, 0.25\r\nb, 1, 0.75\r\n".encode())
    table = read_score_table(path)
    assert list(table.clip) == ["a", "b"]
    assert list(table.score) == [0.25, 0.75]


def test_what_is_written_is_read_back(csv_file: Path, tmp_path: Path) -> None:
    table = read_score_table(csv_file)
    table.to_frame().to_csv(tmp_path / "again.csv", index=False)
    again = read_score_table(tmp_path / "again.csv")
    assert list(again.clip) == list(table.clip)
    assert list(again.status) == list(table.status)
    assert (again.score[:2] == table.score[:2]).all()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("clip,label,prob\na,0,.5\n", "columns clip, label, prob and none called score"),
        ("clip,score\na,.5\n", "none called label; add one .* or pass --labels"),
        ("clip,label,score\n", "holds no rows"),
        ("clip,label,score\na,0,.5\na,1,.6\n", "holds clip a twice"),
        ("clip,label,score\na,0,1.5\n", r"row 1 of .* \(clip a\) has the score 1.5; .*logits"),
        ("clip,label,score\na,0,-0.1\n", r"must lie in \[0, 1\]"),
        ("clip,label,score,status\na,0,nan,ok\n", "status ok and no score"),
        ("clip,label,score,status\na,0,.5,missing\n", "status missing and the score 0.5"),
        ("clip,label,score,status\na,0,.5,fine\n", "the status 'fine'; it must be ok"),
        ("clip,label,score,status\na,0,.5,\n", "has no status"),
        ("clip,label,score\na,0,high\n", "the score 'high', which is no number"),
        ("clip,label,score\na,,.5\n", "the label None; it must be pristine or 0"),
        ("clip,label,score\na,fake,.5\n", "the label 'fake'"),
        ("clip,label,score\n,0,.5\n", "row 1 .* has no clip"),
        ("clip,label,score,lr\na,0,.5,0\n", "likelihood ratio 0; it must be above 0"),
        ("clip,label,score\na,0,.5\nb,0,.6\n", "all 2 clips are pristine"),
        ("clip,label,score,detector\na,0,.5,x\na,0,.5,y\n", "x, y; choose one with --detector"),
        ('clip,label,score\na,0,.5\nb,"1', "is not a CSV table"),
    ],
)
def test_bad_files_are_refused_in_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises((InputError, ConfigError), match=said) as caught:
        read_score_table(write(tmp_path / "bad.csv", text))
    assert "\n" not in str(caught.value)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.csv", tmp_path, write(tmp_path / "x.parquet", "no")):
        with pytest.raises(InputError):
            read_score_table(path)


def make_clips(folder: Path) -> Path:
    clips = [
        Clip(
            id=name,
            path="same.mp4",  # a name says nothing
            label="synthetic" if method else "pristine",
            kind="generated" if method else "camera",
            method=method,
            identity=f"p{number}",
            split="test" if number < 3 else "train",
            attributes={"age": "old"},
            fake_segments=((1.0, 2.0),) if name == "b" else (),
        )
        for number, (name, method) in enumerate(
            [("a", None), ("b", "swap"), ("c", "talk"), ("d", None)]
        )
    ]
    write_clips(folder / "clips.parquet", clips)
    return folder / "clips.parquet"


def make_scores(folder: Path) -> Path:
    def track(score: float, frames: list[float]) -> dict[str, object]:
        times = [0.5 + step for step in range(len(frames))]
        return {"score": score, "lr": score / (1 - score), "verdict": "cannot tell",
                "frame_scores": frames, "times": times}  # fmt: skip

    rows = {
        "a": [track(0.2, [0.1, 0.3])],
        "b": [track(0.6, [0.2, 0.9]), track(0.9, [0.8, 0.95])],
        "c": None,
    }
    scores = []
    for name, tracks in rows.items():
        if tracks is None:
            scores.append(Score(clip=name, detector="net", status="missing", reason="no face"))
            continue
        best = max(float(str(each["score"])) for each in tracks)
        scores.append(
            Score(
                clip=name,
                detector="net",
                status="ok",
                score=best,
                lr=best / (1 - best),
                verdict="cannot tell",
                tracks_json=json.dumps(tracks),
            )
        )
    write_scores(folder / "scores.parquet", scores)
    return folder / "scores.parquet"


def test_labels_and_columns_come_from_the_table_of_clips(tmp_path: Path) -> None:
    table = read_score_table(make_scores(tmp_path), make_clips(tmp_path), split="test")
    assert (table.detector, table.absent) == ("net", 0)
    assert list(table.truth) == [False, True, True]
    assert list(table.groups["identity"]) == ["p0", "p1", "p2"]
    assert list(table.groups["method"]) == [None, "swap", "talk"]
    assert list(table.groups["attribute.age"]) == ["old"] * 3
    assert table.ratio is not None
    assert table.ratio[1] == pytest.approx(np.log(9))
    # Without --split a labelled clip is not scored at all.
    whole = read_score_table(tmp_path / "scores.parquet", tmp_path / "clips.parquet")
    assert whole.absent == 1


def test_the_label_is_of_what_the_detector_judges(tmp_path: Path) -> None:
    plain = Clip(id="b", path="b.mp4", label="pristine", kind="camera", sound="pristine")
    dubbed = plain.replace(id="a", sound="synthetic", sound_segments=((1.0, 2.0),))
    talking = plain.replace(id="c", label="synthetic", sound="pristine")
    write_clips(tmp_path / "c.parquet", [dubbed, plain, talking])
    one_face = {"score": 0.5, "times": [0.5, 1.5], "frame_scores": [0.5, 0.5]}
    scores = [
        Score(
            clip=name, detector="ears", status="ok", score=0.5, judges="picture and sound",
            tracks_json=json.dumps([one_face]),
        )
        for name in "abc"
    ]  # fmt: skip
    write_scores(tmp_path / "s.parquet", scores)
    table = read_score_table(tmp_path / "s.parquet", tmp_path / "c.parquet")
    assert list(table.truth) == [True, False, True]
    assert table.judges == "picture and sound"
    frames = read_score_table(tmp_path / "s.parquet", tmp_path / "c.parquet", unit="frame")
    assert list(frames.truth) == [False, True, False, False, True, True]
    written = tmp_path / "s.csv"
    table.to_frame().to_csv(written, index=False)
    assert read_score_table(written).judges == "picture and sound"
    # Where nobody says, it is the picture, and whoever reads may say otherwise.
    bare = write(tmp_path / "bare.csv", "clip,score\na,0.5\nb,0.5\nc,0.5\n")
    assert list(read_score_table(bare, tmp_path / "c.parquet").truth) == [False, False, True]
    heard = read_score_table(bare, tmp_path / "c.parquet", judged="picture and sound")
    assert list(heard.truth) == [True, False, True]


@pytest.mark.parametrize("said", ["picture,sound", "picture,"])
def test_scores_about_two_things_are_refused(tmp_path: Path, said: str) -> None:
    one, two = said.split(",")
    path = write(tmp_path / "s.csv", f"clip,label,score,judges\na,0,0.1,{one}\nb,1,0.9,{two}\n")
    with pytest.raises(InputError, match="a detector judges one thing"):
        read_score_table(path)


def test_forged_sound_counts_where_sound_is_judged(tmp_path: Path) -> None:
    scores, labels = make_scores(tmp_path), make_clips(tmp_path)
    a, b, c, d = read_clips(labels)
    b = b.replace(sound="synthetic", sound_segments=((0.0, 1.0),))
    c = c.replace(label="pristine", sound="synthetic", method="voiceover", kind="camera")
    write_clips(labels, [a, b, c, d], force=True)
    assert list(read_score_table(scores, labels).truth) == [False, True, False]
    heard = read_score_table(scores, labels, judged="picture and sound")
    assert list(heard.truth) == [False, True, True]
    # Its picture is fake from second 1 to 2, its sound before that.
    frames = read_score_table(scores, labels, unit="frame", judged="picture and sound")
    assert list(frames.truth) == [False] * 2 + [True] * 5
    contrary = write(tmp_path / "contrary.csv", "clip,label,score\nc,0,.5\na,0,.5\n")
    with pytest.raises(InputError, match=r"clip c is synthetic .* pass --sound where"):
        read_score_table(contrary, labels, judged="picture and sound")


def test_tracks_and_frames_are_measured_apart(tmp_path: Path) -> None:
    scores, labels = make_scores(tmp_path), make_clips(tmp_path)
    tracks = read_score_table(scores, labels, unit="track")
    assert list(tracks.clip) == ["a", "b", "b", "c"]
    assert list(tracks.score[:3]) == [0.2, 0.6, 0.9]
    frames = read_score_table(scores, labels, unit="frame")
    assert list(frames.clip) == ["a"] * 2 + ["b"] * 4 + ["c"]
    # Clip b is fake from second 1 to 2; its frames lie at .5 and 1.5 s.
    assert list(frames.truth) == [False, False, False, True, False, True, True]
    assert frames.ratio is None


def test_rows_of_frames_are_pooled_by_clip_and_never_by_name(tmp_path: Path) -> None:
    path = write(
        tmp_path / "frames.csv",
        "clip,track,frame,label,score\n"
        "a,0,0,0,.1\na,0,1,0,.2\na,1,0,0,.5\na,1,1,0,.7\nb,0,0,1,.9\nb,0,1,1,\n",
    )
    clips = read_score_table(path)
    assert clips.score == pytest.approx([0.6, 0.9])  # means of tracks, the highest of a clip
    assert read_score_table(path, unit="track").score == pytest.approx([0.15, 0.6, 0.9])
    assert len(read_score_table(path, unit="frame")) == 6


def test_what_the_file_does_not_hold_cannot_be_measured(csv_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no frames of clip 007"):
        read_score_table(csv_file, unit="frame")
    with pytest.raises(InputError, match="2 of the scored clips, such as 007, are not in"):
        read_score_table(csv_file, make_clips(tmp_path))
    with pytest.raises(ConfigError, match="no column detector"):
        read_score_table(csv_file, detector="x")
    with pytest.raises(ConfigError, match="no column split"):
        read_score_table(csv_file, split="test")
    with pytest.raises(ConfigError, match="holds no scores of 'x'; it has net"):
        read_score_table(make_scores(tmp_path), tmp_path / "clips.parquet", detector="x")
    with pytest.raises(InputError, match="no clip of the split val"):
        read_score_table(tmp_path / "scores.parquet", tmp_path / "clips.parquet", split="val")
    contrary = write(tmp_path / "contrary.csv", "clip,label,score\na,1,.5\n")
    with pytest.raises(InputError, match=r"clip a is pristine \(picture\) in"):
        read_score_table(contrary, tmp_path / "clips.parquet")


def test_other_separators_are_named(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("clip;label;score\na;0;.5\n")
    with pytest.raises(
        InputError, match="has semicolons between its columns; write it with commas"
    ):
        read_score_table(path)
