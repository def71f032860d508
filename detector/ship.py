"""Writes trained runs as the weights that ship.

`python -m obverse.detector.ship --member frame RUN --member sync RUN -o detector/weights`: each run
is exported under its name; with `--fusion RUN` a fusion names them, so that no network ships twice.
What a test of them found goes on their cards afterwards, with `--results`.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from obverse.detector.calibration import Calibration
from obverse.detector.export import export
from obverse.detector.runs import CALIBRATION, CARD, read_config
from obverse.errors import InputError, ObverseError
from obverse.files import write_whole
from obverse.weights import sha256_file

__all__ = ["main", "ship", "ship_fusion", "state_results"]

LICENCE = "Apache-2.0"
MADE_BY = "make weights (the commands stand in the Makefile)"
FUSION = "fusion.json"


def ship(members: Mapping[str, Path], folder: Path) -> None:
    """Export runs as `NAME.onnx`.

    Args:
        members: runs by the names they get.
        folder: where to.
    """
    for name, run in members.items():
        export(run, folder / f"{name}.onnx", force=True)
        path = folder / f"{name}.card.yaml"
        card = yaml.safe_load(path.read_text(encoding="utf-8"))
        stated: dict[str, Any] = {"licence": LICENCE, "made_by": MADE_BY}
        if (run / CALIBRATION).is_file():  # it may have been calibrated anew after its training
            about = Calibration.load(run / CALIBRATION).about
            counted = int(about["synthetic"]) + int(about["pristine"])
            stated["results"] = {**card["results"], "calibrated_on": counted}
            stated["calibration"] = dict(about)
        _write(path, {**card, **stated})


def ship_fusion(members: Mapping[str, Path], fusion: Path, folder: Path) -> None:
    """Write `fusion.json`, which names members that `ship` exported.

    Args:
        members: their runs by the names they got.
        fusion: the run of their fusion.
        folder: where they are.

    Raises:
        InputError: the fusion is of other runs.
    """
    config = read_config(fusion)
    digests = {_digest(run): name for name, run in members.items()}
    copies = [_digest(fusion / member) for member in config["members"]]
    if set(copies) != set(digests) or len(copies) != len(digests):
        raise InputError(f"{fusion} fuses other runs than {', '.join(members)}; fuse these.")
    names = [f"{digests[copy]}.onnx" for copy in copies]
    calibration = Calibration.load(fusion / CALIBRATION).to_json()
    path = folder / FUSION
    values = {**config, "members": names, "calibration": calibration}
    write_whole(path, json.dumps(values, indent=2) + "\n")
    card: dict[str, Any] = yaml.safe_load((fusion / CARD).read_text(encoding="utf-8"))
    first = yaml.safe_load((folder / names[0]).with_suffix(".card.yaml").read_text("utf-8"))
    card |= {
        "name": path.stem,
        "file": path.name,
        "sha256": sha256_file(path),
        "licence": LICENCE,
        "made_by": MADE_BY,
        "source": first["source"],
        "preprocessing": f"that of its members, {' and '.join(names)}",
        "results": {"note": "its own tests stand in docs/detectors.md"},
    }
    _write(path.with_suffix(".card.yaml"), card)


def state_results(folder: Path, results: Mapping[str, Mapping[str, Any]]) -> None:
    """Put what a test found on the cards, by the weights' names."""
    for name, found in results.items():
        path = folder / f"{name}.card.yaml"
        card = yaml.safe_load(path.read_text(encoding="utf-8"))
        _state(path, {"results": {**card["results"], **found}})


def _digest(run: Path) -> str:
    card = yaml.safe_load((run / CARD).read_text(encoding="utf-8"))
    return str(card["sha256"])


def _state(path: Path, values: Mapping[str, Any]) -> None:
    _write(path, {**yaml.safe_load(path.read_text(encoding="utf-8")), **values})


def _write(path: Path, card: Mapping[str, Any]) -> None:
    text = yaml.safe_dump(dict(card), sort_keys=False, width=100, allow_unicode=True)
    write_whole(path, text)


def main() -> None:
    """Write the weights that ship, or what a test of them found."""
    parser = argparse.ArgumentParser(description="The detectors that ship.")
    parser.add_argument("--member", nargs=2, action="append", default=[], metavar=("NAME", "RUN"))
    parser.add_argument("--fusion", type=Path, metavar="RUN")
    parser.add_argument("--results", type=Path, metavar="YAML", help="name -> what was measured")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    try:
        members = {name: Path(run) for name, run in options.member}
        options.output.mkdir(parents=True, exist_ok=True)
        ship(members, options.output)
        if options.fusion is not None:
            ship_fusion(members, options.fusion, options.output)
        if options.results is not None:
            state_results(options.output, yaml.safe_load(options.results.read_text("utf-8")))
    except ObverseError as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
