"""How often an unmarked picture is said to be marked, counted:
`python -m benchmarks.mark_searches --clips FOLDER --images FOLDER --searches 10000 --keep FILE`.

Each search is the shipped one, on a piece of a film or a photograph that was cropped, stretched and
mirrored at random. Reading and cutting are a hundredth of its time, so nothing but processors makes
a count quicker. One in eight looks for a key of its own in frames marked with the public key,
which are unmarked to whoever holds the other key; that the mark was there is checked with its own.

Every search is a row of the CSV, written at once. The same command goes on where the file ends, and
a search depends on its number alone, so that an interrupted count is the same count. `--plot FILE`
draws the z of all rows; `--searches 0` only reports.
"""

import argparse
import contextlib
import csv
import dataclasses
import functools
import hashlib
import io
import json
import math
import multiprocessing
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import matplotlib.figure
import numpy as np
import numpy.typing as npt
import scipy.stats

from benchmarks.machine import machine
from obverse.errors import InputError
from obverse.media.still import read_still
from obverse.media.video import probe, read_frames
from obverse.watermark.carriers import DEFAULT_KEY
from obverse.watermark.embed import Embedder
from obverse.watermark.extract import FALSE_ACCEPTS, extract_frames

__all__ = ["Draw", "Sources", "count", "report", "upper_bound"]

Frame = npt.NDArray[np.uint8]

_STRETCHES = 8  # of each film, spread over its length
_STRETCH_FRAMES = 16  # consecutive
_FILM_PX = 540  # short side of what is kept of a film: twice what the search looks at
_CROP_MIN_PX = 64
_ASPECT_MAX = 3.0  # of a crop
_SEARCHED_ASPECT_MAX = (
    4  # of what is searched: a longer picture is refused as it cannot hold a mark
)
_SHORT_PX = (128, 720)  # short side of what is searched
_FRAMES = (1, 2, 4, 8, 16)
_FOREIGN_EVERY = 8
_STILLS = (".png", ".jpg", ".jpeg")
_FLIPS: dict[str, int | None] = {"none": None, "left-right": 1, "top-bottom": 0, "both": -1}
# z from which on a search accepts: synchronisation alone and payload, as marked or stretched.
_ACCEPTING = {"as it was marked": 7.9, "stretched or turned": 10.2}


@dataclasses.dataclass(frozen=True, slots=True)
class Draw:
    """What one search looks at, and with which key."""

    search: int
    kind: str  # film, still, or foreign: marked with the public key, searched with another
    source: str  # name of the file
    first: int  # frame among those kept of a film; 0 for a still
    frames: int
    left: int  # of the crop, in the kept frame
    top: int
    width: int
    height: int
    to_width: int  # what the crop was scaled to
    to_height: int
    flip: str

    def cut(self, frames: Sequence[Frame]) -> list[Frame]:
        """Return what is searched, out of the frames `[H, W, 3] uint8 RGB` that were drawn."""
        flip = _FLIPS[self.flip]
        cut = []
        for frame in frames:
            piece = frame[self.top : self.top + self.height, self.left : self.left + self.width]
            shrinks = self.to_width < self.width and self.to_height < self.height
            how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
            piece = cv2.resize(piece, (self.to_width, self.to_height), interpolation=how)
            cut.append(np.asarray(piece if flip is None else cv2.flip(piece, flip), np.uint8))
        return cut


_DRAWN = tuple(field.name for field in dataclasses.fields(Draw))
_COLUMNS = (*_DRAWN, "frames_pooled", "z", "p_value", "accepted", "own_mark_read", "cpu_seconds")


class Sources:
    """Films and stills to draw from; films are decoded once, stills when they are wanted."""

    def __init__(self, clips: Path | None, images: Sequence[Path]) -> None:
        """List the files and decode stretches of the films.

        Raises:
            InputError: a folder is absent, or no file was found in any.
        """
        self.folders = (clips, tuple(images))
        for folder in [*images, *([clips] if clips else [])]:
            if not folder.is_dir():
                raise InputError(f"{folder} is not a folder; give one that holds clips or images.")
        self._films = {path.name: _stretches(path) for path in _files(clips, (".mp4",))}
        self._stills = {
            f"{folder.name}/{path.name}": path
            for folder in images
            for path in _files(folder, _STILLS)
        }
        if not self._films and not self._stills:
            raise InputError("there is nothing to search: the folders hold no mp4, png or jpg.")
        # A folder of few images weighs as much as one of many.
        self._folders = [
            [name for name in self._stills if name.startswith(f"{folder.name}/")]
            for folder in images
        ]
        self._folders = [names for names in self._folders if names]
        self._still = functools.lru_cache(maxsize=64)(lambda name: read_still(self._stills[name]))

    def draw(self, search: int) -> Draw:
        """Draw one search; it depends on its number and on the files alone."""
        rng = np.random.default_rng([20261127, search])
        film = bool(self._films) and (not self._folders or search % 2 == 0)
        if film:
            source = str(rng.choice(sorted(self._films)))
            kept = self._films[source]
            count = min(int(rng.choice(_FRAMES)), _STRETCH_FRAMES)
            starts = [at for at in range(len(kept)) if at % _STRETCH_FRAMES == 0]
            start = int(rng.choice(starts))
            count = min(count, len(kept) - start)
            first = start + int(rng.integers(min(_STRETCH_FRAMES, len(kept) - start) - count + 1))
            height, width = kept[0].shape[:2]
        else:
            source = str(rng.choice(self._folders[int(rng.integers(len(self._folders)))]))
            first, count = 0, 1
            height, width = self._still(source).shape[:2]
        kind = "film" if film else "still"
        # Two searches after each other are a film and a still: both kinds are marked in turn.
        if search // 2 % _FOREIGN_EVERY == _FOREIGN_EVERY - 1:
            return Draw(
                search,
                "foreign",
                source,
                first,
                count,
                0,
                0,
                width,
                height,
                *_sides(width, height),
                "none",
            )
        cut_width, cut_height = (
            max(_CROP_MIN_PX, round(side * math.exp(rng.uniform(math.log(0.25), 0))))
            for side in (width, height)
        )
        cut_width = min(width, cut_width, round(_ASPECT_MAX * cut_height))
        cut_height = min(height, cut_height, round(_ASPECT_MAX * cut_width))
        short = math.exp(rng.uniform(*np.log(_SHORT_PX)))
        scale = short / min(cut_width, cut_height)
        # One search in two is also squeezed, as a careless editor would.
        squeeze = math.exp(rng.uniform(-0.2, 0.2)) if rng.random() < 0.5 else 1.0
        to_width = max(_CROP_MIN_PX, round(cut_width * scale * squeeze))
        to_height = max(_CROP_MIN_PX, round(cut_height * scale / squeeze))
        return Draw(
            search,
            kind,
            source,
            first,
            count,
            int(rng.integers(width - cut_width + 1)),
            int(rng.integers(height - cut_height + 1)),
            cut_width,
            cut_height,
            min(to_width, _SEARCHED_ASPECT_MAX * to_height),
            min(to_height, _SEARCHED_ASPECT_MAX * to_width),
            str(rng.choice(list(_FLIPS))),
        )

    def shown(self, draw: Draw) -> list[Frame]:
        """Return the frames `[H, W, 3] uint8 RGB` that a draw means, not yet cut."""
        if draw.source in self._films:
            return self._films[draw.source][draw.first : draw.first + draw.frames]
        return [self._still(draw.source)]


def _sides(width: int, height: int) -> tuple[int, int]:
    """Return a whole picture's size with a short side of 360, where a mark is read with ease."""
    scale = 360 / min(width, height)
    return round(width * scale), round(height * scale)


def _files(folder: Path | None, suffixes: Sequence[str]) -> list[Path]:
    paths = sorted(folder.iterdir()) if folder is not None else []
    return [path for path in paths if path.suffix.lower() in suffixes]


def _stretches(path: Path) -> list[Frame]:
    """Return stretches of consecutive frames, spread over a film, shrunk to what is worth it."""
    info = probe(path)
    total = info.frames or round(info.fps * info.seconds)
    starts = {round(at) for at in np.linspace(0, max(0, total - _STRETCH_FRAMES), _STRETCHES)}
    wanted = {start + step for start in starts for step in range(_STRETCH_FRAMES)}
    scale = min(1.0, _FILM_PX / min(info.width, info.height))
    size = (round(info.width * scale), round(info.height * scale))
    return [
        cv2.resize(frame, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
        if scale < 1
        else frame
        for number, frame in enumerate(read_frames(path))
        if number in wanted
    ]


def _foreign_key(search: int) -> bytes:
    return hashlib.sha256(b"a key of search %d" % search).digest()


def _marked(frames: Sequence[Frame], search: int) -> list[Frame]:
    rng = np.random.default_rng([20261128, search])
    return list(Embedder(int(rng.integers(1 << 63))).embed(frames))


def _searched(sources: Sources, draw: Draw) -> dict[str, Any]:
    """Make one search and return its row."""
    frames = sources.shown(draw)
    key, own = DEFAULT_KEY, ""
    if draw.kind == "foreign":
        frames, key = _marked(frames, draw.search), _foreign_key(draw.search)
    frames = draw.cut(frames)
    if draw.kind == "foreign":
        own = str(int(extract_frames(frames).payload is not None))
    start = time.process_time()
    found = extract_frames(frames, key)
    return {
        **dataclasses.asdict(draw),
        "frames_pooled": found.frames,
        "z": f"{found.z:.3f}",
        "p_value": f"{found.p_value:.3g}",
        "accepted": int(found.present),
        "own_mark_read": own,
        "cpu_seconds": f"{time.process_time() - start:.3f}",
    }


def _rows(path: Path) -> list[dict[str, str]]:
    """Read the rows of a count; a last line that was cut off is dropped from the file.

    Raises:
        InputError: the file is none that this script wrote.
    """
    if not path.exists():
        return []
    try:
        text = path.read_text(encoding="utf-8")
    except ValueError as error:
        raise InputError(
            f"{path} is no count of searches; name another file with --keep."
        ) from error
    whole = text[: text.rfind("\n") + 1]
    rows = list(csv.DictReader(io.StringIO(whole)))
    header = whole.partition("\n")[0].strip().split(",")
    if whole and header != list(_COLUMNS):
        raise InputError(f"{path} is no count of searches; name another file with --keep.")
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    return rows


_shared: Sources  # of a process that searches


def _share(clips: Path | None, images: Sequence[Path]) -> None:
    # A process reads the films once, and not with each search.
    global _shared
    _shared = Sources(clips, images)
    cv2.setNumThreads(1)


def _search_shared(number: int) -> dict[str, Any]:
    return _searched(_shared, _shared.draw(number))


def _made(sources: Sources, numbers: range, jobs: int) -> Generator[dict[str, Any]]:
    if jobs == 1:
        for number in numbers:
            yield _searched(sources, sources.draw(number))
        return
    fresh = multiprocessing.get_context("spawn")  # a fork would inherit locks of running threads
    with ProcessPoolExecutor(jobs, fresh, initializer=_share, initargs=sources.folders) as pool:
        try:
            yield from pool.map(_search_shared, numbers)
        finally:
            pool.shutdown(cancel_futures=True)


def count(sources: Sources, searches: int, keep: Path, jobs: int = 1) -> Iterator[dict[str, str]]:
    """Go on with a count until it has `searches` rows, in `jobs` processes; yield each new row once
    it is written, in their order.

    Raises:
        InputError: the file's rows were drawn from other clips or images.
    """
    rows = _rows(keep)
    for number, row in enumerate(rows):
        drawn = {key: str(value) for key, value in dataclasses.asdict(sources.draw(number)).items()}
        if any(row[key] != value for key, value in drawn.items()):
            raise InputError(
                f"search {number} of {keep} was drawn from other clips or images than these; "
                "give the first ones, or name another file with --keep."
            )
    with keep.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        if file.tell() == 0:
            writer.writeheader()
        with contextlib.closing(_made(sources, range(len(rows), searches), jobs)) as made:
            for row in made:
                writer.writerow(row)
                file.flush()
                yield {key: str(value) for key, value in row.items()}


def upper_bound(accepted: int, searches: int, confidence: float = 0.95) -> float:
    """Return the exact one-sided upper bound of a rate (Clopper and Pearson 1934); 3/n where none
    was accepted, nearly.
    """
    if accepted >= searches:
        return 1.0
    return float(scipy.stats.beta.ppf(confidence, accepted + 1, searches - accepted))


def report(rows: Sequence[dict[str, str]]) -> dict[str, Any]:
    """Return the counts, the bounds and the distribution of z, in all and for each kind."""

    def of(some: Sequence[dict[str, str]]) -> dict[str, Any]:
        z = np.array([float(row["z"]) for row in some])
        accepted = sum(row["accepted"] == "1" for row in some)
        return {
            "searches": len(some),
            "accepted": accepted,
            "rate_below": upper_bound(accepted, len(some)),
            "z": {
                name: round(float(np.quantile(z, share)), 2)
                for name, share in {"median": 0.5, "99 %": 0.99, "largest": 1.0}.items()
            },
            "least_p_value": min(float(row["p_value"]) for row in some),
        }

    if not rows:
        raise InputError("no search was made yet; ask for some with --searches.")
    kinds = sorted({row["kind"] for row in rows})
    foreign = [row for row in rows if row["own_mark_read"]]
    return {
        "machine": machine(),
        "all": of(rows),
        "kinds": {kind: of([row for row in rows if row["kind"] == kind]) for kind in kinds},
        "sources": len({row["source"] for row in rows}),
        "own_mark_read": [sum(row["own_mark_read"] == "1" for row in foreign), len(foreign)],
        "bound": FALSE_ACCEPTS,
        "cpu_seconds_each": round(float(np.mean([float(row["cpu_seconds"]) for row in rows])), 3),
    }


def _plot(rows: Sequence[dict[str, str]], path: Path) -> None:
    figure = matplotlib.figure.Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    kinds = sorted({row["kind"] for row in rows})
    values = [[float(row["z"]) for row in rows if row["kind"] == kind] for kind in kinds]
    edges = [round(2 + 0.1 * step, 1) for step in range(101)]
    axes.hist(values, edges, stacked=True, label=kinds)
    for name, z in _ACCEPTING.items():
        axes.axvline(z, color="black", linestyle=":")
        axes.annotate(f"accepted, {name}", (z, 1), rotation=90, ha="right", va="bottom", fontsize=8)
    axes.set(yscale="log", ylim=(0.7, None), xlabel="largest z of a search", ylabel="searches")
    axes.legend(title=f"{len(rows)} searches")
    figure.savefig(path, dpi=120)


def _told(result: dict[str, Any]) -> str:
    lines = ["| frames | searches | accepted | rate below (95 %) | z: median, 99 %, largest |"]
    lines.append("|---|---|---|---|---|")
    for name, part in {"all": result["all"], **result["kinds"]}.items():
        z = ", ".join(f"{value:.2f}" for value in part["z"].values())
        lines.append(
            f"| {name} | {part['searches']} | {part['accepted']} | {part['rate_below']:.2g} | {z} |"
        )
    read, of = result["own_mark_read"]
    lines += [
        "",
        f"{result['sources']} files; {read} of {of} foreign marks came back with their own key; "
        f"{result['cpu_seconds_each']:.2f} CPU s a search.",
    ]
    return "\n".join(lines)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=Path, help="a folder of mp4 films without a mark")
    parser.add_argument(
        "--images",
        type=Path,
        action="append",
        default=[],
        help="a folder of stills; may be given again",
    )
    parser.add_argument("--searches", type=int, default=10000, help="that the file is to hold")
    parser.add_argument("--keep", type=Path, required=True, help="the CSV, a row a search")
    parser.add_argument("--jobs", type=int, default=1, help="processes that search")
    parser.add_argument("--plot", type=Path, help="draw the distribution of z")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    if options.jobs < 1:
        parser.error(f"--jobs is {options.jobs}; it must be 1 or more.")
    cv2.setNumThreads(1)
    try:
        if options.searches > len(_rows(options.keep)):
            sources = Sources(options.clips, options.images)
            accepted = 0
            for row in count(sources, options.searches, options.keep, options.jobs):
                accepted += row["accepted"] == "1"
                if int(row["search"]) % 100 == 99:
                    print(
                        f"{int(row['search']) + 1} searches, {accepted} newly accepted",
                        file=sys.stderr,
                    )
        rows = _rows(options.keep)
        result = report(rows)
    except (InputError, OSError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        parser.exit(130, "Stopped; the same command goes on.\n")
    if options.plot:
        _plot(rows, options.plot)
    print(json.dumps(result, indent=2) if options.json else _told(result))


if __name__ == "__main__":
    main()
