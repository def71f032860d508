"""A clip is encoded until it is as large as its twin, key frames and all."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from obverse.clip import Clip
from obverse.errors import InputError
from obverse.generator import scenes
from obverse.generator.evening import Sizes, Spool, evened, sizes_of
from obverse.generator.plan import CorpusPlan, lay_out
from obverse.media.encode import EncodeConfig, VideoWriter
from obverse.media.video import read_frames
from obverse.provenance.identity import SigningIdentity
from obverse.provenance.registry import Registry
from obverse.watermark.embed import Embedder

_FPS = 25.0
Frame = npt.NDArray[np.uint8]


def _film(speed: float, grain: float = 3.0, frames: int = 24, side: int = 128) -> Iterator[Frame]:
    """A blurred cloud that drifts, with grain: the faster, the costlier between key frames."""
    rng = np.random.default_rng(3)
    cloud = cv2.GaussianBlur(rng.normal(0, 1, (side * 2, side * 2)), (0, 0), 3)
    cloud = 128 + 60 * cloud / cloud.std()
    for number in range(frames):
        shift = np.array([[1.0, 0, -speed * number], [0, 1.0, -0.4 * speed * number]])
        seen = cv2.warpAffine(cloud, shift, (side, side), borderMode=cv2.BORDER_WRAP)
        seen = seen + rng.normal(0, grain, (side, side))
        yield np.repeat(np.clip(seen, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def _written(path: Path, frames: Iterator[Frame] | Spool, config: EncodeConfig) -> Sizes:
    with VideoWriter(path, 128, 128, _FPS, config) as writer:
        for frame in frames:
            writer.write(frame)
    return sizes_of(path)


def test_frames_come_back_as_often_as_one_likes(tmp_path: Path) -> None:
    frames = [np.full((33, 47, 3), level, np.uint8) for level in (3, 90, 255)]
    spool = Spool(tmp_path / "frames", frames)
    assert len(spool) == 3
    for _ in range(2):
        again = list(spool)
        assert [int(frame[0, 0, 0]) for frame in again] == [3, 90, 255]
        assert all(frame.shape == (32, 46, 3) for frame in again)


def test_sizes_are_those_of_the_packets(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    config = EncodeConfig(crf=24, gop=8, threads=1)
    sizes = _written(path, _film(1.0), config)
    assert 0 < sum(sizes) < path.stat().st_size
    only = _written(path, _film(1.0), EncodeConfig(crf=24, gop=1, threads=1))
    assert only.between == 0
    assert only.keys > sizes.keys
    with pytest.raises(InputError, match="cannot be opened"):
        sizes_of(tmp_path / "none.mp4")


@pytest.mark.parametrize(("gop", "grain"), [(12, 3.0), (1, 12.0)])
def test_a_cheaper_film_is_encoded_more_finely(tmp_path: Path, gop: int, grain: float) -> None:
    asked = EncodeConfig(crf=26, gop=gop, threads=1)
    wanted = _written(tmp_path / "twin.mp4", Embedder(7).embed(_film(2.0, grain)), asked)
    spool = Spool(tmp_path / "frames", _film(0.6))
    plain = _written(tmp_path / "plain.mp4", Embedder(7).embed(spool), asked)
    assert math.log(sum(wanted) / sum(plain)) > 0.1
    config = evened(spool, _FPS, asked, wanted, tmp_path / "trial.mp4")
    assert config.crf < asked.crf
    assert not (tmp_path / "trial.mp4").exists()
    made = _written(tmp_path / "made.mp4", Embedder(7).embed(spool), config)
    assert abs(math.log(sum(made) / sum(wanted))) < 0.08
    assert abs(made.keys / sum(made) - wanted.keys / sum(wanted)) < 0.03
    assert len(list(read_frames(tmp_path / "made.mp4"))) == 24


def test_the_search_ends_where_a_size_is_out_of_reach(tmp_path: Path) -> None:
    asked = EncodeConfig(crf=26, gop=12, threads=1)
    spool = Spool(tmp_path / "frames", _film(0.6))
    config = evened(spool, _FPS, asked, Sizes(10_000_000, 90_000_000), tmp_path / "trial.mp4")
    assert 18 <= config.crf < 26
    assert EncodeConfig().key_ratio != config.key_ratio


def test_headers_do_not_say_which_quality_was_asked_for(tmp_path: Path) -> None:
    def settings(crf: float) -> bytes:
        path = tmp_path / f"{crf}.mp4"
        _written(path, _film(1.0, frames=2), EncodeConfig(crf=crf, threads=1))
        data = path.read_bytes()
        start = data.index(b"avcC")
        size = int.from_bytes(data[start - 4 : start], "big")
        return data[start : start + size - 4]

    assert settings(18) == settings(31)


def _released(
    alike: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[Sizes, dict[str, Any]]]:
    """Release a twin and a cheaper take of one scene, without sound and signature."""
    plan = CorpusPlan(
        identities=3,
        voices=3,
        seconds=1.0,
        size=128,
        alike=alike,
        crf_spread=4.0,
        encode=EncodeConfig(crf=26, gop=12, threads=1),
    )
    scene = lay_out(plan)[0]
    asked: list[dict[str, Any]] = []

    def keep(frames: Any, clip: Clip, path: Path, **options: Any) -> Clip:
        _written(path, Embedder(7, config=options["mark"]).embed(frames), options["encode"])
        asked.append(options)
        return clip

    monkeypatch.setattr(scenes, "release", keep)
    for name in (scenes.CLIPS, scenes.MASKS, scenes.WORK):
        (folder / name).mkdir(parents=True)
    job = scenes.SceneJob(
        scene=scene,
        owed=frozenset(scene.ids()),
        folder=folder,
        identity=SigningIdentity.default(),
        registry_url=None,
    )
    sizes = []
    for take, speed in ((scene.twin, 3.0), (scene.takes[0], 1.0)):
        clip = Clip(
            id=take.id,
            path=f"{scenes.CLIPS}/{take.id}.mp4",
            label="pristine" if take is scene.twin else "synthetic",
            kind="rendered" if take is scene.twin else "generated",
            method=take.method,
            identity=scene.identity,
            fps=_FPS,
            seed=take.seed,
            mask_path=f"{scenes.MASKS}/{take.id}.png",
            rights="synthetic",
        )
        mask = np.zeros((128, 128), np.uint8)
        with Registry(f"sqlite:///{folder / 'registry.db'}") as registry:
            scenes.release_scene_clip(job, clip, _film(speed), mask, None, {}, registry)
        sizes.append(sizes_of(folder / clip.path))
    assert not list((folder / scenes.WORK).glob(".spool*"))
    return list(zip(sizes, asked, strict=True))


def test_a_take_leaves_as_large_as_its_twin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (twin, own), (take, its) = _released(True, tmp_path / "a", monkeypatch)
    assert abs(math.log(sum(take) / sum(twin))) < 0.08
    assert its["encode"].crf < own["encode"].crf
    assert abs(own["encode"].crf - 26) <= 4
    assert own["encode"].crf != 26
    assert own["mark"].psnr_db != its["mark"].psnr_db
    assert all(47.5 <= each["mark"].psnr_db <= 50.0 for each in (own, its))
    (twin, own), (take, its) = _released(False, tmp_path / "b", monkeypatch)
    assert its["encode"] == own["encode"]
    assert math.log(take.between / twin.between) < -0.1
