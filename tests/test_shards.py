"""Shards come back as they were written, and what is none is refused."""

from pathlib import Path

import numpy as np
import pytest

from obverse.errors import InputError
from obverse.generator.cues import CUES
from obverse.generator.emotions import emotion_vector
from obverse.generator.shards import (
    Shard,
    heard_by,
    list_shards,
    read_shard,
    read_windows,
    write_index,
    write_shard,
)


def _shard(frames: int) -> Shard:
    rng = np.random.default_rng(frames)
    return Shard(
        rng.random((frames, len(CUES)), np.float32),
        rng.random((frames, 58), np.float32),
        np.tile(emotion_vector([("happy", 0.5)]), (frames, 1)),
        rng.random((frames, 2), np.float32),
        np.ones(frames, np.float32),
        np.array([True, False, True]),
    )


def test_a_shard_comes_back(tmp_path: Path) -> None:
    shard, path = _shard(30), tmp_path / "00000.npz"
    write_shard(path, shard, "an ear")
    again = read_shard(path)
    np.testing.assert_array_equal(again.motion, shard.motion)
    np.testing.assert_allclose(again.cues, shard.cues, atol=1e-3)
    np.testing.assert_array_equal(again.known, shard.known)
    assert heard_by(path) == "an ear"
    assert list(tmp_path.iterdir()) == [path]


def test_windows_cover_every_shard(tmp_path: Path) -> None:
    lengths = (30, 47, 5)
    rows = []
    for number, frames in enumerate(lengths):
        write_shard(tmp_path / f"{number:05d}.npz", _shard(frames), "")
        rows.append({"file": f"{number:05d}.npz", "frames": frames})
    write_index(tmp_path, rows, {})
    assert [len(read_shard(path)) for path in list_shards(tmp_path)] == list(lengths)
    windows = list(read_windows(tmp_path, 10))
    assert [len(window) for window in windows] == [10] * (3 + 4)
    np.testing.assert_array_equal(
        windows[1].motion, read_shard(tmp_path / "00000.npz").motion[10:20]
    )
    assert len(list(read_windows(tmp_path, 10, 5))) == 5 + 8


def test_what_is_no_shard_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"index\.json"):
        list_shards(tmp_path)
    broken = tmp_path / "00000.npz"
    broken.write_bytes(b"PK\x03\x04 not a shard")
    with pytest.raises(InputError, match="no shard"):
        read_shard(broken)
    assert heard_by(broken) == ""
    np.savez(broken, cues=np.zeros((3, 2)))
    with pytest.raises(InputError, match="no shard"):
        read_shard(broken)
    good = _shard(4)
    with pytest.raises(InputError, match="shapes"):
        Shard(good.cues[:3], good.motion, good.emotion, good.gaze, good.distance, good.known)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"shards": 3}', '{"shards": [3]}', "\xff"])
def test_a_damaged_index_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "index.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"index\.json"):
        list_shards(tmp_path)


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    path = tmp_path / "00000.npz"
    write_shard(path, _shard(300), "")
    content = bytearray(path.read_bytes())
    content[200:400] = bytes(200)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"00000\.npz"):
        read_shard(path)
    arrays = {name: getattr(_shard(5), name) for name in Shard.__slots__}
    arrays["motion"][2, 3] = np.nan
    np.savez(path, **arrays)
    with pytest.raises(InputError, match=r"00000\.npz.*motion.*not finite"):
        read_shard(path)
