"""An audit finds what tells the labels apart, and calls nothing a shortcut that chance explains."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from obverse.clip import Clip
from obverse.errors import InputError
from obverse.eval.cues import ClipCues
from obverse.eval.report import Origin, latex_text
from obverse.eval.shortcut_report import audit_report, audit_text
from obverse.eval.shortcuts import (
    ShortcutAudit,
    audit_cues,
    chosen_clips,
    cross_fitted_auc,
    deciles,
)


@pytest.fixture(autouse=True)
def small_forest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("obverse.eval.shortcuts.TREES", 8)


Value = Callable[[bool, int, np.random.Generator], float]


def made(
    clips: int,
    numbers: Mapping[str, Value],
    texts: Mapping[str, Callable[[bool, int], str]] | None = None,
    seed: int = 0,
) -> tuple[list[Clip], list[ClipCues]]:
    rng = np.random.default_rng(seed)
    records, read = [], []
    for place in range(clips):
        synthetic = place % 2 == 1
        records.append(
            Clip(
                id=f"c{place}",
                path=f"{place}.mp4",
                label="synthetic" if synthetic else "pristine",
                kind="generated" if synthetic else "camera",
                identity=f"p{place // 2}",
                split="test" if place % 4 < 2 else "train",
            )
        )
        told = {name: value(synthetic, place, rng) for name, value in numbers.items()}
        said = {name: value(synthetic, place) for name, value in (texts or {}).items()}
        read.append(ClipCues(f"c{place}", "ok", told, said))
    return records, read


def of(audit: ShortcutAudit, name: str) -> dict[str, object]:
    found = audit.to_json()["cues"][name]
    assert isinstance(found, dict)
    return found


def test_a_number_that_parts_the_labels_is_flagged_with_its_direction() -> None:
    audit = audit_cues(
        *made(
            120,
            {
                "file_size": lambda synthetic, _, rng: rng.normal(100 - 20 * synthetic, 10),
                "loudness": lambda synthetic, _, rng: rng.normal(0, 1),
                "mark_present": lambda synthetic, *_: float(synthetic),
                "fps": lambda *_: 25.0,
            },
        )
    )
    assert set(audit.flagged) == {"file_size", "mark_present"}
    size = of(audit, "file_size")
    assert size["direction"] == "lower in synthetic"
    area = size["auc"]
    assert isinstance(area, dict)
    # Shifted by two standard deviations: Phi(2 / sqrt 2) = .921 the other way round.
    assert area["low"] < 0.079 < area["high"]
    assert area["value"] < 0.2  # as it is, never turned around
    assert of(audit, "mark_present")["auc"]["value"] == 1  # type: ignore[index]
    constant = of(audit, "fps")
    assert constant["auc"]["value"] == 0.5  # type: ignore[index]
    assert constant["verdict"] == "none"


def test_a_number_in_the_middle_is_found_by_its_shape() -> None:
    def bitrate(synthetic: bool, place: int, rng: np.random.Generator) -> float:
        return float(rng.normal(0 if synthetic else place // 2 % 2 * 2 - 1, 0.2))

    audit = audit_cues(*made(200, {"bitrate": bitrate}))
    found = of(audit, "bitrate")
    assert 0.4 < found["auc"]["value"] < 0.6  # type: ignore[index]
    assert found["any_shape"]["value"] > 0.95  # type: ignore[index]
    assert audit.flagged == ("bitrate",)


def test_a_text_that_parts_the_labels_is_flagged() -> None:
    texts = {
        "encoder_tag": lambda synthetic, place: "Lavf" if synthetic and place % 10 else "Camera",
        "codec": lambda synthetic, place: "h264",
        "resolution": lambda synthetic, place: ("480x480", "512x512")[place // 2 % 2],
        "name_shape": lambda synthetic, place: f"name {place}",
    }
    audit = audit_cues(*made(200, {}, texts))
    assert audit.flagged == ("encoder_tag",)
    assert of(audit, "encoder_tag")["auc"]["value"] > 0.9  # type: ignore[index]
    assert of(audit, "name_shape")["auc"]["value"] == 0.5  # type: ignore[index]
    assert of(audit, "encoder_tag")["synthetic"] == "Lavf (100%)"


def test_names_that_occur_once_say_nothing() -> None:
    truth = np.arange(100) % 2 == 0
    names = [f"n{place}" for place in range(100)]
    assert cross_fitted_auc(truth, names, names) == 0.5
    assert cross_fitted_auc(truth, ["a" if each else "b" for each in truth], names) == 1
    # Half of the synthetic clips have a tag of their own: (1 + .5) / 2 of pairs are won.
    tags = ["x" if each and place % 4 else "y" for place, each in enumerate(truth)]
    assert cross_fitted_auc(truth, tags, names) == pytest.approx(0.75, abs=0.01)


def test_texts_of_chance_are_not_flagged() -> None:
    found = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        truth = rng.permutation(np.arange(60) % 2 == 0)
        texts = [str(value) for value in rng.integers(0, 12, 60)]
        found.append(cross_fitted_auc(truth, texts, [str(i) for i in range(60)], seed=seed))
    assert np.mean(found) == pytest.approx(0.5, abs=0.04)  # its own clips would give .7


def test_chance_is_rarely_flagged() -> None:
    numbers: dict[str, Value] = {
        name: lambda synthetic, place, rng: float(rng.normal())
        for name in ("file_size", "bitrate", "loudness", "sharpness", "noise")
    }
    flags = [len(audit_cues(*made(60, numbers, seed=seed)).flagged) for seed in range(6)]
    assert sum(flags) <= 2  # of 30


def test_cues_that_tell_only_together_are_found() -> None:
    """Two bits whose exclusive or is the label: neither alone says anything."""
    audit = audit_cues(
        *made(
            160,
            {
                "file_size": lambda synthetic, place, rng: float(place // 2 % 2),
                "loudness": lambda synthetic, place, rng: float(place // 2 % 2 != synthetic),
                "brightness": lambda synthetic, place, rng: float(rng.normal()),
            },
        )
    )
    assert audit.flagged == ()
    for name in ("all but the picture", "all cues"):
        found = audit.together[name]
        assert found.value is not None
        assert found.value > 0.95
    assert "all cues: AUC " in audit_text(audit)
    few = audit_cues(*made(8, {"file_size": lambda *_: 1.0}))
    assert few.together["all cues"].value is None


def test_two_people_are_not_the_labels() -> None:
    """All fakes are of two people who happen to be loud: that is no shortcut yet."""
    clips, cues = made(80, {"loudness": lambda synthetic, *_: 0.0})
    rng = np.random.default_rng(0)
    loud = {"a": 0.9, "b": -0.1}
    for place, clip in enumerate(clips):
        synthetic = clip.label == "synthetic"
        who = ("a", "b")[place // 2 % 2] if synthetic else f"p{place % 20}"
        level = loud[who] if synthetic else rng.normal(0, 0.5)
        clips[place] = clip.replace(identity=who)
        cues[place] = ClipCues(clip.id, "ok", {"loudness": level + rng.normal(0, 0.05)}, {})
    found = of(audit_cues(clips, cues), "loudness")
    area = found["auc"]
    assert isinstance(area, dict)
    assert area["by_identity"][0] < area["low"]
    assert found["flagged"] is False


def test_what_twins_share_is_no_shortcut() -> None:
    """Each fake has the sound of its twin: few clips suffice to say that it tells nothing."""
    audit = audit_cues(*made(24, {"loudness": lambda synthetic, place, rng: float(place // 2)}))
    assert of(audit, "loudness")["verdict"] == "none"


def test_few_clips_prove_little() -> None:
    audit = audit_cues(*made(4, {"file_size": lambda synthetic, *_: float(synthetic)}))
    assert of(audit, "file_size")["auc"]["value"] == 1  # type: ignore[index]
    assert audit.flagged == ()
    assert of(audit, "file_size")["verdict"] == "open"


def test_clips_that_cannot_be_read_are_counted_by_label() -> None:
    clips, cues = made(40, {"file_size": lambda synthetic, *_: 1.0})
    cues[1] = ClipCues("c1", "error", {}, {}, "damaged")
    audit = audit_cues(clips, cues)
    assert audit.counts == {"pristine": 20, "synthetic": 19, "error": 1}
    assert audit.errors == {"pristine": 0, "synthetic": 1}
    assert "1 synthetic could not be read" in audit_text(audit)


def test_a_cue_of_too_few_clips_is_not_measured() -> None:
    clips, cues = made(20, {"file_size": lambda *_: 1.0})
    cues[0] = ClipCues("c0", "ok", {"file_size": 1.0, "loudness": -3.0}, {})
    audit = audit_cues(clips, cues)
    found = of(audit, "loudness")["auc"]
    assert found["value"] is None  # type: ignore[index]
    assert "0 synthetic and 1 pristine" in found["refused"]  # type: ignore[index]


def test_clips_of_both_labels_are_chosen() -> None:
    clips, cues = made(40, {})
    assert len(chosen_clips(clips, split="test")) == 20
    some = chosen_clips(clips, limit=10)
    assert len(some) == 10
    assert sum(clip.label == "synthetic" for clip in some) == 5
    assert some == chosen_clips(clips, limit=10)
    with pytest.raises(InputError, match="no clip is of the split val"):
        chosen_clips(clips, split="val")
    with pytest.raises(InputError, match="all 20 clips are pristine"):
        chosen_clips(clips[::2])
    broken = [ClipCues(each.clip, "error", {}, {}, "x") for each in cues]
    with pytest.raises(InputError, match="of 40 clips none can be read"):
        audit_cues(clips, broken)


def test_tenths_keep_equal_values_together() -> None:
    assert len(set(deciles(np.arange(100.0)))) == 10
    tied = deciles(np.array([1.0] * 50 + [2.0] * 50))
    assert len(set(tied[:50])) == len(set(tied[50:])) == 1
    assert tied[0] != tied[-1]


def test_text_and_report_name_the_shortcuts() -> None:
    audit = audit_cues(
        *made(
            80,
            {"mark_z": lambda synthetic, *_: 90.0 * synthetic, "fps": lambda *_: 25.0},
            {"codec": lambda *_: "h264"},
        )
    )
    text = audit_text(audit)
    assert "SHORTCUT" in text.splitlines()[1]
    assert "1 of 3 cues tell the labels" in text
    report = audit_report(audit, "corpus", Origin("d", "c", {}, "x"))
    assert report.sections[0].tables[0].flagged == frozenset({0})
    assert r"mark\_z" in latex_text(report.sections[0].tables[0])
    assert report.row["shortcuts"] == "mark_z"
    assert report.results["flagged"] == ["mark_z"]


def test_sound_that_was_forged_counts_where_it_is_judged() -> None:
    """A cue that follows the sound is no shortcut to the picture's label, and one to the other."""
    clips, cues = made(120, {"loudness": lambda *_: 0.0, "sharpness": lambda fake, *_: fake})
    clips = [
        c.replace(sound="synthetic" if n % 3 == 0 else "pristine") for n, c in enumerate(clips)
    ]
    heard = [
        ClipCues(c.id, "ok", {**each.numbers, "loudness": float(c.sound == "synthetic")}, {})
        for c, each in zip(clips, cues, strict=True)
    ]
    seen = audit_cues(clips, heard)
    assert seen.flagged == ("sharpness",)
    assert (seen.counts["synthetic"], seen.to_json()["judges"]) == (60, "picture")
    both = audit_cues(clips, heard, judged="picture and sound")
    assert set(both.flagged) == {"sharpness", "loudness"}
    assert both.counts["synthetic"] == 80
    # Half of the 80 synthetic clips are louder than all 40 others, and half are as loud.
    assert of(both, "loudness")["auc"]["value"] == pytest.approx(0.75)  # type: ignore[index]
    assert "synthetic clips judged by picture and sound apart" in audit_text(both)
    dubbed = [clip for clip in clips if clip.label == "pristine"]
    with pytest.raises(InputError, match="all 60 clips are pristine in their picture; --sound"):
        chosen_clips(dubbed)
    assert len(chosen_clips(dubbed, judged="picture and sound", limit=30)) == 30
