"""What a file's manifest is worth: trusted, valid, invalid or absent, and why.

An intact manifest from a signer whom nobody vouches for is `valid`, never `trusted`: anybody can
make one. A manifest whose own ingredients were tampered with is `invalid`, although C2PA's library
calls the whole trusted. A time that an unknown authority stamped is a warning. Nothing is fetched
from the network, unless the caller asks for the signer's revocation status.
"""

import base64
import binascii
import dataclasses
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal, Self

import c2pa

from obverse.errors import InputError
from obverse.provenance.identity import default_anchors, default_time_stamp_anchors
from obverse.provenance.manifest import (
    CLIP_LABEL,
    FINGERPRINT_ALGORITHM,
    MARK_ALGORITHM,
    SOFT_BINDING_LABEL,
)

__all__ = ["Ingredient", "ManifestReport", "Revocation", "State", "verify", "verify_store"]

State = Literal["trusted", "valid", "invalid", "absent"]
# What the signer's authority says of the certificate; `unknown` also where it cannot be reached.
Revocation = Literal["not asked", "good", "revoked", "unknown"]

_STATES: dict[str, State] = {"Trusted": "trusted", "Valid": "valid", "Invalid": "invalid"}
# Codes that say who signed and not that something was altered.
_TRUST_CODES = frozenset({"signingCredential.untrusted", "cawg.identity.untrusted"})
_UNREADABLE = "manifest.unreadable"
_STORE_TYPE = "application/c2pa"
# What a store without its file cannot but fail.
_FILE_CODES = frozenset(
    f"assertion.{kind}.mismatch" for kind in ("bmffHash", "dataHash", "boxesHash")
)
_CONTAINER_DAMAGED = "asset could not be parsed"
_PAYLOAD_BYTES = 8
_ACTIONS = "c2pa.actions"
_STAMP_TRUSTED = "timeStamp.trusted"
_STAMP_DOUBTS = frozenset(
    f"timeStamp.{doubt}"
    for doubt in ("untrusted", "mismatch", "malformed", "outsideValidity", "credentialInvalid")
)
_REVOKED = "signingCredential.ocsp.revoked"
_NOT_REVOKED = "signingCredential.ocsp.notRevoked"


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
    time_stamp_trusted: bool = False  # whether that authority is among those trusted
    revocation: Revocation = "not asked"
    fingerprint: bytes | None = None  # what the clip showed when it was signed, if it is ours
    generator: str | None = None  # name and version of the software that made the claim
    ingredients: tuple[Ingredient, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        values = dataclasses.asdict(self)
        return values | {
            "fingerprint": None if self.fingerprint is None else self.fingerprint.hex()
        }

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
        if plain.get("fingerprint") is not None:
            plain["fingerprint"] = bytes.fromhex(plain["fingerprint"])
        return cls(**plain)


def verify(
    path: Path,
    anchors: bytes | None = None,
    *,
    time_stamp_anchors: bytes | None = None,
    online: bool = False,
) -> ManifestReport:
    """Read and check the manifest inside a file, in this process.

    For files from strangers use `obverse.provenance.isolation.verify_isolated`.

    Args:
        path: a file of any kind; kinds that cannot carry a manifest have none.
        anchors: PEM roots whose signers are trusted; None trusts this installation's own identity,
            b"" nobody.
        time_stamp_anchors: PEM roots whose time stamps are trusted; None is those chosen here.
        online: ask the responder that the signer's certificate names (OCSP) whether it was revoked.

    Raises:
        InputError: the file cannot be read, or its container is damaged beyond reading.
    """
    trust = _Trust.of(anchors, time_stamp_anchors)
    try:
        with path.open("rb") as stream:
            return trust.judge(stream, None, online)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except c2pa.C2paError.NotSupported:
        return ManifestReport("absent")
    except c2pa.C2paError as error:
        message = str(error)
        if _CONTAINER_DAMAGED in message:
            raise InputError(f"{path} is damaged: {message}.") from error
        return ManifestReport("invalid", failures=(_UNREADABLE,), warnings=(message,))


def verify_store(
    store: bytes, anchors: bytes | None = None, *, time_stamp_anchors: bytes | None = None
) -> ManifestReport:
    """Check a manifest store that came without its file, such as one out of a registry.

    Signature, certificate and assertions are checked; that the hash of a file does not match one
    that is not there says nothing and is left out. What the manifest says of the content has to be
    compared by its soft bindings.

    For stores from strangers use `obverse.provenance.isolation.verify_store_isolated`.
    """
    try:
        trust = _Trust.of(anchors, time_stamp_anchors)
        return trust.judge(io.BytesIO(store), _STORE_TYPE, online=False)
    except c2pa.C2paError as error:
        return ManifestReport("invalid", failures=(_UNREADABLE,), warnings=(str(error),))


@dataclasses.dataclass(frozen=True, slots=True)
class _Trust:
    """Whom to believe that a signer is who it says, and when something was signed."""

    anchors: bytes  # PEM
    stamping: bytes  # PEM

    @classmethod
    def of(cls, anchors: bytes | None, stamping: bytes | None) -> Self:
        return cls(
            default_anchors() if anchors is None else anchors,
            default_time_stamp_anchors() if stamping is None else stamping,
        )

    def judge(self, stream: BinaryIO, kind: str | None, online: bool) -> ManifestReport:
        """Read a file (`kind` None) or a store; both judgements have to be good."""
        report = self._read(stream, kind, online, self.stamping)
        if not self.stamping or report.state != "trusted":
            return report
        # The library lets every anchor vouch for everything: a certificate that a time-stamp
        # authority's root issued to anybody would be a trusted signer. So the signer is judged once
        # more without those roots, taking the time for granted that was judged above.
        stream.seek(0)
        signer = self._read(stream, kind, online, b"", believed=True)
        if signer.state == "trusted":
            return report
        return dataclasses.replace(signer, time_stamp_trusted=report.time_stamp_trusted)

    def _read(
        self,
        stream: BinaryIO,
        kind: str | None,
        online: bool,
        stamping: bytes,
        believed: bool = False,
    ) -> ManifestReport:
        trust: dict[str, Any] = {"verify_trust_list": True}
        if self.anchors:
            trust["trust_anchors"] = self.anchors.decode()
        if stamping:
            trust["anchors"] = [{"trust_anchors": stamping.decode(), "trust_kind": "tsa"}]
        settings = {
            "verify": {
                "verify_trust": True,
                "verify_timestamp_trust": not believed,
                "remote_manifest_fetch": False,
                "ocsp_fetch": online,
            },
            "trust": trust,
        }
        with c2pa.Context.from_dict(settings) as context:
            reader = c2pa.Reader.try_create(kind, stream, context=context)
            if reader is None:
                return ManifestReport("absent")
            with reader:
                values, state = json.loads(reader.json()), reader.get_validation_state()
        return _report(values, state, online, detached=kind is not None)


def _report(
    store: Mapping[str, Any], library_state: str | None, online: bool, detached: bool
) -> ManifestReport:
    active = str(store.get("active_manifest"))
    manifests: Mapping[str, Any] = store.get("manifests") or {}
    manifest: Mapping[str, Any] = manifests.get(active) or {}
    results: Mapping[str, Any] = store.get("validation_results") or {}
    judged: Mapping[str, Any] = results.get("activeManifest") or {}
    own, passed = _codes(judged), _codes(judged, "success")
    remarks = _codes(judged, "informational")
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
    if detached:
        own = [code for code in own if code not in _FILE_CODES]
        broken = [code for code in own if code not in _TRUST_CODES]
        state = "invalid" if broken else "valid" if own else "trusted"
    if damaging:
        state = "invalid"
    assertions = _assertions(manifest)
    first = next(_actions(assertions), {})
    signature = manifest.get("signature_info") or {}
    label = assertions.get(CLIP_LABEL)
    bindings = _bindings(manifest)
    warnings = [text for text in inherited if text not in damaging]
    warnings += [code for code in remarks if code in _STAMP_DOUBTS]
    return ManifestReport(
        state=state,
        id=active,
        signer=_text(signature.get("common_name")),
        issuer=_text(signature.get("issuer")),
        failures=tuple(dict.fromkeys([*own, *damaging])),
        warnings=tuple(dict.fromkeys(warnings)),
        label=label if isinstance(label, dict) else {},
        payload=_payload(bindings.get(MARK_ALGORITHM)),
        fingerprint=bindings.get(FINGERPRINT_ALGORITHM),
        digital_source_type=_source_type(assertions),
        created=_text(first.get("when")),
        time_stamp=_text(signature.get("time")),
        time_stamp_trusted=_STAMP_TRUSTED in passed,
        revocation=_revocation(own, passed) if online else "not asked",
        generator=_generator(manifest),
        ingredients=ingredients,
    )


def _codes(results: Mapping[str, Any] | None, kind: str = "failure") -> list[str]:
    return [str(item.get("code")) for item in (results or {}).get(kind) or []]


def _revocation(failed: list[str], passed: list[str]) -> Revocation:
    if _REVOKED in failed:
        return "revoked"
    return "good" if _NOT_REVOKED in passed else "unknown"


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


def _bindings(manifest: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the soft bindings' values by algorithm; a manifest may hold several assertions."""
    found: dict[str, bytes] = {}
    for item in manifest.get("assertions") or []:
        data = item.get("data")
        if str(item.get("label")).startswith(SOFT_BINDING_LABEL) and isinstance(data, dict):
            try:
                value = base64.b64decode(_list(data.get("blocks"))[0]["value"], validate=True)
            except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
                continue
            found.setdefault(str(data.get("alg")), value)
    return found


def _payload(value: bytes | None) -> int | None:
    return int.from_bytes(value, "big") if value and len(value) == _PAYLOAD_BYTES else None


def _generator(manifest: Mapping[str, Any]) -> str | None:
    for info in manifest.get("claim_generator_info") or []:
        return " ".join(str(info[part]) for part in ("name", "version") if info.get(part))
    return None
