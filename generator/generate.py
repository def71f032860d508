"""The public calls that make one clip: `generate` from a portrait, `generate_sitter` and
`sitter_still` from a seed.

What they return has been released: marked, signed, registered and checked.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

import obverse
from obverse.clip import Clip, lineage_id
from obverse.errors import ConfigError, RightsError
from obverse.generator.methods import NEEDS, method_named
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
from obverse.generator.speech import Speech, read_speech_features
from obverse.generator.video_motion import read_motion
from obverse.media.audio import read_speech
from obverse.media.container import require_file
from obverse.media.video import EncodeConfig
from obverse.provenance.identity import SigningIdentity
from obverse.provenance.registry import Registry
from obverse.weights import sha256_file

__all__ = [
    "SOUND_HZ",
    "TOOL",
    "Progress",
    "generate",
    "generate_sitter",
    "read_followed",
    "sitter_still",
]

SOUND_HZ = 48_000  # of every clip's sound, whatever the source's
TOOL = f"obverse {obverse.__version__}"

_NEAREST, _FARTHEST = 0.85, 1.1  # beyond these distances one sees that the head alone moves

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
    driving: Motion | Path | None = None,
    pose: Motion | Path | None = None,
    expression: Motion | Path | None = None,
    refine: bool | None = None,
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
        driving: a performance to follow, for the method `reenact`; here and below a `Motion`, or a
            file with one: an `.npz` (`Motion.save`) or a video of somebody.
        pose: whose head is followed in place of the performer's own.
        expression: whose face is followed, but for what the speech does to the mouth.
        refine: whether the refiner repaints the open mouth; None is `RenderConfig`'s choice.
        encode: encoder settings.
        identity: who signs; None is this installation's development identity.
        registry: where the mark and the manifest are kept; None is the user's own.
        force: replace a destination that exists.
        progress: told after each frame.

    Returns:
        The clip as released; `warnings` say what could not be done well.

    Raises:
        RightsError: the rights are not among those allowed.
        ConfigError: a setting is not allowed, or belongs to another method.
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
    followed = {"driving": driving, "pose": pose, "expression": expression}
    sources = {role: given for role, given in followed.items() if isinstance(given, Path)}
    _require_other(destination, portrait, speech, *sources.values())
    controls = controls or PerformanceConfig()
    _require_fitting(method, controls, driving is not None)
    config = RenderConfig(size=size) if refine is None else RenderConfig(size=size, refine=refine)
    heard = read_speech_features(speech)
    still = read_portrait(portrait, face=face, config=PortraitConfig(framing=framing))
    motions, doubts = read_followed(followed)
    parents = {"portrait": still.source_sha256, "audio": sha256_file(speech)}
    parents |= {role: sha256_file(path) for role, path in sources.items()}
    settings: dict[str, Any] = controls.to_dict() | {
        "framing": framing,
        "face": face,
        "refine": config.refine,
    }
    lineage = _lineage(parents, method, seed, settings, size, encode)
    lineage |= {role: _digest(motion) for role, motion in motions.items() if role not in sources}
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
        warnings=still.warnings + doubts + _cautions(controls) + _silent(heard),
        tool=TOOL,
    )
    frames = act(
        Renderer(still, config),
        heard,
        seed=seed,
        controls=controls,
        driving=motions.get("driving"),
        pose=motions.get("pose"),
        expression=motions.get("expression"),
    )
    return release(
        _counted(frames, heard.frames, progress),
        clip,
        destination,
        audio=(read_speech(speech, SOUND_HZ), SOUND_HZ),
        inputs={"portrait": portrait, "audio": speech, **sources},
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
    pose: Motion | Path | None = None,
    expression: Motion | Path | None = None,
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
        pose: whose head is followed, as in `generate`.
        expression: whose face is followed.
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
    followed = {"pose": pose, "expression": expression}
    sources = {role: given for role, given in followed.items() if isinstance(given, Path)}
    _require_other(destination, speech, *sources.values())
    config = RenderConfig(size=size)
    controls = controls or PerformanceConfig()
    heard = read_speech_features(speech)
    sitter = Sitter.from_seed(seed)
    motions, doubts = read_followed(followed)
    parents = {"audio": sha256_file(speech)}
    parents |= {role: sha256_file(path) for role, path in sources.items()}
    lineage = _lineage(parents, None, performance_seed, controls.to_dict(), size, encode)
    lineage |= {role: _digest(motion) for role, motion in motions.items() if role not in sources}
    clip = Clip(
        id=lineage_id(lineage | {"sitter": seed}),
        path=str(destination),
        label="pristine",
        kind="rendered",
        parents=parents,
        identity=f"sitter-{seed}",
        fps=FPS,
        seed=performance_seed,
        controls=controls.to_dict(),
        attributes=sitter.attributes,
        rights="synthetic",
        warnings=doubts,
        tool=TOOL,
    )
    motion = perform(
        heard,
        performance_seed,
        controls,
        pose=motions.get("pose"),
        expression=motions.get("expression"),
    )
    frames = (frame.image for frame in sitter.perform(motion, size=config.size))
    return release(
        _counted(frames, len(motion), progress),
        clip,
        destination,
        audio=(read_speech(speech, SOUND_HZ), SOUND_HZ),
        inputs={"audio": speech, **sources},
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


def _require_fitting(method: str, controls: PerformanceConfig, driven: bool) -> None:
    """Refuse what a method would not heed, and methods that need more than a portrait."""
    if NEEDS[method].footage:
        raise ConfigError(
            f"the method {method} edits a film, and here a still is made to speak; choose talk or "
            f"reenact, or make films and their edits with 'obverse corpus --methods {method}'."
        )
    if method == "reenact" and not driven:
        raise ConfigError("the method reenact follows a performance; give one (--driving FILE).")
    if method == "reenact" and controls != PerformanceConfig():
        raise ConfigError(
            "the method reenact performs as its driving performance does; give controls to the "
            "method talk."
        )
    if method == "talk" and driven:
        raise ConfigError(
            "the method talk follows no driving performance; choose the method reenact, or give a "
            "pose or an expression to follow."
        )


def read_followed(
    followed: Mapping[str, Motion | Path | None],
) -> tuple[dict[str, Motion], tuple[str, ...]]:
    """Return the motions to follow, by role, and what makes them doubtful.

    Raises:
        InputError: a file cannot be read, or shows nobody.
    """
    motions: dict[str, Motion] = {}
    doubts: list[str] = []
    for role, given in followed.items():
        if isinstance(given, Motion):
            motions[role] = given
        elif given is not None and given.suffix.lower() == ".npz":
            motions[role] = Motion.load(given)
        elif given is not None:
            read = read_motion(given)
            motions[role] = read.motion
            doubts += [f"{role}: {doubt}" for doubt in read.quality.doubts()]
    return motions, tuple(doubts)


def _cautions(controls: PerformanceConfig) -> tuple[str, ...]:
    """Return what is asked for and cannot be done well."""
    asked = dict(controls.timeline).get("distance", ((0.0, controls.distance),))
    least, most = (pick(value for _, value in asked) for pick in (min, max))
    if least >= _NEAREST and most <= _FARTHEST:
        return ()
    asked_for = " and ".join(
        f"{value:g}" for value in dict.fromkeys((least, most)) if not _NEAREST <= value <= _FARTHEST
    )
    return (f"distance {asked_for}: what comes into the picture at its borders is guessed",)


def _silent(heard: Speech) -> tuple[str, ...]:
    """Return a caution where there is nothing to be said."""
    if (heard.activity > 0.5).any():
        return ()
    return ("no voice is heard in the speech: the mouth stays at rest",)


def _digest(motion: Motion) -> str:
    """Return the sha256 of a performance that came without a file."""
    digest = hashlib.sha256()
    for field in dataclasses.fields(motion):
        digest.update(np.ascontiguousarray(getattr(motion, field.name)).tobytes())
    return digest.hexdigest()


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
