"""The count of false accepts goes on where it was, and says what it can be held to."""

import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import scipy.ndimage

from obverse.errors import InputError
from obverse.media.still import write_still

ROOT = Path(__file__).parents[1]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT))  # scripts are not installed
    return __import__("benchmarks.mark_searches", fromlist=["count"])


@pytest.fixture
def images(tmp_path: Path) -> Path:
    rng = np.random.default_rng(5)
    folder = tmp_path / "images"
    folder.mkdir()
    for name in "ab":
        noise = rng.normal(0, 1, (200, 240, 3))
        smooth = scipy.ndimage.gaussian_filter(noise, (12, 12, 0))
        image = 128 + 50 * smooth / smooth.std() + 2 * noise
        write_still(folder / f"{name}.png", np.clip(image, 0, 255).astype(np.uint8))
    return folder


def test_the_bound_is_exact(script: ModuleType) -> None:
    for searches in (1, 100, 10000):
        # None accepted: the rate at which that happens one time in twenty.
        assert script.upper_bound(0, searches) == pytest.approx(1 - 0.05 ** (1 / searches))
    assert script.upper_bound(0, 10000) == pytest.approx(3 / 10000, rel=0.002)
    rate = script.upper_bound(2, 50)
    seen = sum(math.comb(50, k) * rate**k * (1 - rate) ** (50 - k) for k in range(3))
    assert seen == pytest.approx(0.05)
    assert script.upper_bound(3, 3) == 1.0


def test_an_interrupted_count_is_the_same_count(
    script: ModuleType, images: Path, tmp_path: Path
) -> None:
    sources = script.Sources(None, [images])
    keep = tmp_path / "searches.csv"
    first = list(script.count(sources, 2, keep))
    whole = keep.read_text()
    keep.write_text(whole + "2,still,images/a.p")  # killed while it wrote
    later = list(script.count(sources, 3, keep))
    assert [row["search"] for row in first + later] == ["0", "1", "2"]
    assert keep.read_text().startswith(whole)
    assert keep.read_text().count("\n") == 4
    assert list(script.count(sources, 3, keep)) == []
    # Several processes make the same searches, in the same order.
    spread = list(script.count(sources, 3, tmp_path / "spread.csv", jobs=2))
    assert [row["z"] for row in spread] == [row["z"] for row in first + later]
    result = script.report(first + later)
    assert (result["all"]["searches"], result["all"]["accepted"]) == (3, 0)
    assert 0 < result["all"]["z"]["largest"] < 7.8


def test_rows_of_other_images_are_not_gone_on_with(
    script: ModuleType, images: Path, tmp_path: Path
) -> None:
    keep = tmp_path / "searches.csv"
    list(script.count(script.Sources(None, [images]), 1, keep))
    before = keep.read_bytes()
    for path in images.iterdir():
        path.rename(path.with_name(f"other {path.name}"))
    with pytest.raises(InputError, match="other clips or images"):
        list(script.count(script.Sources(None, [images]), 2, keep))
    assert keep.read_bytes() == before
    for content in (b"a,b\n1,2\n", b"\xff\xfe\n"):
        keep.write_bytes(content)
        with pytest.raises(InputError, match="no count"):
            list(script.count(script.Sources(None, [images]), 2, keep))
        assert keep.read_bytes() == content


def test_another_key_reads_nothing_where_the_mark_is(script: ModuleType, images: Path) -> None:
    sources = script.Sources(None, [images])
    foreign = next(draw for draw in map(sources.draw, range(100)) if draw.kind == "foreign")
    row = script._searched(sources, foreign)
    assert (row["own_mark_read"], row["accepted"]) == ("1", 0)


def test_a_draw_stays_inside_the_picture(script: ModuleType, images: Path) -> None:
    sources = script.Sources(None, [images])
    draws = [sources.draw(search) for search in range(2000)]
    assert draws[:99] == [sources.draw(search) for search in range(99)]
    # Longer than four times their width, frames are not searched but refused.
    assert max(max(d.to_width / d.to_height, d.to_height / d.to_width) for d in draws) == 4
    draws = draws[:200]
    assert len({draw.flip for draw in draws}) == 4
    for draw in draws:
        assert draw.left + draw.width <= 240
        assert draw.top + draw.height <= 200
        cut = draw.cut(sources.shown(draw))
        assert {frame.shape for frame in cut} == {(draw.to_height, draw.to_width, 3)}


def test_nothing_to_search_is_said(script: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a folder"):
        script.Sources(None, [tmp_path / "absent"])
    with pytest.raises(InputError, match="nothing to search"):
        script.Sources(tmp_path, [])
