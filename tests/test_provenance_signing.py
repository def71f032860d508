"""Time stamps, keys that are elsewhere, rotation, and certificates worth nothing (any more)."""

import dataclasses
import datetime
import pickle
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import encypher_c2pa
import pytest
from authorities import certificate, ocsp_responder, serve, time_stamp_authority
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from PIL import Image

from obverse.clip import Clip
from obverse.errors import ProvenanceError
from obverse.provenance import pem
from obverse.provenance.certificates import Issued
from obverse.provenance.home import HOME_VARIABLE, data_directory
from obverse.provenance.identity import (
    TSA_VARIABLE,
    SigningIdentity,
    choose_identity,
    choose_time_stamps,
    default_anchors,
    default_time_stamp_anchors,
    reset_identity,
    rotate_identity,
)
from obverse.provenance.isolation import verify_isolated, verify_store_isolated
from obverse.provenance.manifest import Signed, sign
from obverse.provenance.token_key import PIN_VARIABLE, Pkcs11Key
from obverse.provenance.verify import verify, verify_store

ROOT = Issued.authority("test root", 3650, 1)
MIDDLE = Issued.authority("test intermediate", 3000, 0, ROOT)
STAMP_ROOT = Issued.authority("test time-stamp root", 3650, 1)
OTHER_ROOT = Issued.authority("another root", 3650, 1)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.delenv(TSA_VARIABLE, raising=False)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.effect_noise((64, 64), 40).convert("RGB").save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


def _clip() -> Clip:
    return Clip(
        id="ab" * 16, path="", label="synthetic", kind="generated", method="mesh",
        rights="synthetic", mark="0123456789abcdef",
    )  # fmt: skip


def _identity(leaf: Issued, **changes: Any) -> SigningIdentity:
    identity = SigningIdentity(
        chain=leaf.certificate_pem + MIDDLE.certificate_pem,
        key=leaf.key_pem,
        anchors=ROOT.certificate_pem,
        time_stamp_anchors=STAMP_ROOT.certificate_pem,
    )
    return dataclasses.replace(identity, **changes)


def _sign(picture: Path, name: str, identity: SigningIdentity) -> tuple[Path, Signed]:
    path = picture.with_name(name)
    return path, sign(picture, path, _clip(), identity)


def _look(path: Path, **options: Any) -> Any:
    stamps = options.pop("time_stamp_anchors", STAMP_ROOT.certificate_pem)
    return verify(path, ROOT.certificate_pem, time_stamp_anchors=stamps, **options)


def _signed_by_the_short_lived(
    picture: Path,
) -> tuple[Issued, Path, Signed, Path, datetime.datetime]:
    """Return a certificate that is soon over, a picture that was stamped in its time, another that
    was not stamped, and the end; a busy machine needs a longer time.
    """
    for seconds in (3, 6, 12, 24, 48, 96):
        end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
        leaf = certificate(MIDDLE, "short-lived", end=end)
        try:
            with time_stamp_authority(STAMP_ROOT) as url:
                stamped, signed = _sign(picture, "stamped.png", _identity(leaf, time_stamp_url=url))
            plain, _ = _sign(picture, "plain.png", _identity(leaf))
        except ProvenanceError:
            if datetime.datetime.now(datetime.UTC) < end:
                raise
            continue
        before, bare = _look(stamped), _look(plain)
        if datetime.datetime.now(datetime.UTC) < end:
            assert (before.state, before.time_stamp_trusted) == ("trusted", True)
            assert before.time_stamp is not None
            assert bare.state == "trusted"
            return leaf, stamped, signed, plain, end
    raise AssertionError("this machine is too slow to sign two pictures")


def test_a_stamped_picture_outlives_its_certificate(picture: Path) -> None:
    leaf, stamped, signed, plain, end = _signed_by_the_short_lived(picture)
    while datetime.datetime.now(datetime.UTC) <= end + datetime.timedelta(seconds=1):
        time.sleep(0.1)
    assert _look(stamped).state == "trusted"
    assert "signingCredential.expired" in _look(plain).failures
    assert _look(plain).state == "invalid"
    # The stamp is worth what its authority is worth.
    unknown = _look(stamped, time_stamp_anchors=b"")
    assert (unknown.state, unknown.time_stamp_trusted) == ("invalid", False)
    assert "timeStamp.untrusted" in unknown.warnings
    assert verify_store(
        signed.data, ROOT.certificate_pem, time_stamp_anchors=STAMP_ROOT.certificate_pem
    ).state == "trusted"  # fmt: skip
    for path, state in ((stamped, "Trusted"), (plain, "Valid")):
        theirs = encypher_c2pa.verify(
            str(path),
            trust_pem=ROOT.certificate_pem.decode(),
            tsa_trust_pem=STAMP_ROOT.certificate_pem.decode(),
            no_default_trust=True,
            telemetry=False,
        )
        assert theirs["validation_state"] == state
        assert theirs["integrity"] == "valid"
    with pytest.raises(ProvenanceError, match="in force from"):
        _sign(picture, "late.png", _identity(leaf))
    assert not picture.with_name("late.png").exists()


def test_a_time_stamp_authority_vouches_for_no_signer(picture: Path) -> None:
    leaf = MIDDLE.leaf("signer")
    with time_stamp_authority(STAMP_ROOT) as url:
        path, signed = _sign(picture, "out.png", _identity(leaf, time_stamp_url=url))
    both = ROOT.certificate_pem + STAMP_ROOT.certificate_pem
    for anchors in (b"", OTHER_ROOT.certificate_pem):
        for report in (
            verify(path, anchors, time_stamp_anchors=both),
            verify_store(signed.data, anchors, time_stamp_anchors=both),
        ):
            assert (report.state, report.failures) == ("valid", ("signingCredential.untrusted",))
            assert report.time_stamp_trusted


def test_without_its_authority_nothing_is_signed(picture: Path) -> None:
    leaf = MIDDLE.leaf("signer")
    with serve(lambda _path, _body: ("text/plain", b"no")) as talks_otherwise:
        for url in ("http://127.0.0.1:9/", talks_otherwise):
            with pytest.raises(ProvenanceError, match="cannot be time-stamped by http"):
                _sign(picture, "out.png", _identity(leaf, time_stamp_url=url))
    assert not picture.with_name("out.png").exists()
    with pytest.raises(ProvenanceError, match="http://"):
        _identity(leaf, time_stamp_url="tsa.example")


def test_an_authority_is_chosen_overruled_and_turned_off(
    picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots = picture.with_name("roots.pem")
    roots.write_bytes(STAMP_ROOT.certificate_pem)
    assert SigningIdentity.default().time_stamp_url is None
    with time_stamp_authority(STAMP_ROOT) as url:
        choose_time_stamps(url, roots)
        assert SigningIdentity.default().time_stamp_url == url
        path, _ = _sign(picture, "out.png", SigningIdentity.default())
    report = verify(path)
    assert (report.state, report.time_stamp_trusted) == ("trusted", True)
    assert verify_isolated(path) == report
    monkeypatch.setenv(TSA_VARIABLE, "none")
    assert SigningIdentity.default().time_stamp_url is None
    monkeypatch.setenv(TSA_VARIABLE, "http://other.test")
    assert SigningIdentity.default().time_stamp_url == "http://other.test"
    monkeypatch.delenv(TSA_VARIABLE)
    choose_time_stamps(None)
    assert SigningIdentity.default().time_stamp_url is None
    # What was stamped before stays so.
    assert default_time_stamp_anchors() == STAMP_ROOT.certificate_pem
    assert verify(path).time_stamp_trusted


def test_a_rotated_identity_leaves_old_clips_trusted(picture: Path) -> None:
    old = SigningIdentity.default()
    first, _ = _sign(picture, "first.png", old)
    new = rotate_identity()
    assert new.chain != old.chain
    assert new.key != old.key
    second, signed = _sign(picture, "second.png", SigningIdentity.default())
    assert [verify(path).state for path in (first, second)] == ["trusted", "trusted"]
    # The old root alone does not make the new one trusted, nor the other way round.
    assert verify(second, old.anchors).state == "valid"
    assert verify(first, new.anchors).state == "valid"
    assert verify_store_isolated(signed.data).state == "trusted"
    assert not any(b"PRIVATE" in path.read_bytes() for path in data_directory().rglob("*.pem"))


def test_the_users_own_identity_is_chosen_replaced_and_put_back(picture: Path) -> None:
    folder = picture.parent
    development, _ = _sign(picture, "development.png", SigningIdentity.default())
    (folder / "root.pem").write_bytes(ROOT.certificate_pem)
    made = [development]
    for name in ("monday", "tuesday"):
        leaf = MIDDLE.leaf(name)
        (folder / "chain.pem").write_bytes(leaf.certificate_pem + MIDDLE.certificate_pem)
        (folder / f"{name}.key").write_bytes(leaf.key_pem)
        chosen = choose_identity(
            folder / "chain.pem", key=folder / f"{name}.key", anchors=folder / "root.pem"
        )
        assert SigningIdentity.default() == chosen
        made.append(_sign(picture, f"{name}.png", chosen)[0])
        assert verify(made[-1]).signer == name
    with pytest.raises(ProvenanceError, match="identity use"):
        rotate_identity()
    assert reset_identity().name == "obverse development signer"
    assert [verify(path).state for path in made] == ["trusted"] * 3
    assert default_anchors().count(b"BEGIN CERTIFICATE") == 2


def test_a_choice_that_does_not_fit_changes_nothing(picture: Path) -> None:
    folder = picture.parent
    leaf, other = MIDDLE.leaf("one"), MIDDLE.leaf("other")
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    gone = certificate(MIDDLE, "gone", begin=past - datetime.timedelta(days=9), end=past)
    for name, issued in (("one", leaf), ("other", other), ("gone", gone)):
        (folder / f"{name}.pem").write_bytes(issued.certificate_pem + MIDDLE.certificate_pem)
        (folder / f"{name}.key").write_bytes(issued.key_pem)
    before = SigningIdentity.default()
    for chain, key, message in (
        ("one", "other", "not the key"),
        ("gone", "gone", "in force"),
        ("one", "absent", "cannot be read"),
    ):
        with pytest.raises(ProvenanceError, match=message):
            choose_identity(folder / f"{chain}.pem", key=folder / f"{key}.key")
    with pytest.raises(ProvenanceError, match="give one"):
        choose_identity(folder / "one.pem")
    assert SigningIdentity.default() == before


def test_a_revoked_certificate_is_found_when_asked_for(picture: Path) -> None:
    revoked: set[int] = set()
    with ocsp_responder(MIDDLE, revoked) as url:
        leaf = certificate(MIDDLE, "with a responder", ocsp_url=url)
        path, _ = _sign(picture, "out.png", _identity(leaf))
        good = _look(path, online=True)
        assert (good.state, good.revocation) == ("trusted", "good")
        revoked.add(leaf.certificate.serial_number)
        gone = _look(path, online=True)
        assert (gone.state, gone.revocation) == ("invalid", "revoked")
        assert "signingCredential.ocsp.revoked" in gone.failures
        # Nobody is asked unasked.
        assert (_look(path).state, _look(path).revocation) == ("trusted", "not asked")
    silent = _look(path, online=True)
    assert (silent.state, silent.revocation) == ("trusted", "unknown")


def test_a_signer_of_an_unknown_authority_is_not_trusted(picture: Path) -> None:
    leaf = OTHER_ROOT.leaf("stranger")
    stranger = _identity(leaf, chain=leaf.certificate_pem, anchors=OTHER_ROOT.certificate_pem)
    path, signed = _sign(picture, "out.png", stranger)
    for report in (_look(path), verify_store(signed.data, ROOT.certificate_pem)):
        assert (report.state, report.failures) == ("valid", ("signingCredential.untrusted",))
    # A chain that ends nowhere: the leaf's issuer is missing.
    orphan, _ = _sign(picture, "orphan.png", _identity(MIDDLE.leaf("x"), chain=leaf.certificate_pem,
                                                      key=leaf.key_pem))  # fmt: skip
    assert _look(orphan).state == "valid"


def test_a_store_that_was_altered_is_invalid(picture: Path) -> None:
    _, signed = _sign(picture, "out.png", _identity(MIDDLE.leaf("signer")))
    assert verify_store(signed.data, ROOT.certificate_pem).state == "trusted"
    broken = bytearray(signed.data)
    broken[broken.index(b"prompt_guided")] ^= 1
    report = verify_store(bytes(broken), ROOT.certificate_pem)
    assert (report.state, report.failures) == ("invalid", ("assertion.hashedURI.mismatch",))
    assert verify_store(b"no store", ROOT.certificate_pem).state == "invalid"
    assert verify_store(b"", ROOT.certificate_pem).state in ("invalid", "absent")


class _Service:
    """A signing service, as a user would write one."""

    def __init__(self, leaf: Issued, fails: Exception | None = None) -> None:
        self.key, self.fails, self.asked = leaf.key, fails, 0

    def __call__(self, data: bytes) -> bytes:
        self.asked += 1
        if self.fails is not None:
            raise self.fails
        return self.key.sign(data, ec.ECDSA(hashes.SHA256()))


def _from_signer(folder: Path, leaf: Issued, signer: Any) -> SigningIdentity:
    (folder / "chain.pem").write_bytes(leaf.certificate_pem + MIDDLE.certificate_pem)
    (folder / "root.pem").write_bytes(ROOT.certificate_pem)
    return SigningIdentity.from_signer(
        folder / "chain.pem", signer, anchors=folder / "root.pem"
    )  # fmt: skip


def test_a_service_signs_in_place_of_a_key(picture: Path) -> None:
    leaf = MIDDLE.leaf("served")
    service = _Service(leaf)
    with time_stamp_authority(STAMP_ROOT) as url:
        identity = dataclasses.replace(
            _from_signer(picture.parent, leaf, service), time_stamp_url=url
        )
        path, _ = _sign(picture, "out.png", identity)
    assert service.asked >= 1
    report = _look(path)
    assert (report.state, report.signer) == ("trusted", "served")
    assert report.time_stamp_trusted


def test_a_service_that_fails_is_quoted(picture: Path) -> None:
    leaf = MIDDLE.leaf("served")
    for error, message in (
        (ProvenanceError("the vault is shut."), "the vault is shut"),
        (ConnectionError("no route"), "the signer failed .ConnectionError: no route"),
    ):
        with pytest.raises(ProvenanceError, match=message):
            _from_signer(picture.parent, leaf, _Service(leaf, error))
        service = _Service(leaf)
        identity = _from_signer(picture.parent, leaf, service)
        service.fails = error
        with pytest.raises(ProvenanceError, match=message):
            _sign(picture, "out.png", identity)
    assert not picture.with_name("out.png").exists()


def test_a_service_with_another_key_is_refused_at_once(picture: Path) -> None:
    leaf, other = MIDDLE.leaf("served"), MIDDLE.leaf("other")
    for service in (_Service(other), lambda _: b"", lambda data: data):
        with pytest.raises(ProvenanceError, match=r"not the key .*chain.pem, .* by es256; give"):
            _from_signer(picture.parent, leaf, service)
    with pytest.raises(ProvenanceError, match=r"the signer failed .TypeError"):
        _from_signer(picture.parent, leaf, lambda _: None)


_PSS = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size)


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (lambda: ec.generate_private_key(ec.SECP256R1()), (ec.ECDSA(hashes.SHA256()),)),
        (lambda: ec.generate_private_key(ec.SECP384R1()), (ec.ECDSA(hashes.SHA384()),)),
        (lambda: ec.generate_private_key(ec.SECP521R1()), (ec.ECDSA(hashes.SHA512()),)),
        (ed25519.Ed25519PrivateKey.generate, ()),
        (lambda: rsa.generate_private_key(65537, 2048), (_PSS, hashes.SHA256())),
    ],
)
def test_a_signature_is_told_for_every_kind_of_key(make: Any, arguments: tuple[Any, ...]) -> None:
    key, another = make(), make()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "leaf")])
    now = datetime.datetime.now(datetime.UTC)
    chain = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now)
        .sign(MIDDLE.key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    signature = key.sign(b"words", *arguments)
    forms = [signature]
    if isinstance(key, ec.EllipticCurvePrivateKey):
        size = (key.curve.key_size + 7) // 8
        forms.append(b"".join(n.to_bytes(size, "big") for n in decode_dss_signature(signature)))
    for form in forms:
        assert pem.signed_by_leaf(chain, b"words", form)
        assert not pem.signed_by_leaf(chain, b"other words", form)
        assert not pem.signed_by_leaf(chain, b"words", form[:-1] + bytes([form[-1] ^ 1]))
    assert not pem.signed_by_leaf(chain, b"words", another.sign(b"words", *arguments))


def test_an_identity_has_one_way_to_sign() -> None:
    identity = _identity(MIDDLE.leaf("x"))
    for changes in ({"key": b""}, {"signer": bytes}):
        with pytest.raises(ProvenanceError, match="give one"):
            dataclasses.replace(identity, **changes)


_MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/libsofthsm2.so")
_MODULE = next((path for path in _MODULES if Path(path).exists()), None)
PIN = "1234"


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a label for a fresh token in SoftHSM."""
    pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed")
    if _MODULE is None or shutil.which("softhsm2-util") is None:
        pytest.skip("SoftHSM is not installed")
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm.conf").write_text(f"directories.tokendir = {tmp_path / 'tokens'}\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm.conf"))
    monkeypatch.setenv(PIN_VARIABLE, PIN)
    return f"test-{uuid.uuid4().hex[:8]}"


def _into_token(folder: Path, label: str, leaf: Issued) -> None:
    (folder / "leaf.key").write_bytes(
        leaf.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    for arguments in (
        ["--init-token", "--free", "--label", label, "--so-pin", PIN, "--pin", PIN],
        ["--import", str(folder / "leaf.key"), "--token", label, "--label", "signing key",
         "--id", "01", "--pin", PIN],
    ):  # fmt: skip
        subprocess.run(["softhsm2-util", *arguments], check=True, capture_output=True)
    (folder / "leaf.key").unlink()


# In a process of its own, for SoftHSM reads its configuration once.
_TOKEN_SIGNER = """
import pickle, sys
from pathlib import Path
from obverse.errors import ProvenanceError
from obverse.provenance.identity import SigningIdentity
from obverse.provenance.manifest import sign
source, target, pickled = map(Path, sys.argv[1:])
clip, identity = pickle.loads(pickled.read_bytes())
try:
    sign(source, target, clip, identity or SigningIdentity.default())
except ProvenanceError as error:
    sys.exit(str(error))
"""


def _sign_apart(picture: Path, name: str, identity: SigningIdentity | None) -> tuple[Path, str]:
    path, pickled = picture.with_name(name), picture.with_name("job.pickle")
    pickled.write_bytes(pickle.dumps((_clip(), identity)))
    done = subprocess.run(
        [sys.executable, "-c", _TOKEN_SIGNER, *map(str, (picture, path, pickled))],
        capture_output=True,
        text=True,
    )
    return path, done.stderr


def _use_apart(folder: Path, key: Pkcs11Key) -> str:
    """Choose an identity as a user does; return what was said on stderr."""
    arguments = ["identity", "use", "chain.pem", "--anchors", "root.pem"]
    arguments += ["--pkcs11", key.module, "--token", key.token, "--label", key.label]
    done = subprocess.run(
        [sys.executable, "-c", "from obverse.cli import main; main()", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert (done.returncode != 0) == bool(done.stderr)
    return done.stderr


def test_a_key_in_a_token_signs(picture: Path, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    leaf, folder = MIDDLE.leaf("in a token"), picture.parent
    _into_token(folder, token, leaf)
    (folder / "chain.pem").write_bytes(leaf.certificate_pem + MIDDLE.certificate_pem)
    (folder / "root.pem").write_bytes(ROOT.certificate_pem)
    key = Pkcs11Key(str(_MODULE), token, "signing key", "es256")
    identity = dataclasses.replace(_identity(leaf), key=b"", signer=key)
    path, said = _sign_apart(picture, "out.png", identity)
    assert said == ""
    report = _look(path)
    assert (report.state, report.signer) == ("trusted", "in a token")

    assert _use_apart(folder, key) == ""
    chosen, said = _sign_apart(picture, "chosen.png", None)
    assert said == ""
    assert verify(chosen).state == "trusted"

    before = SigningIdentity.default()
    other = MIDDLE.leaf("another")
    (folder / "chain.pem").write_bytes(other.certificate_pem + MIDDLE.certificate_pem)
    said = _use_apart(folder, key)
    assert f"key 'signing key' of token {token!r} is not the key of the first" in said
    assert said.count("\n") == 1
    assert SigningIdentity.default() == before

    for wrong, named in (
        ({"token": "none"}, "'none'"),
        ({"label": "none"}, "'none'"),
        ({"module": "/no.so"}, "no.so"),
    ):
        absent_key = dataclasses.replace(key, **wrong)
        identity = dataclasses.replace(identity, signer=absent_key)
        absent, said = _sign_apart(picture, "no.png", identity)
        assert "did not sign" in said
        assert named in said
        assert "Traceback" not in said
        assert not absent.exists()
    monkeypatch.setenv(PIN_VARIABLE, "9999")
    absent, said = _sign_apart(picture, "no.png", None)
    assert PIN_VARIABLE in said
    assert not absent.exists()
