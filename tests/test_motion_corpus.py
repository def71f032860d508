"""The corpus of motion: made once, resumed, heard anew by new ears, silent where nobody speaks."""

import json
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from obverse.errors import ConfigError, InputError
from obverse.generator import motion_corpus
from obverse.generator.cues import CUES, read_cues
from obverse.generator.motion import expression_index
from obverse.generator.motion_corpus import MotionCorpusConfig, build_motion_corpus
from obverse.generator.phones import Phone
from obverse.generator.shards import list_shards, read_shard
from obverse.generator.training_speech import Spoken
from obverse.generator.voices import list_voices, read_voice

CONFIG = MotionCorpusConfig(minutes=0.4, performances=2, flite=1, espeak=0, kokoro=0)


def _spoken() -> list[Spoken]:
    spoken = []
    for voice in list_voices():
        if voice.sentences[0].phones is not None:
            for number in (0, 1):
                phones: tuple[Phone, ...] = voice.sentences[number].sounds()
                spoken.append(Spoken(voice.id, read_voice(voice.id, number), phones))
    return spoken


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small corpus whose speech is the bundled voices'."""
    folder = tmp_path_factory.mktemp("corpus")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(motion_corpus, "speak_corpus", lambda *_, **__: iter(_spoken()))
        patch.setattr(motion_corpus, "_BANK", 2)
        assert build_motion_corpus(folder, CONFIG) == folder
    return folder


def test_shards_hold_what_was_heard_and_done(work: Path) -> None:
    paths = list_shards(work)
    index = json.loads((work / "index.json").read_text())
    assert index["cues"] == list(CUES)
    assert len(paths) == len(index["shards"]) >= 2
    voices = {row["voice"] for row in index["shards"]}
    assert "flite-rms" not in voices  # held out
    for path, row in zip(paths, index["shards"], strict=True):
        shard = read_shard(path)
        assert len(shard) == row["frames"] >= 200
        assert shard.known.all()
        np.testing.assert_allclose(shard.emotion.sum(1), 1.0, atol=2e-3)
        assert np.isfinite(shard.motion).all()


def test_performances_of_one_sound_share_its_cues_only(work: Path) -> None:
    first, second = (read_shard(path) for path in list_shards(work)[:2])
    np.testing.assert_array_equal(first.cues, second.cues)
    assert np.abs(first.motion - second.motion).max() > 0.1


def test_cues_fit_the_motion(work: Path) -> None:
    """The mouth opens when it is heard to open: sound, phones and frames are in step."""
    for path in list_shards(work)[::2]:
        shard = read_shard(path)
        voiced = shard.cues[:, CUES.index("voice")] > 0.5
        if voiced.mean() < 0.2:
            continue
        jaw = shard.motion[:, expression_index("jawOpen")]
        heard = shard.cues[:, [CUES.index(f"jaw.{step}") for step in range(4)]].mean(1)
        lags = {
            lag: float(np.corrcoef(np.roll(jaw, lag)[voiced], heard[voiced])[0, 1])
            for lag in range(-10, 11)
        }
        assert abs(max((value, lag) for lag, value in lags.items())[1]) <= 2
        assert max(lags.values()) > 0.35


def test_a_corpus_is_resumed_not_made_again(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[int] = []

    def hear(sound: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        heard.append(len(sound))
        return read_cues(sound)

    monkeypatch.setattr(motion_corpus, "read_cues", hear)
    monkeypatch.setattr(motion_corpus, "_perform", lambda _: pytest.fail("performed again"))
    before = {path.name: path.stat().st_mtime_ns for path in list_shards(work)}
    lost = list_shards(work)[1]
    kept = read_shard(lost)
    lost.unlink()
    build_motion_corpus(work, CONFIG)
    assert len(heard) == 1  # only the stretch that lost a shard
    np.testing.assert_array_equal(read_shard(lost).motion, kept.motion)
    np.testing.assert_array_equal(read_shard(lost).cues, kept.cues)
    kept_files = list_shards(work)[2:]
    assert all(path.stat().st_mtime_ns == before[path.name] for path in kept_files)


def test_new_ears_hear_everything_anew(work: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(work, copy)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(motion_corpus, "hearing_version", lambda: "other")
        patch.setattr(motion_corpus, "_perform", lambda _: pytest.fail("performed again"))
        heard: list[int] = []

        def hear(sound: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            heard.append(len(sound))
            return np.zeros((-(-len(sound) // 640), len(CUES)), np.float32)

        patch.setattr(motion_corpus, "read_cues", hear)
        build_motion_corpus(copy, CONFIG)
        assert len(heard) == len(list((copy / "lessons").glob("*.npz")))
    assert all(not read_shard(path).cues.any() for path in list_shards(copy))


def test_other_settings_need_another_folder(work: Path) -> None:
    with pytest.raises(InputError, match="other settings"):
        build_motion_corpus(work, MotionCorpusConfig(minutes=1.0))
    for wrong in ({"minutes": 0.0}, {"workers": 0}, {"flite": 0, "espeak": 0}):
        with pytest.raises(ConfigError):
            MotionCorpusConfig(**wrong)
