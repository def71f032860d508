"""A file that crashes, hangs or exhausts its reader costs a child process and nothing else."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from obverse import isolation
from obverse.errors import AuditError, InputError
from obverse.isolation import Answer, Bounds, ask

MODULE = Path(__file__).stem
ROOMY = Bounds(60.0, 4 << 30)


def answers(path: Path, word: str) -> dict[str, Any]:
    return {"word": word, "bytes": len(path.read_bytes())}


def takes_no_file(content: str) -> dict[str, Any]:
    return {"letters": len(content)}


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


def maps(path: Path) -> dict[str, Any]:
    import mmap

    with mmap.mmap(-1, 1 << 30, flags=mmap.MAP_SHARED) as shared:  # mapped, and no data of its own
        return {"bytes": len(shared)}


def writes(path: Path) -> dict[str, Any]:
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    with path.open("wb") as file:
        return {"bytes": file.write(bytes(1 << 20))}


def talks(path: Path) -> dict[str, Any]:
    os.write(1, b"a library's own words\n")
    return {"fine": True}


def lies(path: Path) -> dict[str, Any]:
    return {"not a number": float("nan")}


def babbles(path: Path) -> dict[str, Any]:
    return {"words": "a" * 1000}


@pytest.fixture
def file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return a file; children find this module."""
    places = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, places)))
    path = tmp_path / "file.bin"
    path.write_bytes(b"12345")
    return path


def _ask(name: str, path: Path | None, bounds: Bounds = ROOMY, **values: Any) -> Answer:
    return ask(f"{MODULE}:{name}", path, bounds, **values)


def test_an_answer_comes_back(file: Path) -> None:
    assert _ask("answers", file, word="yes").values == {"word": "yes", "bytes": 5}
    assert _ask("takes_no_file", None, content="abc").values == {"letters": 3}


def test_a_refusal_is_a_sentence(file: Path) -> None:
    answer = _ask("refuses", file)
    assert (answer.values, answer.refused) == (None, "file.bin is nothing.")
    assert _ask("refuses", file, refusal=InputError) == answer
    assert "code 1" in str(_ask("refuses", file, refusal=AuditError).brought_down)


def test_a_crash_is_told(file: Path) -> None:
    assert "signal 11" in str(_ask("crashes", file).brought_down)


def test_a_reader_that_is_not_there_is_told(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "_MODULE", "this.module.is.not.there")
    assert "code 1" in str(_ask("answers", file, word="").brought_down)


def test_a_file_that_hangs_its_reader_is_left(file: Path) -> None:
    assert "longer than 3 s" in str(_ask("hangs", file, Bounds(3.0, 4 << 30)).brought_down)


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="limits are Linux's")
class TestLimits:
    def test_a_file_that_asks_for_all_memory_gets_none(self, file: Path) -> None:
        for bounds in (Bounds(60.0, 512 << 20), Bounds(60.0, 512 << 20, counted="data")):
            assert "memory" in str(_ask("gorges", file, bounds).brought_down)

    def test_what_is_mapped_counts_where_it_should(self, file: Path) -> None:
        assert _ask("maps", file, Bounds(60.0, 512 << 20)).values is None
        assert _ask("maps", file, Bounds(60.0, 512 << 20, counted="data")).values is not None

    def test_a_large_file_is_not_written(self, file: Path) -> None:
        bounds = Bounds(60.0, 4 << 30, file_bytes=1 << 16)
        assert "signal 25" in str(_ask("writes", file, bounds).brought_down)
        assert file.stat().st_size <= 1 << 16
        assert _ask("writes", file).values == {"bytes": 1 << 20}


def test_what_a_library_says_is_no_answer(file: Path) -> None:
    assert _ask("talks", file).values == {"fine": True}


def test_an_answer_that_is_no_json_brings_the_child_down(file: Path) -> None:
    assert _ask("lies", file).brought_down is not None


def test_an_answer_that_is_too_long_is_not_read(file: Path) -> None:
    bounds = Bounds(60.0, 4 << 30, answer_bytes=999)
    assert _ask("babbles", file, bounds).brought_down == "its answer was too long"
