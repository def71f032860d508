"""The C2PA manifest of a clip: what it says, and how it is bound to the file.

The manifest follows version 2.4 of the C2PA specification. It states how the clip came to be
(actions and the digital source type), what went in (ingredients), which mark was embedded (soft
binding), what the clip may be used for (training and mining, rights), and the clip's own label row
(`org.obverse.clip`).
"""

import base64
import dataclasses
import datetime
import io
import json
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import c2pa

import obverse
from obverse.clip import Clip
from obverse.errors import ProvenanceError
from obverse.provenance.identity import SigningIdentity
from obverse.provenance.mediatype import UNKNOWN, media_type
from obverse.provenance.pem import require_in_force
from obverse.weights import sha256_file

__all__ = [
    "CLIP_LABEL",
    "FINGERPRINT_ALGORITHM",
    "MARK_ALGORITHM",
    "PARENT_ROLES",
    "SOFT_BINDING_LABEL",
    "Signed",
    "build_manifest",
    "digital_source_type",
    "sign",
    "signer_of",
]

# The specification takes soft-binding names from the C2PA algorithm list, whose entries are
# reverse-domain names with the algorithm's version. Ours are not on that list yet; they are named
# as entries would be.
MARK_ALGORITHM = "org.obverse.mark.2"
FINGERPRINT_ALGORITHM = "org.obverse.fingerprint.1"
CLIP_LABEL = "org.obverse.clip"

# An input in one of these roles is what the clip was before: opened, not merely used.
PARENT_ROLES = ("source",)

SOFT_BINDING_LABEL = "c2pa.soft-binding"
_SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_ROLE_MEANINGS = {
    "portrait": "the still whose face was animated",
    "audio": "the speech that is heard",
    "driving": "the performance that drove the face",
    "pose": "the performance whose head motion was followed",
    "expression": "the performance whose expression was followed",
    "film": "the film whose face was edited",
    "source": "the recording that this clip was encoded from",
    "twin": "the pristine clip of the same identity and speech",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Signed:
    """A manifest as it was written."""

    id: str  # the manifest's label, urn:c2pa:...
    data: bytes  # the C2PA manifest store, to be kept in the registry


def digital_source_type(clip: Clip) -> str | None:
    """Return the IPTC term that is true of a clip that was created here; None for one that was not.

    A synthetic clip is `trainedAlgorithmicMedia`, as law and C2PA's guidance ask of AI output. A
    rendered sitter is `algorithmicMedia`: software makes the whole picture from shapes, materials
    and a seed. No camera saw it, so `digitalCapture` and `virtualRecording` (a recording of a live
    virtual event) would be false; no person drew it, so `digitalCreation` would be too; and no
    trained model paints its pixels. Of a camera clip we know only that we encoded it: how it was
    captured is for its source's own manifest to say.
    """
    if clip.label == "synthetic":
        return _SOURCE_TYPES + "trainedAlgorithmicMedia"
    if clip.kind == "rendered":
        return _SOURCE_TYPES + "algorithmicMedia"
    return None


def build_manifest(
    clip: Clip,
    inputs: Mapping[str, Path] | None = None,
    *,
    when: datetime.datetime | None = None,
    fingerprint: bytes | None = None,
) -> dict[str, Any]:
    """Return a clip's manifest definition, ready for C2PA's builder.

    Args:
        clip: what is known of the clip; `clip.mark` is the embedded payload, or None where there is
            no mark.
        inputs: the files that went in, by role (portrait, audio, driving, source). A camera clip
            needs its `source`.
        when: the time of creation; now, if None.
        fingerprint: what the clip shows (`obverse.watermark.fingerprint`), a second soft binding:
            it tells whether a recovered manifest belongs to the content that led to it.

    Raises:
        ProvenanceError: a camera clip comes without its source, or an input cannot be read.
    """
    inputs = dict(inputs or {})
    moment = (when or datetime.datetime.now(datetime.UTC)).astimezone(datetime.UTC)
    agent = {"name": "obverse", "version": obverse.__version__}
    hashes = {role: _hash(role, path) for role, path in inputs.items()}
    assertions = [
        (
            "c2pa.actions.v2",
            {"actions": _actions(clip, inputs, moment, agent), "allActionsIncluded": True},
        ),
        ("cawg.training-mining", _TRAINING),
        ("cawg.metadata", _metadata(clip, moment)),
        (CLIP_LABEL, _label(clip, hashes)),
    ]
    if clip.mark is not None:
        value = bytes.fromhex(str(clip.mark))
        name = "obverse mark, 64-bit payload"
        assertions.append((SOFT_BINDING_LABEL, _soft_binding(clip, MARK_ALGORITHM, name, value)))
    if fingerprint is not None:
        name = "obverse fingerprint, 64 bits a second"
        binding = _soft_binding(clip, FINGERPRINT_ALGORITHM, name, fingerprint)
        assertions.append((SOFT_BINDING_LABEL, binding))
    if clip.label == "synthetic":
        assertions.append(("c2pa.ai-disclosure", _disclosure(clip)))
    return {
        "claim_version": 2,
        "claim_generator_info": [agent],
        "title": clip.id,
        "instance_id": f"xmp:iid:{uuid.uuid4()}",
        "assertions": [
            {"label": label, "data": data, "created": True}
            # CAWG's metadata is JSON-LD and is stored as JSON; everything else is CBOR.
            | ({"kind": "Json"} if label == "cawg.metadata" else {})
            for label, data in assertions
        ],
        "ingredients": [],
        "_ingredients": [_ingredient(role, path, hashes[role]) for role, path in inputs.items()],
    }


# What the makers of a clip allow others to do with it. The clips exist to train and test detectors,
# so analysis and training of models that do not generate are allowed; a face of somebody's, or one
# made to be told from real ones, shall not teach another generator.
_TRAINING = {
    "entries": {
        "cawg.ai_generative_training": {"use": "notAllowed"},
        "cawg.ai_inference": {"use": "allowed"},
        "cawg.ai_training": {"use": "allowed"},
        "cawg.data_mining": {"use": "allowed"},
    }
}


def _actions(
    clip: Clip, inputs: Mapping[str, Path], moment: datetime.datetime, agent: dict[str, str]
) -> list[dict[str, Any]]:
    when = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    stamp: dict[str, Any] = {"when": when, "softwareAgent": agent}
    source_type = digital_source_type(clip)
    parents = [role for role in inputs if role in PARENT_ROLES]
    laid_over = _is_laid_over(clip)
    heard = [role for role in inputs if role == "audio"] if laid_over else []
    used = [role for role in inputs if role not in PARENT_ROLES and role not in heard]
    if source_type is None:
        if not parents:
            raise ProvenanceError(
                f"clip {clip.id} was recorded by a camera; "
                "its manifest needs the recording as the input 'source'."
            )
        actions = [
            {"action": "c2pa.opened", "parameters": {"ingredientIds": parents[:1]}, **stamp},
            {"action": "c2pa.transcoded", "parameters": {"ingredientIds": parents[:1]}, **stamp},
        ]
    else:
        created: dict[str, Any] = {
            "action": "c2pa.created",
            "digitalSourceType": source_type,
            **stamp,
        }
        if used:
            created["parameters"] = {"ingredientIds": used}
        actions = [created]
    if laid_over:
        dubbed: dict[str, Any] = {
            "action": "c2pa.dubbed",  # any change of a film's sound
            "description": "The film's sound was replaced by another.",
            **stamp,
        }
        if heard:
            dubbed["parameters"] = {"ingredientIds": heard}
        actions.append(dubbed)
    if clip.mark is not None:
        actions.append({"action": "c2pa.watermarked.bound", **stamp})
    return actions


def _is_laid_over(clip: Clip) -> bool:
    """Whether another sound was laid over a pristine picture."""
    return (clip.label, clip.sound) == ("pristine", "synthetic")


def _soft_binding(clip: Clip, algorithm: str, name: str, value: bytes) -> dict[str, Any]:
    milliseconds = round(1000 * clip.seconds)
    scope = {"timespan": {"start": 0, "end": milliseconds}} if milliseconds else {}
    return {
        "alg": algorithm,
        "name": name,
        # The schema wants a byte string; C2PA's library reads and writes it as base64 text, and so
        # do its users. `pad` is left out: through the library it would become a list of numbers.
        "blocks": [{"scope": scope, "value": base64.b64encode(value).decode()}],
    }


def _disclosure(clip: Clip) -> dict[str, Any]:
    method = clip.method or "generator"
    return {
        "modelType": "c2pa.types.model",
        "modelName": f"obverse {method}",
        "modelIdentifier": f"urn:obverse:method:{method}:{obverse.__version__}",
        # A person chose the inputs and the controls; nobody approved the picture before it was
        # released.
        "contentProfile": {"humanOversightLevel": "prompt_guided"},
    }


def _metadata(clip: Clip, moment: datetime.datetime) -> dict[str, Any]:
    kinds = {"synthetic": "Synthetic talking head", "pristine": "Pristine talking head"}
    heard = ", with another sound" if _is_laid_over(clip) else ""
    words: dict[str, Any] = {
        "@context": {
            "dc": "http://purl.org/dc/elements/1.1/",
            "xmp": "http://ns.adobe.com/xap/1.0/",
            "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
        },
        "dc:description": f"{kinds[clip.label]}, {clip.kind}{heard}.",
        "dc:identifier": clip.id,
        "xmp:CreateDate": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    if clip.rights is not None:
        words["dc:rights"] = clip.rights
    source_type = digital_source_type(clip)
    if source_type is not None:
        words["Iptc4xmpExt:DigitalSourceType"] = source_type
    return words


def _label(clip: Clip, hashes: Mapping[str, str]) -> dict[str, Any]:
    """Return the clip's row, without what changes after signing or names a place on a disk."""
    row: dict[str, Any] = {
        "version": 1,
        "id": clip.id,
        "label": clip.label,
        "sound": clip.sound,
        "kind": clip.kind,
        "method": clip.method,
        "seed": clip.seed,
        "controls": dict(clip.controls),
        "parents": dict(clip.parents),
        "inputs": dict(hashes),  # role: sha256 of the file's bytes
        "identity": clip.identity,
        "speaker": clip.speaker,
        "mark": clip.mark,
        "fps": clip.fps,
        "frames": clip.frames,
        "width": clip.width,
        "height": clip.height,
        "encoder": dict(clip.encoder),
        "fake_segments": [list(segment) for segment in clip.fake_segments],
        "sound_segments": [list(segment) for segment in clip.sound_segments] or None,
        "attributes": dict(clip.attributes),
        "rights": clip.rights,
        "warnings": list(clip.warnings),
        "tool": clip.tool or f"obverse {obverse.__version__}",
    }
    return {name: value for name, value in row.items() if value is not None}


def _hash(role: str, path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as error:
        raise ProvenanceError(
            f"the input {role} ({path}) cannot be read: {error.strerror}."
        ) from error


def _ingredient(role: str, path: Path, sha256: str) -> dict[str, Any]:
    # The title is the role and not the file's name: a name may say who or where somebody is.
    return {
        "label": role,
        "title": role,
        "format": media_type(path),
        "relationship": "parentOf" if role in PARENT_ROLES else "inputTo",
        "instance_id": f"sha256:{sha256}",
        "description": _ROLE_MEANINGS.get(role, role),
    }


def sign(
    path_in: Path,
    path_out: Path,
    clip: Clip,
    identity: SigningIdentity,
    *,
    inputs: Mapping[str, Path] | None = None,
    when: datetime.datetime | None = None,
    fingerprint: bytes | None = None,
) -> Signed:
    """Write a signed copy of `path_in`; the two paths must differ.

    Where the identity names a time-stamp authority, the copy carries its token or is not written.

    Raises:
        ProvenanceError: the manifest cannot be built, the certificate is not in force, the key or
            the time-stamp authority does not answer, or the file's format cannot carry a manifest.
    """
    require_in_force(identity.chain)
    inputs = dict(inputs or {})
    definition = build_manifest(clip, inputs, when=when, fingerprint=fingerprint)
    ingredients = definition.pop("_ingredients")
    failed: list[ProvenanceError] = []
    settings = _settings(identity)
    try:
        # A context is made for each call: one that was inherited through a fork is not usable.
        with (
            c2pa.Context.from_dict(settings, signer=signer_of(identity, failed)) as context,
            c2pa.Builder.from_json(definition, context=context) as builder,
        ):
            for ingredient in ingredients:
                _add_ingredient(builder, ingredient, inputs[ingredient["label"]])
            with path_in.open("rb") as source, path_out.open("w+b") as target:
                store = builder.sign(media_type(path_in), source, target)
        signed, stamped = _read_back(store)
        if identity.time_stamp_url is not None and not stamped:
            raise _no_stamp(clip, identity.time_stamp_url, "it gave no token")
        return signed
    except ProvenanceError:
        path_out.unlink(missing_ok=True)
        raise
    except (c2pa.C2paError, OSError) as error:
        path_out.unlink(missing_ok=True)
        if failed:
            raise failed[0] from error
        if identity.time_stamp_url is not None and _from_the_network(str(error)):
            raise _no_stamp(clip, identity.time_stamp_url, str(error)) from error
        raise ProvenanceError(f"clip {clip.id} cannot be signed: {error}.") from error


def signer_of(identity: SigningIdentity, failed: list[ProvenanceError]) -> Any:
    """Return the library's signer; what a signer of the user's raises is kept in `failed`."""
    if identity.signer is None:
        url = identity.time_stamp_url
        return c2pa.Signer.from_info(
            c2pa.C2paSignerInfo(
                identity.algorithm.encode(),
                identity.chain,
                identity.key,
                None if url is None else url.encode(),
            )
        )
    # The library calls back from native code, through which no error travels.
    return c2pa.Signer.from_callback(
        _kept(identity.signer, failed),
        c2pa.C2paSigningAlg[identity.algorithm.upper()],
        identity.chain.decode(),
        identity.time_stamp_url,
    )


def _kept(
    sign: Callable[[bytes], bytes], failed: list[ProvenanceError]
) -> Callable[[bytes], bytes]:
    def call(data: bytes) -> bytes:
        try:
            return sign(data)
        except ProvenanceError as error:
            failed.append(error)
        except Exception as error:  # noqa: BLE001 - anybody's code; reported by the caller
            failed.append(ProvenanceError(f"the signer failed ({type(error).__name__}: {error})."))
            failed[-1].__cause__ = error
        return b""  # which the library takes for a failure

    return call


def _from_the_network(message: str) -> bool:
    words = message.lower()
    return any(word in words for word in ("http", "timestamp", "time stamp", "time-stamp"))


def _no_stamp(clip: Clip, url: str, reason: str) -> ProvenanceError:
    return ProvenanceError(
        f"clip {clip.id} cannot be time-stamped by {url} ({reason}); try again later, name another "
        "authority, or sign without one: OBVERSE_TSA=none."
    )


def _add_ingredient(builder: Any, ingredient: dict[str, Any], path: Path) -> None:
    with path.open("rb") as stream:
        try:
            builder.add_ingredient(ingredient, ingredient["format"], stream)
        except c2pa.C2paError:
            # The input's container is broken, so no manifest can be read from it. It is named all
            # the same, by its hash.
            stream.seek(0)
            builder.add_ingredient({**ingredient, "format": UNKNOWN}, UNKNOWN, stream)


def _settings(identity: SigningIdentity) -> dict[str, Any]:
    return {
        # Thumbnails cost 99 kB and 50 ms a clip, and would carry a copy of an ingredient's face.
        "builder": {"thumbnail": {"enabled": False}},
        # What was just signed is verified by `verify`, under stricter rules.
        "verify": {"verify_after_sign": False, "remote_manifest_fetch": False, "ocsp_fetch": False},
        # An ingredient's own manifest is judged now and its verdict stored: our own clips are
        # trusted.
        "trust": {"trust_anchors": identity.anchors.decode()},
    }


def _read_back(store: bytes) -> tuple[Signed, bool]:
    """Return a manifest store with its active label, and whether a time stamp is in it."""
    with c2pa.Reader("application/c2pa", io.BytesIO(store)) as reader:
        values = json.loads(reader.json())
    active = str(values["active_manifest"])
    signature = values["manifests"][active].get("signature_info") or {}
    return Signed(active, store), bool(signature.get("time"))
