"""A head's pose comes back from landmarks that were posed."""

from pathlib import Path

import numpy as np
import pytest

from obverse.errors import ConfigError
from obverse.faces.landmarks import FaceReader
from obverse.faces.pose import canonical_face, euler_angles, head_pose
from obverse.generator.motion import rotation_matrix
from obverse.media.still import read_still

PAINTINGS = Path(__file__).resolve().parents[2] / "shared" / "portraits" / "paintings"
POSES = [
    (0, 0, 0),
    (0.3, 0, 0),
    (-0.3, 0, 0),
    (0, 0.7, 0),
    (0, -0.7, 0),
    (0, 0, 0.5),
    (0.2, -0.4, 1.5),
]


def test_the_canonical_face_has_unit_eye_distance_and_looks_at_the_viewer() -> None:
    face = canonical_face()
    assert face.vertices.shape == (468, 3)
    assert face.rigidity.sum() == pytest.approx(1)
    middles = [face.vertices[list(corners)].mean(axis=0) for corners in ((33, 133), (362, 263))]
    assert middles[1] - middles[0] == pytest.approx([1, 0, 0], abs=1e-6)
    assert face.vertices[:, 2].argmin() in (1, 4)  # the tip of the nose is nearest
    assert face.triangles.min() == 0
    assert face.triangles.max() == 467


@pytest.mark.parametrize("rotation", POSES)
def test_angles_invert_the_rotation_matrix(rotation: tuple[float, float, float]) -> None:
    assert euler_angles(rotation_matrix(rotation)) == pytest.approx(rotation)


@pytest.mark.parametrize("rotation", POSES)
def test_a_posed_face_gives_its_pose_back(rotation: tuple[float, float, float]) -> None:
    posed = 80 * canonical_face().vertices @ rotation_matrix(rotation).T + (300, 200, 5)
    irises = np.zeros((10, 3))
    pose = head_pose(np.concatenate([posed, irises]))
    assert pose.rotation == pytest.approx(rotation, abs=1e-6)
    assert pose.scale == pytest.approx(80)
    assert pose.centre == pytest.approx([300, 200])


def test_the_signs_are_those_of_motion() -> None:
    """The nose of a face that nods, turns or tilts goes where motion.py says."""
    nose, brow = canonical_face().vertices[1], canonical_face().vertices[10]
    assert (rotation_matrix((0.3, 0, 0)) @ nose)[1] > nose[1]  # nodding: down
    assert (rotation_matrix((0, 0.3, 0)) @ nose)[0] > 0.2  # to the picture's right
    assert (rotation_matrix((0, 0, 0.3)) @ brow)[0] > 0.2  # clockwise: the forehead to the right


def test_noise_on_the_landmarks_moves_the_pose_little() -> None:
    rotation = (0.1, -0.3, 0.05)
    posed = 100 * canonical_face().vertices @ rotation_matrix(rotation).T
    noise = np.random.default_rng(0).normal(0, 1, posed.shape)
    assert head_pose(posed + noise).rotation == pytest.approx(rotation, abs=0.02)


def test_too_few_landmarks_are_refused() -> None:
    with pytest.raises(ConfigError, match="68"):
        head_pose(np.zeros((68, 3)))


@pytest.mark.skipif(not PAINTINGS.is_dir(), reason="needs the shared portraits")
def test_the_girl_with_a_pearl_earring_looks_over_her_shoulder() -> None:
    faces = FaceReader().read(read_still(PAINTINGS / "girl_with_a_pearl_earring.jpg"))
    _, yaw, roll = np.degrees(head_pose(faces[0].landmarks).rotation)
    assert -50 < yaw < -20
    assert 0 < roll < 25
