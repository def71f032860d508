import collections
import dataclasses
import json
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

from obverse.clip import Split
from obverse.errors import ConfigError, InputError
from obverse.generator.performance import PerformanceConfig
from obverse.generator.plan import CorpusPlan, apportion, lay_out, read_plan
from obverse.generator.plan_values import SPLITS
from obverse.generator.sitters.sitter import Sitter, attributes_of
from obverse.generator.voices import list_voices

_PLANS = Path(__file__).parents[1] / "detector" / "plans"


def test_no_identity_voice_or_sentence_is_in_two_splits() -> None:
    plan = CorpusPlan(identities=9, voices=8, sentences=3, seconds=6.0, methods=("talk", "reenact"))
    scenes = lay_out(plan)
    for what in ("identity", "voice"):
        seen: dict[object, set[str]] = {}
        for scene in scenes:
            seen.setdefault(getattr(scene, what), set()).add(scene.split)
        assert all(len(splits) == 1 for splits in seen.values())
    said: dict[Path, set[str]] = {}
    for scene in scenes:
        for path in scene.sentences:
            said.setdefault(path, set()).add(scene.split)
    assert all(len(splits) == 1 for splits in said.values())
    assert {scene.split for scene in scenes} == set(SPLITS)


def test_every_sitter_speaks_with_every_voice_of_its_split() -> None:
    scenes = lay_out(CorpusPlan(identities=6, voices=6, sentences=2))
    counts = apportion("voices", 6, CorpusPlan().split)
    for identity in {scene.identity for scene in scenes}:
        own = [scene for scene in scenes if scene.identity == identity]
        assert len({scene.voice for scene in own}) == counts[own[0].split]
        assert len(own) == 2 * counts[own[0].split]


def test_voices_can_be_taken_in_turn() -> None:
    scenes = lay_out(CorpusPlan(identities=6, voices=6, voices_each=1))
    assert len(scenes) == 6
    assert len({scene.voice for scene in scenes}) == 6


def test_each_scene_has_one_twin_and_a_take_by_each_method() -> None:
    plan = CorpusPlan(
        methods=("talk", "reenact"),
        controls=(PerformanceConfig(), PerformanceConfig(head_strength=0.3)),
    )
    scenes = lay_out(plan)
    ids = [clip_id for scene in scenes for clip_id in scene.ids()]
    assert len(ids) == len(set(ids)) == 3 * len(scenes)
    for scene in scenes:
        assert scene.twin.method is None
        assert [take.method for take in scene.takes] == ["talk", "reenact"]
        # Another take, not the same one: `talk` must not follow the twin.
        assert len({scene.twin.seed, *(take.seed for take in scene.takes)}) == 3


def test_a_plan_decides_the_ids() -> None:
    assert lay_out(CorpusPlan()) == lay_out(CorpusPlan())
    first = {name for scene in lay_out(CorpusPlan()) for name in scene.ids()}
    for changes in ({"seed": 1}, {"size": 256}, {"seconds": 2.0}, {"refine": False}):
        other = {name for scene in lay_out(CorpusPlan(**changes)) for name in scene.ids()}
        assert not first & other


def test_a_face_is_lent_within_a_split() -> None:
    plan = CorpusPlan(identities=7, methods=("talk", "swap"))
    scenes = lay_out(plan)
    people = {split: {s.sitter for s in scenes if s.split == split} for split in SPLITS}
    assert all(len(each) >= 2 for each in people.values())
    for scene in scenes:
        assert scene.donor in people[scene.split] - {scene.sitter}
    assert lay_out(plan) == scenes
    lenders = {(s.sitter, s.donor) for s in scenes if s.split == "train"}
    assert len(lenders) > len(people["train"])  # who lends is drawn anew for each scene
    assert all(scene.donor is None for scene in lay_out(CorpusPlan(identities=7)))


def test_a_lender_leaves_other_clips_their_ids() -> None:
    def ids(*methods: str) -> set[str]:
        plan = CorpusPlan(identities=6, methods=methods, voices=3, split={"train": 1.0})
        scenes = lay_out(plan)
        return {name for scene in scenes for name in scene.ids()}

    assert ids("talk", "dub") < ids("talk", "dub", "swap")


@pytest.mark.parametrize("seconds", [None, 1.6, 6.0])
def test_another_speech_of_the_same_voice_is_laid_over(seconds: float | None) -> None:
    methods = ("talk", "voiceover")
    plan = CorpusPlan(identities=9, voices=8, sentences=2, seconds=seconds, methods=methods)
    scenes = lay_out(plan)
    assert lay_out(plan) == scenes
    lengths = {s.file: s.seconds for voice in list_voices() for s in voice.sentences}
    overs = set()
    for scene in scenes:
        assert scene.over is not None
        assert scene.over.voice == scene.voice
        assert not set(scene.over.sentences) & set(scene.sentences)
        assert all(path.name.startswith(scene.voice) for path in scene.over.sentences)
        assert sum(lengths[path.name] for path in scene.over.sentences) >= (seconds or 0)
        overs.add(scene.over.sentences)
    assert len(overs) > len(scenes) / 4  # drawn, and not one for all
    assert {scene.over for scene in lay_out(CorpusPlan())} == {None}


@pytest.mark.parametrize("name", ["sitters", "edited", "calibration"])
def test_what_is_heard_does_not_tell_which_speech_was_laid_over(name: str) -> None:
    """Each speech is laid over a film as often as it is said in one."""
    scenes = lay_out(read_plan(_PLANS / f"{name}.yaml"))
    for split in ("train", "val", "test"):
        own = [scene for scene in scenes if scene.split == split]
        laid = [scene.over.sentences for scene in own if scene.over is not None]
        assert len(laid) == len(own)
        assert collections.Counter(laid) == collections.Counter(each.sentences for each in own)


def test_all_sentences_of_a_voice_are_said_as_often() -> None:
    plan = CorpusPlan(identities=12, voices=1, split={"train": 1.0})
    (voice,) = [each for each in list_voices() if each.id == plan.voice_ids()[0]]
    said = collections.Counter(scene.sentences for scene in lay_out(plan))
    assert len(said) == len(voice.sentences)
    assert set(said.values()) == {12 // len(voice.sentences)}


def test_a_speech_laid_over_leaves_other_clips_their_ids() -> None:
    def ids(*methods: str) -> set[str]:
        return {n for s in lay_out(CorpusPlan(seconds=2.0, methods=methods)) for n in s.ids()}

    assert ids("talk", "dub") < ids("talk", "dub", "voiceover")
    assert not ids("voiceover") - ids("talk", "voiceover")


def test_a_voice_that_says_all_it_has_is_laid_over_by_the_next_of_its_split() -> None:
    words: dict[str, Any] = {"identities": 1, "methods": ("voiceover",), "seconds": 60.0}
    alone: dict[Split, float] = {"test": 1.0}
    (one, two) = lay_out(CorpusPlan(voices=2, split=alone, **words))
    assert one.over is not None
    assert two.over is not None
    assert (one.over.voice, two.over.voice) == (two.voice, one.voice)
    with pytest.raises(ConfigError, match=r"says all its sentences.*fewer seconds or more voices"):
        lay_out(CorpusPlan(voices=1, split=alone, **words))


def test_nobody_lends_a_face_to_themselves() -> None:
    with pytest.raises(ConfigError, match=r"5 identities .* 2 in each.* at least 6"):
        CorpusPlan(identities=5, methods=("swap",))
    CorpusPlan(identities=5, methods=("dub",))
    with pytest.raises(ConfigError, match="at least 2"):
        CorpusPlan(identities=1, methods=("swap",), voices=1, split={"test": 1.0})


def test_more_identities_keep_the_sitters_of_fewer() -> None:
    few, many = CorpusPlan(identities=4).sitter_seeds(), CorpusPlan(identities=40).sitter_seeds()
    assert many[:4] == few
    assert len(set(many)) == 40


def test_a_long_clip_is_made_of_several_sentences() -> None:
    seconds = {s.file: s.seconds for voice in list_voices() for s in voice.sentences}
    for scene in lay_out(CorpusPlan(seconds=11.0)):
        lengths = [seconds[path.name] for path in scene.sentences]
        assert sum(lengths) >= 11.0 > sum(lengths[:-1])


def test_a_plan_survives_json() -> None:
    plan = CorpusPlan(
        identities=(3, 4, 5),
        controls=(PerformanceConfig(gaze_strength=0.5),),
        seconds=2.5,
        seed=8,
        refine=False,
    )
    assert CorpusPlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_a_plan_is_read_from_yaml(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(
        "identities: 4\nvoices: [flite-slt, flite-awb]\nmethods: [talk, reenact]\n"
        "controls:\n  - {}\n  - {head_strength: 0.5}\nsplit: {train: 3, test: 1}\nencode: {crf: "
        "23}\n"
    )
    plan = read_plan(path)
    assert plan.identities == 4
    assert plan.voices == ("flite-slt", "flite-awb")
    assert plan.controls[1].head_strength == 0.5
    assert (plan.encode.crf, plan.encode.threads) == (23, 1)
    scenes = lay_out(plan)
    assert {scene.split for scene in scenes} == {"train", "test"}
    assert len(scenes) == 4 * 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"identites": 3}, "identites"),
        ({"identities": 2}, "kept apart in 3 splits"),
        ({"voices": 1}, "kept apart in 3 splits"),
        ({"voices": 99}, "99 voices"),
        ({"voices": ["nobody", "flite-slt", "flite-awb"]}, "nobody"),
        ({"identities": [1, 1, 2]}, "twice"),
        ({"identities": "many"}, "many"),
        ({"methods": ["morph"]}, "morph"),
        ({"methods": []}, "methods"),
        ({"controls": [{"head": 1}]}, "head"),
        ({"controls": [{}, {}]}, "twice"),
        ({"controls": [{"head_strength": 9}]}, "head_strength"),
        ({"size": 511}, "511"),
        ({"refine": "yes"}, "refine is 'yes'; it must be true or false"),
        ({"size": "big"}, "big"),
        ({"seconds": 0.01}, "0.01"),
        ({"seconds": "long"}, "seconds is 'long'; it must be a number"),
        ({"seconds": True}, "seconds is True; it must be a number"),
        ({"seconds": 10**400}, "seconds is too large"),
        ({"sentences": 7}, "6 sentences"),
        ({"seed": -1}, "seed is -1; it must be a whole number from 0"),
        ({"seed": True}, "seed is True; it must be a whole number"),
        ({"identities": [1, -2, 3]}, "the seed -2; each seed must be a whole number from 0"),
        ({"identities": [1.5, 2, 3]}, r"the seed 1\.5; each"),
        ({"identities": [3, 3.9, True]}, r"the seed 3\.9; each"),
        ({"identities": [3, 4, True]}, "the seed True; each"),
        ({"identities": [3, "4", 5]}, "the seed '4'; each"),
        ({"identities": [[1], [2], [3]]}, r"the seed \[1\]; each"),
        ({"identities": True}, "identities are True; give a whole number"),
        ({"identities": 3.5}, r"identities are 3\.5; give a whole number"),
        ({"voices": [1, 2, 3]}, r"voices are \[1, 2, 3\]; give a list of names"),
        ({"methods": 5}, "methods are 5; give a list of names"),
        ({"methods": [5]}, r"methods are \[5\]; give a list of names"),
        ({"methods": {"talk": 1}}, "give a list of names"),
        ({"controls": 5}, "controls are 5; give a list of mappings"),
        ({"controls": {"head_strength": 1}}, "give a list of mappings"),
        ({"controls": [5]}, "controls is 5; give a mapping of mouth_strength"),
        ({"controls": [[]]}, r"controls is \[\]; give a mapping"),
        ({"controls": [{"head_strength": True}]}, "head_strength is True; it must be a number"),
        ({"split": ["train"]}, r"split is \['train'\]; give a mapping of train, val, test"),
        ({"split": {"train": "half"}}, "share of train is 'half'; it must be a number"),
        ({"encode": 5}, "encode is 5; give a mapping of crf, preset"),
        ({"encode": [1]}, r"encode is \[1\]; give a mapping of crf, preset"),
        ({"encode": {"crf": "low"}}, "crf is 'low'; it must be a number"),
        ({"encode": {"gop": 2.5}}, r"gop is 2\.5; it must be a whole number"),
        ({"split": {"dev": 1}}, "dev"),
        ({"split": {"train": 0}}, "split"),
        ({"encode": {"crf": 99}}, "crf"),
        ({"encode": {"quality": 1}}, "knows no quality; it knows crf, preset"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        lay_out(CorpusPlan.from_dict(values))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["", "- 1", "a: [", "\x00", "identities", "a: 2020-99-99"])
def test_a_file_that_is_no_plan_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"plan\.yaml") as raised:
        read_plan(path)
    assert "\n" not in str(raised.value)
    with pytest.raises(InputError):
        read_plan(tmp_path / "absent.yaml")


@hypothesis.given(
    count=st.integers(3, 500),
    shares=st.lists(st.floats(0.001, 100), min_size=3, max_size=3),
)
def test_apportionment_is_whole_and_near_the_shares(count: int, shares: list[float]) -> None:
    parts = apportion("things", count, dict(zip(SPLITS, shares, strict=True)))
    assert sum(parts.values()) == count
    assert min(parts.values()) >= 1
    for split, share in zip(SPLITS, shares, strict=True):
        # Off by less than one, but for what a split with a tiny share takes to have any.
        assert parts[split] < count * share / sum(shares) + 3


def test_a_scene_is_frozen() -> None:
    scene = lay_out(CorpusPlan())[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        scene.split = "test"  # type: ignore[misc]


def test_who_lends_a_face_looks_alike_where_somebody_does() -> None:
    plan = CorpusPlan(identities=tuple(range(1000, 1018)), voices=3, methods=("swap",))
    for scene in lay_out(plan):
        assert scene.donor is not None
        own, lent = attributes_of(scene.sitter), attributes_of(scene.donor)
        others = {
            attributes_of(other.sitter)["skin_tone"]
            for other in lay_out(plan)
            if other.split == scene.split and other.sitter != scene.sitter
        }
        if own["skin_tone"] in others:
            assert lent["skin_tone"] == own["skin_tone"]


def test_attributes_are_known_without_the_sitter() -> None:
    assert attributes_of(12) == Sitter.from_seed(12).attributes
