"""Who signs: a development identity made on first use, or the user's own certificate and key."""

import dataclasses
import os
import shutil
import tempfile
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from obverse.errors import ProvenanceError
from obverse.provenance.certificates import Issued, development_chain
from obverse.provenance.home import data_directory

__all__ = ["SigningIdentity", "default_anchors"]

_FOLDER = "identity"
_KEY_MODE = 0o600
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


@dataclasses.dataclass(frozen=True, slots=True)
class SigningIdentity:
    """A certificate chain, its private key and the anchors under which it is trusted."""

    chain: bytes  # PEM, the leaf first, without the root
    key: bytes = dataclasses.field(repr=False)  # PEM, unencrypted PKCS #8
    anchors: bytes  # PEM of the roots that make this signer trusted
    algorithm: str = "es256"  # es256, es384, es512, ps256 or ed25519
    time_stamp_url: str | None = None  # an RFC 3161 authority; None signs without a time stamp

    @classmethod
    def default(cls, time_stamp_url: str | None = None) -> Self:
        """Return this installation's development identity, making it on first use.

        Two processes that race on first use end up with the same identity.

        Raises:
            ProvenanceError: the identity's folder cannot be read or written.
        """
        folder = _development_folder()
        try:
            chain = (folder / "leaf.pem").read_bytes() + (folder / "intermediate.pem").read_bytes()
            key, root = (folder / "leaf.key").read_bytes(), (folder / "root.pem").read_bytes()
        except OSError as error:
            raise ProvenanceError(
                f"the signing identity in {folder} cannot be read ({error.strerror}); "
                "mend or remove that folder."
            ) from error
        return cls(chain=chain, key=key, anchors=root, time_stamp_url=time_stamp_url)

    @classmethod
    def from_pem(
        cls,
        cert_chain: Path,
        key: Path,
        *,
        anchors: Path | None = None,
        time_stamp_url: str | None = None,
    ) -> Self:
        """Read the user's own identity.

        Args:
            cert_chain: PEM certificates, the leaf first, then its intermediates.
            key: the leaf's private key, PEM without a password.
            anchors: PEM roots; without them the last certificate of the chain is the anchor.
            time_stamp_url: an RFC 3161 authority, or None.

        Raises:
            ProvenanceError: a file cannot be read, the key is not the leaf's, or the leaf may not
                sign.
        """
        chain_pem, key_pem = _read(cert_chain), _read(key)
        try:
            certificates = x509.load_pem_x509_certificates(chain_pem)
        except ValueError as error:
            raise ProvenanceError(
                f"{cert_chain} holds no PEM certificates; give the chain, leaf first."
            ) from error
        try:
            private = serialization.load_pem_private_key(key_pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise ProvenanceError(
                f"{key} is not a PEM private key without a password; convert it."
            ) from error
        leaf = certificates[0]
        if leaf.public_key() != private.public_key():
            raise ProvenanceError(f"{key} is not the key of the first certificate in {cert_chain}.")
        _require_signing_leaf(leaf, cert_chain)
        trusted = (
            _read(anchors) if anchors else certificates[-1].public_bytes(serialization.Encoding.PEM)
        )
        return cls(
            chain=chain_pem,
            key=private.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
            anchors=trusted,
            algorithm=_algorithm(private, key),
            time_stamp_url=time_stamp_url,
        )

    @property
    def name(self) -> str:
        """The common name of the signing certificate."""
        names = x509.load_pem_x509_certificate(self.chain).subject.get_attributes_for_oid(
            x509.NameOID.COMMON_NAME
        )
        return str(names[0].value) if names else ""


def default_anchors() -> bytes:
    """Return the PEM roots under which this installation's own clips are trusted.

    Empty where nothing was ever signed here: looking at a file makes no identity.
    """
    root = data_directory() / _FOLDER / "root.pem"
    return _read(root) if root.is_file() else b""


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ProvenanceError(
            f"{path} cannot be read ({error.strerror}); give an existing PEM file."
        ) from error


def _require_signing_leaf(leaf: x509.Certificate, path: Path) -> None:
    try:
        usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        usage = None
    if usage is None or not usage.digital_signature:
        raise ProvenanceError(
            f"the first certificate in {path} lacks the key usage digitalSignature; "
            "give one that may sign."
        )
    try:
        leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except x509.ExtensionNotFound as error:
        raise ProvenanceError(
            f"the first certificate in {path} has no extended key usage; "
            "C2PA asks for one such as emailProtection."
        ) from error


def _algorithm(private: object, path: Path) -> str:
    if isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name in _CURVES:
        return _CURVES[private.curve.name]
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(private, rsa.RSAPrivateKey):
        return "ps256"
    raise ProvenanceError(
        f"{path} is of a kind that C2PA does not sign with; "
        "use P-256, P-384, P-521, Ed25519 or RSA."
    )


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
