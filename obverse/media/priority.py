"""Threads that libraries start at real-time priority, put back among all others."""

import os
from pathlib import Path

__all__ = ["leave_real_time"]

_THREADS = Path("/proc/self/task")  # of this process, by number; Linux alone has it


def leave_real_time() -> None:
    """Give this process's real-time threads ordinary priority.

    SVT-AV1 asks for SCHED_FIFO at 99 for each of its threads, has no option against it, and gets it
    wherever it runs as root or with CAP_SYS_NICE: nothing else on those cores then runs until the
    film is encoded. Call this once its encoder is open.
    """
    if not _THREADS.is_dir():
        return
    for thread in _THREADS.iterdir():
        number = int(thread.name)
        try:
            if os.sched_getscheduler(number) == os.SCHED_FIFO:
                os.sched_setscheduler(number, os.SCHED_OTHER, os.sched_param(0))
        except ProcessLookupError:  # it ended since it was listed
            continue
