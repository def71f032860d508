"""Looking into a stranger's file in a process of its own, with limits on time and memory.

Decoders are native code that reads whatever the file holds. A file that crashes one, hangs it or
makes it ask for all memory costs a child process; what that child was to find out is then reported
as not found out, and the rest of the audit goes on.
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

from obverse.errors import AuditError, ObverseError

__all__ = ["TASKS", "Answer", "Limits", "Task", "ask"]

Task = Literal["history", "content", "faces"]
# What a child can be asked: a function that takes the file's path and the request's other values
# and returns plain values.
TASKS: Mapping[Task, str] = {
    "history": "obverse.audit.history:read_history",
    "content": "obverse.audit.content:read_content",
    "faces": "obverse.audit.faces:read_faces",
}

_MODULE = "obverse.audit.isolation"
_REFUSED = 2
_MAX_ANSWER_BYTES = 64 << 20
_MAX_FILE_BYTES = 2 << 30  # that a child may write: crops of a long film


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """What a child may use."""

    seconds: float = 600.0  # on the clock
    memory_bytes: int = 6 << 30  # of its own data; what libraries map from files is not counted

    def __post_init__(self) -> None:
        """Refuse limits under which nothing could run."""
        if not self.seconds > 0 or self.memory_bytes < 256 << 20:
            raise AuditError(
                f"limits of {self.seconds:g} s and {self.memory_bytes >> 20} MiB are too low; "
                "give more than 0 s and at least 256 MiB."
            )


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What a child found out, or why it did not: one of the three is set."""

    values: Mapping[str, Any] | None = None
    refused: str | None = None  # the file cannot be read as this: the sentence that says so
    brought_down: str | None = None  # the child crashed, hung or asked for too much


def ask(task: Task, path: Path, limits: Limits, **values: Any) -> Answer:
    """Do a task of `TASKS` in a child process.

    Args:
        task: which.
        path: the stranger's file.
        limits: on the child.
        values: what else the task takes; plain values.

    Raises:
        AuditError: the child could not be started.
    """
    request = {
        "task": task,
        "path": str(path.resolve()),
        "values": values,
        "limits": dataclasses.asdict(limits),
    }
    try:
        child = subprocess.run(
            # -P: the folder we happen to stand in, perhaps beside the file, is not searched for
            # modules.
            [sys.executable, "-P", "-m", _MODULE],
            input=json.dumps(request).encode(),
            capture_output=True,
            timeout=limits.seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Answer(brought_down=f"it took longer than {limits.seconds:g} s")
    except OSError as error:
        raise AuditError(
            f"no process could be started to read {path}: {error.strerror}."
        ) from error
    if child.returncode == _REFUSED:
        return Answer(refused=child.stderr.decode(errors="replace").strip().splitlines()[-1])
    if child.returncode != 0:
        return Answer(brought_down=_why(child.returncode, child.stderr))
    if len(child.stdout) > _MAX_ANSWER_BYTES:
        return Answer(brought_down="its answer was too long")
    return Answer(values=json.loads(child.stdout))


def _why(code: int, stderr: bytes) -> str:
    if b"MemoryError" in stderr or b"bad_alloc" in stderr:
        return "it asked for more memory than is allowed"
    if code < 0:
        return f"it was brought down by signal {-code}"
    return f"it ended with code {code}"


def _limit(limits: Mapping[str, Any]) -> None:
    try:
        import resource
    except ImportError:  # Windows: the parent's time limit is all there is
        return
    memory, seconds = int(limits["memory_bytes"]), int(limits["seconds"]) + 1
    processor = seconds * (os.cpu_count() or 1)
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (processor, processor + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MAX_FILE_BYTES, _MAX_FILE_BYTES))


def _child() -> int:
    # Native libraries write to stdout as they please; the answer has a way out of its own.
    answers = os.dup(1)
    os.dup2(2, 1)
    request = json.loads(sys.stdin.read())
    _limit(request["limits"])
    module, _, function = TASKS[request["task"]].partition(":")
    run = getattr(importlib.import_module(module), function)
    try:
        values = run(Path(request["path"]), **request["values"])
    except ObverseError as error:
        sys.stderr.write(f"\n{error}\n")
        return _REFUSED
    with os.fdopen(answers, "w", encoding="utf-8") as out:
        json.dump(values, out, allow_nan=False)
    return 0


if __name__ == "__main__":
    sys.exit(_child())
