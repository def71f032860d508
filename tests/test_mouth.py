import dataclasses

import cv2
import numpy as np
import pytest

from obverse.generator.contours import EYE_LOWER, EYE_UPPER
from obverse.generator.fit import FittedHead, fit_head
from obverse.generator.head import HeadModel
from obverse.generator.mouth import Mouth, colourfulness_of, light_of, make_mouth
from obverse.generator.portrait import Portrait
from obverse.generator.relief import Relief, build_relief


@pytest.fixture(scope="module")
def fitted(sitter_portrait: Portrait) -> FittedHead:
    return fit_head(sitter_portrait, HeadModel.load())


@pytest.fixture(scope="module")
def relief(sitter_portrait: Portrait, fitted: FittedHead) -> Relief:
    return build_relief(sitter_portrait, fitted, HeadModel.load())


def _monochrome(portrait: Portrait) -> Portrait:
    grey = cv2.cvtColor(portrait.picture, cv2.COLOR_RGB2GRAY)
    sepia = grey[..., None] * np.array([1.0, 0.85, 0.65])
    return dataclasses.replace(portrait, picture=sepia.astype(np.uint8))


def test_colour_is_told_from_monochrome(sitter_portrait: Portrait) -> None:
    assert colourfulness_of(sitter_portrait) > 0.5
    assert colourfulness_of(_monochrome(sitter_portrait)) == 0


def test_a_mouth_takes_the_pictures_tint_and_light(
    sitter_portrait: Portrait, fitted: FittedHead, relief: Relief
) -> None:
    model = HeadModel.load()

    def made(portrait: Portrait) -> Mouth:
        return make_mouth(portrait, fitted, model, relief)

    plain, sepia = made(sitter_portrait), made(_monochrome(sitter_portrait))
    lit = plain.palette[:, -1, :3].astype(float)
    tongue = np.argmax(lit[:, 0] / lit.sum(1))
    assert lit[tongue, 0] > 1.4 * lit[tongue, 1]
    # In a monochrome picture all parts share one tint.
    shades = sepia.palette[:, -1, :3].astype(float)
    tints = shades / shades.sum(1, keepdims=True)
    assert np.ptp(tints, axis=0).max() < 0.02
    dark = dataclasses.replace(sitter_portrait, picture=sitter_portrait.picture // 3)
    assert light_of(dark).mean() < 0.6 * light_of(sitter_portrait).mean()
    assert made(dark).palette[..., :3].mean() < 0.6 * plain.palette[..., :3].mean()


def test_coloured_glasses_do_not_colour_the_light(sitter_portrait: Portrait) -> None:
    plain = light_of(sitter_portrait)
    for colour in ((220, 20, 20), (20, 40, 230)):
        picture = sitter_portrait.picture.copy()
        for contour in (*EYE_UPPER.values(), *EYE_LOWER.values()):
            points = np.round(sitter_portrait.landmarks[list(contour), :2]).astype(int)
            (x0, y0), (x1, y1) = points.min(0) - 12, points.max(0) + 12
            picture[y0:y1, x0:x1] = colour
        behind = light_of(dataclasses.replace(sitter_portrait, picture=picture))
        assert np.abs(behind / behind.sum() - plain / plain.sum()).max() < 0.1


def test_there_are_grooves_between_the_teeth(
    sitter_portrait: Portrait, fitted: FittedHead, relief: Relief
) -> None:
    mouth = make_mouth(sitter_portrait, fitted, HeadModel.load(), relief)
    rows = mouth.attributes[:, 1].astype(int) // 4
    front = mouth.rest[:, 2] < np.quantile(mouth.rest[rows == 0, 2], 0.3)
    middle = np.abs(mouth.rest[:, 0] - mouth.rest[rows == 0, 0].mean()) < 0.2 * fitted.scale_px
    shades = mouth.attributes[(rows == 0) & front & middle, 0]
    # Enamel is as light as before, and what lies between two teeth is not.
    assert np.quantile(shades, 0.9) > 0.85 * 63
    assert np.quantile(shades, 0.1) < 0.5 * np.quantile(shades, 0.9)
