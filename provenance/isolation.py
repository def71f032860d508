"""Reading a stranger's manifest in a process of its own, with limits on time and memory.

The manifest parser is native code that reads whatever the file holds. A file that crashes it, hangs
it or makes it ask for all memory costs a child process and nothing else.
"""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from obverse.errors import InputError, ProvenanceError
from obverse.provenance.identity import default_anchors, default_time_stamp_anchors
from obverse.provenance.verify import ManifestReport, verify, verify_store

__all__ = ["MEMORY_BYTES", "limit_resources", "verify_isolated", "verify_store_isolated"]

MEMORY_BYTES = 2 << 30
_MAX_ANSWER_BYTES = 8 << 20
_CANNOT_READ = 2
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
    request = {"path": str(path.resolve()), "online": online}
    return _asked(request, str(path), anchors, time_stamp_anchors, timeout_seconds)


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
    request = {"store": base64.b64encode(store).decode()}
    return _asked(request, "a manifest", anchors, time_stamp_anchors, timeout_seconds)


def _asked(
    request: dict[str, Any],
    shown: str,
    anchors: bytes | None,
    time_stamp_anchors: bytes | None,
    timeout_seconds: float,
) -> ManifestReport:
    trusted = default_anchors() if anchors is None else anchors
    stamping = default_time_stamp_anchors() if time_stamp_anchors is None else time_stamp_anchors
    request = request | {
        "anchors": trusted.decode(),
        "time_stamp_anchors": stamping.decode(),
        "seconds": timeout_seconds,
    }
    try:
        child = subprocess.run(
            # -P: the folder we happen to stand in, perhaps beside the file, is not searched for
            # modules.
            [sys.executable, "-P", "-m", _MODULE],
            input=json.dumps(request).encode(),
            capture_output=True,
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _brought_down(f"reading the manifest took longer than {timeout_seconds:g} seconds")
    except OSError as error:
        raise ProvenanceError(
            f"no process could be started to read {shown}: {error.strerror}."
        ) from error
    if child.returncode == _CANNOT_READ:
        raise InputError(child.stderr.decode(errors="replace").strip())
    if child.returncode != 0 or len(child.stdout) > _MAX_ANSWER_BYTES:
        return _brought_down(f"the reader ended with code {child.returncode}")
    return ManifestReport.from_dict(json.loads(child.stdout))


def _brought_down(why: str) -> ManifestReport:
    return ManifestReport("invalid", failures=("manifest.unreadable",), warnings=(why,))


def limit_resources(seconds: float, memory_bytes: int = MEMORY_BYTES) -> None:
    """Limit this process's memory and time, where the system can: for children that read strangers'
    files.
    """
    try:
        import resource
    except ImportError:  # Windows: the parent's time limit is all there is
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 2))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _child() -> int:
    request = json.loads(sys.stdin.read())
    limit_resources(request["seconds"])
    anchors, stamping = request["anchors"].encode(), request["time_stamp_anchors"].encode()
    try:
        if "store" in request:
            store = base64.b64decode(request["store"])
            report = verify_store(store, anchors, time_stamp_anchors=stamping)
        else:
            path, online = Path(request["path"]), bool(request["online"])
            report = verify(path, anchors, time_stamp_anchors=stamping, online=online)
    except InputError as error:
        sys.stderr.write(str(error))
        return _CANNOT_READ
    sys.stdout.write(json.dumps(report.to_dict()))
    return 0


if __name__ == "__main__":
    sys.exit(_child())
