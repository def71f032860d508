"""A manifest comes back from another server, which is believed in nothing."""

import base64
import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import uvicorn
from click.testing import CliRunner

from obverse.audit.recovery import SOUND_ALGORITHM, Evidence, gather, recover_remotely
from obverse.audit.resolver import ALGORITHMS, content_matcher
from obverse.cli.main import main
from obverse.cli.recover import recover as verb
from obverse.clip import Clip
from obverse.errors import ConfigError, ProvenanceError
from obverse.generator.release import release_still
from obverse.media.still import read_still, write_still
from obverse.provenance.home import HOME_VARIABLE
from obverse.provenance.identity import default_anchors
from obverse.provenance.manifest import FINGERPRINT_ALGORITHM, MARK_ALGORITHM
from obverse.provenance.registry import Registry
from obverse.provenance.remote import RemoteResolver
from obverse.provenance.resolution import Resolution, create_app
from obverse.provenance.verify import verify_store
from obverse.watermark.sound_fingerprint import SoundFingerprint

SIZE = 320
CLIP = Clip(
    id="5e" * 16, path="", label="synthetic", kind="generated", method="talk", rights="synthetic"
)

# (path, query, body) -> (status, headers, body)
Reply = Callable[[str, dict[str, str], bytes], tuple[int, dict[str, str], bytes]]


class _Stranger:
    """A server that answers whatever it is told to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.reply: Reply = lambda *_: (404, {}, b"")
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        stranger = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                parts = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                asked = (parts.path, query, self.rfile.read(length))
                stranger.asked.append(asked)
                code, headers, body = stranger.reply(*asked)
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def stranger() -> Iterator[_Stranger]:
    server = _Stranger()
    yield server
    server.close()


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("home")
        patch.setenv(HOME_VARIABLE, str(home))
        yield home


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory, home: Path) -> tuple[Path, Clip]:
    rng = np.random.default_rng(4)
    noise = rng.normal(128, 30, (SIZE // 8, SIZE // 8, 3)).clip(0, 255)
    picture = np.kron(noise, np.ones((8, 8, 1))).astype(np.uint8)
    path = tmp_path_factory.mktemp("released") / "face.png"
    return path, release_still(picture, CLIP, path)


@pytest.fixture(scope="module")
def evidence(released: tuple[Path, Clip]) -> Evidence:
    return gather(released[0])


@pytest.fixture(scope="module")
def ours(released: tuple[Path, Clip]) -> Iterator[str]:
    """Our own server, over HTTP."""
    with Registry() as registry:
        app = create_app(Resolution(registry, ALGORITHMS, content_matcher(registry)))
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        server.should_exit = True
        thread.join()


def _stripped(released: tuple[Path, Clip], folder: Path) -> Path:
    path = folder / "stripped.jpg"
    write_still(path, read_still(released[0]))
    return path


def test_a_manifest_comes_back_from_another_machine(
    released: tuple[Path, Clip],
    evidence: Evidence,
    ours: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clip = _stripped(released, tmp_path)
    root = tmp_path / "root.pem"
    root.write_bytes(default_anchors())
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "elsewhere"))
    # The signer is nobody's until its root is named.
    (alone,) = recover_remotely(evidence, RemoteResolver.at(ours))
    assert (alone.record.id, alone.manifest.state) == (released[1].manifest, "valid")
    assert (alone.found_by, alone.content, alone.well) == ("mark", "matches", False)
    untold = CliRunner().invoke(verb, [str(clip), "--resolver", ours])
    assert untold.exit_code == 1
    assert untold.stderr.count("\n") == 1
    assert "not trusted" in untold.stderr
    assert f"vouches for {alone.manifest.signer}; pass --trust" in untold.stderr
    told = CliRunner().invoke(verb, [str(clip), "--resolver", ours, "--trust", str(root)])
    assert told.exit_code == 0, told.output
    assert "matches" in told.stdout
    assert told.stderr == ""
    store = Path(f"{clip}.c2pa").read_bytes()
    assert verify_store(store, root.read_bytes()).id == released[1].manifest


def test_without_a_mark_it_is_what_the_clip_shows_that_is_asked_for(
    evidence: Evidence, ours: str, released: tuple[Path, Clip]
) -> None:
    unmarked = Evidence(None, evidence.drawn, None)
    (found,) = recover_remotely(unmarked, RemoteResolver.at(ours))
    assert (found.found_by, found.record.id) == ("picture", released[1].manifest)
    assert found.well
    assert recover_remotely(Evidence(1, None, None), RemoteResolver.at(ours)) == []


def _replies(store: bytes, manifest_id: str = "urn:c2pa:some", **match: Any) -> Reply:
    def reply(path: str, query: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        del query, body
        if path.endswith("/services/supportedAlgorithms"):
            return 200, {}, json.dumps({"watermarks": [{"alg": MARK_ALGORITHM}]}).encode()
        if path.endswith("/matches/byBinding"):
            found = {"manifestId": manifest_id} | match
            return 200, {}, json.dumps({"matches": [found]}).encode()
        return 200, {"Content-Type": "application/c2pa"}, store

    return reply


def _store(released: tuple[Path, Clip]) -> bytes:
    with Registry() as registry:
        record = registry.by_manifest(str(released[1].manifest))
        assert record is not None
        return record.manifest


def test_the_requests_are_those_of_the_specification(
    evidence: Evidence, released: tuple[Path, Clip], stranger: _Stranger
) -> None:
    stranger.reply = _replies(_store(released), "urn:c2pa:a/b c", similarityScore=100)
    (found,) = recover_remotely(evidence, RemoteResolver.at(f"{stranger.url}/v1/"))
    assert found.well
    assert evidence.payload is not None
    mark = base64.b64encode(evidence.payload.to_bytes(8, "big")).decode()
    query = {"alg": MARK_ALGORITHM, "value": mark, "maxResults": "10"}
    assert stranger.asked == [
        ("/v1/services/supportedAlgorithms", {}, b""),
        ("/v1/matches/byBinding", query, b""),
        ("/v1/manifests/urn%3Ac2pa%3Aa%2Fb%20c", {}, b""),
    ]


def test_a_long_value_is_posted(stranger: _Stranger) -> None:
    said = SoundFingerprint.from_bytes(b"word" * 1000)
    stranger.reply = lambda path, *_: (
        (404, {}, b"") if "services" in path else (200, {}, b'{"matches": []}')
    )
    resolver = RemoteResolver.at(f"{stranger.url}/v1")
    assert recover_remotely(Evidence(None, None, said), resolver) == []
    path, query, body = stranger.asked[-1]
    assert (path, query) == ("/v1/matches/byBinding", {"maxResults": "10"})
    value = base64.b64encode(said.to_bytes()).decode()
    assert json.loads(body) == {"alg": SOUND_ALGORITHM, "value": value}


def test_a_host_says_where_its_service_is(stranger: _Stranger) -> None:
    said = {"apiEndpoint": "/deep/v1", "c2paSpecificationVersion": "2.4.0"}
    stranger.reply = lambda *_: (200, {}, json.dumps(said).encode())
    assert RemoteResolver.at(stranger.url).url == f"{stranger.url}/deep/v1"
    assert stranger.asked[0][0] == "/.well-known/c2pa-soft-binding-resolution"
    stranger.reply = lambda *_: (404, {}, b"")
    assert RemoteResolver.at(stranger.url).url == stranger.url


def test_what_a_stranger_gives_is_checked(
    evidence: Evidence, released: tuple[Path, Clip], stranger: _Stranger
) -> None:
    store = _store(released)
    resolver = RemoteResolver.at(f"{stranger.url}/v1")
    # A manifest of another mark, of none, and none at all.
    stranger.reply = _replies(store)
    assert recover_remotely(Evidence(5, evidence.drawn, None), resolver) == []
    stranger.reply = _replies(b"no store")
    assert recover_remotely(evidence, resolver) == []
    damaged = bytearray(store)
    damaged[len(store) // 2] ^= 1
    stranger.reply = _replies(bytes(damaged))
    assert not any(each.well for each in recover_remotely(evidence, resolver))
    # The mark on other content.
    other = Evidence(evidence.payload, gather_flat(), None)
    stranger.reply = _replies(store)
    (found,) = recover_remotely(other, resolver)
    assert (found.content, found.well) == ("not comparable", False)


def gather_flat() -> Any:
    from obverse.watermark.sketch import sketch_frames

    rng = np.random.default_rng(9)
    noise = rng.normal(128, 30, (10, 10, 3)).clip(0, 255)
    return sketch_frames([np.kron(noise, np.ones((32, 32, 1))).astype(np.uint8)], 25.0)


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        ((500, {}, b'{"error": "Service failure."}'), "refused with 500: Service failure."),
        ((200, {}, b"<html>"), "other than JSON"),
        ((200, {}, b"[" * 5000), "other than JSON"),
        ((200, {}, b"[]"), "no list of"),
        ((200, {}, b'{"matches": 3, "watermarks": 3}'), "no list of"),
        ((200, {}, b'{"matches": [3]}'), "no list of matches"),
        ((200, {}, b" " * (1 << 20) + b"{}"), "more than 1048576 bytes"),
        ((302, {"Location": "file:///etc/passwd"}, b""), "refused with 302"),
        ((302, {"Location": "http://192.0.2.1/"}, b""), "sends on to"),
        (
            (200, {}, b'{"matches": [{"manifestId": "a", "endpoint": "http://192.0.2.1/v1"}]}'),
            "neither https nor on the same",
        ),
    ],
)
def test_an_answer_that_is_none_is_a_sentence(
    evidence: Evidence, stranger: _Stranger, reply: Any, sentence: str
) -> None:
    stranger.reply = lambda path, *_: (
        (404, {}, b"") if "services" in path and reply[0] == 200 else reply
    )
    with pytest.raises(ProvenanceError, match=r"^http://127.*\.$") as refused:
        recover_remotely(evidence, RemoteResolver.at(f"{stranger.url}/v1"))
    assert sentence in str(refused.value)


def test_a_place_that_is_none_is_a_sentence(
    released: tuple[Path, Clip], capsys: pytest.CaptureFixture[str]
) -> None:
    for url in ("ftp://example.org", "example.org", "http://", "https://example.org/?a=1"):
        with pytest.raises(ConfigError, match="no address of a resolver"):
            RemoteResolver(url)
    for arguments, sentence in (
        (["--resolver", "http://127.0.0.1:9/v1"], "cannot be asked"),
        (["--resolver", "nowhere"], "no address"),
        (["--resolver", "https://example.org", "--registry", "sqlite:///x"], "two places"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["recover", str(released[0]), *arguments])
        assert ended.value.code == 2
        assert sentence in capsys.readouterr().err


def test_an_answer_that_does_not_come_is_given_up(stranger: _Stranger) -> None:
    def late(*_: object) -> tuple[int, dict[str, str], bytes]:
        time.sleep(1)
        return 404, {}, b""

    stranger.reply = late
    with pytest.raises(ProvenanceError, match="cannot be asked"):
        RemoteResolver.at(f"{stranger.url}/v1", timeout_seconds=0.2).supported()


def test_the_names_asked_for_are_those_that_our_server_knows() -> None:
    assert set(ALGORITHMS) == {MARK_ALGORITHM, FINGERPRINT_ALGORITHM, SOUND_ALGORITHM}
