"""`obverse train`: every model that ships, on bundled or own data."""

import contextlib
import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from obverse.cli.progress import Tell, progress_bar
from obverse.clip import Clip
from obverse.datasets.table import read_clips
from obverse.errors import ConfigError, InputError

if TYPE_CHECKING:
    from obverse.detector.train import TrainReport

__all__ = ["train"]

# What the parts of the work count: how their bars are called, and of what they count one.
_PARTS = {
    "clips": ("cut", "clip"),
    "scores": ("score", "clip"),
    "steps": ("train", "step"),
    "videos": ("read", "video"),
    "shards": ("prepare", "shard"),
    "examples": ("mark", "example"),
    "checks": ("mark", "check"),
    "gains": ("gain", "step"),
}


@click.group()
def train() -> None:
    """Train a model that ships, on bundled or own data.

    Example:

        obverse train detector --data corpus/clips.parquet -o run
        obverse train motion --videos clips/ -o run
    """


@train.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    required=True,
    help="A table of clips; for selfblend and sync also a folder of pristine films or pictures.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The run, a folder."
)
@click.option(
    "--kind",
    type=click.Choice(["frame", "frequency", "temporal", "selfblend", "sync", "fusion"]),
    default="frame",
    show_default=True,
    help="What it looks at; see docs/detectors.md.",
)
@click.option(
    "--tier",
    type=click.Choice(["tiny", "large"]),
    default="tiny",
    show_default=True,
    help="tiny runs on one core; large is a ViT-L for a GPU.",
)
@click.option(
    "--member",
    "members",
    type=click.Path(path_type=Path),
    multiple=True,
    help="For a fusion: a calibrated run or .onnx file; may be repeated.",
)
@click.option("--backbone", help="Any timm model.")
@click.option(
    "--pretrained/--from-scratch",
    default=None,
    help="Start from the hub's weights, or from none; the large tier starts from them.",
)
@click.option(
    "--begin",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Weights that the backbone starts from, .safetensors or .pth, torchvision's too.",
)
@click.option(
    "--tune",
    type=click.Choice(["all", "norms", "head"]),
    help="What of the backbone is trained.",
)
@click.option(
    "--leave-out",
    "left_out",
    multiple=True,
    metavar="METHOD",
    help="A generator method whose clips are not learned, to be tested on; may be repeated.",
)
@click.option(
    "--blends",
    type=float,
    help="Share of a batch that are self-blended crops, for frame and frequency.",
)
@click.option(
    "--blend-too",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="A folder of pristine films or pictures that are learned blended with themselves.",
)
@click.option("--epochs", type=int, help="At most so many.")
@click.option("--steps", type=int, help="Batches of an epoch.")
@click.option("--pairs", type=int, help="Twin pairs of a batch, over all processes.")
@click.option("--learning-rate", type=float, help="At its peak.")
@click.option("--frames", "moments", type=int, help="Moments of a clip that are looked at.")
@click.option("--crop", "size_px", type=int, help="Pixels of a crop's side.")
@click.option("--view", "view_px", type=int, help="Pixels of its middle that are looked at.")
@click.option(
    "--calibration",
    type=click.Choice(["platt", "temperature", "isotonic"]),
    help="How raw scores become probabilities.",
)
@click.option(
    "--crops",
    type=click.Path(path_type=Path),
    help="Where crops are kept, for several runs to share; without it in the run.",
)
@click.option("--workers", type=int, default=1, show_default=True, help="Processes that cut crops.")
@click.option("--seed", type=int, help="Another seed draws other weights and batches.")
@click.option("--threads", type=int, help="CPU threads.")
@click.option("--loaders", type=int, help="Threads that make batches ahead.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where to train.")
@click.option("--amp", type=click.Choice(["auto", "on", "off"]), help="bfloat16; auto: on a GPU.")
@click.option("--force", is_flag=True, help="Overwrite a finished run.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def detector(
    data: Path,
    output: Path,
    kind: str,
    tier: str,
    members: tuple[Path, ...],
    left_out: tuple[str, ...],
    blend_too: Path | None,
    begin: Path | None,
    moments: int | None,
    size_px: int | None,
    crops: Path | None,
    workers: int,
    force: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Train a detector of synthetic faces on the train split of a table of clips.

    Crops of a synthetic clip and of its pristine twin share a batch and are distorted alike. The
    validation split chooses the epoch, other people of it calibrate; the test split is not touched.
    What was stopped goes on where it was. Several GPUs: torchrun --nproc-per-node N $(which
    obverse) train detector ...

    Examples:

        obverse train detector --data corpus/clips.parquet --kind frame -o run

        obverse train detector --data corpus/clips.parquet --blends 0.5 --blend-too faces -o run

        obverse train detector --data photographs/ --kind selfblend -o blend

        obverse train detector --data corpus/clips.parquet --kind fusion --member run -o both
    """
    from obverse.detector.config import preset
    from obverse.detector.pristine import clips_of_folder
    from obverse.detector.train import train as train_detector

    if kind == "fusion":
        _fusion(data, members, output, crops, workers, force, as_json, **settings)
        return
    if members:
        raise ConfigError(f"--member is for a fusion, not for {kind}.")
    chosen = {name: value for name, value in settings.items() if value is not None}
    config = preset(kind, tier, **chosen)  # type: ignore[arg-type]
    asked = {"moments": moments, "size_px": size_px}
    changes: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    config = dataclasses.replace(config, recipe=dataclasses.replace(config.recipe, **changes))
    folder = data.is_dir()
    if folder and kind not in ("selfblend", "sync"):
        raise ConfigError(
            f"{data} is a folder; a detector of kind {kind} needs a table of clips of both labels."
        )
    clips = _without(clips_of_folder(data) if folder else read_clips(data), left_out, data)
    if blend_too is not None:
        if not config.blends:
            raise ConfigError("--blend-too gives pictures to blend; give --blends a share as well.")
        clips += [
            clip.replace(split="train", path=str((blend_too / clip.path).absolute()))
            for clip in clips_of_folder(blend_too)
        ]
    with _bars() as progress:
        report = train_detector(
            clips,
            data if folder else data.parent,
            output,
            config,
            force=force,
            crops=crops,
            begin=begin,
            workers=workers,
            progress=progress,
        )
    for clip, reason in report.errors.items():
        click.echo(f"clip {clip} was left out: {reason}", err=True)
    if report.missing:
        click.echo(f"{len(report.missing)} clips show no face and were left out.", err=True)
    if not report.clips:  # not torchrun's first process
        return
    if not report.calibrated:
        click.echo(
            "not calibrated: the validation split has too few clips of both labels; see obverse "
            "train calibration.",
            err=True,
        )
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(report), default=str))
    else:
        click.echo(
            f"{output}: {report.clips['train']} clips learned, {report.clips['val']} for "
            f"validation; epoch {report.best_epoch} ({_validation(report)}), {report.seconds:.0f} s"
        )
        click.echo(
            "validation chose the epoch, so its AUC is too high for new clips: measure others with "
            "obverse detect.",
            err=True,
        )


def _validation(report: "TrainReport") -> str:
    """Return the AUC of the clips that chose the epoch, with what so many can show."""
    synthetic, pristine = report.val_clips
    if not synthetic or not pristine:  # an epoch of a version that did not count them
        return f"validation AUC {report.val_auc:.3f}"
    from obverse.eval.metrics import area_interval

    interval = area_interval(report.val_auc, synthetic, pristine)
    return f"validation AUC {interval} of {synthetic} synthetic and {pristine} pristine clips"


def _fusion(
    data: Path,
    members: tuple[Path, ...],
    output: Path,
    crops: Path | None,
    workers: int,
    force: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    from obverse.detector.calibrate import train_fusion

    with _bars() as progress:
        fusion = train_fusion(
            members,
            read_clips(data),
            data.parent,
            output,
            method=settings.get("calibration") or "platt",
            force=force,
            crops=crops,
            workers=workers,
            progress=progress,
        )
    rows = [
        {"id": member.id, "weight": weight}
        for member, weight in zip(fusion.members, fusion.weights, strict=True)
    ]
    if as_json:
        click.echo(json.dumps({"run": str(output), "id": fusion.id, "members": rows}))
    else:
        said = ", ".join(f"{row['weight']:.2f} x {row['id']}" for row in rows)
        click.echo(f"{output}: {said}")


def _without(clips: Iterable[Clip], left_out: Sequence[str], data: Path) -> list[Clip]:
    """Return the clips of all methods but some.

    Raises:
        ConfigError: there is no clip of one of them.
    """
    clips = list(clips)
    if strange := set(left_out) - {clip.method for clip in clips}:
        raise ConfigError(
            f"--leave-out names {', '.join(sorted(strange))}, of which {data} has no clips."
        )
    return [clip for clip in clips if clip.method not in left_out]


@contextlib.contextmanager
def _bars() -> Iterator[Callable[[str, int, int], None]]:
    """Give a function to be told how far each part of the work is, one bar after the other.

    A bar is closed when its part is done or the next one begins; a part that comes again, such as
    the crops of a fusion's next member, has a bar of its own.
    """
    bars: dict[str, Tell] = {}
    with contextlib.ExitStack() as stack:

        def close() -> None:
            bars.clear()
            stack.close()

        def progress(what: str, done: int, total: int) -> None:
            if what not in bars:
                close()
                bars[what] = stack.enter_context(progress_bar(*_PARTS[what]))
            bars[what](done, total)
            if done >= total:
                close()

        yield progress


@train.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--data", type=click.Path(path_type=Path), required=True, help="A table of clips.")
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test", "all"]),
    default="val",
    show_default=True,
    help="Which of its clips; give none that the run learned from, for nothing checks that.",
)
@click.option(
    "--method",
    type=click.Choice(["platt", "temperature", "isotonic"]),
    default="platt",
    show_default=True,
    help="How raw scores become probabilities.",
)
@click.option(
    "--leave-out",
    "left_out",
    multiple=True,
    metavar="METHOD",
    help="A generator method that the detector cannot see by what it looks at; may be repeated.",
)
@click.option("--crops", type=click.Path(path_type=Path), help="Where crops are kept.")
@click.option("--workers", type=int, default=1, show_default=True, help="Processes that cut crops.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def calibration(
    run: Path,
    data: Path,
    split: str,
    method: str,
    left_out: tuple[str, ...],
    crops: Path | None,
    workers: int,
    as_json: bool,
) -> None:
    """Calibrate a trained detector on clips of your own.

    Without clips of both labels from the place where a detector is used, its probabilities,
    likelihood ratios and verdicts are about somewhere else.

    Example:

        obverse train calibration run --data ours/clips.parquet --split all

        obverse train calibration sync --data corpus/clips.parquet --leave-out talk
    """
    from obverse.detector.calibrate import calibrate

    with _bars() as progress:
        made = calibrate(
            run,
            _without(read_clips(data), left_out, data),
            data.parent,
            split=None if split == "all" else split,  # type: ignore[arg-type]
            method=method,  # type: ignore[arg-type]
            crops=crops,
            workers=workers,
            progress=progress,
        )
    low, high = (math.exp(bound) for bound in made.bounds)
    counts = {"synthetic": len(made.synthetic), "pristine": len(made.pristine)}
    if as_json:
        about = {"method": made.method, "lr_bounds": [low, high], **counts}
        click.echo(json.dumps({"run": str(run), **about}))
    else:
        click.echo(
            f"{run}: {made.method} on {counts['synthetic']} synthetic and {counts['pristine']} "
            f"pristine clips; likelihood ratios from {low:.3g} to {high:.3g}"
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
    from obverse.generator.train_motion import TrainMotionConfig
    from obverse.generator.train_motion import train as train_motion

    if (videos is None) == (corpus is None):
        raise ConfigError("give either --videos DIR or --corpus DIR, and not both.")
    config = TrainMotionConfig(
        **{name: value for name, value in settings.items() if value is not None}
    )
    with _bars() as progress:
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


@train.command()
@click.argument("films", metavar="FOLDER", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The run, a folder."
)
@click.option("--examples", type=int, help="Marked clips to learn from; 600 by default.")
@click.option("--steps", "reader_steps", type=int, help="Of the reader; 1200 by default.")
@click.option(
    "--gain-steps", type=int, help="Of the gain; 300 by default, 0 keeps the classical one."
)
@click.option("--batch", type=int, help="Examples in a step of the reader.")
@click.option("--width", type=int, help="Channels of the reader.")
@click.option("--learning-rate", type=float, help="At its peak.")
@click.option("--seed", type=int, help="Another seed draws other weights, keys and payloads.")
@click.option("--threads", type=int, help="CPU threads.")
@click.option("--force", is_flag=True, help="Train a finished run anew.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def mark(films: Path, output: Path, force: bool, as_json: bool, **settings: Any) -> None:
    """Train the learned mark on the films of FOLDER: a reader and a gain, both on the CPU.

    The run's folder gets mark_reader.onnx and mark_gain.onnx with their cards; obverse mark embed
    and read take it as --weights. What was stopped goes on where it was.

    Example:

        obverse train mark films/ -o run
    """
    from obverse.datasets.walk import films_below
    from obverse.watermark.train_mark import TrainMarkConfig
    from obverse.watermark.train_mark import train as train_the_mark

    if not films.is_dir():
        raise ConfigError(f"{films} is not a folder; give one of films to learn from.")
    config = TrainMarkConfig(
        **{name: value for name, value in settings.items() if value is not None}
    )
    found = [films / name for name in films_below(films)]
    if len(found) < 2:
        held = "1 film" if found else "no film"
        raise InputError(
            f"{films} holds {held}; the learned mark needs 2 at least, one of them to check on."
        )
    with _bars() as progress:
        report = train_the_mark(found, output, config, force=force, progress=progress)
    if as_json:
        click.echo(json.dumps({"run": str(output), **report}))
        return
    z = report["z"]
    said = (
        f"{output}: {report['examples']} clips of {report['films']} films; on films held out the "
        f"mean z is {z['learned']:.2f}, {z['classical']:.2f} without the network"
    )
    if "gain" in report:
        gain = report["gain"]["z"]
        said += f"; the gain's {gain['learned']:.2f}, {gain['classical']:.2f} without that one"
    click.echo(said)
