"""A recording becomes a pristine clip and its synthetic twins: one view, one length, one sound."""

import json
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from obverse.clip import Clip
from obverse.datasets.split import find_leaks
from obverse.errors import FaceError, InputError, OutputExistsError
from obverse.faces.landmarks import Face, FaceReader
from obverse.faces.pose import canonical_face
from obverse.generator import recorded_scenes as module
from obverse.generator.corpus import build_corpus
from obverse.generator.generate import generate_sitter
from obverse.generator.recorded_scenes import choose_view, make_recorded_scene
from obverse.generator.recordings import lay_out_recordings, plan_recordings
from obverse.generator.scenes import SceneJob
from obverse.generator.voices import list_voices, voice_path
from obverse.media.audio import read_speech, write_wav
from obverse.media.still import read_still
from obverse.media.video import VideoWriter, read_frames
from obverse.provenance.home import HOME_VARIABLE
from obverse.provenance.identity import SigningIdentity
from obverse.provenance.verify import verify
from obverse.watermark.extract import extract
from obverse.weights import sha256_file

WIDTH, HEIGHT, FRAMES = 320, 240, 36
Image = npt.NDArray[np.uint8]


@pytest.fixture(autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path_factory.mktemp("home")))


class _Reader(FaceReader):
    """Sees a face where the picture's brightest red is, as large as its blue tells."""

    def __init__(self, several: bool = False) -> None:
        self.several = several

    def read(self, image: Image, *, drawn: bool = False) -> list[Face]:
        del drawn
        if image[..., 0].max() < 200:
            return []
        row, column = np.unravel_index(int(image[..., 0].argmax()), image.shape[:2])
        mesh = canonical_face().vertices * 24 + np.array([column, row, 0])
        landmarks = np.concatenate([mesh, np.tile(mesh[:1], (10, 1))]).astype(np.float32)
        box = np.concatenate([mesh[:, :2].min(0), mesh[:, :2].max(0)]).astype(np.float32)
        face = Face(box, 0.9, landmarks, 0.99, np.zeros(52, np.float32))
        return [face, face] if self.several else [face]


def _film(
    path: Path,
    columns: list[int | None],
    sound: bool = True,
    fps: float = 25.0,
    pitch: float = 1 / 8,
) -> Path:
    """Write a film with a red dot in each frame, at the column told; None: no dot."""
    samples = 0.3 * np.sin(np.arange(round(len(columns) / fps * 16000)) * pitch).astype(np.float32)
    with VideoWriter(path, WIDTH, HEIGHT, fps, None, samples if sound else None, 16000) as writer:
        for column in columns:
            frame = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
            if column is not None:
                frame[116:124, column - 4 : column + 4] = (255, 60, 60)
            writer.write(frame)
    return path


def test_the_square_holds_the_head_all_the_time(tmp_path: Path) -> None:
    still = choose_view(_film(tmp_path / "a.mp4", [160] * FRAMES), None, _Reader())
    assert still.frames == FRAMES
    assert still.still.shape[0] == still.still.shape[1] == still.window[2]
    columns = range(100, 100 + 4 * FRAMES, 4)
    moving = choose_view(_film(tmp_path / "b.mp4", [*columns]), None, _Reader())
    assert moving.window[2] > still.window[2]
    x0, y0, side = moving.window
    assert x0 >= 0
    assert x0 + side <= WIDTH
    assert 0 <= y0 <= HEIGHT - side
    assert x0 < columns[0] < columns[24] < x0 + side  # at the first look and at the last


def test_only_so_much_is_shown_and_at_one_rate(tmp_path: Path) -> None:
    path = _film(tmp_path / "a.mp4", [160] * 60, fps=30.0)
    assert choose_view(path, None, _Reader()).frames == 50
    assert choose_view(path, 0.8, _Reader()).frames == 20


def test_what_shows_nobody_throughout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FaceError, match="shows a face in 0 of 3 looks"):
        choose_view(_film(tmp_path / "a.mp4", [None] * FRAMES), None, _Reader())
    with pytest.raises(FaceError, match="in 1 of 3 looks"):
        choose_view(_film(tmp_path / "b.mp4", [160] * 5 + [None] * 31), None, _Reader())
    with pytest.raises(InputError, match="at least"):
        choose_view(_film(tmp_path / "c.mp4", [160] * 5), None, _Reader())


def test_a_second_face_is_warned_of(tmp_path: Path) -> None:
    path = _film(tmp_path / "a.mp4", [160] * FRAMES)
    assert choose_view(path, None, _Reader()).warnings == ()
    (warning,) = choose_view(path, None, _Reader(several=True)).warnings
    assert "more than one face" in warning


Made = list[tuple[Clip, list[Image], npt.NDArray[np.float32] | None, dict[str, Path]]]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    """Stand in for the door: keep what goes through it."""
    kept: Made = []

    def keep(
        _job: SceneJob, clip: Clip, frames: Iterator[Image], _mask: Any, sound: Any,
        inputs: dict[str, Path], _registry: Any,
    ) -> None:  # fmt: skip
        kept.append((clip, list(frames), sound, inputs))

    monkeypatch.setattr(module, "release_scene_clip", keep)
    monkeypatch.setattr(module, "_reader", lambda: _Reader())
    return kept


def _job(folder: Path, out: Path, owed: int | None = None, **settings: object) -> SceneJob:
    chosen = {"split": {"train": 1.0}, "size": 128} | settings
    scene = lay_out_recordings(*plan_recordings(folder, "consented", chosen))[0]
    return SceneJob(
        scene=scene,
        owed=frozenset(scene.ids()[:owed]),
        folder=out,
        identity=SigningIdentity.default(),
        registry_url=None,
    )


def test_the_twin_is_the_recording_in_the_square(tmp_path: Path, made: Made) -> None:
    (tmp_path / "in").mkdir()
    source = _film(tmp_path / "in" / "a.mp4", [160] * FRAMES)
    assert make_recorded_scene(_job(tmp_path / "in", tmp_path, owed=1, seconds=1.0)) == {}
    ((clip, frames, sound, inputs),) = made
    assert (clip.label, clip.kind, clip.method) == ("pristine", "camera", None)
    assert clip.rights == "consented"
    assert inputs == {"source": source}  # its manifest says that it was recorded, and of what
    assert clip.identity == clip.speaker
    assert clip.seed is None
    assert "a.mp4" not in str(clip.to_row())
    assert len(frames) == 25
    assert frames[0].shape == (128, 128, 3)
    assert sound is not None
    assert len(sound) == 48_000  # as long as the picture
    assert np.abs(sound).max() > 0.2
    assert frames[0][..., 0].max() > 200


def test_a_silent_recording_has_a_silent_twin_and_speaks_nothing(
    tmp_path: Path, made: Made
) -> None:
    (tmp_path / "in").mkdir()
    _film(tmp_path / "in" / "a.mp4", [160] * FRAMES, sound=False)
    failures = make_recorded_scene(_job(tmp_path / "in", tmp_path, methods=["talk"]))
    assert [sound for _, _, sound, _ in made] == [None]
    (why,) = failures.values()
    assert "has no sound that could be spoken; choose reenact or swap" in why


def _loudest_hz(sound: npt.NDArray[np.float32]) -> float:
    return float(np.abs(np.fft.rfft(sound)).argmax() * 48_000 / len(sound))


def test_another_persons_sound_is_laid_over_the_recording(tmp_path: Path, made: Made) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    films = [
        _film(folder / "a.mp4", [160] * FRAMES, pitch=1 / 8),
        _film(folder / "b.mp4", [150] * 20, pitch=1 / 4),
    ]
    assert make_recorded_scene(_job(folder, tmp_path, methods=["voiceover"])) == {}
    (twin, own, own_sound, _), (clip, frames, sound, inputs) = made
    assert (clip.label, clip.sound, clip.kind) == ("pristine", "synthetic", "camera")
    assert (clip.binary, clip.binary_av) == (0, 1)
    assert clip.method == "voiceover"
    assert clip.identity == twin.identity
    assert clip.donor == clip.speaker != twin.speaker
    assert clip.parents["twin"] == twin.id
    assert clip.parents["source"] == twin.parents["source"] != clip.parents["voice"]
    assert clip.seed is None
    assert inputs["source"] in films
    assert sha256_file(inputs["audio"]) == clip.parents["audio"]
    assert np.array_equal(own, frames)
    assert sound is not None
    assert own_sound is not None
    assert len(sound) == len(own_sound)
    assert np.std(sound) == pytest.approx(np.std(own_sound), rel=0.01)
    heard, before = _loudest_hz(sound), _loudest_hz(own_sound)
    assert max(heard / before, before / heard) == pytest.approx(2, rel=0.05)
    assert find_leaks([twin, clip]) == []


def test_a_recording_without_sound_is_laid_over_nothing(tmp_path: Path, made: Made) -> None:
    (tmp_path / "in").mkdir()
    for name, column in (("a", 160), ("b", 150)):
        _film(tmp_path / "in" / f"{name}.mp4", [column] * FRAMES, sound=name == "a")
    (why,) = make_recorded_scene(_job(tmp_path / "in", tmp_path, methods=["voiceover"])).values()
    assert "b.mp4 has no sound, and voiceover replaces one recording's by another's" in why
    assert len(made) == 1


def test_without_the_twin_there_is_no_take(tmp_path: Path, made: Made) -> None:
    (tmp_path / "in").mkdir()
    _film(tmp_path / "in" / "a.mp4", [None] * FRAMES)
    failures = make_recorded_scene(_job(tmp_path / "in", tmp_path, methods=["talk", "reenact"]))
    assert len(failures) == 3
    assert made == []


@pytest.mark.slow
def test_recordings_become_a_corpus(tmp_path: Path) -> None:
    """The whole way, with a rendered sitter in place of a person."""
    voice = list_voices()[0]
    speech = tmp_path / "speech.wav"
    with wave.open(str(speech), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(16_000)
        heard = read_speech(voice_path(voice.id, 0), 16_000)[:24_000]
        stream.writeframes((heard * 32767).astype("<i2").tobytes())
    (tmp_path / "in" / "Ann").mkdir(parents=True)
    generate_sitter(5, speech, tmp_path / "in" / "Ann" / "take.mp4", size=320)
    settings = {"methods": ["talk", "reenact"], "size": 256, "split": {"train": 1.0}}
    plan, sources = plan_recordings(tmp_path / "in", "synthetic", settings, people=True)
    report = build_corpus(plan, tmp_path / "c", sources=sources, workers=1)
    assert dict(report.failed) == {}
    twin, *takes = sorted(report.clips, key=lambda clip: clip.binary)
    assert [take.method for take in sorted(takes, key=lambda c: str(c.method))] == [
        "reenact",
        "talk",
    ]
    for clip in report.clips:
        path = tmp_path / "c" / clip.path
        assert verify(path).state == "trusted"
        assert f"{extract(path).payload:016x}" == clip.mark
        assert (clip.width, clip.height) == (256, 256)
        assert clip.frames == twin.frames
        assert clip.encoder.keys() == twin.encoder.keys()
        mask = read_still(tmp_path / "c" / str(clip.mask_path))
        assert (mask.max() > 0) == (clip.label == "synthetic")
    assert find_leaks(report.clips) == []
    assert verify(tmp_path / "c" / twin.path).digital_source_type is None  # we only encoded it
    # The pristine clip shows the recording, and the synthetic ones the same square of it.
    first = next(read_frames(tmp_path / "c" / twin.path))
    for take in takes:
        shown = next(read_frames(tmp_path / "c" / take.path))
        assert np.abs(shown.astype(int) - first).mean() < 20
    described = json.loads((tmp_path / "c" / "corpus.json").read_text())
    assert described["complete"] is True
    assert "Ann" not in json.dumps(described)
    assert "2 of 2 synthetic clips have their pristine twin here. All pairs agree" in (
        (tmp_path / "c" / "card.md").read_text()
    )
    again = build_corpus(plan, tmp_path / "c", sources=sources, workers=1)
    assert again.made == 0
    other, more = plan_recordings(tmp_path / "in", "consented", settings, people=True)
    with pytest.raises(OutputExistsError, match="another plan"):
        build_corpus(other, tmp_path / "c", sources=more, workers=1)


@pytest.mark.slow
def test_recordings_are_edited_and_faces_lent(tmp_path: Path) -> None:
    heard = read_speech(voice_path(list_voices()[0].id, 0), 48_000)[:60_000]
    (tmp_path / "in").mkdir()
    write_wav(tmp_path / "speech.wav", heard, 48_000)
    for seed in (5, 9):
        generate_sitter(seed, tmp_path / "speech.wav", tmp_path / "in" / f"{seed}.mp4", size=320)
    settings = {"methods": ["dub", "swap"], "size": 256, "split": {"train": 1.0}}
    plan, sources = plan_recordings(tmp_path / "in", "synthetic", settings)
    report = build_corpus(plan, tmp_path / "c", sources=sources, workers=1)
    assert dict(report.failed) == {}
    twins = {clip.id: clip for clip in report.clips if clip.label == "pristine"}
    people = {clip.identity for clip in twins.values()}
    shares: dict[str, float] = {}
    for clip in report.clips:
        if clip.label == "pristine":
            continue
        twin = twins[clip.parents["twin"]]
        assert clip.parents["film"] == twin.parents["source"]
        assert clip.donor == (
            next(iter(people - {clip.identity})) if clip.method == "swap" else None
        )
        assert verify(tmp_path / "c" / clip.path).state == "trusted"
        mask = read_still(tmp_path / "c" / str(clip.mask_path)) > 0
        shares[str(clip.method)] = float(mask.mean())
        pair = [next(read_frames(tmp_path / "c" / each.path)) for each in (clip, twin)]
        off = np.abs(pair[0].astype(int) - pair[1]).mean(-1)
        edited = mask if mask.ndim == 2 else mask.any(-1)
        # Apart from two marks and the encoder, the film is its own but where the mask says.
        assert off[~edited].mean() < 0.5 * off[edited].mean()
    assert 0.02 < shares["dub"] < shares["swap"] < 0.4
    assert find_leaks(report.clips) == []
