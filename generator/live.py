"""`live`: a portrait that speaks while somebody does, from a file played in real time or from a
microphone's samples.
"""

import dataclasses
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from obverse.clip import Clip
from obverse.errors import ConfigError, InputError, RightsError
from obverse.generator.broadcast import LiveConfig, LiveShow, broadcast, pieces_of
from obverse.generator.generate import SOUND_HZ, TOOL, read_followed
from obverse.generator.motion import FPS, Motion
from obverse.generator.performance import PerformanceConfig
from obverse.generator.portrait import PortraitConfig, read_portrait
from obverse.generator.release import RIGHTS
from obverse.generator.render import RenderConfig, Renderer
from obverse.generator.show_folder import require_folder
from obverse.generator.speech import RATE_HZ
from obverse.generator.stream import TalkingStream, performer_for, take_of, warm_up
from obverse.media.audio import read_speech
from obverse.media.container import require_file
from obverse.media.video import EncodeConfig
from obverse.provenance.identity import SigningIdentity
from obverse.weights import sha256_file

__all__ = ["live", "spoken_into"]

Samples = npt.NDArray[np.float32]

_BYTES = 2 * RATE_HZ // 50  # 20 ms of s16le


def live(
    portrait: Path,
    speech: Path | BinaryIO,
    folder: Path,
    *,
    rights: str,
    seed: int = 0,
    size: int = 512,
    face: int = 1,
    framing: Literal["head", "picture"] = "head",
    controls: PerformanceConfig | None = None,
    pose: Motion | Path | None = None,
    expression: Motion | Path | None = None,
    refine: bool | None = None,
    config: LiveConfig | None = None,
    encode: EncodeConfig | None = None,
    identity: SigningIdentity | None = None,
    force: bool = False,
    on_segment: Callable[[Clip], None] | None = None,
) -> LiveShow:
    """Let a portrait speak live, and release what it shows in segments.

    Args:
        portrait: a picture with a face in it.
        speech: a sound or video file, or raw 16 kHz mono s16le samples as they come.
        folder: where the segments, their playlist and their index go.
        rights: under which the portrait is used.
        seed: of the performance.
        size: px of the frame's longer side, even.
        face: which face, 1 for the largest.
        framing: a square of head and shoulders, or the whole picture.
        controls: how it is performed; the model must be one that streams.
        pose: whose head is followed: a `Motion`, or a file with one.
        expression: whose face is followed.
        refine: whether the refiner repaints the open mouth; None is `RenderConfig`'s choice.
        config: how it is cut and paced.
        encode: encoder settings.
        identity: who signs; None is this installation's development identity.
        force: replace a performance that is in the folder.
        on_segment: told of each clip once its file is there.

    Raises:
        RightsError: the rights are not among those allowed.
        ConfigError: a setting is not allowed.
        OutputExistsError: the folder holds a performance already and `force` is not set.
        FaceError: the picture holds no face that can be moved.
        InputError: the portrait or the speech cannot be read.
        ObverseError: anything else; segments released before it remain.
    """
    if rights not in RIGHTS:
        raise RightsError(
            f"{rights!r} states no right to use {portrait}; state one of {', '.join(RIGHTS)}."
        )
    given = {"portrait": portrait, "audio": speech, "pose": pose, "expression": expression}
    files = {role: path for role, path in given.items() if isinstance(path, Path)}
    require_folder(folder, files, force=force)
    if seed < 0:
        raise ConfigError(f"the seed is {seed}; it must be a whole number from 0.")
    controls = controls or PerformanceConfig(model="flow")
    performer_for(controls, seed)  # whether there is one is said before the slow part
    render = RenderConfig(size=size) if refine is None else RenderConfig(size=size, refine=refine)
    require_file(portrait)
    inputs = {"portrait": portrait}
    if isinstance(speech, Path):
        heard, filmed = read_speech(speech, RATE_HZ), read_speech(speech, SOUND_HZ)
        pieces, sound_hz = pieces_of(heard, filmed, SOUND_HZ), SOUND_HZ
        inputs["audio"] = speech
        lineage: dict[str, Any] = {"audio": sha256_file(speech)}
    else:
        pieces, sound_hz = spoken_into(speech), RATE_HZ
        lineage = {"session": uuid.uuid4().hex}  # nobody knows yet what will be said
    followed = {"pose": pose, "expression": expression}
    motions, doubts = read_followed(followed)
    inputs |= {role: path for role, path in followed.items() if isinstance(path, Path)}
    still = read_portrait(portrait, face=face, config=PortraitConfig(framing=framing))
    parents = {role: sha256_file(path) for role, path in inputs.items()}
    parents["portrait"] = still.source_sha256
    settings = controls.to_dict() | {
        "framing": framing,
        "face": face,
        "refine": render.refine,
    }
    clip = Clip(
        id="0" * 32,  # each segment has its own
        path="",
        label="synthetic",
        kind="generated",
        method="talk",
        parents=parents,
        fps=FPS,
        seed=seed,
        controls=settings,
        rights=rights,
        warnings=still.warnings + doubts,
        tool=TOOL,
    )
    lineage |= {
        **parents,
        "live": True,
        "seed": seed,
        "controls": settings,
        "size": size,
        "encode": dataclasses.asdict(encode or EncodeConfig()),
        "tool": TOOL,
    }
    performer = performer_for(controls, take_of(still, seed))
    renderer = Renderer(still, render)
    warm_up(renderer, controls, seed)
    with TalkingStream(
        renderer,
        performer,
        controls,
        pose=motions.get("pose"),
        expression=motions.get("expression"),
    ) as talking:
        return broadcast(
            talking,
            pieces,
            sound_hz,
            clip,
            folder,
            lineage=lineage,
            inputs=inputs,
            config=config,
            identity=identity,
            encode=encode,
            force=force,
            on_segment=on_segment,
        )


def spoken_into(source: BinaryIO) -> Iterator[tuple[Samples, Samples]]:
    """Yield raw 16 kHz mono s16le samples as they are read, twice: to be heard and for the film.

    Raises:
        InputError: the source cannot be read.
    """
    left = b""
    while True:
        try:
            # What is there, rather than a whole block: a microphone is not waited for.
            read = getattr(source, "read1", source.read)
            data = read(_BYTES)
        except OSError as error:
            raise InputError(f"the microphone cannot be read: {error.strerror}.") from error
        if not data:
            return
        data = left + data
        whole = len(data) // 2 * 2
        left = data[whole:]
        samples = np.frombuffer(data[:whole], "<i2").astype(np.float32) / 32768.0
        if len(samples):
            yield samples, samples
