"""Whether the mouth refiner is worth its milliseconds: `python -m benchmarks.refiner --photographs
FOLDER --json`.

Sources that training never saw, sitters and photographs, as the renderer draws them and as the
refiner paints them, against the truth: PSNR and SSIM within the region that may change, a
perceptual distance (with `--features FILE`, torchvision's MobileNetV2 weights), and flicker, the
error of what changes from one frame to the next. The photographs are measured once more with flat
teeth laid out as the truth's are. Intervals are bootstrapped over sources.

`--sheet DIR --portraits FILE...` writes pictures for a blind comparison, left and right in hidden
order, and `key.json`, not to be opened before the votes are cast; `--tally DIR/key.json VOTES`
counts a text file of lines such as `3 left`, `4 right` or `5 same`.
"""

import argparse
import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from benchmarks.machine import machine
from obverse.errors import FaceError, InputError
from obverse.faces.landmarks import FaceReader
from obverse.generator.motion import expression_index
from obverse.generator.portrait import make_portrait, read_portrait
from obverse.generator.refine import MouthNet, Refiner
from obverse.generator.refine_data import (
    MouthPairs,
    Witness,
    draw_speech_faces,
    flat_mouth,
    is_held_out,
    photograph_pairs,
    sitter_pairs,
)
from obverse.generator.render import Renderer
from obverse.generator.sitters.sitter import Sitter

Floats = npt.NDArray[np.float64]
Crops = npt.NDArray[np.float32]  # [2, H, W, 3] in [0, 255]
Distance = Callable[[Crops, Crops], float]
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_RESAMPLES = 2000
_SHOWN_PX = 320  # width of one mouth on the blind sheet


def _psnr(made: Crops, truth: Crops, region: Crops) -> float:
    error = (region[..., None] * (made - truth) ** 2).sum() / (3.0 * region.sum() + 1e-6)
    return float(10.0 * np.log10(255.0**2 / max(error, 1e-3)))


def _ssim(made: Crops, truth: Crops, region: Crops) -> float:
    """Return SSIM (Wang et al. 2004, Gaussian window of 1.5 px) of luma within the region."""

    def blurred(planes: Crops) -> Crops:
        return np.stack([cv2.GaussianBlur(plane, (11, 11), 1.5) for plane in planes])

    a, b = made @ _LUMA, truth @ _LUMA
    mean_a, mean_b = blurred(a), blurred(b)
    var_a, var_b = blurred(a * a) - mean_a**2, blurred(b * b) - mean_b**2
    both = blurred(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    index = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    index = index / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return float((region * index).sum() / (region.sum() + 1e-6))


def _flicker(made: Crops, truth: Crops, region: Crops) -> float:
    """Return the mean error, in grey levels, of the change from the first frame to the second."""
    drift = (made[1] - made[0]) - (truth[1] - truth[0])
    weight = region.max(0)[..., None]
    return float((weight * np.abs(drift)).sum() / (3.0 * weight.sum() + 1e-6))


def _perceptual(path: Path) -> Distance:
    import torch

    from obverse.generator.refine_net import PerceptualDistance

    distance = PerceptualDistance(path)
    torch.set_num_threads(1)

    def measure(made: Crops, truth: Crops) -> float:
        with torch.no_grad():
            planes = (
                torch.from_numpy(np.ascontiguousarray(c.transpose(0, 3, 1, 2), np.float32)) / 255
                for c in (made, truth)
            )
            return float(distance(*planes).mean())

    return measure


def _measured(pairs: MouthPairs, net: MouthNet, distance: Distance | None) -> dict[str, Floats]:
    """Return, for each measure, the source's means [2] as drawn and as painted."""
    rows: dict[str, list[list[float]]] = {}
    for index in range(len(pairs.drawn)):
        truth = pairs.truth[index].astype(np.float32)
        region = pairs.region[index].astype(np.float32) / 255.0
        opening = pairs.opening[index].astype(np.float32) / 255.0
        drawn = pairs.drawn[index].astype(np.float32)
        change = np.stack(
            [
                net.change(pairs.drawn[index, k], opening[k], region[k], pairs.appearance)
                for k in range(2)
            ]
        )
        painted = np.clip(np.round(drawn + change), 0, 255)
        # What lies outside the region is nobody's doing.
        aside = (region > 0)[..., None]
        truth = np.where(aside, truth, drawn)
        for name, measure in (("psnr_db", _psnr), ("ssim", _ssim), ("flicker", _flicker)):
            rows.setdefault(name, []).append([measure(c, truth, region) for c in (drawn, painted)])
        if distance is not None:
            rows.setdefault("perceptual", []).append([distance(c, truth) for c in (drawn, painted)])
    return {name: np.mean(values, axis=0) for name, values in rows.items()}


def _laid_out(pairs: MouthPairs) -> MouthPairs:
    """Return pairs whose drawings have flat teeth where the truth has teeth: what is left to paint
    is detail and light, since against teeth in another place any detail counts as an error.
    """
    flat = np.empty_like(pairs.drawn)
    for moment in np.ndindex(pairs.drawn.shape[:2]):
        flat[moment] = flat_mouth(
            pairs.truth[moment],
            pairs.drawn[moment],
            pairs.opening[moment],
            pairs.appearance[:3],
        )
    return dataclasses.replace(pairs, drawn=flat)


def _summary(sources: list[dict[str, Floats]], rng: np.random.Generator) -> dict[str, Any]:
    summary: dict[str, Any] = {"sources": len(sources)}
    for name in sources[0] if sources else ():
        values = np.stack([source[name] for source in sources])
        gains = values[:, 1] - values[:, 0]
        draws = rng.integers(len(gains), size=(_RESAMPLES, len(gains)))
        low, high = np.quantile(gains[draws].mean(1), (0.025, 0.975))
        summary[name] = {
            "off": float(values[:, 0].mean()),
            "on": float(values[:, 1].mean()),
            "gain": float(gains.mean()),
            "low": float(low),
            "high": float(high),
        }
    return summary


def _paint_ms(net: MouthNet, repeats: int) -> float:
    """Return CPU milliseconds that painting an open mouth adds to a 512x512 frame: the median."""
    portrait = make_portrait(Sitter.from_seed(0).still(512), "0" * 64)
    witness = Witness()
    renderer = Renderer(portrait, painter=witness)
    face = np.zeros(52, np.float32)
    face[expression_index("jawOpen")] = 0.3
    image = renderer.frame(face, np.zeros(3), np.zeros(3))
    refiner = Refiner(portrait, witness.sheet, image.shape[1], image.shape[0], net=net)
    took = []
    for _ in range(repeats):
        fresh = image.copy()
        begun = time.process_time()
        refiner.paint(fresh, witness.sheet, face)
        took.append(1000.0 * (time.process_time() - begun))
    return float(np.median(took[len(took) // 5 :]))


def measure(
    photographs: Path | None,
    sitters: int,
    pairs: int,
    features: Path | None,
    seed: int = 101,
    weights: Path | None = None,
) -> dict[str, Any]:
    """Return the measures of held-out photographs and sitters, refiner off and on."""
    net, reader = MouthNet(weights), FaceReader()
    distance = _perceptual(features) if features else None
    found: dict[str, list[dict[str, Floats]]] = {
        "photographs": [],
        "photographs_laid_out": [],
        "sitters": [],
    }
    for path in sorted(photographs.iterdir()) if photographs else ():
        source = f"photograph-{path.stem}"
        if not is_held_out(source):
            continue
        try:
            portrait = read_portrait(path, reader=reader)
        except (FaceError, InputError):
            continue
        made = photograph_pairs(source, portrait, pairs, np.random.default_rng(seed))
        if made is not None:
            found["photographs"].append(_measured(made, net, distance))
            found["photographs_laid_out"].append(_measured(_laid_out(made), net, distance))
    number = 0
    while len(found["sitters"]) < sitters:
        if is_held_out(f"sitter-{number}"):
            made = sitter_pairs(number, pairs, np.random.default_rng([seed, number]), reader)
            if made is not None:
                found["sitters"].append(_measured(made, net, distance))
        number += 1
    rng = np.random.default_rng(seed)
    return {
        **{kind: _summary(sources, rng) for kind, sources in found.items()},
        "paint_cpu_ms": _paint_ms(net, 100),
        "machine": machine(),
    }


def write_sheets(
    folder: Path, portraits: list[Path], faces: int, seed: int, weights: Path | None = None
) -> int:
    """Write one picture a mouth, plain and painted side by side in hidden order, and the key;
    returns how many.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng, reader, net = np.random.default_rng(seed), FaceReader(), MouthNet(weights)
    key: dict[str, str] = {}
    number = 0
    for path in portraits:
        try:
            portrait = read_portrait(path, reader=reader)
        except (FaceError, InputError):
            continue
        witness = Witness()
        renderer = Renderer(portrait, painter=witness)
        refiner: Refiner | None = None
        for face in draw_speech_faces(rng, faces)[:, 0]:
            plain = renderer.frame(face, np.zeros(3), np.zeros(3))
            points = witness.sheet
            if refiner is None:
                refiner = Refiner(portrait, points, plain.shape[1], plain.shape[0], net=net)
            painted = plain.copy()
            refiner.paint(painted, points, face)
            number += 1
            left_is_painted = bool(rng.random() < 0.5)
            key[str(number)] = "left" if left_is_painted else "right"
            both = (painted, plain) if left_is_painted else (plain, painted)
            middle = points[[61, 291], :2].mean(0)
            half = 0.45 * portrait.interocular_px * max(plain.shape[:2])
            half = max(half / max(portrait.picture.shape[:2]), 8.0) * 1.5
            zoom = _SHOWN_PX / (2 * half)
            place = np.array(
                [
                    [zoom, 0, _SHOWN_PX / 2 - zoom * middle[0]],
                    [0, zoom, 0.35 * _SHOWN_PX - zoom * middle[1]],
                ]
            )
            size = (_SHOWN_PX, round(0.75 * _SHOWN_PX))
            shown = [cv2.warpAffine(image, place, size, flags=cv2.INTER_CUBIC) for image in both]
            gap = np.full((size[1], 6, 3), 255, np.uint8)
            sheet = np.hstack([shown[0], gap, shown[1]])
            cv2.putText(
                sheet, str(number), (4, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1
            )
            cv2.imwrite(str(folder / f"{number:03d}.png"), sheet[..., ::-1])
    (folder / "key.json").write_text(json.dumps({"painted": key}, indent=1), encoding="utf-8")
    return number


def tally(key: Path, votes: Path) -> dict[str, Any]:
    """Count votes: how often the painted mouth was preferred, and the exact 95 % interval of that
    share among the votes that chose.
    """
    painted = json.loads(key.read_text(encoding="utf-8"))["painted"]
    counts = {"painted": 0, "plain": 0, "same": 0}
    for line in votes.read_text(encoding="utf-8").splitlines():
        if not line.strip():
            continue
        number, choice = line.split()[:2]
        if choice == "same":
            counts["same"] += 1
        else:
            counts["painted" if painted[number] == choice else "plain"] += 1
    chosen = counts["painted"] + counts["plain"]
    result: dict[str, Any] = dict(counts)
    if chosen:
        interval = binomtest(counts["painted"], chosen).proportion_ci()
        result["share"] = {
            "value": counts["painted"] / chosen,
            "low": float(interval.low),
            "high": float(interval.high),
        }
    return result


def main() -> None:
    """Measure, write sheets or count votes, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--photographs", type=Path, help="folder of pictures, one face each")
    parser.add_argument("--sitters", type=int, default=6, help="held-out sitters")
    parser.add_argument("--pairs", type=int, default=4, help="moments a source")
    parser.add_argument("--features", type=Path, help="MobileNetV2 state dictionary")
    parser.add_argument("--weights", type=Path, help="judge these instead of the ones that ship")
    parser.add_argument("--sheet", type=Path, help="folder for a blind comparison")
    parser.add_argument("--portraits", type=Path, nargs="+", default=[], help="stills for it")
    parser.add_argument("--faces", type=int, default=3, help="mouths a portrait")
    parser.add_argument("--seed", type=int, default=101)
    parser.add_argument("--tally", type=Path, nargs=2, metavar=("KEY", "VOTES"))
    options = parser.parse_args()
    if options.tally:
        result = tally(*options.tally)
    elif options.sheet:
        made = write_sheets(
            options.sheet, options.portraits, options.faces, options.seed, options.weights
        )
        result = {"sheets": made, "folder": str(options.sheet)}
    else:
        result = measure(
            options.photographs,
            options.sitters,
            options.pairs,
            options.features,
            options.seed,
            options.weights,
        )
    if options.json:
        print(json.dumps(result, indent=2))
        return
    for name, value in result.items():
        if isinstance(value, dict) and "sources" in value:
            print(f"{name}: {value.pop('sources')} sources")
            for inner, row in value.items():
                cells = " ".join(f"{key} {number:.4g}" for key, number in row.items())
                print(f"  {inner:12} {cells}")
        else:
            print(f"{name:14} {value}")


if __name__ == "__main__":
    main()
