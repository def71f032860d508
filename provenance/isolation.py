"""Reading a stranger's manifest in a process of its own (`obverse.isolation`)."""

import base64
from pathlib import Path
from typing import Any

from obverse.errors import InputError, ProvenanceError
from obverse.isolation import Answer, Bounds, ask
from obverse.provenance.identity import default_anchors, default_time_stamp_anchors
from obverse.provenance.verify import ManifestReport, verify, verify_store

__all__ = ["read_file", "read_store", "verify_isolated", "verify_store_isolated"]

_MEMORY_BYTES = 2 << 30
_MAX_ANSWER_BYTES = 8 << 20
_MODULE = "obverse.provenance.isolation"


def verify_isolated(
    path: Path,
    anchors: bytes | None = None,
    *,
    time_stamp_anchors: bytes | None = None,
    online: bool = False,
    timeout_seconds: float = 30.0,
) -> ManifestReport:
    """Do what `verify` does, in a child process.

    A file that brings the child down, or keeps it busy for longer than `timeout_seconds`, is
    `invalid`.

    Raises:
        InputError: the file cannot be read.
        ProvenanceError: the child could not be started.
    """
    answer = _asked(
        "read_file", path, str(path), anchors, time_stamp_anchors, timeout_seconds, online=online
    )
    return _report(answer)


def verify_store_isolated(
    store: bytes,
    anchors: bytes | None = None,
    *,
    time_stamp_anchors: bytes | None = None,
    timeout_seconds: float = 30.0,
) -> ManifestReport:
    """Do what `verify_store` does, in a child process.

    Raises:
        ProvenanceError: the child could not be started.
    """
    answer = _asked(
        "read_store",
        None,
        "a manifest",
        anchors,
        time_stamp_anchors,
        timeout_seconds,
        store=base64.b64encode(store).decode(),
    )
    return _report(answer)


def _asked(
    function: str,
    path: Path | None,
    shown: str,
    anchors: bytes | None,
    time_stamp_anchors: bytes | None,
    timeout_seconds: float,
    **values: Any,
) -> Answer:
    trusted = default_anchors() if anchors is None else anchors
    stamping = default_time_stamp_anchors() if time_stamp_anchors is None else time_stamp_anchors
    bounds = Bounds(timeout_seconds, _MEMORY_BYTES, answer_bytes=_MAX_ANSWER_BYTES)
    try:
        return ask(
            f"{_MODULE}:{function}",
            path,
            bounds,
            refusal=InputError,
            anchors=trusted.decode(),
            time_stamp_anchors=stamping.decode(),
            **values,
        )
    except OSError as error:
        raise ProvenanceError(
            f"no process could be started to read {shown}: {error.strerror}."
        ) from error


def _report(answer: Answer) -> ManifestReport:
    if answer.refused is not None:
        raise InputError(answer.refused)
    if answer.values is None:
        why = f"the manifest's reader was given up: {answer.brought_down}"
        return ManifestReport("invalid", failures=("manifest.unreadable",), warnings=(why,))
    return ManifestReport.from_dict(dict(answer.values))


def read_file(path: Path, anchors: str, time_stamp_anchors: str, online: bool) -> dict[str, Any]:
    """Do what `verify` does, with plain values; what the child is asked.

    Raises:
        InputError: the file cannot be read.
    """
    stamping = time_stamp_anchors.encode()
    return verify(path, anchors.encode(), time_stamp_anchors=stamping, online=online).to_dict()


def read_store(store: str, anchors: str, time_stamp_anchors: str) -> dict[str, Any]:
    """Do what `verify_store` does, with plain values and the store in base64."""
    content, stamping = base64.b64decode(store), time_stamp_anchors.encode()
    return verify_store(content, anchors.encode(), time_stamp_anchors=stamping).to_dict()
