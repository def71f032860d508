"""Pairs that the mouth refiner learns from: a frame as the renderer draws it, and what the camera
would have seen.

Two sources, neither of them a person who exists. A photograph with parted lips is its own truth:
the renderer closes its mouth and opens it again, which replaces what lay between the lips by the
renderer's own drawing, and the photograph, warped alike, is the target. A sitter performs a motion
itself, and its true frame, brought under the rendered one landmark by landmark, is the target.
Sitters' teeth are drawn, too, and drawn less well than those of photographs: they teach lips,
shadow and time more than enamel.

    python -m obverse.generator.refine_data --work DIR --photographs FOLDER --sitters 60

writes one `.npz` a source into DIR and goes on where it was interrupted.
"""

import argparse
import dataclasses
import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
from scipy.optimize import lsq_linear

from obverse.errors import FaceError, InputError
from obverse.faces.landmarks import FaceReader
from obverse.faces.topology import face_triangles
from obverse.files import draft_of
from obverse.generator.contours import (
    LIPS_INNER_LOWER,
    LIPS_INNER_UPPER,
    LIPS_OUTER_LOWER,
    LIPS_OUTER_UPPER,
)
from obverse.generator.motion import EXPRESSIONS, expression_index
from obverse.generator.portrait import Portrait, make_portrait, read_portrait
from obverse.generator.refine import (
    CROP_HEIGHT,
    CROP_WIDTH,
    SPAN,
    MouthCrop,
    crop_mouth,
    mouth_appearance,
)
from obverse.generator.render import Renderer
from obverse.generator.sitters.sitter import Sitter
from obverse.generator.warp import rasterise

__all__ = [
    "MouthPairs",
    "RefineDataConfig",
    "Witness",
    "build_pairs",
    "draw_speech_faces",
    "flat_mouth",
    "is_held_out",
    "photograph_pairs",
    "reopening",
    "sitter_pairs",
]

_log = logging.getLogger(__name__)
FloatArray = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]

LANDMARKS = 468
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_HELD_OUT_ONE_IN = 8
_PARTED = 0.05  # interocular distances between the lips from which a photograph shows its mouth
_MISS = 0.03  # interocular distances, root mean square: what the reopened lips may be off
# A mouth this wide open (interocular distances) whose lower half is this light beside its lightest
# parts is filled by a tongue that is put out; what it would teach is no speech.
_WIDE, _FILLED = 0.3, 0.6
_TURNED = np.deg2rad(40.0)  # beyond, the far half of a mouth is guessed by everybody
_MOUTH = tuple(
    index
    for index, name in enumerate(EXPRESSIONS)
    if name.startswith(("mouth", "jaw")) and name != "mouthClose"
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RefineDataConfig:
    """What pairs are made."""

    work: Path  # folder for one .npz a source
    photographs: Path | None = None  # folder of pictures, one face each; none are used without it
    sitters: int = 60
    pairs: int = 6  # of consecutive frames a source
    seed: int = 11

    def __post_init__(self) -> None:
        """Refuse counts that make no data."""
        if self.sitters < 0 or self.pairs < 1:
            raise InputError(f"{self.sitters} sitters with {self.pairs} pairs make no data.")


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class MouthPairs:
    """Mouth crops of one source: `N` moments of two consecutive frames each."""

    source: str  # such as sitter-12 or photograph-0a1b2c
    drawn: Image  # [N, 2, H, W, 3] RGB as rendered
    truth: Image  # [N, 2, H, W, 3] as it should be
    opening: Image  # [N, 2, H, W] 255 between the lips
    region: Image  # [N, 2, H, W] 255 where pixels may change
    appearance: FloatArray  # [len(APPEARANCE)]

    @property
    def held_out(self) -> bool:
        """Return whether training never sees this source."""
        return is_held_out(self.source)

    def save(self, path: Path) -> None:
        """Write to an `.npz` file, whole or not at all."""
        with draft_of(path) as draft, draft.open("wb") as stream:
            np.savez_compressed(
                stream, **{f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
            )

    @classmethod
    def load(cls, path: Path) -> "MouthPairs":
        """Read a file written by `save`."""
        with np.load(path, allow_pickle=False) as arrays:
            values = {f.name: arrays[f.name] for f in dataclasses.fields(cls)}
        values["source"] = str(values["source"])
        return cls(**values)


def is_held_out(source: str) -> bool:
    """Return whether a source is kept from training: one in eight, by a hash of its name."""
    digest = hashlib.sha256(source.encode()).digest()
    return int.from_bytes(digest[:4], "big") % _HELD_OUT_ONE_IN == 0


def draw_speech_faces(rng: np.random.Generator, count: int) -> FloatArray:
    """Draw mouths as speech makes them, `[count, 2, 52]`: each a moment and the next frame."""
    faces = np.zeros((count, 2, len(EXPRESSIONS)))

    def put(row: int, names: tuple[str, ...], value: float, pace: float) -> None:
        for name in names:
            index = expression_index(name)
            skew = rng.normal(0.0, 0.05) * value if len(names) > 1 else 0.0
            faces[row, 0, index] = value + skew
            faces[row, 1, index] = value + skew + pace

    for row in range(count):
        kind: Literal["open", "spread", "round", "teeth"] = rng.choice(
            ["open", "spread", "round", "teeth"], p=[0.4, 0.25, 0.2, 0.15]
        )
        pace = rng.normal(0.0, 0.04)
        jaw = float(np.clip(abs(rng.normal(0.16, 0.14)), 0.02, 0.65))
        put(row, ("jawOpen",), jaw, pace)
        lips = ("mouthLowerDownLeft", "mouthLowerDownRight")
        put(row, lips, float(rng.uniform(0, 0.35)), 0.5 * pace)
        uppers = ("mouthUpperUpLeft", "mouthUpperUpRight")
        put(row, uppers, float(rng.uniform(0, 0.25)), 0.3 * pace)
        if kind == "spread":
            put(row, ("mouthStretchLeft", "mouthStretchRight"), float(rng.uniform(0.1, 0.5)), 0.0)
            put(row, ("mouthSmileLeft", "mouthSmileRight"), float(rng.uniform(0, 0.7)), 0.0)
        elif kind == "round":
            put(row, ("mouthFunnel",), float(rng.uniform(0.1, 0.7)), 0.5 * pace)
            put(row, ("mouthPucker",), float(rng.uniform(0, 0.4)), -0.3 * pace)
        elif kind == "teeth":
            put(row, lips, float(rng.uniform(0.3, 0.8)), 0.0)
            put(row, uppers, float(rng.uniform(0.2, 0.6)), 0.0)
    return np.clip(faces, 0.0, 1.0).astype(np.float32)


class Witness:
    """A painter that paints nothing and remembers where the landmarks were drawn."""

    def __init__(self) -> None:
        """See nothing yet."""
        self.sheet: FloatArray = np.zeros((LANDMARKS, 3), np.float32)

    def paint(self, image: Image, points: FloatArray, coefficients: FloatArray) -> None:
        """Remember the points."""
        del image, coefficients
        self.sheet = points[:LANDMARKS].copy()


def _all_triangles() -> npt.NDArray[np.int32]:
    """Return the face's triangles and those between the lips."""
    upper, lower = np.array(LIPS_INNER_UPPER), np.array(LIPS_INNER_LOWER)
    between = np.concatenate(
        [
            np.stack([upper[:-1], upper[1:], lower[:-1]], 1)[1:],
            np.stack([upper[1:], lower[1:], lower[:-1]], 1)[:-1],
        ]
    )
    lips = {*LIPS_INNER_UPPER, *LIPS_INNER_LOWER}
    face = [corners for corners in face_triangles().tolist() if not set(corners) <= lips]
    return np.ascontiguousarray(np.concatenate([np.array(face), between]), dtype=np.int32)


def _carried(picture: Image, seen: FloatArray, sheet: FloatArray, crop: MouthCrop) -> Image:
    """Return the crop of a picture whose landmarks `seen` [468, 2] px are carried to `sheet`.

    Pixels that no triangle reaches keep alpha 0: `[H, W, 4]`.
    """
    points = sheet[:LANDMARKS].astype(np.float64)
    points[:, :2] = (points[:, :2] - crop.to_frame[:, 2]) @ np.linalg.inv(crop.to_frame[:, :2]).T
    depth = np.empty((CROP_HEIGHT, CROP_WIDTH), np.float32)
    where = np.zeros((CROP_HEIGHT, CROP_WIDTH, 2), np.float32)
    opacity = np.zeros((CROP_HEIGHT, CROP_WIDTH), np.float32)
    attributes = np.concatenate([seen[:LANDMARKS, :2], np.ones((LANDMARKS, 1))], 1)
    window = (0, 0, CROP_WIDTH, CROP_HEIGHT)
    rasterise(
        np.ascontiguousarray(points, dtype=np.float32),
        _all_triangles(),
        np.ascontiguousarray(attributes, dtype=np.float32),
        depth,
        where,
        opacity,
        window,
    )
    fetched = cv2.remap(picture, where, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    covered = (opacity > 0.5).astype(np.uint8) * np.uint8(255)
    return np.dstack([fetched, covered])


Moment = tuple[Image, Image, Image, Image]


def _moment(image: Image, sheet: FloatArray, picture: Image, seen: FloatArray) -> Moment | None:
    """Return drawn, truth, opening and region of one frame; None where the lips are sealed."""
    crop = crop_mouth(sheet)
    if crop is None:
        return None
    drawn = crop.cut(image)
    carried = _carried(picture, seen, sheet, crop)
    truth = np.where(carried[..., 3:] > 0, carried[..., :3], drawn)
    opening, region = (np.round(m * 255).astype(np.uint8) for m in (crop.opening, crop.region))
    return drawn, truth, opening, region


def _pairs(source: str, portrait: Portrait, moments: list[tuple[Moment, Moment]]) -> MouthPairs:
    drawn, truth, opening, region = (
        np.stack([np.stack([moment[part] for moment in both]) for both in moments])
        for part in range(4)
    )
    return MouthPairs(source, drawn, truth, opening, region, mouth_appearance(portrait))


def reopening(renderer: Renderer) -> tuple[FloatArray, float]:
    """Return the coefficients `[52]` that bring a portrait's closed mouth back to how the still
    holds it, and by how much the lips miss, in interocular distances.
    """
    relief, size = renderer.relief, renderer.fitted.scale_px
    lips = sorted({*LIPS_INNER_UPPER, *LIPS_INNER_LOWER, *LIPS_OUTER_UPPER, *LIPS_OUTER_LOWER})
    wanted = (relief.texture[lips] - relief.rest[lips, :2]) / size
    design = relief.basis[list(_MOUTH)][:, lips, :2].reshape(len(_MOUTH), -1).T / size
    ridge = 0.02 * np.eye(len(_MOUTH))
    solved = lsq_linear(
        np.concatenate([design, ridge]),
        np.concatenate([wanted.ravel(), np.zeros(len(_MOUTH))]),
        (0.0, 1.5),
    ).x
    coefficients = np.zeros(len(EXPRESSIONS), np.float32)
    coefficients[list(_MOUTH)] = solved
    miss = (design @ solved - wanted.ravel()).reshape(-1, 2)
    return coefficients, float(np.sqrt((miss**2).sum(1).mean()))


def _parting(portrait: Portrait) -> float:
    points = portrait.landmarks[:, :2]
    gaps = points[list(LIPS_INNER_LOWER)] - points[list(LIPS_INNER_UPPER)]
    return float(np.linalg.norm(gaps, axis=1).max()) / portrait.interocular_px


def photograph_pairs(
    source: str, portrait: Portrait, count: int, rng: np.random.Generator
) -> MouthPairs | None:
    """Return pairs from a photograph with parted lips, None from one that cannot serve."""
    if _parting(portrait) < _PARTED or abs(float(portrait.rotation[1])) > _TURNED:
        return None
    witness = Witness()
    renderer = Renderer(portrait, painter=witness)
    opened, miss = reopening(renderer)
    if miss > _MISS:
        return None
    moments: list[tuple[Moment, Moment]] = []
    for _ in range(count):
        gain, pace = rng.uniform(0.8, 1.15), rng.normal(0.0, 0.06)
        turn = rng.normal(0.0, np.deg2rad(3.0), 3)
        both: list[Moment] = []
        for step in range(2):
            image = renderer.frame(
                opened * (gain + step * pace),
                turn + step * rng.normal(0.0, np.deg2rad(0.3), 3),
                np.zeros(3),
            )
            moment = _moment(image, witness.sheet, portrait.picture, renderer.relief.texture)
            if moment is not None:
                both.append(moment)
        if len(both) == 2:
            moments.append((both[0], both[1]))
    if not moments or _tongue_out(moments[0][0]):
        return None
    return _pairs(source, portrait, moments)


def _tongue_out(moment: Moment) -> bool:
    _, truth, opening, _ = moment
    inside = opening > 127
    high = np.flatnonzero(inside.any(1))
    if inside.sum(0).max() < _WIDE * CROP_WIDTH / SPAN:
        return False
    luma = cv2.medianBlur(truth, 5).astype(np.float32) @ _LUMA
    y, x = np.indices(inside.shape)
    low = inside & (y > high[0] + 0.6 * len(high)) & (abs(x - (CROP_WIDTH - 1) / 2) < 16)
    if not low.any():
        return False
    return bool(np.median(luma[low]) > _FILLED * np.quantile(luma[inside], 0.95))


def sitter_pairs(
    seed: int, count: int, rng: np.random.Generator, reader: FaceReader | None = None
) -> MouthPairs | None:
    """Return pairs from a sitter, None where the landmarker does not find its face."""
    sitter = Sitter.from_seed(seed)
    try:
        portrait = make_portrait(sitter.still(512), f"{seed:064x}", reader=reader)
    except FaceError:
        return None
    witness = Witness()
    renderer = Renderer(portrait, painter=witness)
    moments: list[tuple[Moment, Moment]] = []
    for faces in draw_speech_faces(rng, count):
        turn = rng.normal(0.0, np.deg2rad(4.0), 3)
        both: list[Moment] = []
        for step in range(2):
            now = turn + step * rng.normal(0.0, np.deg2rad(0.3), 3)
            image = renderer.frame(faces[step], now, np.zeros(3))
            # A sitter rests with its own slight smile, which its still holds already.
            face = np.clip(faces[step] + sitter.appearance.resting, 0, 1)
            true = sitter.frame(face, now, np.zeros(3), 512)
            moment = _moment(image, witness.sheet, true.image, true.landmarks)
            if moment is not None:
                both.append(moment)
        if len(both) == 2:
            moments.append((both[0], both[1]))
    return _pairs(f"sitter-{seed}", portrait, moments) if moments else None


def flat_mouth(truth: Image, drawn: Image, opening: Image, white: npt.ArrayLike) -> Image:
    """Return `drawn` with a mouth as the renderer would shade it, laid out as the truth's is.

    The renderer places teeth by a fitted head and misses; trained on that alone, a network learns
    to paint an average of all places. Here enamel, tongue and dark are found in the truth and
    filled flat, which teaches it to keep to what it is given.

    Args:
        truth: `[H, W, 3]` RGB.
        drawn: `[H, W, 3]`.
        opening: `[H, W]` 255 between the lips.
        white: `[3]` what white looks like in the picture's light, in [0, 1].
    """
    light = np.asarray(white, np.float32) * 255.0
    calm = cv2.medianBlur(truth, 9).astype(np.float32)
    inside = opening > 127
    if inside.sum() < 24:
        return drawn.copy()
    luma = calm @ _LUMA / max(float(light @ _LUMA), 1.0)
    bright = float(np.quantile(luma[inside], 0.95))
    balanced = calm / np.maximum(light, 1.0)
    red = balanced[..., 0] / np.maximum(balanced.mean(-1), 1e-3)
    # Teeth in the shadow of a cheek are still the colour of the light.
    enamel = (luma > max(0.4 * bright, 0.16)) & (red < 1.25)
    tongue = ~enamel & (luma > 0.16)
    # As light as the truth is around: what is learnt is the detail, and lightness is kept.
    share = opening.astype(np.float32) / 255.0
    around = cv2.GaussianBlur(luma * share, (0, 0), 5.0) / np.maximum(
        cv2.GaussianBlur(share, (0, 0), 5.0), 1e-3
    )
    flat = np.zeros_like(calm)
    for chosen, material, low, high in (
        (~enamel & ~tongue, (0.40, 0.15, 0.14), 0.1, 0.7),
        (tongue, (0.72, 0.36, 0.34), 0.3, 1.0),
        (enamel, (0.97, 0.91, 0.83), 0.3, 1.0),
    ):
        colour = np.asarray(material, np.float32)
        shade = np.clip(around / float(colour @ _LUMA), low, high)[..., None]
        flat = np.where(chosen[..., None], light * colour * shade, flat)
    soft = cv2.GaussianBlur(flat.astype(np.float32), (0, 0), 1.0)
    share = opening.astype(np.float32)[..., None] / 255.0
    return (
        np.asarray(drawn + share * (soft - drawn) + 0.5, np.float32).clip(0, 255).astype(np.uint8)
    )


def _sources(config: RefineDataConfig) -> Iterator[tuple[str, Path | int]]:
    if config.photographs is not None:
        for path in sorted(config.photographs.iterdir()):
            if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"):
                yield f"photograph-{path.stem}", path
    for seed in range(config.sitters):
        yield f"sitter-{seed}", seed


def build_pairs(config: RefineDataConfig) -> list[Path]:
    """Make what is not there yet; returns the files, sorted. A source that cannot serve leaves an
    empty `.none` file.
    """
    config.work.mkdir(parents=True, exist_ok=True)
    reader = FaceReader()
    made = []
    for source, origin in _sources(config):
        path = config.work / f"{source}.npz"
        refused = path.with_suffix(".none")
        if not path.is_file() and not refused.is_file():
            rng = np.random.default_rng(
                [config.seed, int.from_bytes(hashlib.sha256(source.encode()).digest()[:4], "big")]
            )
            pairs = None
            if isinstance(origin, int):
                pairs = sitter_pairs(origin, config.pairs, rng, reader)
            else:
                try:
                    portrait = read_portrait(origin, reader=reader)
                    pairs = photograph_pairs(source, portrait, config.pairs, rng)
                except (FaceError, InputError) as error:
                    _log.info("%s", error)
            if pairs is None:
                refused.touch()
            else:
                pairs.save(path)
                _log.info("%s: %d pairs", source, len(pairs.drawn))
        if path.is_file():
            made.append(path)
    return sorted(made)


def main() -> None:
    """Read the command line and make the pairs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--work", type=Path, required=True, help="folder for the pairs")
    parser.add_argument("--photographs", type=Path, default=None, help="folder of pictures")
    parser.add_argument("--sitters", type=int, default=60)
    parser.add_argument("--pairs", type=int, default=6, help="moments a source")
    parser.add_argument("--seed", type=int, default=11)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    build_pairs(RefineDataConfig(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
