"""A report in the form that is asked for, and the signed manifest that lies beside it.

Neither HTML nor JSON can carry a C2PA manifest, and C2PA's library reads PDF without writing it, so
the manifest is an external one: `REPORT.c2pa`.
"""

from collections.abc import Callable, Mapping

from obverse.audit.page import page
from obverse.audit.record import FORMAT, Record
from obverse.errors import ConfigError
from obverse.provenance.identity import SigningIdentity
from obverse.provenance.sidecar import sign_beside

__all__ = ["FORMS", "rendered", "signed"]


def _pdf(record: Record) -> bytes:
    from obverse.audit.pdf import pdf

    return pdf(record)


FORMS: Mapping[str, Callable[[Record], bytes]] = {
    ".html": lambda record: page(record).encode(),
    ".pdf": _pdf,
    ".json": lambda record: record.text().encode(),
}


def rendered(record: Record, form: str) -> bytes:
    """Return a record as `.html`, `.pdf` or `.json`; the same record gives the same bytes."""
    if form not in FORMS:
        raise ConfigError(f"a report is .html, .pdf or .json, and not {form!r}.")
    return FORMS[form](record)


def signed(content: bytes, record: Record, name: str) -> bytes:
    """Return the manifest store of a report, signed by this installation.

    Raises:
        ProvenanceError: it cannot be signed.
    """
    about = {
        "format": FORMAT,
        "exhibit": record.exhibit["sha256"],
        "verdict": record.verdict,
        "confidence": record.confidence,
    }
    return sign_beside(
        content, name, SigningIdentity.default(), when=record.times["finished"], about=about
    )
