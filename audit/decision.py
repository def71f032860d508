"""From findings to one verdict, by a table that can be read and argued with.

There are four findings: what the manifest in the file is worth and says, what the mark is, what the
registry knows of the content, and what the detector says. `TABLE` is read from the top; the first
rule that fits decides. Every combination fits one (a test goes through all of them).

Two principles order it. What cryptography, a keyed mark or a registered original settles comes
before what a detector believes. And nothing follows from what is absent: no manifest, no mark and
no sign of synthesis leave a clip undetermined.

A mark does not say that a clip is synthetic: pristine clips of a corpus carry marks too. Which it
is, the registered manifest says. A likeness of content without a mark says less than it seems: a
pristine clip and the fake that was made of it look alike.
"""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Literal, get_args

from obverse.audit.likelihood import support

__all__ = [
    "ABSENCE",
    "TABLE",
    "VERDICTS",
    "Content",
    "Decision",
    "Detected",
    "Findings",
    "Manifest",
    "Mark",
    "Rule",
    "Verdict",
    "combinations",
    "decide",
    "rule_for",
]

Manifest = Literal[
    "trusted, says AI",
    "trusted, says human",
    "trusted, silent",
    "valid, says AI",
    "valid, says human",
    "valid, silent",
    "invalid",
    "absent",
]
Mark = Literal["none", "not looked for", "lost", "promised", "named", "contradicted", "read"]
Content = Literal[
    "same, AI", "same, human", "other", "unchecked, AI", "unchecked, human", "unknown", "not asked"
]
Detected = Literal["synthetic", "pristine", "cannot tell", "missing", "error", "not run"]

ABSENCE = (
    "Absence proves nothing: a manifest is lost by re-encoding, a mark may be of another key or "
    "have been removed, and a detector does not know every method."
)
FROM_RATIO = "by the likelihood ratio"  # in place of a rule's confidence


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """One of the answers an audit gives."""

    name: str  # for programs
    title: str  # for people
    wrong: bool = False  # the content is not what it claims to be


VERDICTS = {
    verdict.name: verdict
    for verdict in (
        Verdict("mark-copied", "The mark was copied from elsewhere", wrong=True),
        Verdict("altered-ai", "Made by AI or software, under a broken manifest", wrong=True),
        Verdict("altered", "The manifest is broken", wrong=True),
        Verdict(
            "ai-under-human-manifest",
            "A human manifest, but our mark of AI or software is inside",
            wrong=True,
        ),
        Verdict("disagreement", "Manifest and mark contradict each other", wrong=True),
        Verdict("declared-ai", "Declared as made by AI or software"),
        Verdict(
            "declared-ai-unvouched", "Declared as made by AI or software, by an unknown signer"
        ),
        Verdict("recovered-ai", "Made by AI or software; its manifest was lost and is found again"),
        Verdict(
            "recovered-human", "Registered as pristine; its manifest was lost and is found again"
        ),
        Verdict("disputed", "Declared human, and other findings dispute it"),
        Verdict("mark-unexplained", "Declared human, with a mark that nobody explains"),
        Verdict("declared-human", "Declared as captured or made by people"),
        Verdict(
            "declared-human-unvouched",
            "Declared as captured or made by people, by an unknown signer",
        ),
        Verdict("marked", "It passed through obverse; which clip it is, is not known here"),
        Verdict(
            "resembles-ai",
            "It looks like a registered clip of AI or software, or what that was made of",
        ),
        Verdict("resembles-human", "It looks like a registered pristine clip"),
        Verdict("signs-of-synthesis", "The detector finds signs of synthesis"),
        Verdict("no-sign", "No sign of synthesis was found, which proves nothing"),
        Verdict("undetermined", "Undetermined"),
    )
}


@dataclasses.dataclass(frozen=True, slots=True)
class Findings:
    """What was found, one value on each axis."""

    manifest: Manifest
    mark: Mark
    content: Content
    detector: Detected
    ratio: float | None = None  # the detector's likelihood ratio, synthetic over pristine


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """A line of the table; an empty set fits all values of its axis."""

    manifest: frozenset[str]
    mark: frozenset[str]
    content: frozenset[str]
    detector: frozenset[str]
    verdict: str
    confidence: str
    reason: str

    def fits(self, found: Findings) -> bool:
        """Whether the rule speaks of these findings."""
        pairs = (
            (self.manifest, found.manifest),
            (self.mark, found.mark),
            (self.content, found.content),
            (self.detector, found.detector),
        )
        return all(not wanted or value in wanted for wanted, value in pairs)


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """A verdict with how far it can be relied on, and why."""

    verdict: Verdict
    confidence: str
    reasons: tuple[str, ...]


def _set(*values: str) -> frozenset[str]:
    return frozenset(values)


_ANY = _set()
_INVALID = _set("invalid")
_SAYS_AI = _set("trusted, says AI", "valid, says AI")
_SAYS_HUMAN = _set("trusted, says human", "valid, says human")
_SPEAKS_OF_MARK = _set(*(each for each in get_args(Manifest) if each not in ("invalid", "absent")))
_READ = _set("read", "named", "contradicted")  # with its payload
_MARKED = _READ | _set("lost")
_SAME_AI, _SAME_HUMAN = _set("same, AI"), _set("same, human")
_NOTHING_KNOWN = _set("unknown", "not asked")
_NO_LIKENESS = _set(*(each for each in get_args(Content) if each not in _SAME_AI | _SAME_HUMAN))

# Columns: manifest, mark, content, detector; verdict, confidence, reason.
TABLE: tuple[Rule, ...] = (
    # What is wrong, whatever else was found.
    Rule(_ANY, _READ, _set("other"), _ANY, "mark-copied", "high",
         "The mark belongs to a registered clip that shows something else. It looks so, "
         "too, where less than half of that clip is left, or where it fills less than half of "
         "this picture."),
    Rule(_INVALID, _READ, _SAME_AI, _ANY, "altered-ai", "very high",
         "The manifest does not fit the file; mark and content lead to a clip registered as AI "
         "or software."),
    Rule(_INVALID, _READ, _set("unchecked, AI"), _ANY, "altered-ai", "high",
         "The manifest does not fit the file; the mark leads to a clip registered as AI or "
         "software."),
    Rule(_INVALID, _ANY, _ANY, _ANY, "altered", "very high",
         "The manifest does not fit the file, or its history, or cannot be read."),
    Rule(_SAYS_HUMAN, _READ, _SAME_AI, _ANY, "ai-under-human-manifest", "very high",
         "The manifest says human; mark and content lead to a clip registered as AI or "
         "software."),
    Rule(_SAYS_HUMAN, _READ, _set("unchecked, AI"), _ANY, "ai-under-human-manifest", "moderate",
         "The manifest says human; the mark leads to a clip registered as AI or software, with "
         "which the content could not be compared."),
    Rule(_SAYS_AI, _READ, _SAME_HUMAN, _ANY, "disagreement", "high",
         "The manifest says AI; mark and content lead to a clip that is registered as "
         "pristine."),
    Rule(_SAYS_AI, _READ, _set("unchecked, human"), _ANY, "disagreement", "moderate",
         "The manifest says AI; the mark leads to a clip that is registered as pristine."),
    Rule(_SPEAKS_OF_MARK, _set("contradicted"), _ANY, _ANY, "disagreement", "high",
         "The manifest names another mark than the one that is in the picture."),
    # The manifest says AI: nobody gains by saying so falsely, and detectors err more often.
    Rule(_set("trusted, says AI"), _set("named"), _ANY, _ANY, "declared-ai", "very high",
         "A trusted signer says so, and the mark that the manifest names is in the picture."),
    Rule(_set("trusted, says AI"), _ANY, _ANY, _ANY, "declared-ai", "high",
         "A trusted signer says so."),
    Rule(_set("valid, says AI"), _READ, _SAME_AI, _ANY, "declared-ai", "very high",
         "The signer is unknown; mark and content lead to a clip registered as AI or software "
         "all the same."),
    Rule(_set("valid, says AI"), _READ, _set("unchecked, AI"), _ANY, "declared-ai", "high",
         "The signer is unknown; the mark leads to a clip registered as AI or software all the "
         "same."),
    Rule(_set("valid, says AI"), _ANY, _ANY, _ANY, "declared-ai-unvouched", "moderate",
         "The manifest is intact, but anybody could have signed it."),
    # The manifest says human.
    Rule(_SAYS_HUMAN, _ANY, _ANY, _set("synthetic"), "disputed", FROM_RATIO,
         "The manifest says human and the detector says synthetic."),
    Rule(_SAYS_HUMAN, _ANY, _SAME_AI, _ANY, "disputed", "low",
         "The manifest says human; the content is like that of a clip registered as AI or "
         "software, of which it may be the original."),
    Rule(_set("trusted, says human"), _READ, _SAME_HUMAN, _ANY, "declared-human", "very high",
         "A trusted signer says so; mark and content lead to a clip registered as pristine."),
    Rule(_set("trusted, says human"), _set("read"), _NOTHING_KNOWN, _ANY, "mark-unexplained",
         "moderate",
         "A trusted signer says human, and does not say why obverse's mark is in the picture."),
    Rule(_set("trusted, says human"), _set("lost"), _NO_LIKENESS, _ANY, "mark-unexplained", "low",
         "A trusted signer says human; there is a mark whose payload cannot be read."),
    Rule(_set("trusted, says human"), _ANY, _ANY, _ANY, "declared-human", "high",
         "A trusted signer says so, and nothing that was found contradicts."),
    Rule(_set("valid, says human"), _READ, _SAME_HUMAN, _ANY, "recovered-human", "high",
         "The signer is unknown; mark and content lead to a clip registered as pristine."),
    Rule(_set("valid, says human"), _set("read"), _NOTHING_KNOWN, _ANY, "mark-unexplained", "low",
         "An unknown signer says human, and does not say why obverse's mark is in the picture."),
    Rule(_set("valid, says human"), _set("lost"), _NO_LIKENESS, _ANY, "mark-unexplained", "low",
         "An unknown signer says human; there is a mark whose payload cannot be read."),
    Rule(_set("valid, says human"), _ANY, _ANY, _ANY, "declared-human-unvouched", "low",
         "The manifest is intact, but anybody could have signed it."),
    # No manifest, or one that does not say how the clip was made: the mark leads on.
    Rule(_ANY, _READ, _SAME_AI, _ANY, "recovered-ai", "very high",
         "Mark and content lead to a clip registered as AI or software."),
    Rule(_ANY, _READ, _set("unchecked, AI"), _ANY, "recovered-ai", "moderate",
         "The mark leads to a clip registered as AI or software, with which the content could "
         "not be compared."),
    Rule(_ANY, _READ, _set("same, human", "unchecked, human"), _set("synthetic"), "disputed",
         FROM_RATIO,
         "The mark leads to a clip registered as pristine, and the detector says synthetic."),
    Rule(_ANY, _READ, _SAME_HUMAN, _ANY, "recovered-human", "high",
         "Mark and content lead to a clip registered as pristine."),
    Rule(_ANY, _READ, _set("unchecked, human"), _ANY, "recovered-human", "moderate",
         "The mark leads to a clip registered as pristine, with which the content could not be "
         "compared."),
    Rule(_ANY, _MARKED, _NOTHING_KNOWN | _set("other"), _set("synthetic"), "signs-of-synthesis",
         FROM_RATIO,
         "The detector says so; there is also a mark of obverse that no registered clip "
         "explains."),
    Rule(_ANY, _READ, _NOTHING_KNOWN, _ANY, "marked", "high",
         "There is a mark of obverse, and no registered clip that explains it."),
    # Likeness without a readable mark.
    Rule(_ANY, _ANY, _SAME_AI, _ANY, "resembles-ai", "moderate",
         "The content is like that of a clip registered as AI or software; no readable mark "
         "says that it is one."),
    Rule(_ANY, _ANY, _ANY, _set("synthetic"), "signs-of-synthesis", FROM_RATIO,
         "The detector says so; no manifest and no mark settles it."),
    Rule(_ANY, _ANY, _SAME_HUMAN, _ANY, "resembles-human", "low",
         "The content is like that of a registered pristine clip; no readable mark says that "
         "it is one."),
    Rule(_ANY, _set("lost"), _ANY, _ANY, "marked", "moderate",
         "There is a mark of obverse whose payload cannot be read."),
    # The detector alone, or nothing.
    Rule(_ANY, _ANY, _ANY, _set("pristine"), "no-sign", FROM_RATIO,
         "The detector says pristine; no manifest and no mark says anything."),
    Rule(_ANY, _ANY, _ANY, _ANY, "undetermined", "none",
         "Nothing that was found says how the clip was made."),
)  # fmt: skip

_TRUSTED = "The manifest is intact and signed by somebody you trust"
_VALID = "The manifest is intact, but nobody you trust vouches for its signer"
_MANIFEST_SAYS: dict[str, str] = {
    "trusted, says AI": f"{_TRUSTED}; it says that AI or software made the clip.",
    "trusted, says human": f"{_TRUSTED}; it says that the clip was captured or made by people.",
    "trusted, silent": f"{_TRUSTED}; it does not say how the clip was made.",
    "valid, says AI": f"{_VALID}; it says that AI or software made the clip.",
    "valid, says human": f"{_VALID}; it says that the clip was captured or made by people.",
    "valid, silent": f"{_VALID}; it does not say how the clip was made.",
    "invalid": "The manifest is broken: what it says counts for nothing.",
    "absent": "There is no manifest, which proves nothing.",
}
_MARK_SAYS: dict[str, str] = {
    "none": "No mark of this key was found, which proves nothing.",
    "not looked for": "No mark could be looked for.",
    "lost": "There is a mark of this key; its payload is lost.",
    "promised": "The manifest names a mark that was not found in the picture.",
    "named": "The mark in the picture is the one that the manifest names.",
    "contradicted": "The mark in the picture is not the one that the manifest names.",
    "read": "There is a mark of this key, of which no manifest in the file speaks.",
}
_CONTENT_SAYS: dict[str, str] = {
    "same, AI": "The content is that of a clip that is registered as made by AI or software.",
    "same, human": "The content is that of a clip that is registered as pristine.",
    "other": "The mark's registered clip shows something else.",
    "unchecked, AI": "The mark's clip is registered as AI or software; content not compared.",
    "unchecked, human": "The mark's clip is registered as pristine; content not compared.",
    "unknown": "The registry that was asked knows neither mark nor content, which proves nothing.",
    "not asked": "No registry was asked.",
}
_DETECTOR_SAYS: dict[str, str] = {
    "synthetic": "The detector says synthetic.",
    "pristine": "The detector says pristine: of the methods that it knows, it sees no sign.",
    "cannot tell": "The detector abstains.",
    "missing": "The detector found no face that it could judge.",
    "error": "The detector could not read the clip.",
    "not run": "No detector was run.",
}


def combinations() -> Iterator[Findings]:
    """Yield every combination of findings, without ratios."""
    for each in itertools.product(*map(get_args, (Manifest, Mark, Content, Detected))):
        yield Findings(*each)


def rule_for(found: Findings) -> Rule:
    """Return the rule that decides; the table's last one fits everything."""
    return next(rule for rule in TABLE if rule.fits(found))


def decide(found: Findings) -> Decision:
    """Return the verdict on findings, its confidence in words, and the reasons.

    Confidence is `very high`, `high`, `moderate`, `low` or `none`; where the verdict stands on the
    detector, it is the likelihood ratio's words (`obverse.audit.likelihood`), or `none` where there
    is no ratio.
    """
    rule = rule_for(found)
    confidence = rule.confidence
    if confidence == FROM_RATIO:
        confidence = "none" if found.ratio is None else support(found.ratio).words
    reasons = (
        rule.reason,
        _MANIFEST_SAYS[found.manifest],
        _MARK_SAYS[found.mark],
        _CONTENT_SAYS[found.content],
        _DETECTOR_SAYS[found.detector],
    )
    return Decision(VERDICTS[rule.verdict], confidence, tuple(dict.fromkeys(reasons)))
