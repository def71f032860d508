"""The audit from end to end: clips that were released, stripped, forged and robbed of their mark.

What children do is done here in this process, where it is quicker; `test_audit_isolation` is about
them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest

from obverse.audit import examine
from obverse.audit.content import NO_PICTURE, read_content
from obverse.audit.examine import (
    AuditConfig,
    audit,
    detected,
    manifest_finding,
    mark_finding,
)
from obverse.audit.history import read_history
from obverse.audit.isolation import Limits
from obverse.audit.record import Record
from obverse.clip import Clip
from obverse.errors import AuditError, InputError, ObverseError
from obverse.generator.release import release
from obverse.isolation import Answer
from obverse.media.audio import write_wav
from obverse.media.video import VideoWriter, read_frames
from obverse.provenance.home import HOME_VARIABLE
from obverse.provenance.identity import SigningIdentity
from obverse.provenance.manifest import sign
from obverse.provenance.verify import ManifestReport

SIZE, FRAMES = 256, 12
SYNTHETIC = Clip(
    id="1c" * 16, path="", label="synthetic", kind="generated", method="mesh", rights="synthetic"
)
CAMERA = Clip(id="2c" * 16, path="", label="pristine", kind="camera", rights="consented")
SITTER = Clip(id="4c" * 16, path="", label="pristine", kind="rendered", rights="synthetic")
Image = npt.NDArray[np.uint8]


def _scene(seed: int) -> list[Image]:
    """Return a moving picture of coarse blobs, different for each seed."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(40, 215, (9, 9)).astype(np.float32)
    wide = cv2.resize(coarse, (SIZE + FRAMES, SIZE), interpolation=cv2.INTER_CUBIC)
    wide = np.clip(wide + rng.normal(0, 6, wide.shape), 0, 255).astype(np.uint8)
    cuts = [wide[:, start : start + SIZE] for start in range(FRAMES)]
    return [np.ascontiguousarray(np.stack([cut] * 3, -1)) for cut in cuts]


def _write(path: Path, frames: list[Image]) -> Path:
    with VideoWriter(path, SIZE, SIZE, 25) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def _remux(source: Path, target: Path) -> Path:
    with av.open(str(source)) as read, av.open(str(target), "w") as write:
        stream = write.add_stream_from_template(read.streams.video[0])
        for packet in read.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                write.mux(packet)
    return target


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def _here(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(home))

    def ask(task: str, path: Path, limits: Limits, **values: Any) -> Answer:
        del limits
        if task == "faces":
            return Answer(values={"score": None, "detector": None, "faces": [], "worst": []})
        try:
            if task == "history":
                return Answer(values=read_history(path))
            return Answer(values=read_content(path, **values))
        except ObverseError as error:
            return Answer(refused=str(error))

    monkeypatch.setattr(examine, "ask", ask)
    monkeypatch.setattr(examine, "shipped_detector", _none_ships)


def _none_ships() -> Path:
    raise InputError("none ships.")


@pytest.fixture(scope="module")
def clips(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(HOME_VARIABLE, str(home))
        folder = tmp_path_factory.mktemp("clips")
        source = _write(folder / "source.mp4", _scene(2))
        release(iter(_scene(1)), SYNTHETIC, folder / "ai.mp4")
        release(iter(_scene(2)), CAMERA, folder / "camera.mp4", inputs={"source": source})
        release(iter(_scene(3)), SITTER, folder / "sitter.mp4")
        stripped = _remux(folder / "ai.mp4", folder / "stripped.mp4")
        _remux(folder / "camera.mp4", folder / "stripped_camera.mp4")
        identity = SigningIdentity.default()
        human = CAMERA.replace(id="3c" * 16, frames=FRAMES)
        sign(stripped, folder / "human.mp4", human, identity, inputs={"source": source})
        data = bytearray((folder / "ai.mp4").read_bytes())
        data[data.index(b"notAllowed")] ^= 1
        (folder / "altered.mp4").write_bytes(data)
        _write(folder / "plain.mp4", _scene(9))
        marked, plain = list(read_frames(folder / "ai.mp4")), _scene(1)
        robbed = [
            np.clip(other + 2.0 * (mark.astype(np.float32) - own), 0, 255).astype(np.uint8)
            for other, mark, own in zip(_scene(7), marked, plain, strict=True)
        ]
        _write(folder / "copied.mp4", robbed)
        yield folder


def _audit(path: Path, **changes: Any) -> Record:
    return audit(path, AuditConfig(**changes))


@pytest.mark.parametrize(
    ("name", "verdict", "confidence", "wrong"),
    [
        ("ai.mp4", "declared-ai", "very high", False),
        ("camera.mp4", "declared-human", "very high", False),
        ("sitter.mp4", "declared-ai", "very high", False),
        ("stripped.mp4", "recovered-ai", "very high", False),
        ("stripped_camera.mp4", "recovered-human", "high", False),
        ("human.mp4", "ai-under-human-manifest", "very high", True),
        ("altered.mp4", "altered-ai", "very high", True),
        ("copied.mp4", "mark-copied", "high", True),
        ("plain.mp4", "undetermined", "none", False),
    ],
)
def test_each_clip_has_its_verdict(
    clips: Path, name: str, verdict: str, confidence: str, wrong: bool
) -> None:
    made = _audit(clips / name)
    assert (made.verdict, made.confidence, made.wrong) == (verdict, confidence, wrong), made.axes
    assert made.exhibit["name"] == name
    assert len(made.exhibit["sha256"]) == 64
    assert any("proves nothing" in limit for limit in made.limits)
    assert [each["method"].split(":")[0] for each in made.findings] == [
        "C2PA manifest",
        "invisible mark of obverse",
        "registry",
        "fingerprint of the picture",
        "fingerprint of the sound",
        "face forgery detector",
        "container and codec history",
    ]
    assert all(each[part] for each in made.findings for part in each)


def test_a_stripped_clip_gets_its_manifest_back(clips: Path) -> None:
    made = _audit(clips / "stripped.mp4")
    assert made.manifest["state"] == "absent"
    assert made.recovered is not None
    assert made.recovered["state"] == "trusted"
    assert made.registry["clip"]["clip"] == SYNTHETIC.id
    assert made.registry["clip"]["picture_distance"] < 0.1


def test_an_empty_registry_leaves_a_mark_unexplained(clips: Path, tmp_path: Path) -> None:
    made = _audit(clips / "stripped.mp4", registry=f"sqlite:///{tmp_path / 'empty.sqlite'}")
    assert made.verdict == "marked"
    assert made.axes["content"] == "unknown"


def test_another_key_sees_no_mark(clips: Path) -> None:
    made = _audit(clips / "stripped.mp4", key=b"another key of enough bytes")
    assert made.axes["mark"] == "none"
    assert "the key that was given" in made.findings[1]["conditions"]


def test_who_trusts_nobody_sees_a_valid_manifest(clips: Path) -> None:
    made = _audit(clips / "ai.mp4", anchors=b"")
    assert made.axes["manifest"] == "valid, says AI"
    assert made.verdict == "declared-ai"  # the registry vouches for mark and content


def test_sound_is_audited_as_far_as_it_goes(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.zeros(8000, np.float32), 16000)
    made = _audit(tmp_path / "a.wav")
    assert (made.verdict, made.axes["mark"]) == ("undetermined", "not looked for")
    assert NO_PICTURE in made.findings[1]["result"]


@pytest.mark.parametrize("content", [b"", b"hello" * 50])
def test_what_is_no_media_cannot_be_audited(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(InputError) as caught:
        _audit(tmp_path / "a.mp4")
    assert "\n" not in str(caught.value)


def test_a_detector_that_is_none_is_refused(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--run"):
        _audit(clips / "plain.mp4", run=tmp_path / "absent")


def test_a_file_that_changes_meanwhile_is_refused(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes((clips / "plain.mp4").read_bytes())

    def meddle(done: int, steps: int, step: str) -> None:
        if done == 1:
            path.write_bytes((clips / "source.mp4").read_bytes())

    with pytest.raises(AuditError, match="changed"):
        audit(path, AuditConfig(), meddle)


def test_what_brings_a_reader_down_is_a_finding(
    clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        examine, "ask", lambda *_, **__: Answer(brought_down="it took longer than 1 s")
    )
    made = _audit(clips / "ai.mp4")
    assert made.verdict == "declared-ai"
    assert made.confidence == "high"
    assert made.axes["mark"] == "not looked for"
    assert sum("could not be found out" in limit for limit in made.limits) == 3
    assert "longer than 1 s" in made.findings[1]["result"]


def _score(**changes: Any) -> dict[str, Any]:
    values = {"status": "ok", "score": 0.9, "lr": 20.0, "verdict": "synthetic", "reason": None}
    return values | changes


@pytest.mark.parametrize(
    ("score", "finding"),
    [
        (_score(), "synthetic"),
        (_score(lr=0.05, verdict="pristine"), "pristine"),
        (_score(lr=1.5), "cannot tell"),  # no ratio that supports the verdict
        (_score(lr=0.2), "cannot tell"),
        (_score(lr=20.0, verdict="cannot tell"), "cannot tell"),
        (_score(lr=None, verdict="cannot tell"), "cannot tell"),
        (_score(status="missing", lr=None), "missing"),
        (_score(status="error", lr=None), "error"),
        (None, "error"),
    ],
)
def test_what_a_score_says(score: dict[str, Any] | None, finding: str) -> None:
    assert detected(score, Answer(values={}), asked=True)[0] == finding
    assert detected(score, Answer(values={}), asked=False) == ("not run", None)


@pytest.mark.parametrize(
    ("kind", "label", "says"),
    [
        ("trainedAlgorithmicMedia", {}, "AI"),
        ("algorithmicMedia", {"label": "pristine", "kind": "rendered"}, "AI"),
        ("digitalCapture", {}, "human"),
        ("composite", {}, "silent"),
        (None, {}, "silent"),
        (None, {"label": "pristine", "kind": "camera"}, "human"),
        (None, {"label": "synthetic", "kind": "generated"}, "AI"),
        ("somethingNew", {}, "silent"),
    ],
)
def test_what_a_manifest_says(kind: str | None, label: dict[str, str], says: str) -> None:
    for state in ("trusted", "valid"):
        report = ManifestReport(state, digital_source_type=kind, label=label)
        assert manifest_finding(report).split()[-1] == says
        assert manifest_finding(report).startswith(state)
    assert manifest_finding(ManifestReport("invalid", digital_source_type=kind)) == "invalid"
    assert manifest_finding(ManifestReport("absent")) == "absent"


@pytest.mark.parametrize(
    ("mark", "state", "named", "finding"),
    [
        (None, "trusted", 5, "not looked for"),
        ((False, None), "absent", None, "none"),
        ((False, None), "trusted", 5, "promised"),
        ((True, None), "trusted", 5, "lost"),
        ((True, 5), "trusted", 5, "named"),
        ((True, 6), "valid", 5, "contradicted"),
        ((True, 5), "absent", None, "read"),
        ((True, 5), "invalid", 5, "read"),  # a broken manifest names nothing
    ],
)
def test_how_mark_and_manifest_go_together(
    mark: tuple[bool, int | None] | None, state: str, named: int | None, finding: str
) -> None:
    reading = None
    if mark is not None:
        present, payload = mark
        reading = {"present": present, "payload": None if payload is None else f"{payload:016x}"}
    report = ManifestReport(state, payload=named)  # type: ignore[arg-type]
    assert mark_finding(reading, report) == finding
