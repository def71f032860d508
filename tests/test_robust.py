"""A sweep scores each clip once under each condition, and goes on where it was broken off."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
import yaml

from obverse.cli import main
from obverse.clip import Clip
from obverse.datasets.table import read_clips, write_clips
from obverse.detector import crop_store
from obverse.detector.config import TrainConfig
from obverse.detector.frame import FrameNet
from obverse.detector.recipe import CropRecipe
from obverse.detector.runs import save_weights
from obverse.detector.score import open_detector, score, score_film
from obverse.errors import ConfigError, OutputExistsError
from obverse.eval.conditions import NONE, Condition, Crossed, Grid, Onset, load_grid
from obverse.eval.cues import RATE_HZ, silences
from obverse.eval.distortions import Blur, Contrast, Filmed, Gain, Hiss, Noise, Resize
from obverse.eval.encoders import Codec, write_film
from obverse.eval.metrics import auc
from obverse.eval.robust import Faces, Row, Store, sweep
from obverse.eval.robust_report import format_table
from obverse.eval.robust_table import tabulate
from obverse.faces.landmarks import Face, FaceReader
from obverse.media.audio import read_speech
from obverse.media.video import probe

Image = npt.NDArray[np.uint8]
CONFIG = TrainConfig(backbone="test_resnet", recipe=CropRecipe(size_px=32, moments=3, min_px=5))
GRID = Grid(
    "try",
    (
        NONE,
        Condition("contrast-0", "contrast", 0, (Contrast(1),)),
        Condition("contrast-1", "contrast", 1, (Contrast(0.6),)),
        Condition("noise", "noise", 1, (Noise(0.01),)),
        Condition("half", "size", 0.5, (Resize(0.5),)),
        Condition("crf", "h264", 40, (Codec(crf=40), Blur(3))),
    ),
    (Crossed("only-fakes", "none", "contrast-1"),),
)


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = FrameNet(CONFIG)
        torch.nn.init.normal_(network.head.weight)
        digest = save_weights(run / "model.safetensors", network)
    (run / "config.json").write_text(json.dumps(CONFIG.to_json()))
    (run / "model.card.yaml").write_text(yaml.safe_dump({"sha256": digest}))
    return run


@pytest.fixture
def faces(same_face: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("obverse.eval.robust.open_reader", crop_store.open_reader)


def swept(run: Path, table: Path, place: Path, **more: object) -> list[Row]:
    place.mkdir(exist_ok=True)
    with Store(place / "rows.sqlite", "d") as store:
        return sweep(run, read_clips(table), table.parent, GRID, store, **more)  # type: ignore[arg-type]


@pytest.mark.usefixtures("faces")
def test_undistorted_clips_score_as_they_always_do(
    film_table: Path, untrained: Path, tmp_path: Path
) -> None:
    clips = read_clips(film_table)
    told: list[tuple[int, int]] = []
    rows = swept(untrained, film_table, tmp_path, progress=lambda *n: told.append(n))
    assert len(rows) == len({(row.clip, row.condition) for row in rows}) == 14 * 6
    assert told[0] == (0, 84)
    assert told[-1] == (84, 84)
    by = {(row.clip, row.condition): row for row in rows}
    plain = {each.clip: each for each in score(untrained, clips, film_table.parent)}
    for clip in clips:
        assert by[clip.id, "none"].score == plain[clip.id].score
        assert by[clip.id, "contrast-0"].score == plain[clip.id].score
    assert by["pristine0", "noise"].score != plain["pristine0"].score
    for name in (each.name for each in GRID.conditions):
        assert by["black", name].status == ("ok" if name == "noise" else "missing")
        assert by["damaged", name].status == "error"
        assert by["damaged", name].score is None
        assert "damaged.mp4" in (by["damaged", name].reason or "")
    # One decoding for all changed frames gives what a decoding for each gives.
    contrast = Contrast(0.6)
    alone = score_film(
        film_table.parent / "synthetic1.mp4",
        "synthetic1",
        open_detector(untrained),
        crop_store.open_reader(),
        alter=lambda image, _: contrast.apply(image, np.random.default_rng()),
    )
    assert by["synthetic1", "contrast-1"].score == alone.score.score
    assert [path.name for path in tmp_path.iterdir()] == ["rows.sqlite"]  # no films are left


@pytest.mark.usefixtures("faces")
def test_a_sweep_that_was_broken_off_makes_no_row_twice(
    film_table: Path, untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = swept(untrained, film_table, tmp_path / "whole")

    def stop(done: int, _: int) -> None:
        if done >= 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        swept(untrained, film_table, tmp_path / "broken", progress=stop)
    made: list[tuple[str, str]] = []
    add = Store.add

    def counted(store: Store, row: Row, digest: str) -> None:
        made.append((row.clip, row.condition))
        add(store, row, digest)

    monkeypatch.setattr(Store, "add", counted)
    told: list[int] = []
    again = swept(
        untrained, film_table, tmp_path / "broken", progress=lambda done, _: told.append(done)
    )
    assert again == whole
    assert told[0] >= 20
    assert len(made) == len(set(made)) == 84 - told[0]
    made.clear()
    assert swept(untrained, film_table, tmp_path / "broken") == whole
    assert {clip for clip, _ in made} == {"damaged"}  # what could not be read is tried again


@pytest.mark.usefixtures("faces")
def test_faces_of_the_undistorted_clip_are_carried_to_its_copies(
    film_table: Path, untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = Grid(
        "places",
        (
            *GRID.conditions,
            Condition("coded", "h264", 30, (Codec(crf=30, scale=0.5),)),
            Condition("slow", "fps", 5, (Codec(crf=30, fps=5),)),
            Condition("filmed", "filmed", 1, (Filmed(1),)),
            Condition("louder", "gain", 1, (Gain(6),)),
            Condition("soft-crops", "soft", 1, (Blur(9),), "crops"),
        ),
    )
    clips = [c for c in read_clips(film_table) if c.id in ("synthetic1", "pristine0", "black")]
    surveyed: list[int] = []
    reader = crop_store.open_reader()
    survey = type(reader).survey

    def counted(self: FaceReader, image: Image, *more: object) -> list[Face]:
        surveyed.append(image.shape[0])
        return survey(self, image, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(type(reader), "survey", counted)

    def tried(place: Path, faces: Faces) -> dict[tuple[str, str], Row]:
        surveyed.clear()
        with Store(place, "d") as store:
            rows = sweep(untrained, clips, film_table.parent, grid, store, faces=faces)
        return {(row.clip, row.condition): row for row in rows}

    each = tried(tmp_path / "each", "each")
    clean = tried(tmp_path / "clean", "clean")
    moments = CONFIG.recipe.moments
    # Each clip as it is, and where the picture moves: filmed, and at 5 frames a second (one frame).
    assert len(surveyed) == len(clips) * (2 * moments + 1)
    assert set(each) == set(clean)
    for (clip, name), row in clean.items():
        moves = name in ("slow", "filmed")
        itself = name in ("none", "soft-crops")
        assert row.faces == (None if itself else "each" if moves else "clean")
        assert each[clip, name].faces == (None if itself else "each")
        if itself or moves:
            assert dataclasses.replace(row, faces=None) == dataclasses.replace(
                each[clip, name], faces=None
            )
        if clip == "black" and not moves:
            assert row.status == "missing"  # a face that only noise shows is none of the clip's
    assert clean["pristine0", "contrast-0"].score == clean["pristine0", "none"].score
    assert clean["pristine0", "louder"].score == clean["pristine0", "none"].score
    assert clean["pristine0", "noise"].score != clean["pristine0", "none"].score
    # The other choice scores anew only what it does otherwise.
    made: list[str] = []
    add = Store.add

    def noted(store: Store, row: Row, digest: str) -> None:
        made.append(row.condition)
        add(store, row, digest)

    monkeypatch.setattr(Store, "add", noted)
    assert tried(tmp_path / "clean", "each") == each
    followed = {"contrast-0", "contrast-1", "noise", "half", "crf", "coded", "louder"}
    assert sorted(made) == sorted(name for name in followed for _ in clips)


def test_a_report_says_where_faces_were_looked_for() -> None:
    clips = [Clip(id=i, path=i, label=i, kind="camera") for i in ("pristine", "synthetic")]
    grid = Grid("g", (NONE, Condition("soft", steps=(Blur(3),)), Condition("aside")))

    def said(*faces: Faces | None) -> str:
        rows = [
            Row(clip.id, each.name, "ok", 0.5, faces=how)
            for clip in clips
            for each, how in zip(grid.conditions, faces, strict=True)
        ]
        return format_table(tabulate(grid, clips, rows, "d", samples=10))

    assert "faces:" not in said(None, None, None)
    assert "faces: searched for in each copy" in said(None, "each", "each")
    clean = said(None, "clean", "each")
    assert "cut from the same place" in clean
    assert "searched for under aside, whose picture moves" in clean


def test_a_store_is_of_one_detector(tmp_path: Path) -> None:
    path = tmp_path / "rows.sqlite"
    with Store(path, "one") as store:
        store.add(Row("a", "none", "missing"), "x")
    with pytest.raises(OutputExistsError, match="of the detector one, not of two"):
        Store(path, "two")
    with Store(path, "one") as store:
        assert store.done() == {("a", "none", "x")}
    with Store(path, "two", force=True) as store:
        assert store.done() == set()


@pytest.mark.usefixtures("faces")
def test_a_table_and_a_report(
    film_table: Path, untrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = tmp_path / "soft.yaml"
    grid.write_text(
        "ladders: [{family: blur, do: blur, levels: {1: {kernel: 3}, 2: {kernel: 9}}}]\n"
        "conditions: [{name: coded, steps: [{do: codec, crf: 30}]}]\n"
    )
    out, keep = tmp_path / "report", tmp_path / "kept"
    command = ["eval", "robust", "--detector", str(untrained), "--data", str(film_table)]
    command += ["--grid", str(grid), "-o", str(out), "--json", "--keep", str(keep)]
    with pytest.raises(SystemExit) as caught:
        main(command)
    assert caught.value.code == 1  # one clip is missing, one in error
    said = capsys.readouterr()
    answer = json.loads(said.out)
    assert "coded: " in said.err
    lines = {line["condition"]: line for line in answer["lines"]}
    assert list(lines) == ["none", "blur-1", "blur-2", "coded"]
    assert lines["none"]["change"]["value"] == 0
    for line in lines.values():
        assert (line["synthetic"], line["pristine"]) == (2, 2)
        assert (line["missing"], line["errors"]) == (1, 1)
        assert line["coverage"] == pytest.approx(4 / 6)
    table = pd.read_csv(out / "table.csv")
    assert list(table["condition"]) == list(lines)
    assert table["auc"][0] == lines["none"]["auc"]["value"]
    scores = pd.read_parquet(out / "scores.parquet")
    assert len(scores) == 6 * 4
    assert scores["score"].isna().sum() == 2 * 4
    for name in ("index.html", "results.csv", "figures/changes.svg", "figures/curves.pdf"):
        assert (out / name).stat().st_size > 0
    found = json.loads((out / "results.json").read_text())
    assert found["lines"] == answer["lines"]
    assert found["origin"]["data"].keys() == {str(film_table), str(grid)}
    assert "blur-2" in (out / "tables" / "conditions.tex").read_text()
    assert set(scores["judges"]) == {"picture"}
    assert sorted(path.name for path in keep.iterdir()) == ["blur-1", "blur-2", "coded"]
    assert probe(keep / "blur-2" / "pristine4.mp4").frames == 6
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main([*command[:-3], "--split", "val"])
    assert "AUC" in capsys.readouterr().out


def test_what_cannot_be_done_is_said(
    film_table: Path, untrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["eval", "robust", "--detector", str(untrained), "--data", str(film_table)]
    one = tmp_path / "one.parquet"
    write_clips(one, [clip for clip in read_clips(film_table) if clip.split == "train"])
    for more, said in (
        (["--grid", "no-such"], "there is no grid 'no-such'"),
        (["--data", str(one)], "no clips of the split test"),
        (["--detector", str(tmp_path)], "no finished training run"),
        (["-o", str(one)], "is a file"),
        (["-o", str(tmp_path)], "holds one.parquet"),
        (["--data", str(tmp_path)], "is a folder; give the table in it"),
    ):
        with pytest.raises(SystemExit) as caught:
            main([*command, "-o", str(tmp_path / "out"), *more])
        assert caught.value.code == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("faces")
def test_sound_is_only_changed_where_there_is_some(
    film_table: Path, untrained: Path, tmp_path: Path
) -> None:
    grid = Grid("s", (NONE, Condition("hiss", "hiss", 10, (Hiss(10),))))
    clips = read_clips(film_table)[:2]
    with Store(tmp_path / "rows.sqlite", "d") as store:
        rows = sweep(untrained, clips, film_table.parent, grid, store)
        by = {(row.clip, row.condition): row for row in rows}
    # A detector of pictures does not hear it.
    assert by[clips[0].id, "hiss"].score == by[clips[0].id, "none"].score


@pytest.mark.usefixtures("faces")
def test_a_film_begins_with_its_sound(untrained: Path, tmp_path: Path) -> None:
    tone = 0.3 * np.sin(np.arange(48_000 * 2) * 0.05).astype(np.float32)
    tone[: round(0.6 * 48_000)] = 0
    frames = (np.full((64, 64, 3), number, np.uint8) for number in range(50))
    write_film(tmp_path / "a.mp4", frames, 25.0, Codec(), tone, 48_000)
    clip = Clip(id="a", path="a.mp4", label="pristine", kind="camera")
    grid = Grid(
        "s",
        (
            NONE,
            Condition("cut", "silence", None, (Onset(),)),
            Condition("near", "silence", None, (Onset(lead=0.2),)),
        ),
    )
    with Store(tmp_path / "rows.sqlite", "d") as store:
        sweep(untrained, [clip], tmp_path, grid, store, keep=tmp_path / "kept")
    for name, lead in (("cut", 0.0), ("near", 0.2)):
        film = tmp_path / "kept" / name / "a.mp4"
        assert probe(film).seconds == pytest.approx(1.4 + lead, abs=0.05)
        assert silences(read_speech(film, RATE_HZ))[0] == pytest.approx(lead, abs=0.05)


def rows_of(name: str, scores: dict[str, float | None]) -> list[Row]:
    return [
        Row(clip, name, "missing" if value is None else "ok", value)
        for clip, value in scores.items()
    ]


def labelled(synthetic: int, pristine: int) -> list[Clip]:
    return [
        Clip(
            id=f"{label[0]}{i}",
            path="x",
            label=label,  # type: ignore[arg-type]
            kind="camera",
            identity=f"p{i}",
            method=("swap" if i % 2 else "talk") if label == "synthetic" else None,
        )
        for label, count in (("synthetic", synthetic), ("pristine", pristine))
        for i in range(count)
    ]


def test_a_known_table() -> None:
    clips = labelled(4, 4)
    clean = {f"s{i}": 0.9 for i in range(4)} | {f"p{i}": 0.1 for i in range(4)}
    turned: dict[str, float | None] = {f"s{i}": 0.1 for i in range(4)}
    turned |= {f"p{i}": 0.9 for i in range(4)}
    turned["p3"] = None
    grid = Grid(
        "g",
        (NONE, Condition("worse", "w", 1, (Blur(3),))),
        (Crossed("fakes-only", "none", "worse"),),
    )
    rows = rows_of("none", dict(clean)) + rows_of("worse", turned)
    table = tabulate(grid, clips, rows, "d", samples=200)
    by = {(line.condition, line.method): line for line in table.lines}
    worse = by["worse", None]
    clean_auc = by["none", None].auc
    assert clean_auc is not None
    assert clean_auc.value == 1
    assert worse.auc is not None
    assert worse.auc.value == 0
    assert worse.change is not None
    # Seven clips that all agree bound a change no better than they bound the two areas.
    assert (worse.change.value, worse.change.low) == (-1, -1)
    assert -0.8 < worse.change.high < 0
    assert (worse.synthetic, worse.pristine, worse.missing) == (4, 3, 1)
    assert worse.coverage == 7 / 8
    assert worse.cannot_tell is None
    crossed = by["fakes-only", None]
    assert crossed.auc is not None
    assert crossed.auc.value == 0.5  # all are told 0.1
    assert crossed.pristine == 4
    assert by["worse", "swap"].synthetic == 2
    assert by["worse", "swap"].pristine == 3
    assert table.marks is None


def test_the_marks_finding() -> None:
    clips = labelled(40, 40)
    rng = np.random.default_rng(0)
    base = {clip.id: float(rng.random() * 0.4 + 0.2 * clip.binary) for clip in clips}
    rows = rows_of("none", dict(base)) + rows_of("marked", dict(base))
    reads = {clip.id: base[clip.id] + 0.3 for clip in clips}
    grid = load_grid("marks")
    for reading, below in ((base, "yes"), (reads, "no")):
        bare = [
            Row(row.clip, "unmarked", "ok", row.score, mark_present=False, mark_z=5.0)
            for row in rows_of("unmarked", dict(reading))
        ]
        table = tabulate(grid, clips, rows + bare, "d", samples=300)
        assert table.marks is not None
        assert (table.marks.removed, table.marks.of) == (80, 80)
        assert table.marks.largest_change is not None
        assert table.marks.below == below
        assert (table.marks.largest_change.value == 0) == (reading is base)


def test_what_is_swapped_between_the_classes_is_summed_up() -> None:
    """A detector that adds .5 to whatever is H.265 is found out, and one of silence is not one."""
    clips = labelled(40, 40)
    rng = np.random.default_rng(0)
    base = {clip.id: float(rng.random() * 0.4 + 0.1 * clip.binary) for clip in clips}
    grid = load_grid("swaps")
    rows = []
    for each in grid.conditions:
        raised = 0.5 if each.name == "h265" else 0.0
        rows += rows_of(each.name, {clip: score + raised for clip, score in base.items()})
    table = tabulate(grid, clips, rows, "d", samples=300)
    found = {each.about: each for each in table.swaps}
    assert list(found) == ["encoding", "codec", "silence"]
    assert found["codec"].below == "no"
    assert found["codec"].condition.startswith("only-")
    assert abs(found["codec"].largest_change.value) > 0.1
    assert found["silence"].below == found["encoding"].below == "yes"
    both = next(line for line in table.lines if line.condition == "both-h265")
    assert both.change is not None
    assert both.change.value == 0  # on both classes it tells nothing
    assert "codec on one class alone" in format_table(table)


def test_classes_that_are_parted_perfectly_do_not_show_that_nothing_changes() -> None:
    clips = labelled(6, 6)
    base = {clip.id: 0.1 + 0.8 * clip.binary for clip in clips}
    grid = load_grid("swaps")
    rows = []
    for number, each in enumerate(grid.conditions):
        rows += rows_of(each.name, {clip: score + 0.01 * number for clip, score in base.items()})
    table = tabulate(grid, clips, rows, "d", samples=100)
    for swap in table.swaps:
        assert swap.largest_change.value == 0
        assert swap.largest_change.low < -0.1
        assert swap.below == "cannot tell"


def test_errors_and_what_breaks_a_detector_first() -> None:
    clips = labelled(30, 30)
    rng = np.random.default_rng(0)
    clean = {c.id: 0.2 + 0.6 * c.binary for c in clips}
    noise = {c.id: float(rng.random()) for c in clips}
    grid = Grid(
        "g",
        (
            NONE,
            Condition("a-1", "a", 1, (Blur(3),)),
            Condition("a-2", "a", 2, (Blur(5),)),
            Condition("b-1", "b", 1, (Contrast(0.5),)),
            Condition("b-2", "b", 2, (Contrast(0.2),)),
            Condition("other", "c", None, (Contrast(0.1),)),
        ),
    )
    rows = [row for name in ("none", "a-1", "b-1") for row in rows_of(name, dict(clean))]
    rows += rows_of("a-2", dict(noise)) + rows_of("other", dict(noise))
    # Under b-2 most clips show no face any more; the others are told apart.
    rows += rows_of("b-2", {c.id: clean[c.id] if c.id in ("s0", "p0") else None for c in clips})
    table = tabulate(grid, clips, rows, "d", samples=200)
    overall = table.overall
    assert overall is not None
    assert overall.families == ("a", "b")
    assert overall.broken_by == {"a": "a-2", "b": "b-2"}
    assert overall.first in ("a-2", "b-2")
    assert overall.clips == 2
    kept = [row for row in rows if row.condition != "b-2"]
    grid = Grid("g", tuple(each for each in grid.conditions if each.name != "b-2"))
    overall = tabulate(grid, clips, kept, "d", samples=200).overall
    assert overall is not None
    labels = [c.binary for c in clips]
    worst = 1 - auc(labels, [noise[c.id] for c in clips])
    assert overall.corruption_error is not None
    assert overall.relative_error is not None
    # (0 + worst) / 2 of one family, 0 of the other; the undistorted clips are told apart.
    assert overall.corruption_error.value == pytest.approx(worst / 4)
    assert overall.relative_error.value == pytest.approx(worst / 4)
    assert overall.first == "a-2"
    assert overall.corruption_error.low <= worst / 4 <= overall.corruption_error.high


@pytest.mark.usefixtures("faces")
def test_crops_are_changed_after_the_face_was_found(
    film_table: Path, untrained: Path, tmp_path: Path
) -> None:
    """A film blacked out shows no face; crops blacked out are scored."""
    black = Contrast(0)
    grid = Grid(
        "g",
        (
            NONE,
            Condition("film", "film", 1, (black,)),
            Condition("crops", "crops", 1, (black,), "crops"),
        ),
    )
    clips = read_clips(film_table)[:2]
    with Store(tmp_path / "rows.sqlite", "d") as store:
        rows = sweep(untrained, clips, film_table.parent, grid, store)
    by = {(row.clip, row.condition): row for row in rows}
    assert by[clips[0].id, "film"].status == "missing"
    assert by[clips[0].id, "crops"].status == "ok"
    assert by[clips[0].id, "crops"].score == by[clips[1].id, "crops"].score
    with pytest.raises(ConfigError, match="resize on crops"):
        Condition("small", "crops", 1, (Resize(0.5),), "crops")
