"""The decision table: complete, no line in vain, and never turned round by stronger evidence."""

import dataclasses
from pathlib import Path
from typing import get_args

import pytest

from obverse.audit.decision import (
    TABLE,
    VERDICTS,
    Content,
    Detected,
    Findings,
    Manifest,
    Mark,
    Rule,
    combinations,
    decide,
    rule_for,
)

EVERY = list(combinations())
# Which way a verdict leans: towards synthetic (1), towards pristine (-1), or neither.
LEANS = {
    "altered-ai": 1,
    "ai-under-human-manifest": 1,
    "declared-ai": 1,
    "declared-ai-unvouched": 1,
    "recovered-ai": 1,
    "resembles-ai": 1,
    "signs-of-synthesis": 1,
    "recovered-human": -1,
    "declared-human": -1,
    "declared-human-unvouched": -1,
    "resembles-human": -1,
    "no-sign": -1,
}


def _lean(found: Findings) -> int:
    return LEANS.get(decide(found).verdict.name, 0)


def test_all_combinations_are_there() -> None:
    sizes = [len(get_args(axis)) for axis in (Manifest, Mark, Content, Detected)]
    assert sizes == [8, 7, 7, 6]
    assert len(set(EVERY)) == len(EVERY) == 8 * 7 * 7 * 6


def test_every_combination_has_one_verdict_with_reasons() -> None:
    for found in EVERY:
        decision = decide(found)
        assert decision.verdict in VERDICTS.values()
        assert len(decision.reasons) == 5
        assert all(reason.endswith(".") for reason in decision.reasons)


def test_every_rule_and_every_verdict_is_reached() -> None:
    reached = {id(rule_for(found)) for found in EVERY}
    idle = [rule.reason for rule in TABLE if id(rule) not in reached]
    assert not idle
    assert {decide(found).verdict.name for found in EVERY} == set(VERDICTS)


def test_rules_name_values_that_exist() -> None:
    for rule in TABLE:
        assert rule.manifest <= set(get_args(Manifest))
        assert rule.mark <= set(get_args(Mark))
        assert rule.content <= set(get_args(Content))
        assert rule.detector <= set(get_args(Detected))


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (("trusted, says human", "read", "same, AI", "pristine"), "ai-under-human-manifest"),
        (("valid, says human", "read", "same, AI", "not run"), "ai-under-human-manifest"),
        (("absent", "read", "other", "not run"), "mark-copied"),
        (("trusted, says human", "read", "other", "pristine"), "mark-copied"),
        (("invalid", "read", "other", "not run"), "mark-copied"),
        (("invalid", "read", "same, AI", "not run"), "altered-ai"),
        (("invalid", "none", "unknown", "pristine"), "altered"),
        (("trusted, says AI", "named", "same, AI", "pristine"), "declared-ai"),
        (("trusted, says AI", "contradicted", "unknown", "not run"), "disagreement"),
        (("valid, says AI", "none", "unknown", "not run"), "declared-ai-unvouched"),
        (("absent", "read", "same, AI", "not run"), "recovered-ai"),
        (("absent", "read", "same, human", "not run"), "recovered-human"),
        (("absent", "read", "unknown", "not run"), "marked"),
        (("absent", "none", "same, AI", "pristine"), "resembles-ai"),
        (("absent", "none", "unknown", "synthetic"), "signs-of-synthesis"),
        (("absent", "none", "same, human", "synthetic"), "signs-of-synthesis"),
        (("absent", "none", "unknown", "pristine"), "no-sign"),
        (("absent", "none", "unknown", "not run"), "undetermined"),
        (("trusted, silent", "none", "unknown", "cannot tell"), "undetermined"),
        (("trusted, says human", "none", "unknown", "synthetic"), "disputed"),
        (("trusted, says human", "none", "unknown", "missing"), "declared-human"),
        (("trusted, says human", "read", "unknown", "not run"), "mark-unexplained"),
    ],
)
def test_what_an_auditor_would_say(found: tuple[str, ...], verdict: str) -> None:
    assert decide(Findings(*found)).verdict.name == verdict  # type: ignore[arg-type]


def test_nothing_found_is_never_pristine_and_never_synthetic() -> None:
    for detector in ("cannot tell", "missing", "error", "not run"):
        for content in ("unknown", "not asked"):
            for mark in ("none", "not looked for"):
                decision = decide(Findings("absent", mark, content, detector))
                assert decision.verdict.name == "undetermined"
                assert decision.confidence == "none"


def test_a_detector_alone_never_says_that_content_is_wrong() -> None:
    for found in EVERY:
        wrong = decide(found).verdict.wrong
        for other in get_args(Detected):
            assert decide(dataclasses.replace(found, detector=other)).verdict.wrong == wrong


def test_an_invalid_manifest_or_a_copied_mark_is_always_wrong() -> None:
    for found in EVERY:
        copied = found.content == "other" and found.mark in ("read", "named", "contradicted")
        if found.manifest == "invalid" or copied:
            assert decide(found).verdict.wrong


def test_a_detector_that_says_synthetic_never_helps_the_other_side() -> None:
    for found in EVERY:
        order = ("pristine", "cannot tell", "synthetic")
        leans = [_lean(dataclasses.replace(found, detector=each)) for each in order]  # type: ignore[arg-type]
        assert leans == sorted(leans), found


def test_a_registered_original_moves_the_verdict_its_own_way() -> None:
    for found in EVERY:
        order = ("same, human", "unknown", "same, AI")
        leans = [_lean(dataclasses.replace(found, content=each)) for each in order]  # type: ignore[arg-type]
        assert leans == sorted(leans), found


def test_what_the_manifest_says_moves_the_verdict_its_own_way() -> None:
    for found in EVERY:
        if found.mark in ("promised", "named", "contradicted"):
            continue  # without a manifest there is none that names a mark
        for state in ("trusted", "valid"):
            order = (f"{state}, says human", f"{state}, silent", f"{state}, says AI")
            leans = [_lean(dataclasses.replace(found, manifest=each)) for each in order]  # type: ignore[arg-type]
            assert leans[0] <= leans[1], found
            disagrees = found.mark == "read" and found.content.endswith("human")
            assert leans[1] <= leans[2] or disagrees, found


def test_the_detector_speaks_in_likelihood_words() -> None:
    found = Findings("absent", "none", "unknown", "synthetic", ratio=40.0)
    assert decide(found).confidence == "moderate support"
    assert decide(dataclasses.replace(found, ratio=None)).confidence == "none"
    pristine = dataclasses.replace(found, detector="pristine", ratio=1 / 300)
    assert decide(pristine).confidence == "moderately strong support"


def _row(rule: Rule) -> str:
    axes = (rule.manifest, rule.mark, rule.content, rule.detector)
    orders = (get_args(axis) for axis in (Manifest, Mark, Content, Detected))
    cells = [
        "; ".join(value for value in order if value in axis) or "any"
        for axis, order in zip(axes, orders, strict=True)
    ]
    return f"| {' | '.join(cells)} | `{rule.verdict}` | {rule.confidence} |"


def test_the_document_shows_the_table_as_it_is() -> None:
    """On a change, the rows that are wanted stand in the error."""
    text = (Path(__file__).resolve().parents[1] / "docs" / "audit.md").read_text(encoding="utf-8")
    wanted = [_row(rule) for rule in TABLE]
    shown = [line for line in text.splitlines() if line in set(wanted)]
    assert shown == wanted, "\n".join(wanted)
    for verdict in VERDICTS.values():
        assert f"| `{verdict.name}` | {verdict.title} |" in text, verdict.title
