"""Threads at real-time priority are put back; others stay as they are."""

import os
import threading

import pytest

from obverse.media.priority import leave_real_time


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="there is no such thing")
@pytest.mark.parametrize(("policy", "after"), [("FIFO", "OTHER"), ("BATCH", "BATCH")])
def test_only_real_time_is_left(policy: str, after: str) -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    number = thread.native_id
    assert number is not None
    asked = getattr(os, f"SCHED_{policy}")
    try:
        os.sched_setscheduler(number, asked, os.sched_param(1 if policy == "FIFO" else 0))
        leave_real_time()
        assert os.sched_getscheduler(number) == getattr(os, f"SCHED_{after}")
    except PermissionError:
        pytest.skip("only root may have real-time priority")
    finally:
        done.set()
        thread.join()
