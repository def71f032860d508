"""One still becomes a `Portrait`: the face and its geometry, the person cut out, the background
filled in.

Everything that depends on the picture alone is computed here, once, and can be saved.
"""

import dataclasses
import hashlib
import math
import zipfile
from pathlib import Path
from typing import Literal, Self

import cv2
import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError, FaceError, InputError
from obverse.faces.landmarks import Face, FaceReader
from obverse.faces.matte import person_matte
from obverse.faces.pose import head_pose
from obverse.generator.fill import fill_unknown, fill_with_grain
from obverse.generator.quality import judge_still
from obverse.media.still import read_still

__all__ = ["Portrait", "PortraitConfig", "head_window", "make_portrait", "read_portrait"]

MIN_PICTURE_PX = 128
MIN_INTEROCULAR_PX = 16
MAX_YAW_DEGREES = 60.0
_HULL_RIM = 0.12  # interocular distances
# A small face is looked at in a window of which it takes so much, if that is smaller than such a
# share of the picture's longer side.
_NEAR_SHARE, _NEAR_MOST = 0.36, 0.75
_TOLD = 0.5  # of the face that the matte must find, or a warning says so
_HAZE = 0.12  # interocular distances around the person within which a soft matte is hair


@dataclasses.dataclass(frozen=True, slots=True)
class PortraitConfig:
    """How a still is framed."""

    framing: Literal["head", "picture"] = (
        "head"  # a square of head and shoulders, or the whole picture
    )
    head_share: float = 0.44  # of the square's side that the face takes from hairline to chin
    max_side_px: int = 1024  # working resolution; larger pictures are reduced to it
    min_side_px: int = 512  # smaller ones are enlarged to it

    def __post_init__(self) -> None:
        """Refuse settings that cannot be met."""
        if self.framing not in ("head", "picture"):
            raise ConfigError(f"framing is {self.framing!r}; it must be 'head' or 'picture'.")
        if not 0.2 <= self.head_share <= 0.7:
            raise ConfigError(f"head_share is {self.head_share}; it must lie in [0.2, 0.7].")
        if not 128 <= self.min_side_px <= self.max_side_px <= 4096:
            raise ConfigError(
                "portrait sides must satisfy 128 <= min_side_px <= max_side_px <= 4096."
            )


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Portrait:
    """A still, ready to be moved. Pixel coordinates have their centres at whole numbers."""

    picture: npt.NDArray[np.uint8]  # [H, W, 3] RGB, the framed still
    landmarks: npt.NDArray[np.float32]  # [478, 3] px in picture; z away from the camera
    rotation: npt.NDArray[np.float32]  # [3] pitch, yaw, roll of the head, radians
    expression: npt.NDArray[np.float32]  # [52] the still's own coefficients
    matte: npt.NDArray[np.float32]  # [H, W] in [0, 1], the person
    foreground: npt.NDArray[
        np.uint8
    ]  # [H, W, 3] the person's colours, continued beyond the soft edge
    background: npt.NDArray[np.uint8]  # [H, W, 3] the picture with the person filled in
    source_sha256: str
    warnings: tuple[str, ...] = ()

    @property
    def interocular_px(self) -> float:
        """Distance between the eyes' centres in the picture, as if the head faced the camera."""
        return float(_interocular(self.landmarks))

    def save(self, path: Path) -> None:
        """Write the portrait to an `.npz` file."""
        arrays = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        arrays["warnings"] = np.asarray(self.warnings, dtype=np.str_)
        with path.open("wb") as stream:
            np.savez_compressed(stream, **arrays)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a portrait written by `save`."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                values = {f.name: arrays[f.name] for f in dataclasses.fields(cls)}
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{path} is not a saved portrait; make it again from the still."
            ) from error
        values["source_sha256"] = str(values["source_sha256"])
        values["warnings"] = tuple(str(warning) for warning in values["warnings"])
        return cls(**values)


def _interocular(landmarks: npt.NDArray[np.float32]) -> float:
    right = landmarks[[33, 133]].mean(0)
    left = landmarks[[362, 263]].mean(0)
    return float(np.linalg.norm(left - right))


def read_portrait(
    path: Path,
    *,
    face: int = 1,
    config: PortraitConfig | None = None,
    reader: FaceReader | None = None,
) -> Portrait:
    """Read a still (png, jpg, webp, ...) and prepare it to be moved.

    Args:
        path: the still.
        face: which face, 1 for the largest.
        config: framing.
        reader: a landmarker to use again; made here otherwise.

    Raises:
        InputError: the file is not a picture that can be read.
        FaceError: there is no such face, it is too small, or it is turned beyond 60 degrees.
    """
    image = read_still(path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return make_portrait(image, sha256, face=face, config=config, reader=reader, name=str(path))


def make_portrait(
    image: npt.NDArray[np.uint8],
    source_sha256: str,
    *,
    face: int = 1,
    config: PortraitConfig | None = None,
    reader: FaceReader | None = None,
    name: str = "the picture",
) -> Portrait:
    """Prepare a still that is in memory already (`[H, W, 3] uint8 RGB`); see `read_portrait`."""
    config = config or PortraitConfig()
    reader = reader or FaceReader()
    if min(image.shape[:2]) < MIN_PICTURE_PX:
        raise FaceError(
            f"{name} is {image.shape[1]}x{image.shape[0]} px; "
            f"a portrait needs {MIN_PICTURE_PX} px a side."
        )
    chosen = _choose(reader.read(image, drawn=True), face, name)
    x0, y0, width, height = head_window(image.shape, chosen, config)
    cropped = image[y0 : y0 + height, x0 : x0 + width]
    scale = _scale(width, height, config)
    size = tuple(max(2, round(side * scale / 2) * 2) for side in (width, height))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LANCZOS4
    picture = (
        cv2.resize(cropped, size, interpolation=interpolation) if scale != 1 else cropped.copy()
    )
    landmarks = (chosen.landmarks - np.array([x0 - 0.5, y0 - 0.5, 0], np.float32)) * np.float32(
        scale
    )
    landmarks -= np.array([0.5, 0.5, 0], np.float32)
    rotation = np.asarray(head_pose(landmarks)[0], np.float32)
    yaw = abs(math.degrees(float(rotation[1])))
    if yaw > MAX_YAW_DEGREES:
        raise FaceError(
            f"the face in {name} is turned {yaw:.0f} degrees away; "
            f"at most {MAX_YAW_DEGREES:.0f} can be moved."
        )
    warnings = judge_still(image, chosen, rotation, reader.doubt(image, chosen))
    seen = _matte_of(picture, landmarks)
    if float(seen[_hull(landmarks, seen.shape, _interocular(landmarks)) > 0].mean()) < _TOLD:
        warnings += (
            "person hardly told from the background: hair and shoulders may stay where they are",
        )
    matte, foreground, background = _cut_out(picture, seen, landmarks, source_sha256)
    return Portrait(
        picture=picture,
        landmarks=landmarks.astype(np.float32),
        rotation=rotation,
        expression=np.asarray(chosen.expression, np.float32),
        matte=matte,
        foreground=foreground,
        background=background,
        source_sha256=source_sha256,
        warnings=warnings,
    )


def _choose(faces: list[Face], number: int, name: str) -> Face:
    if not faces:
        raise FaceError(
            f"no face was found in {name}; choose a picture with one face seen from the front."
        )
    if not 1 <= number <= len(faces):
        raise FaceError(
            f"{name} has {len(faces)} face(s); face {number} does not exist, count from 1."
        )
    chosen = faces[number - 1]
    distance = _interocular(chosen.landmarks)
    if distance < MIN_INTEROCULAR_PX:
        raise FaceError(
            f"the face in {name} has {distance:.0f} px between its eyes; "
            f"at least {MIN_INTEROCULAR_PX} are needed."
        )
    return chosen


def head_window(
    shape: tuple[int, ...], face: Face, config: PortraitConfig
) -> tuple[int, int, int, int]:
    """Return the window (x0, y0, width, height) that a still is framed by.

    It never leaves the picture, so no border is invented.
    """
    height, width = shape[:2]
    if config.framing == "picture":
        return 0, 0, width, height
    points = face.landmarks[:, :2]
    forehead, chin = points[10], points[152]
    tall = float(np.linalg.norm(chin - forehead))
    # A profile hides width and a nod hides height: take the larger of the two views of the face's
    # size.
    tall = max(tall, 2.0 * _interocular(face.landmarks))
    side = min(round(tall / config.head_share), width, height)
    centre = 0.5 * (forehead + chin)
    x0 = round(float(centre[0]) - side / 2)
    y0 = round(float(centre[1]) - 0.47 * side)
    return min(max(x0, 0), width - side), min(max(y0, 0), height - side), side, side


def _scale(width: int, height: int, config: PortraitConfig) -> float:
    longest = max(width, height)
    if longest > config.max_side_px:
        return config.max_side_px / longest
    if longest < config.min_side_px:
        return config.min_side_px / longest
    return 1.0


def _matte_of(
    picture: npt.NDArray[np.uint8], landmarks: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Return the person's matte `[H, W]`. A person who is small in the picture is looked at from
    near by as well: the network sees 256 px.
    """
    matte = np.asarray(person_matte(picture), np.float32)
    size = np.array(picture.shape[1::-1])
    low, high = landmarks[:468, :2].min(0), landmarks[:468, :2].max(0)
    half = 0.5 * float((high - low).max()) / _NEAR_SHARE
    if 2 * half > _NEAR_MOST * size.max():
        return matte
    first = np.clip(np.floor(0.5 * (low + high) - half), 0, size).astype(int)
    last = np.clip(np.ceil(0.5 * (low + high) + half), 0, size).astype(int)
    window = (slice(first[1], last[1]), slice(first[0], last[0]))
    near = np.asarray(person_matte(np.ascontiguousarray(picture[window])), np.float32)
    # Towards edges that are not the picture's own the two views give way to one another.
    edges = np.pad(np.ones(near.shape, np.uint8), 1)
    for axis, flat in ((1, edges), (0, edges.T)):
        flat[0] = first[axis] == 0
        flat[-1] = last[axis] == size[axis]
    inwards = cv2.distanceTransform(edges, cv2.DIST_L2, 5)[1:-1, 1:-1]
    share = np.clip(inwards / (0.1 * half), 0, 1)
    matte[window] += share * (near - matte[window])
    return matte


def _hull(
    landmarks: npt.NDArray[np.float32], shape: tuple[int, ...], interocular: float
) -> npt.NDArray[np.uint8]:
    """Return the face `[H, W]`, 255 within its hull but for the rim."""
    hull = cv2.convexHull(landmarks[:468, :2].astype(np.float32)).astype(np.int32)
    inside = np.zeros(shape, np.uint8)
    cv2.fillConvexPoly(inside, hull, 255)
    rim = 2 * max(1, round(_HULL_RIM * interocular)) + 1
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (rim, rim))
    return np.asarray(cv2.erode(inside, element), np.uint8)


def _cut_out(
    picture: npt.NDArray[np.uint8],
    matte: npt.NDArray[np.float32],
    landmarks: npt.NDArray[np.float32],
    source_sha256: str,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    # The face is the person, whatever the matte thinks of a painted one; but the hull bridges what
    # is hollow between ear and jaw, so its rim is left to the matte.
    interocular = _interocular(landmarks)
    inside = _hull(landmarks, matte.shape, interocular)
    soft = cv2.GaussianBlur(inside, (0, 0), max(interocular * 0.03, 1.0)).astype(np.float32) / 255
    matte = np.maximum(matte, soft)
    # Only what hangs together with the face moves with it.
    count, labels = cv2.connectedComponents((matte > 0.35).astype(np.uint8))
    if count > 2:
        nose = landmarks[1, :2].round().astype(int)
        row, column = (np.clip(nose[::-1], 0, np.array(matte.shape) - 1)).tolist()
        own = cv2.dilate(
            (labels == labels[row, column]).astype(np.uint8), np.ones((5, 5), np.uint8)
        )
        matte = matte * np.maximum(own, (matte <= 0.35)).astype(np.float32)
    # Far from everything that is surely the person, a half-hearted matte is haze.
    away = cv2.distanceTransform((matte < 0.9).astype(np.uint8), cv2.DIST_L2, 5)
    matte = matte * np.clip(2 - away / (_HAZE * interocular), 0, 1).astype(np.float32)
    reach = max(3, round(interocular * 0.10)) | 1
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    sure_background = 1.0 - cv2.dilate((matte > 0.03).astype(np.uint8), element).astype(np.float32)
    rng = np.random.default_rng(int(source_sha256[:16], 16))
    background = fill_with_grain(picture, sure_background, rng)
    if (
        sure_background.mean() < 0.01
    ):  # a face that fills the frame: nothing is known of what lies behind
        background = picture.copy()
    sure_person = cv2.erode((matte > 0.92).astype(np.uint8), np.ones((3, 3), np.uint8)).astype(
        np.float32
    )
    extended = fill_unknown(picture, np.maximum(sure_person, 1e-6))
    share = np.clip((matte - 0.5) / 0.45, 0, 1)[..., None]
    foreground = picture * share + extended * (1 - share)
    return matte, np.clip(foreground + 0.5, 0, 255).astype(np.uint8), background
