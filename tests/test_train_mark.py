"""The learned mark learns, and a run that was stopped ends as one that was not."""

import contextlib
import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
import yaml
from click.testing import CliRunner

from obverse.cli.train import train as command
from obverse.errors import ConfigError, InputError, OutputExistsError
from obverse.media.video import EncodeConfig, VideoWriter
from obverse.watermark.carriers import TORUS_PX, carriers
from obverse.watermark.embed import Embedder
from obverse.watermark.geometry import SIZES, UNIT, Geometry, size_for
from obverse.watermark.learned import GAIN, READER, load_networks
from obverse.watermark.mark_examples import (
    Example,
    Placed,
    _among_mirrors,
    draw,
    make_example,
    read_square,
)
from obverse.watermark.mark_net import GainNet, ReaderNet, evened, weighed
from obverse.watermark.marks import open_mark
from obverse.watermark.pool import Pool
from obverse.watermark.search import align
from obverse.watermark.train_mark import TrainMarkConfig, chip_z, train, visual_information

Frame = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
SIDE = 320
TINY = TrainMarkConfig(
    examples=2, checks=1, reader_steps=3, gain_steps=2, batch=2, width=4, gain_frames=2
)


def _frames(seed: int, count: int = 4) -> list[Frame]:
    rng = np.random.default_rng(seed)
    picture = rng.uniform(0, 255, (SIDE + 40, SIDE + 40, 3)).astype(np.float32)
    picture = np.clip((cv2.GaussianBlur(picture, (0, 0), 2.0) - 128) * 2 + 128, 0, 255)
    whole = picture.astype(np.uint8)
    return [whole[step : step + SIDE, :SIDE].copy() for step in range(0, 2 * count, 2)]


def _film(path: Path, frames: list[Frame]) -> Path:
    height, width = frames[0].shape[:2]
    with VideoWriter(path, width, height, 25, EncodeConfig(crf=6, threads=1)) as writer:
        for frame in frames:
            writer.write(frame)
    return path


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("films")
    return [_film(folder / f"{seed}.mp4", _frames(seed)) for seed in range(2)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, films: list[Path]) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    train(films, folder, TINY)
    return folder


@pytest.fixture(scope="module")
def example() -> Example:
    frames = _frames(3, 6)
    drawn = draw(np.random.default_rng(0), len(frames))
    plain = dataclasses.replace(drawn, crf=23.0, scale=1.0, blur_px=0.0, noise=0.0)
    return make_example(frames, plain)


def test_the_networks_begin_as_what_they_replace(example: Example) -> None:
    means = torch.from_numpy(example.means.astype(np.float32))[None]
    with torch.no_grad():
        torch.testing.assert_close(ReaderNet(4)(means), evened(means[:, :1]))
        luma, even = means[:, 3:], torch.full_like(means[:, :1], 1.1)
        torch.testing.assert_close(GainNet(4)(luma, even), even)


def test_what_torch_weighs_is_what_the_pool_weighs() -> None:
    luma = np.random.default_rng(0).uniform(0, 255, (256, 300)).astype(np.float32)
    pool = Pool()
    pool.add_luma(luma)
    with torch.no_grad():
        pooled, _ = weighed(torch.from_numpy(luma)[None, None])
        np.testing.assert_allclose(pooled[0, 0].numpy(), pool.means[0], atol=1e-4)
        np.testing.assert_allclose(evened(pooled)[0, 0].numpy(), pool.image, atol=1e-3)


def test_a_gain_keeps_its_mean_square() -> None:
    net = GainNet(4)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.manual_seed(0)))
        luma = 255 * torch.rand((1, 1, 256, 341), generator=torch.manual_seed(1))
        even = torch.ones_like(luma)
        gain = net(luma, even)
    assert float(gain.std()) > 0.01
    assert float((gain**2).mean()) == pytest.approx(1.0, abs=1e-4)
    assert float(gain.min()) > 0.0


def test_an_examples_chips_lie_where_it_says(example: Example, tmp_path: Path) -> None:
    def z_of(one: Example) -> float:
        pictures = evened(torch.from_numpy(one.means.astype(np.float32))[None, :1])[:, 0]
        return float(chip_z(pictures, [one.placed]))

    assert z_of(example) > 8.0
    example.save(tmp_path / "e.npz")
    assert z_of(Example.load(tmp_path / "e.npz")) == z_of(example)
    moved = Example(example.means[:, ::-1].copy(), example.placed, example.crf)
    assert abs(z_of(moved)) < 6.0


def _pooled(frames: list[Frame]) -> Floats:
    pool = Pool()
    for frame in frames:
        pool.add(frame)
    return pool.image


def _marked(side: int, key: bytes) -> tuple[Floats, Placed]:
    """Return a pooled picture of a side that is marked, and where the mark lies."""
    (frame,) = _frames(side, 1)
    soft = cv2.resize(cv2.GaussianBlur(frame, (0, 0), 3), (side, side))
    embedder = Embedder(0xFEDC, key)
    marked = embedder.embed_frame(np.asarray(soft, np.uint8))
    return _pooled([marked]), Placed.of(embedder, key, side)


def test_z_is_that_of_the_search_for_marks_of_every_size() -> None:
    sides, keys = (600, 480), [bytes([number]) * 32 for number in range(2)]
    made = [_marked(side, key) for side, key in zip(sides, keys, strict=True)]
    pictures, places = [picture for picture, _ in made], [placed for _, placed in made]
    assert [placed.size for placed in places] == list(SIZES)
    found = chip_z(torch.from_numpy(np.stack(pictures)), places)
    for z, picture, placed, key in zip(found.tolist(), pictures, places, keys, strict=True):
        fix = next(align(picture, key, Geometry(placed.size, placed.size)))
        assert fix.offset == placed.offset
        read = float(placed.signs * carriers(key).sign @ fix.chips / np.linalg.norm(fix.chips))
        assert read > 9
        assert z == pytest.approx(read, rel=0.01)


def test_every_example_has_a_key_of_its_own() -> None:
    draws = [draw(np.random.default_rng([7, number]), 24) for number in range(50)]
    assert len({one.key for one in draws}) == 50
    assert all(one.first + one.count <= 24 for one in draws)
    assert draw(np.random.default_rng([7, 0]), 24) == draws[0]


@pytest.mark.parametrize("side", [600, 480, 320])
def test_a_film_that_is_marked_is_shrunk_among_its_mirror_images(tmp_path: Path, side: int) -> None:
    soft = [cv2.resize(cv2.GaussianBlur(frame, (0, 0), 3), (side, side)) for frame in _frames(5)]
    large = [np.asarray(frame, np.uint8) for frame in soft]
    plain = read_square(_film(tmp_path / "plain.mp4", large))
    assert np.abs(np.subtract(plain[0], large[0], dtype=int)).mean() < 3
    marked = read_square(_film(tmp_path / "marked.mp4", list(Embedder(1).embed(large))))
    assert marked[0].shape == plain[0].shape
    edge = round(0.2 * side)
    around = marked[0][edge : edge + edge // 2], marked[0][edge - edge // 2 : edge][::-1]
    assert np.abs(np.subtract(*around, dtype=int)).mean() < 3


def _in_band(before: Frame, after: Frame) -> float:
    """Return the share of a change's power that lies in the band of a mark on such pictures."""
    side = len(before)
    change = np.subtract(after, before, dtype=np.float64).mean(2)
    power = np.abs(np.fft.fft2(change)) ** 2
    waves = np.hypot(*np.meshgrid(*[np.fft.fftfreq(side, 1 / side)] * 2))
    a_pixel = waves / (TORUS_PX * np.exp(size_for(side, side) * UNIT))
    return float(power[(a_pixel > 0.07) & (a_pixel < 0.115)].sum() / power.sum())


@pytest.mark.parametrize("side", [600, 480, 320])
def test_a_mark_among_mirror_images_is_out_of_the_way(side: int) -> None:
    frame = np.full((side, side, 3), 128, np.uint8)
    marked = Embedder(1).embed_frame(frame)
    assert _in_band(frame, marked) > 0.5
    assert _in_band(_among_mirrors(frame), _among_mirrors(marked)) < 0.1


def test_noise_leaves_less_to_be_seen() -> None:
    luma = 255 * torch.rand((1, 1, 64, 64), generator=torch.manual_seed(0))
    quiet, loud = (visual_information(luma, torch.full_like(luma, v)) for v in (0.0, 9.0))
    assert float(quiet) == pytest.approx(1.0, abs=1e-4)
    assert float(loud) < float(quiet)


def test_a_reader_learns(example: Example) -> None:
    """A few steps on one example raise its z, as they must where the gradient is right."""
    torch.manual_seed(0)
    net = ReaderNet(8)
    means = torch.from_numpy(example.means.astype(np.float32))[None]
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    seen = []
    for _ in range(6):
        z = chip_z(net(means)[:, 0], [example.placed]).mean()
        seen.append(float(z.detach()))
        optimiser.zero_grad()
        (-z).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert seen[-1] > seen[0]


def test_a_run_holds_networks_that_read(run: Path) -> None:
    kind = open_mark(run)
    frames = _frames(9)
    marked = list(kind.embedder(0xFEDC).embed(frames))
    assert kind.extract_frames(marked).payload == 0xFEDC
    for name in (READER, GAIN):
        card = yaml.safe_load((run / name).with_suffix(".card.yaml").read_text())
        assert card["training"]["seed"] == TINY.seed
        assert card["licence"] == "Apache-2.0"
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["part"] for line in lines] == ["reader", "gain"]


def test_a_stopped_run_goes_on_to_the_same_end(
    run: Path, films: list[Path], tmp_path: Path
) -> None:
    class StoppedError(Exception):
        pass

    config = dataclasses.replace(TINY, save_every=1)
    told: list[tuple[str, int]] = []
    for last in (("examples", 2), ("steps", 2), ("gains", 1), None):

        def note(what: str, done: int, _: int, last: tuple[str, int] | None = last) -> None:
            told.append((what, done))
            if told[-1] == last:
                raise StoppedError

        stopped = contextlib.nullcontext() if last is None else pytest.raises(StoppedError)
        with stopped:
            train(films, tmp_path / "run", config, progress=note)
    assert [done for what, done in told if what == "examples"][:2] == [1, 2]
    assert {done for what, done in told if what == "checks"} == {1}
    # No step is taken twice.
    assert [done for what, done in told if what == "steps"] == [1, 2, 3]
    assert [done for what, done in told if what == "gains"] == [1, 2]
    one, other = load_networks(run), load_networks(tmp_path / "run")
    rng = np.random.default_rng(0)
    means = rng.uniform(0, 9, (4, 256, 256)).astype(np.float32)
    # Not bit by bit: where tensors lie in memory changes the order of sums.
    np.testing.assert_allclose(one.reader(means), other.reader(means), atol=5e-3)
    assert one.gain is not None
    assert other.gain is not None
    even = np.ones((256, 256), np.float32)
    np.testing.assert_allclose(one.gain(means[3], even), other.gain(means[3], even), atol=1e-3)


def test_runs_are_not_taken_for_others(run: Path, films: list[Path], tmp_path: Path) -> None:
    with pytest.raises(OutputExistsError, match="finished"):
        train(films, run, TINY)
    (tmp_path / "note.txt").touch()
    with pytest.raises(OutputExistsError, match="not a training run"):
        train(films, tmp_path, TINY)
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text("{}")
    with pytest.raises(InputError, match="other settings"):
        train(films, other, TINY)
    damaged = tmp_path / "new"
    with pytest.raises(InputError, match="2 at least"):
        train(films[:1], damaged, TINY)
    text = films[0].with_name("text.mp4")
    text.write_text("no film")
    with pytest.raises(InputError):
        train([text, text], damaged, TINY)
    assert not damaged.exists()


@pytest.mark.parametrize(
    "values", [{"examples": 0}, {"gain_steps": -1}, {"learning_rate": 1.0}, {"gain_frames": 1}]
)
def test_settings_that_cannot_be_used(values: dict[str, int]) -> None:
    (name,) = values
    with pytest.raises(ConfigError, match=f"training's {name} is .*must"):
        TrainMarkConfig(**values)


def test_the_command(films: list[Path], tmp_path: Path) -> None:
    sizes = ["--examples", "1", "--steps", "1", "--gain-steps", "0", "--batch", "1", "--width", "2"]
    begun = ["mark", str(films[0].parent), "-o", str(tmp_path / "run"), *sizes]
    films[0].with_name("text.mp4").unlink(missing_ok=True)
    result = CliRunner().invoke(command, [*begun, "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["films"] == 2
    assert not (tmp_path / "run" / GAIN).exists()
    with pytest.raises(ConfigError, match="not a folder"):
        CliRunner().invoke(command, ["mark", str(films[0]), "-o", "x"], catch_exceptions=False)
    (tmp_path / "none").mkdir()
    begun[1] = str(tmp_path / "none")
    with pytest.raises(InputError, match="none holds no film; the learned mark needs 2"):
        CliRunner().invoke(command, begun, catch_exceptions=False)
