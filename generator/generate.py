"""The public calls that make one clip: `generate` from a portrait, `generate_sitter` and
`sitter_still` from a seed.

What they return has been released: marked, signed, registered and checked.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

import obverse
from obverse.clip import Clip, lineage_id
from obverse.errors import ConfigError, RightsError
from obverse.generator.methods import method_named
from obverse.generator.motion import FPS, Motion
from obverse.generator.performance import PerformanceConfig, perform
from obverse.generator.portrait import PortraitConfig, read_portrait
from obverse.generator.release import (
    FILMS,
    RIGHTS,
    STILLS,
    release,
    release_still,
    require_place,
)
from obverse.generator.render import RenderConfig, Renderer
from obverse.generator.sitters.sitter import Sitter
from obverse.generator.speech import read_speech_features
from obverse.media.audio import read_speech
from obverse.media.container import require_file
from obverse.media.video import EncodeConfig
from obverse.provenance.identity import SigningIdentity
from obverse.provenance.registry import Registry
from obverse.weights import sha256_file

__all__ = ["SOUND_HZ", "TOOL", "Progress", "generate", "generate_sitter", "sitter_still"]

SOUND_HZ = 48_000  # of every clip's sound, whatever the source's
TOOL = f"obverse {obverse.__version__}"

Frame = npt.NDArray[np.uint8]
Progress = Callable[[int, int], None]  # frames done, frames in all


def generate(
    portrait: Path,
    speech: Path,
    destination: Path,
    *,
    rights: str,
    seed: int = 0,
    method: str = "talk",
    size: int = 512,
    face: int = 1,
    framing: Literal["head", "picture"] = "head",
    controls: PerformanceConfig | None = None,
    driving: Motion | None = None,
    encode: EncodeConfig | None = None,
    identity: SigningIdentity | None = None,
    registry: Registry | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Clip:
    """Make a still speak, and release the clip.

    Args:
        portrait: a picture (png, jpg, webp, ...) with a face in it.
        speech: a sound or video file; the clip lasts as long as it does.
        destination: an mp4 in a folder that exists.
        rights: under which the portrait is used: synthetic, public-domain or consented.
        seed: of the performance; another seed is another take.
        method: a name of `obverse.generator.methods.METHODS`.
        size: px of the frame's longer side, even.
        face: which face, 1 for the largest.
        framing: a square of head and shoulders, or the whole picture.
        controls: how it is performed.
        driving: a performance to follow, for the method `reenact`.
        encode: encoder settings.
        identity: who signs; None is this installation's development identity.
        registry: where the mark and the manifest are kept; None is the user's own.
        force: replace a destination that exists.
        progress: told after each frame.

    Returns:
        The clip as released; `warnings` say what could not be done well.

    Raises:
        RightsError: the rights are not among those allowed.
        OutputExistsError: the destination exists and `force` is not set.
        FaceError: the picture holds no face that can be moved.
        InputError: the portrait or the speech cannot be read.
        ObverseError: anything else that went wrong; nothing was written.
    """
    # What can be refused at once is refused before anything slow.
    if rights not in RIGHTS:
        raise RightsError(
            f"{rights!r} states no right to use {portrait}; state one of {', '.join(RIGHTS)}."
        )
    act = method_named(method)
    _require_seed("seed", seed)
    require_place(destination, FILMS, force=force)
    require_file(portrait)
    _require_other(destination, portrait, speech)
    if method == "reenact" and driving is None:
        raise ConfigError("the method reenact follows a performance; give one (--driving FILE).")
    config = RenderConfig(size=size)
    controls = controls or PerformanceConfig()
    heard = read_speech_features(speech)
    still = read_portrait(portrait, face=face, config=PortraitConfig(framing=framing))
    parents = {"portrait": still.source_sha256, "audio": sha256_file(speech)}
    settings: dict[str, Any] = dataclasses.asdict(controls) | {"framing": framing, "face": face}
    lineage = _lineage(parents, method, seed, settings, size, encode)
    if driving is not None:
        lineage["driving"] = [
            getattr(driving, field.name).tobytes().hex() for field in dataclasses.fields(driving)
        ]
    clip = Clip(
        id=lineage_id(lineage),
        path=str(destination),
        label="synthetic",
        kind="generated",
        method=method,
        parents=parents,
        fps=FPS,
        seed=seed,
        controls=settings,
        rights=rights,
        warnings=still.warnings,
        tool=TOOL,
    )
    frames = act(Renderer(still, config), heard, seed=seed, controls=controls, driving=driving)
    return release(
        _counted(frames, heard.frames, progress),
        clip,
        destination,
        audio=(read_speech(speech, SOUND_HZ), SOUND_HZ),
        inputs={"portrait": portrait, "audio": speech},
        identity=identity,
        registry=registry,
        encode=encode,
        force=force,
    )


def generate_sitter(
    seed: int,
    speech: Path,
    destination: Path,
    *,
    performance_seed: int = 0,
    size: int = 512,
    controls: PerformanceConfig | None = None,
    encode: EncodeConfig | None = None,
    identity: SigningIdentity | None = None,
    registry: Registry | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Clip:
    """Let a virtual person say something, rendered, and release the clip, which is a pristine one.

    Args:
        seed: who the sitter is.
        speech: a sound or video file; the clip lasts as long as it does.
        destination: an mp4 in a folder that exists.
        performance_seed: another one is another take by the same sitter.
        size: px of the square frame, even.
        controls: how it is performed.
        encode: encoder settings.
        identity: who signs; None is this installation's development identity.
        registry: where the mark and the manifest are kept; None is the user's own.
        force: replace a destination that exists.
        progress: told after each frame.

    Raises:
        The errors of `generate`, but for those of the portrait.
    """
    _require_seed("sitter's seed", seed)
    _require_seed("take", performance_seed)
    require_place(destination, FILMS, force=force)
    _require_other(destination, speech)
    config = RenderConfig(size=size)
    controls = controls or PerformanceConfig()
    heard = read_speech_features(speech)
    sitter = Sitter.from_seed(seed)
    parents = {"audio": sha256_file(speech)}
    lineage = _lineage(parents, None, performance_seed, dataclasses.asdict(controls), size, encode)
    clip = Clip(
        id=lineage_id(lineage | {"sitter": seed}),
        path=str(destination),
        label="pristine",
        kind="rendered",
        parents=parents,
        identity=f"sitter-{seed}",
        fps=FPS,
        seed=performance_seed,
        controls=dataclasses.asdict(controls),
        attributes=sitter.attributes,
        rights="synthetic",
        tool=TOOL,
    )
    motion = perform(heard, performance_seed, controls)
    frames = (frame.image for frame in sitter.perform(motion, size=config.size))
    return release(
        _counted(frames, len(motion), progress),
        clip,
        destination,
        audio=(read_speech(speech, SOUND_HZ), SOUND_HZ),
        inputs={"audio": speech},
        identity=identity,
        registry=registry,
        encode=encode,
        force=force,
    )


def sitter_still(
    seed: int,
    destination: Path,
    *,
    size: int = 512,
    identity: SigningIdentity | None = None,
    registry: Registry | None = None,
    force: bool = False,
) -> Clip:
    """Release a picture of a virtual person (png, jpg or webp), marked and signed.

    Raises:
        ConfigError: the size is not allowed.
        OutputExistsError: the destination exists and `force` is not set.
        ObverseError: anything else that went wrong; nothing was written.
    """
    _require_seed("sitter's seed", seed)
    require_place(destination, STILLS, force=force)
    config = RenderConfig(size=size)
    sitter = Sitter.from_seed(seed)
    clip = Clip(
        id=lineage_id({"sitter": seed, "still": size, "tool": TOOL}),
        path=str(destination),
        label="pristine",
        kind="rendered",
        identity=f"sitter-{seed}",
        seed=seed,
        attributes=sitter.attributes,
        rights="synthetic",
        tool=TOOL,
    )
    return release_still(
        sitter.still(config.size),
        clip,
        destination,
        identity=identity,
        registry=registry,
        force=force,
    )


def _require_seed(what: str, seed: int) -> None:
    if seed < 0:
        raise ConfigError(f"the {what} is {seed}; it must be a whole number from 0.")


def _require_other(destination: Path, *sources: Path) -> None:
    """Refuse to write a clip over what it is made from, force or not: its manifest names it."""
    for source in sources:
        if destination.exists() and source.exists() and destination.samefile(source):
            raise ConfigError(f"{destination} is an input of the clip; write to another file.")


def _lineage(
    parents: Mapping[str, str],
    method: str | None,
    seed: int,
    controls: Mapping[str, Any],
    size: int,
    encode: EncodeConfig | None,
) -> dict[str, Any]:
    return {
        **parents,
        "method": method,
        "seed": seed,
        "controls": dict(controls),
        "size": size,
        "encode": dataclasses.asdict(encode or EncodeConfig()),
        "tool": TOOL,
    }


def _counted(frames: Iterable[Frame], total: int, progress: Progress | None) -> Iterator[Frame]:
    for done, frame in enumerate(frames, 1):
        yield frame
        if progress is not None:
            progress(done, total)
