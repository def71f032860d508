"""What a figure was measured on: date, commit, processor, versions."""

import datetime
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

__all__ = ["machine"]


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine() -> dict[str, str]:
    """Return the date, the commit, the processor and the versions that matter to a figure."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": commit or "unknown",
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "numba": version("numba"),
        "opencv": version("opencv-python-headless"),
        "av": version("av"),
    }
