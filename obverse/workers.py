"""Independent jobs over processes: one at a time in each, and none left behind when the parent
dies.
"""

import concurrent.futures
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import cv2
import numba
import threadpoolctl

__all__ = ["default_workers", "spread"]

Job = TypeVar("Job")
Result = TypeVar("Result")


def default_workers() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spread(
    work: Callable[[Job], Result], jobs: Sequence[Job], workers: int
) -> Iterator[tuple[Job, Result | BaseException]]:
    """Yield each job with its result, or with the exception that ended it, as they are done.

    With one worker the jobs run in this process. With more, each runs in a process that was
    spawned, that keeps to one thread in OpenCV, numba and BLAS, and that ends when this one does,
    however it ends. A worker that dies (out of memory, say) costs nothing but time: the jobs that
    were under way are tried again, each alone.

    Args:
        work: a function of a module, so that it can be sent to another process.
        jobs: what it is called with.
        workers: how many at a time, at least 1.
    """
    waiting = list(reversed(jobs))
    while waiting:
        suspects = yield from _together(work, waiting, workers)
        for job in suspects:
            yield job, _alone(work, job)


def _together(
    work: Callable[[Job], Result], waiting: list[Job], workers: int
) -> Generator[tuple[Job, Result | BaseException], None, list[Job]]:
    """Take jobs off `waiting` until it is empty or a worker dies; returns the jobs that were under
    way then.
    """
    pool: Executor = ThreadPoolExecutor(1) if workers == 1 else _pool(min(workers, len(waiting)))
    under_way: dict[Future[Result], Job] = {}
    suspects: list[Job] = []
    try:
        while under_way or (waiting and not suspects):
            # No more than are running, so that a dying worker takes no job down that had not begun.
            while waiting and len(under_way) < workers and not suspects:
                job = waiting.pop()
                try:
                    under_way[pool.submit(work, job)] = job
                except BrokenProcessPool:
                    suspects.append(job)
            done, _ = concurrent.futures.wait(
                under_way, return_when=concurrent.futures.FIRST_COMPLETED
            )
            for future in done:
                job = under_way.pop(future)
                error = future.exception()
                if isinstance(error, BrokenProcessPool):
                    suspects.append(job)
                else:
                    yield job, future.result() if error is None else error
    finally:
        pool.shutdown(wait=not suspects, cancel_futures=True)
    return suspects


def _alone(work: Callable[[Job], Result], job: Job) -> Result | BaseException:
    """Try a job that was under way when a worker died in a process of its own: if that dies too,
    this is why.
    """
    with _pool(1) as pool:
        future = pool.submit(work, job)
        error = future.exception()
    if isinstance(error, BrokenProcessPool):
        return MemoryError("the process that made it died, twice; is there enough memory?")
    return future.result() if error is None else error


def _pool(workers: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_settle)


def _settle() -> None:
    """Prepare a worker process."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # the parent hears Ctrl-C and ends the work in order
    cv2.setNumThreads(1)
    numba.set_num_threads(1)
    threadpoolctl.threadpool_limits(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when its parent is gone, killed without a word perhaps."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
