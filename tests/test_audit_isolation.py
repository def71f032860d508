"""What an audit asks of children, and within which limits."""

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from obverse import isolation as core
from obverse.audit import isolation
from obverse.audit.isolation import Limits, ask
from obverse.errors import AuditError
from obverse.isolation import Answer, Bounds


def test_a_file_that_is_none_is_refused_in_a_sentence(tmp_path: Path) -> None:
    answer = ask("content", tmp_path / "absent.mp4", Limits(), key="00" * 32)
    assert answer.values is None
    assert "absent.mp4" in str(answer.refused)


def test_a_child_is_held_to_the_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, Bounds]] = []

    def note(function: str, path: Path, bounds: Bounds, **_: Any) -> Answer:
        asked.append((function, bounds))
        return Answer(values={})

    monkeypatch.setattr(core, "ask", note)
    ask("faces", tmp_path, Limits(7.0, 1 << 30))
    ((function, bounds),) = asked
    assert function == "obverse.audit.faces:read_faces"
    assert (bounds.seconds, bounds.memory_bytes, bounds.counted) == (7.0, 1 << 30, "data")
    assert (bounds.processors, bounds.file_bytes) == (os.cpu_count(), 2 << 30)


def test_a_child_that_cannot_be_started_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "absent"))
    with pytest.raises(AuditError, match="no process could be started"):
        ask("history", tmp_path, Limits())


@pytest.mark.parametrize("limits", [(0.0, 1 << 30), (-1.0, 1 << 30), (1.0, 1 << 20)])
def test_limits_under_which_nothing_runs_are_refused(limits: tuple[float, int]) -> None:
    with pytest.raises(AuditError, match="too low"):
        Limits(*limits)


def test_the_tasks_exist() -> None:
    for place in isolation.TASKS.values():
        module, _, function = place.partition(":")
        assert callable(getattr(importlib.import_module(module), function))
