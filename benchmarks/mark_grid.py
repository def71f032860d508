"""What the watermark withstands, attack by attack:
`python -m benchmarks.mark_grid --clips FOLDER --portraits FOLDER --keep FILE`.

Each film is marked and either encoded at once, at the CRF named, or encoded as a release is (H.264,
CRF 18) and then attacked; what is left is read blind. The films are recordings from 360 to 1080
pixels, flat graphics, virtual people, photographs that the generator moves, and a minute of the
recordings after each other. The attacks are those of OmniSealBench's video grid, what platforms and
editors do, and codecs. A cell is whether all 64 bits came back. Where they did not, the picture is
also put back to where it was, and the z of the right payload is taken at the best offset: what a
reader could reach that is told the geometry. Below 12 nobody could say which payload it is.

Every cell is a row of the CSV, written at once; the same command goes on where the file ends.
`--again` measures anew: of two rows of one cell the later one counts. `--report` only reports. Only
ours is measured; `benchmarks.mark` puts peers beside it.
"""

import argparse
import csv
import dataclasses
import io
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.machine import machine
from benchmarks.mark_attacks import (
    AFTER_RELEASE,
    FPS,
    ONCE,
    RELEASE,
    Attack,
    Frame,
    decoded,
    encoded,
    undone,
)
from benchmarks.mark_clips import MINUTE, Source, sources
from obverse.errors import InputError
from obverse.eval.metrics import wilson_interval
from obverse.media.colour import rgb_to_yuv420
from obverse.watermark.carriers import DEFAULT_KEY, carriers
from obverse.watermark.embed import Embedder
from obverse.watermark.extract import extract_frames
from obverse.watermark.geometry import Geometry, size_for
from obverse.watermark.payload import encode
from obverse.watermark.pool import Pool
from obverse.watermark.search import align

__all__ = ["ATTACKS", "Film", "goal_of", "measure", "report", "rows_of"]

QUALITY = "marked"  # the row of a clip's PSNR and VMAF
ATTACKS = (QUALITY, *ONCE, *AFTER_RELEASE)
_PAYLOAD = 0x0123456789ABCDEF
_POOLED_FRAMES = 300  # `obverse.watermark.extract` spreads as many over a long film
_OFFSETS_TOLD = 400  # likeliest by synchronisation, of 65 536
_VMAF_EVERY = 5  # frames, of a long film
_PSNR_DB, _VMAF = 44.0, 95.0  # of the worst clip, at least
_COLUMNS = (
    "clip",
    "kind",
    "width",
    "height",
    "attack",
    "frames",
    "whole",
    "z",
    "p_value",
    "told_z",
    "read_cpu_seconds",
    "psnr_db",
    "vmaf",
    "commit",
    "date",
)


@dataclasses.dataclass(frozen=True)
class Film:
    """A film without its mark and with it, as an encoder is given it; both lie in a folder."""

    before: Path
    after: Path
    width: int
    height: int
    frames: int

    @classmethod
    def marked(cls, frames: Iterable[Frame], folder: Path) -> "Film":
        """Mark frames `[H, W, 3] uint8 RGB` and keep both films, raw I420, in a folder."""
        embedder = Embedder(_PAYLOAD)
        before, after = folder / "before.yuv", folder / "after.yuv"
        count = 0
        height = width = 0
        with before.open("wb") as plain, after.open("wb") as own:
            for frame in frames:
                height, width = frame.shape[:2]
                plain.write(rgb_to_yuv420(frame).tobytes())
                own.write(embedder.embed_planes(frame).tobytes())
                count += 1
        if not count:
            raise InputError("a film holds no frames; leave it out.")
        return cls(before, after, width, height, count)

    def planes(self, path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Return the pictures `[T, H * 3 / 2, W] uint8` of `before` or `after`."""
        shape = (self.frames, self.height * 3 // 2, self.width)
        return np.memmap(path, np.uint8, "r", shape=shape)

    def psnr(self) -> float:
        """Return the PSNR of the RGB frames, the mark being on luma alone: its change is 255/219
        as large there, in all three channels."""
        error = 0.0
        for one, two in zip(self.planes(self.before), self.planes(self.after), strict=True):
            change = one[: self.height].astype(np.float32) - two[: self.height]
            error += float(np.mean(change**2)) / self.frames
        return 20 * math.log10(219) - 10 * math.log10(error) if error else math.inf

    def vmaf(self) -> float | None:
        """Return libvmaf's mean through imageio-ffmpeg, or None where that is not installed."""
        try:
            import imageio_ffmpeg
        except ImportError:
            return None
        every = _VMAF_EVERY if self.frames > _POOLED_FRAMES else 1
        folder = self.before.parent
        raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{self.width}x{self.height}"]
        pair = [*raw, "-r", str(FPS), "-i", "after.yuv", *raw, "-r", str(FPS), "-i", "before.yuv"]
        options = f"libvmaf=log_fmt=json:log_path=vmaf.json:n_threads=1:n_subsample={every}"
        quiet = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error"]
        subprocess.run(
            [*quiet, *pair, "-lavfi", options, "-f", "null", "-"], cwd=folder, check=True
        )
        pooled = json.loads((folder / "vmaf.json").read_text(encoding="utf-8"))["pooled_metrics"]
        return float(pooled["vmaf"]["mean"])


def _sampled(frames: Iterable[Frame], count: int) -> list[Frame]:
    """Return the frames that a reader of a file takes: of a long film 300, spread evenly."""
    step = max(1, count // _POOLED_FRAMES)
    return [frame for number, frame in enumerate(frames) if number % step == 0]


def _told_z(frames: Iterable[Frame], name: str, film: Film) -> float:
    """Return the z of the right payload over all chips, at the best offset, the geometry undone."""
    pool = Pool()
    attack = AFTER_RELEASE.get(name)
    for frame in undone(frames, attack, film.width, film.height) if attack else frames:
        pool.add(frame)
    keyed = carriers()
    signs = keyed.sign.copy()
    signs[keyed.bits] *= encode(_PAYLOAD)[:, None]
    # Chips come with their keyed signs undone.
    wanted = signs * keyed.sign
    size = size_for(film.width, film.height)
    told = Geometry(size, size, mirrored="mirror" in name)
    fixes = align(pool.image, DEFAULT_KEY, told, _OFFSETS_TOLD)
    return max(float(wanted @ fix.chips / np.linalg.norm(fix.chips)) for fix in fixes)


def _wanted(source: Source, attacks: Sequence[str]) -> list[str]:
    """Return which of the attacks a film is for."""
    if source.name != MINUTE:
        return list(attacks)
    return [name for name in attacks if name not in AFTER_RELEASE or AFTER_RELEASE[name].whole]


def measure(source: Source, attacks: Sequence[str]) -> Iterator[dict[str, str]]:
    """Mark a film, attack and read it; yield a row for each attack once it is there."""
    stamp = machine()
    with tempfile.TemporaryDirectory(prefix="mark-grid-") as folder:
        film = Film.marked(source.frames(), Path(folder))
        released: bytes | None = None
        for name in attacks:
            row: dict[str, Any] = {
                "clip": source.name,
                "kind": source.kind,
                "width": film.width,
                "height": film.height,
                "attack": name,
                "commit": stamp["commit"],
                "date": stamp["date"],
            }
            if name == QUALITY:
                vmaf = film.vmaf()
                row |= {"frames": film.frames, "psnr_db": f"{film.psnr():.2f}"}
                row["vmaf"] = "" if vmaf is None else f"{vmaf:.2f}"
            else:
                if name in ONCE:
                    attacked = decoded(encoded(film.planes(film.after), ONCE[name][0]))
                else:
                    if released is None:
                        released = encoded(film.planes(film.after), RELEASE)
                    attacked = _attacked(released, AFTER_RELEASE[name], film.frames)
                kept = _sampled(attacked, film.frames)
                begun = time.process_time()
                found = extract_frames(kept)
                seconds = time.process_time() - begun
                whole = found.payload == _PAYLOAD
                told = "" if whole else f"{_told_z(kept, name, film):.2f}"
                row |= {
                    "frames": len(kept),
                    "whole": int(whole),
                    "told_z": told,
                    "z": f"{found.z:.2f}",
                    "p_value": f"{found.p_value:.3g}",
                    "read_cpu_seconds": f"{seconds:.2f}",
                }
            yield {column: str(row.get(column, "")) for column in _COLUMNS}


def _attacked(released: bytes, attack: Attack, frames: int) -> Iterator[Frame]:
    film = decoded(released)
    whole = attack.whole and frames > _POOLED_FRAMES
    count = frames if whole else min(frames, attack.seconds * FPS)
    return attack.change(frame for frame, _ in zip(film, range(count), strict=False))


def rows_of(path: Path) -> dict[tuple[str, str], dict[str, str]]:
    """Return the rows of a file by clip and attack, of two of one cell the later one; a last line
    that was cut off is dropped from the file.

    Raises:
        InputError: the file is none that this script wrote.
    """
    if not path.exists():
        return {}
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    rows = list(csv.DictReader(io.StringIO(whole)))
    if whole and whole.partition("\n")[0].split(",") != list(_COLUMNS):
        raise InputError(f"{path} is no grid of attacks; name another file with --keep.")
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    return {(row["clip"], row["attack"]): row for row in rows}


def goal_of(attack: str) -> float:
    """Return the share of clips that are to come back."""
    return ONCE[attack][1] if attack in ONCE else AFTER_RELEASE[attack].goal


def report(rows: Iterable[dict[str, str]]) -> dict[str, Any]:
    """Return the share of clips back for each attack, with Wilson's interval of 95 %, and what the
    mark cost each clip."""
    rows = list(rows)
    quality = [row for row in rows if row["attack"] == QUALITY]
    cells = [row for row in rows if row["attack"] != QUALITY]
    attacks = {}
    for name in ATTACKS[1:]:
        of = [row for row in cells if row["attack"] == name]
        if not of:
            continue
        back = sum(row["whole"] == "1" for row in of)
        interval = wilson_interval(back, len(of))
        attacks[name] = {
            "back": back,
            "clips": len(of),
            "interval": [round(interval.low, 3), round(interval.high, 3)],
            "goal": goal_of(name),
            "met": back >= goal_of(name) * len(of),
            "z": {row["clip"]: float(row["z"]) for row in of},
            "told_z": {row["clip"]: float(row["told_z"]) for row in of if row["told_z"]},
            "lost": [row["clip"] for row in of if row["whole"] != "1"],
        }
    return {
        "machine": machine(),
        "commits": sorted({row["commit"] for row in rows}),
        "clips": {
            row["clip"]: {
                "kind": row["kind"],
                "size": f"{row['width']}x{row['height']}",
                "frames": int(row["frames"]),
                "psnr_db": float(row["psnr_db"]),
                "vmaf": float(row["vmaf"]) if row["vmaf"] else None,
            }
            for row in quality
        },
        "attacks": attacks,
    }


def _told(result: dict[str, Any]) -> str:
    rows = result["clips"].values()
    seen = [clip["vmaf"] for clip in rows if clip["vmaf"] is not None]
    lines = [
        f"Worst clip: PSNR {min(clip['psnr_db'] for clip in rows):.1f} dB (goal {_PSNR_DB:g}), "
        f"VMAF {min(seen, default=math.nan):.1f} (goal {_VMAF:g}).",
        "",
    ]
    lines += ["| clip | what | size | frames | PSNR dB | VMAF |", "|---|---|---|---|---|---|"]
    for name, clip in result["clips"].items():
        vmaf = "-" if clip["vmaf"] is None else f"{clip['vmaf']:.1f}"
        lines.append(
            f"| {name} | {clip['kind']} | {clip['size']} | {clip['frames']} | "
            f"{clip['psnr_db']:.1f} | {vmaf} |"
        )
    names = list(result["clips"])
    lines += ["", f"| attack | back | 95 % interval | goal | {' | '.join(names)} |"]
    lines.append("|---" * (4 + len(names)) + "|")
    for name, of in result["attacks"].items():
        low, high = of["interval"]
        z = [
            "-"
            if clip not in of["z"]
            else f"*{of['told_z'].get(clip, math.nan):.1f}*"
            if clip in of["lost"]
            else f"{of['z'][clip]:.0f}"
            for clip in names
        ]
        back = f"{of['back']}/{of['clips']}"
        goal = f"{of['goal']:.0%}" + ("" if of["met"] else ", missed")
        lines.append(f"| {name} | {back} | {low:.2f}-{high:.2f} | {goal} | {' | '.join(z)} |")
    back = sum(of["back"] for of in result["attacks"].values())
    cells = sum(of["clips"] for of in result["attacks"].values())
    met = sum(of["met"] for of in result["attacks"].values())
    lines += [
        "",
        f"{back} of {cells} cells came back; the goal is met for {met} of "
        f"{len(result['attacks'])} attacks. A number is z; in italics, the payload was lost, "
        "and this is the z of a reader that is told geometry and payload.",
    ]
    return "\n".join(lines)


def main() -> None:
    """Run from the command line."""
    default = Path(__file__).resolve().parents[2] / "shared" / "clips"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=Path, default=default, help="a folder of mp4 recordings")
    parser.add_argument("--portraits", type=Path, help="a folder of photographs to move")
    parser.add_argument("--photographs", type=int, default=6, help="how many of them")
    parser.add_argument("--keep", type=Path, required=True, help="the CSV, a row a cell")
    known = "; ".join(ATTACKS).replace("%", "%%")  # argparse formats what it is told
    parser.add_argument(
        "--attack",
        action="append",
        choices=ATTACKS,
        metavar="NAME",
        help=f"only this; may be repeated. One of: {known}",
    )
    parser.add_argument("--clip", action="append", help="only these films, by name")
    parser.add_argument("--again", action="store_true", help="measure cells that are there already")
    parser.add_argument("--lost", action="store_true", help="measure again what did not come back")
    parser.add_argument("--report", action="store_true", help="measure nothing")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    os.environ.setdefault("SVT_LOG", "1")  # errors only: the AV1 encoder tells its settings else
    attacks = options.attack or list(ATTACKS)
    try:
        if not options.report:
            films = sources(options.clips, options.portraits, options.photographs)
            if unknown := set(options.clip or ()) - {film.name for film in films}:
                there = ", ".join(film.name for film in films)
                raise InputError(f"there is no film {min(unknown)}; there are {there}.")
            for film in films:
                if not options.clip or film.name in options.clip:
                    _go_on(film, _wanted(film, attacks), options)
        rows = rows_of(options.keep)
        if not rows:
            raise InputError(f"{options.keep} holds no cells yet; leave out --report.")
    except (InputError, OSError) as error:
        parser.error(str(error))
    result = report(rows.values())
    print(json.dumps(result, indent=2) if options.json else _told(result))


def _go_on(film: Source, attacks: Sequence[str], options: argparse.Namespace) -> None:
    """Measure the cells of a film that are wanted and write them down."""
    have = rows_of(options.keep)

    def due(attack: str) -> bool:
        row = have.get((film.name, attack))
        return row is None or options.again or (options.lost and row["whole"] == "0")

    wanted = [attack for attack in attacks if due(attack)]
    if not wanted:
        return
    with options.keep.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        if file.tell() == 0:
            writer.writeheader()
        for row in measure(film, wanted):
            writer.writerow(row)
            file.flush()
            told = f"whole {row['whole']}, z {row['z']}" if row["whole"] else f"VMAF {row['vmaf']}"
            print(f"{film.name}, {row['attack']}: {told}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
