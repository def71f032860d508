"""What a file's manifest is worth: trusted, valid, invalid or absent, and why.

An intact manifest from a signer whom nobody vouches for is `valid`, never `trusted`: anybody can
make one. A manifest whose own ingredients were tampered with is `invalid`, although C2PA's library
calls the whole trusted. Nothing is fetched from the network.
"""

import base64
import binascii
import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import c2pa

from obverse.errors import InputError
from obverse.provenance.identity import default_anchors
from obverse.provenance.manifest import CLIP_LABEL, MARK_ALGORITHM

__all__ = ["Ingredient", "ManifestReport", "State", "verify"]

State = Literal["trusted", "valid", "invalid", "absent"]

_STATES: dict[str, State] = {"Trusted": "trusted", "Valid": "valid", "Invalid": "invalid"}
# Codes that say who signed and not that something was altered.
_TRUST_CODES = frozenset({"signingCredential.untrusted", "cawg.identity.untrusted"})
_UNREADABLE = "manifest.unreadable"
_CONTAINER_DAMAGED = "asset could not be parsed"
_PAYLOAD_BYTES = 8
_ACTIONS = "c2pa.actions"
_SOFT_BINDING = "c2pa.soft-binding"


@dataclasses.dataclass(frozen=True, slots=True)
class Ingredient:
    """One input that a manifest names."""

    role: str  # its title: portrait, audio, source, ...
    relationship: str  # parentOf, inputTo or componentOf
    sha256: str | None = None  # of the input's bytes, where we recorded it
    manifest: str | None = None  # the label of the input's own manifest
    failures: tuple[str, ...] = ()  # C2PA codes, of its own ingredients too


@dataclasses.dataclass(frozen=True, slots=True)
class ManifestReport:
    """What a file's manifest says and how far it can be believed."""

    state: State
    id: str | None = None  # the active manifest's label, urn:c2pa:...
    signer: str | None = None  # the common name on the signing certificate
    issuer: str | None = None  # the organisation on it
    failures: tuple[str, ...] = ()  # C2PA codes; an ingredient's are written `role/code`
    warnings: tuple[
        str, ...
    ] = ()  # what lowers no state: an ingredient's unknown signer, a reader's message
    label: Mapping[str, Any] = dataclasses.field(
        default_factory=dict
    )  # the clip's label row, {} if not ours
    payload: int | None = None  # the mark's 64-bit payload in the soft binding
    digital_source_type: str | None = (
        None  # the IPTC term's last part, such as trainedAlgorithmicMedia
    )
    created: str | None = None  # ISO 8601, as the manifest claims
    time_stamp: str | None = None  # ISO 8601, from a time-stamp authority
    generator: str | None = None  # name and version of the software that made the claim
    ingredients: tuple[Ingredient, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a report from `to_dict`."""
        plain = dict(values)
        plain["ingredients"] = tuple(
            Ingredient(**{**ingredient, "failures": tuple(ingredient["failures"])})
            for ingredient in plain["ingredients"]
        )
        for name in ("failures", "warnings"):
            plain[name] = tuple(plain[name])
        return cls(**plain)


def verify(path: Path, anchors: bytes | None = None) -> ManifestReport:
    """Read and check the manifest inside a file, in this process.

    For files from strangers use `obverse.provenance.isolation.verify_isolated`.

    Args:
        path: a file of any kind; kinds that cannot carry a manifest have none.
        anchors: PEM roots whose signers are trusted; None trusts this installation's own identity,
            b"" nobody.

    Raises:
        InputError: the file cannot be read, or its container is damaged beyond reading.
    """
    trusted = default_anchors() if anchors is None else anchors
    settings: dict[str, Any] = {
        "verify": {"verify_trust": True, "remote_manifest_fetch": False, "ocsp_fetch": False},
        "trust": {"verify_trust_list": True},
    }
    if trusted:
        settings["trust"]["trust_anchors"] = trusted.decode()
    try:
        with path.open("rb") as stream, c2pa.Context.from_dict(settings) as context:
            reader = c2pa.Reader.try_create(None, stream, context=context)
            if reader is None:
                return ManifestReport("absent")
            with reader:
                return _report(json.loads(reader.json()), reader.get_validation_state())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except c2pa.C2paError.NotSupported:
        return ManifestReport("absent")
    except c2pa.C2paError as error:
        message = str(error)
        if _CONTAINER_DAMAGED in message:
            raise InputError(f"{path} is damaged: {message}.") from error
        return ManifestReport("invalid", failures=(_UNREADABLE,), warnings=(message,))


def _report(store: Mapping[str, Any], library_state: str | None) -> ManifestReport:
    active = str(store.get("active_manifest"))
    manifests: Mapping[str, Any] = store.get("manifests") or {}
    manifest: Mapping[str, Any] = manifests.get(active) or {}
    results: Mapping[str, Any] = store.get("validation_results") or {}
    own = _codes(results.get("activeManifest"))
    deltas = [
        code
        for delta in results.get("ingredientDeltas") or []
        for code in _codes(delta.get("validationDeltas"))
    ]
    ingredients = tuple(_ingredients(manifest, manifests, seen=frozenset({active})))

    inherited = [f"{item.role}/{code}" for item in ingredients for code in item.failures]
    told = {code for item in ingredients for code in item.failures}
    inherited += [f"ingredient/{code}" for code in deltas if code not in told]
    damaging = [text for text in inherited if text.rpartition("/")[2] not in _TRUST_CODES]
    state: State = _STATES.get(str(library_state), "invalid")
    if damaging:
        state = "invalid"
    assertions = _assertions(manifest)
    first = next(_actions(assertions), {})
    signature = manifest.get("signature_info") or {}
    label = assertions.get(CLIP_LABEL)
    return ManifestReport(
        state=state,
        id=active,
        signer=_text(signature.get("common_name")),
        issuer=_text(signature.get("issuer")),
        failures=tuple(dict.fromkeys([*own, *damaging])),
        warnings=tuple(dict.fromkeys(text for text in inherited if text not in damaging)),
        label=label if isinstance(label, dict) else {},
        payload=_payload(assertions.get(_SOFT_BINDING)),
        digital_source_type=_source_type(assertions),
        created=_text(first.get("when")),
        time_stamp=_text(signature.get("time")),
        generator=_generator(manifest),
        ingredients=ingredients,
    )


def _codes(results: Mapping[str, Any] | None) -> list[str]:
    return [str(failure.get("code")) for failure in (results or {}).get("failure") or []]


def _ingredients(
    manifest: Mapping[str, Any], manifests: Mapping[str, Any], seen: frozenset[str]
) -> Iterator[Ingredient]:
    """Yield a manifest's ingredients with the failures of everything below them."""
    for item in manifest.get("ingredients") or []:
        results = item.get("validation_results") or {}
        failures = _codes(results.get("activeManifest"))
        for delta in results.get("ingredientDeltas") or []:
            failures += _codes(delta.get("validationDeltas"))
        failures += [str(status.get("code")) for status in item.get("validation_status") or []]
        below = item.get("active_manifest")
        # A store may refer to itself in a circle.
        if below in manifests and below not in seen:
            for inner in _ingredients(manifests[below], manifests, seen | {below}):
                failures += inner.failures
        instance = str(item.get("instance_id") or "")
        yield Ingredient(
            role=str(item.get("title") or "ingredient"),
            relationship=str(item.get("relationship") or ""),
            sha256=instance.removeprefix("sha256:") if instance.startswith("sha256:") else None,
            manifest=below,
            failures=tuple(dict.fromkeys(failures)),
        )


def _assertions(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {str(item.get("label")): item.get("data") for item in manifest.get("assertions") or []}


def _actions(assertions: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for label, data in assertions.items():
        if label.startswith(_ACTIONS) and isinstance(data, dict):
            listed = data.get("actions")
            yield from (each for each in _list(listed) if isinstance(each, dict))


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _list(value: object) -> list[Any]:
    """A stranger's assertion holds anything; what is no list is taken for an empty one."""
    return value if isinstance(value, list) else []


def _source_type(assertions: Mapping[str, Any]) -> str | None:
    for action in _actions(assertions):
        if action.get("digitalSourceType"):
            return str(action["digitalSourceType"]).rpartition("/")[2]
    return None


def _payload(binding: object) -> int | None:
    if not isinstance(binding, dict) or binding.get("alg") != MARK_ALGORITHM:
        return None
    blocks = _list(binding.get("blocks"))
    try:
        value = base64.b64decode(blocks[0]["value"], validate=True)
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        return None
    return int.from_bytes(value, "big") if len(value) == _PAYLOAD_BYTES else None


def _generator(manifest: Mapping[str, Any]) -> str | None:
    for info in manifest.get("claim_generator_info") or []:
        return " ".join(str(info[part]) for part in ("name", "version") if info.get(part))
    return None
