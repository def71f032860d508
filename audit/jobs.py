"""The audits that a server runs: few at once, none kept longer than asked.

An uploaded clip lies in a folder of its own and is deleted as soon as its audit has ended. Records
stay in memory for a while, so that a report can be fetched, and are forgotten then.
"""

import dataclasses
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from obverse.audit.record import Record
from obverse.errors import AuditError, ObverseError
from obverse.files import draft_of, write_whole

__all__ = ["BusyError", "Job", "JobConfig", "Jobs"]

State = Literal["queued", "running", "done", "failed"]
Progress = Callable[[int, int, str], None]
Examine = Callable[[Path, Progress], Record]


class BusyError(ObverseError):
    """As many audits wait as may."""


@dataclasses.dataclass(frozen=True, slots=True)
class JobConfig:
    """How much a server does at once and how long it remembers."""

    at_once: int = 1
    waiting: int = 4  # beside those that run
    remembered: int = 50  # records
    seconds: float = 1800.0  # that a record is remembered
    keep: Path | None = None  # where clips and records are kept, if that was asked for


@dataclasses.dataclass(slots=True)
class Job:
    """One audit."""

    name: str  # as the visitor calls the clip
    id: str = dataclasses.field(default_factory=lambda: secrets.token_urlsafe(16))
    state: State = "queued"
    step: str = ""
    done: int = 0
    steps: int = 0
    record: Record | None = None
    error: str | None = None
    ended: float | None = None  # monotonic seconds


class Jobs:
    """Runs audits one after another; threads may share it."""

    def __init__(self, config: JobConfig, examine: Examine) -> None:
        self.config = config
        self._examine = examine
        self._pool = ThreadPoolExecutor(config.at_once, thread_name_prefix="audit")
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._places = Path(tempfile.mkdtemp(prefix="obverse-serve-"))

    def close(self) -> None:
        """End after the audits that run; what waits is given up, and all uploads are deleted."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        shutil.rmtree(self._places, ignore_errors=True)

    def place(self) -> Path:
        """Return a new empty folder for an upload; `start` takes it over, else `drop` it."""
        return Path(tempfile.mkdtemp(dir=self._places))

    def drop(self, folder: Path) -> None:
        """Delete an upload's folder."""
        shutil.rmtree(folder, ignore_errors=True)

    def require_room(self) -> None:
        """Raise `BusyError` where as many audits wait as may."""
        with self._lock:
            self._require_room()

    def _require_room(self) -> None:
        open_jobs = sum(job.state in ("queued", "running") for job in self._jobs.values())
        if open_jobs >= self.config.at_once + self.config.waiting:
            raise BusyError("too many audits wait; try again in a few minutes.")

    def start(self, clip: Path, name: str, folder: Path | None = None) -> Job:
        """Queue a clip's audit; `folder` is deleted at its end.

        Raises:
            BusyError: as many audits wait as may.
        """
        with self._lock:
            self._forget()
            self._require_room()
            job = Job(name)
            self._jobs[job.id] = job
        self._pool.submit(self._run, job, clip, folder)
        return job

    def get(self, job_id: str) -> Job | None:
        """Return an audit, or None where there is none or it was forgotten."""
        with self._lock:
            self._forget()
            return self._jobs.get(job_id)

    def forget(self, job_id: str) -> bool:
        """Forget an audit that has ended; whether there was one."""
        with self._lock:
            job = self._jobs.get(job_id)
            if job is None or job.state in ("queued", "running"):
                return False
            del self._jobs[job_id]
            return True

    def _forget(self) -> None:
        now = time.monotonic()
        ended = [job for job in self._jobs.values() if job.ended is not None]
        ended.sort(key=lambda job: job.ended or 0.0)
        surplus = len(ended) - self.config.remembered
        for index, job in enumerate(ended):
            old = now - (job.ended or now) > self.config.seconds
            if old or index < surplus:
                del self._jobs[job.id]

    def _run(self, job: Job, clip: Path, folder: Path | None) -> None:
        job.state = "running"
        state: State = "failed"

        def tell(done: int, steps: int, step: str) -> None:
            job.done, job.steps, job.step = done, steps, step

        try:
            record = self._examine(clip, tell)
            record = dataclasses.replace(record, exhibit={**record.exhibit, "name": job.name})
            self._keep(record, clip, job.id)
            job.record, state = record, "done"
        except ObverseError as error:
            # Where the upload lies is nobody's business.
            job.error = str(error).replace(str(clip), "the clip")
        except Exception as error:  # noqa: BLE001 - a thread's error would be seen by nobody
            job.error = f"the audit failed ({type(error).__name__}); report this."
        finally:
            if folder is not None:
                self.drop(folder)
            job.ended = time.monotonic()
            job.state = state  # last: whoever sees the end finds the upload gone

    def _keep(self, record: Record, clip: Path, job_id: str) -> None:
        """Write clip and record where somebody asked to keep them."""
        if self.config.keep is None:
            return
        digest = record.exhibit["sha256"]
        try:
            self.config.keep.mkdir(parents=True, exist_ok=True)
            with draft_of(self.config.keep / f"{digest}{clip.suffix}") as draft:
                shutil.copyfile(clip, draft)
            write_whole(self.config.keep / f"{digest}-{job_id}.json", record.text())
        except OSError as error:
            raise AuditError(f"the audit cannot be kept ({error.strerror}).") from error
