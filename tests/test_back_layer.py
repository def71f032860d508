import numpy as np
import pytest

from obverse.generator.back_layer import BackLayer
from obverse.generator.portrait import Portrait
from obverse.generator.render import Renderer

ZERO = np.zeros(3, np.float32)
FACE = np.zeros(52, np.float32)


@pytest.fixture(scope="module")
def renderer(sitter_portrait: Portrait) -> Renderer:
    return Renderer(sitter_portrait)


def test_it_lies_inside_the_person(renderer: Renderer, sitter_portrait: Portrait) -> None:
    for points in (renderer.back.rest, renderer.back.texture):
        columns, rows = points[:, :2].round().astype(int).T
        assert sitter_portrait.matte[rows, columns].min() > 0.5


def test_nothing_of_it_shows_before_a_turn(renderer: Renderer) -> None:
    back = renderer.back
    away = BackLayer(back.texture, back.rest, back.head_weight, back.triangles[:0])

    def changed(yaw_degrees: float) -> int:
        turn = np.deg2rad([0, yaw_degrees, 0]).astype(np.float32)
        frames = []
        for layer in (back, away):
            renderer.back = layer
            frames.append(renderer.frame(FACE, turn, ZERO).astype(int))
        renderer.back = back
        return int((np.abs(frames[0] - frames[1]).max(2) > 8).sum())

    assert changed(0) < 5
    assert changed(20) + changed(-20) > 20
