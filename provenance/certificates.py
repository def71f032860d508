"""The development certificates: a root, an intermediate and a leaf that fit C2PA's profile.

They prove that clips came from the same installation and were not altered since. They do not prove
who that is: for that, a signer brings a certificate from an authority on the C2PA trust list
(`SigningIdentity.from_pem`).
"""

import dataclasses
import datetime
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Issued", "development_chain"]

_ROOT_DAYS = 365 * 30
_INTERMEDIATE_DAYS = 365 * 25
# A clip that has no time stamp stops verifying on the day its leaf expires, so a development leaf
# lives long.
_LEAF_DAYS = 365 * 20
_CLOCK_SKEW = datetime.timedelta(hours=1)


@dataclasses.dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> bytes:
        """The certificate as PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key as unencrypted PKCS #8 PEM."""
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    @classmethod
    def authority(cls, name: str, days: int, path_length: int, issuer: Self | None = None) -> Self:
        """Issue a certificate authority, signed by itself or by `issuer`."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name, days, key, issuer)
        builder = builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=path_length), critical=True
        )
        builder = builder.add_extension(_usage(authority=True), critical=True)
        signed = builder.sign(issuer.key if issuer else key, hashes.SHA256())
        return cls(signed, key)

    def leaf(self, name: str, days: int = _LEAF_DAYS) -> "Issued":
        """Issue a signing certificate under this authority."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name, days, key, self)
        builder = builder.add_extension(
            x509.BasicConstraints(ca=False, path_length=None), critical=True
        )
        builder = builder.add_extension(_usage(authority=False), critical=True)
        # C2PA's profile wants an extended key usage; without a C2PA one, emailProtection is the
        # accepted choice.
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
        )
        return Issued(builder.sign(self.key, hashes.SHA256()), key)


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(
    name: str, days: int, key: ec.EllipticCurvePrivateKey, issuer: Issued | None
) -> x509.CertificateBuilder:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "obverse development"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    parent_key = issuer.key.public_key() if issuer else key.public_key()
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(parent_key), critical=False
        )
    )


def development_chain() -> tuple[Issued, Issued, Issued]:
    """Make a new root, intermediate and leaf; each installation has its own."""
    root = Issued.authority("obverse development root", _ROOT_DAYS, path_length=1)
    intermediate = Issued.authority("obverse development intermediate", _INTERMEDIATE_DAYS, 0, root)
    return root, intermediate, intermediate.leaf("obverse development signer")
