"""The page's server: what a visitor gets, what is refused, and that nothing is kept."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from audit_records import record
from fastapi.testclient import TestClient

from obverse.audit.jobs import JobConfig, Jobs, Progress
from obverse.audit.record import Record
from obverse.audit.server import ServeConfig, application
from obverse.errors import ConfigError, InputError
from obverse.media.still import write_still
from obverse.provenance.home import HOME_VARIABLE
from obverse.provenance.manifest import MARK_ALGORITHM
from obverse.provenance.sidecar import state_beside

MP4 = b"\0\0\0\x18ftypisom\0\0\0\0isomiso2" + b"\0" * 200


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))


class _Examiner:
    """Audits at once, or when it is let."""

    def __init__(self) -> None:
        self.seen: list[Path] = []
        self.bytes: list[bytes] = []
        self.held = False
        self.error: Exception | None = None

    def __call__(self, path: Path, tell: Progress) -> Record:
        self.seen.append(path)
        self.bytes.append(path.read_bytes())
        tell(1, 5, "mark")
        while self.held:
            time.sleep(0.01)
        if self.error is not None:
            raise self.error
        return record()


@pytest.fixture
def examiner() -> _Examiner:
    return _Examiner()


def _client(examiner: _Examiner, **changes: Any) -> TestClient:
    values: dict[str, Any] = {"hosts": ("testserver",), "most_bytes": 1 << 20} | changes
    return TestClient(application(ServeConfig(**values), examiner))


@pytest.fixture
def client(examiner: _Examiner) -> Iterator[TestClient]:
    with _client(examiner) as client:
        yield client


def _end(client: TestClient, job: dict[str, Any]) -> dict[str, Any]:
    for _ in range(3000):
        job = client.get(f"/api/audits/{job['id']}").json()
        if job["state"] in ("done", "failed"):
            return job
        time.sleep(0.01)
    raise AssertionError("the audit never ended")


def _upload(client: TestClient, content: bytes = MP4, name: str = "my clip.mp4") -> dict[str, Any]:
    response = client.post("/api/audits", params={"name": name}, content=content)
    assert response.status_code == 202, response.text
    job: dict[str, Any] = response.json()
    return job


def test_an_upload_is_audited_and_deleted(client: TestClient, examiner: _Examiner) -> None:
    job = _end(client, _upload(client))
    assert job["state"] == "done"
    assert job["record"]["verdict"] == "declared-ai"
    assert job["record"]["exhibit"]["name"] == "my clip.mp4"
    assert "<svg" in job["timeline"]
    assert examiner.bytes == [MP4]
    (path,) = examiner.seen
    assert path.suffix == ".mp4"
    assert "my clip" not in str(path)
    assert not path.parent.exists()


def test_reports_come_in_every_form_with_a_signature(client: TestClient) -> None:
    job = _end(client, _upload(client))
    base = f"/api/audits/{job['id']}/report"
    for form, start in ((".html", b"<!doctype"), (".pdf", b"%PDF"), (".json", b"{")):
        report = client.get(base + form)
        assert report.content.startswith(start)
        assert "script-src" not in report.headers["content-security-policy"]
        assert "sandbox" in report.headers["content-security-policy"]
        store = client.get(f"{base}{form}.c2pa").content
        assert state_beside(report.content, store, b"")[0] == "valid"
        assert state_beside(report.content + b" ", store, b"")[0] == "invalid"
    assert client.get(base + ".exe").status_code == 404


def test_an_audit_that_cannot_be_kept_has_failed(examiner: _Examiner, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with _client(examiner, jobs=JobConfig(keep=tmp_path / "file")) as client:
        job = _end(client, _upload(client))
        assert (job["state"], job["record"]) == ("failed", None)
        assert "cannot be kept" in job["error"]
        assert client.get(f"/api/audits/{job['id']}/report.html").status_code == 409


def test_whoever_sees_an_audit_end_finds_its_upload_gone(
    examiner: _Examiner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    jobs = Jobs(JobConfig(), examiner)
    drop = jobs.drop

    def watched(folder: Path) -> None:
        seen.append(job.state)
        drop(folder)

    monkeypatch.setattr(jobs, "drop", watched)
    folder = jobs.place()
    (folder / "clip.mp4").write_bytes(MP4)
    examiner.held = True
    job = jobs.start(folder / "clip.mp4", "clip", folder)
    examiner.held = False
    jobs.close()
    assert seen == ["running"]
    assert (job.state, job.ended is None) == ("done", False)


def test_an_audit_is_forgotten_when_asked_and_in_time(
    client: TestClient, examiner: _Examiner
) -> None:
    job = _end(client, _upload(client))
    assert client.delete(f"/api/audits/{job['id']}").status_code == 204
    assert client.get(f"/api/audits/{job['id']}").status_code == 404
    with _client(examiner, jobs=JobConfig(remembered=2)) as other:
        jobs = [_end(other, _upload(other)) for _ in range(4)]
        states = [other.get(f"/api/audits/{job['id']}").status_code for job in jobs]
    assert states == [404, 404, 200, 200]
    with _client(examiner, jobs=JobConfig(seconds=0.0)) as other:
        job = _upload(other)
        for _ in range(3000):
            if other.get(f"/api/audits/{job['id']}").status_code == 404:
                break
            time.sleep(0.01)
        else:
            raise AssertionError("it was remembered")


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (b"", 400, "empty"),
        (b"hello" * 100, 415, "no film"),
        (b"%PDF-1.7" + b"\0" * 100, 415, "no film"),
        (MP4 + b"\0" * (1 << 20), 413, "larger than 1 MiB"),
    ],
)
def test_what_is_no_clip_is_refused(
    client: TestClient, examiner: _Examiner, content: bytes, status: int, words: str
) -> None:
    response = client.post("/api/audits", content=content)
    assert response.status_code == status
    assert words in response.json()["error"]
    assert examiner.seen == []


def test_a_body_without_a_length_is_counted(client: TestClient) -> None:
    def pieces() -> Iterator[bytes]:
        yield MP4
        for _ in range(64):
            yield b"\0" * (1 << 15)

    response = client.post("/api/audits", content=pieces())
    assert response.status_code == 413


def test_few_audits_run_and_few_wait(examiner: _Examiner) -> None:
    examiner.held = True
    with _client(examiner, jobs=JobConfig(at_once=1, waiting=1)) as client:
        first, second = _upload(client), _upload(client)
        response = client.post("/api/audits", content=MP4)
        assert response.status_code == 503
        assert "wait" in response.json()["error"]
        assert client.get(f"/api/audits/{second['id']}").json()["state"] == "queued"
        assert client.delete(f"/api/audits/{first['id']}").status_code == 409
        assert client.get(f"/api/audits/{first['id']}/report.html").status_code == 409
        examiner.held = False
        assert _end(client, first)["state"] == _end(client, second)["state"] == "done"


@pytest.mark.parametrize(
    ("error", "words"),
    [(InputError("{path} is damaged; get another."), "the clip is damaged"),
     (RuntimeError("/secret/place"), "RuntimeError")],
)  # fmt: skip
def test_a_failure_is_a_sentence_without_places(
    client: TestClient, examiner: _Examiner, error: Exception, words: str
) -> None:
    class _PlacedError(InputError):
        def __str__(self) -> str:
            return str(error).replace("{path}", str(examiner.seen[-1]))

    examiner.error = _PlacedError() if isinstance(error, InputError) else error
    job = _end(client, _upload(client))
    assert job["state"] == "failed"
    assert words in job["error"]
    assert "/" not in job["error"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\films\\a.mp4", "a.mp4"),
        ("a\x1b[2Jb\n.mp4", "a[2Jb.mp4"),
        ("", "clip"),
        ("x" * 400, "x" * 120),
    ],
)
def test_names_are_fit_to_be_shown(client: TestClient, name: str, shown: str) -> None:
    assert _upload(client, name=name)["name"] == shown


def test_other_sites_and_other_hosts_are_refused(client: TestClient) -> None:
    for site in ("cross-site", "same-site"):
        response = client.post("/api/audits", content=MP4, headers={"Sec-Fetch-Site": site})
        assert response.status_code == 403
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 400


def test_the_page_and_all_that_it_needs_come_from_here(client: TestClient) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "unsafe-inline" not in page.headers["content-security-policy"]
    for path in ("/serve.css", "/serve.js"):
        assert path in page.text
        text = client.get(path).text
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in text
    assert " style=" not in page.text
    assert "onclick" not in page.text
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["cache-control"] == "no-store"


def test_clips_of_a_folder_may_be_picked_and_no_others(examiner: _Examiner, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    write_still(folder / "a face.png", np.zeros((8, 8, 3), np.uint8))
    (folder / "notes.txt").write_text("secret")
    (folder / ".hidden.png").write_bytes((folder / "a face.png").read_bytes())
    (tmp_path / "outside.png").write_bytes((folder / "a face.png").read_bytes())
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    with _client(examiner, clips=folder) as client:
        assert client.get("/api/clips").json() == ["a face.png"]
        assert client.get("/api/clips/a face.png").headers["content-type"] == "image/png"
        job = client.post("/api/audits", params={"pick": "a face.png"}).json()
        assert _end(client, job)["state"] == "done"
        assert (folder / "a face.png").is_file()
        for name in (
            "notes.txt",
            ".hidden.png",
            "link.png",
            "../outside.png",
            "%2e%2e/outside.png",
        ):
            assert client.get(f"/api/clips/{name}").status_code == 404
            assert client.post("/api/audits", params={"pick": name}).status_code == 404


def test_what_is_to_be_kept_is_kept(examiner: _Examiner, tmp_path: Path) -> None:
    with _client(examiner, jobs=JobConfig(keep=tmp_path / "kept")) as client:
        assert _end(client, _upload(client))["state"] == "done"
    kept = sorted(path.suffix for path in (tmp_path / "kept").iterdir())
    assert kept == [".json", ".mp4"]


def test_the_resolution_api_is_behind_its_door(client: TestClient) -> None:
    found = client.get("/c2pa/v1/services/supportedAlgorithms").json()
    assert {"alg": MARK_ALGORITHM} in found["watermarks"]
    assert client.post("/c2pa/v1/manifests", content=b"x").status_code in (401, 403)
    said = client.get("/.well-known/c2pa-soft-binding-resolution").json()
    assert said["apiEndpoint"] == "/c2pa/v1"
    for name in ("capabilitiesEndpoint", "statusEndpoint"):
        assert client.get(said[name]).status_code == 200
    capable = client.get(said["capabilitiesEndpoint"]).json()
    assert capable["c2paSpecificationVersion"] == said["c2paSpecificationVersion"]


def test_the_api_describes_itself(client: TestClient) -> None:
    schema = client.get("/api/openapi.json").json()
    assert "/api/audits" in schema["paths"]
    assert client.get("/docs").status_code == 404


@pytest.mark.parametrize(
    "changes",
    [
        {"most_bytes": 0},
        {"upload_seconds": 0.0},
        {"jobs": JobConfig(at_once=0)},
        {"jobs": JobConfig(waiting=-1)},
        {"clips": Path("/nowhere")},
    ],
)
def test_settings_that_serve_nothing_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        ServeConfig(**changes)
