"""What a file's container and codecs tell of how it was made: facts, each with its limits.

Nothing here is evidence by itself. Every tag can be written by anybody, and an encoder's habits are
shared by all who use it. What facts are good for is consistency: a file that is said to come
straight from a camera and carries the name of a desktop encoder does not.
"""

import dataclasses
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import av.error
import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from obverse.audit.boxes import Boxes, Edit, read_boxes
from obverse.errors import InputError
from obverse.media.container import open_input, packets
from obverse.media.still import MAX_PIXELS

__all__ = ["Fact", "packet_periods", "read_history"]

_MOST_PACKETS = 20_000
_MOST_FRAMES = 500  # that are decoded to tell their kinds
_MOST_TAGS = 40
_MOST_LETTERS = 300  # of a tag
_SCANNED_BYTES = 1 << 18  # of the first packets, for encoders' names
_LEAST_GAPS = 3  # between key frames, from which a habit can be told
_LEAST_PERIODS = 6  # of a rhythm, that must fit into what was seen
_CHANCE = 1e-3  # up to which a rhythm is reported
_SHUFFLES, _AT_ONCE = 2000, 100  # of the permutation test
_SLOW_FRAMES = 9  # over which the slow course of frames' sizes is taken
# Names that encoders leave in what they write.
_SIGNATURES = re.compile(
    rb"(x264 - core \d+[^\0]{0,40}|x265 \(build \d+\)[^\0]{0,40}|Lavc\d+[\d.]*|Lavf\d+[\d.]*"
    rb"|LAME\d[\d.]*|libfdk[\w-]*|SVT-AV1[^\0]{0,30}|AOMedia[^\0]{0,30})"
)
_LETTERS = {1: "I", 2: "P", 3: "B"}  # of FFmpeg's AVPictureType
_EXIF = ("Make", "Model", "Software", "DateTime", "DateTimeOriginal", "Artist", "HostComputer")


@dataclasses.dataclass(frozen=True, slots=True)
class Fact:
    """One thing that a file says, what follows from it, and what does not."""

    name: str
    value: str
    says: str
    cannot: str

    def to_dict(self) -> dict[str, str]:
        """Return plain values."""
        return dataclasses.asdict(self)


def read_history(path: Path) -> dict[str, Any]:
    """Return plain values: `facts`, and `timeline` with the film's length and its key frames.

    Raises:
        InputError: the file cannot be read as a film, a still or a sound file.
    """
    boxes = read_boxes(path)
    try:
        with open_input(path) as container:
            if container.format.name.endswith("_pipe") or container.format.name == "image2":
                raise InputError(f"{path} is a still.")
            facts = [*_container_facts(container, boxes), *_stream_facts(container)]
            more, timeline = _packet_facts(container, path)
    except InputError as error:
        try:
            facts, more = _still_facts(path), []
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            raise error from None
        timeline = {"seconds": 0.0, "key_frames": [], "kind": "still"}
    return {"facts": [fact.to_dict() for fact in [*facts, *more]], "timeline": timeline}


def _clean(text: object) -> str:
    """A tag is a stranger's text of any length."""
    letters = "".join(
        each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in str(text)
    )
    return letters if len(letters) <= _MOST_LETTERS else letters[:_MOST_LETTERS] + "..."


def _tags(metadata: Mapping[str, Any]) -> str:
    shown = [
        f"{_clean(name)}: {_clean(value)}" for name, value in list(metadata.items())[:_MOST_TAGS]
    ]
    return "; ".join(shown)


def _container_facts(container: Any, boxes: Boxes | None) -> Iterator[Fact]:
    yield Fact(
        "container",
        container.format.name,
        "which family of containers the bytes belong to",
        "a container is chosen by whoever saved the file last",
    )
    if container.metadata:
        yield Fact(
            "tags",
            _tags(container.metadata),
            "what the last writer put in: brands, encoder, device, times",
            "any tag can be written, copied or removed by anybody",
        )
    if boxes is None:
        return
    order = " ".join(boxes.order[:20]) + (" ..." if len(boxes.order) > 20 else "")
    fragmented = "moof" in boxes.order
    early = (
        not fragmented
        and {"moov", "mdat"} <= set(boxes.order)
        and (boxes.order.index("moov") < boxes.order.index("mdat"))
    )
    meaning = "the index lies behind the pictures, as recorders write it"
    if fragmented:
        meaning = "fragments, as live and streaming writers make them"
    elif early:
        meaning = "the index lies before the pictures, which takes a second pass after recording"
    yield Fact("boxes", order, meaning, "many tools and sites rewrite the order in passing")
    stated = {"film created": boxes.created, "film modified": boxes.modified}
    for number, track in enumerate(boxes.tracks, 1):
        stated[f"track {number} created"] = track.created
        stated[f"track {number} modified"] = track.modified
    told = "; ".join(f"{name} {value}" for name, value in stated.items() if value)
    yield Fact(
        "times inside",
        told or "none stated",
        "the clock of the machine that wrote the file, if it has one and set them",
        "clocks are wrong, times are copied, and most tools write none or any",
    )
    names = [track.handler_name for track in boxes.tracks if track.handler_name]
    if names:
        yield Fact(
            "handlers",
            "; ".join(map(_clean, dict.fromkeys(names))),
            "a habit of the writing software: cameras, phones and libraries differ",
            "all who use a library share its habit, and it can be copied",
        )
    for number, track in enumerate(boxes.tracks, 1):
        edits = track.edits
        if not edits:
            continue
        shown = "; ".join(map(_edit_text, edits[:10]))
        cut = len([edit for edit in edits if edit.media_seconds is not None]) > 1
        begins = next((e.media_seconds for e in edits if e.media_seconds is not None), 0.0)
        meaning = "one piece, as encoders write it to skip their own delay"
        if cut:
            meaning = "several pieces: the track was cut without being encoded anew"
        elif begins > 0.5:
            meaning = "the track begins late: what lies before was cut off and is still in the file"
        yield Fact(
            f"edit list of track {number}", shown, meaning, "its absence does not exclude cuts"
        )
    if boxes.free_bytes or boxes.trailing_bytes:
        yield Fact(
            "room without content",
            f"{boxes.free_bytes} bytes in free boxes, {boxes.trailing_bytes} after the last box",
            "room that a writer reserved or an editor left; a manifest's hash does not cover it",
            "it is common and harmless",
        )


def _edit_text(edit: Edit) -> str:
    place = "of nothing" if edit.media_seconds is None else f"from {edit.media_seconds:.3f} s"
    return f"{edit.seconds:.3f} s {place}" + ("" if edit.rate == 1 else f" at rate {edit.rate:g}")


def _stream_facts(container: Any) -> Iterator[Fact]:
    for stream in container.streams:
        context = stream.codec_context
        if context is None:
            yield Fact(
                f"stream {stream.index}",
                f"{stream.type}, codec not known",
                "data that no decoder here reads, such as a camera's own telemetry",
                "it was not looked into",
            )
            continue
        parts = [stream.type, context.name]
        if stream.type == "video":
            parts += [f"profile {context.profile}", f"{context.width}x{context.height}"]
            parts += [str(context.pix_fmt), f"{float(stream.average_rate or 0):.5g} frames/s"]
        elif stream.type == "audio":
            parts += [f"{context.sample_rate} Hz", context.layout.name if context.layout else "?"]
        if context.bit_rate:
            parts.append(f"{context.bit_rate / 1000:.0f} kbit/s")
        yield Fact(
            f"stream {stream.index}",
            ", ".join(map(str, parts)),
            "what the pictures or the sound were encoded as, the last time",
            "nothing of what they were before",
        )
        if stream.metadata:
            yield Fact(
                f"tags of stream {stream.index}",
                _tags(stream.metadata),
                "what the last writer put in",
                "any tag can be written, copied or removed",
            )


def _packet_facts(container: Any, path: Path) -> tuple[list[Fact], dict[str, Any]]:
    found: list[Fact] = []
    length = float(container.duration or 0) / 1e6
    timeline: dict[str, Any] = {"seconds": length, "key_frames": [], "kind": "sound"}
    films = [s for s in container.streams.video if s.codec_context and not s.disposition & 0x400]
    if not films:
        return found, timeline
    stream = films[0]
    sizes: dict[int, int] = {}
    times: list[float] = []
    keys: list[float] = []
    kinds: dict[int, str] = {}
    head, count, broken = b"", 0, None
    try:
        for packet in packets(container, stream, path):
            if packet.pts is None:
                continue
            count += 1
            if len(head) < _SCANNED_BYTES:
                head += bytes(packet)[: _SCANNED_BYTES - len(head)]
            seconds = float(packet.pts * packet.time_base)
            times.append(seconds)
            sizes[packet.pts] = packet.size
            if packet.is_keyframe:
                keys.append(seconds)
            if len(kinds) < _MOST_FRAMES:
                try:
                    for frame in packet.decode():
                        if frame.pts is not None:
                            kinds[frame.pts] = _LETTERS.get(int(frame.pict_type), "?")
                except av.error.FFmpegError:
                    pass  # the mark's reader says what is damaged
            if count >= _MOST_PACKETS:
                break
    except InputError as error:
        broken = str(error)
    head += bytes(stream.codec_context.extradata or b"")
    names = [match.decode("latin-1").strip() for match in dict.fromkeys(_SIGNATURES.findall(head))]
    if names:
        found.append(
            Fact(
                "encoder's name in the stream",
                "; ".join(map(_clean, names[:5])),
                "the library that encoded the pictures last; chips of phones leave no such name",
                "the name can be removed; its absence says nothing",
            )
        )
    if broken:
        found.append(Fact("damage", broken, "the file is not whole", "why it is not"))
    found += _rhythm_facts(sorted(times), sorted(keys), kinds, sizes)
    start = min(times, default=0.0)
    timeline["kind"] = "film"
    timeline["key_frames"] = [round(each - start, 3) for each in sorted(keys)[:2000]]
    if times:
        step = (max(times) - start) / max(1, len(times) - 1)
        timeline["seconds"] = round(max(length, max(times) - start + step), 3)
    return found, timeline


def _rhythm_facts(
    times: Sequence[float],
    keys: Sequence[float],
    kinds: Mapping[int, str],
    sizes: Mapping[int, int],
) -> Iterator[Fact]:
    gaps = np.diff(keys)
    if len(gaps):
        low, middle, high = float(gaps.min()), statistics.median(gaps), float(gaps.max())
        meaning = "distances that follow the content, as file encoders choose them"
        if len(gaps) < _LEAST_GAPS:
            meaning = "too few to tell whether they follow the content or a fixed distance"
        elif high - low < 0.02 * high + 0.05:
            meaning = "a fixed distance, as live and streaming encoders keep it"
        yield Fact(
            "key frames",
            f"{len(keys)}, {low:.2f} to {high:.2f} s apart, median {middle:.2f} s",
            meaning,
            "the rhythm before the last encoding",
        )
    letters = "".join(kinds[pts] for pts in sorted(kinds))
    if letters:
        counts = ", ".join(f"{letters.count(each)} {each}" for each in "IPB" if each in letters)
        yield Fact(
            "kinds of frames",
            f"{counts} of the first {len(letters)}",
            "frames that look ahead (B) take an encoder that may wait; simple live ones write none",
            "all encoders can be told to do either",
        )
    steps = np.diff(times)
    if len(steps) > 1:
        usual = float(np.median(steps))
        odd = int((np.abs(steps - usual) > 0.25 * usual).sum()) if usual > 0 else len(steps)
        pace = 1 / usual if usual > 0 else 0.0
        yield Fact(
            "pace",
            f"{pace:.5g} frames/s, {odd} of {len(steps)} steps differ",
            "phones and screen recorders pace by what comes in, encoders of films evenly",
            "a conversion makes an uneven pace even, and drops or doubles frames to do so",
        )
    ordered = sorted(pts for pts, kind in kinds.items() if kind == "P" and pts in sizes)
    period = packet_periods([sizes[pts] for pts in ordered]) if "B" not in letters else None
    if period is not None:
        yield Fact(
            "rhythm of frame sizes",
            f"every {period[0]:.1f} predicted frames, p {period[1]:.1e} by a permutation test",
            "a rhythm of an earlier encoding's groups of pictures looks like this: a hint that the "
            "film was encoded before",
            "flicker, motion and rate control make such rhythms too; no rhythm says nothing",
        )


def packet_periods(sizes: Sequence[int]) -> tuple[float, float] | None:
    """Return the strongest rhythm in frames' sizes, in frames, and its chance; None for none.

    The logarithms of the sizes, freed of their slow course, are searched for a peak of the
    periodogram. Its chance is that of a permutation test: how often sizes in random order have so
    high a peak somewhere.
    """
    if len(sizes) < 4 * _LEAST_PERIODS:
        return None
    logs = np.log(np.maximum(np.asarray(sizes, np.float64), 1))
    power = _periodograms(logs[None])[0]
    peak = int(np.argmax(power))
    if power[peak] <= 0 or peak + 1 < _LEAST_PERIODS:
        return None
    rng = np.random.default_rng(0)  # the same file gives the same report
    higher = 0
    for _ in range(_SHUFFLES // _AT_ONCE):
        mixed = rng.permuted(np.tile(logs, (_AT_ONCE, 1)), axis=1)
        higher += int((_periodograms(mixed).max(axis=1) >= power[peak]).sum())
    chance = (1 + higher) / (1 + _SHUFFLES)
    return (len(sizes) / (peak + 1), chance) if chance <= _CHANCE else None


def _periodograms(logs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return each row's periodogram `[N, F]`, each as shares of its sum, without mean and trend."""
    half = _SLOW_FRAMES // 2
    padded = np.pad(logs, ((0, 0), (half, half)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, _SLOW_FRAMES, axis=1)
    power = np.abs(np.fft.rfft(logs - np.median(windows, axis=-1), axis=1)[:, 1:]) ** 2
    return np.asarray(power / np.maximum(power.sum(axis=1, keepdims=True), 1e-12), np.float64)


def _still_facts(path: Path) -> list[Fact]:
    facts = []
    with Image.open(path) as image:
        if image.width * image.height > MAX_PIXELS:
            raise InputError(f"{path} is larger than {MAX_PIXELS // 10**6} million pixels.")
        facts.append(
            Fact(
                "picture",
                f"{image.format}, {image.width}x{image.height}, {image.mode}",
                "what the picture was saved as, the last time",
                "nothing of what it was before",
            )
        )
        tags = {
            ExifTags.TAGS.get(number, number): value for number, value in image.getexif().items()
        }
        shown = {name: tags[name] for name in _EXIF if name in tags}
        if shown:
            facts.append(
                Fact(
                    "EXIF",
                    _tags(shown),
                    "what a camera or an editor put in",
                    "any tag can be written, copied or removed by anybody",
                )
            )
        tables = getattr(image, "quantization", None)
        if image.format == "JPEG" and tables:
            mean = float(np.mean(next(iter(tables.values()))))
            facts.append(
                Fact(
                    "JPEG tables",
                    f"{len(tables)}, mean step of the first {mean:.1f}",
                    "how coarsely it was saved, the last time; makers' tables differ",
                    "tables are shared by all who use a library at one quality",
                )
            )
    return facts
