import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from obverse.workers import default_workers, spread

# Jobs are Python expressions: `eval` can be sent to any process, a function of a test module
# cannot.
SUICIDE = "__import__('os').kill(__import__('os').getpid(), 9)"


def test_a_failed_job_does_not_stop_the_others() -> None:
    results = dict(spread(eval, ["1 + 1", "1 / 0", "2 + 2"], 1))
    assert (results["1 + 1"], results["2 + 2"]) == (2, 4)
    assert isinstance(results["1 / 0"], ZeroDivisionError)


def test_no_jobs_are_no_work() -> None:
    assert list(spread(eval, [], 2)) == []
    assert default_workers() >= 1


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_worker_that_dies_costs_no_other_job() -> None:
    results = dict(spread(eval, ["1", SUICIDE, "1 / 0", "2"], 2))
    assert (results["1"], results["2"]) == (1, 2)
    assert isinstance(results["1 / 0"], ZeroDivisionError)
    assert isinstance(results[SUICIDE], MemoryError)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_job_that_dies_only_among_others_is_done_alone(tmp_path: Path) -> None:
    # Apart from `SUICIDE`: a job that another took down before it began would die when alone.
    marker = tmp_path / "died"
    dies_once = (
        f"(p := __import__('pathlib').Path({str(marker)!r})).exists() or (p.touch(), {SUICIDE})"
    )
    assert dict(spread(eval, ["1", dies_once, "2"], 2)) == {"1": 1, dies_once: True, "2": 2}


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks into /proc")
def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "slow_job.py").write_text(
        textwrap.dedent(
            f"""
            import os, pathlib, time
            def slow(number):
                pathlib.Path({str(tmp_path)!r}, f"pid-{{number}}").write_text(str(os.getpid()))
                time.sleep(600)
            """
        )
    )
    (tmp_path / "parent.py").write_text(
        "from slow_job import slow\n"
        "from obverse.workers import spread\n"
        "if __name__ == '__main__':\n    list(spread(slow, range(2), 2))\n"
    )
    parent = subprocess.Popen([sys.executable, "parent.py"], cwd=tmp_path)
    try:
        pids = _wait_for_pids(tmp_path)
    finally:
        parent.kill()
        parent.wait()
    for _ in range(300):
        if not any(_runs(pid) for pid in pids):
            break
        time.sleep(0.1)
    assert not any(_runs(pid) for pid in pids)


def _wait_for_pids(folder: Path) -> list[int]:
    for _ in range(1200):
        texts = [path.read_text() for path in folder.glob("pid-*")]
        if len(texts) == 2 and all(texts):
            return [int(text) for text in texts]
        time.sleep(0.1)
    raise AssertionError("the workers did not start")


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"
