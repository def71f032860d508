import hashlib
import shutil
from pathlib import Path
from typing import Any

import av
import encypher_c2pa
import numpy as np
import pytest
from PIL import Image

from obverse import isolation
from obverse.clip import Clip
from obverse.errors import InputError, ProvenanceError
from obverse.provenance.certificates import development_chain
from obverse.provenance.home import HOME_VARIABLE
from obverse.provenance.identity import SigningIdentity
from obverse.provenance.isolation import verify_isolated
from obverse.provenance.manifest import Signed, build_manifest, sign
from obverse.provenance.verify import verify

PAYLOAD = 0x0123456789ABCDEF


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def _home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(home))


def _write_video(path: Path, seed: int = 0, frames: int = 10) -> Path:
    rng = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(frames):
            picture = rng.integers(0, 256, (64, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write_video(tmp_path_factory.mktemp("video") / "plain.mp4")


def _clip(**changes: Any) -> Clip:
    clip = Clip(
        id="ab" * 16,
        path="clip.mp4",
        label="synthetic",
        kind="generated",
        method="mesh",
        seed=7,
        controls={"emotion": 0.5},
        parents={"portrait": "0" * 32},
        mark=f"{PAYLOAD:016x}",
        frames=10,
        width=64,
        height=64,
        fake_segments=((0.0, 0.4),),
        rights="synthetic",
        warnings=("the head is turned far",),
    )
    return clip.replace(**changes)


def _sign(video: Path, out: Path, clip: Clip | None = None, **inputs: Path) -> Signed:
    return sign(video, out, clip or _clip(), SigningIdentity.default(), inputs=inputs)


def _independent(path: Path, anchors: bytes | None = None) -> Any:
    trusted = SigningIdentity.default().anchors if anchors is None else anchors
    return encypher_c2pa.verify(
        str(path), trust_pem=trusted.decode(), no_default_trust=True, telemetry=False
    )


def _flip(path: Path, out: Path, position: int) -> Path:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    out.write_bytes(data)
    return out


def test_our_own_clip_is_trusted_and_tells_everything(video: Path, tmp_path: Path) -> None:
    portrait = tmp_path / "portrait.png"
    Image.new("RGB", (32, 32), (200, 150, 120)).save(portrait)
    signed = _sign(video, tmp_path / "out.mp4", portrait=portrait)
    report = verify(tmp_path / "out.mp4")
    assert (report.state, report.failures) == ("trusted", ())
    assert report.id == signed.id
    assert report.signer == "obverse development signer"
    assert report.payload == PAYLOAD
    assert report.digital_source_type == "trainedAlgorithmicMedia"
    assert report.generator is not None
    assert report.generator.startswith("obverse ")
    assert report.created is not None
    label = report.label
    for name in ("id", "label", "kind", "method", "seed", "controls", "parents", "rights", "mark"):
        assert label[name] == getattr(_clip(), name)
    assert label["fake_segments"] == [[0.0, 0.4]]
    assert label["warnings"] == ["the head is turned far"]
    (ingredient,) = report.ingredients
    assert (ingredient.role, ingredient.relationship) == ("portrait", "inputTo")
    assert ingredient.sha256 == label["inputs"]["portrait"]


@pytest.mark.parametrize("kind", ["rendered", "camera"])
def test_another_sound_is_stated(video: Path, tmp_path: Path, kind: str) -> None:
    heard = tmp_path / "heard.wav"
    heard.write_bytes(b"RIFF")
    inputs = {"audio": heard} | ({"source": video} if kind == "camera" else {})
    laid: dict[str, Any] = {"kind": kind, "label": "pristine", "fake_segments": ()}
    laid |= {"sound": "synthetic", "sound_segments": ((0.0, 0.4),), "method": "voiceover"}
    _sign(video, tmp_path / "out.mp4", _clip(**laid), **inputs)
    report = verify(tmp_path / "out.mp4")
    assert report.state == "trusted"
    assert (report.label["label"], report.label["sound"]) == ("pristine", "synthetic")
    assert report.label["sound_segments"] == [[0.0, 0.4]]
    assert report.digital_source_type == ("algorithmicMedia" if kind == "rendered" else None)

    def actions(clip: Clip) -> list[dict[str, Any]]:
        built = build_manifest(clip, inputs)["assertions"]
        assertions = {each["label"]: each["data"] for each in built}
        assert "c2pa.ai-disclosure" not in assertions
        return list(assertions["c2pa.actions.v2"]["actions"])

    told = {action["action"]: action for action in actions(_clip(**laid))}
    assert told["c2pa.dubbed"]["parameters"] == {"ingredientIds": ["audio"]}
    assert "parameters" not in told.get("c2pa.created", {})  # the picture is not of that sound
    own = _clip(**laid | {"sound": None, "sound_segments": ()})
    assert "c2pa.dubbed" not in {action["action"] for action in actions(own)}


@pytest.mark.parametrize(
    ("changes", "source_type"),
    [
        ({}, "trainedAlgorithmicMedia"),
        ({"label": "pristine", "kind": "rendered", "fake_segments": ()}, "algorithmicMedia"),
        ({"label": "pristine", "kind": "camera", "fake_segments": ()}, None),
    ],
)
def test_an_independent_verifier_agrees(
    video: Path, tmp_path: Path, changes: dict[str, Any], source_type: str | None
) -> None:
    inputs = {"source": video} if changes.get("kind") == "camera" else {"audio": video}
    _sign(video, tmp_path / "out.mp4", _clip(**changes), **inputs)
    theirs = _independent(tmp_path / "out.mp4")
    assert (theirs["integrity"], theirs["hard_binding"]) == ("valid", "match")
    assert theirs["validation_state"] == "Trusted"
    assert theirs["validation_results"]["failure"] == []
    ours = verify(tmp_path / "out.mp4")
    assert (ours.state, ours.digital_source_type) == ("trusted", source_type)


def test_another_authority_is_valid_and_not_trusted(video: Path, tmp_path: Path) -> None:
    _sign(video, tmp_path / "out.mp4")
    other = development_chain()[0].certificate_pem
    for anchors in (other, b""):
        report = verify(tmp_path / "out.mp4", anchors)
        assert report.state == "valid"
        assert "signingCredential.untrusted" in report.failures
    assert _independent(tmp_path / "out.mp4", other)["validation_state"] == "Valid"


def test_one_bit_flipped_in_the_media_is_invalid(video: Path, tmp_path: Path) -> None:
    _sign(video, tmp_path / "out.mp4")
    data = (tmp_path / "out.mp4").read_bytes()
    start = data.index(b"mdat") + 4
    for position in (start, start + 500, data.index(b"moov") + 40):
        flipped = _flip(tmp_path / "out.mp4", tmp_path / "flipped.mp4", position)
        report = verify(flipped)
        assert report.state == "invalid"
        assert "assertion.bmffHash.mismatch" in report.failures
        assert _independent(flipped)["integrity"] != "valid"


@pytest.mark.parametrize("text", [b"the head is turned far", b"prompt_guided", b"notAllowed"])
def test_one_bit_flipped_in_an_assertion_is_invalid(
    video: Path, tmp_path: Path, text: bytes
) -> None:
    _sign(video, tmp_path / "out.mp4")
    position = (tmp_path / "out.mp4").read_bytes().index(text)
    flipped = _flip(tmp_path / "out.mp4", tmp_path / "flipped.mp4", position)
    report = verify(flipped)
    assert report.state == "invalid"
    assert "assertion.hashedURI.mismatch" in report.failures
    assert _independent(flipped)["integrity"] != "valid"


def test_a_manifest_that_cannot_be_parsed_is_invalid(video: Path, tmp_path: Path) -> None:
    _sign(video, tmp_path / "out.mp4")
    position = (tmp_path / "out.mp4").read_bytes().index(b"jumb")
    report = verify(_flip(tmp_path / "out.mp4", tmp_path / "flipped.mp4", position))
    assert report.state == "invalid"
    assert report.failures


def test_remuxed_is_absent(video: Path, tmp_path: Path) -> None:
    _sign(video, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as source, av.open(str(tmp_path / "r.mp4"), "w") as to:
        stream = to.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                to.mux(packet)
    assert verify(tmp_path / "r.mp4").state == "absent"
    assert verify(video).state == "absent"


def test_a_tampered_parent_taints_its_children(video: Path, tmp_path: Path) -> None:
    parent, child, grandchild = (tmp_path / f"{name}.mp4" for name in ("parent", "child", "grand"))
    _sign(video, parent)
    camera = _clip(label="pristine", kind="camera", fake_segments=())
    _sign(video, child, camera, source=parent)
    assert verify(child).state == "trusted"

    data = bytearray(parent.read_bytes())
    data[data.index(b"mdat") + 100] ^= 1
    parent.write_bytes(data)
    _sign(video, child, camera, source=parent)
    _sign(video, grandchild, camera, source=child)
    for path in (child, grandchild):
        report = verify(path)
        assert report.state == "invalid"
        assert report.failures == ("source/assertion.bmffHash.mismatch",)


def test_a_parent_of_an_unknown_signer_is_a_warning(
    video: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "elsewhere"))
    _sign(video, tmp_path / "parent.mp4")
    monkeypatch.setenv(HOME_VARIABLE, str(home))
    camera = _clip(label="pristine", kind="camera", fake_segments=())
    _sign(video, tmp_path / "child.mp4", camera, source=tmp_path / "parent.mp4")
    report = verify(tmp_path / "child.mp4")
    assert (report.state, report.failures) == ("trusted", ())
    assert report.warnings == ("source/signingCredential.untrusted",)


def test_a_camera_clip_needs_its_source(video: Path, tmp_path: Path) -> None:
    camera = _clip(label="pristine", kind="camera", fake_segments=())
    with pytest.raises(ProvenanceError, match="source"):
        _sign(video, tmp_path / "out.mp4", camera)
    assert not (tmp_path / "out.mp4").exists()


def test_what_cannot_carry_a_manifest_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "clip.mkv").write_bytes(b"\x1a\x45\xdf\xa3" + bytes(100))
    with pytest.raises(ProvenanceError, match="signed"):
        _sign(tmp_path / "clip.mkv", tmp_path / "out.mkv")
    assert not (tmp_path / "out.mkv").exists()


def test_the_name_of_an_input_file_is_not_published(video: Path, tmp_path: Path) -> None:
    private = tmp_path / "jane-doe-at-home.mp4"
    shutil.copy(video, private)
    _sign(video, tmp_path / "out.mp4", driving=private)
    assert b"jane" not in (tmp_path / "out.mp4").read_bytes()


@pytest.mark.parametrize(
    "name", ["photo.jpg", "photo.png", "voice.ogg", "voice.mp4", "broken.svg", "noext"]
)
def test_an_input_need_not_be_what_it_is_called(video: Path, tmp_path: Path, name: str) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "picture.webp")
    shutil.copy(tmp_path / "picture.webp", tmp_path / name)
    _sign(video, tmp_path / "out.mp4", portrait=tmp_path / name)
    report = verify(tmp_path / "out.mp4")
    assert (report.state, report.failures) == ("trusted", ())
    assert report.ingredients[0].sha256 is not None
    assert _independent(tmp_path / "out.mp4")["validation_state"] == "Trusted"


@pytest.mark.parametrize("content", [b"", b"RIFF", b"\x89PNG\r\n\x1a\n", b"\0\0\0\x18ftypmp42"])
def test_a_broken_input_is_named_by_its_hash(video: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.png").write_bytes(content)
    _sign(video, tmp_path / "out.mp4", portrait=tmp_path / "broken.png")
    report = verify(tmp_path / "out.mp4")
    assert report.state == "trusted"
    assert report.ingredients[0].sha256 == hashlib.sha256(content).hexdigest()


def test_a_still_carries_a_manifest_too(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "face.png")
    rendered = _clip(label="pristine", kind="rendered", fake_segments=(), mark=None, frames=1)
    _sign(tmp_path / "face.png", tmp_path / "out.png", rendered)
    report = verify(tmp_path / "out.png")
    assert (report.state, report.payload) == ("trusted", None)


@pytest.mark.parametrize("name", ["empty.mp4", "noise.mp4", "text.txt"])
def test_what_is_no_media_file_has_no_manifest(tmp_path: Path, name: str) -> None:
    content = {"empty.mp4": b"", "noise.mp4": bytes(range(256)) * 9, "text.txt": b"hello"}[name]
    (tmp_path / name).write_bytes(content)
    assert verify(tmp_path / name).state == "absent"


def test_an_absent_file_cannot_be_read(tmp_path: Path) -> None:
    for check in (verify, verify_isolated):
        with pytest.raises(InputError, match="cannot be read"):
            check(tmp_path / "absent.mp4")


def test_isolated_says_the_same(video: Path, tmp_path: Path) -> None:
    _sign(video, tmp_path / "out.mp4")
    assert verify_isolated(tmp_path / "out.mp4") == verify(tmp_path / "out.mp4")


def test_a_file_that_keeps_the_reader_busy_is_invalid(video: Path, tmp_path: Path) -> None:
    _sign(video, tmp_path / "out.mp4")
    report = verify_isolated(tmp_path / "out.mp4", timeout_seconds=0.001)
    assert (report.state, report.failures) == ("invalid", ("manifest.unreadable",))


def test_a_reader_that_crashes_is_invalid(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _sign(video, tmp_path / "out.mp4")
    monkeypatch.setattr(isolation, "_MODULE", "this.module.is.not.there")
    assert verify_isolated(tmp_path / "out.mp4").state == "invalid"
