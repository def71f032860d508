"""`obverse generate`: a portrait and a voice become one released clip."""

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from obverse.cli.progress import progress_bar
from obverse.clip import Clip
from obverse.errors import ConfigError

if TYPE_CHECKING:
    from obverse.generator.performance import PerformanceConfig

__all__ = ["Direction", "generate", "performance_options", "read_controls", "show_clip"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Direction:
    """How a clip is to be performed, as the command line says it."""

    config: "PerformanceConfig"
    pose: Path | None
    expression: Path | None
    asked: bool  # whether anything was said at all


# Options that are controls of their own, and what a control is in the option's unit.
_NAMED: Mapping[str, tuple[str, float]] = {
    "mouth": ("mouth_strength", 1.0),
    "head_motion": ("head_strength", 1.0),
    "gaze_motion": ("gaze_strength", 1.0),
    "expression_strength": ("expression_strength", 1.0),
    "blink_rate": ("blink_rate_hz", 60.0),
    "distance": ("distance", 1.0),
}


def read_controls(settings: tuple[str, ...]) -> dict[str, float]:
    """Read `--control NAME=VALUE` options.

    Raises:
        ConfigError: a name is unknown or given twice, or a value is no number.
    """
    from obverse.generator.performance import PerformanceConfig

    known = [
        field.name
        for field in dataclasses.fields(PerformanceConfig)
        if isinstance(field.default, float)
    ]
    values: dict[str, float] = {}
    for setting in settings:
        name, _, text = setting.partition("=")
        if name not in known:
            raise ConfigError(
                f"--control {setting}: there is no control {name!r}; choose from "
                f"{', '.join(known)}."
            )
        if name in values:
            raise ConfigError(f"--control {setting}: {name} is given twice; give it once.")
        values[name] = _number(f"--control {setting}", text, f"write {name}=1.0")
    return values


def _number(what: str, text: str, fix: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ConfigError(f"{what}: {text!r} is no number; {fix}.") from error


def _read_emotions(settings: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
    pairs = []
    for setting in settings:
        name, colon, text = setting.partition(":")
        amount = _number(f"--emotion {setting}", text, f"write {name}:0.7") if colon else 1.0
        pairs.append((name, amount))
    return tuple(pairs)


def _read_gaze(setting: str) -> tuple[float, float]:
    angles = setting.split(",")
    if len(angles) != 2:
        raise ConfigError(f"--gaze {setting}: give two angles in degrees, such as 15,-5.")
    yaw, pitch = (_number(f"--gaze {setting}", text, "write 15,-5") for text in angles)
    return yaw, pitch


def _read_direction(options: Mapping[str, Any]) -> Direction:
    """Turn the options of `performance_options` into one config.

    Raises:
        ConfigError: a value is not allowed, or a control is given in two ways.
        InputError: the file of tracks cannot be read.
    """
    from obverse.generator.controls import read_tracks
    from obverse.generator.performance import PerformanceConfig

    values: dict[str, Any] = read_controls(options["controls"])
    for option, (name, unit) in _NAMED.items():
        if options[option] is None:
            continue
        if name in values:
            flag = option.replace("_", "-")
            raise ConfigError(f"--{flag} and --control {name}=... are the same; give one of them.")
        values[name] = options[option] / unit
    if options["emotion"]:
        values["emotion"] = _read_emotions(options["emotion"])
    if options["gaze"] is not None:
        values["gaze"] = _read_gaze(options["gaze"])
    if options["tracks"] is not None:
        values["timeline"] = read_tracks(options["tracks"])
    if options["model"] is not None:
        values["model"] = options["model"]
    pose, expression = options["pose"], options["expression"]
    return Direction(
        config=PerformanceConfig(**values),
        pose=pose,
        expression=expression,
        asked=bool(values) or pose is not None or expression is not None,
    )


_OPTIONS = (
    click.option(
        "--emotion",
        multiple=True,
        metavar="NAME:AMOUNT",
        help="Such as happy:0.7; repeat it for a blend. neutral, happy, sad, angry, surprised, "
        "afraid, disgusted, nervous.",
    ),
    click.option(
        "--gaze",
        metavar="YAW,PITCH",
        help="Where the eyes mainly look, degrees from the camera: to the picture's right, down.",
    ),
    click.option(
        "--distance", type=float, metavar="FACTOR", help="Of the head: 1.2 is 1.2 times as far."
    ),
    click.option(
        "--pose",
        type=click.Path(path_type=Path),
        help="A video, or an .npz of motion: the head follows it.",
    ),
    click.option(
        "--expression",
        type=click.Path(path_type=Path),
        help="A video, or an .npz of motion: brows, eyes and cheeks follow it, and smiles.",
    ),
    click.option("--mouth", type=float, metavar="FACTOR", help="How far it opens, 0 to 2."),
    click.option("--head-motion", type=float, metavar="FACTOR", help="0 holds still, up to 2."),
    click.option(
        "--gaze-motion", type=float, metavar="FACTOR", help="How far eyes wander, 0 to 2."
    ),
    click.option(
        "--expression-strength", type=float, metavar="FACTOR", help="Brows and cheeks, 0 to 2."
    ),
    click.option(
        "--blink-rate", type=click.FloatRange(0, 60), metavar="N", help="Blinks a minute, 0 to 60."
    ),
    click.option(
        "--tracks",
        type=click.Path(path_type=Path),
        help="Any of these over time: a CSV, YAML or JSON file, see docs/controls.md.",
    ),
    click.option(
        "--model", metavar="NAME", help="What turns speech into motion: flow or articulatory."
    ),
    click.option(
        "--control",
        "controls",
        multiple=True,
        metavar="NAME=VALUE",
        help="A number by the name that records use, such as head_strength=0.5; may be repeated.",
    ),
)


def performance_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a performance; it receives them as `direction`."""

    @functools.wraps(command)
    def directed(**options: Any) -> None:
        wished = {name: options.pop(name) for name in (*_NAMED, *_OTHERS)}
        command(**options, direction=_read_direction(wished))

    for option in reversed(_OPTIONS):
        directed = option(directed)
    return directed


_OTHERS = ("controls", "emotion", "gaze", "tracks", "model", "pose", "expression")


def show_clip(clip: Clip, as_json: bool) -> None:
    """Print a released clip, as aligned lines or as one JSON object."""
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(clip), indent=2))
        return
    kind = clip.kind + (f" by {clip.method}" if clip.method else "")
    lines = [("file", clip.path), ("clip", f"{clip.id}, {clip.label}, {kind}")]
    size = f"{clip.width}x{clip.height}"
    lines.append(
        (
            "picture",
            f"{size}, {clip.seconds:.2f} s, {clip.frames} frames" if clip.frames > 1 else size,
        )
    )
    lines += [
        ("mark", str(clip.mark)),
        ("manifest", str(clip.manifest)),
        ("rights", str(clip.rights)),
    ]
    lines += [(name, value) for name, value in clip.attributes.items()]
    lines += [("caution", text) for text in clip.warnings]
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        click.echo(f"{name:<{width}} {text}")


@click.command("generate")
@click.argument("portrait", type=click.Path(path_type=Path))
@click.argument("speech", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="The clip, an mp4."
)
@click.option(
    "--rights",
    required=True,
    metavar="RIGHTS",
    help="Under which the portrait is used: synthetic, public-domain or consented. "
    "It is written into the manifest.",
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
@click.option("--method", help="talk; reenact is the default with --driving.")
@click.option(
    "--driving",
    type=click.Path(path_type=Path),
    help="A video, or an .npz of motion: the whole face follows it.",
)
@performance_options
@click.option(
    "--refine",
    type=click.Choice(["on", "off"]),
    help="Whether a small network repaints the open mouth; on.",
)
@click.option("--force", is_flag=True, help="Replace a clip that exists.")
@click.option("--json", "as_json", is_flag=True, help="Print the clip's record as one JSON object.")
def generate(
    portrait: Path,
    speech: Path,
    output: Path,
    rights: str,
    seed: int,
    size: int,
    face: int,
    framing: Literal["head", "picture"],
    method: str | None,
    driving: Path | None,
    direction: Direction,
    refine: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Make PORTRAIT say SPEECH: one clip, marked, signed and checked.

    PORTRAIT is a photograph, painting or drawing with a face; SPEECH is a sound or video file of
    any length. Use a picture of somebody only with a right to: the statement you make becomes part
    of the file.

    Exit codes: 0 done; 2 could not be done, and nothing was written.

    \b
    Example:
      obverse generate mona_lisa.jpg french.wav -o clip.mp4 --rights public-domain
      obverse generate face.png voice.wav -o clip.mp4 --rights synthetic --seed 3 --emotion
      happy:0.7 --gaze 10,0 --head-motion 0.6
    """
    from obverse.generator.generate import generate as make

    with progress_bar("generate", "frame") as tell:
        clip = make(
            portrait,
            speech,
            output,
            rights=rights,
            seed=seed,
            method=method or ("talk" if driving is None else "reenact"),
            size=size,
            face=face,
            framing=framing,
            controls=direction.config,
            driving=driving,
            pose=direction.pose,
            expression=direction.expression,
            refine=None if refine is None else refine == "on",
            force=force,
            progress=tell,
        )
    show_clip(clip, as_json)
