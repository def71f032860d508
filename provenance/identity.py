"""Who signs: a development identity made on first use, or the user's own certificate and key.

What is kept in the data directory:

    identity/     the development identity in use
    signer.json   the user's own identity, where one was chosen; the key stays where it is
    tsa.json      the time-stamp authority, where one was chosen
    retired/      roots of identities that no longer sign: clips signed by them stay trusted
"""

import dataclasses
import hashlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from obverse.errors import ProvenanceError
from obverse.files import write_whole
from obverse.provenance import pem
from obverse.provenance.certificates import Issued, development_chain
from obverse.provenance.home import data_directory
from obverse.provenance.token_key import Pkcs11Key

__all__ = [
    "TSA_VARIABLE",
    "SigningIdentity",
    "choose_identity",
    "choose_time_stamps",
    "default_anchors",
    "default_time_stamp_anchors",
    "reset_identity",
    "rotate_identity",
]

# Overrules the chosen time-stamp authority; `none` asks for no time stamp.
TSA_VARIABLE = "OBVERSE_TSA"

_FOLDER = "identity"
_SIGNER = "signer.json"
_TSA = "tsa.json"
_RETIRED = "retired"
_SIGNERS_ROOT = "root"
_TSAS_ROOT = "tsa"
_NO_TIME_STAMP = ("", "none")
_KEY_MODE = 0o600
_NONCE_BYTES = 32

Sign = Callable[[bytes], bytes]  # bytes to their signature: DER or raw for ECDSA, raw otherwise


@dataclasses.dataclass(frozen=True, slots=True)
class SigningIdentity:
    """A certificate chain, what signs for it, and the anchors under which it is trusted."""

    chain: bytes  # PEM, the leaf first, without the root
    key: bytes = dataclasses.field(repr=False)  # PEM, unencrypted PKCS #8; b"" where `signer` signs
    anchors: bytes  # PEM of the roots that make this signer trusted
    algorithm: str = "es256"  # es256, es384, es512, ps256 or ed25519
    time_stamp_url: str | None = None  # an RFC 3161 authority; None signs without a time stamp
    time_stamp_anchors: bytes = b""  # PEM of the roots that make that authority trusted
    # Signs in place of a key; must be picklable where clips are made in several processes.
    signer: Sign | None = dataclasses.field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Refuse an identity that cannot sign and a time-stamp authority that is no address."""
        if bool(self.key) == (self.signer is not None):
            raise ProvenanceError("an identity signs either with a key or with a signer; give one.")
        _require_url(self.time_stamp_url)

    @classmethod
    def default(cls, time_stamp_url: str | None = None) -> Self:
        """Return the identity of this installation: the chosen one, else the development one.

        The development identity is made on first use; two processes that race then end up with the
        same one. Without a `time_stamp_url`, `OBVERSE_TSA` and what was chosen decide.

        Raises:
            ProvenanceError: the identity cannot be read or written.
        """
        url = time_stamp_url or _time_stamp_url()
        stamps: dict[str, Any] = {
            "time_stamp_url": url,
            "time_stamp_anchors": default_time_stamp_anchors(),
        }
        chosen = _load(_SIGNER)
        if chosen is not None:
            return cls._chosen(chosen, stamps)
        folder = _development_folder()
        try:
            chain = (folder / "leaf.pem").read_bytes() + (folder / "intermediate.pem").read_bytes()
            key, root = (folder / "leaf.key").read_bytes(), (folder / "root.pem").read_bytes()
        except OSError as error:
            raise ProvenanceError(
                f"the signing identity in {folder} cannot be read ({error.strerror}); "
                "mend or remove that folder."
            ) from error
        return cls(chain=chain, key=key, anchors=root, **stamps)

    @classmethod
    def _chosen(cls, chosen: dict[str, Any], stamps: dict[str, Any]) -> Self:
        try:
            chain, anchors = chosen["chain"].encode(), chosen["anchors"].encode()
            key, token = chosen["key"], chosen["pkcs11"]
            signer = None if token is None else Pkcs11Key(**token)
        except (KeyError, TypeError, AttributeError) as error:
            raise ProvenanceError(
                f"{data_directory() / _SIGNER} is damaged; choose an identity again with "
                "`obverse identity use`, or go back with `obverse identity reset`."
            ) from error
        private = b"" if key is None else pem.read_key(Path(key), chain, Path(_SIGNER))
        return cls(
            chain=chain,
            key=private,
            anchors=anchors,
            algorithm=pem.algorithm_of(chain),
            signer=signer,
            **stamps,
        )

    @classmethod
    def from_pem(
        cls,
        cert_chain: Path,
        key: Path,
        *,
        anchors: Path | None = None,
        time_stamp_url: str | None = None,
        time_stamp_anchors: Path | None = None,
    ) -> Self:
        """Read the user's own identity.

        Args:
            cert_chain: PEM certificates, the leaf first, then its intermediates.
            key: the leaf's private key, PEM without a password.
            anchors: PEM roots; without them the last certificate of the chain is the anchor.
            time_stamp_url: an RFC 3161 authority, or None.
            time_stamp_anchors: PEM roots of that authority.

        Raises:
            ProvenanceError: a file cannot be read, the key is not the leaf's, or the leaf may not
                sign.
        """
        chain = pem.read_chain(cert_chain)
        return cls(
            chain=chain,
            key=pem.read_key(key, chain, cert_chain),
            anchors=pem.read_anchors(anchors) if anchors else pem.last_of(chain),
            algorithm=pem.algorithm_of(chain, cert_chain),
            time_stamp_url=time_stamp_url,
            time_stamp_anchors=pem.read_anchors(time_stamp_anchors) if time_stamp_anchors else b"",
        )

    @classmethod
    def from_signer(
        cls,
        cert_chain: Path,
        signer: Sign,
        *,
        anchors: Path | None = None,
        time_stamp_url: str | None = None,
        time_stamp_anchors: Path | None = None,
    ) -> Self:
        """Do what `from_pem` does with a key that is elsewhere: `signer` signs the bytes it gets.

        It is asked for one signature at once, of random bytes, to see that its key is the leaf's.

        Args:
            cert_chain: PEM certificates, the leaf first, then its intermediates.
            signer: bytes to their signature by the leaf's key, with the hash that `algorithm`
                names; a `Pkcs11Key`, or a call to a signing service.
            anchors: PEM roots; without them the last certificate of the chain is the anchor.
            time_stamp_url: an RFC 3161 authority, or None.
            time_stamp_anchors: PEM roots of that authority.

        Raises:
            ProvenanceError: a file cannot be read, the leaf may not sign, or the signer fails or
                has another key.
        """
        chain = pem.read_chain(cert_chain)
        trusted = pem.read_anchors(anchors) if anchors else pem.last_of(chain)
        algorithm = pem.algorithm_of(chain, cert_chain)
        _require_leafs_signer(signer, chain, cert_chain)
        return cls(
            chain=chain,
            key=b"",
            anchors=trusted,
            algorithm=algorithm,
            time_stamp_url=time_stamp_url,
            time_stamp_anchors=pem.read_anchors(time_stamp_anchors) if time_stamp_anchors else b"",
            signer=signer,
        )

    @property
    def name(self) -> str:
        """The common name of the signing certificate."""
        return pem.common_name(pem.leaf_of(self.chain))


def choose_identity(
    cert_chain: Path,
    *,
    key: Path | None = None,
    token: Pkcs11Key | None = None,
    anchors: Path | None = None,
) -> SigningIdentity:
    """Let this installation sign with the user's own certificate from now on.

    What signed before stays trusted here. The key is read from its place at each start, or stays
    in its token, which signs random bytes once to show that it holds the leaf's.

    Raises:
        ProvenanceError: not exactly one of key and token is given, a file cannot be read or does
            not fit, the token does not sign or not with the leaf's key, the certificate is not in
            force, or the choice cannot be written.
    """
    if (key is None) == (token is None):
        raise ProvenanceError("an identity signs either with a key or with a token; give one.")
    chain = pem.read_chain(cert_chain)
    pem.require_in_force(chain)
    if key is not None:
        pem.read_key(key, chain, cert_chain)
    trusted = pem.read_anchors(anchors) if anchors else pem.last_of(chain)
    if token is not None:
        _require_leafs_signer(token, chain, cert_chain)
    _retire_signer()
    _store(
        _SIGNER,
        {
            "chain": chain.decode(),
            "anchors": trusted.decode(),
            "key": None if key is None else str(key.absolute()),
            "pkcs11": None if token is None else dataclasses.asdict(token),
        },
    )
    return SigningIdentity.default()


def _require_leafs_signer(signer: Sign, chain: bytes, chain_path: Path) -> None:
    """Refuse a signer whose key is not the leaf's: what it signs would be trusted by nobody."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    try:
        signature = bytes(signer(nonce))
    except ProvenanceError:
        raise
    except Exception as error:  # anybody's code
        raise ProvenanceError(f"the signer failed ({type(error).__name__}: {error}).") from error
    if pem.signed_by_leaf(chain, nonce, signature):
        return
    if isinstance(signer, Pkcs11Key):
        shown = f"key {signer.label!r} of token {signer.token!r}"
    else:
        shown = "what the signer signs with"
    raise ProvenanceError(
        f"{shown} is not the key of the first certificate in {chain_path}, or does not sign by "
        f"{pem.algorithm_of(chain, chain_path)}; give that key, or the chain of this one."
    )


def choose_time_stamps(url: str | None, anchors: Path | None = None) -> None:
    """Let this installation ask an RFC 3161 authority for a time stamp at each signing, or none.

    Raises:
        ProvenanceError: the address is none, a file cannot be read, or the choice cannot be
            written.
    """
    _require_url(url)
    trusted = pem.read_anchors(anchors) if anchors else b""
    before = (_load(_TSA) or {}).get("anchors")
    if before:
        _retire(_TSAS_ROOT, str(before).encode())
    _store(_TSA, {"url": url, "anchors": trusted.decode()})


def reset_identity() -> SigningIdentity:
    """Go back to the development identity; what the user's own one signed stays trusted here.

    Raises:
        ProvenanceError: the data directory cannot be written.
    """
    _retire_signer()
    (data_directory() / _SIGNER).unlink(missing_ok=True)
    return SigningIdentity.default()


def rotate_identity() -> SigningIdentity:
    """Replace the development identity by a new one; the old keys are deleted.

    Clips that the old one signed stay trusted here, for its root is kept.

    Raises:
        ProvenanceError: the user's own identity is in use, or the data directory cannot be written.
    """
    if _load(_SIGNER) is not None:
        raise ProvenanceError(
            "this installation signs with your own certificate; give it the new one with "
            "`obverse identity use`."
        )
    home, old = data_directory(), _development_folder()
    _retire(_SIGNERS_ROOT, pem.read_file(old / "root.pem"))
    try:
        grave = Path(tempfile.mkdtemp(prefix=f".{_FOLDER}-", dir=home))
        old.rename(grave / _FOLDER)
        shutil.rmtree(grave)
    except OSError as error:
        raise ProvenanceError(
            f"the signing identity in {old} cannot be replaced ({error.strerror})."
        ) from error
    return SigningIdentity.default()


def default_anchors() -> bytes:
    """Return the PEM roots under which this installation's own clips are trusted.

    Those of the identity in use, of the development identity, and of all that were retired. Empty
    where nothing was ever signed here: looking at a file makes no identity.
    """
    home = data_directory()
    root = home / _FOLDER / "root.pem"
    parts = [pem.read_file(root)] if root.is_file() else []
    chosen = (_load(_SIGNER) or {}).get("anchors")
    return b"".join([*parts, str(chosen or "").encode(), *_retired(_SIGNERS_ROOT)])


def default_time_stamp_anchors() -> bytes:
    """Return the PEM roots under which time stamps are trusted here, empty if none were chosen."""
    chosen = (_load(_TSA) or {}).get("anchors")
    return b"".join([str(chosen or "").encode(), *_retired(_TSAS_ROOT)])


def _time_stamp_url() -> str | None:
    named = os.environ.get(TSA_VARIABLE)
    if named is not None:
        return None if named.strip().lower() in _NO_TIME_STAMP else named.strip()
    url = (_load(_TSA) or {}).get("url")
    return None if url is None else str(url)


def _require_url(url: str | None) -> None:
    if url is not None and not url.startswith(("http://", "https://")):
        raise ProvenanceError(
            f"{url!r} is no time-stamp authority; give an address that starts with http:// or "
            "https://."
        )


def _load(name: str) -> dict[str, Any] | None:
    path = data_directory() / name
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ProvenanceError(f"{path} cannot be read ({error}); mend or remove it.") from error
    if not isinstance(values, dict):
        raise ProvenanceError(f"{path} is damaged; mend or remove it.")
    return values


def _store(name: str, values: dict[str, Any]) -> None:
    _replace(data_directory() / name, json.dumps(values, indent=2).encode())


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, readable by its owner alone."""
    try:
        write_whole(path, content, private=True)
    except OSError as error:
        raise ProvenanceError(f"{path} cannot be written ({error.strerror}).") from error


def _retire_signer() -> None:
    chosen = (_load(_SIGNER) or {}).get("anchors")
    if chosen:
        _retire(_SIGNERS_ROOT, str(chosen).encode())


def _retire(kind: str, anchors: bytes) -> None:
    folder = data_directory() / _RETIRED
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ProvenanceError(f"{folder} cannot be made ({error.strerror}).") from error
    # Named for what it holds: the same roots, retired twice, are kept once.
    _replace(folder / f"{kind}-{hashlib.sha256(anchors).hexdigest()[:16]}.pem", anchors)


def _retired(kind: str) -> list[bytes]:
    return [
        pem.read_file(path) for path in sorted((data_directory() / _RETIRED).glob(f"{kind}-*.pem"))
    ]


def _development_folder() -> Path:
    folder = data_directory() / _FOLDER
    if (folder / "leaf.pem").is_file():
        return folder
    # The identity is written whole into a folder of its own and then renamed: a rename onto a
    # folder that is not empty fails, so whoever comes second finds the first one's identity
    # complete.
    draft = Path(tempfile.mkdtemp(prefix=f".{_FOLDER}-", dir=folder.parent))
    try:
        root, intermediate, leaf = development_chain()
        for name, issued in (("root", root), ("intermediate", intermediate), ("leaf", leaf)):
            _write(draft, name, issued)
        draft.rename(folder)
    except OSError as error:
        if not (folder / "leaf.pem").is_file():
            raise ProvenanceError(
                f"a signing identity cannot be made in {folder} ({error.strerror}); "
                "set OBVERSE_HOME elsewhere."
            ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def _write(folder: Path, name: str, issued: Issued) -> None:
    (folder / f"{name}.pem").write_bytes(issued.certificate_pem)
    # Opened with its final mode: at no moment can another user read the key.
    handle = os.open(folder / f"{name}.key", os.O_WRONLY | os.O_CREAT | os.O_EXCL, _KEY_MODE)
    with os.fdopen(handle, "wb") as stream:
        stream.write(issued.key_pem)
