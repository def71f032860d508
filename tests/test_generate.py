"""The public calls that make clips: what they return was released, and what they refuse leaves
nothing.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from obverse.clip import Clip
from obverse.errors import (
    ConfigError,
    FaceError,
    InputError,
    ObverseError,
    OutputExistsError,
    RightsError,
)
from obverse.generator.generate import SOUND_HZ, generate, generate_sitter, sitter_still
from obverse.generator.methods import METHODS, NEEDS, method_named
from obverse.generator.motion import Motion
from obverse.generator.performance import PerformanceConfig, perform
from obverse.generator.reenact import fitted_to
from obverse.generator.sitters.sitter import Sitter
from obverse.generator.speech import read_speech_features
from obverse.generator.voices import read_voice
from obverse.media.audio import read_speech, write_wav
from obverse.media.still import read_still, write_still
from obverse.media.video import probe, read_frames
from obverse.provenance.home import HOME_VARIABLE
from obverse.provenance.registry import Registry
from obverse.provenance.verify import verify
from obverse.watermark.extract import extract, extract_frames
from obverse.weights import sha256_file

SECONDS = 1.2
FRAMES = 30
SIZE = 256


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv(HOME_VARIABLE, str(folder))
        yield folder


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("speech") / "voice.wav"
    samples = read_voice("flite-slt", 0, SOUND_HZ)
    write_wav(path, samples[: round(SECONDS * SOUND_HZ)], SOUND_HZ)
    return path


@pytest.fixture(scope="module")
def portrait(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("portrait") / "face.png"
    write_still(path, Sitter.from_seed(3).still(512))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def clip(folder: Path, portrait: Path, speech: Path) -> Clip:
    told: list[tuple[int, int]] = []
    made = generate(
        portrait,
        speech,
        folder / "talk.mp4",
        rights="synthetic",
        size=SIZE,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(index + 1, FRAMES) for index in range(FRAMES)]
    return made


@pytest.fixture(scope="module")
def pristine(folder: Path, speech: Path) -> Clip:
    return generate_sitter(3, speech, folder / "sitter.mp4", size=SIZE)


def test_a_generated_clip_says_what_it_is(clip: Clip, portrait: Path, speech: Path) -> None:
    path = Path(clip.path)
    report, reading = verify(path), extract(path)
    assert (report.state, reading.present) == ("trusted", True)
    assert reading.payload == report.payload == int(str(clip.mark), 16)
    assert report.digital_source_type == "trainedAlgorithmicMedia"
    assert {item.role: item.sha256 for item in report.ingredients} == {
        "portrait": sha256_file(portrait),
        "audio": sha256_file(speech),
    }
    assert report.label["rights"] == "synthetic"
    assert (clip.label, clip.kind, clip.method) == ("synthetic", "generated", "talk")
    assert (clip.frames, clip.width, clip.height) == (FRAMES, SIZE, SIZE)
    assert clip.fake_segments == ((0.0, SECONDS),)
    with Registry() as registry:
        assert registry.by_payload(int(str(clip.mark), 16))[0].clip_id == clip.id


def test_a_generated_clip_moves_and_sounds(clip: Clip, speech: Path) -> None:
    path = Path(clip.path)
    assert probe(path).has_audio
    heard, said = read_speech(path, 16000), read_speech(speech, 16000)
    length = min(len(heard), len(said))
    assert np.corrcoef(heard[:length], said[:length])[0, 1] > 0.95
    frames = np.stack(list(read_frames(path))).astype(int)
    face = np.ptp(frames[:, SIZE // 4 : -SIZE // 4, SIZE // 4 : -SIZE // 4], axis=0)
    corner = np.ptp(frames[:, : SIZE // 8, : SIZE // 8], axis=0)
    assert face.mean() > 3 * corner.mean()


@pytest.mark.slow
def test_the_same_inputs_give_the_same_clip_and_another_seed_another(
    clip: Clip, tmp_path: Path, portrait: Path, speech: Path
) -> None:
    again = generate(portrait, speech, tmp_path / "a.mp4", rights="synthetic", size=SIZE)
    other = generate(portrait, speech, tmp_path / "b.mp4", rights="synthetic", size=SIZE, seed=1)
    assert (again.id, again.mark) == (clip.id, clip.mark)
    assert other.id != clip.id
    first = list(read_frames(tmp_path / "a.mp4"))
    assert all(
        np.array_equal(one, two)
        for one, two in zip(first, read_frames(Path(clip.path)), strict=True)
    )
    second = list(read_frames(tmp_path / "b.mp4"))
    assert (
        np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(first, second, strict=True)])
        > 0.2
    )


def test_reenactment_follows_a_performance(tmp_path: Path, portrait: Path, speech: Path) -> None:
    still = Motion.still(10)
    clip = generate(
        portrait,
        speech,
        tmp_path / "a.mp4",
        rights="synthetic",
        size=SIZE,
        method="reenact",
        driving=still,
    )
    assert (clip.method, clip.frames) == ("reenact", FRAMES)
    frames = np.stack(list(read_frames(tmp_path / "a.mp4"))).astype(int)
    assert np.ptp(frames, axis=0).mean() < 3  # held still: only coding noise moves


def test_what_was_asked_and_followed_is_on_record(
    tmp_path: Path, clip: Clip, portrait: Path, speech: Path
) -> None:
    still = tmp_path / "still.npz"
    Motion.still(5).save(still)
    controls = PerformanceConfig(
        emotion=(("happy", 0.5),),
        gaze=(5.0, 0.0),
        blink_rate_hz=0.0,
        distance=1.2,
        timeline=(("gaze_yaw", ((0.0, 5.0), (1.0, 0.0))),),
    )
    made = generate(
        portrait,
        speech,
        tmp_path / "a.mp4",
        rights="synthetic",
        size=SIZE,
        controls=controls,
        pose=still,
        expression=Motion.still(4),
    )
    assert made.id != clip.id
    report = verify(Path(made.path))
    recorded = {field.name for field in dataclasses.fields(PerformanceConfig)}
    told = {name: v for name, v in report.label["controls"].items() if name in recorded}
    assert PerformanceConfig.from_dict(told) == controls
    assert {item.role: item.sha256 for item in report.ingredients} == {
        "portrait": sha256_file(portrait),
        "audio": sha256_file(speech),
        "pose": sha256_file(still),
    }
    assert made.parents["pose"] == sha256_file(still)
    assert any("distance 1.2" in text for text in made.warnings)
    with pytest.raises(ConfigError, match="input"):
        generate(
            portrait, speech, Path(made.path), rights="synthetic", driving=Path(made.path),
            method="reenact", force=True,
        )  # fmt: skip


def test_a_sitter_is_pristine_and_released(pristine: Clip) -> None:
    path = Path(pristine.path)
    report = verify(path)
    assert report.state == "trusted"
    assert extract(path).payload == report.payload == int(str(pristine.mark), 16)
    assert report.digital_source_type == "algorithmicMedia"
    assert (pristine.label, pristine.kind, pristine.method) == ("pristine", "rendered", None)
    assert (pristine.identity, pristine.rights) == ("sitter-3", "synthetic")
    assert pristine.fake_segments == ()
    assert pristine.attributes == Sitter.from_seed(3).attributes
    assert (pristine.frames, pristine.width) == (FRAMES, SIZE)


@pytest.mark.slow
def test_a_sitters_still_is_released(tmp_path: Path) -> None:
    path = tmp_path / "face.png"
    clip = sitter_still(3, path)
    report, reading = verify(path), extract_frames([read_still(path)])
    assert report.state == "trusted"
    assert reading.payload == report.payload == int(str(clip.mark), 16)
    plain = Sitter.from_seed(3).still(512).astype(int)
    assert 0 < np.abs(read_still(path) - plain).mean() < 3
    with pytest.raises(OutputExistsError):
        sitter_still(3, path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"rights": "found it"}, RightsError, "public-domain"),
        ({"rights": ""}, RightsError, "public-domain"),
        ({"method": "morph"}, ConfigError, "talk, reenact, dub, swap"),
        ({"method": "dub"}, ConfigError, "edits a film.*obverse corpus --methods dub"),
        ({"method": "swap"}, ConfigError, "edits a film.*choose talk or reenact"),
        ({"method": "voiceover"}, ConfigError, "makes no picture.*--methods voiceover"),
        ({"method": "reenact"}, ConfigError, "performance"),
        ({"driving": Motion.still(3)}, ConfigError, "reenact"),
        (
            {
                "method": "reenact",
                "driving": Motion.still(3),
                "controls": PerformanceConfig(distance=1.2),
            },
            ConfigError,
            "talk",
        ),
        ({"pose": Path("no.npz")}, InputError, "no.npz"),
        ({"size": 511}, ConfigError, "511"),
        ({"face": 2}, FaceError, "face 2"),
        ({"face": 0}, FaceError, "face 0"),
        ({"framing": "tight"}, ConfigError, "tight"),
    ],
)
def test_what_cannot_be_done_leaves_nothing(
    tmp_path: Path,
    portrait: Path,
    speech: Path,
    changes: dict[str, object],
    error: type[ObverseError],
    message: str,
) -> None:
    arguments: dict[str, object] = {"rights": "synthetic", "size": SIZE} | changes
    with pytest.raises(error, match=message) as raised:
        generate(portrait, speech, tmp_path / "a.mp4", **arguments)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_inputs_that_are_not_there_are_named(tmp_path: Path, portrait: Path, speech: Path) -> None:
    for face, voice in ((tmp_path / "no.png", speech), (portrait, tmp_path / "no.wav")):
        with pytest.raises(InputError, match=r"no\.(png|wav)"):
            generate(face, voice, tmp_path / "a.mp4", rights="synthetic")
    blank = tmp_path / "blank.png"
    write_still(blank, np.full((256, 256, 3), 128, np.uint8))
    with pytest.raises(FaceError, match="no face"):
        generate(blank, speech, tmp_path / "a.mp4", rights="synthetic")
    assert list(tmp_path.iterdir()) == [blank]


@pytest.mark.slow
def test_a_file_that_is_there_is_replaced_only_by_force(
    tmp_path: Path, portrait: Path, speech: Path
) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"mine")
    with pytest.raises(OutputExistsError, match="--force"):
        generate(portrait, speech, path, rights="synthetic", size=SIZE)
    with pytest.raises(OutputExistsError, match="--force"):
        generate_sitter(3, speech, path, size=SIZE)
    assert path.read_bytes() == b"mine"
    generate_sitter(3, speech, path, size=SIZE, force=True)
    assert verify(path).state == "trusted"


def test_methods_are_named() -> None:
    assert set(METHODS) == {"talk", "reenact", "dub", "swap"}
    assert set(NEEDS) == {*METHODS, "voiceover"}
    with pytest.raises(ConfigError, match="morph"):
        method_named("morph")


def test_a_performance_is_fitted_by_holding_its_last_frame(speech: Path) -> None:
    motion = perform(read_speech_features(speech), 0, PerformanceConfig())
    assert len(fitted_to(motion, 7)) == 7
    longer = fitted_to(motion, len(motion) + 5)
    assert np.array_equal(longer.rotation[-1], motion.rotation[-1])
    assert np.array_equal(longer.expression[: len(motion)], motion.expression)
    with pytest.raises(ConfigError, match="no frames"):
        fitted_to(Motion.still(0), 3)
