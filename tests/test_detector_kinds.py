"""Each kind of detector: its network, what it looks at, and what it learns from."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.fft import dctn

from obverse.clip import Clip
from obverse.detector.backbone import feature_count
from obverse.detector.config import KINDS, KindName, TrainConfig, preset
from obverse.detector.crop_store import save_faces
from obverse.detector.crops import FaceTrack, FilmFaces
from obverse.detector.detectors import DETECTORS
from obverse.detector.frame import FrameNet, apart, together
from obverse.detector.frequency import FrequencyNet, dct_filters, high_passes
from obverse.detector.kind import Sample
from obverse.detector.pairs import twins
from obverse.detector.recipe import CropRecipe
from obverse.detector.sync import LogMel, SyncNet, mel_filters
from obverse.detector.temporal import TemporalNet
from obverse.errors import ConfigError
from obverse.faces.pose import canonical_face

SIDE = 32


def small(kind: KindName) -> TrainConfig:
    config = preset(kind, backbone="test_resnet", pairs=3)
    burst = {"temporal": 4, "sync": 8}.get(kind, 1)
    recipe = dataclasses.replace(config.recipe, size_px=SIDE, burst=burst, moments=3)
    if kind == "sync":
        recipe = dataclasses.replace(recipe, sound_pad_seconds=0.4)
    return dataclasses.replace(config, recipe=recipe)


def faces(config: TrainConfig, seed: int) -> FilmFaces:
    rng = np.random.default_rng(seed)
    recipe = config.recipe
    count = recipe.moments * recipe.burst
    mesh = canonical_face().vertices[:, :2] * (SIDE / 3) + SIDE / 2
    track = FaceTrack(
        (np.arange(count) / 25).astype(np.float32),
        np.tile(np.array([4, 4, 60, 60], np.float32), (count, 1)),
        np.repeat(np.arange(recipe.moments, dtype=np.int32), recipe.burst),
        rng.integers(0, 255, (count, SIDE, SIDE, 3)).astype(np.uint8),
        np.tile(mesh.astype(np.float32), (count, 1, 1)),
        np.tile(np.array([[2, 0, 0], [0, 2, 0]], np.float32), (count, 1, 1)),
    )
    shape = (recipe.moments, recipe.sound_samples) if recipe.sound else (0, 0)
    sound = rng.normal(0, 2000, shape).astype(np.int16)
    return FilmFaces((track,), sound, count / 25, (64, 64))


def samples(config: TrainConfig, folder: Path, people: int = 3) -> list[Sample]:
    found = []
    for person in range(people):
        for label in ("pristine", "synthetic"):
            path = folder / f"{label}{person}.safetensors"
            save_faces(path, faces(config, 2 * person + (label == "synthetic")))
            clip = Clip(
                id=f"{label}{person}",
                path="x.mp4",
                label=label,
                kind="rendered" if label == "pristine" else "generated",
                parents={} if label == "pristine" else {"twin": f"pristine{person}"},
                identity=f"p{person}",
                split="train",
            )
            found.append(Sample(clip, path))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_scores_windows_and_learns_from_batches(kind: KindName, tmp_path: Path) -> None:
    config = small(kind)
    detector = DETECTORS[kind]
    torch.manual_seed(0)
    network = detector.build(config)
    one = faces(config, 9)
    windows = detector.windows(one, one.tracks[0], config)
    assert len(windows.times) == 3
    assert [len(crops) for crops in windows.crops] == [config.recipe.burst] * 3
    with torch.no_grad():
        logits = network.eval()(*(torch.from_numpy(part) for part in windows.inputs))
    assert logits.shape == (3,)
    if kind != "sync":
        assert logits.tolist() == [0, 0, 0]  # nothing learned, nothing said
    known = samples(config, tmp_path)
    batches = detector.batches(known, config, np.random.default_rng(0), 3)
    batch = next(batches)
    network.train()
    loss = detector.loss(
        network,
        tuple(torch.from_numpy(part) for part in batch.inputs),
        torch.from_numpy(batch.labels),
        config,
    )
    loss.backward()  # type: ignore[no-untyped-call]
    assert np.isfinite(float(loss.detach()))
    again = next(detector.batches(known, config, np.random.default_rng(0), 3))
    assert all(np.array_equal(a, b) for a, b in zip(batch.inputs, again.inputs, strict=True))
    examples = list(detector.examples(known, config))
    assert {example.synthetic for example in examples} == {True, False}
    if detector.learns_from == "pristine":
        pristine = [sample for sample in known if not sample.synthetic]
        assert len(list(detector.examples(pristine, config))) == 2 * len(pristine)


def test_pairs_are_twins_at_one_moment_distorted_alike(tmp_path: Path) -> None:
    config = small("frame")
    known = samples(config, tmp_path)
    assert [(s.clip.id, [o.clip.id for o in others]) for s, others in twins(known)] == [
        (f"synthetic{i}", [f"pristine{i}"]) for i in range(3)
    ]
    orphan = [s for s in known if s.clip.id != "pristine0"]
    assert len(twins(orphan)[0][1]) == 2  # else anybody's
    same = [Sample(s.clip, known[0].kept) for s in known]  # all clips show the same
    batch = next(DETECTORS["frame"].batches(same, config, np.random.default_rng(1), 4))
    assert np.array_equal(batch.inputs[0][0::2], batch.inputs[0][1::2])
    assert batch.labels.tolist() == [1, 0] * 4


def test_the_hypersphere_pulls_a_class_together_and_all_apart() -> None:
    corners = torch.eye(4)
    labels = torch.tensor([1.0, 1, 0, 0])
    assert float(together(corners, labels)) == pytest.approx(2)
    assert float(together(corners[[0, 0, 1, 1]], labels)) == 0
    assert float(apart(corners)) == pytest.approx(-4)
    config = dataclasses.replace(small("frame"), hypersphere=True)
    network = FrameNet(config)
    crops = torch.randint(0, 255, (3, SIDE, SIDE, 3), dtype=torch.uint8)
    assert network.features(crops).norm(dim=1).tolist() == pytest.approx([1, 1, 1])
    with pytest.raises(ConfigError, match="hypersphere"):
        dataclasses.replace(small("sync"), hypersphere=True)


def test_the_large_tier_trains_its_norms_and_head_alone(tmp_path: Path) -> None:
    config = preset("frame", "large", backbone="test_vit", pretrained=False, pairs=3)
    config = dataclasses.replace(
        config, recipe=dataclasses.replace(config.recipe, size_px=SIDE, moments=3)
    )
    frame = DETECTORS["frame"]
    network = frame.build(config)
    known = samples(config, tmp_path)
    batch = next(frame.batches(known, config, np.random.default_rng(0), 3))
    with torch.autocast("cpu", torch.bfloat16):
        loss = frame.loss(
            network,
            tuple(torch.from_numpy(part) for part in batch.inputs),
            torch.from_numpy(batch.labels),
            config,
        )
    loss.backward()  # type: ignore[no-untyped-call]
    moved = {name for name, p in network.named_parameters() if p.grad is not None}
    assert {"head.weight", "head.bias"} < moved
    assert all("norm" in name or name.startswith("head") for name in moved)


def test_filters_see_no_content() -> None:
    flat, ramp = torch.full((1, 1, 9, 9), 77.0), torch.arange(9.0).expand(1, 1, 9, 9)
    for image in (flat, ramp):
        left = torch.nn.functional.conv2d(image, high_passes())
        assert left.abs().max() < 1e-4
    block = np.random.default_rng(0).normal(size=(8, 8))
    found = torch.nn.functional.conv2d(
        torch.tensor(block, dtype=torch.float32)[None, None], dct_filters()
    )
    assert found.flatten().numpy() == pytest.approx(dctn(block, norm="ortho").ravel(), abs=1e-5)
    network = FrequencyNet(small("frequency"))
    assert network.head.in_features == feature_count(network.backbone, SIDE) + 64


def test_a_still_face_says_nothing_over_time() -> None:
    config = small("temporal")
    network = TemporalNet(config).eval()
    torch.nn.init.normal_(network.head.weight)
    still = torch.randint(0, 255, (1, 1, SIDE, SIDE, 3), dtype=torch.uint8).expand(1, 4, -1, -1, -1)
    other = torch.randint(0, 255, (1, 1, SIDE, SIDE, 3), dtype=torch.uint8).expand(1, 4, -1, -1, -1)
    with torch.no_grad():
        assert float(network(still)) == float(network(other))  # whoever it is
    with pytest.raises(ConfigError, match="at least 3"):
        TemporalNet(dataclasses.replace(config, recipe=CropRecipe(burst=2)))


def tone(hz: float, count: int = 16_000) -> npt.NDArray[np.int16]:
    return (8000 * np.sin(2 * np.pi * hz * np.arange(count) / 16_000)).astype(np.int16)


def test_a_tone_is_where_the_mel_scale_has_it() -> None:
    spectra = LogMel()(torch.from_numpy(np.stack([tone(300), tone(1000), tone(4000)])))
    assert spectra.shape == (3, 64, 100)
    places = spectra.mean(-1).argmax(1)
    bins = np.arange(257) * 16_000 / 512
    for place, hz in zip(places, (300, 1000, 4000), strict=True):
        centre = float((mel_filters()[place].numpy() * bins).sum() / mel_filters()[place].sum())
        assert centre == pytest.approx(hz, rel=0.12)


def test_lips_and_sound_that_go_together_score_low() -> None:
    config = small("sync")
    network = SyncNet(config)
    reach = network.reach
    path = torch.nn.functional.normalize(torch.randn(1, 8 + 2 * reach, 128), dim=-1)
    lips = path[:, reach : reach + 8]
    alike = network.compare(lips, path)
    assert alike.argmax(1).tolist() == [reach]
    assert float(alike[0, reach]) == pytest.approx(1, abs=1e-5)

    class Told(SyncNet):
        def see(self, crops: torch.Tensor) -> torch.Tensor:
            del crops
            return lips

        def hear(self, sound: torch.Tensor) -> torch.Tensor:
            return path if bool(sound) else path.roll(6, dims=1)

    told = Told(config)
    assert float(told(lips, torch.tensor(1))) < -3 < 3 < float(told(lips, torch.tensor(0)))


def test_silence_and_short_clips_give_no_windows() -> None:
    config = small("sync")
    spoken = faces(config, 0)
    mute = dataclasses.replace(spoken, sound=np.zeros_like(spoken.sound))
    none = dataclasses.replace(spoken, sound=np.zeros((0, 0), np.int16))
    sync = DETECTORS["sync"]
    assert len(sync.windows(spoken, spoken.tracks[0], config).times) == 3
    for silent in (mute, none):
        windows = sync.windows(silent, silent.tracks[0], config)
        assert (len(windows.times), [len(part) for part in windows.inputs]) == (0, [0, 0])
    longer = dataclasses.replace(config, recipe=dataclasses.replace(config.recipe, burst=9))
    assert len(sync.windows(spoken, spoken.tracks[0], longer).times) == 0


def test_settings_are_checked_and_survive_json() -> None:
    for kind in KINDS:
        config = preset(kind)
        assert TrainConfig.from_json(config.to_json()) == config
    large = preset("frame", "large")
    assert (large.tune, large.hypersphere, large.pretrained) == ("norms", True, True)
    wrongs: tuple[dict[str, Any], ...] = (
        {"epochs": 0},
        {"learning_rate": 5},
        {"amp": "maybe"},
        {"average": 1.0},
    )
    for wrong in wrongs:
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            TrainConfig(**wrong)
    with pytest.raises(ConfigError, match="large tier is for"):
        preset("sync", "large")
    with pytest.raises(ConfigError, match="the kind is 'nose'"):
        preset("nose")  # type: ignore[arg-type]


def test_a_share_of_a_batch_can_be_blended_with_itself(tmp_path: Path) -> None:
    config = dataclasses.replace(small("frame"), pairs=4)
    known = samples(config, tmp_path)
    kind = DETECTORS["frame"]
    # No synthetic clip is needed where all pairs are blends.
    blends = dataclasses.replace(config, blends=1.0)
    alone = [sample for sample in known if not sample.synthetic]
    batch = next(kind.batches(alone, blends, np.random.default_rng(0), 4))
    assert batch.inputs[0].shape == (8, SIDE, SIDE, 3)
    assert batch.labels.tolist() == [1, 0] * 4
    mixed = dataclasses.replace(config, blends=0.5)
    batch = next(kind.batches(known, mixed, np.random.default_rng(0), 4))
    assert batch.inputs[0].shape == (8, SIDE, SIDE, 3)


def test_blends_are_refused_where_they_mean_nothing() -> None:
    with pytest.raises(ConfigError, match="blends are for"):
        preset("temporal", blends=0.5)
    with pytest.raises(ConfigError, match="0 to 1"):
        preset("frame", blends=1.5)


def test_the_middle_of_a_crop_can_be_all_that_is_looked_at() -> None:
    config = dataclasses.replace(small("frame"), view_px=20)
    network = DETECTORS["frame"].build(config).eval()
    assert isinstance(network, FrameNet)
    torch.nn.init.normal_(network.head.weight)
    crops = torch.randint(0, 255, (2, SIDE, SIDE, 3), dtype=torch.uint8)
    framed = crops.clone()
    framed[:, :6], framed[:, -6:], framed[:, :, :6], framed[:, :, -6:] = 0, 0, 0, 0
    with torch.no_grad():
        assert torch.equal(network(crops), network(framed))
        framed[:, 6:12] = 0
        assert not torch.equal(network(crops), network(framed))
    with pytest.raises(ConfigError, match="16 to the crop's side"):
        preset("frame", view_px=500)
