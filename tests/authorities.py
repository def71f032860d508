"""A time-stamp authority (RFC 3161) and an OCSP responder (RFC 6960) on this machine, for tests."""

import contextlib
import datetime
import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from asn1crypto import algos, cms, core, tsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from obverse.provenance.certificates import Issued

__all__ = ["certificate", "ocsp_responder", "serve", "time_stamp_authority"]

_DAY = datetime.timedelta(days=1)
_POLICY = "1.3.6.1.4.1.99999.1"  # of nobody


def certificate(
    issuer: Issued,
    name: str,
    purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.EMAIL_PROTECTION,
    *,
    begin: datetime.datetime | None = None,
    end: datetime.datetime | None = None,
    ocsp_url: str | None = None,
) -> Issued:
    """Issue an end-entity certificate of any purpose and validity."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(
            x509.Name(
                [
                    x509.NameAttribute(NameOID.ORGANIZATION_NAME, "tests"),
                    x509.NameAttribute(NameOID.COMMON_NAME, name),
                ]
            )
        )
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin or now - _DAY)
        .not_valid_after(end or now + 365 * _DAY)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(True, False, False, False, False, False, False, False, False),
            critical=True,
        )
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()),
            critical=False,
        )
    )
    if ocsp_url is not None:
        access = x509.AccessDescription(
            AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(ocsp_url)
        )
        builder = builder.add_extension(x509.AuthorityInformationAccess([access]), critical=False)
    return Issued(builder.sign(issuer.key, hashes.SHA256()), key)


@contextlib.contextmanager
def serve(answer: Callable[[str, bytes], tuple[str, bytes]]) -> Iterator[str]:
    """Serve `answer(path, body) -> (media type, body)` on a free port; yield the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            kind, reply = answer(self.path, body)
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def time_stamp_authority(issuer: Issued, moment: datetime.datetime | None = None) -> Iterator[str]:
    """Serve time stamps whose certificate `issuer` signed, at a fixed moment or the true time."""
    signer = certificate(
        issuer,
        "test time-stamp authority",
        ExtendedKeyUsageOID.TIME_STAMPING,
        begin=moment - _DAY if moment is not None else None,
    )

    def answer(_path: str, body: bytes) -> tuple[str, bytes]:
        request = tsp.TimeStampReq.load(body)
        return "application/timestamp-reply", _token(request, signer, issuer, moment)

    with serve(answer) as url:
        yield url


def _token(
    request: tsp.TimeStampReq, signer: Issued, issuer: Issued, moment: datetime.datetime | None
) -> bytes:
    now = (moment or datetime.datetime.now(datetime.UTC)).replace(microsecond=0)
    fields = {
        "version": "v1",
        "policy": _POLICY,
        "message_imprint": request["message_imprint"],
        "serial_number": x509.random_serial_number(),
        "gen_time": now,
    }
    if request["nonce"].native is not None:
        fields["nonce"] = request["nonce"]
    info = tsp.TSTInfo(fields).dump()
    own, above = (
        asn1_x509.Certificate.load(each.certificate.public_bytes(serialization.Encoding.DER))
        for each in (signer, issuer)
    )
    sha256 = algos.DigestAlgorithm({"algorithm": "sha256"})
    attributes = cms.CMSAttributes(
        [
            cms.CMSAttribute({"type": "content_type", "values": ["tst_info"]}),
            cms.CMSAttribute({"type": "message_digest", "values": [hashlib.sha256(info).digest()]}),
            cms.CMSAttribute(
                {"type": "signing_time", "values": [cms.Time({"utc_time": core.UTCTime(now)})]}
            ),
            cms.CMSAttribute(
                {
                    "type": "signing_certificate_v2",
                    "values": [
                        tsp.SigningCertificateV2(
                            {"certs": [{"cert_hash": hashlib.sha256(own.dump()).digest()}]}
                        )
                    ],
                }
            ),
        ]
    )
    signed = cms.SignedData(
        {
            "version": "v3",
            "digest_algorithms": [sha256],
            "encap_content_info": {
                "content_type": "tst_info",
                "content": core.ParsableOctetString(info),
            },
            "certificates": [own, above],
            "signer_infos": [
                {
                    "version": "v1",
                    "sid": cms.SignerIdentifier(
                        {
                            "issuer_and_serial_number": {
                                "issuer": own.issuer,
                                "serial_number": own.serial_number,
                            }
                        }
                    ),
                    "digest_algorithm": sha256,
                    "signed_attrs": attributes,
                    "signature_algorithm": {"algorithm": "sha256_ecdsa"},
                    "signature": signer.key.sign(attributes.dump(), ec.ECDSA(hashes.SHA256())),
                }
            ],
        }
    )
    response = tsp.TimeStampResp(
        {
            "status": {"status": "granted"},
            "time_stamp_token": {"content_type": "signed_data", "content": signed},
        }
    )
    return bytes(response.dump())


@contextlib.contextmanager
def ocsp_responder(issuer: Issued, revoked: set[int]) -> Iterator[str]:
    """Say of certificates of `issuer` whether their serial numbers are among the revoked."""
    from base64 import b64decode
    from urllib.parse import unquote

    responder = certificate(issuer, "test OCSP responder", ExtendedKeyUsageOID.OCSP_SIGNING)

    def answer(path: str, body: bytes) -> tuple[str, bytes]:
        asked = ocsp.load_der_ocsp_request(body or b64decode(unquote(path.strip("/"))))
        now = datetime.datetime.now(datetime.UTC)
        gone = asked.serial_number in revoked
        response = (
            ocsp.OCSPResponseBuilder()
            .add_response_by_hash(
                issuer_name_hash=asked.issuer_name_hash,
                issuer_key_hash=asked.issuer_key_hash,
                serial_number=asked.serial_number,
                algorithm=asked.hash_algorithm,
                cert_status=ocsp.OCSPCertStatus.REVOKED if gone else ocsp.OCSPCertStatus.GOOD,
                this_update=now - _DAY,
                next_update=now + _DAY,
                revocation_time=now - _DAY / 2 if gone else None,
                revocation_reason=x509.ReasonFlags.key_compromise if gone else None,
            )
            .responder_id(ocsp.OCSPResponderEncoding.HASH, responder.certificate)
            .certificates([responder.certificate])
            .sign(responder.key, hashes.SHA256())
        )
        return "application/ocsp-response", response.public_bytes(serialization.Encoding.DER)

    with serve(answer) as url:
        yield url
