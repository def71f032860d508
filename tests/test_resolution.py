"""The Soft Binding Resolution API: the specification's routes and shapes, limits, who may write."""

import base64
import dataclasses
import datetime
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import c2pa
import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from PIL import Image

from obverse.audit.recovery import Evidence
from obverse.audit.resolver import ALGORITHMS, SOUND_ALGORITHM, content_matcher
from obverse.clip import Clip
from obverse.errors import InputError, ProvenanceError
from obverse.provenance.certificates import Issued
from obverse.provenance.home import HOME_VARIABLE
from obverse.provenance.identity import SigningIdentity
from obverse.provenance.jumbf import active_only
from obverse.provenance.manifest import FINGERPRINT_ALGORITHM, MARK_ALGORITHM, Signed, sign
from obverse.provenance.registry import Registry
from obverse.provenance.resolution import Resolution, create_app
from obverse.provenance.verify import verify_store
from obverse.watermark.sound_fingerprint import SoundFingerprint

TOKEN = "a token of sixteen"
MARKS = (0x0123456789ABCDEF, 0xFEDCBA9876543210)
SAID = b"word" * 90
SHOWN = bytes(range(8)) + bytes(range(100, 108))


@pytest.fixture(scope="module", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(HOME_VARIABLE, str(tmp_path_factory.mktemp("home")))
        yield


def _clip(number: int) -> Clip:
    return Clip(
        id=f"{number:032x}", path="", label="synthetic", kind="generated", method="talk",
        rights="synthetic", mark=f"{MARKS[number]:016x}",
    )  # fmt: skip


def _signed(folder: Path, number: int, source: Path | None = None, **options: Any) -> Signed:
    picture = source or folder / "plain.png"
    if source is None:
        Image.effect_noise((64, 64), 40).convert("RGB").save(picture)
    identity = options.pop("identity", None) or SigningIdentity.default()
    target = folder / f"{number}.png"
    return sign(picture, target, _clip(number), identity, fingerprint=SHOWN, **options)


def _read(path: Path) -> Evidence:
    """A reader that knows one clip, and what is none."""
    content = path.read_bytes()
    if content.startswith(b"broken"):
        raise InputError(f"{path} cannot be read; give a whole copy.")
    if content == b"another's mark":
        return Evidence(MARKS[1], None, SoundFingerprint.from_bytes(SAID))
    return Evidence(MARKS[0] if content == b"the clip" else None, None, None)


@dataclasses.dataclass
class _Service:
    registry: Registry
    first: Signed
    served: Resolution
    client: TestClient


@pytest.fixture
def service(tmp_path: Path) -> Iterator[_Service]:
    with Registry(f"sqlite:///{tmp_path / 'registry.sqlite'}") as registry:
        first = _signed(tmp_path, 0)
        registry.add(
            _clip(0), first.id, MARKS[0], manifest=first.data, fingerprint=SHOWN, sound=SAID
        )
        served = Resolution(
            registry, ALGORITHMS, content_matcher(registry, _read), token=TOKEN,
            most_upload_bytes=10_000,
        )  # fmt: skip
        with TestClient(create_app(served)) as client:
            yield _Service(registry, first, served, client)


def _value(data: bytes) -> str:
    return base64.b64encode(data).decode()


MARK = _value(MARKS[0].to_bytes(8, "big"))


def test_a_mark_leads_to_its_manifest(service: _Service) -> None:
    query = {"alg": MARK_ALGORITHM, "value": MARK}
    expected = {"matches": [{"manifestId": service.first.id, "similarityScore": 100}]}
    assert service.client.get("/matches/byBinding", params=query).json() == expected
    assert service.client.post("/matches/byBinding", json=query).json() == expected
    other = query | {"value": _value(bytes(8))}
    assert service.client.get("/matches/byBinding", params=other).json() == {"matches": []}
    found = service.client.get(f"/manifests/{service.first.id}")
    assert found.headers["content-type"] == "application/c2pa"
    assert found.content == service.first.data
    assert verify_store(found.content).id == service.first.id


def test_a_fingerprint_leads_to_its_neighbours(service: _Service) -> None:
    near = bytes([SHOWN[0] ^ 0x0F]) + SHOWN[1:]
    for algorithm, value, score in (
        (FINGERPRINT_ALGORITHM, SHOWN, 100),
        (FINGERPRINT_ALGORITHM, near, 94),
        (SOUND_ALGORITHM, b"word" * 90, 100),
    ):
        query = {"alg": algorithm, "value": _value(value)}
        (found,) = service.client.post("/matches/byBinding", json=query).json()["matches"]
        assert (found["manifestId"], found["similarityScore"]) == (service.first.id, score)
    far = {"alg": FINGERPRINT_ALGORITHM, "value": _value(bytes(8))}
    assert service.client.post("/matches/byBinding", json=far).json() == {"matches": []}


def test_pages_and_limits_hold(service: _Service) -> None:
    for number in range(5):
        service.registry.add(_clip(0), f"urn:c2pa:{number}", MARKS[0])
    query = {"alg": MARK_ALGORITHM, "value": MARK}

    def ids(**more: int) -> list[str]:
        answer = service.client.get("/matches/byBinding", params={**query, **more}).json()
        return [each["manifestId"] for each in answer["matches"]]

    everything = ids()
    assert len(everything) == 6
    assert ids(maxResults=2) == everything[:2]
    assert ids(maxResults=2, offset=2) == everything[2:4]
    assert ids(maxResults=1000, offset=5) == everything[5:]
    assert (
        service.client.get("/matches/byBinding", params={**query, "maxResults": 0}).status_code
        == 400
    )


def test_a_clip_leads_to_its_manifest(service: _Service) -> None:
    def post(content: bytes, kind: str = "video/mp4", **query: str) -> Any:
        return service.client.post(
            "/matches/byContent", content=content, headers={"content-type": kind}, params=query
        )

    match = {"manifestId": service.first.id, "similarityScore": 50}
    assert post(b"the clip").json() == {"matches": [match]}
    assert post(b"the clip", alg=MARK_ALGORITHM).json() == {"matches": [match]}
    assert post(b"another").json() == {"matches": []}
    # A mark that nobody registered leads nowhere; what is heard does, where it is asked for.
    heard = [{"manifestId": service.first.id, "similarityScore": 100}]
    assert post(b"another's mark").json() == {"matches": heard}
    assert post(b"another's mark", alg=SOUND_ALGORITHM).json() == {"matches": heard}
    assert post(b"another's mark", alg=MARK_ALGORITHM).json() == {"matches": []}
    hinted = post(b"another", hintAlg=MARK_ALGORITHM, hintValue=MARK).json()
    assert hinted["matches"][0]["manifestId"] == service.first.id
    assert post(b"the clip", hintAlg=MARK_ALGORITHM, hintValue=MARK).json() == {"matches": [match]}
    assert post(b"the clip", kind="text/html").status_code == 415
    assert post(b"the clip", alg="com.example.none").status_code == 400
    assert post(b"").status_code == 400
    assert post(b"x" * 10_001).status_code == 413
    broken = post(b"broken")
    assert broken.status_code == 400
    assert broken.json() == {"error": "the clip cannot be read; give a whole copy."}


def test_only_so_many_clips_are_looked_into_at_once(
    service: _Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("obverse.provenance.resolution._UPLOADS_AT_ONCE", 0)
    with TestClient(create_app(service.served)) as client:
        answer = client.post(
            "/matches/byContent", content=b"x", headers={"content-type": "image/png"}
        )
    assert answer.status_code == 503


def test_what_does_not_fit_is_a_sentence(service: _Service) -> None:
    for query in (
        {"alg": "com.example.none", "value": MARK},
        {"alg": MARK_ALGORITHM, "value": "no base64!"},
        {"alg": MARK_ALGORITHM, "value": _value(b"short")},
        {"alg": SOUND_ALGORITHM, "value": _value(b"12345")},
        {"alg": MARK_ALGORITHM},
    ):
        answer = service.client.get("/matches/byBinding", params=query)
        assert answer.status_code == 400
        assert set(answer.json()) == {"error"}
    assert service.client.get("/manifests/urn:c2pa:none").status_code == 404
    assert service.client.get("/nowhere").json() == {"error": "Not Found"}


def test_what_is_supported_is_listed_as_specified(service: _Service) -> None:
    assert service.client.get("/services/supportedAlgorithms").json() == {
        "watermarks": [{"alg": MARK_ALGORITHM}],
        "fingerprints": [{"alg": FINGERPRINT_ALGORITHM}, {"alg": SOUND_ALGORITHM}],
    }


def _add(service: _Service, store: bytes, token: str | None = TOKEN) -> Any:
    headers = {"content-type": "application/c2pa"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    return service.client.post("/manifests", content=store, headers=headers)


def test_who_has_the_token_adds_and_removes(service: _Service, tmp_path: Path) -> None:
    second = _signed(tmp_path, 1)
    for token in (None, "wrong", TOKEN + "x"):
        refused = _add(service, second.data, token)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
    assert _add(service, second.data).json() == {"manifestId": second.id}
    record = service.registry.by_manifest(second.id)
    assert record is not None
    assert (record.clip_id, record.payload) == (_clip(1).id, MARKS[1])
    assert record.fingerprint == SHOWN  # out of what is signed
    assert _add(service, second.data).status_code == 400  # there already
    where = f"/manifests/{second.id}"
    assert service.client.delete(where).status_code == 401
    bearer = {"authorization": f"Bearer {TOKEN}"}
    assert service.client.delete(where, headers=bearer).status_code == 204
    assert service.client.delete(where, headers=bearer).status_code == 404
    closed = dataclasses.replace(service.served, token=None)
    with TestClient(create_app(closed)) as client:
        assert client.delete(where, headers=bearer).status_code == 403


def test_only_what_is_trusted_and_marked_is_added(service: _Service, tmp_path: Path) -> None:
    root = Issued.authority("nobody's root", 3650, 1)
    leaf = root.leaf("stranger")
    stranger = SigningIdentity(leaf.certificate_pem, leaf.key_pem, root.certificate_pem)
    forged = _signed(tmp_path, 1, identity=stranger)
    # A manifest that claims another clip's mark.
    thief = sign(
        tmp_path / "plain.png", tmp_path / "thief.png", _clip(1).replace(mark=_clip(0).mark),
        SigningIdentity.default(),
    )  # fmt: skip
    unmarked = sign(
        tmp_path / "plain.png", tmp_path / "unmarked.png", _clip(1).replace(mark=None),
        SigningIdentity.default(),
    )  # fmt: skip
    for store, sentence in (
        (forged.data, "not trusted"),
        (thief.data, "registered otherwise"),
        (unmarked.data, "no soft binding"),
        (b"no store", "not trusted"),
        (b"", "not trusted"),
    ):
        answer = _add(service, store)
        assert answer.status_code == 400
        assert sentence in answer.json()["error"]
    assert len(service.registry) == 1


def test_the_active_manifest_alone_is_given(service: _Service, tmp_path: Path) -> None:
    _signed(tmp_path, 0)
    child = sign(
        tmp_path / "plain.png", tmp_path / "child.png", _clip(1), SigningIdentity.default(),
        inputs={"portrait": tmp_path / "0.png"},
    )  # fmt: skip
    assert _add(service, child.data).status_code == 200
    answer = service.client.get(f"/manifests/{child.id}", params={"returnActiveManifest": True})
    assert len(answer.content) < len(child.data) * 0.7

    def manifests(store: bytes) -> Any:
        with c2pa.Reader("application/c2pa", io.BytesIO(store)) as reader:
            return json.loads(reader.json())

    both, alone = manifests(child.data), manifests(answer.content)
    assert len(both["manifests"]) == 2
    assert list(alone["manifests"]) == [alone["active_manifest"]] == [child.id]
    for bad in (b"", b"\0\0\0\x08free", b"\0\0\0\x40jumb", child.data[:50]):
        with pytest.raises(ProvenanceError):
            active_only(bad)


def test_the_schema_has_the_names_of_the_specification(service: _Service) -> None:
    schema = service.client.get("/openapi.json").json()
    assert schema["info"]["title"] == "obverse: C2PA Soft Binding Resolution API"
    operations = {
        (method, path): operation["operationId"]
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    }
    assert operations == {
        ("get", "/matches/byBinding"): "queryByBinding",
        ("post", "/matches/byBinding"): "queryByLargeBinding",
        ("post", "/matches/byContent"): "uploadFile",
        ("post", "/manifests"): "addManifest",
        ("get", "/manifests/{activeManifestId}"): "getManifestById",
        ("delete", "/manifests/{activeManifestId}"): "deleteManifest",
        ("get", "/services/supportedAlgorithms"): "getSupportedBindings",
        ("get", "/services/capabilities"): "getServiceCapabilities",
        ("get", "/services/status"): "getServiceStatus",
    }
    score = schema["components"]["schemas"]["FoundManifest"]["properties"]["similarityScore"]
    assert (score["type"], score["minimum"], score["maximum"]) == ("integer", 0, 100)
    assert schema["info"]["version"] == "2.4.0"


# Of the specification's own OpenAPI document, 2.4.0: what a query may hold, whether it must, and
# the answers that a client is to expect. 403 stands there for all, and is ours for writing alone.
SPECIFIED: dict[tuple[str, str], tuple[dict[str, bool], set[str]]] = {
    ("get", "/matches/byBinding"): (
        {"value": True, "alg": True, "maxResults": False}, {"200", "400", "414", "500"},
    ),
    ("post", "/matches/byBinding"): ({"maxResults": False}, {"200", "400", "500"}),
    ("post", "/matches/byContent"): (
        {"alg": False, "maxResults": False, "hintAlg": False, "hintValue": False},
        {"200", "400", "415", "500"},
    ),
    ("get", "/manifests/{activeManifestId}"): (
        {"activeManifestId": True, "returnActiveManifest": False}, {"200", "400", "404", "500"},
    ),
    ("get", "/services/supportedAlgorithms"): ({}, {"200", "500"}),
    ("get", "/services/capabilities"): ({}, {"200", "500"}),
    ("get", "/services/status"): ({}, {"200", "500"}),
}  # fmt: skip


@pytest.mark.parametrize(("method", "path"), SPECIFIED)
def test_every_parameter_and_answer_of_the_specification_is_there(
    service: _Service, method: str, path: str
) -> None:
    operation = service.client.get("/openapi.json").json()["paths"][path][method]
    given = {each["name"]: each["required"] for each in operation.get("parameters", [])}
    parameters, answers = SPECIFIED[method, path]
    assert {name: given.get(name) for name in parameters} == parameters
    assert not any(given[name] for name in given.keys() - parameters)  # ours are optional
    assert answers <= operation["responses"].keys()


def test_the_service_says_what_it_can_and_how_it_is(service: _Service) -> None:
    said = service.client.get("/services/capabilities").json()
    version = service.client.get("/openapi.json").json()["info"]["version"]
    assert said == {
        "c2paSpecificationVersion": version,
        "supportedCapabilities": ["queryByContent", "storeManifests"],
    }
    closed = dataclasses.replace(service.served, token=None)
    with TestClient(create_app(closed)) as client:
        read_only = client.get("/services/capabilities").json()["supportedCapabilities"]
        assert read_only == ["queryByContent"]
    status = service.client.get("/services/status").json()
    assert status["status"] == "ok"
    moment = datetime.datetime.fromisoformat(status["timestamp"])
    assert abs(moment - datetime.datetime.now(datetime.UTC)) < datetime.timedelta(hours=1)


def test_a_value_too_long_for_an_address_is_to_be_posted(service: _Service) -> None:
    query = {"alg": SOUND_ALGORITHM, "value": _value(b"word" * 3000)}
    assert service.client.get("/matches/byBinding", params=query).status_code == 414
    assert service.client.post("/matches/byBinding", json=query).status_code == 200


@schemathesis.serializer("application/c2pa", "image/png", "video/mp4", "audio/wav")
def _as_it_is(_context: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else bytes(getattr(value, "data", b"") or b"")


def test_schemathesis_finds_no_answer_that_is_not_in_the_schema(service: _Service) -> None:
    schema = schemathesis.openapi.from_asgi("/openapi.json", create_app(service.served))
    excluded = [schemathesis.checks.positive_data_acceptance]  # a text may be no base64

    for result in schema.get_all_operations():
        operation: Any = result

        @settings(
            max_examples=12, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.ok().as_strategy())
        def check(case: Any) -> None:
            case.call_and_validate(excluded_checks=excluded)

        check()
