"""`obverse doctor`: what this machine lacks, and how to mend it."""

import dataclasses
import datetime
import importlib.metadata
import importlib.resources
import json
import os
import platform
import re
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import click
import yaml
from packaging.requirements import Requirement

from obverse.errors import ObverseError
from obverse.provenance.home import HOME_VARIABLE, data_directory
from obverse.weights import sha256_file

__all__ = ["Check", "doctor", "examine"]

State = Literal["ok", "note", "wrong"]

_DISTRIBUTION = "obverse"
_OLDEST_PYTHON = (3, 11)
_ENCODERS = ("libx264", "aac")  # what every released clip is written with
_DECODERS = ("h264", "hevc", "vp9", "av1", "mjpeg", "aac", "mp3", "opus", "flac")
_ROOMS_WITH_WEIGHTS = ("obverse.faces", "obverse.generator.sitters")  # nothing works without these
_SPARE_BYTES = 2 << 30  # a small corpus and its scratch files
_REINSTALL = "pip install --force-reinstall obverse"
_BROKEN_IMPORT = (ImportError, OSError, RuntimeError, AttributeError)


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: State  # ok; note: works, with something to know; wrong: something will not work
    detail: str
    mend: str = ""  # what to do about it; empty where nothing need be done


def _python() -> Iterator[Check]:
    version = platform.python_version()
    where = f"{version} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    if sys.version_info < _OLDEST_PYTHON:
        yield Check("python", "wrong", where, "install Python 3.11 or newer")
    else:
        yield Check("python", "ok", where)


def _requirements() -> list[Requirement]:
    """Return what the installed distribution requires on this machine, extras left out."""
    stated = importlib.metadata.requires(_DISTRIBUTION) or []
    parsed = [Requirement(text) for text in stated]
    return [each for each in parsed if each.marker is None or each.marker.evaluate({"extra": ""})]


def _packages() -> Iterator[Check]:
    try:
        requirements = _requirements()
    except importlib.metadata.PackageNotFoundError:
        yield Check("packages", "wrong", "obverse is not installed", "pip install obverse")
        return
    for requirement in sorted(requirements, key=lambda each: each.name.lower()):
        name = requirement.name
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield Check(f"package {name}", "wrong", "absent", f"pip install '{requirement}'")
            continue
        if requirement.specifier.contains(version, prereleases=True):
            yield Check(f"package {name}", "ok", version)
        else:
            detail = f"{version}, which is not {requirement.specifier}"
            yield Check(f"package {name}", "wrong", detail, f"pip install '{requirement}'")
    yield from _opencv_twins()


def _opencv_twins() -> Iterator[Check]:
    """Several OpenCV distributions write into one folder; the last one installed wins."""
    present = [
        each.metadata["Name"]
        for each in importlib.metadata.distributions()
        if re.fullmatch(r"opencv(-contrib)?-python(-headless)?", each.metadata["Name"] or "")
    ]
    others = sorted({name for name in present if name != "opencv-python-headless"})
    if others:
        wanted = "opencv-python-headless"
        mend = f"pip uninstall {' '.join(others)}; pip install --force-reinstall {wanted}"
        detail = f"{', '.join(others)} is installed over {wanted}"
        yield Check("opencv", "note", detail, mend)


def _codecs() -> Iterator[Check]:
    mend = "pip install --force-reinstall --only-binary :all: av"
    try:
        import av
        from av.codec import Codec
    except _BROKEN_IMPORT as error:
        yield Check("codecs", "wrong", f"PyAV cannot be imported ({error})", mend)
        return

    def lacking(names: tuple[str, ...], mode: Literal["r", "w"]) -> list[str]:
        missing = []
        for name in names:
            try:
                Codec(name, mode)
            except ValueError:  # what PyAV's UnknownCodecError is
                missing.append(name)
        return missing

    encoders = lacking(_ENCODERS, "w")
    if encoders:
        detail = f"PyAV {av.__version__} cannot write {', '.join(encoders)}"
        yield Check("encoders", "wrong", detail, mend)
    else:
        yield Check("encoders", "ok", f"{', '.join(_ENCODERS)} in PyAV {av.__version__}")
    decoders = lacking(_DECODERS, "r")
    if decoders:
        yield Check("decoders", "note", f"cannot read {', '.join(decoders)}", mend)
    else:
        yield Check("decoders", "ok", ", ".join(_DECODERS))


def _cards() -> Iterator[tuple[str, Path]]:
    """Yield (room, card) for every card that is installed; the links of a checkout are followed."""
    root = Path(str(importlib.resources.files("obverse")))
    for part in sorted(path for path in root.iterdir() if path.is_dir()):
        real = part.resolve()
        for card in sorted(real.rglob("weights/*.card.yaml")):
            inner = card.parent.parent.relative_to(real).parts
            yield ".".join(("obverse", part.name, *inner)), card


def _weights() -> Iterator[Check]:
    mend = f"{_REINSTALL}, or make weights in a checkout"
    seen: dict[str, list[str]] = {room: [] for room in _ROOMS_WITH_WEIGHTS}
    for room, path in _cards():
        good = seen.setdefault(room, [])
        try:
            card = yaml.safe_load(path.read_text(encoding="utf-8"))
            name, digest = str(card["file"]), str(card["sha256"])
            actual = sha256_file(path.parent / name)
        except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
            detail = f"{path.name}: {type(error).__name__}: {error}".splitlines()[0]
            yield Check(f"weights {room}", "wrong", detail, mend)
            continue
        if actual == digest:
            good.append(name)
        else:
            detail = f"{name} is not the file on its card"
            yield Check(f"weights {room}", "wrong", detail, mend)
    for room, names in seen.items():
        if names:
            yield Check(f"weights {room}", "ok", f"{', '.join(names)}: as on their cards")
        elif room in _ROOMS_WITH_WEIGHTS:
            yield Check(f"weights {room}", "wrong", "absent", mend)


def _onnx_runtime() -> Iterator[Check]:
    try:
        import onnxruntime

        providers = onnxruntime.get_available_providers()
    except _BROKEN_IMPORT as error:
        detail = f"ONNX Runtime cannot be imported ({error})"
        yield Check("onnx runtime", "wrong", detail, "pip install --force-reinstall onnxruntime")
        return
    if "CPUExecutionProvider" in providers:
        yield Check("onnx runtime", "ok", f"{onnxruntime.__version__}: {', '.join(providers)}")
    else:
        detail = f"{onnxruntime.__version__} has no CPU provider: {', '.join(providers)}"
        yield Check("onnx runtime", "wrong", detail, "pip install --force-reinstall onnxruntime")


def _gpu() -> Iterator[Check]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # torch warns of drivers it cannot use; the answer says so
            import torch

            names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
            metal = torch.backends.mps.is_available()
    except _BROKEN_IMPORT as error:
        detail = f"torch cannot be imported ({error})"
        yield Check("gpu", "wrong", detail, "pip install --force-reinstall torch torchvision")
        return
    if names:
        yield Check("gpu", "ok", ", ".join(names))
    elif metal:
        yield Check("gpu", "ok", "Apple Metal")
    else:
        yield Check("gpu", "ok", "none: everything runs on the CPU, training slowly")


def _home() -> Iterator[Check]:
    mend = f"set {HOME_VARIABLE} to a folder that you may write to"
    try:
        folder = data_directory()
        with tempfile.TemporaryFile(dir=folder):
            pass
    except ObverseError as error:
        yield Check("data directory", "wrong", str(error), mend)
        return
    except OSError as error:
        yield Check("data directory", "wrong", f"{folder}: {error.strerror}", mend)
        return
    free = shutil.disk_usage(folder).free
    if free < _SPARE_BYTES:
        detail = f"{folder}: only {free / 2**30:.1f} GiB free"
        yield Check("data directory", "note", detail, "make room, or " + mend)
    else:
        yield Check("data directory", "ok", f"{folder}: writable, {free / 2**30:.0f} GiB free")
    yield from _identity(folder)


def _identity(home: Path) -> Iterator[Check]:
    folder = home / "identity"
    mend = f"remove {folder}; the next release makes a new identity"
    if not folder.is_dir():
        detail = "none yet: a development identity is made at the first release"
        yield Check("signing identity", "ok", detail)
        return
    try:
        from cryptography import x509

        leaf = x509.load_pem_x509_certificate((folder / "leaf.pem").read_bytes())
        mode = (folder / "leaf.key").stat().st_mode & 0o777
    except (*_BROKEN_IMPORT, ValueError) as error:
        detail = f"{folder} cannot be read ({error})"
        yield Check("signing identity", "wrong", detail, mend)
        return
    ends = leaf.not_valid_after_utc
    name = leaf.subject.rfc4514_string()
    if ends <= datetime.datetime.now(datetime.UTC):
        yield Check("signing identity", "wrong", f"{name} expired on {ends:%Y-%m-%d}", mend)
    elif os.name == "posix" and mode & 0o077:
        detail = f"others may read {folder / 'leaf.key'} (mode {mode:o})"
        yield Check("signing identity", "wrong", detail, f"chmod 600 {folder / 'leaf.key'}")
    else:
        yield Check("signing identity", "ok", f"{name}, until {ends:%Y-%m-%d}")


def _c2pa() -> Iterator[Check]:
    try:
        import c2pa

        yield Check("c2pa", "ok", f"native library {c2pa.sdk_version()}")
    except _BROKEN_IMPORT as error:
        detail = f"c2pa-python cannot be loaded ({error})"
        yield Check("c2pa", "wrong", detail, "pip install --force-reinstall c2pa-python")


_EXAMINATIONS: tuple[Callable[[], Iterator[Check]], ...] = (
    _python,
    _packages,
    _codecs,
    _c2pa,
    _onnx_runtime,
    _gpu,
    _weights,
    _home,
)


def examine() -> list[Check]:
    """Look at everything and return what was found; nothing is changed or fetched."""
    return [check for examination in _EXAMINATIONS for check in examination()]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(as_json: bool) -> None:
    """Say what this machine lacks, and how to mend it.

    Looks at Python, the packages and their versions, the codecs, the weights and their checksums,
    the GPU, the data directory and the signing identity. Nothing is changed or fetched.

    Exit codes: 0 all is well; 1 something will not work.

    \b
    Example:
      obverse doctor
      obverse doctor --json
    """
    checks = examine()
    wrong = [check for check in checks if check.state == "wrong"]
    if as_json:
        found = {"ok": not wrong, "checks": [dataclasses.asdict(check) for check in checks]}
        click.echo(json.dumps(found, indent=2))
    else:
        for check in checks:
            click.echo(f"{check.state:<6} {check.name}: {check.detail}")
            if check.mend:
                click.echo(f"{'':<6} -> {check.mend}")
        found_text = f"{len(wrong)} of {len(checks)} need mending" if wrong else "all is well"
        click.echo(found_text, err=True)
    sys.exit(1 if wrong else 0)
