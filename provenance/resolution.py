"""The C2PA Soft Binding Resolution API over a registry: from a mark or a clip to its manifest.

The routes and shapes are those of "C2PA Soft Binding Resolution API" 2.4. Reading is open to all,
writing takes a token. What a clip carries is read by functions that are passed in: marks and
fingerprints are not this part's business.

Left out, each optional in the specification: `byReference`, which makes a server fetch addresses
that strangers name; `bindings`, for a binding is what a signed manifest says; receipts. `offset` is
ours: it turns a page.
"""

import base64
import binascii
import dataclasses
import datetime
import secrets
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi import Path as PathParameter
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException as StarletteHTTPException

from obverse.clip import Clip
from obverse.errors import InputError, ObverseError, ProvenanceError
from obverse.provenance.isolation import verify_store_isolated
from obverse.provenance.jumbf import active_only
from obverse.provenance.manifest import MARK_ALGORITHM
from obverse.provenance.registry import Kind, Registry

__all__ = [
    "SPECIFICATION_VERSION",
    "WELL_KNOWN",
    "Algorithm",
    "Discovery",
    "Match",
    "MatchContent",
    "Resolution",
    "create_app",
    "discovery",
    "resolution_router",
]

SPECIFICATION_VERSION = "2.4.0"  # of C2PA; also the schema's own version, as it demands
WELL_KNOWN = "/.well-known/c2pa-soft-binding-resolution"  # at the root of a host (RFC 8615)

STORE_TYPE = "application/c2pa"
_PAYLOAD_BYTES = 8
_MOST_RESULTS = 100
_LONGEST_IN_ADDRESS = 8192  # characters of a value in a URL
_MOST_MANIFEST_BYTES = 8 << 20
_UNRELATED = 0.5  # distance of two clips that have nothing in common
_MEDIA = ("image/", "video/", "audio/")
_UPLOADS_AT_ONCE = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Algorithm:
    """A soft binding that can be resolved here."""

    name: str
    kind: Literal["watermark", "fingerprint"]
    like: Kind | None = None  # which of the registry's fingerprints it is; None for the mark
    at_most: float = 0.0  # distance that is still a match


@dataclasses.dataclass(frozen=True, slots=True)
class Match:
    """A manifest that fits a query."""

    manifest_id: str
    score: int  # 0 to 100


# (file, algorithm or None for any, how many): what a clip's content leads to, the best first
MatchContent = Callable[[Path, str | None, int], Sequence[Match]]


@dataclasses.dataclass(frozen=True, slots=True)
class Resolution:
    """What a server of the API needs."""

    registry: Registry
    algorithms: Mapping[str, Algorithm]  # by name
    match_content: MatchContent
    token: str | None = dataclasses.field(default=None, repr=False)  # None: nobody may write
    anchors: bytes | None = None  # PEM; whose manifests may be added; None: this installation's
    most_upload_bytes: int = 256 << 20


class FoundManifest(BaseModel):
    """A manifest that fits."""

    manifestId: str  # noqa: N815 - the specification's name
    similarityScore: int = Field(ge=0, le=100)  # noqa: N815


class QueryResult(BaseModel):
    """Manifests that fit, the best first."""

    matches: list[FoundManifest]


class BindingQuery(BaseModel):
    """A soft binding to look up."""

    alg: str = Field(description="The soft binding's algorithm", min_length=1, max_length=200)
    value: str = Field(description="Its value, base64", min_length=1, max_length=1 << 20)


class NamedAlgorithm(BaseModel):
    """An algorithm's name."""

    alg: str


class AlgorithmList(BaseModel):
    """What can be resolved here."""

    watermarks: list[NamedAlgorithm]
    fingerprints: list[NamedAlgorithm]


class Status(BaseModel):
    """Whether the service works."""

    status: Literal["ok", "degraded", "down"]
    timestamp: datetime.datetime


class Capabilities(BaseModel):
    """Which of the optional routes there are."""

    c2paSpecificationVersion: str  # noqa: N815
    supportedCapabilities: list[str]  # noqa: N815


class Discovery(BaseModel):
    """Where the service is, for who knows a host's name alone."""

    apiEndpoint: str  # noqa: N815
    c2paSpecificationVersion: str  # noqa: N815
    capabilitiesEndpoint: str  # noqa: N815
    statusEndpoint: str  # noqa: N815


class Created(BaseModel):
    """A manifest that was added."""

    manifestId: str  # noqa: N815


class Problem(BaseModel):
    """What was wrong, in a sentence."""

    error: str


_Most = Annotated[
    int, Query(alias="maxResults", ge=1, description=f"At most {_MOST_RESULTS} are given")
]
_Offset = Annotated[int, Query(ge=0, le=10_000, description="How many to leave out: a page")]
_Id = Annotated[str, PathParameter(min_length=1, max_length=128)]
_Text = Query(min_length=1, max_length=200)
_PROBLEMS: dict[int, str] = {
    400: "Invalid query",
    401: "No token, or a wrong one",
    403: "Client not allowed to perform this operation",
    404: "Not found",
    413: "Too large",
    414: "The value is too long for a URL; send it by POST",
    415: "Of a kind that is not looked into",
    500: "Service failure",
    503: "Busy; try again later",
}


def _answers(*codes: int) -> dict[int | str, dict[str, object]]:
    return {code: {"model": Problem, "description": _PROBLEMS[code]} for code in (*codes, 500)}


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise HTTPException(400, f"the value {value[:40]!r} is not base64.") from error


class _Api:
    """The routes' work, apart from how they are called."""

    def __init__(self, served: Resolution) -> None:
        self._served = served
        self._uploads = threading.BoundedSemaphore(_UPLOADS_AT_ONCE)

    def by_binding(self, alg: str, value: str, most: int, offset: int) -> QueryResult:
        found = self._look_up(alg, _decoded(value), offset + min(most, _MOST_RESULTS))
        return _result(found[offset:])

    def _look_up(self, alg: str, value: bytes, limit: int) -> list[Match]:
        algorithm = self._served.algorithms.get(alg)
        if algorithm is None:
            known = ", ".join(self._served.algorithms)
            raise HTTPException(400, f"the algorithm {alg[:80]!r} is not known here; use {known}.")
        registry = self._served.registry
        if algorithm.like is None:
            if len(value) != _PAYLOAD_BYTES:
                raise HTTPException(
                    400, f"a mark's value has {_PAYLOAD_BYTES} bytes, this one {len(value)}."
                )
            payload = int.from_bytes(value, "big")
            return [Match(each.id, 100) for each in registry.by_payload(payload, limit=limit)]
        try:
            near = registry.nearest(value, algorithm.like, at_most=algorithm.at_most, limit=limit)
        except ProvenanceError as error:
            raise HTTPException(400, str(error)) from error
        return [
            Match(each.record.id, max(0, round(100 * (1 - each.distance / _UNRELATED))))
            for each in near
        ]

    async def by_content(
        self, request: Request, alg: str | None, hint: tuple[str | None, str | None], most: int
    ) -> QueryResult:
        kind = request.headers.get("content-type", "")
        if not kind.startswith(_MEDIA):
            raise HTTPException(415, f"{kind[:80]!r} is no image, video or sound.")
        if alg is not None and alg not in self._served.algorithms:
            known = ", ".join(self._served.algorithms)
            raise HTTPException(400, f"the algorithm {alg[:80]!r} is not known here; use {known}.")
        if not self._uploads.acquire(blocking=False):
            raise HTTPException(503, "other clips are looked into; try again in a minute.")
        limit = min(most, _MOST_RESULTS)
        try:
            with tempfile.TemporaryDirectory(prefix="obverse-upload-") as folder:
                path = Path(folder) / "clip"
                await self._store(request, path)
                try:
                    found = await run_in_threadpool(self._served.match_content, path, alg, limit)
                except InputError as error:
                    # The path is nobody's business.
                    raise HTTPException(400, str(error).replace(str(path), "the clip")) from error
        finally:
            self._uploads.release()
        named, value = hint
        if named is not None and value is not None:
            hinted = await run_in_threadpool(self._look_up, named, _decoded(value), limit)
            known_ids = {each.manifest_id for each in found}
            found = [*found, *(each for each in hinted if each.manifest_id not in known_ids)]
        return _result(found[:limit])

    async def _store(self, request: Request, path: Path) -> None:
        size = 0
        with path.open("wb") as stream:
            async for piece in request.stream():
                size += len(piece)
                if size > self._served.most_upload_bytes:
                    raise HTTPException(
                        413, f"the clip is larger than {self._served.most_upload_bytes} bytes."
                    )
                stream.write(piece)
        if size == 0:
            raise HTTPException(400, "the body is empty; send a clip.")

    def manifest(self, manifest_id: str, active: bool) -> bytes:
        record = self._served.registry.by_manifest(manifest_id)
        if record is None or not record.manifest:
            raise HTTPException(404, f"no manifest {manifest_id[:128]!r} is kept here.")
        return active_only(record.manifest) if active else record.manifest

    async def add(self, request: Request) -> Created:
        if not request.headers.get("content-type", "").startswith(STORE_TYPE):
            raise HTTPException(415, f"send a manifest store as {STORE_TYPE}.")
        store = b""
        async for piece in request.stream():
            store += piece
            if len(store) > _MOST_MANIFEST_BYTES:
                raise HTTPException(413, f"a manifest has {_MOST_MANIFEST_BYTES} bytes at most.")
        return await run_in_threadpool(self._register, store)

    def _register(self, store: bytes) -> Created:
        report = verify_store_isolated(store, self._served.anchors)
        if report.state != "trusted" or report.id is None:
            why = ", ".join((*report.failures, *report.warnings)) or report.state
            raise HTTPException(400, f"the manifest is not trusted here ({why[:300]}).")
        if report.payload is None:
            raise HTTPException(400, f"the manifest has no soft binding {MARK_ALGORITHM}.")
        try:
            clip = Clip(
                id=str(report.label["id"]),
                path="",
                label=report.label["label"],
                kind=report.label["kind"],
                mark=f"{report.payload:016x}",
                manifest=report.id,
            )
            self._served.registry.add(
                clip, report.id, report.payload, manifest=store, fingerprint=report.fingerprint
            )
        except (KeyError, ObverseError) as error:
            raise HTTPException(400, f"the manifest cannot be added: {error}") from error
        return Created(manifestId=report.id)

    def delete(self, manifest_id: str) -> None:
        if self._served.registry.by_manifest(manifest_id) is None:
            raise HTTPException(404, f"no manifest {manifest_id[:128]!r} is kept here.")
        self._served.registry.remove(manifest_id)

    def algorithms(self) -> AlgorithmList:
        names: dict[str, list[NamedAlgorithm]] = {"watermark": [], "fingerprint": []}
        for algorithm in self._served.algorithms.values():
            names[algorithm.kind].append(NamedAlgorithm(alg=algorithm.name))
        return AlgorithmList(watermarks=names["watermark"], fingerprints=names["fingerprint"])

    def status(self) -> Status:
        try:
            len(self._served.registry)
        except ProvenanceError:
            state: Literal["ok", "down"] = "down"
        else:
            state = "ok"
        return Status(status=state, timestamp=datetime.datetime.now(datetime.UTC))

    def capabilities(self) -> Capabilities:
        writing = [] if self._served.token is None else ["storeManifests"]
        return Capabilities(
            c2paSpecificationVersion=SPECIFICATION_VERSION,
            supportedCapabilities=["queryByContent", *writing],
        )

    def require_token(self, given: HTTPAuthorizationCredentials | None) -> None:
        if self._served.token is None:
            raise HTTPException(403, "this server takes no manifests.")
        if given is None or not secrets.compare_digest(
            given.credentials.encode(), self._served.token.encode()
        ):
            raise HTTPException(
                401,
                "send the token as 'Authorization: Bearer TOKEN'.",
                {"WWW-Authenticate": "Bearer"},
            )


def _result(found: Sequence[Match]) -> QueryResult:
    return QueryResult(
        matches=[
            FoundManifest(manifestId=each.manifest_id, similarityScore=each.score) for each in found
        ]
    )


def resolution_router(served: Resolution) -> APIRouter:
    """Return the API's routes, to be included in an application; `create_app` makes a whole one."""
    api, router, bearer = _Api(served), APIRouter(), HTTPBearer(auto_error=False)

    def writer(
        given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
    ) -> None:
        api.require_token(given)

    @router.get(
        "/matches/byBinding", tags=["query"], operation_id="queryByBinding",
        responses=_answers(400, 414), summary="Find manifests by a soft binding",
    )  # fmt: skip
    def by_binding(
        value: Annotated[str, Query(description="base64", min_length=1)],
        alg: Annotated[str, _Text],
        most: _Most = 10,
        offset: _Offset = 0,
    ) -> QueryResult:
        if len(value) > _LONGEST_IN_ADDRESS:
            raise HTTPException(
                414, f"a value has {_LONGEST_IN_ADDRESS} characters at most here; send it by POST."
            )
        return api.by_binding(alg, value, most, offset)

    @router.post(
        "/matches/byBinding", tags=["query"], operation_id="queryByLargeBinding",
        responses=_answers(400), summary="Find manifests by a long soft binding",
    )  # fmt: skip
    def by_large_binding(query: BindingQuery, most: _Most = 10, offset: _Offset = 0) -> QueryResult:
        return api.by_binding(query.alg, query.value, most, offset)

    binary = {"schema": {"type": "string", "format": "binary"}}

    @router.post(
        "/matches/byContent", tags=["query"], operation_id="uploadFile",
        responses=_answers(400, 413, 415, 503), summary="Find manifests by a clip itself",
        openapi_extra={
            "requestBody": {"required": True, "content": {f"{kind}*": binary for kind in _MEDIA}}
        },
    )  # fmt: skip
    async def by_content(
        request: Request,
        alg: Annotated[str | None, _Text] = None,
        hint_alg: Annotated[str | None, Query(alias="hintAlg", max_length=200)] = None,
        hint_value: Annotated[str | None, Query(alias="hintValue", max_length=8192)] = None,
        most: _Most = 10,
    ) -> QueryResult:
        return await api.by_content(request, alg, (hint_alg, hint_value), most)

    @router.get(
        "/manifests/{activeManifestId}", tags=["fetch"], operation_id="getManifestById",
        response_class=Response, summary="Fetch a manifest",
        responses={200: {"content": {STORE_TYPE: binary}}, **_answers(400, 404)},
    )  # fmt: skip
    def manifest(
        activeManifestId: _Id,
        active: Annotated[bool, Query(alias="returnActiveManifest")] = False,
    ) -> Response:
        return Response(api.manifest(activeManifestId, active), media_type=STORE_TYPE)

    @router.post(
        "/manifests", tags=["store"], operation_id="addManifest", dependencies=[Depends(writer)],
        responses=_answers(400, 401, 403, 413, 415), summary="Add a manifest",
        openapi_extra={"requestBody": {"required": True, "content": {STORE_TYPE: binary}}},
    )  # fmt: skip
    async def add(request: Request) -> Created:
        return await api.add(request)

    @router.delete(
        "/manifests/{activeManifestId}", tags=["store"], operation_id="deleteManifest",
        status_code=204, dependencies=[Depends(writer)], responses=_answers(400, 401, 403, 404),
        summary="Remove a manifest",
    )  # fmt: skip
    def delete(activeManifestId: _Id) -> None:
        api.delete(activeManifestId)

    @router.get(
        "/services/supportedAlgorithms", tags=["service"], operation_id="getSupportedBindings",
        responses=_answers(),
        summary="List what can be resolved here",
    )  # fmt: skip
    def algorithms() -> AlgorithmList:
        return api.algorithms()

    @router.get(
        "/services/capabilities", tags=["service"], operation_id="getServiceCapabilities",
        responses=_answers(), summary="List the optional routes that there are",
    )  # fmt: skip
    def capabilities() -> Capabilities:
        return api.capabilities()

    @router.get(
        "/services/status", tags=["service"], operation_id="getServiceStatus",
        responses=_answers(), summary="Say whether the service works",
    )  # fmt: skip
    def status() -> Status:
        return api.status()

    return router


def discovery(endpoint: str) -> Discovery:
    """Return what a host answers at `WELL_KNOWN`.

    Args:
        endpoint: the path under which the API is served there, such as `/c2pa/v1`.
    """
    return Discovery(
        apiEndpoint=endpoint or "/",
        c2paSpecificationVersion=SPECIFICATION_VERSION,
        capabilitiesEndpoint=f"{endpoint}/services/capabilities",
        statusEndpoint=f"{endpoint}/services/status",
    )


def create_app(served: Resolution) -> FastAPI:
    """Return the API as an application of its own, to be served or mounted under a path.

    Errors are `{"error": sentence}`, and a query that does not fit is 400, as the specification
    has it.
    """
    app = FastAPI(
        title="obverse: C2PA Soft Binding Resolution API",
        version=SPECIFICATION_VERSION,
        description="From a watermark, a fingerprint or a clip to its C2PA manifest.",
        docs_url=None,  # the pages load their scripts from elsewhere
        redoc_url=None,
    )

    async def refused(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, StarletteHTTPException)
        return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)

    async def invalid(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        return JSONResponse({"error": f"{where}: {first['msg']}."}, 400)

    async def failed(_request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 500)

    app.add_exception_handler(StarletteHTTPException, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(ObverseError, failed)
    app.include_router(resolution_router(served))
    schema = app.openapi()
    for path in schema["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)  # which is 400 here
    return app
