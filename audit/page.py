"""The report as one page that needs no network: a pure function of the audit's record."""

import importlib.resources
import re
from collections.abc import Mapping
from typing import Any

import jinja2

from obverse.audit.likelihood import SCALE, SCALE_SOURCE, support
from obverse.audit.record import Record
from obverse.audit.timeline import draw, svg
from obverse.errors import AuditError, ConfigError

__all__ = ["page", "require_picture"]

_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")


def require_picture(text: object) -> str:
    """Return base64 as it is; a record may come from a stranger.

    Raises:
        AuditError: it is something else.
    """
    if not isinstance(text, str) or not _BASE64.fullmatch(text):
        raise AuditError("a picture in the audit's record is damaged; audit the clip again.")
    return text


def face_words(face: Mapping[str, Any]) -> str:
    """Return what is said of one face, below its picture."""
    said = "Not judged."
    if face["lr"] is not None:
        why = f" ({face['reason']})" if face["reason"] else ""
        said = f"Likelihood ratio {face['lr']:.3g}: {support(float(face['lr'])).sentence}; "
        said += f"{face['verdict']}{why}."
    elif face["score"] is not None:
        said = (
            f"No likelihood ratio: {face['reason'] or face['verdict']}. The raw score over all of "
            f"it is {face['score']:.3f}, which is no probability; single moments may lie elsewhere."
        )
    if face["heat"]:
        said += " Below: what the raw score rests on, in red."
    box = ", ".join(f"{value:.0f}" for value in face["box"])
    seen = f"{face['begin_s']:.2f} to {face['end_s']:.2f} s"
    return f"Face {face['number']}, {seen}, box {box} px. {said}"


def page(record: Record) -> str:
    """Return the report as HTML: the same record gives the same bytes.

    Raises:
        AuditError: the record is damaged.
    """
    text = (importlib.resources.files("obverse.audit") / "report.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    try:
        timeline = draw(record)
        values: dict[str, Any] = {
            "r": record,
            "timeline": None if timeline is None else svg(timeline),
            "words": "" if timeline is None else timeline.words,
            "picture": require_picture,
            "face_words": face_words,
            "scale": SCALE,
            "scale_source": SCALE_SOURCE,
        }
        return environment.from_string(text).render(values)
    except (jinja2.UndefinedError, TypeError, ValueError, KeyError, ConfigError) as error:
        raise AuditError(
            f"the audit's record is damaged ({error}); audit the clip again."
        ) from error
