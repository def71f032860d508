import cv2
import numpy as np
import pytest

from obverse.generator.fit import FittedHead, fit_head
from obverse.generator.head import HeadModel
from obverse.generator.lids import Lid, make_lid
from obverse.generator.motion import expression_index
from obverse.generator.portrait import Portrait
from obverse.generator.relief import Relief, build_relief


@pytest.fixture(scope="module")
def fitted(sitter_portrait: Portrait) -> FittedHead:
    return fit_head(sitter_portrait, HeadModel.load())


@pytest.fixture(scope="module")
def relief(sitter_portrait: Portrait, fitted: FittedHead) -> Relief:
    return build_relief(sitter_portrait, fitted, HeadModel.load())


@pytest.fixture(scope="module", params=["left", "right"])
def lid(
    request: pytest.FixtureRequest, sitter_portrait: Portrait, fitted: FittedHead, relief: Relief
) -> tuple[str, Lid]:
    made = make_lid(sitter_portrait, fitted, relief, request.param)
    assert made is not None
    return request.param, made


def _opacity(lid: tuple[str, Lid], relief: Relief, fitted: FittedHead, blink: float) -> float:
    side, made = lid
    field = relief.basis[expression_index(f"eyeBlink{side.title()}")]
    drawn = made.drawn(relief.rest + blink * field, relief.down, fitted.scale_px)
    return 0.0 if drawn is None else float(drawn[1][:, 2].max())


def test_an_open_eye_shows_no_paint(
    lid: tuple[str, Lid], relief: Relief, fitted: FittedHead
) -> None:
    assert _opacity(lid, relief, fitted, 0.0) == 0
    assert _opacity(lid, relief, fitted, 0.1) == 0


def test_paint_comes_in_as_the_eye_shuts(
    lid: tuple[str, Lid], relief: Relief, fitted: FittedHead
) -> None:
    shown = [_opacity(lid, relief, fitted, blink) for blink in np.linspace(0, 1, 11)]
    assert (np.diff(shown) >= 0).all()
    assert shown[-1] == pytest.approx(1)


def test_a_nod_is_not_a_blink(lid: tuple[str, Lid], relief: Relief, fitted: FittedHead) -> None:
    flattened = relief.rest * np.array([1, 0.8, 1], np.float32)
    assert lid[1].drawn(flattened, relief.down, fitted.scale_px) is None


def test_shut_lids_are_skin_with_one_dark_line(lid: tuple[str, Lid]) -> None:
    made = lid[1]
    columns = len(made.upper)
    x, line = made.texture[3 * columns : 4 * columns].T  # along the lashes
    grey = cv2.cvtColor(made.paint[..., :3], cv2.COLOR_RGB2GRAY).astype(float)
    middle = slice(round(x[3]), round(x[5]))
    rows = grey[:, middle].mean(1)
    seam = round(float(line[4]))
    opaque = made.paint[..., 3][:, middle].mean(1)
    skin = rows[seam - 40 : seam - 15]
    assert rows[seam - 4 : seam + 8].min() < 0.9 * skin.mean()
    assert np.ptp(skin) < 0.35 * skin.mean()  # no iris, no white
    assert opaque[seam - 40 : seam - 8].min() > 250
    assert opaque[-5:].max() == 0


def test_the_same_still_is_painted_the_same(
    sitter_portrait: Portrait, fitted: FittedHead, relief: Relief
) -> None:
    first, second = (make_lid(sitter_portrait, fitted, relief, "left") for _ in range(2))
    assert first is not None
    assert second is not None
    assert np.array_equal(first.paint, second.paint)


def test_an_eye_shut_in_the_still_needs_no_lid(
    sitter_portrait: Portrait, fitted: FittedHead, relief: Relief
) -> None:
    blink = relief.basis[expression_index("eyeBlinkLeft")]
    shut = Relief(
        relief.texture,
        (relief.rest + blink).astype(np.float32),
        relief.basis,
        relief.head_weight,
        relief.triangles,
        relief.mouth,
        relief.eyes,
        relief.pivot,
        relief.down,
    )
    assert make_lid(sitter_portrait, fitted, shut, "left") is None
