"""`obverse generate`: a portrait and a voice become one released clip."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from obverse.cli.progress import progress_bar
from obverse.clip import Clip
from obverse.errors import ConfigError

if TYPE_CHECKING:
    from obverse.generator.performance import PerformanceConfig

__all__ = ["generate", "read_controls", "show_clip"]


def read_controls(settings: tuple[str, ...]) -> "PerformanceConfig":
    """Read `--control NAME=VALUE` options.

    Raises:
        ConfigError: a name is unknown, or a value is no number or out of range.
    """
    from obverse.generator.performance import PerformanceConfig

    known = [field.name for field in dataclasses.fields(PerformanceConfig)]
    values: dict[str, float] = {}
    for setting in settings:
        name, _, text = setting.partition("=")
        if name not in known:
            raise ConfigError(
                f"--control {setting}: there is no control {name!r}; choose from "
                f"{', '.join(known)}."
            )
        try:
            values[name] = float(text)
        except ValueError as error:
            raise ConfigError(
                f"--control {setting}: {text!r} is no number; write {name}=1.0."
            ) from error
    return PerformanceConfig(**values)


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
@click.option(
    "--method", default="talk", show_default=True, help="talk, or reenact with --driving."
)
@click.option(
    "--driving",
    type=click.Path(path_type=Path),
    help="A performance (.npz, see obverse.generator.motion.Motion.save) to follow.",
)
@click.option(
    "--control",
    "controls",
    multiple=True,
    metavar="NAME=VALUE",
    help="How it is performed, such as head_strength=0.5; may be repeated.",
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
    method: str,
    driving: Path | None,
    controls: tuple[str, ...],
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
      obverse generate face.png voice.wav -o clip.mp4 --rights synthetic --seed 3 --control
      head_strength=0.6
    """
    from obverse.generator.generate import generate as make
    from obverse.generator.motion import Motion

    with progress_bar("generate", "frame") as tell:
        clip = make(
            portrait,
            speech,
            output,
            rights=rights,
            seed=seed,
            method=method,
            size=size,
            face=face,
            framing=framing,
            controls=read_controls(controls),
            driving=None if driving is None else Motion.load(driving),
            force=force,
            progress=tell,
        )
    show_clip(clip, as_json)
