"""Training the motion model: it learns, goes on where it stopped, and refuses what cannot be."""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner

from obverse.cli.train import train as train_verb
from obverse.errors import ConfigError, InputError, OutputExistsError
from obverse.generator.controls import ControlTracks
from obverse.generator.cues import CUES
from obverse.generator.flow import FlowPerformer
from obverse.generator.motion import expression_index
from obverse.generator.shards import Shard, write_shard
from obverse.generator.train_motion import CARD, CHECKPOINT, NAME, TrainMotionConfig, train
from obverse.weights import sha256_file

TINY = TrainMotionConfig(
    steps=6, batch=4, hops=6, width=20, layers=2, heads=2, save_every=3, rollout=0.5, device="cpu"
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Jaws that open with one cue, heads that sway, for half a minute in all."""
    folder = tmp_path_factory.mktemp("corpus")
    rows = []
    for index in range(8):
        rng = np.random.default_rng(index)
        frames = 100
        cues = np.zeros((frames, len(CUES)), np.float32)
        cues[:, 0] = 0.5 + 0.5 * np.sin(np.arange(frames) / 3.0 + rng.uniform(0, 6))
        motion = np.full((frames, 58), 0.02, np.float32)
        motion += 0.01 * np.sin(np.arange(frames)[:, None] / 7.0 + rng.uniform(0, 6, 58))
        motion[:, expression_index("jawOpen")] = 0.4 * cues[:, 0] ** 2
        emotion = np.zeros((frames, 8), np.float32)
        emotion[:, 0] = 1.0
        shard = Shard(
            cues,
            motion.astype(np.float32),
            emotion,
            np.zeros((frames, 2), np.float32),
            np.ones(frames, np.float32),
            np.array([True, False, index % 2 == 0]),
        )
        write_shard(folder / f"{index:05d}.npz", shard, "test")
        rows.append({"file": f"{index:05d}.npz", "frames": frames, "kind": "talk"})
    (folder / "index.json").write_text(json.dumps({"shards": rows}))
    return folder


def state(run: Path) -> dict[str, torch.Tensor]:
    saved = torch.load(run / CHECKPOINT, weights_only=True)
    average: dict[str, torch.Tensor] = saved["average"]
    return average


def test_it_learns_writes_a_card_and_its_weights_perform(corpus: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(TINY, steps=60, save_every=20, learning_rate=0.01)
    report = train(corpus, tmp_path / "run", config)
    rows = [json.loads(row) for row in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert rows[-1]["loss"] < rows[0]["loss"]  # both are running means
    card = yaml.safe_load((tmp_path / "run" / CARD).read_text())
    assert card["sha256"] == sha256_file(tmp_path / "run" / NAME) == report["sha256"]
    performer = FlowPerformer(0, weights=tmp_path / "run" / NAME)
    cues = np.zeros((100, len(CUES)), np.float32)
    cues[:, 0] = 0.5 + 0.5 * np.sin(np.arange(100) / 3.0)
    motion = performer.push(cues, ControlTracks.natural(100))
    jaw = motion.expression[:, expression_index("jawOpen")]
    assert np.corrcoef(jaw, cues[:, 0])[0, 1] > 0.3  # sixty steps learn a little
    with pytest.raises(OutputExistsError, match="--force"):
        train(corpus, tmp_path / "run", config)


def test_what_was_stopped_goes_on_to_the_same_weights(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(corpus, tmp_path / "whole", TINY)

    class StoppedError(Exception):
        pass

    def stop(what: str, done: int, total: int) -> None:
        if what == "steps" and done == 4:  # the last checkpoint is that of step 3
            raise StoppedError

    with pytest.raises(StoppedError):
        train(corpus, tmp_path / "parts", TINY, progress=stop)
    told = []
    train(corpus, tmp_path / "parts", TINY, progress=lambda *row: told.append(row))
    assert told[0] == ("steps", 4, 6)
    whole, parts = state(tmp_path / "whole"), state(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    (tmp_path / "parts" / CARD).unlink()
    with pytest.raises(InputError, match="other settings"):
        train(corpus, tmp_path / "parts", dataclasses.replace(TINY, seed=1))


def test_another_run_can_be_begun_with(corpus: Path, tmp_path: Path) -> None:
    train(corpus, tmp_path / "first", TINY)
    before = state(tmp_path / "first")
    config = dataclasses.replace(TINY, steps=1, learning_rate=1e-6)
    train(corpus, tmp_path / "second", config, begin=tmp_path / "first" / CHECKPOINT)
    after = state(tmp_path / "second")
    assert all(torch.allclose(before[name], after[name], atol=1e-4) for name in before)
    with pytest.raises(InputError, match="no checkpoint"):
        train(corpus, tmp_path / "third", config, begin=tmp_path / "nothing.pt")


def test_torchrun_of_one_process_trains_as_well(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "RANK": "0",
        "WORLD_SIZE": "1",
        "LOCAL_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(29_000 + os.getpid() % 1000),
    }.items():
        monkeypatch.setenv(name, value)
    train(corpus, tmp_path / "joined", TINY)
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name)
    train(corpus, tmp_path / "alone", TINY)
    joined, alone = state(tmp_path / "joined"), state(tmp_path / "alone")
    assert all(torch.allclose(joined[name], alone[name], atol=1e-5) for name in alone)


def test_what_cannot_be_is_refused_at_once(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="steps is 0"):
        TrainMotionConfig(steps=0)
    with pytest.raises(ConfigError, match="learning_rate"):
        TrainMotionConfig(learning_rate=2.0)
    with pytest.raises(InputError, match=r"index\.json"):
        train(tmp_path, tmp_path / "run", TINY)
    with pytest.raises(InputError, match="as long as a training window"):
        train(corpus, tmp_path / "long", dataclasses.replace(TINY, hops=40))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("42")
    with pytest.raises(OutputExistsError, match="not a training run"):
        train(corpus, tmp_path / "mine", TINY)


def test_the_verb_trains_on_a_corpus_and_wants_one_source(corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = ["--steps", "2", "--batch", "2", "--width", "20", "--layers", "1", "--json"]
    told = ["motion", "--corpus", str(corpus), "-o", str(run), *settings, "--device", "cpu"]
    with pytest.raises(ConfigError, match="not both"):
        CliRunner().invoke(train_verb, ["motion", "-o", str(run)], catch_exceptions=False)
    # The corpus of this test is shorter than the default windows of 4 s.
    with pytest.raises(InputError, match="as long as a training window"):
        CliRunner().invoke(train_verb, told, catch_exceptions=False)
    assert not (run / CARD).exists()
    told += ["--hops", "6"]
    result = CliRunner().invoke(train_verb, told, catch_exceptions=False)
    assert json.loads(result.stdout)["steps"] == 2
    assert (run / CARD).is_file()


def test_what_is_no_checkpoint_or_corpus_leaves_nothing(corpus: Path, tmp_path: Path) -> None:
    junk = tmp_path / "junk.pt"
    junk.write_bytes(b"junk" * 99)
    with pytest.raises(InputError, match=r"junk\.pt is no checkpoint"):
        train(corpus, tmp_path / "run", TINY, begin=junk)
    torch.save({"average": {}}, junk)
    with pytest.raises(InputError, match=r"junk\.pt is no checkpoint"):
        train(corpus, tmp_path / "run", TINY, begin=junk)
    with pytest.raises(InputError, match="no motion corpus"):
        train(tmp_path / "absent", tmp_path / "run", TINY)
    assert not (tmp_path / "run").exists()
