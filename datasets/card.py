"""The card of a corpus: what is in it, how it was made, what it can show and what it cannot."""

import collections
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from obverse.clip import Clip
from obverse.datasets.split import find_leaks

__all__ = ["corpus_card", "recorded_card"]

_MASKS = """A mask `masks/ID.png` is as large as its clip's frames: 255 where the method moved or
painted a pixel in at least one frame, 0 where the clip shows the still's own pixel all the time,
or, for `dub` and `swap`, the film's. A pristine clip's mask is 0 everywhere, whatever is heard."""

_DOOR = """Pristine and synthetic clips went through one door: the same encoder, frame rate, size,
sound format and container, and both are marked and signed; how strongly is drawn for each
clip.{alike} A clip's name is the hash of its lineage. The one thing in a file that says what the
clip is, is its signed manifest, whose duty that is: read pixels and sound, never the manifest, when
training a detector."""

_ALIKE = """ Each clip but the
pristine ones was encoded at the quality, of a few that were tried, at which its picture comes
nearest to its twin's in bytes, key frames and all: a moved still takes fewer bytes than a film at
one quality."""

_LIMITS = """- The sitters are rendered. A detector that does well here has learned these methods
on these renders; how it
  does on cameras and on other generators has to be measured there.
- A synthetic clip of `talk` or `reenact` moves one still, which is a rendering of the same sitter
  at rest under the same light. One of `dub` or `swap` is the twin's film, and what is pasted on it
  is such a still: of the same sitter, or of the donor.
- Pristine motion and the motion of `talk`, and of the mouths of `dub`, come from one model of
  performance with different seeds; `reenact` and `swap` follow the pristine take exactly. What can
  be learned is therefore the picture, not the acting.
- Voices are synthetic speech in English, that of `voiceover` too: it is by the same engines as
  its twin's, and only does not go with the lips."""

_RECORDED_LIMITS = """- A detector that does well here has learned these methods on these people;
  how it does on other generators has to be measured there.
- A synthetic clip of `talk` or `reenact` moves one frame of the recording that its twin is: what
  stands behind the person moves in the twin and stands still in the synthetic clip, and so does
  the camera's noise. One of `dub` or `swap` is the recording but for what is pasted on it.
- What `reenact` and `swap` show follows the twin's own motion; what `talk` shows, and the mouth of
  `dub`, is performed anew.
- The sound of `voiceover` is another person's, of another recording with another room and
  microphone; where that recording is shorter, it begins again.
- The recordings were encoded by somebody before they came here. Both clips of a pair are made of
  frames that went through that, and then through the same door."""

# What both clips of a pair share, and what else where the film keeps its own sound.
_SHARED = ("frames", "width", "height", "fps", "encoder", "identity", "split")
_SPOKEN = ("speaker",)
# What of the encoder's settings is drawn, or follows the twin's bytes.
_QUALITY = ("crf", "key_ratio")
_FREE = (*_QUALITY, "mark_psnr_db")
_MARKS_APART_DB = 3.0  # more than what is drawn: a mark that was not read back was made stronger

_LAID_OVER = """{count} clips are pristine films with another sound (`sound` is `synthetic`, their
pictures are `pristine`): another speech, as long and as loud as the twin's. They are forgeries to
what judges picture and sound (`binary_av`), and none to what judges the picture (`binary`)."""


def corpus_card(
    clips: Sequence[Clip],
    plan: Mapping[str, Any],
    *,
    tool: str,
    voices: Mapping[str, Mapping[str, str]],
    failed: Mapping[str, str] | None = None,
) -> str:
    """Return `card.md` of a corpus.

    Args:
        clips: its rows.
        plan: the plan it was made from.
        tool: name and version of what made it.
        voices: for each speaker, its `engine` and `licence`.
        failed: the reason for each clip of the plan that could not be made.
    """
    seconds = sum(clip.seconds for clip in clips)
    spoken = {clip.speaker for clip in clips}
    parts = [
        "# Corpus card",
        f"{len(clips)} clips, {seconds / 60:.1f} minutes, made by {tool}. Label: whether a clip "
        "is a rendered "
        "performance (`pristine`), or a forgery: a still that was made to speak, or a performance "
        "that was edited (`synthetic`).",
        _table("split", clips, lambda clip: clip.split or "none"),
        _table("method", clips, lambda clip: clip.method or "none (pristine)"),
        "## Identities and voices",
        _disjointness(clips),
        "\n".join(
            f"- `{name}`: {about.get('engine', 'unknown')}; "
            f"{about.get('licence', 'licence unknown')}"
            for name, about in sorted(voices.items())
            if name in spoken
        ),
        "Sitters are virtual adults drawn by seed; nobody's face is in them. Rights: `synthetic`.",
        *_attributes(clips),
        "## What pairs share",
        _door(plan),
        _pairs(clips, (*_SHARED, "controls")),
        _laid_over(clips),
        "## Masks",
        _MASKS,
        "## Limits",
        _LIMITS,
        *_plan(plan, failed),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def recorded_card(
    clips: Sequence[Clip],
    plan: Mapping[str, Any],
    *,
    tool: str,
    failed: Mapping[str, str] | None = None,
) -> str:
    """Return `card.md` of a corpus that was made of recordings; the arguments of `corpus_card`."""
    seconds = sum(clip.seconds for clip in clips)
    parts = [
        "# Corpus card",
        f"{len(clips)} clips, {seconds / 60:.1f} minutes, made by {tool} of recordings of people "
        f"(rights: {', '.join(sorted({str(clip.rights) for clip in clips})) or 'none'}). Label: "
        "whether a clip is a recording, encoded anew (`pristine`), or a forgery: a still out of "
        "one that was made to speak, or a recording that was edited (`synthetic`).",
        _table("split", clips, lambda clip: clip.split or "none"),
        _table("method", clips, lambda clip: clip.method or "none (pristine)"),
        "## Identities and voices",
        _disjointness(clips),
        "A person stands in the table, and in manifests, under a hash.",
        "## What pairs share",
        _door(plan),
        _pairs(clips, _SHARED),
        _laid_over(clips),
        "## Masks",
        _MASKS,
        "## Limits",
        _RECORDED_LIMITS,
        *_plan(plan, failed),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _plan(plan: Mapping[str, Any], failed: Mapping[str, str] | None) -> list[str]:
    parts = ["## Plan", "\n".join(f"- {name}: `{value}`" for name, value in plan.items())]
    if failed:
        parts += [
            "## Clips that could not be made",
            "\n".join(f"- `{name}`: {why}" for name, why in failed.items()),
        ]
    return parts


def _table(name: str, clips: Sequence[Clip], group: Callable[[Clip], str]) -> str:
    rows = [
        f"| {name} | clips | pristine | synthetic | identities | voices | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for key in sorted({group(clip) for clip in clips}, key=_split_order):
        own = [clip for clip in clips if group(clip) == key]
        labels = collections.Counter(clip.label for clip in own)
        rows.append(
            f"| {key} | {len(own)} | {labels['pristine']} | {labels['synthetic']} | "
            f"{len({c.identity for c in own})} "
            f"| {len({c.speaker for c in own})} | {sum(c.seconds for c in own):.1f} |"
        )
    return "\n".join(rows)


def _split_order(name: str) -> tuple[int, str]:
    order = ("train", "val", "test")
    return (order.index(name) if name in order else len(order), name)


def _disjointness(clips: Sequence[Clip]) -> str:
    """State what is true of this table, looked up and not assumed."""
    leaks = find_leaks(clips)
    if leaks:
        return "**" + "; ".join(leaks) + ".**"
    return "No identity, no voice and no source is in more than one split."


def _pairs(clips: Sequence[Clip], fields: Sequence[str]) -> str:
    """Count the pairs that differ in what they should share."""
    pristine = {clip.id: clip for clip in clips if not clip.binary_av}
    forged = [clip for clip in clips if clip.binary_av]
    synthetic = [clip for clip in forged if clip.binary]
    alone = sum(clip.parents.get("twin") not in pristine for clip in synthetic)
    apart = collections.Counter(
        field
        for clip in forged
        if (twin := pristine.get(clip.parents.get("twin", ""))) is not None
        for field in (*fields, *(_SPOKEN if clip.binary else ()))
        if (
            _differ(clip, twin)
            if field == "encoder"
            else getattr(clip, field) != getattr(twin, field)
        )
    )
    lines = [
        f"{len(synthetic) - alone} of {len(synthetic)} synthetic clips have their pristine twin "
        "here."
    ]
    if apart:
        found = ", ".join(f"{field} in {count}" for field, count in sorted(apart.items()))
        lines.append(f"**Pairs that differ: {found}.**")
    else:
        strays = any(
            clip.encoder.get(name) != pristine[clip.parents["twin"]].encoder.get(name)
            for clip in forged
            if clip.parents.get("twin") in pristine
            for name in _QUALITY
        )
        but = " but for the quality" if strays else ""
        lines.append(
            f"All pairs agree in length, size, frame rate, encoder settings{but}, identity, "
            "voice and split."
        )
    return " ".join(lines)


def _door(plan: Mapping[str, Any]) -> str:
    return _DOOR.format(alike=_ALIKE if plan.get("alike") else "")


def _differ(clip: Clip, twin: Clip) -> bool:
    """Whether two clips were encoded with other settings, but for what may differ."""
    ours, theirs = (
        {name: value for name, value in each.encoder.items() if name not in _FREE}
        for each in (clip, twin)
    )
    marks = [float(each.encoder.get("mark_psnr_db", 0.0)) for each in (clip, twin)]
    return ours != theirs or abs(marks[0] - marks[1]) > _MARKS_APART_DB


def _laid_over(clips: Sequence[Clip]) -> str:
    count = sum(clip.binary_av and not clip.binary for clip in clips)
    return _LAID_OVER.format(count=count) if count else ""


def _attributes(clips: Sequence[Clip]) -> list[str]:
    """Tabulate the sitters' attributes, one row a value, counted in identities."""
    sitters = {clip.identity: clip.attributes for clip in clips}
    counts = collections.Counter(
        (name, value) for attributes in sitters.values() for name, value in attributes.items()
    )
    if not counts:
        return []
    rows = [f"| {name} | {value} | {count} |" for (name, value), count in sorted(counts.items())]
    return ["\n".join(["| attribute | value | identities |", "|---|---|---|", *rows])]
