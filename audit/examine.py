"""One clip's audit: what was found, by which method, and the verdict.

Everything that reads the file does so in a child process (`obverse.audit.isolation`); what is done
here uses plain values, the registry and the decision table.
"""

import dataclasses
import datetime
import importlib.metadata
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import obverse
from obverse.audit.content import NO_PICTURE
from obverse.audit.decision import Detected, Findings, Manifest, Mark, decide
from obverse.audit.findings import Evidence, findings_of, limits_of
from obverse.audit.isolation import Limits, ask
from obverse.audit.likelihood import support
from obverse.audit.record import Record
from obverse.audit.recovery import Evidence as ForRegistry
from obverse.audit.registered import (
    NOT_ASKED,
    Pose,
    Registered,
    look_up,
    made_by_software,
    plain_neighbours,
)
from obverse.detector.runs import shipped_detector
from obverse.errors import AuditError, InputError, ProvenanceError
from obverse.eval.report import commit_of
from obverse.isolation import Answer
from obverse.media.container import require_file
from obverse.provenance.isolation import verify_isolated
from obverse.provenance.mediatype import media_type
from obverse.provenance.registry import Registry
from obverse.provenance.verify import ManifestReport
from obverse.weights import sha256_file

__all__ = ["AuditConfig", "audit", "detected", "manifest_finding", "mark_finding"]

Progress = Callable[[int, int, str], None]

# What a manifest's digital source type (IPTC) says of who made the content. Composites, screen
# recordings and enhanced captures may hold either and say nothing.
_AI_TYPES = frozenset(
    {
        "trainedAlgorithmicMedia",
        "compositeWithTrainedAlgorithmicMedia",
        "compositeSynthetic",
        "algorithmicMedia",
        "dataDrivenMedia",
    }
)
_HUMAN_TYPES = frozenset(
    {
        "digitalCapture",
        "computationalCapture",
        "compositeCapture",
        "negativeFilm",
        "positiveFilm",
        "print",
        "humanEdits",
        "minorHumanEdits",
        "digitalCreation",
        "digitalArt",
    }
)
_PACKAGES = ("c2pa-python", "av", "opencv-python-headless", "onnxruntime", "torch", "numpy")
_STEPS = 5


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AuditConfig:
    """How a clip is looked into."""

    run: Path | None = None  # a detector; None is the one that ships, if one does
    anchors: bytes | None = None  # PEM roots to trust; None is this installation's own
    time_stamp_anchors: bytes | None = None
    online: bool = False  # ask the signer's authority about revocation
    key: bytes | None = dataclasses.field(default=None, repr=False)  # of the mark; None: public
    registry: str | None = None  # URL; None is the user's own
    limits: Limits = dataclasses.field(default_factory=Limits)
    threads: int = 1
    command: str = ""  # by which the audit was asked for


def _silent(done: int, total: int, note: str) -> None:
    del done, total, note


def audit(path: Path, config: AuditConfig | None = None, progress: Progress = _silent) -> Record:
    """Audit one film, still or sound file.

    Args:
        path: the file.
        config: how to look into it.
        progress: told (steps done, of how many, what is being done).

    Raises:
        InputError: the file cannot be read at all, or the detector that was named is none.
        AuditError: the file changed meanwhile.
        ProvenanceError: a child process could not be started.
    """
    config = config or AuditConfig()
    require_file(path)
    started = _now()
    try:
        digest, kind, stat = sha256_file(path), media_type(path), path.stat()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    run, no_run = _detector(config)

    progress(0, _STEPS, "manifest")
    manifest, damaged = _manifest(path, config)
    progress(1, _STEPS, "container")
    history = ask("history", path, config.limits)
    progress(2, _STEPS, "mark")
    content = ask(
        "content", path, config.limits, key=None if config.key is None else config.key.hex()
    )
    _require_readable(path, history, content, manifest)
    progress(3, _STEPS, "faces")
    faces = _faces(path, run, config, content)
    progress(4, _STEPS, "registry")
    registered = _registered(content, config)
    if sha256_file(path) != digest:
        raise AuditError(f"{path} changed while it was looked into; audit a copy that rests.")
    progress(_STEPS, _STEPS, "")

    seen = content.values or {}
    found_faces = faces.values or {}
    score = found_faces.get("score")
    detector_finding, ratio = detected(score, faces, run is not None)
    axes = Findings(
        manifest=manifest_finding(manifest),
        mark=mark_finding(seen.get("mark"), manifest),
        content=registered.content,
        detector=detector_finding,
        ratio=ratio,
    )
    decision = decide(axes)
    evidence = Evidence(
        axes=axes,
        manifest=manifest,
        manifest_damaged=damaged,
        history=history,
        content=content,
        faces=faces,
        registered=registered,
        no_run=no_run,
        public_key=config.key is None,
    )
    timeline = dict((history.values or {}).get("timeline") or {})
    return Record(
        verdict=decision.verdict.name,
        title=decision.verdict.title,
        wrong=decision.verdict.wrong,
        confidence=decision.confidence,
        reasons=list(decision.reasons),
        findings=findings_of(evidence),
        limits=limits_of(evidence),
        axes=dataclasses.asdict(axes),
        exhibit={
            "name": path.name,
            "sha256": digest,
            "bytes": stat.st_size,
            "media_type": kind,
            "modified": _iso(datetime.datetime.fromtimestamp(stat.st_mtime, datetime.UTC)),
        },
        versions=_versions(),
        times={"started": started, "finished": _now()},
        command=config.command,
        manifest=_plain_manifest(manifest),
        recovered=None if registered.found is None else _plain_manifest(registered.found.manifest),
        registry=_plain_registered(registered),
        mark=seen.get("mark"),
        detector=found_faces.get("detector"),
        score=score,
        faces=list(found_faces.get("faces") or []),
        worst=list(found_faces.get("worst") or []),
        timeline=timeline,
        history=list((history.values or {}).get("facts") or []),
    )


def _now() -> str:
    return _iso(datetime.datetime.now(datetime.UTC))


def _iso(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _detector(config: AuditConfig) -> tuple[Path | None, str | None]:
    """Return the detector to run, or why there is none."""
    if config.run is not None:
        if not config.run.exists():
            raise InputError(
                f"{config.run} does not exist; give --run what obverse train detector or obverse "
                "export wrote."
            )
        return config.run, None
    try:
        return shipped_detector(), None
    except InputError as error:
        return None, str(error)


def _manifest(path: Path, config: AuditConfig) -> tuple[ManifestReport, str | None]:
    try:
        report = verify_isolated(
            path,
            config.anchors,
            time_stamp_anchors=config.time_stamp_anchors,
            online=config.online,
            timeout_seconds=min(60.0, config.limits.seconds),
        )
    except InputError as error:
        return ManifestReport("absent"), str(error)
    return report, None


def _require_readable(
    path: Path, history: Answer, content: Answer, manifest: ManifestReport
) -> None:
    if content.refused is not None and history.refused is not None and manifest.id is None:
        raise InputError(
            f"{path} cannot be read as a video, a still or a sound file; it is damaged, empty or "
            "of another kind, give a whole copy."
        )


def _faces(path: Path, run: Path | None, config: AuditConfig, content: Answer) -> Answer:
    if (content.values or {}).get("why_no_mark"):
        return Answer(refused=NO_PICTURE)
    answer = ask(
        "faces",
        path,
        config.limits,
        run=None if run is None else str(run.resolve()),
        threads=config.threads,
    )
    # A film that cannot be read has a score that says so; what is refused then is the detector.
    if answer.refused is not None and config.run is not None and content.refused is None:
        raise InputError(answer.refused)
    return answer


def _registered(content: Answer, config: AuditConfig) -> Registered:
    seen = content.values
    if seen is None:
        return dataclasses.replace(NOT_ASKED, why_not="the clip's content could not be read")
    try:
        with Registry(config.registry) as registry:
            return look_up(
                registry,
                ForRegistry.from_dict(seen["evidence"]),
                config.anchors,
                Pose.of(seen["mark"], seen["size"]),
            )
    except ProvenanceError as error:
        if config.registry is not None:
            raise
        return dataclasses.replace(NOT_ASKED, why_not=str(error))


def manifest_finding(report: ManifestReport) -> Manifest:
    """Return what a manifest is worth and says of who made the content."""
    if report.state == "absent":
        return "absent"
    if report.state == "invalid":
        return "invalid"
    kind = report.digital_source_type
    label = report.label
    if kind in _AI_TYPES or made_by_software(label):
        return "trusted, says AI" if report.state == "trusted" else "valid, says AI"
    if kind in _HUMAN_TYPES or (label.get("label"), label.get("kind")) == ("pristine", "camera"):
        return "trusted, says human" if report.state == "trusted" else "valid, says human"
    return "trusted, silent" if report.state == "trusted" else "valid, silent"


def mark_finding(mark: Mapping[str, Any] | None, report: ManifestReport) -> Mark:
    """Return how a mark's reading and the manifest in the file go together."""
    if mark is None:
        return "not looked for"
    named = report.payload if report.state in ("trusted", "valid") else None
    if not mark["present"]:
        return "none" if named is None else "promised"
    if mark["payload"] is None:
        return "lost"
    if named is None:
        return "read"
    return "named" if int(mark["payload"], 16) == named else "contradicted"


def detected(
    score: Mapping[str, Any] | None, answer: Answer, asked: bool
) -> tuple[Detected, float | None]:
    """Return what the detector says, and its likelihood ratio.

    A verdict that its own ratio does not support, weakly at least, is none.
    """
    if not asked or answer.refused == NO_PICTURE:
        return "not run", None
    if score is None or score["status"] == "error":
        return "error", None
    if score["status"] == "missing":
        return "missing", None
    ratio = score["lr"]
    if ratio is None or score["verdict"] == "cannot tell":
        return "cannot tell", ratio
    if support(ratio).favours != score["verdict"]:
        return "cannot tell", ratio
    return ("synthetic" if score["verdict"] == "synthetic" else "pristine"), ratio


def _versions() -> dict[str, str]:
    found = {"obverse": obverse.__version__, "commit": commit_of()}
    found["python"] = platform.python_version()
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _plain_manifest(report: ManifestReport) -> dict[str, Any]:
    values = report.to_dict()
    values["payload"] = None if report.payload is None else f"{report.payload:016x}"
    values["ingredients"] = [dataclasses.asdict(each) for each in report.ingredients]
    return values


def _plain_registered(registered: Registered) -> dict[str, Any]:
    found = registered.found
    clip = None
    if found is not None:
        record = found.record
        clip = {
            "found_by": found.found_by,
            "manifest": record.id,
            "clip": record.clip_id,
            "sha256": record.sha256,
            "registered": _iso(record.created),
            "payload": f"{record.payload:016x}",
            "label": str(record.label.get("label")),
            "kind": str(record.label.get("kind")),
            "method": record.label.get("method"),
            "content": found.content,
            "picture_distance": found.picture_distance,
            "sound_distance": found.sound_distance,
            "placement": None if found.placement is None else dataclasses.asdict(found.placement),
            "enclosed": found.enclosed,
        }
    return {
        "content": registered.content,
        "why_not": registered.why_not,
        "clip": clip,
        "neighbours": plain_neighbours(registered.neighbours),
        "heard": plain_neighbours(registered.heard),
    }
