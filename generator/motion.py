"""Motion, the one language of faces: expression coefficients and head pose over time.

Every method speaks it: the speech model writes it, a driving video is read into it, sitters perform
it and renderers consume it. Editing pose without expression is a matter of slicing an array.
"""

import dataclasses
import zipfile
import zlib
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError, InputError

__all__ = [
    "EXPRESSIONS",
    "FPS",
    "UNREADABLE_ARRAYS",
    "Motion",
    "expression_index",
    "rotation_matrix",
]

FPS = 25

# Beyond these a file holds no performance. Heads far from the camera lie well away from the rest.
_MOST_TURN = 1.3  # radians
_MOST_SHIFT = (3.0, 3.0, 15.0)  # interocular distances, along x, y and z

# Apple's ARKit blend-shape locations in alphabetical order, the order of the landmarker's own
# outputs once its first output, _neutral, is left out, with tongueOut as the 52nd. "Left" is the
# sitter's left (the picture's right).
EXPRESSIONS: tuple[str, ...] = (
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight",
    "eyeLookDownLeft", "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft",
    "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft", "eyeSquintRight",
    "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose",
    "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel",
    "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight",
    "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower",
    "mouthShrugUpper", "mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight",
    "mouthUpperUpLeft", "mouthUpperUpRight", "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip

_INDEX = {name: index for index, name in enumerate(EXPRESSIONS)}


def expression_index(name: str) -> int:
    """Return the column of an expression coefficient by its ARKit name."""
    if name not in _INDEX:
        raise ConfigError(
            f"{name!r} is not an ARKit expression; see obverse.generator.motion.EXPRESSIONS."
        )
    return _INDEX[name]


def rotation_matrix(rotation: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the rotation matrices `[..., 3, 3]` of (pitch, yaw, roll) `[..., 3]` in radians.

    The frame is the camera's: x right, y down, z away. Positive pitch nods the face down, positive
    yaw turns it to the picture's right, positive roll tilts it clockwise as seen. R = Rz(roll)
    Ry(-yaw) Rx(pitch).
    """
    angles = np.asarray(rotation, dtype=np.float64)
    # A face looks along -z. Rx(a) takes -z to (0, sin a, -cos a): down for a > 0.
    # Ry(-yaw) takes -z to (sin yaw, 0, -cos yaw): right for yaw > 0.
    cosines, sines = np.cos(angles), np.sin(angles)
    cp, cy, cr = (cosines[..., axis] for axis in range(3))
    sp, sy, sr = (sines[..., axis] for axis in range(3))
    matrix = np.empty((*angles.shape, 3))
    matrix[..., 0, 0] = cr * cy
    matrix[..., 0, 1] = -cr * sy * sp - sr * cp
    matrix[..., 0, 2] = -cr * sy * cp + sr * sp
    matrix[..., 1, 0] = sr * cy
    matrix[..., 1, 1] = -sr * sy * sp + cr * cp
    matrix[..., 1, 2] = -sr * sy * cp - cr * sp
    matrix[..., 2, 0] = sy
    matrix[..., 2, 1] = cy * sp
    matrix[..., 2, 2] = cy * cp
    return matrix


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """A performance at 25 frames a second, `T` frames long."""

    expression: npt.NDArray[
        np.float32
    ]  # [T, 52] in [0, 1], in the order of EXPRESSIONS; 0 is the neutral face
    rotation: npt.NDArray[
        np.float32
    ]  # [T, 3] pitch, yaw, roll in radians, relative to the performer's rest pose
    translation: npt.NDArray[np.float32]  # [T, 3] x right, y down, z away, in interocular distances

    def __post_init__(self) -> None:
        """Refuse arrays whose shapes disagree, and values that are not finite."""
        frames = len(self.expression)
        shapes = (self.expression.shape, self.rotation.shape, self.translation.shape)
        if shapes != ((frames, len(EXPRESSIONS)), (frames, 3), (frames, 3)):
            raise ConfigError(f"a Motion needs shapes [T, 52], [T, 3] and [T, 3], not {shapes}.")
        if not all(
            np.isfinite(part).all() for part in (self.expression, self.rotation, self.translation)
        ):
            raise ConfigError(
                "a Motion holds values that are not finite; clean them before building it."
            )

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.expression)

    def __getitem__(self, frames: slice) -> Self:
        """Return the performance of a range of frames."""
        return type(self)(self.expression[frames], self.rotation[frames], self.translation[frames])

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self) / FPS

    @classmethod
    def still(cls, frames: int) -> Self:
        """Return `frames` frames of a neutral face at rest."""
        return cls(
            np.zeros((frames, len(EXPRESSIONS)), np.float32),
            np.zeros((frames, 3), np.float32),
            np.zeros((frames, 3), np.float32),
        )

    def with_expression(self, **tracks: npt.ArrayLike) -> Self:
        """Return a copy with some coefficients replaced, as in
        `motion.with_expression(jawOpen=0.4)`.
        """
        expression = self.expression.copy()
        for name, track in tracks.items():
            expression[:, expression_index(name)] = np.asarray(track, np.float32)
        return type(self)(expression, self.rotation, self.translation)

    def save(self, path: Path) -> None:
        """Write the performance to an `.npz` file."""
        with path.open("wb") as stream:
            np.savez_compressed(
                stream,
                expression=self.expression,
                rotation=self.rotation,
                translation=self.translation,
            )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a performance written by `save`.

        Raises:
            InputError: the file is none, or holds what no head does.
        """
        none = f"{path} is not a motion file (.npz with expression, rotation, translation)."
        if path.exists() and not path.is_file():
            raise InputError(none)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                parts = [arrays[field.name] for field in dataclasses.fields(cls)]
        except UNREADABLE_ARRAYS as error:
            raise InputError(none) from error
        if any(not np.issubdtype(part.dtype, np.floating) for part in parts):
            raise InputError(
                f"{path} holds arrays of {', '.join(str(part.dtype) for part in parts)}; a motion "
                "file's must be floating-point numbers."
            )
        with np.errstate(over="ignore"):  # what is too large is then not finite
            expression, rotation, translation = (part.astype(np.float32) for part in parts)
        try:
            motion = cls(expression, rotation, translation)
        except ConfigError as error:
            raise InputError(f"{path} holds no motion: {error}") from error
        except TypeError as error:  # a single number has no length
            raise InputError(none) from error
        for name, part, low, high in (
            ("expression", expression, -0.01, 1.01),
            ("rotation", rotation, -_MOST_TURN, _MOST_TURN),
            *(
                (f"translation {axis}", translation[:, index], -most, most)
                for index, (axis, most) in enumerate(zip("xyz", _MOST_SHIFT, strict=True))
            ),
        ):
            if part.size and not low <= part.min() <= part.max() <= high:
                raise InputError(
                    f"{path} holds {name} from {part.min():.3g} to {part.max():.3g}; it must lie "
                    f"in [{low:g}, {high:g}]."
                )
        return cls(np.clip(motion.expression, 0.0, 1.0), rotation, translation)


# What numpy raises of files that are damaged, encrypted, of other compression, or one bare array.
UNREADABLE_ARRAYS = (
    OSError, EOFError, KeyError, ValueError, TypeError, NotImplementedError, RuntimeError,
    MemoryError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
