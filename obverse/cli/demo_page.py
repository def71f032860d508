"""The demo's page: clips, labels, what inspection found and what the detector said, in one file
that needs no network.
"""

import csv
import dataclasses
import importlib.resources
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

import obverse
from obverse.audit.inspection import Inspection
from obverse.clip import Clip, Score
from obverse.eval.shortcut_report import shown_findings, verdict_line
from obverse.eval.shortcuts import BAND, ShortcutAudit
from obverse.eval.summary import Summary

__all__ = ["DemoClip", "labels_csv", "labels_html", "page_html"]

_COLUMNS = (
    "id", "label", "kind", "method", "identity", "speaker", "split", "seconds",
    "manifest", "mark", "match", "score",
)  # fmt: skip
_CUES_SHOWN = 8  # those that tell most
_WORDS = {True: "yes", False: "NO", None: "unknown"}


@dataclasses.dataclass(frozen=True, slots=True)
class DemoClip:
    """A clip, what was found in its file, and its score where the detector scored it."""

    clip: Clip
    found: Inspection
    score: Score | None

    def cells(self) -> dict[str, str]:
        """Return the clip's row of the labels table."""
        clip, mark, score = self.clip, self.found.mark, self.score
        read = mark.payload_hex if mark is not None and mark.present else None
        shown = (
            "" if score is None else score.status if score.score is None else f"{score.score:.3f}"
        )
        return {
            "id": clip.id,
            "label": clip.label,
            "kind": clip.kind,
            "method": clip.method or "",
            "identity": clip.identity or "",
            "speaker": clip.speaker or "",
            "split": clip.split or "",
            "seconds": f"{clip.seconds:.2f}",
            "manifest": self.found.manifest.state,
            "mark": read or "not read",
            "match": _WORDS[self.found.match],
            "score": shown,
        }


def labels_csv(clips: Sequence[DemoClip]) -> str:
    """Return the labels table as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(item.cells() for item in clips)
    return text.getvalue()


def labels_html(clips: Sequence[DemoClip]) -> str:
    """Return the labels table as a page of its own."""
    return _template("demo_labels.html").render(columns=_COLUMNS, rows=[c.cells() for c in clips])


def page_html(
    clips: Sequence[DemoClip],
    folder: Path,
    corpus: Path,
    *,
    sheet: str,
    summary: Summary,
    shipped: Summary,
    audit: ShortcutAudit,
    shortcuts: str,
    detector: dict[str, Any],
    seconds: float,
) -> str:
    """Return the page, which names clips and masks by their paths relative to `folder`.

    Args:
        clips: all clips of the corpus.
        folder: where the page will lie.
        corpus: the corpus's folder, inside `folder`.
        sheet: name of the contact sheet's file in `folder`.
        summary: the detector's result on the test split.
        shipped: that of the detector which ships, on all clips.
        audit: what tells the labels apart without a look at the faces.
        shortcuts: name of the audit's page in `folder`.
        detector: name and value of what is worth knowing of the detector's training.
        seconds: how long the demo took.
    """
    prefix = corpus.relative_to(folder).as_posix()
    pairs: dict[str, dict[str, Any]] = {}
    for item in sorted(clips, key=lambda item: (str(item.clip.split), str(item.clip.identity))):
        pair = pairs.setdefault(str(item.clip.identity), {"clip": item.clip, "items": []})
        shown = {
            "cells": item.cells(),
            "video": f"{prefix}/{item.clip.path}",
            "mask": f"{prefix}/{item.clip.mask_path}",
            "well": item.found.well,
        }
        pair["items"].insert(0 if item.clip.label == "pristine" else len(pair["items"]), shown)
    scored = [item for item in clips if item.score is not None and item.score.score is not None]
    return _template("demo.html").render(
        version=obverse.__version__,
        pairs=list(pairs.values()),
        columns=_COLUMNS,
        rows=[item.cells() for item in clips],
        sheet=sheet,
        summary=summary,
        shipped=shipped,
        audit=audit,
        band=BAND,
        verdict=verdict_line(audit),
        findings=shown_findings(audit)[:_CUES_SHOWN],
        shortcuts=shortcuts,
        detector=detector,
        well=sum(item.found.well for item in clips),
        dots=_dots(scored),
        seconds=seconds,
        cores=os.cpu_count(),
    )


def _dots(scored: Sequence[DemoClip]) -> list[dict[str, Any]]:
    """Place one dot a scored clip: score to the right, labels in two rows, equal scores side by
    side.
    """
    dots: list[dict[str, Any]] = []
    for label, top in (("pristine", 34), ("synthetic", 94)):
        rows: dict[int, int] = {}
        for item in scored:
            if item.clip.label != label or item.score is None or item.score.score is None:
                continue
            x = 90 + 560 * item.score.score
            column = round(x / 12)
            step = rows.get(column, 0)
            rows[column] = step + 1
            dots.append(
                {
                    "x": round(x, 1),
                    "y": top + (-1) ** step * 11 * ((step + 1) // 2),
                    "label": label,
                    "split": item.clip.split,
                    "title": f"{item.clip.identity}, {label}: {item.score.score:.3f}",
                }
            )
    return dots


def _template(name: str) -> jinja2.Template:
    text = (importlib.resources.files("obverse.cli") / name).read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(text)
