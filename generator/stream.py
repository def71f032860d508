"""Speech in, frames out, while it is being spoken.

Two threads stand between `push` and `pull`: one hears and performs (`CueStream`, `FlowPerformer`),
one draws (`Renderer`). The very same classes make a clip offline, so a stream's frames are those of
the clip to the bit, however the speech was cut into pieces. Nothing grows with time: what was
pushed and not heard, and what was drawn and not pulled, is bounded, and a producer that is too fast
waits.
"""

import collections
import dataclasses
import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from obverse.errors import ConfigError, InputError, StreamError
from obverse.generator.controls import ControlTracks
from obverse.generator.cues import LOOK_AHEAD_FRAMES, CueStream, mono_samples
from obverse.generator.flow import FlowPerformer
from obverse.generator.motion import FPS, Motion
from obverse.generator.performance import PerformanceConfig
from obverse.generator.pipe import Pipe, PipeClosedError
from obverse.generator.portrait import Portrait
from obverse.generator.render import RenderConfig, Renderer
from obverse.generator.speech import RATE_HZ, Speech

__all__ = [
    "STREAMING_MODELS",
    "FrameTiming",
    "Performer",
    "StreamConfig",
    "TalkingStream",
    "performed",
    "performer_for",
    "stream",
    "take_of",
    "warm_up",
]

Frame = npt.NDArray[np.uint8]
Samples = npt.NDArray[np.float32]

_FRAME_SAMPLES = RATE_HZ // FPS
_BLOCK = RATE_HZ  # samples heard at a time at most; a longer push is cut


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StreamConfig:
    """How much a stream may hold."""

    unheard_seconds: float = 4.0  # of speech pushed and not heard; then `push` waits
    undrawn_frames: int = 25  # of motion performed and not drawn
    unpulled_frames: int = 25  # drawn and not pulled (20 MB at 512x512); then drawing waits
    patience_seconds: float = 60.0  # that `push` waits before it says that nobody pulls

    def __post_init__(self) -> None:
        """Refuse a stream that could not move."""
        if not self.unheard_seconds > 0 or not self.patience_seconds > 0:
            raise ConfigError(
                f"unheard_seconds is {self.unheard_seconds} and patience_seconds "
                f"{self.patience_seconds}; both must be more than 0."
            )
        if not self.undrawn_frames >= 1 or not self.unpulled_frames >= 1:
            raise ConfigError(
                f"undrawn_frames is {self.undrawn_frames} and unpulled_frames "
                f"{self.unpulled_frames}; both must be 1 or more."
            )


@dataclasses.dataclass(frozen=True, slots=True)
class FrameTiming:
    """When a frame could be made and when it was, in seconds of `time.perf_counter`."""

    index: int
    needed_samples: int  # of speech: the frame depends on these alone
    heard_at: float  # when the last of them had been pushed (or the speech had ended)
    ready_at: float  # when the frame was drawn

    @property
    def latency_seconds(self) -> float:
        """How long the frame took once its speech was there."""
        return self.ready_at - self.heard_at


class Performer(Protocol):
    """Turns cues into motion as they come, such as `FlowPerformer`."""

    def push(self, cues: npt.NDArray[np.float32], controls: ControlTracks) -> Motion:
        """Take the next frames' cues and controls; return the motion that is due."""
        ...

    def finish(self) -> Motion:
        """Return what is left."""
        ...


STREAMING_MODELS: Mapping[str, Callable[[int], Performer]] = {"flow": FlowPerformer}


def performer_for(controls: PerformanceConfig, seed: int) -> Performer:
    """Return the performer that a config names.

    Raises:
        ConfigError: the model needs the whole speech at once.
    """
    if controls.model not in STREAMING_MODELS:
        raise ConfigError(
            f"the model {controls.model!r} needs the whole speech at once; stream with "
            f"{', '.join(STREAMING_MODELS)}."
        )
    return STREAMING_MODELS[controls.model](seed)


def take_of(portrait: Portrait, seed: int) -> int:
    """Return the seed that a portrait's performance is drawn from: with the same `seed` another
    portrait gives another take.
    """
    digest = hashlib.sha256(f"{seed}:{portrait.source_sha256}".encode()).digest()
    return int.from_bytes(digest[:6], "big")


class _Hearing:
    """Samples to motion: what both a stream and a clip do, frame by frame."""

    def __init__(
        self,
        performer: Performer,
        controls: PerformanceConfig,
        pose: Motion | None,
        expression: Motion | None,
    ) -> None:
        self._cues, self._performer = CueStream(), performer
        self._controls, self._pose, self._expression = controls, pose, expression
        self._frames = 0  # whose cues are known

    def push(self, samples: Samples) -> Motion:
        return self._act(self._cues.push(samples))

    def finish(self) -> tuple[Motion, Motion]:
        return self._act(self._cues.finish()), self._performer.finish()

    def _act(self, cues: npt.NDArray[np.float32]) -> Motion:
        if not len(cues):
            return Motion.still(0)
        tracks = self._controls.tracks(
            len(cues), self._frames, pose=self._pose, expression=self._expression
        )
        self._frames += len(cues)
        return self._performer.push(cues, tracks)


@dataclasses.dataclass(frozen=True, slots=True)
class _Due:
    """A frame to draw."""

    index: int
    motion: Motion  # of one frame
    needed_samples: int
    heard_at: float


class TalkingStream:
    """A portrait that speaks while it is spoken for. Use it in a `with` block, or close it.

    One thread may push while another pulls. Whoever does both in one thread must not push more
    between two pulls than the stream holds.
    """

    def __init__(
        self,
        renderer: Renderer,
        performer: Performer,
        controls: PerformanceConfig | None = None,
        *,
        pose: Motion | None = None,
        expression: Motion | None = None,
        config: StreamConfig | None = None,
    ) -> None:
        """Start the two threads.

        Args:
            renderer: the portrait, prepared; this stream's alone until it is closed.
            performer: who performs, from its beginning.
            controls: how; time runs from the stream's beginning.
            pose: whose head is followed, forwards and backwards as long as it takes.
            expression: whose face is followed.
            config: how much may wait.
        """
        self._config = config or StreamConfig()
        self._renderer = renderer
        self._hearing = _Hearing(performer, controls or PerformanceConfig(), pose, expression)
        self._spoken: Pipe[Samples] = Pipe(self._config.unheard_seconds * RATE_HZ)
        self._due: Pipe[_Due] = Pipe(self._config.undrawn_frames)
        self._drawn: Pipe[tuple[Frame, FrameTiming]] = Pipe(self._config.unpulled_frames)
        # (samples pushed so far, when), for what is not performed yet
        self._arrivals: collections.deque[tuple[int, float]] = collections.deque()
        self._arrivals_lock = threading.Lock()
        self._pushed = 0
        self._finished_at: float | None = None
        self._finished = self._closed = False
        self.timing: FrameTiming | None = None  # of the frame pulled last
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,), name=name, daemon=True)
            for name, work in (("hear", self._hear), ("draw", self._draw))
        ]
        for thread in self._threads:
            thread.start()

    def push(self, samples: npt.ArrayLike) -> None:
        """Say something: samples `[n]`, mono at 16 kHz in [-1, 1]. Waits while the stream is full.

        Raises:
            InputError: these are no such samples, or the speech is finished.
            StreamError: the stream is closed, or nobody pulls.
            ObverseError: whatever went wrong in the stream.
        """
        added = mono_samples(samples).copy()  # the caller may reuse the buffer
        if self._finished:
            raise InputError("the speech of this stream is finished; start another stream.")
        for first in range(0, len(added), _BLOCK):
            block = added[first : first + _BLOCK]
            with self._arrivals_lock:
                self._pushed += len(block)
                self._arrivals.append((self._pushed, time.perf_counter()))
            try:
                taken = self._spoken.put(block, len(block), self._config.patience_seconds)
            except PipeClosedError:
                raise StreamError("the stream is closed; start another.") from None
            if not taken:
                raise StreamError(
                    f"nobody pulled a frame for {self._config.patience_seconds:g} s and the stream "
                    "is full; pull in another thread, or between pushes."
                )

    def finish(self) -> None:
        """End the speech; what is due still comes."""
        if not self._finished:
            self._finished = True
            self._finished_at = time.perf_counter()
            self._spoken.end()

    def pull(self, patience_seconds: float | None = None) -> Frame | None:
        """Return the next frame `[H, W, 3] uint8 RGB`; None at the end (`ended`), or when none came
        within `patience_seconds`. Its `FrameTiming` is in `timing`.

        Raises:
            StreamError: the stream is closed.
            ObverseError: whatever went wrong in the stream.
        """
        if patience_seconds is not None and not patience_seconds >= 0:
            raise ConfigError(f"the patience is {patience_seconds} s; it must be 0 or more.")
        try:
            drawn = self._drawn.get(patience_seconds)
        except PipeClosedError:
            raise StreamError("the stream is closed; start another.") from None
        if drawn is None:
            return None
        frame, self.timing = drawn
        return frame

    def frames(self) -> Iterator[Frame]:
        """Yield frames until the speech is finished and all are drawn."""
        while (frame := self.pull()) is not None:
            yield frame

    @property
    def ready(self) -> int:
        """Frames that wait to be pulled."""
        return len(self._drawn)

    @property
    def ended(self) -> bool:
        """Whether no frame will come any more."""
        return self._drawn.over()

    def close(self) -> None:
        """Stop the threads and drop what is not pulled. A second call does nothing."""
        if self._closed:
            return
        self._closed = self._finished = True
        for pipe in (self._spoken, self._due, self._drawn):
            pipe.close()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _guarded(self, work: Callable[[], None]) -> None:
        """Run a thread; what goes wrong in it is raised where somebody pulls or pushes."""
        try:
            work()
        except PipeClosedError:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again by push and pull
            for pipe in (self._spoken, self._due, self._drawn):
                pipe.fail(error)

    def _hear(self) -> None:
        performed = 0
        while (samples := self._spoken.get()) is not None:
            performed = self._hand_on(self._hearing.push(samples), performed)
        for motion in self._hearing.finish():
            performed = self._hand_on(motion, performed)
        self._due.end()

    def _hand_on(self, motion: Motion, first: int) -> int:
        if len(motion):
            last = first + len(motion)
            # Motion comes in hops: a frame needs what the last of its hop does.
            needed = (last + LOOK_AHEAD_FRAMES) * _FRAME_SAMPLES
            heard_at = self._heard_at(needed)
            for index in range(len(motion)):
                due = _Due(first + index, motion[index : index + 1], needed, heard_at)
                self._due.put(due)
            return last
        return first

    def _heard_at(self, needed: int) -> float:
        """Return when `needed` samples had been pushed, and forget what was before.

        The last frames need to know that nothing follows: they wait for the speech's end.
        """
        with self._arrivals_lock:
            while len(self._arrivals) > 1 and self._arrivals[0][0] < needed:
                self._arrivals.popleft()
            pushed, arrived = self._arrivals[0]
        if pushed < needed and self._finished_at is not None:
            return max(arrived, self._finished_at)
        return arrived

    def _draw(self) -> None:
        while (due := self._due.get()) is not None:
            motion = due.motion
            frame = self._renderer.frame(
                motion.expression[0], motion.rotation[0], motion.translation[0]
            )
            timing = FrameTiming(due.index, due.needed_samples, due.heard_at, time.perf_counter())
            self._drawn.put((frame, timing))
        self._drawn.end()


def warm_up(renderer: Renderer, controls: PerformanceConfig, seed: int) -> None:
    """Run each stage once on nothing, so that the first frame need not wait for compilers."""
    hearing = _Hearing(performer_for(controls, seed), controls, None, None)
    motion = hearing.push(np.zeros(10 * _FRAME_SAMPLES, np.float32))
    opened = motion.with_expression(jawOpen=0.3) if len(motion) else Motion.still(1)
    renderer.frame(opened.expression[0], opened.rotation[0], opened.translation[0])


def stream(
    portrait: Portrait,
    *,
    seed: int = 0,
    controls: PerformanceConfig | None = None,
    config: RenderConfig | None = None,
    pose: Motion | None = None,
    expression: Motion | None = None,
    limits: StreamConfig | None = None,
) -> TalkingStream:
    """Prepare a portrait and start its stream.

    Args:
        portrait: from `read_portrait`.
        seed: of the performance; another seed is another take.
        controls: how it is performed; None is natural.
        config: what the frames look like.
        pose: whose head is followed.
        expression: whose face is followed.
        limits: how much may wait in the stream.

    Raises:
        ConfigError: the controls name a model that cannot stream.
        WeightsError: the model's weights are not there.
    """
    controls = controls or PerformanceConfig(model="flow")
    performer = performer_for(controls, take_of(portrait, seed))
    renderer = Renderer(portrait, config)
    warm_up(renderer, controls, seed)
    return TalkingStream(
        renderer, performer, controls, pose=pose, expression=expression, config=limits
    )


def performed(
    speech: Speech,
    performer: Performer,
    controls: PerformanceConfig,
    *,
    pose: Motion | None = None,
    expression: Motion | None = None,
    ahead_frames: int = 100,
) -> Iterator[Motion]:
    """Yield the performance of a whole speech in pieces, heard in a thread of its own while the
    caller draws.

    The motion is that of a stream, to the bit.

    Args:
        speech: what is said.
        performer: who performs, from its beginning.
        controls: how.
        pose: whose head is followed.
        expression: whose face is followed.
        ahead_frames: how far the performer may be ahead of the caller.
    """
    hearing = _Hearing(performer, controls, pose, expression)
    pipe: Pipe[Motion] = Pipe(ahead_frames)

    def hear() -> None:
        try:
            for first in range(0, len(speech.samples), _BLOCK):
                motion = hearing.push(speech.samples[first : first + _BLOCK])
                if len(motion):
                    pipe.put(motion, len(motion))
            for motion in hearing.finish():
                if len(motion):
                    pipe.put(motion, len(motion))
            pipe.end()
        except PipeClosedError:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again by get
            pipe.fail(error)

    thread = threading.Thread(target=hear, name="hear", daemon=True)
    thread.start()
    try:
        while (motion := pipe.get()) is not None:
            yield motion
    finally:
        pipe.close()
        thread.join()
