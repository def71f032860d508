"""`obverse train`: every model that ships, on bundled or own data."""

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

import click

from obverse.cli.progress import Tell, progress_bar
from obverse.datasets.table import read_clips

__all__ = ["train"]


@click.group()
def train() -> None:
    """Train a model that ships, on bundled or own data.

    Example:

        obverse train detector --data corpus/clips.parquet -o run
        obverse train motion --videos clips/ -o run
    """


@train.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="A table of clips.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The run, a folder."
)
@click.option("--backbone", help="Any timm model; test_resnet, a tiny ResNet, by default.")
@click.option("--pretrained", is_flag=True, help="Start from the hub's weights.")
@click.option("--epochs", type=int, help="At most so many.")
@click.option("--steps", type=int, help="Batches of an epoch.")
@click.option("--pairs", type=int, help="Twin pairs of a batch.")
@click.option("--learning-rate", type=float, help="At its peak.")
@click.option("--frames", type=int, help="Frames of a clip.")
@click.option("--crop", "size_px", type=int, help="Pixels of a crop's side.")
@click.option("--seed", type=int, help="Another seed draws other weights and batches.")
@click.option("--threads", type=int, help="CPU threads.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where to train.")
@click.option("--force", is_flag=True, help="Overwrite a finished run.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def detector(
    data: Path,
    output: Path,
    force: bool,
    as_json: bool,
    frames: int | None,
    size_px: int | None,
    **settings: Any,
) -> None:
    """Train a detector of synthetic faces on the train split of a table of clips.

    Crops of a synthetic clip and of its pristine twin share a batch and are distorted alike. The
    validation split chooses the epoch; the test split is not touched.

    Example:

        obverse train detector --data corpus/clips.parquet -o run
    """
    from obverse.detector.crops import CropRecipe
    from obverse.detector.train import TrainConfig
    from obverse.detector.train import train as train_detector

    recipe = dataclasses.replace(
        CropRecipe(),
        **{k: v for k, v in (("frames", frames), ("size_px", size_px)) if v is not None},
    )
    chosen = {name: value for name, value in settings.items() if value not in (None, False)}
    config = dataclasses.replace(TrainConfig(recipe=recipe), **chosen)
    bars: dict[str, Tell] = {}
    with contextlib.ExitStack() as stack:

        def progress(what: str, done: int, total: int) -> None:
            if what not in bars:
                bars[what] = stack.enter_context(progress_bar("train", what))
            bars[what](done, total)

        report = train_detector(
            read_clips(data), data.parent, output, config, force=force, progress=progress
        )
    for clip, reason in report.errors.items():
        click.echo(f"clip {clip} was left out: {reason}", err=True)
    if report.missing:
        click.echo(f"{len(report.missing)} clips show no face and were left out.", err=True)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(report), default=str))
    else:
        click.echo(
            f"{output}: {report.clips['train']} clips learned, {report.clips['val']} to choose "
            f"epoch {report.best_epoch} (validation AUC {report.val_auc:.3f}), "
            f"{report.seconds:.0f} s"
        )


@train.command()
@click.option(
    "--videos",
    type=click.Path(path_type=Path),
    help="A folder of videos of talking heads; their motion is read first.",
)
@click.option(
    "--corpus", type=click.Path(path_type=Path), help="A corpus of motion that is made already."
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The run, a folder."
)
@click.option(
    "--begin",
    type=click.Path(path_type=Path),
    help="checkpoint.pt of another run to begin with; its space of motion is kept.",
)
@click.option("--steps", type=int, help="Steps in all; 7000 by default.")
@click.option("--batch", type=int, help="Windows in a step, over all processes.")
@click.option("--hops", type=int, help="Length of a window in hops of 0.2 s; 20 by default.")
@click.option("--learning-rate", type=float, help="At its peak.")
@click.option("--width", type=int, help="Of the network; a multiple of its 5 heads.")
@click.option("--layers", type=int, help="Of the network.")
@click.option("--seed", type=int, help="Another seed draws other weights and batches.")
@click.option("--threads", type=int, help="CPU threads.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where to train.")
@click.option("--force", is_flag=True, help="Train a finished run anew.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def motion(
    videos: Path | None,
    corpus: Path | None,
    output: Path,
    begin: Path | None,
    force: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Train the learned motion model on videos of talking heads, or on a corpus of motion.

    The run's folder gets motion.onnx with its card. What was stopped goes on where it was. Several
    processes or GPUs: torchrun --nproc-per-node N $(which obverse) train motion ...

    Example:

        obverse train motion --videos clips/ -o run
    """
    from obverse.errors import ConfigError
    from obverse.generator.train_motion import TrainMotionConfig
    from obverse.generator.train_motion import train as train_motion

    if (videos is None) == (corpus is None):
        raise ConfigError("give either --videos DIR or --corpus DIR, and not both.")
    config = TrainMotionConfig(
        **{name: value for name, value in settings.items() if value is not None}
    )
    bars: dict[str, Tell] = {}
    with contextlib.ExitStack() as stack:

        def progress(what: str, done: int, total: int) -> None:
            if what not in bars:
                bars[what] = stack.enter_context(progress_bar("train", what))
            bars[what](done, total)

        if videos is not None:
            from obverse.generator.video_corpus import videos_to_corpus

            work = output.with_name(f"{output.name}-motion")
            corpus = videos_to_corpus(videos, work, progress=progress)
        assert corpus is not None
        report = train_motion(corpus, output, config, begin=begin, force=force, progress=progress)
    if as_json:
        click.echo(json.dumps({"run": str(output), **report}))
    else:
        click.echo(
            f"{output}: {report['steps']} steps on {report['minutes']:g} minutes of motion, "
            f"{report['parameters'] / 1e6:.2f} M parameters, loss {report['loss']:.3f}"
        )
