"""A plan of recordings: hashes for names, nobody in two splits, and what is refused."""

import json
from pathlib import Path

import pytest
from miniatures import MINIATURES, film

from obverse.datasets.adapter import Place
from obverse.datasets.index import index_set
from obverse.datasets.table import clip_path, read_clips, write_clips
from obverse.errors import ConfigError, InputError, RightsError
from obverse.generator.recordings import RecordedScene, lay_out_recordings, plan_recordings
from obverse.weights import sha256_file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("recordings")
    for person in ("Ann Smith", "Bob", "Cleo", "Dan"):
        for name in ("1", "2"):
            film(root / person / f"{name}.mp4")
    return root


def test_each_film_is_a_scene_with_its_takes(folder: Path) -> None:
    settings = {"methods": ["talk", "reenact"], "seconds": 2.0, "size": 256}
    plan, sources = plan_recordings(folder, "consented", settings)
    scenes = lay_out_recordings(plan, sources)
    assert len(scenes) == 8
    assert [scene.sha256 for scene in scenes] == sorted(sha256_file(path) for path in
                                                        folder.rglob("*.mp4"))  # fmt: skip
    assert all(sha256_file(scene.source) == scene.sha256 for scene in scenes)
    assert [take.method for take in scenes[0].takes] == ["talk", "reenact"]
    assert len({clip_id for scene in scenes for clip_id in scene.ids()}) == 24
    assert {scene.rights for scene in scenes} == {"consented"}
    assert lay_out_recordings(*plan_recordings(folder, "consented", settings)) == scenes


def test_a_persons_films_share_a_split(folder: Path) -> None:
    plan, sources = plan_recordings(folder, "consented", people=True)
    scenes = lay_out_recordings(plan, sources)
    people = {scene.identity: scene.split for scene in scenes}
    assert len(people) == 4
    assert all(people[scene.identity] == scene.split for scene in scenes)
    assert set(people.values()) == {"train", "val", "test"}
    by_folder = {scene.source.parent.name: scene.identity for scene in scenes}
    assert len(set(by_folder.values())) == 4
    alone, _ = plan_recordings(folder, "consented")
    assert len({recording.person for recording in alone.recordings}) == 8


def test_a_face_is_lent_by_another_person_of_the_split(folder: Path) -> None:
    settings = {"methods": ["dub", "swap"], "split": {"train": 1, "test": 1}}
    plan, sources = plan_recordings(folder, "consented", settings, people=True)
    scenes = lay_out_recordings(plan, sources)
    splits = {scene.identity: scene.split for scene in scenes}
    assert sorted(splits.values()) == ["test", "test", "train", "train"]
    for scene in scenes:
        assert scene.donor is not None
        assert scene.donor.person != scene.identity
        assert splits[scene.donor.person] == scene.split
        assert sha256_file(scene.donor_source or Path()) == scene.donor.sha256
    with pytest.raises(
        ConfigError, match=r"4 people cannot be kept apart in 3 splits.*at least 6.* plan file"
    ):
        plan_recordings(folder, "consented", {"methods": ["swap"]}, people=True)


def test_a_voice_is_lent_by_another_person_of_the_split(folder: Path) -> None:
    def scenes_of(*methods: str) -> tuple[RecordedScene, ...]:
        settings = {"methods": list(methods), "split": {"train": 1, "test": 1}}
        return lay_out_recordings(*plan_recordings(folder, "consented", settings, people=True))

    scenes = scenes_of("dub", "voiceover")
    splits = {scene.identity: scene.split for scene in scenes}
    for scene in scenes:
        assert scene.heard is not None
        assert scene.heard.person != scene.identity
        assert splits[scene.heard.person] == scene.split
        assert sha256_file(scene.heard_source or Path()) == scene.heard.sha256
        assert scene.donor is None
    few = {name for scene in scenes_of("dub") for name in scene.ids()}
    assert few < {name for scene in scenes for name in scene.ids()}
    with pytest.raises(ConfigError, match=r"4 people cannot be kept apart in 3.*faces or voices"):
        plan_recordings(folder, "consented", {"methods": ["voiceover"]}, people=True)


def test_no_name_of_a_file_or_folder_is_in_the_plan(folder: Path) -> None:
    """Folders are called after people, and the plan ends up in corpus.json and manifests."""
    plan, sources = plan_recordings(folder, "consented", people=True)
    told = json.dumps(plan.to_dict())
    assert not any(name in told for name in ("Ann", "Smith", "Bob", str(folder), "1.mp4"))
    assert "Ann" not in str(lay_out_recordings(plan, sources)[0].identity)


def test_the_seed_draws_splits_and_performances(folder: Path) -> None:
    one, other = (
        lay_out_recordings(*plan_recordings(folder, "consented", {"seed": seed}, people=True))
        for seed in (0, 1)
    )
    assert [scene.twin.seed for scene in one] != [scene.twin.seed for scene in other]
    assert {scene.split for scene in one} == {scene.split for scene in other}


def test_rights_go_into_the_ids(folder: Path) -> None:
    one, other = (
        lay_out_recordings(*plan_recordings(folder, rights))
        for rights in ("consented", "public-domain")
    )
    assert not {s.twin.id for s in one} & {s.twin.id for s in other}


def test_one_film_twice_is_one_recording(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        film(tmp_path / "p" / f"{name}.mp4")
    content = (tmp_path / "p" / "a.mp4").read_bytes()
    (tmp_path / "p" / "copy.mp4").write_bytes(content)
    plan, _ = plan_recordings(tmp_path, "consented")
    assert len(plan.recordings) == 3
    (tmp_path / "q").mkdir()
    (tmp_path / "q" / "copy.mp4").write_bytes(content)
    with pytest.raises(ConfigError, match="one film of two people"):
        plan_recordings(tmp_path, "consented", people=True)


@pytest.mark.parametrize(
    ("rights", "settings", "error", "match"),
    [
        ("mine", {}, RightsError, "state one of synthetic, public-domain, consented"),
        ("consented", {"voices": 4}, ConfigError, "has no voices"),
        ("consented", {"colour": 1}, ConfigError, "knows no colour"),
        ("consented", {"methods": ["morph"]}, ConfigError, "choose from talk, reenact"),
    ],
)
def test_what_cannot_be_meant(
    rights: str, settings: dict[str, object], error: type[Exception], match: str, folder: Path
) -> None:
    with pytest.raises(error, match=match):
        plan_recordings(folder, rights, settings)


def test_a_folder_without_films_or_people(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no folder"):
        plan_recordings(tmp_path / "x", "consented")
    with pytest.raises(InputError, match="holds no film"):
        plan_recordings(tmp_path, "consented")
    film(tmp_path / "a.mp4")
    with pytest.raises(ConfigError, match="1 people cannot be kept apart in 3 splits"):
        plan_recordings(tmp_path, "consented")
    plan, _ = plan_recordings(tmp_path, "consented", {"split": {"train": 1.0}})
    assert len(plan.recordings) == 1


def test_a_table_of_a_set_brings_its_people_and_splits(tmp_path: Path) -> None:
    MINIATURES["fakeavceleb"](tmp_path / "set")
    table = tmp_path / "clips.parquet"
    index_set("fakeavceleb", Place(root=tmp_path / "set"), table)
    plan, sources = plan_recordings(table, "public-domain", {"seconds": 1.0})
    scenes = {scene.source: scene for scene in lay_out_recordings(plan, sources)}
    pristine = [clip for clip in read_clips(table) if not clip.binary_av]
    assert len(scenes) == len(pristine) == 16  # real picture with cloned sound is not pristine
    for clip in pristine:
        assert scenes[clip_path(clip, tmp_path)].split == clip.split
    assert "vox2" not in json.dumps(plan.to_dict())
    clips = read_clips(table)
    one = clips[0]
    clips[1] = clips[1].replace(
        identity=one.identity, split="test" if one.split == "train" else "train"
    )
    write_clips(table, clips, force=True)
    with pytest.raises(ConfigError, match=r"is in the splits .* --splits disjoint"):
        plan_recordings(table, "public-domain")
