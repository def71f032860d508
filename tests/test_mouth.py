import dataclasses

import cv2
import numpy as np
import pytest

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
