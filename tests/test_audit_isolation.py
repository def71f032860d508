"""A file that crashes, hangs or exhausts its reader costs a child process and one finding."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from obverse.audit import isolation
from obverse.audit.isolation import Answer, Limits, ask
from obverse.errors import AuditError, InputError

MODULE = Path(__file__).stem


def answers(path: Path, word: str) -> dict[str, Any]:
    return {"word": word, "bytes": len(path.read_bytes())}


def refuses(path: Path) -> dict[str, Any]:
    raise InputError(f"{path.name} is nothing.")


def crashes(path: Path) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGSEGV)
    return {}


def hangs(path: Path) -> dict[str, Any]:
    while True:
        time.sleep(1)


def gorges(path: Path) -> dict[str, Any]:
    return {"bytes": len(bytearray(8 << 30))}


def talks(path: Path) -> dict[str, Any]:
    os.write(1, b"a library's own words\n")
    return {"fine": True}


def lies(path: Path) -> dict[str, Any]:
    return {"not a number": float("nan")}


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Let the child find this module, and call its functions by the names of tasks."""
    launcher = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from obverse.audit import isolation\n"
        "import json\n"
        f"isolation.TASKS = json.loads({json.dumps(json.dumps(_tasks()))})\n"
        "sys.exit(isolation._child())\n"
    )
    folder = tmp_path / "launcher"
    folder.mkdir()
    (folder / "launcher_of_test.py").write_text(launcher, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ["PYTHONPATH"]])
                       if os.environ.get("PYTHONPATH") else str(folder))  # fmt: skip
    monkeypatch.setattr(isolation, "_MODULE", "launcher_of_test")
    path = tmp_path / "file.bin"
    path.write_bytes(b"12345")
    return path


def _tasks() -> dict[str, str]:
    names = ("answers", "refuses", "crashes", "hangs", "gorges", "talks", "lies")
    return {name: f"{MODULE}:{name}" for name in names}


def _ask(name: str, path: Path, limits: Limits | None = None, **values: Any) -> Answer:
    return ask(name, path, limits or Limits(60.0), **values)  # type: ignore[arg-type]


def test_an_answer_comes_back(child: Path) -> None:
    assert _ask("answers", child, word="yes").values == {"word": "yes", "bytes": 5}


def test_a_refusal_is_a_sentence(child: Path) -> None:
    answer = _ask("refuses", child)
    assert (answer.values, answer.refused) == (None, "file.bin is nothing.")


def test_a_crash_is_told(child: Path) -> None:
    assert "signal 11" in str(_ask("crashes", child).brought_down)


def test_a_file_that_hangs_its_reader_is_left(child: Path) -> None:
    assert "longer than 3 s" in str(_ask("hangs", child, Limits(3.0)).brought_down)


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="limits on memory are Linux's")
def test_a_file_that_asks_for_all_memory_gets_none(child: Path) -> None:
    answer = _ask("gorges", child, Limits(60.0, 512 << 20))
    assert "memory" in str(answer.brought_down)


def test_what_a_library_says_is_no_answer(child: Path) -> None:
    assert _ask("talks", child).values == {"fine": True}


def test_an_answer_that_is_no_json_brings_the_child_down(child: Path) -> None:
    assert _ask("lies", child).brought_down is not None


@pytest.mark.parametrize("limits", [(0.0, 1 << 30), (-1.0, 1 << 30), (1.0, 1 << 20)])
def test_limits_under_which_nothing_runs_are_refused(limits: tuple[float, int]) -> None:
    with pytest.raises(AuditError, match="too low"):
        Limits(*limits)


def test_the_tasks_exist() -> None:
    import importlib

    for place in isolation.TASKS.values():
        module, _, function = place.partition(":")
        assert callable(getattr(importlib.import_module(module), function))
