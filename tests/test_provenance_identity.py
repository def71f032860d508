import datetime
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID

from obverse.errors import ProvenanceError
from obverse.provenance.certificates import development_chain
from obverse.provenance.home import HOME_VARIABLE, data_directory
from obverse.provenance.identity import SigningIdentity, default_anchors


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))


_RACER = """
import sys
from obverse.provenance.identity import SigningIdentity
sys.stdin.readline()
print(SigningIdentity.default().chain.hex())
"""


def test_first_use_makes_an_identity_that_stays() -> None:
    assert default_anchors() == b""
    first = SigningIdentity.default()
    assert SigningIdentity.default() == first
    assert default_anchors() == first.anchors
    assert first.name == "obverse development signer"


def test_keys_are_readable_by_their_owner_alone() -> None:
    SigningIdentity.default()
    keys = sorted((data_directory() / "identity").glob("*.key"))
    assert [key.name for key in keys] == ["intermediate.key", "leaf.key", "root.key"]
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}


def test_a_key_is_not_shown_when_an_identity_is_printed() -> None:
    assert "PRIVATE" not in repr(SigningIdentity.default())


def test_processes_that_race_on_first_use_agree(tmp_path: Path) -> None:
    home = tmp_path / "raced"
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", _RACER],
            env=os.environ | {HOME_VARIABLE: str(home)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    chains = {racer.communicate("go\n", timeout=60)[0] for racer in racers}
    assert [racer.returncode for racer in racers] == [0, 0, 0]
    assert len(chains) == 1
    assert [path.name for path in home.iterdir()] == ["identity"]


def test_a_late_comer_takes_the_identity_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    first = SigningIdentity.default()
    # As if the folder had come into being between the look and the rename.
    looks = iter([False, True, True])
    real = Path.is_file
    monkeypatch.setattr(
        Path, "is_file", lambda path: next(looks) if path.name == "leaf.pem" else real(path)
    )
    assert SigningIdentity.default() == first
    assert [path.name for path in data_directory().iterdir()] == ["identity"]


def test_the_leaf_fits_the_certificate_profile() -> None:
    root, intermediate, leaf = development_chain()
    extensions = leaf.certificate.extensions
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not usage.key_cert_sign
    purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert ExtendedKeyUsageOID.EMAIL_PROTECTION in purposes
    extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    leaf.certificate.verify_directly_issued_by(intermediate.certificate)
    intermediate.certificate.verify_directly_issued_by(root.certificate)
    assert leaf.certificate.not_valid_after_utc > datetime.datetime.now(datetime.UTC)


def _write_pems(folder: Path) -> tuple[Path, Path, Path]:
    root, intermediate, leaf = development_chain()
    chain, key, anchors = folder / "chain.pem", folder / "leaf.key", folder / "root.pem"
    chain.write_bytes(leaf.certificate_pem + intermediate.certificate_pem)
    key.write_bytes(leaf.key_pem)
    anchors.write_bytes(root.certificate_pem)
    return chain, key, anchors


def test_own_pems_are_read(tmp_path: Path) -> None:
    chain, key, anchors = _write_pems(tmp_path)
    identity = SigningIdentity.from_pem(
        chain, key, anchors=anchors, time_stamp_url="http://tsa.test"
    )
    assert identity.algorithm == "es256"
    assert identity.anchors == anchors.read_bytes()
    assert identity.time_stamp_url == "http://tsa.test"
    assert SigningIdentity.from_pem(chain, key).anchors != identity.anchors


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    chain, key, _ = _write_pems(tmp_path)
    key.write_bytes(development_chain()[2].key_pem)
    with pytest.raises(ProvenanceError, match="not the key"):
        SigningIdentity.from_pem(chain, key)


def test_an_authority_cannot_sign_clips(tmp_path: Path) -> None:
    root = development_chain()[0]
    (tmp_path / "root.pem").write_bytes(root.certificate_pem)
    (tmp_path / "root.key").write_bytes(root.key_pem)
    with pytest.raises(ProvenanceError, match="digitalSignature"):
        SigningIdentity.from_pem(tmp_path / "root.pem", tmp_path / "root.key")


@pytest.mark.parametrize("content", [b"", b"not a pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_files_that_hold_no_certificates_are_refused(tmp_path: Path, content: bytes) -> None:
    chain, key, _ = _write_pems(tmp_path)
    chain.write_bytes(content)
    with pytest.raises(ProvenanceError):
        SigningIdentity.from_pem(chain, key)
    with pytest.raises(ProvenanceError, match="cannot be read"):
        SigningIdentity.from_pem(tmp_path / "absent.pem", key)


def test_a_key_with_a_password_is_refused(tmp_path: Path) -> None:
    chain, key, _ = _write_pems(tmp_path)
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey)
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(ProvenanceError, match="password"):
        SigningIdentity.from_pem(chain, key)


def test_a_home_that_cannot_be_written_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(ProvenanceError, match="OBVERSE_HOME"):
        SigningIdentity.default()
