"""`obverse sitter`: a virtual person, still or speaking."""

from pathlib import Path

import click

from obverse.cli.generate import Direction, performance_options, show_clip
from obverse.cli.progress import progress_bar
from obverse.errors import ConfigError

__all__ = ["sitter"]


@click.command("sitter")
@click.option("--seed", default=0, show_default=True, help="Who: another seed is another person.")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="A png, jpg or webp; with --speech an mp4.",
)
@click.option(
    "--speech", type=click.Path(path_type=Path), help="A sound or video file for the sitter to say."
)
@click.option("--size", default=512, show_default=True, help="Pixels of a side, even, 128 to 2048.")
@click.option("--take", default=0, show_default=True, help="Seed of the performance.")
@performance_options
@click.option("--force", is_flag=True, help="Replace a file that exists.")
@click.option("--json", "as_json", is_flag=True, help="Print the record as one JSON object.")
def sitter(
    seed: int,
    output: Path,
    speech: Path | None,
    size: int,
    take: int,
    direction: Direction,
    force: bool,
    as_json: bool,
) -> None:
    """Show a virtual person: a still, or a performance of --speech.

    Both are rendered, not generated, so a clip's label is `pristine`; both are marked and signed
    like everything else.

    Exit codes: 0 done; 2 could not be done, and nothing was written.

    \b
    Example:
      obverse sitter --seed 7 -o face.png
      obverse sitter --seed 7 --speech voice.wav -o clip.mp4 --emotion surprised:0.5
    """
    from obverse.generator.generate import generate_sitter, sitter_still

    if speech is None:
        if direction.asked or take:
            raise ConfigError("--take and the like change a performance; give --speech as well.")
        show_clip(sitter_still(seed, output, size=size, force=force), as_json)
        return
    with progress_bar("sitter", "frame") as tell:
        clip = generate_sitter(
            seed,
            speech,
            output,
            performance_seed=take,
            size=size,
            controls=direction.config,
            pose=direction.pose,
            expression=direction.expression,
            force=force,
            progress=tell,
        )
    show_clip(clip, as_json)
