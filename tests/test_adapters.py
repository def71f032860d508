"""Each set is read as its publisher lays it out: labels, people, splits, and the traps of each."""

import contextlib
import itertools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from miniatures import MINIATURES, film

from obverse.clip import Clip
from obverse.datasets.adapter import Findings, Place, clip_id
from obverse.datasets.catalogue import ADAPTERS, adapter_named
from obverse.datasets.split import find_leaks
from obverse.errors import ConfigError, InputError

Read = Callable[[str], tuple[Mapping[str, Clip], Findings]]


@pytest.fixture(scope="module")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            MINIATURES[name](made[name])
        return made[name]

    return make


@pytest.fixture
def read(miniature: Callable[[str], Path]) -> Read:
    def clips(name: str) -> tuple[Mapping[str, Clip], Findings]:
        findings = Findings()
        found = list(ADAPTERS[name].read(Place(root=miniature(name)), findings))
        return {clip.path + (f"!{clip.member}" if clip.member else ""): clip for clip in found}, (
            findings
        )

    return clips


@pytest.mark.parametrize("name", MINIATURES)
def test_every_set_is_read_and_says_the_same_each_time(name: str, read: Read) -> None:
    clips, _ = read(name)
    assert clips
    assert {clip.dataset for clip in clips.values()} == {name}
    assert len({clip.id for clip in clips.values()}) == len(clips)
    assert list(read(name)[0].values()) == list(clips.values())
    pristine = {clip.id for clip in clips.values() if clip.label == "pristine"}
    for clip in clips.values():
        assert clip.binary == (clip.label == "synthetic") == (clip.kind == "generated")
        assert (clip.method is None) == (clip.binary_av == 0)
        assert clip.identity is None or ":" in clip.identity
        assert clip.id not in clip.parents.values()
        assert clip.parents.get("twin", "") not in {c.id for c in clips.values()} - pristine


@pytest.mark.parametrize("name", [*MINIATURES, "corpus"])
def test_a_folder_of_something_else_is_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    film(tmp_path / "holiday" / "beach.mp4")
    with pytest.raises(InputError) as caught:
        list(ADAPTERS[name].read(Place(root=tmp_path), Findings()))
    message = str(caught.value)
    assert str(tmp_path) in message
    assert "copy" in message or "name the folder" in message or "name a folder" in message


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("ffpp", "splits/val.json"),
        ("celeb-df-v2", "List_of_testing_videos.txt"),
        ("dfdc-preview", "dataset.json"),
        ("deeperforensics", "lists/splits/train.txt"),
        ("fakeavceleb", "meta_data.csv"),
        ("lav-df", "metadata.json"),
        ("deepspeak-v1", "annotations-split-def.csv"),
        ("deepspeak-v2", "annotations-fake.csv"),
        ("celebv-hq", "celebvhq_info.json"),
    ],
)
def test_an_absent_label_file_is_named(name: str, file: str, tmp_path: Path) -> None:
    MINIATURES[name](tmp_path)
    (tmp_path / file).unlink()
    with pytest.raises(InputError, match=f"lacks {file}"):
        list(ADAPTERS[name].read(Place(root=tmp_path), Findings()))


LABEL_FILES = {
    "ffpp": "splits/val.json",
    "celeb-df-v2": "List_of_testing_videos.txt",
    "dfdc": "dfdc_train_part_0/metadata.json",
    "dfdc-preview": "dataset.json",
    "deeperforensics": "lists/splits/train.txt",
    "fakeavceleb": "meta_data.csv",
    "lav-df": "metadata.json",
    "av-deepfake1m": "train_metadata.json",
    "deepspeak-v1": "annotations-split-def.csv",
    "deepspeak-v2": "annotations-fake.csv",
    "voxceleb2": "vox2_meta.csv",
    "celebv-hq": "celebvhq_info.json",
    "hdtf": "HDTF_dataset/WRA_annotion_time.txt",
}


@pytest.mark.parametrize("name", LABEL_FILES)
def test_a_damaged_label_file_is_an_error_of_one_sentence_or_none(
    name: str, tmp_path: Path
) -> None:
    """Whatever a broken download leaves, there is no traceback."""
    MINIATURES[name](tmp_path)
    path = tmp_path / LABEL_FILES[name]
    whole = path.read_bytes()
    texts = [b"", b"null", b"[]", b"{}", b"[1, 2]", b'[{"file": 1}]', b'{"clips": {"a": 1}}',
             b'[["a", 1]]', b"\xff\xfe\x00", b"a,b\n1,2\n", whole.replace(b'"', b""),
             whole.replace(b",", b";"), whole.replace(b"[[", b"[["[:1])]  # fmt: skip
    texts += [whole[: len(whole) * part // 8] for part in range(1, 8)]
    for text in texts:
        path.write_bytes(text)
        with contextlib.suppress(InputError):
            list(ADAPTERS[name].read(Place(root=tmp_path), Findings()))


def test_an_unknown_set_is_told_the_names() -> None:
    with pytest.raises(ConfigError, match=r"no set 'ff\+\+'; choose from ffpp, dfd, celeb-df-v1"):
        adapter_named("ff++")


def test_every_adapter_says_what_is_published() -> None:
    for name, adapter in ADAPTERS.items():
        about = adapter.about
        assert about.title, name
        assert about.layout, name
        assert about.splits, name
        assert about.terms, name
        assert tuple(sorted(about.official)) in {(), ("test",), ("test", "train"),
                                                 ("test", "train", "val")}  # fmt: skip


def test_faceforensics(read: Read) -> None:
    clips, _ = read("ffpp")
    original = clips["original_sequences/youtube/c23/videos/071.mp4"]
    assert (original.label, original.identity, original.split) == ("pristine", "ffpp:071", "train")
    fake = clips["manipulated_sequences/Deepfakes/c40/videos/071_054.mp4"]
    assert (fake.method, fake.identity, fake.donor) == ("Deepfakes", "ffpp:071", "ffpp:054")
    assert fake.encoder == {"compression": "c40"}
    assert fake.mask_path == "manipulated_sequences/Deepfakes/masks/videos/071_054.mp4"
    twin = clips["original_sequences/youtube/c40/videos/071.mp4"]
    assert fake.parents["twin"] == twin.id  # of the same quality
    back = clips["manipulated_sequences/FaceSwap/c23/videos/974_953.mp4"]
    assert (back.identity, back.donor, back.split) == ("ffpp:974", "ffpp:953", "test")
    raw = clips["original_sequences/youtube/raw/videos/672.mp4"]
    assert (raw.attributes["compression"], raw.split) == ("c0", "val")
    assert not any("actors" in path for path in clips)  # that is another set
    assert {clip.sound for clip in clips.values()} == {None}
    assert find_leaks(clips.values()) == []


def test_splits_may_lie_beside_the_films(tmp_path: Path) -> None:
    MINIATURES["ffpp"](tmp_path)
    for path in (tmp_path / "splits").iterdir():
        path.rename(tmp_path / path.name)
    assert len(list(ADAPTERS["ffpp"].read(Place(root=tmp_path), Findings()))) > 40
    (tmp_path / "val.json").write_text('[["071", "672"]]')
    with pytest.raises(InputError, match="film 071, which is in train too"):
        list(ADAPTERS["ffpp"].read(Place(root=tmp_path), Findings()))


def test_deepfakedetection(read: Read) -> None:
    clips, findings = read("dfd")
    base = "manipulated_sequences/DeepFakeDetection"
    fake = clips[f"{base}/c23/videos/01_02__kitchen_pan__8DTEGQ54.mp4"]
    twin = clips["original_sequences/actors/c23/videos/01__kitchen_pan.mp4"]
    assert (fake.identity, fake.donor, fake.parents["twin"]) == ("dfd:01", "dfd:02", twin.id)
    assert fake.attributes["scene"] == "kitchen_pan"
    assert fake.mask_path is not None
    assert sum(findings.counts.values()) == 1  # notes.mp4


@pytest.mark.parametrize("name", ["celeb-df-v1", "celeb-df-v2"])
def test_celeb_df(name: str, read: Read) -> None:
    clips, findings = read(name)
    people = "celebdf1" if name.endswith("v1") else "celebdf"
    fake = clips["Celeb-synthesis/id2_id3_0000.mp4"]
    assert (fake.identity, fake.donor) == (f"{people}:id2", f"{people}:id3")
    assert fake.parents["twin"] == clips["Celeb-real/id2_0000.mp4"].id
    assert clips["YouTube-real/00170.mp4"].identity == f"{people}:youtube-00170"
    tested = {path: clip.label for path, clip in clips.items() if clip.split == "test"}
    assert tested == {
        "Celeb-real/id2_0001.mp4": "pristine",  # the list calls it 1
        "YouTube-real/00170.mp4": "pristine",
        "Celeb-synthesis/id2_id3_0000.mp4": "synthetic",  # and this 0
    }
    assert {clip.split for clip in clips.values()} == {"test", None}
    assert findings.counts == {"listed but not here": 1}


def test_a_list_that_calls_fakes_one_is_refused(tmp_path: Path) -> None:
    """Some copies of the list are turned over, since elsewhere 1 is fake."""
    MINIATURES["celeb-df-v2"](tmp_path)
    listed = tmp_path / "List_of_testing_videos.txt"
    listed.write_text(listed.read_text().replace("0 Celeb", "1 Celeb"))
    with pytest.raises(InputError, match="1 is real and 0 is fake"):
        list(ADAPTERS["celeb-df-v2"].read(Place(root=tmp_path), Findings()))


def test_youtube_real_may_be_spelt_otherwise(tmp_path: Path) -> None:
    MINIATURES["celeb-df-v2"](tmp_path)
    (tmp_path / "YouTube-real").rename(tmp_path / "Youtube-real")
    clips = {c.path: c for c in ADAPTERS["celeb-df-v2"].read(Place(root=tmp_path), Findings())}
    assert clips["Youtube-real/00170.mp4"].split == "test"


def test_celeb_df_pp(read: Read) -> None:
    clips, _ = read("celeb-df-pp")
    one = clips["Celeb-synthesis/FaceSwap/BlendFace/id0_id1_0000.mp4"]
    other = clips["Celeb-synthesis/FaceSwap/Celeb-DF/id0_id1_0000.mp4"]
    assert (one.method, other.method) == ("BlendFace", "Celeb-DF")
    assert one.id != other.id  # though one name
    assert (one.split, other.split) == ("test", None)
    speaking = clips["Celeb-synthesis/TalkingFace/SadTalker/id4_0000_test_0007.mp4"]
    assert (speaking.identity, speaking.donor) == ("celebdf:id4", None)
    assert speaking.attributes == {"scenario": "TalkingFace"}
    assert speaking.parents["twin"] == clips["Celeb-real/id4_0000.mp4"].id


def test_dfdc(read: Read) -> None:
    clips, findings = read("dfdc")
    found = {path: (clip.label, clip.split) for path, clip in clips.items()}
    assert found == {
        "dfdc_train_part_0/aaaaaaaaaa.mp4": ("pristine", "train"),
        "dfdc_train_part_0/bbbbbbbbbb.mp4": ("synthetic", "train"),
        "validation/dddddddddd.mp4": ("pristine", "val"),
        "validation/eeeeeeeeee.mp4": ("synthetic", "val"),
        "test/ff.mp4": ("pristine", "test"),
        "test/gg.mp4": ("synthetic", "test"),
    }
    fake = clips["dfdc_train_part_0/bbbbbbbbbb.mp4"]
    assert fake.parents["twin"] == clips["dfdc_train_part_0/aaaaaaaaaa.mp4"].id
    assert fake.sound is None  # FAKE does not say what was changed
    assert findings.counts == {"listed but not here": 1, "here but in no label file": 1}


def test_one_part_of_dfdc_is_read_alone(miniature: Callable[[str], Path]) -> None:
    root = miniature("dfdc")
    for folder, split in (("dfdc_train_part_0", "train"), ("test", "test")):
        clips = list(ADAPTERS["dfdc"].read(Place(root=root / folder), Findings()))
        assert {clip.split for clip in clips} == {split}
        whole = {c.id for c in ADAPTERS["dfdc"].read(Place(root=root), Findings())}
        assert {clip.id for clip in clips} <= whole


def test_dfdc_labels_that_are_neither_are_refused(tmp_path: Path) -> None:
    MINIATURES["dfdc"](tmp_path)
    (tmp_path / "test/labels.csv").write_text("filename,label\nff.mp4,FAKE\n")
    with pytest.raises(InputError, match="0 is real and 1 is fake"):
        list(ADAPTERS["dfdc"].read(Place(root=tmp_path), Findings()))


def test_dfdc_preview(read: Read) -> None:
    clips, findings = read("dfdc-preview")
    fake = clips["method_A/643049/643049_A/1506454_643049_A_001.mp4"]
    real = clips["original_videos/643049/643049_A_001.mp4"]
    assert (fake.method, fake.identity) == ("method_A", "dfdc-preview:643049")
    assert fake.donor == "dfdc-preview:1506454"
    assert fake.parents["twin"] == real.id
    assert real.identity == fake.identity
    assert clips["original_videos/1224068/1224068_C_000.mp4"].split == "test"
    assert findings.counts["here but in no label file"] == 1


def test_deeperforensics(read: Read, miniature: Callable[[str], Path]) -> None:
    clips, _ = read("deeperforensics")
    assert {clip.label for clip in clips.values()} == {"synthetic"}
    assert not any("source_videos" in path for path in clips)  # they are not the pristine class
    fake = clips["manipulated_videos/end_to_end_level_3/720_W101.mp4"]
    assert (fake.split, fake.identity, fake.donor) == ("val", "ffpp:720", "deeperforensics:W101")
    assert fake.controls == {"distortions": ["GB:3", "JPEG:3"]}
    assert fake.attributes == {"variant": "end_to_end_level_3", "gender": "female"}
    place = Place(root=miniature("deeperforensics"), pristine=miniature("ffpp"))
    both = {clip.id: clip for clip in ADAPTERS["deeperforensics"].read(place, Findings())}
    target = both[fake.parents["twin"]]
    assert (target.label, target.identity, target.split) == ("pristine", "ffpp:720", "val")
    assert Path(target.path).is_file()
    assert target.path.endswith("youtube/c23/videos/720.mp4")
    wrong = Place(root=place.root, pristine=place.root)
    with pytest.raises(InputError, match="name the folder of FaceForensics"):
        list(ADAPTERS["deeperforensics"].read(wrong, Findings()))


def test_fakeavceleb(read: Read) -> None:
    clips, findings = read("fakeavceleb")
    base = "African/men/id00076"
    labels = {
        path.partition("/")[0]: (clip.label, clip.sound, clip.binary, clip.binary_av)
        for path, clip in clips.items()
    }
    assert labels == {
        "RealVideo-RealAudio": ("pristine", "pristine", 0, 0),
        "RealVideo-FakeAudio": ("pristine", "synthetic", 0, 1),
        "FakeVideo-RealAudio": ("synthetic", "pristine", 1, 1),
        "FakeVideo-FakeAudio": ("synthetic", "synthetic", 1, 1),
    }
    fake = clips[f"FakeVideo-RealAudio/{base}/00109_id00079_wavtolip.mp4"]
    assert (fake.identity, fake.donor, fake.method) == ("vox2:id00076", "vox2:id00079", "fsgan")
    assert fake.parents["twin"] == clips[f"RealVideo-RealAudio/{base}/00109.mp4"].id
    assert fake.attributes["race"] == "African"  # not shifted by the header that lacks a column
    assert fake.attributes["gender"] == "male"
    assert clips["RealVideo-RealAudio/Asian (East)/women/id00500/00109.mp4"].method is None
    assert findings.counts == {"listed again": 1}


def test_lav_df(read: Read) -> None:
    clips, findings = read("lav-df")
    said = {
        path: (c.label, c.sound, c.split, c.fake_segments, c.sound_segments)
        for path, c in clips.items()
    }
    segment = ((0.08, 0.16),)
    assert said == {
        "train/000000.mp4": ("pristine", "pristine", "train", (), ()),
        "train/000001.mp4": ("synthetic", "synthetic", "train", segment, segment),
        "dev/000002.mp4": ("synthetic", "pristine", "val", segment, ()),
        "test/000003.mp4": ("pristine", "synthetic", "test", (), segment),
    }
    assert clips["train/000001.mp4"].parents["twin"] == clips["train/000000.mp4"].id
    assert clips["dev/000002.mp4"].frames == 6
    assert findings.counts == {"here but in no label file": 1}


def test_av_deepfake1m(read: Read) -> None:
    clips, findings = read("av-deepfake1m")
    base = "train/id00012/21Uxsk56VDQ/00001"
    both = clips[f"{base}/fake_video_fake_audio.mp4"]
    assert (both.fake_segments, both.sound_segments) == (((0.04, 0.12),), ((0.08, 0.2),))
    assert (both.identity, both.method, both.split) == ("vox2:id00012", "vits", "train")
    assert both.parents["twin"] == clips[f"{base}/real.mp4"].id
    dubbed = clips["val/id00017/abc/00002/real_video_fake_audio.mp4"]
    assert (dubbed.binary, dubbed.binary_av, dubbed.split) == (0, 1, "val")
    assert findings.counts == {"listed but not here": 1, "without a published label": 2}


def test_av_deepfake1m_pp_names_people_of_other_corpora(tmp_path: Path) -> None:
    rows = [
        {"file": "lrs3/0Fi83BHQsMA/00002/real.mp4", "modify_type": "real"},
        {"file": "silent_videos/subject_7_ab_vid_1_2/real.mp4", "modify_type": "both-modified"},
        {"file": "vox_celeb_2/id01358/_1nATum8x78/00030/real.mp4", "modify_type": "real"},
    ]
    for row in rows:
        film(tmp_path / "val" / row["file"])
    (tmp_path / "val_metadata.json").write_text(json.dumps(rows))
    clips = list(ADAPTERS["av-deepfake1m"].read(Place(root=tmp_path), Findings()))
    assert [clip.identity for clip in clips] == [
        "lrs3:0Fi83BHQsMA",
        "av-deepfake1m:subject_7",
        "vox2:id01358",
    ]
    assert clips[1].label == "synthetic"  # a hyphen is found too
    (tmp_path / "val_metadata.json").write_text('[{"file": "a.mp4", "modify_type": "dubbed"}]')
    film(tmp_path / "val" / "a.mp4")
    with pytest.raises(InputError, match="modify_type 'dubbed'"):
        list(ADAPTERS["av-deepfake1m"].read(Place(root=tmp_path), Findings()))


def test_df40(read: Read) -> None:
    clips, findings = read("df40")
    train = clips["DF40_train/simswap/frames/071_054"]
    assert (train.method, train.split) == ("simswap", "train")
    assert (train.identity, train.donor) == ("ffpp:071", "ffpp:054")
    real = clips["FaceForensics++/original_sequences/youtube/c23/frames/071"]
    assert (real.label, real.split, train.parents["twin"]) == ("pristine", "train", real.id)
    celebrity = clips["DF40/simswap/cdf/frames/id1_id2_0007"]
    assert (celebrity.identity, celebrity.donor) == ("celebdf:id1", "celebdf:id2")
    assert celebrity.parents["twin"] == clips["Celeb-DF-v2/Celeb-real/frames/id1_0007"].id
    stranger = clips["DF40/sadtalker/cdf/YouTube-real/00043"]
    assert stranger.parents["twin"] == clips["Celeb-DF-v2/YouTube-real/frames/00043"].id
    assert clips["DF40/heygen/real/clip1"].label == "pristine"
    assert clips["DF40/heygen/fake/clip1"].label == "synthetic"
    assert clips["DF40/StyleGAN2/ff/0.png"].frames == 1  # a picture is a clip
    assert clips["DF40/wav2lip/ff/videos/953_974.mp4"].split == "test"
    assert not any("landmarks" in path for path in clips)
    assert findings.counts == {"in a folder that is called after no method of the set": 1}


def test_kodf(read: Read) -> None:
    clips, findings = read("kodf")
    methods = {clip.method for clip in clips.values()}
    assert methods == {None, "dfl", "dffs", "fsgan", "fo", "audio-driven"}
    fake = clips["synthesized_videos/dffs/20201202/100000/100000_100001_2_0042.mp4"]
    assert (fake.identity, fake.donor) == ("kodf:100000", "kodf:100001")
    real = clips["original_videos/0123456789abcdef0123/0123456789abcdef0123_001.mp4"]
    assert real.identity == "kodf:0123456789abcdef0123"
    assert findings.counts == {"not named as the set names its clips": 1}


def test_wilddeepfake(read: Read) -> None:
    clips, _ = read("wilddeepfake")
    base = "deepfake_in_the_wild"
    one = clips[f"{base}/real_train/1.tar.gz!1/real/3"]
    other = clips[f"{base}/real_train/1.tar.gz!1/real/54"]
    assert (one.label, one.split, one.frames, one.width) == ("pristine", "train", 2, 224)
    assert one.parents == other.parents  # sequences of one film
    packed = clips[f"{base}/fake_train/6.tar.gz!6/fake/0"]  # and this one is compressed
    assert (packed.label, packed.frames) == ("synthetic", 2)
    unpacked = clips[f"{base}/real_test/12/real/7"]
    assert (unpacked.split, unpacked.member) == ("test", None)
    assert unpacked.id == clip_id("wilddeepfake", "real_test/12/real/7")


@pytest.mark.parametrize("part", [1, 3, 5, 7])
def test_a_tar_that_is_damaged_is_named(part: int, tmp_path: Path) -> None:
    MINIATURES["wilddeepfake"](tmp_path)
    path = tmp_path / "deepfake_in_the_wild/fake_train/6.tar.gz"
    content = bytearray(path.read_bytes())
    content[len(content) * part // 8] ^= 0xFF
    for damaged in (bytes(content), bytes(content[: len(content) * part // 8]), b"no tar at all"):
        path.write_bytes(damaged)
        with contextlib.suppress(InputError):
            clips = list(ADAPTERS["wilddeepfake"].read(Place(root=tmp_path), Findings()))
            assert clips
    with pytest.raises(InputError, match=r"6\.tar\.gz cannot be read as a tar"):
        list(ADAPTERS["wilddeepfake"].read(Place(root=tmp_path), Findings()))


def test_deepspeak(read: Read) -> None:
    clips, findings = read("deepspeak-v1")
    fake = clips["deepspeak-v1-1/facefusion--10-11--4100-4897--0.mp4"]
    assert (fake.method, fake.identity, fake.donor) == (
        "facefusion",
        "deepspeak:11",
        "deepspeak:10",
    )
    assert (fake.label, fake.sound, fake.split) == ("synthetic", "pristine", "train")
    assert fake.parents["twin"] == clips["deepspeak-v1-0/11-4897.mp4"].id
    cloned = clips["deepspeak-v1-1/wav2lip--87-88--1-2--0.mp4"]
    assert (cloned.sound, cloned.split) == ("synthetic", "test")
    assert clips["deepspeak-v1-1/87-0.mp4"].split == "test"
    assert findings.counts == {"listed but not here": 1}
    clips, _ = read("deepspeak-v2")
    assert clips["deepspeak-v2-3/diff2lip-6868-6860-playht.mp4"].sound == "synthetic"
    assert clips["deepspeak-v2-3/liveportrait-1-2.mp4"].sound == "pristine"


def test_voxceleb2(read: Read) -> None:
    clips, findings = read("voxceleb2")
    one = clips["dev/mp4/id00012/00012sk56VDQ/00001.mp4"]
    assert (one.identity, one.speaker, one.split) == ("vox2:id00012", "vox2:id00012", "train")
    assert one.attributes == {"gender": "male", "set": "dev"}
    tested = clips["test/mp4/id00017/abc/00001.mp4"]
    assert (tested.split, tested.attributes["gender"]) == ("test", "female")
    assert findings.counts == {"not named as the set names its clips": 1}
    fake, _ = read("fakeavceleb")
    assert {c.identity for c in fake.values()} & {f"vox2:id{n:05d}" for n in range(76, 100)}


def test_celebv_hq(read: Read) -> None:
    clips, _ = read("celebv-hq")
    one = clips["downloaded_celebvhq/processed/M2Ohb0FAaJU_1.mp4"]
    other = clips["downloaded_celebvhq/processed/M2Ohb0FAaJU_2.mp4"]
    assert one.parents == other.parents  # cut out of one film
    assert one.attributes == {
        "blurry": "no",
        "gender": "male",
        "young": "yes",
        "emotion": "neutral",
    }
    assert "emotion" not in other.attributes  # several, one after the other
    assert not any("raw" in path for path in clips)


def test_hdtf(read: Read) -> None:
    clips, findings = read("hdtf")
    assert clips["clips/AdamKinzinger0_0.mp4"].identity == "hdtf:AdamKinzinger"
    assert clips["clips/AdamKinzinger1_0.mp4"].identity == "hdtf:AdamKinzinger"
    assert clips["clips/Radio11_1.mp4"].identity == "hdtf:Radio11"  # nobody says who it is
    assert clips["clips/RD_Radio34_001.mp4"].attributes == {"group": "RD"}
    assert findings.counts == {"here but in no label file": 1}


def _folders(root: Path) -> None:
    for folder, person, name in itertools.product(("real", "fake"), ("ann", "bob"), ("1", "2")):
        film(root / folder / person / f"{name}.mp4")


def test_two_folders(tmp_path: Path) -> None:
    _folders(tmp_path)
    place = Place(root=tmp_path, pristine=tmp_path / "real", synthetic=tmp_path / "fake")
    clips = list(ADAPTERS["folders"].read(place, Findings()))
    assert [clip.label for clip in clips] == ["pristine"] * 4 + ["synthetic"] * 4
    assert len({clip.id for clip in clips}) == 8  # one name in both folders is two clips
    assert {clip.identity for clip in clips} == {None}
    people = Place(root=tmp_path, pristine=place.pristine, people=True)
    named = list(ADAPTERS["folders"].read(people, Findings()))
    assert [clip.identity for clip in named] == ["folders:ann"] * 2 + ["folders:bob"] * 2


@pytest.mark.parametrize(
    ("folders", "error", "match"),
    [
        ({}, ConfigError, "needs --pristine DIR"),
        ({"pristine": "nowhere"}, InputError, "is no folder"),
        ({"pristine": ".", "synthetic": "fake"}, ConfigError, "lie in one another"),
        ({"pristine": "real", "synthetic": "real"}, ConfigError, "lie in one another"),
    ],
)
def test_folders_that_make_no_sense(
    folders: dict[str, str], error: type[Exception], match: str, tmp_path: Path
) -> None:
    _folders(tmp_path)
    named: Any = {name: tmp_path / folder for name, folder in folders.items()}
    with pytest.raises(error, match=match):
        list(ADAPTERS["folders"].read(Place(root=tmp_path, **named), Findings()))


def test_a_csv_file(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4")
    film(tmp_path / "b.mp4")
    listed = tmp_path / "clips.csv"
    listed.write_text(
        "path,label,sound,identity,split,fake_segments,twin,attribute.age,frames\n"
        "a.mp4,real,,ann,train,,,40,6\n"
        "b.mp4,Fake,synthetic,ann,train,0.5-1.25;3-4,a.mp4,,\n"
        "c.mp4,fake,,,,,,,\n"
    )
    findings = Findings()
    real, fake = ADAPTERS["csv"].read(Place(root=listed), findings)
    assert (real.label, real.identity, real.attributes, real.frames) == (
        "pristine",
        "ann",
        {"age": "40"},
        6,
    )
    assert fake.fake_segments == ((0.5, 1.25), (3.0, 4.0))
    assert fake.parents == {"twin": real.id}
    assert findings.counts == {"listed but not here": 1}


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("path,label\na.mp4,1\n", "line 2 .*'1' is no label; write pristine or real"),
        ("path,labels\na.mp4,real\n", "lacks the column label"),
        ("path,label,colour\na.mp4,real,red\n", "has the column colour"),
        ("path,label,split\na.mp4,real,dev\n", "split is 'dev'"),
        ("path,label,fake_segments\na.mp4,fake,one\n", "line 2"),
    ],
)
def test_a_csv_file_that_cannot_be_meant(text: str, match: str, tmp_path: Path) -> None:
    film(tmp_path / "a.mp4")
    (tmp_path / "clips.csv").write_text(text)
    with pytest.raises(InputError, match=match):
        list(ADAPTERS["csv"].read(Place(root=tmp_path / "clips.csv"), Findings()))


def test_our_own_corpora(film_table: Path) -> None:
    clips = list(ADAPTERS["corpus"].read(Place(root=film_table.parent), Findings()))
    assert len(clips) == 14
    assert {clip.dataset for clip in clips} == {"corpus"}
