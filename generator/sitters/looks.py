"""The pack of looks: skins, hair and small textures, bound to the head model."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from obverse.generator.head import SKIN
from obverse.generator.sitters.anatomy import Anatomy
from obverse.generator.sitters.makehuman import Library, png_bytes
from obverse.generator.sitters.surface import HEAD_BOX

__all__ = ["HAIR", "pack_looks"]

HAIR = (
    "short01",
    "short02",
    "short03",
    "short04",
    "afro01",
    "bob01",
    "bob02",
    "long01",
    "ponytail01",
    "Braid01",
)
_NEIGHBOURS = 6


def head_crop(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the head's part of a texture in the skin's uv space."""
    height, width = image.shape[:2]
    left, top, right, bottom = HEAD_BOX
    return image[
        round(top * height) : round(bottom * height), round(left * width) : round(right * width)
    ]


def _hair(library: Library, anatomy: Anatomy, name: str) -> dict[str, Any]:
    """Bind a hair style to the nearest vertices of the head.

    It follows every shape and pose of the head.
    """
    item = library.item("hair", name)
    placed = anatomy.place_item(item)
    skin = np.flatnonzero((anatomy.vertex_parts == SKIN) & (anatomy.head_weight > 0.97))
    distance, index = cKDTree(anatomy.vertices[skin]).query(placed, k=_NEIGHBOURS)
    weight = 1 / np.maximum(distance, 1e-3)
    weight /= weight.sum(1, keepdims=True)
    quads, uv = item.faces, np.stack([item.uv[..., 0], 1 - item.uv[..., 1]], -1)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    corner_uv = np.concatenate([uv[:, [0, 1, 2]], uv[:, [0, 2, 3]]])
    solid = (triangles[:, 0] != triangles[:, 2]) & (triangles[:, 1] != triangles[:, 2])
    key = name.lower()
    return {
        f"hair_{key}_vertices": placed.astype(np.float32),
        f"hair_{key}_refs": skin[index].astype(np.int32),
        f"hair_{key}_weights": weight.astype(np.float32),
        f"hair_{key}_triangles": triangles[solid].astype(np.int32),
        f"hair_{key}_uv": corner_uv[solid].astype(np.float32),
        f"hair_{key}_texture": png_bytes(library.item_texture("hair", name)),
    }


def pack_looks(library: Library, anatomy: Anatomy) -> dict[str, Any]:
    """Return the arrays of `looks.npz`: PNG images as bytes, meshes as arrays."""
    pack: dict[str, Any] = {}
    skins = library.skins()
    for name, image in skins.items():
        pack[f"skin_{name}"] = png_bytes(head_crop(image))
    pack["skin_names"] = np.array(list(skins))
    pack["texture_teeth"] = png_bytes(library.item_texture("teeth", "Teeth_Base"))
    pack["texture_tongue"] = png_bytes(library.item_texture("tongue", "tongue01"))
    pack["lashes"] = png_bytes(
        np.ascontiguousarray(library.item_texture("eyelashes", "Eyelashes01")[..., 3])
    )
    for name in HAIR:
        pack |= _hair(library, anatomy, name)
    pack["hair_names"] = np.array([name.lower() for name in HAIR])
    return pack
