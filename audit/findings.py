"""Findings in words: each with its method, its own error rate and the conditions it holds under."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from obverse.audit.decision import ABSENCE, Findings
from obverse.audit.likelihood import SCALE_SOURCE, support
from obverse.audit.registered import OTHER_CONTENT_FROM, Registered
from obverse.isolation import Answer
from obverse.provenance.verify import ManifestReport
from obverse.watermark.extract import FALSE_ACCEPTS
from obverse.watermark.fingerprint import SAME_AT_MOST
from obverse.watermark.geometry import LARGE_PX, laid_share
from obverse.watermark.sketch import SAME_CONTENT_AT_MOST
from obverse.watermark.sound_fingerprint import LEAST_SOUND_SECONDS, SAME_SOUND_AT_MOST

__all__ = ["Evidence", "findings_of", "limits_of"]

_STATES = {
    "trusted": "intact, and signed by somebody who is trusted here",
    "valid": "intact, but nobody who is trusted here vouches for the signer",
    "invalid": "broken: the file or its history was altered, or the manifest cannot be read",
    "absent": "there is none",
}
# A word of the fingerprint spans two frames of 0.37 s, so the sound is longer than its words.
_LEAST_HEARD_SECONDS = LEAST_SOUND_SECONDS + 0.4
_NOT_STATISTICAL = "not a statistical method: "


@dataclasses.dataclass(frozen=True, slots=True)
class Evidence:
    """All that was found, for those who put it into words."""

    axes: Findings
    manifest: ManifestReport
    manifest_damaged: str | None  # why no manifest could be looked for
    history: Answer
    content: Answer
    faces: Answer
    registered: Registered
    no_run: str | None  # why no detector was run
    public_key: bool


def findings_of(found: Evidence) -> list[dict[str, str]]:
    """Return the findings in the order of the table that judges them."""
    return [
        _manifest(found),
        _mark(found),
        _registry(found),
        _likeness(found),
        _sound(found),
        _detector(found),
        _container(found),
    ]


def _finding(method: str, result: str, error_rate: str, conditions: str) -> dict[str, str]:
    return {
        "method": method,
        "result": result,
        "error_rate": error_rate,
        "conditions": conditions,
    }


def _not_done(answer: Answer) -> str:
    if answer.brought_down is not None:
        return f"not found out: {answer.brought_down}"
    return f"not found out: {answer.refused}"


def _manifest(found: Evidence) -> dict[str, str]:
    report = found.manifest
    result = f"{report.state}: {_STATES[report.state]}"
    if found.manifest_damaged is not None:
        result = f"could not be looked for: {found.manifest_damaged}"
    if report.failures:
        result += f" ({', '.join(report.failures)})"
    if report.state in ("trusted", "valid"):
        result += f"; signed by {report.signer or 'a signer without a name'}"
        result += f", {_says(found)}"
    broken = sum(bool(item.failures) for item in report.ingredients)
    conditions = "the roots that are trusted on this machine; "
    conditions += {
        "not asked": "nobody was asked whether the certificate was revoked",
        "good": "the signer's authority says that the certificate was not revoked",
        "revoked": "the signer's authority says that the certificate was revoked",
        "unknown": "whether the certificate was revoked could not be learned",
    }[report.revocation]
    if report.ingredients:
        conditions += (
            f"; ingredients, checked with all below them: {len(report.ingredients)}, of which "
            f"broken: {broken}"
        )
    return _finding(
        "C2PA manifest",
        result,
        _NOT_STATISTICAL + "SHA-256 hashes and digital signatures; a false manifest that is "
        "trusted takes the key of a trusted signer",
        conditions,
    )


def _says(found: Evidence) -> str:
    said = {
        "AI": "which says that AI or software made the content",
        "human": "which says that the content was captured or made by people",
    }
    kind = found.manifest.digital_source_type
    text = said.get(found.axes.manifest.rpartition(" ")[2], "which does not say who made it")
    return text + (f" ({kind})" if kind else "")


def _mark(found: Evidence) -> dict[str, str]:
    method = "invisible mark of obverse"
    rate = (
        f"a search of a clip without the mark finds one with a probability of {FALSE_ACCEPTS:g} at "
        "most (Hoeffding's and the union bound, for any picture); misses are not bounded"
    )
    key = (
        "the public key: whoever has it can write any mark and lay a mark over another clip"
        if found.public_key
        else "the key that was given; marks of other keys are not seen"
    )
    seen = found.content.values
    if seen is None:
        return _finding(method, _not_done(found.content), rate, key)
    mark = seen["mark"]
    if mark is None:
        return _finding(method, f"not looked for: {seen['why_no_mark']}", rate, key)
    conditions = f"{key}; {mark['frames']} frames of the first minute"
    if not mark["present"]:
        return _finding(method, f"none found (z {mark['z']:.1f}, within chance)", rate, conditions)
    chance = "below 1e-299" if mark["p_value"] < 1e-299 else f"at most {mark['p_value']:.1e}"
    payload = mark["payload"] or "lost"
    turned = mark["geometry"]
    if turned is not None:
        conditions += (
            f"; {_extent(turned['scale'], found.registered)}, and it is turned by "
            f"{turned['degrees']:.2f} degrees"
            + (", mirrored" if turned["mirrored"] else "")
            + (", seen from aside" if turned.get("leaning") else "")
        )
    return _finding(
        method,
        f"present, payload {payload}, z {mark['z']:.1f}; {_goes_with(found)}",
        f"the chance that a clip without the mark reads so: {chance}; {rate}",
        conditions,
    )


def _extent(scale: Sequence[float], known: Registered) -> str:
    """Say how much of the picture that was marked is seen, or what is known of it without the size
    of that picture.
    """
    label = known.found.record.label if known.found and known.found.found_by == "mark" else {}
    width, height = label.get("width"), label.get("height")
    if isinstance(width, int) and isinstance(height, int):
        across, down = (share / laid_share(width, height) for share in scale)
        return (
            f"this picture spans {across:.2f} x {down:.2f} of the one that was marked, measured by "
            "the shorter side (below 1 a crop, above 1 more around it)"
        )
    across, down = scale
    return (
        f"the shorter side of this picture spans {across:.2f} x {down:.2f} of the mark's square; "
        f"when it was marked, that of a picture of {LARGE_PX} pixels or more spanned 1.00 of it, "
        "and that of a smaller one 0.70, and which it was is not known"
    )


def _goes_with(found: Evidence) -> str:
    return {
        "named": "the manifest in the file names it",
        "contradicted": "the manifest in the file names another one",
        "lost": "what it says cannot be read any more",
    }.get(found.axes.mark, "no manifest in the file names it")


def _registry(found: Evidence) -> dict[str, str]:
    method = "registry: manifest recovered by mark and content"
    known = found.registered
    rate = (
        "a mark that was read leads to a wrong clip about as seldom as it is read falsely; "
        f"content by sketches is the same up to {SAME_CONTENT_AT_MOST:g}, other from "
        f"{OTHER_CONTENT_FROM:g}: of 2000 crops of 602 portraits and scenes the farthest lay at "
        ".112, of 2000 other pictures the nearest at .168, so fewer than one in 300 such pairs "
        "passes for the same (95 % bound; each is looked for in the other)"
    )
    conditions = (
        "the registry that was asked alone; crops to less than half a side, and a clip that fills "
        "less than half of one, look like other content; turned clips are not compared"
    )
    if known.why_not is not None:
        return _finding(method, f"not asked: {known.why_not}", rate, conditions)
    best = known.found
    if best is None:
        return _finding(method, "nothing that fits is registered", rate, conditions)
    kind = "made by AI or software" if found.axes.content.endswith("AI") else "pristine"
    if known.content == "other":
        kind = "with other content"
    likeness = "content not compared"
    if best.picture_distance is not None:
        likeness = f"content at a distance of {best.picture_distance:.3f}"
    place = best.placement
    if place is not None and known.content != "other":
        part = f"{place.width:.0%} x {place.height:.0%}"
        likeness += (
            f", which fills {part} of this one" if best.enclosed else (f", {part} of its picture")
        )
        likeness += f", {_when(place.second, best.enclosed)}"
        likeness += ", mirrored" if place.mirrored else ""
    return _finding(
        method,
        f"a registered clip {kind} (clip {best.record.clip_id}), found by its {best.found_by}; its "
        f"manifest {best.record.id} is {best.manifest.state}; {likeness}",
        rate,
        conditions,
    )


def _when(second: int, enclosed: bool) -> str:
    """Say how the two lie in time."""
    if second == 0:
        return "from its start"
    if (second > 0) != enclosed:
        return f"from its second {abs(second)}"
    return f"which begins at second {abs(second)} of this one"


def _near(found: list[Any]) -> str:
    if not found:
        return "no registered clip is near"
    shown = ", ".join(f"{near.record.clip_id} at {near.distance:.3f}" for near in found[:3])
    return f"{len(found)} registered clip{'s' if len(found) > 1 else ''} near: {shown}"


def _likeness(found: Evidence) -> dict[str, str]:
    known = found.registered
    return _finding(
        "fingerprint of the picture: registered neighbours",
        f"not asked: {known.why_not}" if known.why_not else _near(list(known.neighbours)),
        f"near means a distance of at most {SAME_AT_MOST:g}; other clips lie about .45 apart, and "
        "two different heads were seen at .28; the rate of false neighbours was not measured",
        "crops, mirror images and strong edits are not found; a pristine clip and the fake that "
        "was made of it may be neighbours",
    )


def _sound(found: Evidence) -> dict[str, str]:
    known = found.registered
    result = _near(list(known.heard))
    if known.why_not:
        result = f"not asked: {known.why_not}"
    elif not ((found.content.values or {}).get("evidence") or {}).get("heard"):
        result = (
            f"not looked for: no sound, silence, or less than {_LEAST_HEARD_SECONDS:g} s of sound"
        )
    return _finding(
        "fingerprint of the sound: registered neighbours",
        result,
        f"near means a distance of at most {SAME_SOUND_AT_MOST:g}; of 1500 unrelated pairs of 49 "
        "recordings the nearest lay .377 apart; copies under 10 dB of noise may be missed",
        "says that the sound is the same, not that the picture is",
    )


def _detector(found: Evidence) -> dict[str, str]:
    method = "face forgery detector"
    values = found.faces.values or {}
    about, score = values.get("detector"), values.get("score")
    if found.axes.detector == "not run":
        why = found.no_run or _not_done(found.faces).removeprefix("not found out: ")
        return _finding(method, f"not run: {why}", "none: nothing was judged", "none")
    if about is None or score is None:
        return _finding(method, _not_done(found.faces), "none: nothing was judged", "none")
    method = f"{method} {about['id']}"
    rate, conditions = _rates(about)
    if score["status"] != "ok":
        return _finding(method, f"{score['status']}: {score['reason']}", rate, conditions)
    ratio = score["lr"]
    if ratio is None:
        why = score["reason"] or "the detector is not calibrated"
        return _finding(method, f"cannot tell, and no ratio: {why}", rate, conditions)
    said = support(ratio)
    result = f"likelihood ratio {ratio:.3g}: {said.sentence} ({SCALE_SOURCE})"
    if found.axes.detector == "cannot tell":
        why = score["reason"] or "its verdict and its ratio do not agree"
        result = f"cannot tell: {why}; {result}"
    return _finding(method, result, rate, conditions)


def _rates(about: dict[str, Any]) -> tuple[str, str]:
    calibration = about["calibration"]
    if calibration is None:
        return "not known: the detector is not calibrated", "any"
    low, high = calibration["lr_bounds"]
    bounds = (
        "the likelihood ratio is not bounded"
        if low is None or high is None
        else f"the likelihood ratio is held within {low:.3g} and {high:.3g}, what so few clips can "
        "show (empirical upper and lower bounds)"
    )
    rate = (
        f"at most {calibration['alpha']:.0%} of pristine and of synthetic clips like those of the "
        f"calibration get the wrong verdict (split conformal prediction); {bounds}"
    )
    domain = "; ".join(
        f"{name} {span[0]:.3g} to {span[1]:.3g}" for name, span in calibration["domain"].items()
    )
    conditions = (
        f"calibrated on {calibration['synthetic']} synthetic and {calibration['pristine']} "
        f"pristine clips ({calibration['clips']})"
        + (f", of {domain}" if domain else "")
        + (
            "; a face that looks to the detector like none of theirs gets no ratio"
            if calibration["familiar"]
            else ""
        )
        + "; other methods, cameras and codecs may give other rates"
    )
    return rate, conditions


def _container(found: Evidence) -> dict[str, str]:
    facts = found.history.values
    return _finding(
        "container and codec history",
        _not_done(found.history) if facts is None else _counted_facts(facts["facts"]),
        _NOT_STATISTICAL + "facts that the file states of itself; how often they mislead is not "
        "known, and anybody can write any of them",
        "tells of the last program that wrote the file, seldom of those before",
    )


def _counted_facts(facts: Sequence[Mapping[str, str]]) -> str:
    names = ", ".join(each["name"] for each in facts)
    return f"{len(facts)} facts: {names}" if facts else "no facts"


def limits_of(found: Evidence) -> list[str]:
    """Return what must be known before anybody relies on the verdict."""
    return list(_limits(found))


def _limits(found: Evidence) -> Iterator[str]:
    yield ABSENCE
    yield (
        "A program made this report and no examiner. Who was asked what, by whom, and how the "
        "exhibit came here, is not in it: whoever files it states that, and answers for it."
    )
    yield (
        "The verdict is about the file: how it was made. It does not say whether what is shown and "
        "said is true, nor who made it with what intent."
    )
    yield (
        "A likelihood ratio is no probability that the clip is fake: that takes all else that is "
        "known of the case. The findings share one file and are not independent; their ratios must "
        "not be multiplied."
    )
    if found.public_key:
        yield (
            "The mark's key is public: a mark says that a clip passed through obverse, or that "
            "somebody wanted it to look so."
        )
    if found.axes.detector in ("synthetic", "pristine", "cannot tell"):
        yield (
            "The detector looks at faces alone, and knows the methods it was trained on; what was "
            "made by others may pass, and unusual cameras and codecs may alarm it."
        )
    if found.no_run is not None:
        yield f"No detector was run: {found.no_run}"
    for name, answer in (
        ("The container's history", found.history),
        ("Mark and content", found.content),
        ("Faces", found.faces),
    ):
        if answer.brought_down is not None:
            yield (
                f"{name} could not be found out: reading the file in a process with limits on time "
                f"and memory failed ({answer.brought_down}). A file that does so is damaged, very "
                "large, or made to do so."
            )
