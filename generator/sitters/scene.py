"""One sitter's geometry, textures and light, ready to be drawn in any pose."""

import dataclasses
import threading
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from obverse.generator import head as parts
from obverse.generator.head import HeadModel
from obverse.generator.motion import rotation_matrix
from obverse.generator.sitters import shade as materials
from obverse.generator.sitters.eyes import LidLines
from obverse.generator.sitters.kernels import compiled
from obverse.generator.sitters.light import Camera, Lighting
from obverse.generator.sitters.raster import (
    layer_fragments,
    shadow_depth,
    vertex_normals,
    visibility,
)
from obverse.generator.sitters.surface import head_uv, light_basis, light_texels

__all__ = ["Garment", "Layer", "Rendering", "Scene", "Textures"]

FloatArray = npt.NDArray[np.float32]
_SHADOW_TEXELS = 448
_CLOSED_GAP = 0.004  # interocular distances that lips part before the mouth's inside is drawn
_SHADOW_REACH = 4.6  # interocular distances each way

_MATERIALS = {
    parts.SKIN: materials.SKIN_MATERIAL,
    parts.EYE_LEFT: materials.EYE,
    parts.EYE_RIGHT: materials.EYE,
    parts.TEETH_UPPER: materials.TEETH,
    parts.TEETH_LOWER: materials.TEETH,
    parts.TONGUE: materials.TONGUE_MATERIAL,
    parts.INNER_MOUTH: materials.MOUTH,
    parts.SOCKET: materials.MOUTH,
}
_TABLES = {
    parts.SKIN: 0,
    parts.EYE_LEFT: 1,
    parts.EYE_RIGHT: 2,
    parts.TEETH_UPPER: 3,
    parts.TEETH_LOWER: 3,
    parts.TONGUE: 4,
    parts.INNER_MOUTH: 5,
    parts.SOCKET: 5,
}
_CLOTH_TABLE, _CHEST_TABLE = 6, 7
_LENS_PX, _LENS_TAPS = 0.5, 5  # deviation and width of the lens's blur, px of the picture
_NO_GRAIN = np.zeros((512, 512), np.float32)


class _Room(threading.local):
    """The buffers of a thread's last picture, which cost more to allocate than to fill."""

    def __init__(self) -> None:
        self.size = 0

    def of(self, size: int) -> tuple[FloatArray, npt.NDArray[np.int32], FloatArray, FloatArray]:
        """Return nearness, shown triangles, image and cover; what they hold is arbitrary."""
        if size != self.size:
            self.nearness = np.empty((2 * size, 2 * size), np.float32)
            self.shown = np.empty((2 * size, 2 * size), np.int32)
            self.image = np.empty((size, size, 3), np.float32)
            self.cover = np.empty((size, size), np.float32)
            self.size = size
        return self.nearness, self.shown, self.image, self.cover


_ROOM = _Room()


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Textures:
    """Texel tables [h, w, 8] uint8.

    Skin, left eye, right eye, teeth, tongue, plain, cloth, chest.
    """

    tables: Sequence[npt.NDArray[np.uint8]]

    def packed(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Return all texels [N, 8] and where each table starts: [T, 3] start, rows, columns."""
        # The face lies on its side in the skin's uv space: turned, a picture's row reads its rows.
        tables = [self.tables[0].transpose(1, 0, 2), *self.tables[1:]]
        layout, start = [], 0
        for table in tables:
            layout.append((start, table.shape[0], table.shape[1]))
            start += table.shape[0] * table.shape[1]
        return np.concatenate([table.reshape(-1, 8) for table in tables]), np.array(layout)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Garment:
    """A shell over the skin of the chest and neck."""

    members: npt.NDArray[np.int64]  # [G] vertices of the head model it lies over
    triangles: npt.NDArray[np.int32]  # [F, 3] into the garment's own vertices
    lift: FloatArray  # [G] distance from the skin
    cutoff: FloatArray  # [G] negative above the neckline
    uv: FloatArray  # [F, 3, 2]
    colour: FloatArray  # [G, 3] linear


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """Translucent cards: hair, lashes or glasses."""

    vertices: FloatArray  # [N, 3] at rest
    triangles: npt.NDArray[np.int32]
    uv: FloatArray  # [F, 3, 2]
    texture: FloatArray  # [h, w, 4] linear colour and opacity
    alpha: npt.NDArray[np.uint8]  # [h, w] that casts shadows
    head_weight: FloatArray  # [N] 1 turns with the head
    shine: FloatArray  # [3] highlight colour
    tint: FloatArray  # [N, 3] multiplies the texture (occlusion, roots)
    opacity: FloatArray  # [N] lower where cards fray
    bias: float  # how much nearer than it is it counts against the surface, relative
    members: npt.NDArray[np.int64] | None = (
        None  # follows these vertices of the head model exactly (lashes)
    )
    casts: bool = True


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Rendering:
    """One drawn pose."""

    image: npt.NDArray[np.uint8]  # [H, W, 3] sRGB
    mask: npt.NDArray[np.uint8]  # [H, W] 255 where the person covers the background
    # [478, 3] pixels (pixel centres are integers), z in the same scale, 0 at the eyes' depth
    landmarks: FloatArray


@compiled
def _develop(linear: Any, curve: Any, grain: Any, shift: int, gain: Any, out: Any) -> None:
    """Map linear light through a tone curve to sRGB bytes, with a grain that is moved from frame to
    frame."""
    rows, columns = out.shape[:2]
    top = curve.shape[0] - 1
    limit = np.float32(top)
    for row in range(rows):
        for column in range(columns):
            speck = grain[(row * 7 + shift * 131 + row) & 511, (column + shift * 197) & 511]
            for channel in range(3):
                value = max(linear[row, column, channel] * gain, np.float32(0.0))
                index = min(value * np.float32(1024.0), limit)
                whole = min(int(index), top - 1)
                part = index - np.float32(whole)
                toned = curve[whole] + (curve[whole + 1] - curve[whole]) * part + speck
                out[row, column, channel] = np.uint8(
                    min(max(toned + np.float32(0.5), np.float32(0.0)), np.float32(255.0))
                )


def tone_curve() -> FloatArray:
    """Return the camera's curve [4097] from linear light in [0, 4] to bytes.

    SRGB with a soft shoulder.
    """
    light = np.arange(4097, dtype=np.float64) / 1024
    knee = 0.62
    rolled = np.where(
        light < knee, light, knee + (1 - knee) * (1 - np.exp(-(light - knee) / (1 - knee)))
    )
    encoded = np.where(rolled <= 0.0031308, 12.92 * rolled, 1.055 * rolled ** (1 / 2.4) - 0.055)
    return (255 * encoded).astype(np.float32)


def srgb_to_linear(values: npt.ArrayLike) -> FloatArray:
    """Return linear light of sRGB values in [0, 255]."""
    unit = np.asarray(values, np.float64) / 255
    return np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4).astype(
        np.float32
    )


class Scene:
    """What of a sitter does not change from frame to frame, and the drawing of a frame."""

    def __init__(
        self,
        neutral: FloatArray,
        textures: Textures,
        garment: Garment,
        layers: Sequence[Layer],
        skin_colours: FloatArray,
        lighting: Lighting,
        camera: Camera,
        gloss: tuple[float, float, float],
        rest: npt.ArrayLike = (0.0, 0.0, 0.0),
    ) -> None:
        """Lay out meshes.

        `skin_colours` [V, 4] multiplies textures (rgb) and holds the sky's share.
        """
        model = HeadModel.load()
        self.model, self.neutral = model, neutral
        self.garment, self.layers = garment, layers
        self.lighting, self.camera, self.rest = lighting, camera, np.asarray(rest)
        self._lids = LidLines.find(model)
        self._texels, self._layout = textures.packed()
        self._linear = srgb_to_linear(np.arange(256))
        self._curve = tone_curve()
        self._grain = np.random.default_rng(5).normal(0, 1.1, (512, 512)).astype(np.float32)
        self._solid = model.parts != parts.LASHES
        own = model.parts[self._solid]
        vertex_count = len(neutral)
        self._triangles = np.concatenate(
            [model.triangles[self._solid], garment.triangles + vertex_count]
        ).astype(np.int32)
        kinds = np.array([_MATERIALS.get(int(part), materials.PLAIN) for part in own])
        tables = np.array([_TABLES.get(int(part), 5) for part in own])
        uv = model.uv[self._solid].copy()
        on_head = head_uv(uv)
        skin = own == parts.SKIN
        inside = ((on_head > -0.01) & (on_head < 1.01)).all((1, 2)) & skin
        uv[inside] = on_head[inside][..., ::-1]  # the table is turned, see Textures
        chest = skin & ~inside
        kinds[chest], tables[chest] = materials.PLAIN, _CHEST_TABLE
        cloth = len(garment.triangles)
        self._kinds = np.concatenate([kinds, np.full(cloth, materials.CLOTH)]).astype(np.int64)
        self._tables = np.concatenate([tables, np.full(cloth, _CLOTH_TABLE)]).astype(np.int64)
        self._uv = np.concatenate([uv, garment.uv]).astype(np.float32)
        # What lies well under the garment is never seen, what lies in a closed mouth seldom.
        depth = np.zeros(vertex_count, np.float32)
        depth[garment.members] = garment.cutoff
        under = (depth[model.triangles[self._solid]] > 0.25).all(1) & (own == parts.SKIN)
        sides = np.where(own == parts.INNER_MOUTH, 2, np.where(under, 0, 1))
        self._sides = np.concatenate([sides, np.ones(cloth, np.int64)]).astype(np.uint8)
        self._sides_closed = self._sides.copy()
        self._sides_closed[: len(own)][
            np.isin(own, (parts.TEETH_UPPER, parts.TEETH_LOWER, parts.TONGUE, parts.INNER_MOUTH))
        ] = 0
        self._cutoff = np.concatenate([np.ones(vertex_count, np.float32), garment.cutoff]).astype(
            np.float32
        )
        self._colours = np.concatenate(
            [skin_colours, np.c_[garment.colour, np.ones(len(garment.members))]]
        )
        self._colours = self._colours.astype(np.float32)
        self._skin_triangles = np.ascontiguousarray(
            model.triangles[np.isin(model.parts, (parts.SKIN, parts.INNER_MOUTH, parts.SOCKET))]
        )
        # Parts whose normals are their own, with their vertices.
        self._loose = []
        for group in (
            (parts.EYE_LEFT, parts.EYE_RIGHT),
            (parts.TEETH_UPPER, parts.TEETH_LOWER, parts.TONGUE),
        ):
            members = np.ascontiguousarray(model.triangles[np.isin(model.parts, group)])
            self._loose.append((members, np.unique(members)))
        self._casting = self._triangles[
            np.isin(self._kinds, (materials.SKIN_MATERIAL, materials.PLAIN))
        ]
        self._mouth = np.isin(
            model.vertex_parts,
            (parts.TEETH_UPPER, parts.TEETH_LOWER, parts.TONGUE, parts.INNER_MOUTH),
        )
        rim = np.intersect1d(
            model.triangles[model.parts == parts.SKIN],
            model.triangles[model.parts == parts.INNER_MOUTH],
        )
        rim = rim[np.abs(model.vertices[rim, 0]) < 0.12]
        self._lips = rim[[model.vertices[rim, 1].argmin(), model.vertices[rim, 1].argmax()]]
        self._resting_gap = float(neutral[self._lips[1], 1] - neutral[self._lips[0], 1])
        self._skin = np.array(
            [0.42, 0.2, 0.12, gloss[0], gloss[1], gloss[2], 0.0, camera.distance], np.float32
        )
        self._basis = light_basis(lighting.lights[0, :3])
        self._no_alpha = np.full((1, 1), 255, np.uint8)
        self._no_uv = np.zeros((1, 3, 2), np.float32)
        self._centres = np.stack([model.eyeball_centre(neutral, side) for side in range(2)])

    def pose(
        self, expression: FloatArray, rotation: npt.ArrayLike, translation: npt.ArrayLike
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the head model's vertices expressed, and turned, and the rotation matrix."""
        angles = np.asarray(rotation, np.float64) + self.rest
        expressed = self.model.expressed(self.neutral, expression)
        turned = self.model.turned(expressed, angles, translation)
        return expressed, turned, rotation_matrix(angles).astype(np.float32)

    def _mouth_light(self, expressed: FloatArray) -> FloatArray:
        """Return the sky's share [M] of the vertices inside the mouth.

        Less behind the lips, more when it is open.
        """
        inside = expressed[self._mouth]
        lips = expressed[self._lips]
        front, gap = lips[:, 2].min(), max(float(lips[1, 1] - lips[0, 1]), 0.0)
        depth = np.clip(inside[:, 2] - front - 0.06, 0, None)
        middle = lips[:, 1].mean()
        aside = np.abs(inside[:, 0]) / 0.5
        away = np.abs(inside[:, 1] - middle) / max(gap, 0.08)
        share = (
            np.exp(-2.6 * depth)
            * (1 - 0.45 * np.clip(aside, 0, 1) ** 2)
            / (1 + 0.35 * np.clip(away - 0.4, 0, 3))
        )
        return np.asarray(np.clip(share * (0.45 + 0.55 * min(gap / 0.35, 1.0)), 0, 1), np.float32)

    def draw(
        self,
        expression: FloatArray,
        rotation: npt.ArrayLike,
        translation: npt.ArrayLike,
        backdrop: FloatArray,
        frame: int = 0,
        grain: bool = True,
    ) -> Rendering:
        """Draw one pose over `backdrop` [size, size, 3] linear light, with a camera's grain or
        without."""
        size = len(backdrop)
        expressed, turned, turn = self.pose(expression, rotation, translation)
        count = len(turned)
        total = count + len(self.garment.members)
        points = np.empty((total, 3), np.float32)
        normals = np.empty((total, 3), np.float32)
        points[:count] = turned
        own = normals[:count]
        scratch = np.empty_like(own)
        vertex_normals(turned, self._skin_triangles, own)
        for triangles, members in self._loose:
            vertex_normals(turned, triangles, scratch)
            own[members] = scratch[members]
        under = self.garment.members
        points[count:] = turned[under] + own[under] * self.garment.lift[:, None]
        vertex_normals(points[count:], self.garment.triangles, normals[count:])
        hairs = [self._layer_points(layer, turned, rotation, translation) for layer in self.layers]
        depth = np.full((_SHADOW_TEXELS, _SHADOW_TEXELS), 1e9, np.float32)
        mapped = light_texels(points, self._basis, _SHADOW_TEXELS, _SHADOW_REACH)
        shadow_depth(mapped, self._casting, self._no_uv, self._no_alpha, depth)
        for layer, where in zip(self.layers, hairs, strict=True):
            if layer.casts:
                texels = light_texels(where, self._basis, _SHADOW_TEXELS, _SHADOW_REACH)
                shadow_depth(texels, layer.triangles, layer.uv, layer.alpha, depth)
        screen = self.camera.project(points, 2 * size)
        nearness, shown, image, cover = _ROOM.of(size)
        gap = expressed[self._lips[1], 1] - expressed[self._lips[0], 1]
        sides = self._sides if gap > self._resting_gap + _CLOSED_GAP else self._sides_closed
        visibility(screen, self._triangles, sides, self._cutoff, nearness, shown)
        colours = self._colours.copy()
        colours[:count][self._mouth, 3] = self._mouth_light(expressed)
        np.copyto(image, backdrop)
        cover[:] = 0
        first = int(max(screen[:, 1].min(), 0)) // 2  # above it is nobody
        materials.shade(
            first,
            size,
            shown,
            nearness,
            screen,
            points,
            normals,
            colours,
            self._triangles,
            self._kinds,
            self._tables,
            self._uv,
            self._texels,
            self._layout,
            self._linear,
            turn,
            self.lighting.lights,
            self.lighting.ambient,
            self._skin,
            self._eye_lines(expressed, expression, translation, turn),
            mapped,
            depth,
            image,
            cover,
            np.zeros(3, np.float32),
        )
        for layer, where in zip(self.layers, hairs, strict=True):
            self._draw_layer(layer, where, depth, nearness, image, cover)
        # No lens is sharper than its sensor; edges of hair and glasses would be stairs without it.
        cv2.GaussianBlur(image, (_LENS_TAPS, _LENS_TAPS), _LENS_PX, dst=image)
        out = np.empty((size, size, 3), np.uint8)
        specks = self._grain if grain else _NO_GRAIN
        _develop(image, self._curve, specks, frame, np.float32(self.lighting.exposure), out)
        mask = cv2.convertScaleAbs(cover, alpha=255)
        return Rendering(out, mask, self.landmark_pixels(turned, size))

    def landmark_pixels(self, turned: FloatArray, size: int) -> FloatArray:
        """Return the 478 landmarks [478, 3] of a pose in pixels."""
        marks = self.model.landmarks(turned)
        seen = self.camera.project(marks, size)
        seen[:, :2] -= 0.5
        seen[:, 2] = marks[:, 2] * self.camera.scale * size
        return seen

    def _eye_lines(
        self,
        expressed: FloatArray,
        expression: FloatArray,
        translation: npt.ArrayLike,
        turn: FloatArray,
    ) -> FloatArray:
        """Return what the kernel needs to shade eyes.

        Lid parabolas, the head's frame, gaze directions.
        """
        lines = np.zeros((5, 8), np.float32)
        lines[:2, :7] = self._lids.parabolas(expressed, self._centres)
        pivot = self.model.neck_pivot
        lines[2, :3] = pivot + np.asarray(translation, np.float32)
        lines[2, 3:6] = pivot
        for side in range(2):
            gaze = turn @ self.model.gaze_rotation(expression, side)
            lines[3 + side, :3] = gaze @ np.array([0, 0, -1], np.float32)
        return lines

    def _layer_points(
        self, layer: Layer, turned: FloatArray, rotation: npt.ArrayLike, translation: npt.ArrayLike
    ) -> FloatArray:
        if layer.members is not None:
            return np.ascontiguousarray(turned[layer.members])
        matrix = rotation_matrix(np.asarray(rotation, np.float64) + self.rest).astype(np.float32)
        pivot = self.model.neck_pivot
        moved = (layer.vertices - pivot) @ matrix.T + pivot + np.asarray(translation, np.float32)
        weight = layer.head_weight[:, None]
        return np.asarray(weight * moved + (1 - weight) * layer.vertices, np.float32)

    def _draw_layer(
        self,
        layer: Layer,
        where: FloatArray,
        depth: FloatArray,
        nearness: FloatArray,
        image: FloatArray,
        cover: FloatArray,
    ) -> None:
        normals = np.empty_like(where)
        vertex_normals(where, layer.triangles, normals)
        view = -where - np.array([0, 0, self.camera.distance], np.float32)
        view /= np.linalg.norm(view, axis=1, keepdims=True)
        facing = np.sign((normals * view).sum(1, keepdims=True))
        normals = normals * np.where(facing == 0, 1, facing)
        lit = np.zeros((len(where), 8), np.float32)
        up = 0.5 - 0.5 * normals[:, 1:2]
        lit[:, :3] = up * self.lighting.ambient[0] + (1 - up) * self.lighting.ambient[1]
        mapped = light_texels(where, self._basis, _SHADOW_TEXELS, _SHADOW_REACH)
        texel = np.clip(mapped[:, :2].astype(int), 1, _SHADOW_TEXELS - 2)
        free = np.zeros(len(where), np.float32)
        for row, column in ((0, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)):
            free += depth[texel[:, 1] + row, texel[:, 0] + column] > mapped[:, 2] - 0.16
        free *= 0.2
        for index, light in enumerate(self.lighting.lights):
            cosine = normals @ light[:3]
            seen = 0.2 + 0.8 * free if index == 0 else np.ones(len(where), np.float32)
            diffuse = np.clip((cosine + 0.35) / 1.35, 0, None) * seen
            lit[:, :3] += diffuse[:, None] * light[3:6] * 0.8
            half = light[:3] + view
            half /= np.linalg.norm(half, axis=1, keepdims=True)
            gleam = (
                np.clip((normals * half).sum(1), 0, 1) ** 9 * seen * np.clip(cosine * 3 + 0.3, 0, 1)
            )
            lit[:, 3:6] += gleam[:, None] * light[3:6] * layer.shine
        lit[:, :3] *= layer.tint
        lit[:, 6] = layer.opacity
        if layer.opacity.min() < 1:  # hair thins out where it is seen along the surface
            lit[:, 6] *= np.clip(0.15 + 3.2 * (normals * view).sum(1), 0, 1)
        lit[:, 7] = layer.bias
        screen = self.camera.project(where, len(image))
        order = np.argsort(screen[layer.triangles, 2].mean(1)).astype(np.int64)
        layer_fragments(
            screen, lit, layer.triangles, order, layer.uv, layer.texture, nearness, image, cover
        )
