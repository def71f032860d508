"""A stream that leaves in segments as it goes.

Each segment is a clip of its own: marked, signed, registered and checked by `release` while the
next one is drawn. Segments follow one another without a seam: no frame and no sample is lost or
said twice. A playlist and an index grow beside them.
"""

import array
import collections
import contextlib
import dataclasses
import json
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import obverse
from obverse.clip import Clip, lineage_id
from obverse.errors import ConfigError, ReleaseError, StreamError
from obverse.files import write_whole
from obverse.generator.motion import FPS
from obverse.generator.pipe import Pipe, PipeClosedError
from obverse.generator.release import release, require_rights
from obverse.generator.show_folder import (
    INDEX,
    PLAYLIST,
    listed_segments,
    made,
    require_folder,
)
from obverse.generator.speech import RATE_HZ
from obverse.generator.stream import FrameTiming, TalkingStream
from obverse.media.video import EncodeConfig
from obverse.provenance.identity import SigningIdentity

__all__ = [
    "LatencyReport",
    "LiveConfig",
    "LiveShow",
    "broadcast",
    "pieces_of",
]

# 8 frames of picture last as long as a whole number of AAC frames (1024 samples) at 16 and 48 kHz:
# a segment of them ends where its sound's last AAC frame does, and joins the next in any player.
_FRAMES_TOGETHER = 8
_RELEASING = 2  # segments in the making: one is signed while the next is encoded
_PUSH_SAMPLES = RATE_HZ // 50  # 20 ms, as a sound card gives them
_LATE_SECONDS = 0.12  # a player that shows the first frame so much later than it could

Frame = npt.NDArray[np.uint8]
Samples = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LiveConfig:
    """How a live performance is cut and paced."""

    segment_seconds: float = 1.92  # rounded to a multiple of 0.32
    paced: bool = (
        True  # speech comes no faster than it is spoken; False takes it as fast as it goes
    )

    def __post_init__(self) -> None:
        """Refuse segments too short to hold a mark, or too long to be live."""
        if not 0.4 <= self.segment_seconds <= 60:
            raise ConfigError(
                f"segments last {self.segment_seconds} s; they must last 0.4 to 60 s, so that each "
                "holds its mark and is there soon."
            )

    @property
    def segment_frames(self) -> int:
        """Frames of a whole segment, whose sound fills whole AAC frames."""
        return max(1, round(self.segment_seconds * FPS / _FRAMES_TOGETHER)) * _FRAMES_TOGETHER


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LatencyReport:
    """How live it was. A frame's latency runs from the moment that the speech it depends on was
    there until it was drawn.
    """

    frames: int
    segments: int
    seconds: float  # of film
    look_ahead_ms: float  # speech beyond its own that the first frame of a hop waits for
    first_frame_ms: float  # latency of the first
    first_frame_after_push_ms: float  # from the first sample pushed to the first frame
    frame_ms_p50: float  # latency
    frame_ms_p95: float
    steady_fps: float  # paced: what one hop's latency leaves room for; else frames over time
    paced: bool
    late_frames: int  # drawn later than a player with 120 ms in hand would have shown them
    dropped_frames: int  # none ever is: a stream that falls behind is late
    segment_ms_p50: float  # from a segment's last frame to its released file


@dataclasses.dataclass(frozen=True, slots=True)
class LiveShow:
    """What was made."""

    clips: tuple[Clip, ...]
    latency: LatencyReport


class _Sound:
    """The film's sound as it comes, kept until its segment is released."""

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self._pieces = np.zeros(0, np.float32)
        self._first = 0  # number of the first sample kept
        self._lock = threading.Lock()

    def add(self, samples: Samples) -> None:
        with self._lock:
            self._pieces = np.concatenate([self._pieces, samples])

    def read(self, start: int, end: int) -> Samples:
        with self._lock:
            return self._pieces[max(0, start - self._first) : max(0, end - self._first)].copy()

    def drop(self, before: int) -> None:
        with self._lock:
            self._pieces = self._pieces[max(0, before - self._first) :].copy()
            self._first = max(self._first, before)


class _Clock:
    """Gathers timings without growing by more than four bytes a frame."""

    def __init__(self) -> None:
        self.latencies = array.array("f")
        self.segments = array.array("f")
        self.began = 0.0  # when the first sample was pushed
        self.hops = array.array("f")  # seconds a frame of each hop, its latency shared out
        self.first: FrameTiming | None = None
        self._last: FrameTiming | None = None
        self._in_hop = 0
        self.late = 0

    def note(self, timing: FrameTiming) -> None:
        if self.first is None:
            self.first = timing
        elif self._last is not None and timing.needed_samples != self._last.needed_samples:
            self._end_hop()
        self.latencies.append(timing.latency_seconds)
        self._last, self._in_hop = timing, self._in_hop + 1
        shown_at = self.first.ready_at + _LATE_SECONDS + timing.index / FPS
        self.late += timing.ready_at > shown_at

    def _end_hop(self) -> None:
        if self._last is not None:
            self.hops.append(self._last.latency_seconds / self._in_hop)
        self._in_hop = 0

    def report(self, segments: int, paced: bool) -> LatencyReport:
        first, last = self.first, self._last
        if first is None or last is None:
            raise StreamError("nothing was said, so nothing was shown; give some speech.")
        frames = len(self.latencies)
        self._end_hop()
        if paced:
            steady = 1.0 / max(float(np.median(self.hops)), 1e-6)
        else:
            spent = last.ready_at - first.ready_at
            steady = (frames - 1) / spent if spent > 0 else math.inf
        middle, most = np.quantile(self.latencies, [0.5, 0.95])
        return LatencyReport(
            frames=frames,
            segments=segments,
            seconds=frames / FPS,
            look_ahead_ms=1000.0 * first.needed_samples / RATE_HZ - 1000.0 / FPS,
            first_frame_ms=1000.0 * first.latency_seconds,
            first_frame_after_push_ms=1000.0 * (first.ready_at - self.began),
            frame_ms_p50=1000.0 * float(middle),
            frame_ms_p95=1000.0 * float(most),
            steady_fps=steady,
            paced=paced,
            late_frames=self.late if paced else 0,
            dropped_frames=0,
            segment_ms_p50=1000.0 * float(np.median(self.segments)) if self.segments else 0.0,
        )


class _Feeder:
    """Pushes speech from a thread of its own, at its own pace or as fast as it is taken."""

    def __init__(
        self,
        talking: TalkingStream,
        speech: Iterable[tuple[Samples, Samples]],
        sound: _Sound,
        clock: _Clock,
        paced: bool,
    ) -> None:
        self._talking, self._speech, self._sound = talking, speech, sound
        self._clock, self._paced = clock, paced
        self._stop = threading.Event()
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, name="feed", daemon=True)

    def stop(self) -> None:
        self._stop.set()

    @property
    def stopped(self) -> bool:
        return self._stop.is_set()

    def _run(self) -> None:
        pushed = 0
        self._clock.began = time.perf_counter()
        try:
            for heard, filmed in self._speech:
                pushed += len(heard)
                if self._paced:
                    ahead = self._clock.began + pushed / RATE_HZ - time.perf_counter()
                    if ahead > 0 and self._stop.wait(ahead):
                        break
                if self._stop.is_set():
                    break
                self._sound.add(filmed)
                self._talking.push(heard)
        except BaseException as error:  # noqa: BLE001 - raised again by whoever pulls
            if not self.stopped:  # what comes after the end of the speech is nobody's
                self.error = error
        finally:
            self._talking.finish()


def pieces_of(heard: Samples, filmed: Samples, filmed_hz: int) -> Iterator[tuple[Samples, Samples]]:
    """Cut speech, at 16 kHz and at the film's rate, into pieces of 20 ms."""
    step = _PUSH_SAMPLES * filmed_hz // RATE_HZ
    for index in range(math.ceil(len(heard) / _PUSH_SAMPLES)):
        yield (
            heard[index * _PUSH_SAMPLES : (index + 1) * _PUSH_SAMPLES],
            filmed[index * step : (index + 1) * step],
        )


@dataclasses.dataclass
class _Segment:
    """A segment in the making."""

    number: int
    first_frame: int
    frames: Pipe[Frame]
    done: "Future[tuple[Clip, float]]"  # the clip, and when its file was there
    ended_at: float = 0.0


def broadcast(
    talking: TalkingStream,
    speech: Iterable[tuple[Samples, Samples]],
    sound_hz: int,
    clip: Clip,
    folder: Path,
    *,
    lineage: Mapping[str, Any],
    inputs: Mapping[str, Path],
    config: LiveConfig | None = None,
    identity: SigningIdentity | None = None,
    encode: EncodeConfig | None = None,
    force: bool = False,
    on_segment: Callable[[Clip], None] | None = None,
) -> LiveShow:
    """Push speech into a stream and release what comes out, segment by segment.

    Args:
        talking: the stream, fresh; it is closed at the end.
        speech: pieces of it as they come: samples at 16 kHz, and the same moment's sound for the
            film.
        sound_hz: rate of the film's sound.
        clip: what every segment's record has in common.
        folder: where segments, `PLAYLIST` and `INDEX` go; made if it is not there.
        lineage: what tells this performance from any other.
        inputs: files that manifests name, by role.
        config: how it is cut and paced.
        identity: who signs; None is this installation's development identity.
        encode: encoder settings.
        force: replace a performance that is in the folder.
        on_segment: told of each clip once its file is there.

    An interrupt (Ctrl-C) ends the speech; what was said is still shown and released. A second one
    ends the show.

    A performance that is replaced stays until the first new segment is there. Of its files only
    those go that its index lists.

    Raises:
        ConfigError: an input would be overwritten, or the folder cannot be made.
        OutputExistsError: the folder holds a performance already and `force` is not set.
        StreamError: nothing was said.
        ObverseError: a segment could not be released; those before it remain.
    """
    config = config or LiveConfig()
    require_rights(clip)
    require_folder(folder, inputs, force=force)
    clock, sound = _Clock(), _Sound(sound_hz)
    feeder = _Feeder(talking, speech, sound, clock, config.paced)
    studio = _Studio(
        clip, folder, sound, clock, config, dict(lineage), dict(inputs), identity, encode, force,
        on_segment,
    )  # fmt: skip
    with contextlib.ExitStack() as stack:
        stack.enter_context(made(folder))
        stack.callback(talking.close)
        stack.callback(feeder.stop)
        stack.enter_context(studio)
        feeder.thread.start()
        while (frame := _pulled(talking, feeder)) is not None:
            assert talking.timing is not None
            clock.note(talking.timing)
            studio.show(frame)
        if feeder.error is not None:
            raise feeder.error
        studio.finish()
    report = clock.report(len(studio.clips), config.paced)
    studio.write_index(report)
    return LiveShow(tuple(studio.clips), report)


def _pulled(talking: TalkingStream, feeder: _Feeder) -> Frame | None:
    """Pull; the first interrupt ends the speech, the second the show."""
    while True:
        try:
            # In short waits, or no interrupt would be noticed.
            frame = talking.pull(0.2)
        except KeyboardInterrupt:
            if feeder.stopped:
                raise
            feeder.stop()
            talking.finish()  # the feeder may wait for a microphone that is quiet
            continue
        if frame is not None or talking.ended:
            return frame


class _Studio:
    """Cuts frames into segments and releases each while the next is drawn."""

    def __init__(
        self,
        clip: Clip,
        folder: Path,
        sound: _Sound,
        clock: _Clock,
        config: LiveConfig,
        lineage: dict[str, Any],
        inputs: dict[str, Path],
        identity: SigningIdentity | None,
        encode: EncodeConfig | None,
        force: bool,
        on_segment: Callable[[Clip], None] | None,
    ) -> None:
        self._clip, self._folder, self._sound, self._clock = clip, folder, sound, clock
        self._config, self._lineage, self._inputs = config, lineage, inputs
        self._identity = identity or SigningIdentity.default()
        self._encode, self._force, self._told = encode, force, on_segment
        self._pool = ThreadPoolExecutor(_RELEASING, thread_name_prefix="release")
        self._making: collections.deque[_Segment] = collections.deque()
        self._frames = self._begun = 0  # frames given, segments begun
        self._held: collections.deque[Frame] = collections.deque()
        self._open: _Segment | None = None
        self.clips: list[Clip] = []
        self._entries: list[dict[str, Any]] = []
        self._stale = listed_segments(folder) if force else set()  # of the performance before

    def __enter__(self) -> "_Studio":
        return self

    def __exit__(self, *_: object) -> None:
        # After a failure: what is whole is released, what is not is given up.
        for segment in self._making:
            if not segment.ended_at:
                segment.frames.close()
        self._pool.shutdown(wait=True)
        while self._making and self._making[0].done.exception() is None:
            self._take()
        if self.clips:
            self._remove({name for name in self._stale if name not in self._released})

    def show(self, frame: Frame) -> None:
        # A few are held back, so that the last segment is never too short to hold its mark.
        self._held.append(frame)
        if len(self._held) > _FRAMES_TOGETHER:
            self._give(self._held.popleft())

    def finish(self) -> None:
        while self._held:
            self._give(self._held.popleft())
        if self._open is not None:
            self._end(self._open)
        while self._making:
            self._take()

    def _give(self, frame: Frame) -> None:
        segment = self._open = self._open or self._begin()
        self._frames += 1
        try:
            segment.frames.put(frame)
        except PipeClosedError:
            segment.done.result()
        whole = self._frames - segment.first_frame >= self._config.segment_frames
        if whole and len(self._held) >= _FRAMES_TOGETHER:
            self._end(segment)
            self._open = None
        while self._making and self._making[0].done.done():
            self._take()

    def _begin(self) -> _Segment:
        while len(self._making) >= _RELEASING:
            self._take()
        number, self._begun = self._begun, self._begun + 1
        frames: Pipe[Frame] = Pipe(FPS)
        done = self._pool.submit(self._release, number, self._frames, frames)
        self._making.append(_Segment(number, self._frames, frames, done))
        return self._making[-1]

    def _end(self, segment: _Segment) -> None:
        if not segment.ended_at:
            segment.ended_at = time.perf_counter()
            segment.frames.end()

    def _take(self) -> None:
        """Take in the oldest segment, once it is released."""
        segment = self._making[0]
        clip, done_at = segment.done.result()
        self._making.popleft()
        self._clock.segments.append(done_at - segment.ended_at)
        rate = self._sound.rate_hz
        self._sound.drop((segment.first_frame + clip.frames) * rate // FPS)
        self.clips.append(clip)
        self._entries.append(
            {
                "file": Path(clip.path).name,
                "start_seconds": segment.first_frame / FPS,
                "seconds": clip.seconds,
                "first_frame": segment.first_frame,
                "frames": clip.frames,
                "clip": clip.id,
                "sha256": clip.sha256,
                "manifest": clip.manifest,
                "mark": clip.mark,
            }
        )
        self.write_index()
        # Those begun are replaced by themselves.
        self._remove({name for name in self._stale if name >= f"segment-{self._begun:05d}.mp4"})
        if self._told is not None:
            self._told(clip)

    @property
    def _released(self) -> set[str]:
        return {Path(clip.path).name for clip in self.clips}

    def _remove(self, names: set[str]) -> None:
        """Remove segments of the performance before, now that this one is in its place."""
        self._stale -= names
        for name in names:
            try:
                (self._folder / name).unlink(missing_ok=True)
            except OSError as error:
                raise ReleaseError(
                    f"{self._folder / name} of the performance before cannot be removed: "
                    f"{error.strerror}; remove it yourself."
                ) from error

    def _release(self, number: int, first_frame: int, frames: Pipe[Frame]) -> tuple[Clip, float]:
        destination = self._folder / f"segment-{number:05d}.mp4"
        start = first_frame * self._sound.rate_hz // FPS
        clip = self._clip.replace(
            id=lineage_id({**self._lineage, "segment": number, "first_frame": first_frame}),
            path=str(destination),
            attributes={**self._clip.attributes, "segment": str(number)},
        )

        def drawn() -> Iterator[Frame]:
            while (frame := frames.get()) is not None:
                yield frame

        try:
            released = release(
                drawn(),
                clip,
                destination,
                audio=(
                    lambda first, last: self._sound.read(start + first, start + last),
                    self._sound.rate_hz,
                ),
                inputs=self._inputs,
                identity=self._identity,
                encode=self._encode,
                force=self._force,
            )
        except BaseException:
            frames.close()
            raise
        return released, time.perf_counter()

    def write_index(self, report: LatencyReport | None = None) -> None:
        index = {
            "version": 1,
            "tool": f"obverse {obverse.__version__}",
            "fps": FPS,
            "sound_hz": self._sound.rate_hz,
            "segment_seconds": self._config.segment_frames / FPS,
            "complete": report is not None,
            "segments": self._entries,
            "latency": None if report is None else dataclasses.asdict(report),
        }
        longest = max((entry["seconds"] for entry in self._entries), default=1.0)
        lines = ["#EXTM3U", "#EXT-X-VERSION:3", f"#EXT-X-TARGETDURATION:{math.ceil(longest)}"]
        for entry in self._entries:
            # Each segment is a whole file: its clock starts anew.
            lines += ["#EXT-X-DISCONTINUITY", f"#EXTINF:{entry['seconds']:.3f},", entry["file"]]
        if report is not None:
            lines.append("#EXT-X-ENDLIST")
        write_whole(self._folder / INDEX, json.dumps(index, indent=2) + "\n")
        write_whole(self._folder / PLAYLIST, "\n".join(lines) + "\n")
