"""`obverse live`: a portrait that speaks while somebody does."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Literal

import click

from obverse.cli.generate import Direction, performance_options
from obverse.clip import Clip
from obverse.errors import ConfigError, InputError

__all__ = ["live"]

_LINES = (
    ("first frame", "first_frame_ms", "ms after the last of the speech it needs"),
    ("look-ahead", "look_ahead_ms", "ms of speech beyond the frame's own"),
    ("since first sample", "first_frame_after_push_ms", "ms"),
    ("frame, median", "frame_ms_p50", "ms"),
    ("frame, 95 %", "frame_ms_p95", "ms"),
    ("steady", "steady_fps", "frames a second"),
    ("late frames", "late_frames", ""),
    ("segment", "segment_ms_p50", "ms from its last frame to its file"),
)
_LINES_FAST = ("look_ahead_ms", "steady_fps")  # the others would tell of queues only


@click.command("live")
@click.argument("portrait", type=click.Path(path_type=Path))
@click.option(
    "--mic-file",
    "speech",
    required=True,
    metavar="FILE",
    help="A sound or video file, played in real time; - reads a microphone's raw 16 kHz mono s16le "
    "samples from stdin.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="A folder for the segments, playlist.m3u8 and index.json.",
)
@click.option(
    "--rights",
    required=True,
    metavar="RIGHTS",
    help="Under which the portrait is used: synthetic, public-domain or consented. "
    "It is written into every segment's manifest.",
)
@click.option("--seed", default=0, show_default=True, help="Another seed is another take.")
@click.option(
    "--size", default=512, show_default=True, help="Pixels of the longer side, even, 128 to 2048."
)
@click.option("--face", default=1, show_default=True, help="Which face, 1 for the largest.")
@click.option(
    "--framing",
    type=click.Choice(["head", "picture"]),
    default="head",
    show_default=True,
    help="A square of head and shoulders, or the whole picture.",
)
@click.option(
    "--segment-seconds",
    default=1.92,
    show_default=True,
    help="Length of a segment, 0.4 to 60, rounded to a multiple of 0.32.",
)
@click.option("--fast", is_flag=True, help="Take the speech as fast as it goes, for measuring.")
@performance_options
@click.option(
    "--refine",
    type=click.Choice(["on", "off"]),
    help="Whether a small network repaints the open mouth; on.",
)
@click.option("--force", is_flag=True, help="Replace a performance that is in the folder.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def live(
    portrait: Path,
    speech: str,
    output: Path,
    rights: str,
    seed: int,
    size: int,
    face: int,
    framing: Literal["head", "picture"],
    segment_seconds: float,
    fast: bool,
    direction: Direction,
    refine: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Let PORTRAIT speak live: segments leave marked, signed and checked, one after another.

    Each segment is a film of its own in the folder; playlist.m3u8 names them in order and
    index.json says more. How late frames were is printed at the end. Ctrl-C ends the speech; what
    was said is still shown.

    Exit codes: 0 done; 2 could not be done; segments released before a failure remain.

    \b
    Example:
      obverse live face.png --mic-file voice.wav -o show --rights synthetic
      arecord -q -t raw -f S16_LE -r 16000 -c 1 | obverse live face.png --mic-file - -o show
      --rights consented
    """
    from obverse.generator.broadcast import LiveConfig
    from obverse.generator.live import live as perform
    from obverse.generator.stream import STREAMING_MODELS

    def tell(clip: Clip) -> None:
        click.echo(f"live: {clip.path}, {clip.seconds:.2f} s", err=True)

    config = direction.config
    if click.get_current_context().params.get("model") is None:
        config = dataclasses.replace(config, model=next(iter(STREAMING_MODELS)))
    if speech == "-" and sys.stdin is None:
        raise InputError(
            "--mic-file - reads samples from stdin, which is closed; pipe samples into it, or name "
            "a file."
        )
    if speech == "-" and sys.stdin.isatty():
        raise ConfigError("--mic-file - reads samples from a pipe, and stdin is a terminal.")
    show = perform(
        portrait,
        # Unbuffered: a buffer that a thread still waits at cannot be closed at exit.
        getattr(sys.stdin.buffer, "raw", sys.stdin.buffer) if speech == "-" else Path(speech),
        output,
        rights=rights,
        seed=seed,
        size=size,
        face=face,
        framing=framing,
        controls=config,
        pose=direction.pose,
        expression=direction.expression,
        refine=None if refine is None else refine == "on",
        config=LiveConfig(segment_seconds=segment_seconds, paced=not fast and speech != "-"),
        force=force,
        on_segment=tell,
    )
    latency = dataclasses.asdict(show.latency)
    if as_json:
        clips = [dataclasses.asdict(clip) for clip in show.clips]
        click.echo(
            json.dumps({"folder": str(output), "latency": latency, "clips": clips}, indent=2)
        )
        return
    click.echo(f"{'folder':<19} {output}")
    click.echo(
        f"{'shown':<19} {show.latency.seconds:.2f} s, {show.latency.frames} frames, "
        f"{show.latency.segments} segments"
    )
    for label, name, unit in _LINES:
        if fast and name not in _LINES_FAST:
            continue
        value = latency[name]
        click.echo(f"{label:<19} {value:.1f} {unit}".rstrip() if unit else f"{label:<19} {value}")
    if fast:
        click.echo(f"{'latency':<19} not measured: with --fast, speech waits in queues")
