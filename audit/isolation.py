"""What an audit asks of a stranger's file, each in a process of its own (`obverse.isolation`).

What a child was to find out and did not is reported as not found out, and the rest of the audit
goes on.
"""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from obverse import isolation
from obverse.errors import AuditError
from obverse.isolation import Answer

__all__ = ["TASKS", "Limits", "Task", "ask"]

Task = Literal["history", "content", "faces"]
# What a child can be asked: a function that takes the file's path and the request's other values
# and returns plain values.
TASKS: Mapping[Task, str] = {
    "history": "obverse.audit.history:read_history",
    "content": "obverse.audit.content:read_content",
    "faces": "obverse.audit.faces:read_faces",
}

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
    bounds = isolation.Bounds(
        limits.seconds,
        limits.memory_bytes,
        counted="data",
        processors=os.cpu_count() or 1,
        file_bytes=_MAX_FILE_BYTES,
    )
    try:
        return isolation.ask(TASKS[task], path, bounds, **values)
    except OSError as error:
        raise AuditError(
            f"no process could be started to read {path}: {error.strerror}."
        ) from error
