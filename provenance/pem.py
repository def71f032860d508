"""A signer's files: certificates and keys as PEM, read and checked against C2PA's profile."""

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from obverse.errors import ProvenanceError

__all__ = [
    "algorithm_of",
    "common_name",
    "last_of",
    "leaf_of",
    "read_anchors",
    "read_chain",
    "read_file",
    "read_key",
    "require_in_force",
    "signed_by_leaf",
]

_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_LEAST_RSA_BITS = 2048
_EC_HASHES = {"es256": hashes.SHA256(), "es384": hashes.SHA384(), "es512": hashes.SHA512()}


def read_file(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        ProvenanceError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ProvenanceError(
            f"{path} cannot be read ({error.strerror}); give an existing PEM file."
        ) from error


def read_chain(path: Path) -> bytes:
    """Return a signing chain as PEM, the leaf first.

    Raises:
        ProvenanceError: the file cannot be read, holds no certificates, or its first may not sign.
    """
    text = read_file(path)
    try:
        certificates = x509.load_pem_x509_certificates(text)
    except ValueError as error:
        raise ProvenanceError(
            f"{path} holds no PEM certificates; give the chain, leaf first."
        ) from error
    _require_signing_leaf(certificates[0], path)
    return _pem(certificates)


def read_anchors(path: Path) -> bytes:
    """Return a file's PEM certificates, and nothing else that stands in it.

    Raises:
        ProvenanceError: the file cannot be read or holds no certificates.
    """
    try:
        return _pem(x509.load_pem_x509_certificates(read_file(path)))
    except ValueError as error:
        raise ProvenanceError(
            f"{path} holds no PEM certificate that can be read; give a PEM file of roots."
        ) from error


def read_key(path: Path, chain: bytes, chain_path: Path) -> bytes:
    """Return the private key of a chain's leaf as PEM.

    Raises:
        ProvenanceError: the file cannot be read, has a password, or is another certificate's key.
    """
    try:
        private = serialization.load_pem_private_key(read_file(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ProvenanceError(
            f"{path} is not a PEM private key without a password; convert it."
        ) from error
    if leaf_of(chain).public_key() != private.public_key():
        raise ProvenanceError(
            f"{path} is not the key of the first certificate in {chain_path}; give that key."
        )
    return private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def leaf_of(chain: bytes) -> x509.Certificate:
    """Return the first certificate of a PEM chain."""
    return x509.load_pem_x509_certificate(chain)


def last_of(chain: bytes) -> bytes:
    """Return the last certificate of a PEM chain, as PEM."""
    return _pem(x509.load_pem_x509_certificates(chain)[-1:])


def common_name(certificate: x509.Certificate) -> str:
    """Return a certificate's common name, or an empty text."""
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def algorithm_of(chain: bytes, shown: object = "the chain") -> str:
    """Return the name of C2PA's signature algorithm that fits the leaf's key.

    Raises:
        ProvenanceError: C2PA has none for such a key.
    """
    public = leaf_of(chain).public_key()
    if isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in _CURVES:
        return _CURVES[public.curve.name]
    if isinstance(public, ed25519.Ed25519PublicKey):
        return "ed25519"
    if isinstance(public, rsa.RSAPublicKey) and public.key_size >= _LEAST_RSA_BITS:
        return "ps256"
    raise ProvenanceError(
        f"the key of {shown} is of a kind that C2PA does not sign with; "
        f"use P-256, P-384, P-521, Ed25519 or RSA of {_LEAST_RSA_BITS} bits or more."
    )


def signed_by_leaf(chain: bytes, data: bytes, signature: bytes) -> bool:
    """Whether the private key of a chain's leaf made a signature, by the algorithm of that key.

    An ECDSA signature may be DER, or r and s side by side as COSE has it.

    Raises:
        ProvenanceError: C2PA has no algorithm for such a key.
    """
    public, algorithm = leaf_of(chain).public_key(), algorithm_of(chain)
    try:
        if isinstance(public, ec.EllipticCurvePublicKey):
            half = (public.curve.key_size + 7) // 8
            if len(signature) == 2 * half:
                parts = (signature[:half], signature[half:])
                signature = encode_dss_signature(*(int.from_bytes(part, "big") for part in parts))
            public.verify(signature, data, ec.ECDSA(_EC_HASHES[algorithm]))
        elif isinstance(public, rsa.RSAPublicKey):
            # RFC 8230: the salt of PS256 is as long as its hash.
            pss = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size)
            public.verify(signature, data, pss, hashes.SHA256())
        elif isinstance(public, ed25519.Ed25519PublicKey):
            public.verify(signature, data)
    except InvalidSignature:
        return False
    return True


def require_in_force(chain: bytes) -> None:
    """Refuse to sign with a certificate that has expired or has not begun.

    Raises:
        ProvenanceError: the leaf is not in force now.
    """
    leaf, now = leaf_of(chain), datetime.datetime.now(datetime.UTC)
    begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if not begin <= now <= end:
        raise ProvenanceError(
            f"the signing certificate {common_name(leaf)!r} is in force from {begin:%Y-%m-%d} "
            f"to {end:%Y-%m-%d} and not now; sign with another, `obverse identity use` takes it."
        )


def _pem(certificates: list[x509.Certificate]) -> bytes:
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


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
