"""One face is like itself and its copies, and unlike others."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from obverse.errors import ConfigError
from obverse.faces.landmarks import FaceReader
from obverse.faces.likeness import DIMENSIONS, LikenessReader, csim
from obverse.media.still import read_still

PEOPLE = ("02d8145fc1.jpg", "0136150bdb.jpg", "0b41b5eb4b.jpg", "1191be4aff.jpg")

Image = npt.NDArray[np.uint8]


def likeness(reader: FaceReader, image: Image) -> npt.NDArray[np.float32]:
    return LikenessReader().embed(image, reader.read(image)[0])


@pytest.fixture(scope="module")
def people(shared: Path) -> list[Image]:
    return [read_still(shared / "portraits" / "synthetic" / name) for name in PEOPLE]


def test_a_vector_of_length_one_that_is_the_same_again(
    face_reader: FaceReader, people: list[Image]
) -> None:
    first = likeness(face_reader, people[0])
    assert first.shape == (DIMENSIONS,)
    assert float(np.linalg.norm(first)) == pytest.approx(1, abs=1e-5)
    assert np.array_equal(first, likeness(face_reader, people[0]))


def test_copies_are_nearer_than_other_people(face_reader: FaceReader, people: list[Image]) -> None:
    vectors = [likeness(face_reader, image) for image in people]
    height, width = people[0].shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 8, 0.8)
    copies = [
        np.asarray(cv2.warpAffine(people[0], turn, (width, height)), np.uint8),
        np.asarray(cv2.GaussianBlur(people[0], (0, 0), 1.5), np.uint8),
        (people[0] * 0.7).astype(np.uint8),
    ]
    same = [csim(vectors[0], likeness(face_reader, copy)) for copy in copies]
    others = [csim(a, b) for i, a in enumerate(vectors) for b in vectors[:i]]
    assert min(same) > 0.9
    assert max(others) < 0.5


def test_the_cosine_of_known_vectors() -> None:
    a = np.array([3.0, 4.0])
    assert csim(a, 2 * a) == pytest.approx(1)
    assert csim(a, -a) == pytest.approx(-1)
    assert csim(a, np.array([4.0, -3.0])) == pytest.approx(0)


def test_what_is_no_embedding_is_refused() -> None:
    with pytest.raises(ConfigError, match="one length"):
        csim(np.ones(128), np.ones(64))
    with pytest.raises(ConfigError, match="zero"):
        csim(np.ones(4), np.zeros(4))
