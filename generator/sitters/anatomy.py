"""The head region cut out of MakeHuman's base mesh, with eyes, teeth and lashes, in the camera's
frame."""

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from obverse.generator.head import (
    EYE_LEFT,
    EYE_RIGHT,
    INNER_MOUTH,
    LASHES,
    SKIN,
    SOCKET,
    TEETH_LOWER,
    TEETH_UPPER,
    TONGUE,
)
from obverse.generator.motion import EXPRESSIONS
from obverse.generator.sitters.identity import MACROS, macro_weights
from obverse.generator.sitters.makehuman import FittedItem, Library

__all__ = ["Anatomy"]

FloatArray = npt.NDArray[np.float32]
Vertices = npt.NDArray[np.float64]

_LOWEST = 4.45  # decimetres: the upper chest
_WIDEST = 2.9
_ARM_DEGREES = 34.0  # how far the arms of the base mesh's pose are lowered
_NECK_SHARES = {"neck01": 0.15, "neck02": 0.45, "neck03": 0.8}
_BODY_BONES = (
    "root",
    "spine",
    "clavicle",
    "shoulder",
    "upperarm",
    "lowerarm",
    "breast",
    "pelvis",
    "wrist",
    "finger",
    "metacarpal",
    "upperleg",
    "lowerleg",
    "foot",
    "toe",
)
_FLIP = np.array([1.0, -1.0, -1.0])  # MakeHuman's y up, z front to the camera's y down, z away
# MakeHuman's gaze targets turn the eye 10 to 15 degrees; ARKit's full coefficient is nearer to 20.
_GAZE_GAIN = 1.5
_EYE_RINGS, _EYE_SEGMENTS = 14, 28
_EYE_REACH = np.radians(112.0)  # how far an eyeball's mesh reaches from its front pole


class Anatomy:
    """Which vertices make up the head model, and the linear map from the base mesh to them."""

    def __init__(self, library: Library) -> None:
        """Cut the region out and set the frame by the mean of MakeHuman's young adults."""
        self._mesh = library.base_mesh()
        self._bones = library.skin_weights()
        self._arms = self._arm_rotations()
        body = self._mesh.faces["body"]
        corners = self._mesh.vertices[body[..., 0]]
        inside = (corners[..., 1] > _LOWEST).all(1) & (np.abs(corners[..., 0]) < _WIDEST).all(1)
        body = body[inside]
        self.kept = np.unique(body[..., 0])
        renumber = np.full(len(self._mesh.vertices), -1)
        renumber[self.kept] = np.arange(len(self.kept))
        self._eyes = [np.unique(self._mesh.faces[f"helper-{side}-eye"][..., 0]) for side in "lr"]
        self._directions, eye_faces, eye_uv = _eyeball()
        self._teeth = library.item("teeth", "Teeth_Base")
        self._tongue = library.item("tongue", "tongue01")
        self._lashes = library.item("eyelashes", "Eyelashes01")
        # Faces: quads and corner uvs of every piece, numbered one after the other.
        mouth = self._mesh.uv[body[..., 1]].mean(1)
        kinds = np.full(len(body), SKIN)
        kinds[mouth[:, 1] < 0.14] = INNER_MOUTH
        kinds[(mouth[:, 0] < 0.16) & (mouth[:, 1] > 0.5) & (mouth[:, 1] < 0.65)] = SOCKET
        pieces: list[tuple[npt.NDArray[np.int64], Vertices, npt.NDArray[np.int64]]] = [
            (renumber[body[..., 0]], self._mesh.uv[body[..., 1]], kinds)
        ]
        count = len(self.kept)
        for part in (EYE_LEFT, EYE_RIGHT):
            pieces.append((eye_faces + count, eye_uv, np.full(len(eye_faces), part)))
            count += len(self._directions)
        lower = self._mesh.faces["helper-lower-teeth"][..., 0]
        is_lower = np.isin(self._teeth.refs[self._teeth.faces[:, 0], 0], np.unique(lower))
        for item, kind in (
            (self._teeth, np.where(is_lower, TEETH_LOWER, TEETH_UPPER)),
            (self._tongue, np.full(len(self._tongue.faces), TONGUE)),
            (self._lashes, np.full(len(self._lashes.faces), LASHES)),
        ):
            pieces.append((item.faces + count, item.uv, kind))
            count += len(item.refs)
        quads = np.concatenate([piece[0] for piece in pieces])
        uv = np.concatenate([piece[1] for piece in pieces])
        uv = np.stack([uv[..., 0], 1 - uv[..., 1]], -1)
        kinds = np.concatenate([piece[2] for piece in pieces])
        triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
        corner_uv = np.concatenate([uv[:, [0, 1, 2]], uv[:, [0, 2, 3]]])
        kinds = np.concatenate([kinds, kinds])
        solid = (triangles[:, 0] != triangles[:, 2]) & (triangles[:, 1] != triangles[:, 2])
        self.triangles = triangles[solid].astype(np.int32)
        self.uv = corner_uv[solid].astype(np.float32)
        self.parts = kinds[solid].astype(np.uint8)
        self.vertex_parts = np.zeros(count, np.uint8)
        for part in (
            SOCKET,
            INNER_MOUTH,
            SKIN,
            EYE_LEFT,
            EYE_RIGHT,
            TEETH_UPPER,
            TEETH_LOWER,
            TONGUE,
            LASHES,
        ):
            self.vertex_parts[np.unique(self.triangles[self.parts == part])] = part
        # The frame: the mean of the young adult targets.
        self._scale, self._origin = 1.0, np.zeros(3)
        macros = macro_weights(35.0, 0.5, (1 / 3, 1 / 3, 1 / 3), 0.5, 0.5)
        grown = self._mesh.vertices.copy()
        for name, weight in zip(MACROS, macros, strict=True):
            if weight > 0:
                grown = grown + weight * library.target("macrodetails", name)
        raw = self._to_camera(self._assemble(self._pose(grown)))
        centres = self.eye_centres(raw)
        self._scale = 1.0 / float(np.linalg.norm(centres[0] - centres[1]))
        self._origin = centres.mean(0) * _FLIP
        base = self._pose(self._mesh.vertices)
        self.vertices = self._to_camera(self._assemble(base)).astype(np.float32)
        posed = self._pose(grown)
        neck, atlas = (posed[self._joint(name)].mean(0) for name in ("joint-neck", "joint-head"))
        self.neck_pivot = self._to_camera(0.45 * neck + 0.55 * atlas).astype(np.float32)
        self.jaw_hinge = self._to_camera(posed[self._joint("joint-mouth")].mean(0)).astype(
            np.float32
        )
        self.head_weight = self._head_weight()

    def _joint(self, name: str) -> npt.NDArray[np.int64]:
        return np.asarray(np.unique(self._mesh.faces[name][..., 0]))

    def _arm_rotations(self) -> list[tuple[npt.NDArray[np.float64], Vertices, Vertices]]:
        """Return (weight a vertex, rotation, centre) of both arms."""
        found = []
        for side, sign in (("L", -1.0), ("R", 1.0)):
            weight = np.zeros(len(self._mesh.vertices))
            for bone, rows in self._bones.items():
                if not bone.endswith(f".{side}"):
                    continue
                share = {"shoulder01": 0.35}.get(
                    bone[:-2],
                    1.0
                    if bone.startswith(("upperarm", "lowerarm", "wrist", "finger", "metacarpal"))
                    else 0.0,
                )
                for index, value in rows:
                    weight[int(index)] += share * value
            turn = Rotation.from_euler("z", sign * _ARM_DEGREES, degrees=True).as_matrix()
            centre = self._mesh.vertices[self._joint(f"joint-{side.lower()}-shoulder")].mean(0)
            found.append((np.clip(weight, 0, 1), turn, centre))
        return found

    def _pose(self, vertices: Vertices, *, displacement: bool = False) -> Vertices:
        """Lower the arms of base-mesh vertices, or turn displacements alike."""
        posed = vertices.astype(np.float64)
        for weight, turn, centre in self._arms:
            pivot = np.zeros(3) if displacement else centre
            turned = (posed - pivot) @ turn.T + pivot
            posed = posed + weight[:, None] * (turned - posed)
        return posed

    def _assemble(self, base: Vertices, *, displacement: bool = False) -> Vertices:
        """Return the model's vertices (or their displacements) from the whole base mesh's."""
        parts = [base[self.kept]]
        for members in self._eyes:
            rest = self._mesh.vertices[members]
            outward = rest - rest.mean(0)
            outward /= np.linalg.norm(outward, axis=1, keepdims=True)
            centre = base[members].mean(0)
            moved = base[members] if displacement else base[members] - centre
            radius = (moved * outward).sum(1).mean()
            parts.append(centre + self._directions * radius)
        for item in (self._teeth, self._tongue, self._lashes):
            parts.append(item.apply(base) if displacement else item.place(base))
        return np.concatenate(parts)

    def _to_camera(self, vertices: Vertices) -> Vertices:
        return np.asarray((vertices - self._origin) * _FLIP * self._scale)

    def place_item(self, item: FittedItem) -> Vertices:
        """Return another fitted item's vertices on the base mesh, in the camera's frame."""
        return self._to_camera(item.place(self._pose(self._mesh.vertices)))

    def displacement(self, target: npt.NDArray[np.float32]) -> FloatArray:
        """Return a target's displacements [V, 3] of the model in the camera's frame."""
        posed = self._pose(target.astype(np.float64), displacement=True)
        moved = self._assemble(posed, displacement=True)
        return np.asarray(moved * _FLIP * self._scale, np.float32)

    def eye_centres(self, vertices: npt.NDArray[np.floating]) -> FloatArray:
        """Return the centres [2, 3] (left, right) of the eyeballs of model vertices."""
        start = len(self.kept)
        centres = []
        for _ in range(2):
            ball = vertices[start : start + len(self._directions)]
            solved = np.linalg.lstsq(
                np.c_[2 * ball, np.ones(len(ball))], (ball**2).sum(1), rcond=None
            )[0]
            centres.append(solved[:3])
            start += len(self._directions)
        return np.asarray(centres, np.float32)

    def eye_radius(self, vertices: npt.NDArray[np.floating]) -> float:
        """Return the eyeballs' mean radius."""
        centre = self.eye_centres(vertices)[0]
        start = len(self.kept)
        ball = vertices[start : start + len(self._directions)]
        return float(np.linalg.norm(ball - centre, axis=1).mean())

    def normalised(self, vertices: FloatArray) -> FloatArray:
        """Return an identity's vertices with unit interocular distance and the eyes' midpoint as
        origin."""
        centres = self.eye_centres(vertices)
        return np.asarray(
            (vertices - centres.mean(0)) / np.linalg.norm(centres[0] - centres[1]), np.float32
        )

    def turn_eyes(
        self, expressions: FloatArray, library: Library, mean: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Replace the eyeballs' displacements by rotations; returns expressions, angles [2, 4]."""
        expressions = expressions.copy()
        angles = np.zeros((2, 4), np.float32)
        centres = self.eye_centres(mean)
        for side, name in enumerate(("Left", "Right")):
            start = len(self.kept) + side * len(self._directions)
            ball = slice(start, start + len(self._directions))
            expressions[:, ball] = 0
            members = self._eyes[side]
            rest = self._mesh.vertices[members]
            rest = rest - rest.mean(0)
            for way, direction in enumerate(("Down", "In", "Out", "Up")):
                moved = library.expression(f"eyeLook{direction}{name}")[members]
                moved = moved - moved.mean(0)
                rotation, _ = Rotation.align_vectors(rest + moved, rest)
                angles[side, way] = _GAZE_GAIN * rotation.magnitude()
                # MakeHuman's frame to the camera's: a half turn about x, which keeps rotations
                # rotations.
                vector = _GAZE_GAIN * rotation.as_rotvec() * _FLIP
                matrix = Rotation.from_rotvec(vector).as_matrix()
                offset = mean[ball] - centres[side]
                index = EXPRESSIONS.index(f"eyeLook{direction}{name}")
                expressions[index, ball] = offset @ matrix.T - offset
        return expressions, angles

    def _head_weight(self) -> FloatArray:
        """Return how far each vertex follows the head, from the rig's weights, smoothed over the
        neck."""
        total = np.zeros(len(self._mesh.vertices))
        body = np.zeros(len(self._mesh.vertices))
        for bone, rows in self._bones.items():
            share = _NECK_SHARES.get(bone, 0.0 if bone.startswith(_BODY_BONES) else 1.0)
            for index, value in rows:
                total[int(index)] += share * value
                body[int(index)] += value
        weight = np.ones(len(self.vertices))
        weight[: len(self.kept)] = (total / np.maximum(body, 1e-6))[self.kept]
        edges = np.concatenate(
            [self.triangles[:, [0, 1]], self.triangles[:, [1, 2]], self.triangles[:, [2, 0]]]
        )
        edges = edges[(edges < len(self.kept)).all(1)]
        degree = np.maximum(np.bincount(edges[:, 0], minlength=len(weight)), 1)
        for _ in range(12):
            mean = np.bincount(edges[:, 0], weight[edges[:, 1]], len(weight)) / degree
            blend = (weight < 0.995) & (np.arange(len(weight)) < len(self.kept))
            weight = np.where(blend, 0.5 * weight + 0.5 * mean, weight)
        weight[len(self.kept) :] = 1.0
        return np.clip(weight, 0, 1).astype(np.float32)


def _eyeball() -> tuple[Vertices, npt.NDArray[np.int64], Vertices]:
    """Return unit directions [N, 3] (MakeHuman's frame), quads [F, 4] and uv [F, 4, 2] of an
    eyeball's front.

    The texture is an azimuthal map: its centre is the pupil, its rim lies `_EYE_REACH` from the
    front pole.
    """
    directions = [np.array([[0.0, 0.0, 1.0]])]
    maps = [np.array([[0.5, 0.5]])]
    angle = 2 * np.pi * np.arange(_EYE_SEGMENTS) / _EYE_SEGMENTS
    for ring in range(1, _EYE_RINGS + 1):
        share = (ring / _EYE_RINGS) ** 1.15
        theta = share * _EYE_REACH
        around = np.stack([np.cos(angle), np.sin(angle)], -1)
        directions.append(np.c_[np.sin(theta) * around, np.full(_EYE_SEGMENTS, np.cos(theta))])
        maps.append(0.5 + 0.5 * share * around)
    quads = []
    for segment in range(_EYE_SEGMENTS):
        after = (segment + 1) % _EYE_SEGMENTS
        quads.append([0, 1 + segment, 1 + after, 1 + after])
        for ring in range(_EYE_RINGS - 1):
            inner, outer = 1 + ring * _EYE_SEGMENTS, 1 + (ring + 1) * _EYE_SEGMENTS
            quads.append([inner + segment, outer + segment, outer + after, inner + after])
    faces = np.array(quads)
    return np.concatenate(directions), faces, np.concatenate(maps)[faces]
