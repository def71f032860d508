"""The audit as a page: upload or pick a clip, see what each technique found, take the report along.

One application with three doors: the page, the audit's API that it uses (`/api`), and C2PA's Soft
Binding Resolution API (`/c2pa/v1`). Everything that the page needs is served here: it works without
a network. Nothing is kept unless a folder is named for it.
"""

import asyncio
import contextlib
import dataclasses
import importlib.resources
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

import obverse
from obverse.audit.examine import AuditConfig, audit
from obverse.audit.jobs import BusyError, Job, JobConfig, Jobs, Progress
from obverse.audit.record import Record
from obverse.audit.resolver import ALGORITHMS, content_matcher
from obverse.audit.signing import FORMS, rendered, signed
from obverse.audit.timeline import draw, svg
from obverse.errors import ConfigError, ObverseError
from obverse.provenance.mediatype import media_type
from obverse.provenance.registry import Registry
from obverse.provenance.resolution import (
    WELL_KNOWN,
    Discovery,
    Resolution,
    create_app,
    discovery,
)

__all__ = ["ServeConfig", "application"]

_ROOM = "obverse.audit"
_FILES = {
    "/": ("serve.html", "text/html; charset=utf-8"),
    "/serve.css": ("serve.css", "text/css; charset=utf-8"),
    "/serve.js": ("serve.js", "text/javascript; charset=utf-8"),
}
_MEDIA = ("video/", "image/", "audio/")
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".pdf": "application/pdf",
    ".json": "application/json",
    ".c2pa": "application/c2pa",
}
# By what the first bytes say; a decoder goes by them too.
_SUFFIXES = {
    "video/mp4": ".mp4", "video/quicktime": ".mov", "video/x-matroska": ".mkv",
    "video/avi": ".avi", "image/png": ".png", "image/jpeg": ".jpg", "image/gif": ".gif",
    "image/webp": ".webp", "image/tiff": ".tif", "image/bmp": ".bmp", "image/avif": ".avif",
    "audio/wav": ".wav", "audio/flac": ".flac", "audio/mpeg": ".mp3", "audio/mp4": ".m4a",
    "application/ogg": ".ogg",
}  # fmt: skip
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
# The report is one file: its style lies in it.
_REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; sandbox"
)
_LONGEST_NAME = 120
_RESOLUTION = "/c2pa/v1"  # the number is that of the API's surface, not of the specification


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServeConfig:
    """What is served and what visitors may do."""

    audit: AuditConfig = dataclasses.field(default_factory=AuditConfig)
    jobs: JobConfig = dataclasses.field(default_factory=JobConfig)
    clips: Path | None = None  # a folder whose clips may be picked
    most_bytes: int = 256 << 20  # of an upload
    upload_seconds: float = 600.0  # that an upload may take
    hosts: tuple[str, ...] = ("localhost", "127.0.0.1")  # names this server answers to
    token: str | None = dataclasses.field(default=None, repr=False)  # for writers of manifests

    def __post_init__(self) -> None:
        """Refuse settings under which nothing could be served."""
        if self.most_bytes < 1 << 10 or not self.upload_seconds > 0:
            raise ConfigError(
                f"uploads of {self.most_bytes} bytes within {self.upload_seconds:g} s are too "
                "little; allow at least 1024 bytes and more than 0 s."
            )
        if self.jobs.at_once < 1 or self.jobs.waiting < 0:
            raise ConfigError(
                f"{self.jobs.at_once} audits at once and {self.jobs.waiting} waiting cannot be; "
                "allow at least 1 and 0."
            )
        if self.clips is not None and not self.clips.is_dir():
            raise ConfigError(f"{self.clips} is no folder; name one with clips to pick from.")


def application(
    config: ServeConfig, examine: Callable[[Path, Progress], Record] | None = None
) -> FastAPI:
    """Return the whole service.

    Args:
        config: what is served and what visitors may do.
        examine: audits one file; None is `obverse.audit.examine.audit` with `config.audit`.

    Raises:
        ProvenanceError: the registry cannot be opened.
    """

    def own(clip: Path, tell: Progress) -> Record:
        return audit(clip, config.audit, tell)

    registry = Registry(config.audit.registry)
    jobs = Jobs(config.jobs, examine or own)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(jobs.close)
        registry.close()

    app = FastAPI(
        title="obverse: audit",
        version=obverse.__version__,
        description="What each technique finds in a clip, and one verdict.",
        docs_url=None,  # its pages load their scripts from elsewhere
        redoc_url=None,
        openapi_url="/api/openapi.json",
        lifespan=lifespan,
    )
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(config.hosts))
    app.middleware("http")(_guard)
    app.add_exception_handler(StarletteHTTPException, _refused)
    app.add_exception_handler(ObverseError, _failed)
    _serve_files(app)
    _serve_clips(app, config.clips)
    _serve_audits(app, config, jobs)
    resolution = Resolution(
        registry,
        ALGORITHMS,
        content_matcher(registry),
        token=config.token,
        anchors=config.audit.anchors,
        most_upload_bytes=config.most_bytes,
    )
    app.mount(_RESOLUTION, create_app(resolution))

    @app.get(WELL_KNOWN, summary="Say where C2PA's Soft Binding Resolution API is")
    def well_known() -> Discovery:
        return discovery(_RESOLUTION)

    return app


async def _guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Refuse what another site's page asks of this server, and say how the answer may be used."""
    origin = request.headers.get("sec-fetch-site", "same-origin")
    if request.method not in ("GET", "HEAD") and origin not in ("same-origin", "none"):
        return JSONResponse({"error": "another site's page may not start audits."}, 403)
    response = await call_next(request)
    response.headers.setdefault("Content-Security-Policy", _PAGE_POLICY)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    response.headers.setdefault("Cache-Control", "no-store")
    return response


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StarletteHTTPException)
    return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)


async def _failed(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, 503 if isinstance(error, BusyError) else 500)


def _serve_files(app: FastAPI) -> None:
    for route, (name, kind) in _FILES.items():
        content = (importlib.resources.files(_ROOM) / name).read_bytes()

        def file(content: bytes = content, kind: str = kind) -> Response:
            return Response(content, media_type=kind)

        app.add_api_route(route, file, include_in_schema=False)


def _picked(folder: Path | None, name: str) -> Path:
    """Return a clip of the folder that visitors may pick from, and nothing outside of it."""
    if folder is not None and name in _names(folder):
        return folder / name
    raise HTTPException(404, f"there is no clip {name[:_LONGEST_NAME]!r} to pick.")


def _names(folder: Path) -> list[str]:
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.is_file() and not path.is_symlink() and not path.name.startswith(".")
        and media_type(path).startswith(_MEDIA)
    )  # fmt: skip


def _serve_clips(app: FastAPI, folder: Path | None) -> None:
    @app.get("/api/clips", summary="List the clips that may be picked")
    def clips() -> list[str]:
        return [] if folder is None else _names(folder)

    @app.get("/api/clips/{name}", summary="Play a clip", response_class=FileResponse)
    def clip(name: str) -> FileResponse:
        path = _picked(folder, name)
        return FileResponse(path, media_type=media_type(path))


def _serve_audits(app: FastAPI, config: ServeConfig, jobs: Jobs) -> None:
    def job_of(job_id: str) -> Job:
        job = jobs.get(job_id)
        if job is None:
            raise HTTPException(404, "there is no such audit, or it was forgotten.")
        return job

    def record_of(job_id: str) -> Record:
        job = job_of(job_id)
        if job.record is None:
            raise HTTPException(409, f"the audit is {job.state}; it has no report.")
        return job.record

    @app.post(
        "/api/audits",
        status_code=202,
        summary="Audit a clip: the request's body, or one of the clips by its name",
        openapi_extra={
            "requestBody": {
                "content": {
                    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
                }
            }
        },
    )
    async def start(
        request: Request,
        name: Annotated[str, Query(max_length=500)] = "clip",
        pick: Annotated[str | None, Query(max_length=500)] = None,
    ) -> dict[str, Any]:
        if pick is not None:
            return _status(jobs.start(_picked(config.clips, pick), pick))
        jobs.require_room()
        folder = jobs.place()
        try:
            clip = await _received(request, folder, config)
            job = jobs.start(clip, _shown(name), folder)
        except BaseException:
            jobs.drop(folder)
            raise
        return _status(job)

    @app.get("/api/audits/{job_id}", summary="How far an audit is, and what it found")
    def status(job_id: str) -> dict[str, Any]:
        return _status(job_of(job_id))

    @app.delete("/api/audits/{job_id}", status_code=204, summary="Forget an audit")
    def forget(job_id: str) -> None:
        if not jobs.forget(job_id):
            raise HTTPException(409, "there is no such audit, or it has not ended yet.")

    @app.get("/api/audits/{job_id}/report{form}", summary="Fetch the report: .html, .pdf or .json")
    def report(job_id: str, form: str) -> Response:
        record = record_of(job_id)
        base = form.removesuffix(".c2pa")
        if base not in FORMS:
            raise HTTPException(404, "a report is .html, .pdf or .json, each with its .c2pa.")
        content = rendered(record, base)
        name = f"audit-{record.exhibit['sha256'][:12]}{base}"
        if form != base:
            content, name = signed(content, record, name), f"{name}.c2pa"
        disposition = "inline" if form == ".html" else "attachment"
        return Response(
            content,
            media_type=_TYPES[Path(name).suffix],
            headers={
                "Content-Disposition": f"{disposition}; filename*=UTF-8''{quote(name)}",
                "Content-Security-Policy": _REPORT_POLICY,
            },
        )


def _shown(name: str) -> str:
    """Return a visitor's name for a clip, fit to be shown."""
    last = re.split(r"[/\\]", name)[-1]
    text = "".join(each for each in last if each.isprintable()).strip()
    return text[:_LONGEST_NAME] or "clip"


async def _received(request: Request, folder: Path, config: ServeConfig) -> Path:
    """Store the request's body, within limits on size, time and kind."""
    stated = request.headers.get("content-length", "")
    limit = f"{config.most_bytes / (1 << 20):g} MiB"
    if stated.isdigit() and int(stated) > config.most_bytes:
        raise HTTPException(413, f"the clip is larger than {limit}; send a smaller one.")
    path = folder / "clip"
    size = 0
    try:
        async with asyncio.timeout(config.upload_seconds):
            with path.open("wb") as stream:
                async for piece in request.stream():
                    size += len(piece)
                    if size > config.most_bytes:
                        raise HTTPException(
                            413, f"the clip is larger than {limit}; send a smaller one."
                        )
                    stream.write(piece)
    except TimeoutError as error:
        raise HTTPException(
            408, f"the upload took longer than {config.upload_seconds:g} s."
        ) from error
    if size == 0:
        raise HTTPException(400, "the request's body is empty; send a clip.")
    kind = await run_in_threadpool(media_type, path)
    suffix = _SUFFIXES.get(kind)
    if suffix is None:
        raise HTTPException(415, "this is no film, still or sound of a kind that is looked into.")
    return path.rename(path.with_suffix(suffix))


def _status(job: Job) -> dict[str, Any]:
    record = job.record
    timeline = None if record is None else draw(record)
    return {
        "id": job.id,
        "name": job.name,
        "state": job.state,
        "step": job.step,
        "done": job.done,
        "steps": job.steps,
        "error": job.error,
        "record": None if record is None else record.to_json(),
        "timeline": None if timeline is None else svg(timeline),
    }
