import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from obverse.clip import Clip
from obverse.datasets.card import corpus_card
from obverse.errors import ConfigError, InputError, ObverseError, OutputExistsError
from obverse.files import write_whole
from obverse.generator import corpus as module
from obverse.generator import scenes as scenes_module
from obverse.generator.corpus import build_corpus
from obverse.generator.evening import KEY_RATIO, sizes_of
from obverse.generator.plan import CorpusPlan, Scene, lay_out
from obverse.generator.scenes import (
    CLIPS,
    MASKS,
    RECORDS,
    WORK,
    SceneJob,
    moved_pixels,
)
from obverse.media.still import read_still
from obverse.media.video import probe, read_frames
from obverse.provenance.home import HOME_VARIABLE
from obverse.provenance.identity import SigningIdentity
from obverse.provenance.verify import verify
from obverse.watermark.extract import extract
from obverse.weights import sha256_file

PLAN = CorpusPlan(identities=3, voices=3, methods=("talk", "reenact"))
PLANNED = [clip_id for scene in lay_out(PLAN) for clip_id in scene.ids()]

Maker = Callable[[SceneJob], Mapping[str, str]]


@pytest.fixture(autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path_factory.mktemp("home")))


def _write(job: SceneJob, clip_id: str) -> None:
    """Leave what a clip leaves, without rendering it."""
    scene = job.scene
    assert isinstance(scene, Scene)
    take = next((take for take in scene.takes if take.id == clip_id), None)
    clip = Clip(
        id=clip_id,
        path=f"{CLIPS}/{clip_id}.mp4",
        label="pristine" if take is None else "synthetic",
        kind="rendered" if take is None else "generated",
        method=None if take is None else take.method,
        parents={} if take is None else {"twin": scene.twin.id},
        identity=scene.identity,
        speaker=scene.voice,
        split=scene.split,
        frames=50,
        mask_path=f"{MASKS}/{clip_id}.png",
        attributes={"presentation": "feminine"},
        rights="synthetic",
    )
    (job.folder / clip.path).write_text(clip_id)
    (job.folder / str(clip.mask_path)).write_text("mask")
    (job.folder / RECORDS).mkdir(parents=True, exist_ok=True)
    write_whole(job.folder / RECORDS / f"{clip_id}.json", json.dumps(clip.to_row()))


class _Maker:
    """Stands in for `make_scene`; remembers what it was asked for."""

    def __init__(self, fails: Mapping[str, str] | None = None) -> None:
        self.asked: list[str] = []
        self.fails = fails or {}

    def __call__(self, job: SceneJob) -> Mapping[str, str]:
        failures = {}
        for clip_id in job.scene.ids():
            if clip_id not in job.owed:
                continue
            self.asked.append(clip_id)
            if clip_id in self.fails:
                failures[clip_id] = self.fails[clip_id]
            else:
                _write(job, clip_id)
        return failures


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[_Maker], _Maker]:
    def install(maker: _Maker) -> _Maker:
        monkeypatch.setattr(module, "make_scene", maker)
        return maker

    return install


def _table(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "clips.parquet")


def test_a_corpus_is_a_folder(tmp_path: Path, use: Callable[[_Maker], _Maker]) -> None:
    use(_Maker())
    told: list[tuple[int, int, int]] = []
    report = build_corpus(
        PLAN, tmp_path / "c", workers=1, progress=lambda *counts: told.append(counts)
    )
    assert (report.made, len(report.clips), dict(report.failed)) == (len(PLANNED), len(PLANNED), {})
    names = sorted(path.name for path in report.folder.iterdir())
    assert names == ["card.md", "clips", "clips.parquet", "corpus.json", "masks"]
    assert told[0] == (0, 0, len(PLANNED))
    assert told[-1] == (len(PLANNED), 0, len(PLANNED))
    table = _table(report.folder)
    assert sorted(table["id"]) == sorted(PLANNED)
    assert list(table["id"]) == sorted(table["id"])  # the order says nothing of the label
    described = json.loads((report.folder / "corpus.json").read_text())
    assert described["complete"] is True
    assert CorpusPlan.from_dict(described["plan"]) == PLAN
    card = (report.folder / "card.md").read_text()
    assert "No identity, no voice and no source is in more than one split." in card
    assert "6 of 6 synthetic clips have their pristine twin here." in card


def test_the_card_tells_of_pristine_films_with_another_sound() -> None:
    about: dict[str, Any] = {"kind": "rendered", "identity": "sitter-1", "split": "test"}
    twin = Clip(id="a" * 32, path="a.mp4", label="pristine", speaker="one", **about)
    laid = twin.replace(
        id="b" * 32,
        sound="synthetic",
        sound_segments=((0.0, 1.0),),
        method="voiceover",
        parents={"twin": twin.id},
        speaker="two",  # who is heard may be another, and is then no fault of the pair
    )
    card = corpus_card([twin, laid], {}, tool="obverse", voices={})
    assert "| voiceover | 1 | 1 | 0 |" in card
    assert "1 clips are pristine films with another sound" in card
    assert "encoder settings, identity" in card
    coarser = laid.replace(encoder={**laid.encoder, "crf": 30.5})
    told = corpus_card([twin, coarser], {}, tool="obverse", voices={})
    assert "encoder settings but for the quality, identity" in told
    longer = corpus_card([twin, laid.replace(frames=9)], {}, tool="obverse", voices={})
    assert "Pairs that differ: frames in 1." in longer
    assert "another sound (`sound`" not in corpus_card([twin], {}, tool="obverse", voices={})


def test_another_speech_is_laid_over_the_twins_film(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No portrait is prepared for it, and the film is not touched but by the camera."""
    plan = CorpusPlan(identities=3, voices=3, methods=("voiceover",), seconds=1.6, size=128)
    scene = lay_out(plan)[0]
    film = [np.full((128, 128, 3), 120, np.uint8)] * 40
    made: list[tuple[Clip, list[Any], Any, Any]] = []

    def keep(
        _job: SceneJob, clip: Clip, frames: Any, mask: Any, sound: Any, inputs: Any, _registry: Any
    ) -> None:
        assert not mask.any()
        made.append((clip, list(frames), sound, inputs))

    monkeypatch.setattr(scenes_module, "release_scene_clip", keep)
    monkeypatch.setattr(scenes_module, "perform", lambda *_: None)
    monkeypatch.setattr(scenes_module, "_film", lambda *_: iter(film))
    monkeypatch.setattr(scenes_module, "_renderer", None)
    job = SceneJob(
        scene=scene,
        owed=frozenset(scene.ids()),
        folder=tmp_path,
        identity=SigningIdentity.default(),
        registry_url=None,
    )
    assert scenes_module.make_scene(job) == {}
    (twin, own, own_sound, _), (clip, frames, sound, inputs) = made
    assert (clip.label, clip.sound, clip.kind) == ("pristine", "synthetic", "rendered")
    assert (clip.method, twin.method) == ("voiceover", None)
    assert (twin.binary_av, clip.binary, clip.binary_av) == (0, 0, 1)
    assert clip.parents["twin"] == twin.id
    assert clip.parents["audio"] == sha256_file(inputs["audio"]) != twin.parents["audio"]
    for field in ("identity", "speaker", "split", "controls", "attributes"):
        assert getattr(clip, field) == getattr(twin, field)
    assert len(sound) == len(own_sound) == round(1.6 * 48_000)
    assert np.std(sound) == pytest.approx(np.std(own_sound), rel=0.05)
    assert abs(np.corrcoef(sound, own_sound)[0, 1]) < 0.3
    assert len(frames) == len(own)
    grain = [shown.astype(int) - 120 for shown in (frames[0], own[0])]
    assert all(0.3 < each.std() < 3 for each in grain)
    assert not np.array_equal(*grain)  # a camera of its own


def test_an_interrupted_run_goes_on_where_it_was(
    tmp_path: Path, use: Callable[[_Maker], _Maker]
) -> None:
    class StoppedError(Exception):
        pass

    def stop(there: int, _failed: int, _total: int) -> None:
        if there >= 4:
            raise StoppedError

    use(_Maker())
    with pytest.raises(StoppedError):
        build_corpus(PLAN, tmp_path / "c", workers=1, progress=stop)
    kept = {path.stem for path in (tmp_path / "c" / RECORDS).glob("*.json")}
    assert 4 <= len(kept) < len(PLANNED)
    second = use(_Maker())
    report = build_corpus(PLAN, tmp_path / "c", workers=1)
    assert sorted(second.asked) == sorted(set(PLANNED) - kept)
    assert sorted(_table(report.folder)["id"]) == sorted(PLANNED)


def test_a_clip_without_its_record_is_made_again_and_leavings_are_swept(
    tmp_path: Path, use: Callable[[_Maker], _Maker]
) -> None:
    use(_Maker(fails={PLANNED[-1]: "no"}))
    folder = tmp_path / "c"
    build_corpus(PLAN, folder, workers=1)
    (folder / RECORDS / f"{PLANNED[1]}.json").unlink()
    (folder / "clips.parquet").unlink()
    (folder / CLIPS / ".release-ab12cd_9").mkdir()
    (folder / CLIPS / ".release-ab12cd_9" / "encoded.mp4").write_text("x")
    (folder / MASKS / ".draft-ab12cd_9.png").write_text("x")
    (folder / RECORDS / ".draft-ab12cd_9.tmp").write_text("{")
    (folder / ".draft-ab12cd_9.tmp").write_text("{")
    again = use(_Maker())
    report = build_corpus(PLAN, folder, workers=1)
    assert sorted(again.asked) == sorted([PLANNED[1], PLANNED[-1]])
    assert not list(folder.rglob(".*"))
    assert len(report.clips) == len(PLANNED)


def test_a_finished_corpus_has_nothing_left_to_do(
    tmp_path: Path, use: Callable[[_Maker], _Maker]
) -> None:
    use(_Maker())
    build_corpus(PLAN, tmp_path / "c", workers=1)
    again = use(_Maker())
    report = build_corpus(PLAN, tmp_path / "c", workers=1)
    assert (again.asked, report.made, len(report.clips)) == ([], 0, len(PLANNED))


def test_a_lost_twin_is_made_again_with_its_takes(
    tmp_path: Path, use: Callable[[_Maker], _Maker]
) -> None:
    use(_Maker())
    build_corpus(PLAN, tmp_path / "c", workers=1)
    scene = lay_out(PLAN)[0]
    (tmp_path / "c" / CLIPS / f"{scene.twin.id}.mp4").unlink()
    again = use(_Maker())
    build_corpus(PLAN, tmp_path / "c", workers=1)
    assert sorted(again.asked) == sorted(scene.ids())


def test_a_clip_that_fails_is_reported_and_the_others_go_on(
    tmp_path: Path, use: Callable[[_Maker], _Maker]
) -> None:
    failing = lay_out(PLAN)[0].takes[0].id
    use(_Maker(fails={failing: "the mark was not read back."}))
    report = build_corpus(PLAN, tmp_path / "c", workers=1)
    assert dict(report.failed) == {failing: "the mark was not read back."}
    assert len(report.clips) == len(PLANNED) - 1
    assert failing not in set(_table(report.folder)["id"])
    described = json.loads((report.folder / "corpus.json").read_text())
    assert described["complete"] is False
    assert described["failed"] == dict(report.failed)
    again = use(_Maker())
    assert build_corpus(PLAN, tmp_path / "c", workers=1).made == 1
    assert again.asked == [failing]


def test_an_error_nobody_foresaw_is_reported(
    tmp_path: Path, use: Callable[[_Maker], _Maker], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = _Maker()

    def maker(job: SceneJob) -> Mapping[str, str]:
        if job.scene == lay_out(PLAN)[1]:
            raise ZeroDivisionError("by zero")
        return good(job)

    monkeypatch.setattr(module, "make_scene", maker)
    report = build_corpus(PLAN, tmp_path / "c", workers=1)
    assert set(report.failed) == set(lay_out(PLAN)[1].ids())
    assert set(report.failed.values()) == {"ZeroDivisionError: by zero"}


def test_another_plan_is_refused_and_force_starts_anew(
    tmp_path: Path, use: Callable[[_Maker], _Maker]
) -> None:
    use(_Maker())
    build_corpus(PLAN, tmp_path / "c", workers=1)
    other = CorpusPlan(identities=3, voices=3, seed=5)
    with pytest.raises(OutputExistsError, match="another plan"):
        build_corpus(other, tmp_path / "c", workers=1)
    assert sorted(_table(tmp_path / "c")["id"]) == sorted(PLANNED)
    report = build_corpus(other, tmp_path / "c", workers=1, force=True)
    assert {path.stem for path in (tmp_path / "c" / CLIPS).iterdir()} == {
        c.id for c in report.clips
    }


def test_a_folder_with_something_else_in_it_is_refused(
    tmp_path: Path, use: Callable[[_Maker], _Maker]
) -> None:
    use(_Maker())
    (tmp_path / "thesis.tex").write_text("x")
    for force in (False, True):
        with pytest.raises(OutputExistsError, match=r"thesis\.tex"):
            build_corpus(PLAN, tmp_path, workers=1, force=force)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(OutputExistsError):
        build_corpus(PLAN, tmp_path / "thesis.tex", workers=1)


def _content(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text(errors="replace")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"mine: {name}")


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        "card.md",
        "clips/holiday.mp4",
        "clips.parquet",
        "masks/carnival.png",
        ".work/essay.txt",
        ".work/lock",
        ".git/HEAD",
    ],
)
def test_somebody_elses_files_under_our_names_are_refused(
    tmp_path: Path, use: Callable[[_Maker], _Maker], name: str, force: bool
) -> None:
    use(_Maker())
    _put(tmp_path, name)
    before = _content(tmp_path)
    with pytest.raises(OutputExistsError, match="name an empty or a new folder") as raised:
        build_corpus(PLAN, tmp_path, workers=1, force=force)
    assert name.split("/")[0] in str(raised.value)
    assert _content(tmp_path) == before


def test_a_folder_of_a_run_killed_at_once_is_gone_on_with(
    tmp_path: Path, use: Callable[[_Maker], _Maker]
) -> None:
    use(_Maker())
    (tmp_path / WORK).mkdir()
    (tmp_path / WORK / "lock").touch()
    (tmp_path / ".draft-ab12cd_9.tmp").write_text("{")
    assert len(build_corpus(PLAN, tmp_path, workers=1).clips) == len(PLANNED)
    assert not list(tmp_path.glob(".*"))


def test_only_our_own_leftovers_are_removed(
    tmp_path: Path, use: Callable[[_Maker], _Maker]
) -> None:
    use(_Maker(fails={PLANNED[-1]: "no"}))
    folder = tmp_path / "c"
    build_corpus(PLAN, folder, workers=1)
    mine = [".git/HEAD", ".notes", "README.txt", ".release-notes", ".draft-of-mine.tmp"]
    mine += ["clips/.notes", "clips/.git/HEAD", "clips/notes.txt", "masks/.notes"]
    _put(folder, *mine)
    use(_Maker())
    build_corpus(PLAN, folder, workers=1)
    build_corpus(CorpusPlan(identities=3, voices=3, seed=5), folder, workers=1, force=True)
    there = _content(folder)
    assert {name: there.get(name) for name in mine} == {name: f"mine: {name}" for name in mine}


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"tool": "word counter 2", "plan": {}}', '{"tool": "obverse 1"}']
)
def test_a_description_that_is_damaged_or_not_ours_is_refused(
    tmp_path: Path, text: str, force: bool
) -> None:
    _put(tmp_path, "clips/holiday.mp4")
    (tmp_path / "corpus.json").write_text(text)
    before = _content(tmp_path)
    with pytest.raises((InputError, OutputExistsError), match="name an empty") as raised:
        build_corpus(PLAN, tmp_path, workers=1, force=force)
    assert "\n" not in str(raised.value)
    assert _content(tmp_path) == before


def test_two_runs_do_not_share_a_folder(tmp_path: Path, use: Callable[[_Maker], _Maker]) -> None:
    class Meddler(_Maker):
        def __call__(self, job: SceneJob) -> Mapping[str, str]:
            with pytest.raises(ConfigError, match="another run"):
                build_corpus(PLAN, tmp_path / "c", workers=1)
            return super().__call__(job)

    use(Meddler())
    assert not build_corpus(PLAN, tmp_path / "c", workers=1).failed


@pytest.mark.parametrize(
    ("place", "registry", "words"),
    [
        ("file/c", None, "cannot be written to"),
        ("new/c", "sqlite:////dev/null/registry.sqlite", "cannot be opened"),
        ("there", "sqlite:////dev/null/registry.sqlite", "cannot be opened"),
        ("there/thesis", None, "thesis"),
    ],
)
def test_a_refused_run_makes_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    use: Callable[[_Maker], _Maker],
    place: str,
    registry: str | None,
    words: str,
) -> None:
    use(_Maker())
    home, out = tmp_path / "home", tmp_path / "out"
    monkeypatch.setenv(HOME_VARIABLE, str(home))
    _put(out, "file")
    (out / "there").mkdir()
    if place.endswith("thesis"):
        _put(out, "there/thesis/thesis.tex")
    before = sorted(out.rglob("*"))
    with pytest.raises(ObverseError, match=words):
        build_corpus(PLAN, out / place, workers=1, registry_url=registry)
    assert sorted(out.rglob("*")) == before
    assert not home.exists()


def test_no_workers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="workers is 0"):
        build_corpus(PLAN, tmp_path / "c", workers=0)
    assert not (tmp_path / "c").exists()


def test_moved_pixels_have_no_holes_and_no_dust() -> None:
    difference = np.zeros((128, 128), np.uint8)
    difference[32:96, 32:96] = 9
    difference[60:70, 60:70] = 0  # a smooth cheek
    difference[5:120:7, 5] = 2  # rounding
    moved = moved_pixels(difference)
    assert set(np.unique(moved)) == {0, 255}
    assert (moved == 255).sum() == 64 * 64
    assert moved[65, 65] == 255


# --- the whole thing
# ---------------------------------------------------------------------------------------------


def _run(folder: Path, home: Path, *options: str) -> "subprocess.Popen[bytes]":
    command = [
        sys.executable,
        "-c",
        "from obverse.cli import main; main()",
        "corpus",
        "-o",
        str(folder),
        *options,
    ]
    environment = os.environ | {HOME_VARIABLE: str(home)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_corpus_survives_kill_9_and_keeps_its_promises(tmp_path: Path) -> None:
    folder, home = tmp_path / "c", tmp_path / "home"
    options = ["--identities", "3", "--voices", "3", "--methods", "talk,reenact"]
    options += ["--size", "256", "--seconds", "1.6", "--workers", "2"]
    run = _run(folder, home, *options)
    for _ in range(6000):
        if len(list((folder / RECORDS).glob("*.json"))) >= 2 or run.poll() is not None:
            break
        time.sleep(0.05)
    assert run.poll() is None
    run.send_signal(signal.SIGKILL)
    run.wait()
    time.sleep(1.0)  # the workers notice at once
    records = {path.name: path.read_bytes() for path in (folder / RECORDS).glob("[!.]*.json")}
    assert records
    finished = {
        name[:-5]: (folder / CLIPS / f"{name[:-5]}.mp4").stat().st_mtime_ns for name in records
    }

    assert _run(folder, home, *options).wait() == 0
    for clip_id, when in finished.items():
        assert (
            folder / CLIPS / f"{clip_id}.mp4"
        ).stat().st_mtime_ns == when  # nothing was made twice
    clips = {clip.id: clip for clip in (Clip.from_row(row) for row in _rows(folder))}
    assert len(clips) == 9
    assert sorted(path.stem for path in (folder / CLIPS).iterdir()) == sorted(clips)
    assert sorted(path.stem for path in (folder / MASKS).iterdir()) == sorted(clips)
    assert not (folder / WORK).exists()
    os.environ[HOME_VARIABLE] = str(home)
    for clip in clips.values():
        _keeps_its_promises(folder, clip, clips)


def _rows(folder: Path) -> list[dict[str, Any]]:
    return [
        {str(name): cell for name, cell in row.items()} for row in _table(folder).to_dict("records")
    ]


def _keeps_its_promises(folder: Path, clip: Clip, clips: Mapping[str, Clip]) -> None:
    path = folder / clip.path
    assert sha256_file(path) == clip.sha256
    report = verify(path)
    assert report.state == "trusted"
    assert report.label["label"] == clip.label
    assert extract(path).payload == report.payload == int(str(clip.mark), 16)
    mask = read_still(folder / str(clip.mask_path))[..., 0]
    assert mask.shape == (clip.height, clip.width)
    assert clip.rights == "synthetic"
    assert clip.attributes
    info = probe(path)
    if clip.label == "pristine":
        assert (clip.fake_segments, clip.kind, mask.max()) == ((), "rendered", 0)
        return
    assert clip.fake_segments == ((0.0, clip.seconds),)
    twin = clips[clip.parents["twin"]]
    for field in (
        "frames",
        "width",
        "height",
        "identity",
        "speaker",
        "split",
        "controls",
    ):
        assert getattr(clip, field) == getattr(twin, field)
    sizes, wanted = (sizes_of(folder / each.path) for each in (clip, twin))
    assert abs(sum(sizes) / sum(wanted) - 1) < 0.1
    if clip.encoder["key_ratio"] not in KEY_RATIO:  # where key frames may be no coarser, or finer
        assert abs(sizes.keys / sum(sizes) - wanted.keys / sum(wanted)) < 0.03
    other = probe(folder / twin.path)
    assert (info.codec, info.pixel_format, info.fps, info.seconds) == (
        other.codec,
        other.pixel_format,
        other.fps,
        other.seconds,
    )
    # Something moved, and what did not move is the still's own.
    assert 0.02 < (mask > 0).mean() < 0.98
    frames = np.stack(list(read_frames(path))).astype(int)
    spread = np.ptp(frames, axis=0).max(-1)
    assert spread[mask > 0].mean() > 2 * spread[mask == 0].mean()
