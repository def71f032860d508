"""What the resolution API needs of marks and fingerprints: which there are, where a clip leads.

`create_app(Resolution(registry, ALGORITHMS, content_matcher(registry)))` is the whole service.
"""

from collections.abc import Callable
from pathlib import Path

from obverse.audit.recovery import (
    SOUND_ALGORITHM,
    Evidence,
    FoundBy,
    Recovery,
    gather_isolated,
    recover,
)
from obverse.provenance.manifest import FINGERPRINT_ALGORITHM, MARK_ALGORITHM
from obverse.provenance.registry import Registry
from obverse.provenance.resolution import Algorithm, Match, MatchContent
from obverse.watermark.fingerprint import SAME_AT_MOST
from obverse.watermark.sound_fingerprint import SAME_SOUND_AT_MOST

__all__ = ["ALGORITHMS", "SOUND_ALGORITHM", "content_matcher"]

ALGORITHMS = {
    each.name: each
    for each in (
        Algorithm(MARK_ALGORITHM, "watermark"),
        Algorithm(FINGERPRINT_ALGORITHM, "fingerprint", "picture", SAME_AT_MOST),
        Algorithm(SOUND_ALGORITHM, "fingerprint", "sound", SAME_SOUND_AT_MOST),
    )
}

_FOUND_BY: dict[str, FoundBy] = {
    MARK_ALGORITHM: "mark",
    FINGERPRINT_ALGORITHM: "picture",
    SOUND_ALGORITHM: "sound",
}


def content_matcher(
    registry: Registry,
    read: Callable[[Path], Evidence] = gather_isolated,
) -> MatchContent:
    """Return what the resolution API asks for a clip: the manifests that it leads to, with scores.

    100 is the same content, 0 a mark on content that is not its clip's.
    """

    def match(path: Path, algorithm: str | None, limit: int) -> list[Match]:
        evidence = read(path)
        if algorithm is not None:
            evidence = Evidence(
                evidence.payload if algorithm == MARK_ALGORITHM else None,
                evidence.drawn if algorithm != SOUND_ALGORITHM else None,
                evidence.heard if algorithm != FINGERPRINT_ALGORITHM else None,
            )
        return [
            Match(each.record.id, _score(each))
            for each in recover(evidence, registry, most=limit)
            # A mark that is not registered leads on to what looks alike, which was not asked for.
            if algorithm is None or each.found_by == _FOUND_BY[algorithm]
        ]

    return match


def _score(found: Recovery) -> int:
    if found.content == "does not match":
        return 0
    distances = [d for d in (found.picture_distance, found.sound_distance) if d is not None]
    if found.content == "not comparable" or not distances:
        return 50
    return max(0, min(100, round(100 * (1 - min(distances) / 0.5))))
