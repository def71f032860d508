"""A function in a process of its own, with limits on time and memory: for what strangers send.

Decoders and parsers are native code that reads whatever a file holds. A file that crashes one,
hangs it or makes it ask for all memory costs a child process and nothing else.
"""

import dataclasses
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from obverse import errors

__all__ = ["Answer", "Bounds", "ask"]

_MODULE = "obverse.isolation"
_REFUSED = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Bounds:
    """What a child may use; where the system has no such limits, the time on the clock is all."""

    seconds: float  # on the clock, and nearly as many of each processor
    memory_bytes: int
    # All that it maps, or its own data only: libraries that map large files need the second.
    counted: Literal["mapped", "data"] = "mapped"
    processors: int = 1  # that may be busy all the time
    file_bytes: int | None = None  # of the largest file that it may write; None for any
    answer_bytes: int = 64 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What a child found out, or why it did not: one of the three is set."""

    values: Mapping[str, Any] | None = None
    refused: str | None = None  # the file cannot be read as this: the sentence that says so
    brought_down: str | None = None  # the child crashed, hung or asked for too much


def ask(
    function: str,
    path: Path | None,
    bounds: Bounds,
    *,
    refusal: type[errors.ObverseError] = errors.ObverseError,
    **values: Any,
) -> Answer:
    """Call a function in a child process.

    Args:
        function: `module:name`; it returns plain values.
        path: the stranger's file, the function's first argument; None where it takes none.
        bounds: on the child.
        refusal: an error that is a sentence about the file; any other brings the child down.
        values: the function's named arguments, plain values.

    Raises:
        OSError: the child could not be started.
    """
    request = {
        "function": function,
        "path": None if path is None else str(path.resolve()),
        "values": values,
        "bounds": dataclasses.asdict(bounds),
        "refusal": refusal.__name__,
    }
    try:
        child = subprocess.run(
            # -P: the folder we happen to stand in, perhaps beside the file, is not searched for
            # modules.
            [sys.executable, "-P", "-m", _MODULE],
            input=json.dumps(request).encode(),
            capture_output=True,
            timeout=bounds.seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Answer(brought_down=f"it took longer than {bounds.seconds:g} s")
    if child.returncode == _REFUSED:
        said = child.stderr.decode(errors="replace").strip().splitlines()
        return Answer(refused=said[-1] if said else "")
    if child.returncode != 0:
        return Answer(brought_down=_why(child.returncode, child.stderr))
    if len(child.stdout) > bounds.answer_bytes:
        return Answer(brought_down="its answer was too long")
    return Answer(values=json.loads(child.stdout))


def _why(code: int, stderr: bytes) -> str:
    if b"MemoryError" in stderr or b"bad_alloc" in stderr:
        return "it asked for more memory than is allowed"
    if code < 0:
        return f"it was brought down by signal {-code}"
    return f"it ended with code {code}"


def _keep_within(bounds: Bounds) -> None:
    """Limit this process, where the system can."""
    try:
        import resource
    except ImportError:  # Windows: the parent's time limit is all there is
        return
    memory = resource.RLIMIT_AS if bounds.counted == "mapped" else resource.RLIMIT_DATA
    resource.setrlimit(memory, (bounds.memory_bytes, bounds.memory_bytes))
    seconds = (int(bounds.seconds) + 1) * bounds.processors
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if bounds.file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (bounds.file_bytes, bounds.file_bytes))


def _child() -> int:
    # Native libraries write to stdout as they please; the answer has a way out of its own.
    answers = os.dup(1)
    os.dup2(2, 1)
    request = json.loads(sys.stdin.read())
    module, _, name = request["function"].partition(":")
    # Libraries map much while they are loaded, and that is no stranger's doing.
    function = getattr(importlib.import_module(module), name)
    _keep_within(Bounds(**request["bounds"]))
    file = [] if request["path"] is None else [Path(request["path"])]
    try:
        values = function(*file, **request["values"])
    except getattr(errors, request["refusal"]) as error:
        sys.stderr.write(f"\n{error}\n")
        return _REFUSED
    with os.fdopen(answers, "w", encoding="utf-8") as out:
        json.dump(values, out, allow_nan=False)
    return 0


if __name__ == "__main__":
    sys.exit(_child())
