"""An audit's record: plain values from which the report is made, and made again."""

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from obverse.errors import AuditError

__all__ = ["FORMAT", "Record", "read_record"]

FORMAT = "org.obverse.audit.1"

Plain = dict[str, Any]
_MOST_BYTES = 64 << 20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Record:
    """Verdict, findings and all that the report shows; plain values throughout."""

    verdict: str  # of `obverse.audit.decision.VERDICTS`
    confidence: str
    findings: list[Plain]  # method, result, error_rate, conditions
    limits: list[str]
    title: str  # the verdict for people
    wrong: bool  # the content is not what it claims to be
    reasons: list[str]
    axes: Plain  # the findings as the decision table sees them
    exhibit: Plain  # name, sha256, bytes, media_type, modified
    versions: Plain
    times: Plain  # started, finished; UTC
    command: str
    manifest: Plain
    recovered: Plain | None  # the manifest that the registry gave back
    registry: Plain
    mark: Plain | None
    detector: Plain | None
    score: Plain | None
    faces: list[Plain]  # one a track; `picture` is a JPEG in base64
    worst: list[str]  # frames, JPEG in base64
    timeline: Plain
    history: list[Plain]  # name, value, says, cannot

    def to_json(self) -> Plain:
        """Return plain values, the verdict first."""
        return {"format": FORMAT, **dataclasses.asdict(self)}

    def text(self) -> str:
        """Return the record as it is written to a file."""
        return json.dumps(self.to_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Build a record from `to_json`'s values.

        Raises:
            AuditError: they are of something else.
        """
        if not isinstance(values, Mapping) or values.get("format") != FORMAT:
            raise AuditError(
                f"this is no record of an audit: its format is not {FORMAT}; give what obverse "
                "audit --json printed."
            )
        named = {field.name for field in dataclasses.fields(cls)}
        given = {name: value for name, value in values.items() if name != "format"}
        if set(given) != named:
            odd = sorted(set(given) ^ named)
            raise AuditError(f"the audit's record has other fields than it should: {odd[0]}.")
        for name, stated in typing.get_type_hints(cls).items():
            if not isinstance(given[name], _kinds(stated)):
                raise AuditError(
                    f"the audit's record is damaged: {name} is of another kind; audit the clip "
                    "again."
                )
        return cls(**given)


def _kinds(stated: Any) -> tuple[type, ...]:
    """Return the classes that a field's type stands for: `list[str] | None` is list and None."""
    parts = typing.get_args(stated) if isinstance(stated, types.UnionType) else (stated,)
    return tuple(typing.get_origin(part) or part for part in parts)


def read_record(path: Path) -> Record:
    """Read what `Record.text` wrote.

    Raises:
        AuditError: the file is absent, too large, or no record.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise AuditError(f"{path} is larger than {_MOST_BYTES >> 20} MiB; no record is.")
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AuditError(f"{path} cannot be read ({error.strerror}); check the name.") from error
    except ValueError as error:
        raise AuditError(f"{path} is not JSON; give what obverse audit --json printed.") from error
    return Record.from_json(values)
