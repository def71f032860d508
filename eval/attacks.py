"""Attacks on a detector: what little must change in a face for a synthetic clip to pass.

`pgd` follows the gradient of a torch run (projected gradient descent in the maximum norm, Madry et
al., ICLR 2018). `transfer` does so on another run and tries the result on the detector. `square`
only asks the detector for scores, so it works on exported ones too (the score-based Square Attack
in the maximum norm, Andriushchenko et al., ECCV 2020). All change the crops of synthetic clips by
at most a budget, in grey levels of 255, and round to whole levels, as a picture must.

With `film`, the change is put back into the film, which is encoded as this project encodes; the
detector scores that film, and the extractor is asked whether the mark has survived. Every clip,
pristine ones too, is then also encoded unchanged, so that fakes that were encoded once more meet
pristine clips that were.
"""

import dataclasses
import functools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from obverse.clip import Clip, Judged
from obverse.datasets.footage import Footage
from obverse.detector.crop_store import open_reader
from obverse.detector.crops import FaceTrack, FilmFaces, read_film
from obverse.detector.fusion import Fusion
from obverse.detector.kind import Arrays, Windows
from obverse.detector.recipe import CropRecipe
from obverse.detector.runs import Detector, load_network
from obverse.detector.score import open_detector, score_faces, score_film
from obverse.errors import ConfigError, InputError, ObverseError
from obverse.eval.conditions import NONE, Condition, Grid, seed_of
from obverse.eval.encoders import Codec, write_film
from obverse.eval.marks import RELEASED, check_mark
from obverse.eval.reel import Reel, open_reel
from obverse.eval.robust import Progress, Row, Store
from obverse.hidden import hidden_folder
from obverse.watermark.carriers import DEFAULT_KEY
from obverse.workers import spread

__all__ = [
    "AttackConfig",
    "Method",
    "attack_clips",
    "attack_grid",
    "pgd",
    "require_attack",
    "square",
]

Method = Literal["pgd", "transfer", "square"]
_ENCODED = "encoded"  # the film as it is, encoded as an attacked one is
Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Ask = Callable[[Image], npt.NDArray[np.float64]]  # crops of N windows to their scores [N]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AttackConfig:
    """How a detector is attacked."""

    method: Method = "pgd"
    budgets: tuple[int, ...] = (1, 2, 4, 8)  # grey levels that a value may change by
    steps: int = 20  # of pgd and transfer
    queries: int = 200  # of square, a window
    film: bool = False  # put it back into the film, encode, and read the mark

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        if self.method not in get_args(Method):
            raise ConfigError(
                f"the attack is {self.method!r}; it must be one of {', '.join(get_args(Method))}."
            )
        if not self.budgets or any(not 1 <= each <= 64 for each in self.budgets):
            raise ConfigError(f"budgets are {self.budgets}; give grey levels from 1 to 64.")
        if not 1 <= self.steps <= 1000 or not 1 <= self.queries <= 100_000:
            raise ConfigError(
                f"steps are {self.steps} and queries {self.queries}; up to 1000 and 100000 are "
                "allowed, 1 at least."
            )

    def name(self, budget: int) -> str:
        """Return what a budget's condition is called; 0 is the film encoded unchanged."""
        if budget == 0:
            return _ENCODED
        return f"{self.method}-{budget}{'-film' if self.film else ''}"

    def stamp(self, budget: int, other: str) -> str:
        """Return what names an attack's outcome: all that it depends on but the clip."""
        asked = self.queries if self.method == "square" else self.steps
        return f"{self.name(budget)}/{asked}/{other}"


def attack_grid(config: AttackConfig) -> Grid:
    """Return the conditions whose rows an attack makes: undistorted, with films encoded unchanged,
    then each budget.
    """
    family = config.method + ("-film" if config.film else "")
    encoded = (Condition(_ENCODED, "encoding"),) if config.film else ()
    budgets = (Condition(config.name(b), family, float(b)) for b in sorted(config.budgets))
    return Grid(f"{family} attack", (NONE, *encoded, *budgets))


def pgd(
    network: nn.Module, inputs: Arrays, budget: int, steps: int, rng: np.random.Generator
) -> Image:
    """Return windows' crops `[N, ...] uint8` changed so that a network finds them pristine.

    Args:
        network: from the windows' inputs to logits `[N]`, positive = synthetic.
        inputs: of the windows, crops first.
        budget: grey levels.
        steps: of descent, each a quarter of the budget at first and a level at least.
        rng: where it starts.
    """
    weights = next(network.parameters())
    held = [torch.from_numpy(np.array(part)).to(weights.device) for part in inputs[1:]]
    clean = torch.from_numpy(np.array(inputs[0])).to(weights.device, torch.float32)
    start = rng.uniform(-budget, budget, inputs[0].shape).astype(np.float32)
    changed = (clean + torch.from_numpy(start).to(weights.device)).clamp(0, 255)
    for step in range(steps):
        changed.requires_grad_(True)
        logits = network(changed, *held)
        (slope,) = torch.autograd.grad(logits.sum(), changed)
        size = max(1.0, budget / 4 * (1 - step / steps))
        moved = changed.detach() - size * slope.sign()
        changed = torch.minimum(torch.maximum(moved, clean - budget), clean + budget).clamp(0, 255)
    return np.asarray(changed.detach().round().byte().cpu().numpy(), np.uint8)


def square(ask: Ask, crops: Image, budget: int, queries: int, rng: np.random.Generator) -> Image:
    """Return crops `[N, ..., S, S, 3]` changed so that what answers gives them lower scores.

    Squares of one colour each are tried at random places, smaller and smaller ones; what lowers a
    window's score is kept.

    Args:
        ask: gives scores `[N]`, higher = synthetic.
        crops: of the windows.
        budget: grey levels.
        queries: times that each window is asked about.
        rng: where squares are tried.
    """
    clean = crops.astype(np.int16)
    side = crops.shape[-2]
    stripes = rng.choice([-budget, budget], (*crops.shape[:-3], 1, side, 3)).astype(np.int16)
    best = np.clip(clean + stripes, 0, 255)
    scores = ask(best.astype(np.uint8))
    before = ask(crops)
    worse = scores > before
    best[worse], scores[worse] = clean[worse], before[worse]
    for query in range(queries - 2):
        share = 0.8 * 0.5 ** (6 * query / max(1, queries))
        width = max(1, round(side * share**0.5 / 2))
        tried = best.copy()
        for window in range(len(crops)):
            y, x = rng.integers(0, side - width + 1, 2)
            place = (window, ..., slice(y, y + width), slice(x, x + width), slice(None))
            colour = rng.choice([-budget, budget], 3).astype(np.int16)
            tried[place] = np.clip(clean[place] + colour, 0, 255)
        found = ask(tried.astype(np.uint8))
        better = found < scores
        best[better], scores[better] = tried[better], found[better]
    return np.asarray(best, np.uint8)


class _Job(NamedTuple):
    clip: Clip
    footage: Footage
    budgets: tuple[int | None, ...]  # None: the clip as it is; 0: encoded unchanged
    config: AttackConfig
    run: Path
    surrogate: Path | None
    threads: int
    scratch: Path
    key: bytes


@functools.lru_cache(maxsize=2)
def _opened(run: Path, threads: int) -> Detector | Fusion:
    return open_detector(run, threads)


@functools.lru_cache(maxsize=2)
def _network(run: Path) -> nn.Module:
    return load_network(run)[0]


def _single(detector: Detector | Fusion) -> Detector:
    if isinstance(detector, Fusion):
        members = ", ".join(member.id for member in detector.members)
        raise ConfigError(
            f"{detector.id} is a fusion, which is attacked through one of its members ({members}); "
            "give the file of that one."
        )
    return detector


def require_attack(
    run: Path, config: AttackConfig, surrogate: Path | None = None, *, threads: int = 1
) -> None:
    """Refuse a detector that cannot be attacked so, before anything is written.

    Args:
        run: the detector.
        config: the attack.
        surrogate: the run whose gradient a transfer follows.
        threads: of the network.

    Raises:
        ConfigError: it is a fusion, has no gradient, or looks at other crops than the surrogate.
    """
    detector = _single(_opened(run, threads))
    if (config.method == "transfer") != (surrogate is not None):
        raise ConfigError("a transfer needs a surrogate, another run, and nothing else does.")
    if config.method == "pgd" and run.suffix == ".onnx":
        raise ConfigError(
            f"{run} is exported and has no gradient; attack it by square, or by transfer from a "
            "run."
        )
    if config.method != "square":
        _network(run if surrogate is None else surrogate)
    if surrogate is not None:
        _require_fit(detector, surrogate)


def _require_fit(detector: Detector, surrogate: Path) -> None:
    """Refuse a surrogate that looks at other crops: its gradient would be of nothing that is seen.

    Raises:
        ConfigError: size, burst, region or margin of its crops are others.
    """
    theirs, ours = load_network(surrogate)[1].recipe, detector.recipe
    for name, what in (
        ("size_px", "px wide"), ("burst", "frames at a moment"), ("region", "region"),
        ("margin", "times the face"),
    ):  # fmt: skip
        one, other = getattr(theirs, name), getattr(ours, name)
        if one != other:
            raise ConfigError(
                f"the surrogate {surrogate} looks at crops of {one} ({what}) and the detector at "
                f"{other}; give a run that was trained with the detector's recipe."
            )


def _crops_of(windows: Windows, track: FaceTrack) -> Image:
    """Return the crops of windows, or refuse a detector that is given something else."""
    crops = np.asarray(windows.inputs[0])
    stacked = np.stack([np.array(track.crops[indices]) for indices in windows.crops])
    if crops.size != stacked.size or crops.dtype != np.uint8:
        raise ConfigError(
            "this kind of detector does not look at whole crops, so they cannot be attacked; "
            "frame, frequency, selfblend and temporal ones can be."
        )
    return crops


def _attacked(job: _Job, detector: Detector, faces: FilmFaces, budget: int) -> FilmFaces:
    """Return a film's faces with their crops changed."""
    rng = np.random.default_rng(seed_of(job.clip.id, job.config.name(budget)))
    tracks = []
    for track in faces.tracks:
        windows = detector.windows(faces, track)
        if not len(windows.times):
            tracks.append(track)
            continue
        crops = _crops_of(windows, track)
        rest = windows.inputs[1:]
        if job.config.method == "square":

            def ask(tried: Image, rest: Arrays = rest) -> npt.NDArray[np.float64]:
                return detector.probabilities((tried, *rest))

            found = square(ask, crops, budget, job.config.queries, rng)
        else:
            network = _network(job.run if job.surrogate is None else job.surrogate)
            found = pgd(network, windows.inputs, budget, job.config.steps, rng)
        changed = np.array(track.crops)
        for window, indices in zip(found, windows.crops, strict=True):
            changed[indices] = window.reshape(changed[indices].shape)
        tracks.append(dataclasses.replace(track, crops=changed))
    return dataclasses.replace(faces, tracks=tuple(tracks))


def _run_job(job: _Job) -> list[Row]:
    torch.set_num_threads(job.threads)
    detector = _single(_opened(job.run, job.threads))
    reader = open_reader()
    clip = job.clip.id
    names = [NONE.name if b is None else job.config.name(b) for b in job.budgets]
    try:
        faces = read_film(job.footage, detector.recipe, reader)
        rows = []
        for budget, name in zip(job.budgets, names, strict=True):
            if budget is None:
                rows.append(Row.of(score_faces(lambda _: faces, clip, detector).score, name))
                continue
            changed = faces if budget == 0 else _attacked(job, detector, faces, budget)
            rows.append(_judged(job, detector, name, faces, changed))
    except ObverseError as error:
        if isinstance(error, ConfigError):
            raise
        return [Row(clip, name, "error", reason=str(error)) for name in names]
    return rows


def _judged(job: _Job, detector: Detector, name: str, faces: FilmFaces, changed: FilmFaces) -> Row:
    clip = job.clip.id
    if not job.config.film:

        def cut(recipe: CropRecipe) -> FilmFaces:
            del recipe
            return changed

        return Row.of(score_faces(cut, clip, detector).score, name)
    with tempfile.TemporaryDirectory(dir=job.scratch) as folder, open_reel(job.footage) as reel:
        made = Path(folder) / "attacked.mp4"
        coded = Codec(crf=RELEASED.crf, preset=RELEASED.preset, gop=RELEASED.gop)
        write_film(made, _painted(reel, faces, changed), reel.fps, coded)
        mark = check_mark(made, job.key)
        return Row.of(score_film(made, clip, detector, open_reader()).score, name, mark)


def _painted(reel: Reel, faces: FilmFaces, changed: FilmFaces) -> Iterator[Image]:
    """Yield a film's frames with what was changed in its crops, each from the nearest moment."""
    pairs = list(zip(faces.tracks, changed.tracks, strict=True))
    for number, frame in enumerate(reel.frames(reel.fps)):
        out = frame.astype(np.float32)
        for before, after in pairs:
            nearest = int(np.abs(before.times - number / reel.fps).argmin())
            change = after.crops[nearest].astype(np.float32) - before.crops[nearest]
            out += cv2.warpAffine(
                change, before.squares[nearest].astype(np.float64), frame.shape[1::-1]
            )
        yield np.clip(np.rint(out), 0, 255).astype(np.uint8)


def attack_clips(
    run: Path,
    clips: Sequence[Clip],
    folder: Path,
    config: AttackConfig,
    store: Store,
    *,
    surrogate: Path | None = None,
    judged: Judged = "picture",
    workers: int = 1,
    threads: int = 1,
    key: bytes = DEFAULT_KEY,
    progress: Progress | None = None,
) -> list[Row]:
    """Attack the synthetic clips; what the store holds is not made again.

    Pristine clips are left alone: nobody hides them. Their rows under each budget are those of the
    clips as they are (of films, encoded unchanged), so that an AUC can be taken.

    Args:
        run: the detector.
        clips: the clips.
        folder: where their relative paths start.
        config: the attack.
        store: where rows are kept.
        surrogate: the run whose gradient a transfer follows.
        judged: what the detector judges, and so which clips are synthetic.
        workers: processes.
        threads: of each.
        key: of this project's mark.
        progress: told how many rows there are, of how many.

    Raises:
        ConfigError: the detector cannot be attacked so.
    """
    require_attack(run, config, surrogate, threads=threads)
    grid = attack_grid(config)
    other = "" if surrogate is None else str(load_network(surrogate)[2][:16])
    stamps: dict[str, str] = {NONE.name: NONE.digest}
    stamps |= {config.name(b): config.stamp(b, other) for b in config.budgets}
    first: tuple[int | None, ...] = (None, 0) if config.film else (None,)
    if config.film:
        stamps[_ENCODED] = _ENCODED
    every: list[tuple[Clip, tuple[int | None, ...]]] = []
    done = store.done()
    total = 0
    for clip in clips:
        budgets = (*first, *sorted(config.budgets))
        wanted = budgets if clip.synthetic_in(judged) else first
        total += len(wanted)
        names = {b: NONE.name if b is None else config.name(b) for b in wanted}
        left = tuple(
            b for b in wanted if (clip.id, names[b], f"{stamps[names[b]]} {_sha(clip)}") not in done
        )
        if left:
            every.append((clip, left))
    with hidden_folder(store.path.parent, "robust") as scratch:
        jobs = [
            _Job(c, Footage.of(c, folder), left, config, run, surrogate, threads, scratch, key)
            for c, left in every
        ]
        ready = total - sum(len(left) for _, left in every)
        if progress is not None:
            progress(ready, total)
        before = torch.get_num_threads()
        try:
            for job, result in spread(_run_job, jobs, workers):
                if isinstance(result, MemoryError):
                    tried = [NONE.name if b is None else config.name(b) for b in job.budgets]
                    result = [Row(job.clip.id, n, "error", reason=str(result)) for n in tried]
                elif isinstance(result, BaseException):
                    raise result
                for row in result:
                    store.add(row, f"{stamps[row.condition]} {_sha(job.clip)}")
                ready += len(job.budgets)
                if progress is not None:
                    progress(ready, total)
        finally:
            torch.set_num_threads(before)
    rows = store.rows(stamps, [clip.id for clip in clips])
    alone = {clip.id for clip in clips if not clip.synthetic_in(judged)}
    copies = [
        dataclasses.replace(row, condition=each.name)
        for row in rows
        if row.clip in alone and row.condition == grid.conditions[len(first) - 1].name
        for each in grid.conditions[len(first) :]
    ]
    if not rows:
        raise InputError("no clip could be attacked; give a table with some.")
    return [*rows, *copies]


def _sha(clip: Clip) -> str:
    return (clip.sha256 or "")[:16]
