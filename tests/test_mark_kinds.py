"""One interface for every kind of mark: classical, learned, Video Seal's."""

import json
import math
import warnings
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import scipy.linalg
import torch
import yaml
from click.testing import CliRunner
from torch import Tensor, nn

from obverse.cli.mark import mark as command
from obverse.errors import ConfigError, InputError, MarkError, ObverseError, WeightsError
from obverse.media.video import VideoWriter, read_frames
from obverse.watermark.learned import GAIN, READER
from obverse.watermark.mark_net import GainNet, ReaderNet, export
from obverse.watermark.marks import ClassicalMark, LearnedMark, Mark, open_mark
from obverse.watermark.pool import Pool
from obverse.watermark.video_seal import VideoSealMark

PAYLOAD = 0x0123456789ABCDEF
OTHER_KEY = b"another secret key, also 32 byte"
SIDE = 256
Frame = npt.NDArray[np.uint8]


class _StandIn(nn.Module):
    """A module of Video Seal's interface that adds a chequer of 32 x 32 cells for each bit."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits
        rows = scipy.linalg.hadamard(1024)[-bits:].astype(np.float32)
        self.patterns = nn.Parameter(torch.from_numpy(rows).view(bits, 1, 32, 32))

    def forward(self, imgs: Tensor, msgs: Tensor) -> Tensor:
        return self.embed(imgs, msgs, False)

    @torch.jit.export
    def embed(self, imgs: Tensor, msgs: Tensor, is_video: bool = False) -> Tensor:
        assert imgs.dim() == 4
        assert msgs.size(1) == self.bits
        assert float(imgs.max()) <= 1.0
        change = ((msgs * 2.0 - 1.0).view(-1, 1, 1, 1) * self.patterns).sum(0, keepdim=True)
        size = [imgs.size(2), imgs.size(3)]
        return torch.clamp(imgs + 0.002 * nn.functional.interpolate(change, size=size), 0.0, 1.0)

    @torch.jit.export
    def detect(self, imgs: Tensor, is_video: bool = False) -> Tensor:
        small = nn.functional.adaptive_avg_pool2d(imgs.mean(1, keepdim=True), (32, 32))
        small = small - small.mean()
        found = (small.unsqueeze(1) * self.patterns.unsqueeze(0)).sum((2, 3, 4))
        return torch.cat([torch.zeros(imgs.size(0), 1), found], 1)


def _stand_in(path: Path, bits: int = 256) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch speaks of what replaces TorchScript
        torch.jit.script(_StandIn(bits)).save(str(path))  # type: ignore[no-untyped-call]
    return path


def _card(path: Path) -> None:
    from obverse.weights import sha256_file

    text = yaml.safe_dump({"sha256": sha256_file(path)})
    path.with_suffix(".card.yaml").write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A learned mark whose networks have learned nothing: each is what it replaces."""
    folder = tmp_path_factory.mktemp("learned")
    export(ReaderNet(4), folder / READER)
    export(GainNet(4), folder / GAIN)
    for name in (READER, GAIN):
        _card(folder / name)
    return folder


@pytest.fixture(scope="module")
def seal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _stand_in(tmp_path_factory.mktemp("seal") / "y_256b_img.jit")


@pytest.fixture(scope="module")
def clip() -> list[Frame]:
    """Eleven frames of a soft texture that moves."""
    rng = np.random.default_rng(0)
    picture = cv2.GaussianBlur(rng.uniform(0, 255, (300, 300, 3)).astype(np.float32), (0, 0), 2.5)
    picture = np.clip((picture - 128) * 2 + 128, 0, 255).astype(np.uint8)
    return [picture[step : step + SIDE, step : step + SIDE].copy() for step in range(11)]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory, clip: list[Frame]) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    with VideoWriter(path, SIDE, SIDE, 25) as writer:
        for frame in clip:
            writer.write(frame)
    return path


def _kinds(learned: Path, seal: Path, key: bytes) -> list[Mark]:
    return [open_mark(weights, key) for weights in (None, learned, seal)]


def test_every_kind_reads_its_own_payload_and_key(
    learned: Path, seal: Path, clip: list[Frame]
) -> None:
    kinds = _kinds(learned, seal, OTHER_KEY)
    assert [kind.name for kind in kinds] == ["classical", "learned", "Video Seal"]
    for kind in kinds:
        marked = list(kind.embedder(PAYLOAD).embed(clip))
        assert len(marked) == len(clip)
        assert all(one.shape == other.shape for one, other in zip(marked, clip, strict=True))
        found = kind.extract_frames(marked)
        assert (found.payload, found.frames) == (PAYLOAD, len(clip)), kind.name
        assert found.p_value <= 1e-6
    assert not VideoSealMark(seal).extract_frames(marked).present
    assert not VideoSealMark(seal).extract_frames(clip).present


def test_networks_that_learned_nothing_are_the_classical_mark(
    learned: Path, clip: list[Frame]
) -> None:
    kind = open_mark(learned)
    assert isinstance(kind, LearnedMark)
    ours = list(ClassicalMark().embedder(PAYLOAD).embed(clip))
    theirs = list(kind.embedder(PAYLOAD).embed(clip))
    assert (
        max(np.abs(np.subtract(*pair, dtype=int)).max() for pair in zip(ours, theirs, strict=True))
        <= 1
    )
    one, other = Pool(), Pool(kind.networks.reader)
    for frame in ours:
        one.add(frame)
        other.add(frame)
    np.testing.assert_allclose(one.image, other.image, atol=2e-3)
    # Each reads what the other marked.
    assert ClassicalMark().extract_frames(theirs).payload == PAYLOAD
    assert kind.extract_frames(ours).payload == PAYLOAD


def test_a_reader_takes_any_shape_of_picture(learned: Path) -> None:
    kind = open_mark(learned)
    frame = np.random.default_rng(0).integers(0, 256, (180, 320, 3)).astype(np.uint8)
    assert not kind.extract_frames([frame]).present


@pytest.mark.parametrize("bits", [300, 512])
def test_longer_messages(tmp_path: Path, clip: list[Frame], bits: int) -> None:
    kind = VideoSealMark(_stand_in(tmp_path / "m.jit", bits))
    found = kind.extract_frames(kind.embedder(PAYLOAD).embed(clip))
    assert found.payload == PAYLOAD
    assert found.z <= math.sqrt(1 << (bits.bit_length() - 1)) + 1e-9


def test_bits_that_no_key_made_are_no_mark(seal: Path) -> None:
    """Whatever a network says of unmarked films, a payload is a keyed accident of 1e-6."""
    rng = np.random.default_rng(1)
    for _ in range(3):
        kind = VideoSealMark(seal, rng.bytes(32))
        for _ in range(10):
            assert not kind._reading(rng.choice([-5.0, 5.0], 256), 1).present


@pytest.mark.parametrize("which", ["learned", "seal"])
def test_through_the_command_line(
    request: pytest.FixtureRequest, film: Path, tmp_path: Path, which: str
) -> None:
    weights: Path = request.getfixturevalue(which)
    out = tmp_path / "marked.mp4"
    options = ["--weights", str(weights), "--json"]
    runner = CliRunner()
    begun = ["embed", str(film), "-o", str(out), "--payload", f"{PAYLOAD:016x}", *options]
    result = runner.invoke(command, begun)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["payload"] == f"{PAYLOAD:016x}"
    result = runner.invoke(command, ["read", str(out), *options])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["payload"] == f"{PAYLOAD:016x}"
    assert found["p_value"] <= 1e-6
    assert runner.invoke(command, ["read", str(film), *options]).exit_code == 1
    assert len(list(read_frames(out))) == 11
    again = runner.invoke(command, ["embed", str(out), "-o", str(tmp_path / "b.mp4"), *options])
    assert isinstance(again.exception, MarkError)
    assert [path.name for path in tmp_path.iterdir()] == ["marked.mp4"]


def test_weights_that_cannot_be_used_are_one_sentence(
    tmp_path: Path, learned: Path, film: Path
) -> None:
    (tmp_path / "none.jit").write_bytes(b"no TorchScript")
    _stand_in(tmp_path / "short.jit", 128)
    empty, changed, bare = (tmp_path / name for name in ("empty", "changed", "bare"))
    for folder in (empty, changed, bare):
        folder.mkdir()
    for source in learned.iterdir():
        (changed / source.name).write_bytes(source.read_bytes())
        if source.suffix == ".onnx":
            (bare / source.name).write_bytes(source.read_bytes())
    (changed / READER).write_bytes(b"\0" + (learned / READER).read_bytes())
    (tmp_path / "swapped").mkdir()
    (tmp_path / "swapped" / READER).write_bytes((learned / GAIN).read_bytes())
    _card(tmp_path / "swapped" / READER)
    for name, words in (
        ("absent", "there are no weights"),
        ("learned", "there are no weights"),  # none ship
        ("none.jit", "no TorchScript file"),
        ("short.jit", "messages of 128 bits"),
        ("empty", "holds no mark_reader.onnx"),
        ("changed", "not the file on its card"),
        ("bare", "lacks its card"),
        ("swapped", "takes luma, even"),
    ):
        with pytest.raises(WeightsError, match=words) as caught:
            open_mark(tmp_path / name)
        assert "\n" not in str(caught.value)
    result = CliRunner().invoke(command, ["read", str(film), "--weights", str(tmp_path / "absent")])
    assert isinstance(result.exception, ObverseError)


def test_a_key_that_is_too_short_is_refused_before_weights_are_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="16 at least"):
        open_mark(tmp_path / "absent", b"short")


def test_no_frames_are_no_film(seal: Path) -> None:
    with pytest.raises(InputError, match="no frames"):
        VideoSealMark(seal).extract_frames([])
