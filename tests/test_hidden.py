import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from obverse.hidden import hidden_folder, sweep_stale


def _dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_folder_goes_at_the_end_whatever_happens(tmp_path: Path) -> None:
    def failing() -> None:
        with hidden_folder(tmp_path, "making") as folder:
            (folder / "half.mp4").write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        failing()
    assert list(tmp_path.iterdir()) == []


def test_a_dead_process_is_cleaned_up_after_and_a_living_one_is_not(tmp_path: Path) -> None:
    with hidden_folder(tmp_path, "making") as mine:
        left = mine.with_name(mine.name.replace(f"-{os.getpid()}-", f"-{_dead_process()}-"))
        left.mkdir()
        (left / "half.mp4").write_bytes(b"half")
        sweep_stale(tmp_path, "making")
        assert [each.name for each in tmp_path.iterdir()] == [mine.name]


@pytest.mark.parametrize("name", [".making-elsewhere-1-abc", ".making-abcdef"])
def test_what_nobody_can_be_asked_about_goes_after_a_day(tmp_path: Path, name: str) -> None:
    left = tmp_path / name
    left.mkdir()
    (left / "half.mp4").write_bytes(b"half")
    sweep_stale(tmp_path, "making")
    assert left.is_dir()
    yesterday = time.time() - 90_000
    os.utime(left / "half.mp4", (yesterday, yesterday))
    os.utime(left, (yesterday, yesterday))
    sweep_stale(tmp_path, "making")
    assert not left.exists()


def test_other_files_stay(tmp_path: Path) -> None:
    names = (".making-file", "making-1", f".other-x-{_dead_process()}-y")
    (tmp_path / names[0]).write_bytes(b"mine")
    for name in names[1:]:
        (tmp_path / name).mkdir()
    (tmp_path / ".making-link").symlink_to(tmp_path / "making-1")
    sweep_stale(tmp_path, "making")
    assert {each.name for each in tmp_path.iterdir()} == {*names, ".making-link"}
