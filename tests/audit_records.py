"""A record of an audit as tests of the report and the page need it, without an audit."""

import base64
import io
from typing import Any

import numpy as np
from PIL import Image

from obverse.audit.record import Record


def picture(seed: int = 0) -> str:
    """Return a small JPEG in base64."""
    noise = np.random.default_rng(seed).integers(0, 255, (32, 128, 3)).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, "JPEG")
    return base64.b64encode(out.getvalue()).decode()


def manifest(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "state": "trusted",
        "id": "urn:c2pa:1",
        "signer": "a signer",
        "issuer": "a house",
        "failures": [],
        "warnings": [],
        "label": {},
        "payload": "00000000000000ff",
        "digital_source_type": "trainedAlgorithmicMedia",
        "created": "2026-11-26T00:00:00Z",
        "time_stamp": None,
        "time_stamp_trusted": False,
        "revocation": "not asked",
        "fingerprint": None,
        "generator": "obverse 0.1.0",
        "ingredients": [
            {
                "role": "portrait",
                "relationship": "inputTo",
                "sha256": "ab" * 32,
                "manifest": None,
                "failures": [],
            }
        ],
    }
    return values | changes


def record(**changes: Any) -> Record:
    face = {
        "number": 1,
        "begin_s": 0.2,
        "end_s": 3.5,
        "box": [1.0, 2.0, 30.0, 40.0],
        "score": 0.91,
        "lr": 12.0,
        "verdict": "synthetic",
        "reason": None,
        "times": [0.2, 1.0, 3.0],
        "raw": [0.2, 0.9, 0.5],
        "picture": picture(),
        "heat": True,
    }
    values: dict[str, Any] = {
        "verdict": "declared-ai",
        "title": "Declared as made by AI or software",
        "wrong": False,
        "confidence": "very high",
        "reasons": ["A trusted signer says so."],
        "findings": [
            {"method": "C2PA manifest", "result": "r1", "error_rate": "e1", "conditions": "c1"},
            {"method": "invisible mark", "result": "r2", "error_rate": "e2", "conditions": "c2"},
        ],
        "limits": ["Absence proves nothing: at all.", "Second limit."],
        "axes": {
            "manifest": "trusted, says AI",
            "mark": "named",
            "content": "same, AI",
            "detector": "synthetic",
            "ratio": 12.0,
        },
        "exhibit": {
            "name": "clip.mp4",
            "sha256": "cd" * 32,
            "bytes": 12345,
            "media_type": "video/mp4",
            "modified": "2026-11-26T00:00:00Z",
        },
        "versions": {"obverse": "0.1.0"},
        "times": {"started": "2026-11-26T00:00:00Z", "finished": "2026-11-26T00:00:09Z"},
        "command": "obverse audit clip.mp4",
        "manifest": manifest(),
        "recovered": manifest(id="urn:c2pa:2"),
        "registry": {
            "content": "same, AI",
            "why_not": None,
            "clip": {
                "found_by": "mark",
                "manifest": "urn:c2pa:2",
                "clip": "1c" * 16,
                "sha256": "cd" * 32,
                "registered": "2026-11-26T00:00:00Z",
                "payload": "00000000000000ff",
                "label": "synthetic",
                "kind": "generated",
                "method": "talk",
                "content": "matches",
                "picture_distance": 0.01,
                "sound_distance": None,
                "placement": None,
                "enclosed": False,
            },
            "neighbours": [],
            "heard": [],
        },
        "mark": {
            "present": True,
            "payload": "00000000000000ff",
            "z": 50.0,
            "p_value": 1e-200,
            "frames": 100,
            "geometry": {"scale": [1.0, 1.0], "degrees": 0.0, "mirrored": False},
        },
        "detector": None,
        "score": None,
        "faces": [face],
        "worst": [picture(1)],
        "timeline": {"seconds": 4.0, "key_frames": [0.0, 2.0], "kind": "film"},
        "history": [{"name": "tags", "value": "encoder: x", "says": "s", "cannot": "c"}],
    }
    return Record(**(values | changes))
