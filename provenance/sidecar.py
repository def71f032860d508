"""Manifests for files whose format cannot carry one: a signed store that lies beside them.

C2PA calls this an external manifest. The store holds the sha256 of the whole file, so that a
changed file is told; it is checked against the file that it is said to belong to.
"""

import io
import json
from pathlib import Path
from typing import Any

import c2pa

import obverse
from obverse.errors import ProvenanceError
from obverse.provenance.identity import SigningIdentity
from obverse.provenance.manifest import signer_of
from obverse.provenance.mediatype import UNKNOWN
from obverse.provenance.pem import require_in_force
from obverse.provenance.verify import State

__all__ = ["beside", "sign_beside", "state_beside"]

_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicMedia"
_STATES: dict[str, State] = {"Trusted": "trusted", "Valid": "valid"}


def sign_beside(
    content: bytes, title: str, identity: SigningIdentity, *, when: str, about: dict[str, Any]
) -> bytes:
    """Return a signed manifest store for a document that software made.

    Args:
        content: the document.
        title: of the document.
        identity: who signs.
        when: the time of making, ISO 8601.
        about: what else to say, as the assertion `org.obverse.document`.

    Raises:
        ProvenanceError: the certificate is not in force, or the signer does not answer.
    """
    require_in_force(identity.chain)
    agent = {"name": "obverse", "version": obverse.__version__}
    action = {
        "action": "c2pa.created",
        "when": when,
        "digitalSourceType": _SOURCE_TYPE,
        "softwareAgent": agent,
    }
    definition = {
        "claim_generator_info": [agent],
        "title": title,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [action]}},
            {"label": "org.obverse.document", "data": about},
        ],
    }
    settings = {
        "builder": {"thumbnail": {"enabled": False}},
        "verify": {"verify_after_sign": False, "remote_manifest_fetch": False, "ocsp_fetch": False},
    }
    failed: list[ProvenanceError] = []
    try:
        with (
            c2pa.Context.from_dict(settings, signer=signer_of(identity, failed)) as context,
            c2pa.Builder.from_json(definition, context=context) as builder,
        ):
            builder.set_no_embed()
            # By no name of a format is anything parsed: the hash is that of all bytes.
            store = builder.sign(UNKNOWN, io.BytesIO(content), io.BytesIO())
    except (c2pa.C2paError, OSError) as error:
        if failed:
            raise failed[0] from error
        raise ProvenanceError(f"{title} cannot be signed: {error}.") from error
    return bytes(store)


def state_beside(content: bytes, store: bytes, anchors: bytes) -> tuple[State, str | None]:
    """Return what a manifest store is worth for a document, and who signed it.

    Args:
        content: the document.
        store: what `sign_beside` returned.
        anchors: PEM roots whose signers are trusted.
    """
    settings: dict[str, Any] = {
        "verify": {"verify_trust": True, "remote_manifest_fetch": False, "ocsp_fetch": False},
        "trust": {"verify_trust_list": True},
    }
    if anchors:
        settings["trust"]["trust_anchors"] = anchors.decode()
    try:
        with (
            c2pa.Context.from_dict(settings) as context,
            c2pa.Reader(UNKNOWN, io.BytesIO(content), store, context=context) as reader,
        ):
            values = json.loads(reader.json())
            state = _STATES.get(str(reader.get_validation_state()), "invalid")
    except c2pa.C2paError:
        return "invalid", None
    active = values["manifests"][values["active_manifest"]]
    signer = (active.get("signature_info") or {}).get("common_name")
    return state, None if signer is None else str(signer)


def beside(path: Path) -> Path:
    """Return where a file's external manifest lies."""
    return path.with_name(path.name + ".c2pa")
