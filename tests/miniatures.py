"""A miniature of each set as its publisher lays it out: real names and label files, a few frames of
noise in place of people. Every film differs from every other.
"""

import csv
import io
import itertools
import json
import tarfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from obverse.media.still import write_still
from obverse.media.video import VideoWriter

__all__ = ["MINIATURES", "film", "picture"]

SIDE, FRAMES, FPS = 48, 6, 25
_seeds = itertools.count()


def film(path: Path) -> Path:
    """Write a film of a colour that drifts and noise."""
    rng = np.random.default_rng(next(_seeds))
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = rng.integers(0, 256, (6, 6, 3)).astype(np.uint8)
    still = np.kron(coarse, np.ones((SIDE // 6, SIDE // 6, 1), np.uint8))
    with VideoWriter(path, SIDE, SIDE, FPS) as writer:
        for _ in range(FRAMES):
            noise = rng.integers(-8, 9, still.shape)
            writer.write(np.clip(still.astype(int) + noise, 0, 255).astype(np.uint8))
    return path


def picture(path: Path) -> Path:
    """Write a still of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(next(_seeds))
    write_still(path, rng.integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8))
    return path


def _films(root: Path, *paths: str) -> None:
    for path in paths:
        film(root / path)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _json(path: Path, values: Any) -> None:
    _write(path, json.dumps(values))


def _csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    _write(path, text.getvalue())


def ffpp(root: Path) -> None:
    pairs = {"train": [["071", "054"]], "val": [["720", "672"]], "test": [["953", "974"]]}
    for split, listed in pairs.items():
        _json(root / "splits" / f"{split}.json", listed)
    for quality in ("raw", "c23", "c40"):
        for one, other in (pair for listed in pairs.values() for pair in listed):
            for name in (one, other):
                film(root / f"original_sequences/youtube/{quality}/videos/{name}.mp4")
    for method in ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter"):
        base = f"manipulated_sequences/{method}"
        for one, other in (pair for listed in pairs.values() for pair in listed):
            film(root / f"{base}/c23/videos/{one}_{other}.mp4")
            film(root / f"{base}/c23/videos/{other}_{one}.mp4")
    film(root / "manipulated_sequences/Deepfakes/c40/videos/071_054.mp4")
    film(root / "manipulated_sequences/Deepfakes/masks/videos/071_054.mp4")
    # The same download brings DeepFakeDetection, which is another set.
    film(root / "original_sequences/actors/c23/videos/01__kitchen_pan.mp4")


def dfd(root: Path) -> None:
    scenes = ("kitchen_pan", "walking_outside_cafe_disgusted")
    for actor in range(1, 9):
        for scene in scenes:
            film(root / f"original_sequences/actors/c23/videos/{actor:02d}__{scene}.mp4")
    base = "manipulated_sequences/DeepFakeDetection"
    for target, source in ((1, 2), (2, 1), (3, 4), (5, 6), (7, 8)):
        film(root / f"{base}/c23/videos/{target:02d}_{source:02d}__kitchen_pan__8DTEGQ54.mp4")
    film(root / f"{base}/masks/videos/01_02__kitchen_pan__8DTEGQ54.mp4")
    film(root / f"{base}/c23/videos/notes.mp4")


def celeb_df(root: Path) -> None:
    """Write v1 and v2, which are laid out alike."""
    _films(
        root, *(f"Celeb-real/id{person}_000{take}.mp4" for person in range(6) for take in (0, 1))
    )
    _films(root, *(f"YouTube-real/{number:05d}.mp4" for number in (0, 1, 170)))
    swaps = ((0, 1), (1, 0), (2, 3), (3, 2), (4, 5))
    _films(root, *(f"Celeb-synthesis/id{one}_id{other}_0000.mp4" for one, other in swaps))
    _write(
        root / "List_of_testing_videos.txt",
        "1 Celeb-real/id2_0001.mp4\n1 YouTube-real/00170.mp4\n0 Celeb-synthesis/id2_id3_0000.mp4\n"
        "0 Celeb-synthesis/id2_id3_0009.mp4\n",
    )


def celeb_df_pp(root: Path) -> None:
    _films(root, *(f"Celeb-real/id{person}_0000.mp4" for person in range(6)))
    _films(root, "YouTube-real/00001.mp4")
    base = "Celeb-synthesis"
    _films(
        root,
        f"{base}/FaceSwap/Celeb-DF/id0_id1_0000.mp4",
        f"{base}/FaceSwap/BlendFace/id0_id1_0000.mp4",  # one name, two methods
        f"{base}/FaceReenact/LivePortrait/id2_id3_0000.mp4",
        f"{base}/TalkingFace/SadTalker/id4_0000_test_0007.mp4",
    )
    _write(
        root / "List_of_testing_videos.txt",
        "1 Celeb-real/id5_0000.mp4\n0 Celeb-synthesis/FaceSwap/BlendFace/id0_id1_0000.mp4\n",
    )


def dfdc(root: Path) -> None:
    part = root / "dfdc_train_part_0"
    _films(part, "aaaaaaaaaa.mp4", "bbbbbbbbbb.mp4", "zzzzzzzzzz.mp4")
    _json(
        part / "metadata.json",
        {
            "aaaaaaaaaa.mp4": {"label": "REAL", "split": "train"},
            "bbbbbbbbbb.mp4": {"label": "FAKE", "split": "train", "original": "aaaaaaaaaa.mp4"},
            "cccccccccc.mp4": {"label": "FAKE", "split": "train", "original": "aaaaaaaaaa.mp4"},
        },
    )
    for folder, real, fake in (("validation", "dddddddddd", "eeeeeeeeee"), ("test", "ff", "gg")):
        _films(root / folder, f"{real}.mp4", f"{fake}.mp4")
        rows = [(f"{real}.mp4", "0"), (f"{fake}.mp4", "1")]
        _csv(root / folder / "labels.csv", ("filename", "label"), rows)


def dfdc_preview(root: Path) -> None:
    real = "original_videos/643049/643049_A_001.mp4"
    swapped = "method_A/643049/643049_A/1506454_643049_A_001.mp4"
    tested = "original_videos/1224068/1224068_C_000.mp4"
    _films(root, real, swapped, tested, "method_B/1/2.mp4")
    _films(root, *(f"original_videos/{actor}/{actor}_B_000.mp4" for actor in range(100, 112)))
    listed: dict[str, Any] = {
        real: {"label": "real", "set": "train", "augmentations": []},
        swapped: {
            "label": "fake",
            "set": "train",
            "target_id": "643049",
            "swapped_id": "1506454",
            "augmentations": [],
        },
        tested: {"label": "real", "set": "test", "augmentations": []},
        "method_A/9/9_A/8_9_A_000.mp4": {"label": "fake", "set": "test"},
    }
    for actor in range(100, 112):
        listed[f"original_videos/{actor}/{actor}_B_000.mp4"] = {"label": "real", "set": "train"}
    _json(root / "dataset.json", listed)


def deeperforensics(root: Path) -> None:
    names = {"train": "071_M004", "val": "720_W101", "test": "953_M010"}
    for split, name in names.items():
        _write(root / f"lists/splits/{split}.txt", f"{name}.mp4\n")
    for variant in ("end_to_end", "end_to_end_level_3", "reenact_postprocess"):
        _films(root, *(f"manipulated_videos/{variant}/{name}.mp4" for name in names.values()))
    _write(
        root / "lists/manipulated_videos_distortions_meta"
        "/manipulated_videos_end_to_end_level_3_meta.txt",
        "end_to_end_level_3/071_M004.mp4 CS:3\nend_to_end_level_3/720_W101.mp4 GB:3 JPEG:3\n",
    )
    source = "M004_light_up_happy_camera_front.mp4"
    film(root / f"source_videos/M004/light_up/happy/camera_front/{source}")


def fakeavceleb(root: Path) -> None:
    people = [("African", "men", f"id{number:05d}") for number in range(76, 100, 3)]
    people += [("Asian (East)", "women", f"id{number:05d}") for number in range(500, 524, 3)]
    rows = []
    for race, gender, person in people:
        base = f"RealVideo-RealAudio/{race}/{gender}/{person}"
        film(root / base / "00109.mp4")
        rows.append([person, "-", "-", "real", "A", "RealVideo-RealAudio", race, gender,
                     "00109.mp4", f"FakeAVCeleb/{base}"])  # fmt: skip
    made = [
        ("RealVideo-FakeAudio", "B", "rtvc", "-", "00109_fake.mp4"),
        ("FakeVideo-RealAudio", "C", "fsgan", "id00079", "00109_id00079_wavtolip.mp4"),
        ("FakeVideo-FakeAudio", "D", "faceswap-wav2lip", "id00079", "00109_0_id00079_wavtolip.mp4"),
    ]
    for kind, category, method, donor, name in made:
        base = f"{kind}/African/men/id00076"
        film(root / base / name)
        rows.append(["id00076", donor, "-", method, category, kind, "African", "men", name,
                     f"FakeAVCeleb/{base}"])  # fmt: skip
    rows.append([*rows[-1][:3], "wav2lip", *rows[-1][4:]])  # the release lists some files twice
    header = ["source", "target1", "target2", "method", "category", "type", "race", "gender",
              "path", ""]  # fmt: skip
    _csv(root / "meta_data.csv", header, rows)


def lav_df(root: Path) -> None:
    def row(file: str, split: str, picture: bool, sound: bool, **more: Any) -> dict[str, Any]:
        film(root / file)
        changed = picture or sound
        return {
            "file": file,
            "n_fakes": int(changed),
            "fake_periods": [[0.08, 0.16]] if changed else [],
            "timestamps": [["word", 0.0, 0.1]],
            "duration": FRAMES / FPS,
            "transcript": "word",
            "original": None,
            "modify_video": picture,
            "modify_audio": sound,
            "split": split,
            "video_frames": FRAMES,
            "audio_channels": 1,
            "audio_frames": 3840,
        } | more

    listed = [
        row("train/000000.mp4", "train", False, False),
        row("train/000001.mp4", "train", True, True, original="000000.mp4"),
        row("dev/000002.mp4", "dev", True, False),
        row("test/000003.mp4", "test", False, True),
    ]
    film(root / "test/999999.mp4")
    _json(root / "metadata.json", listed)


def av_deepfake1m(root: Path) -> None:
    def row(file: str, split: str, kind: str, **more: Any) -> dict[str, Any]:
        film(root / split / file)
        return {"file": file, "split": split, "original": None, "modify_type": kind,
                "audio_model": None, "fake_segments": [], "audio_fake_segments": [],
                "visual_fake_segments": [], "video_frames": FRAMES, "audio_frames": 3840,
                **more}  # fmt: skip

    base = "id00012/21Uxsk56VDQ/00001"
    both = {
        "original": f"{base}/real.mp4",
        "audio_model": "vits",
        "fake_segments": [[0.04, 0.2]],
        "visual_fake_segments": [[0.04, 0.12]],
        "audio_fake_segments": [[0.08, 0.2]],
    }
    train = [
        row(f"{base}/real.mp4", "train", "real"),
        row(f"{base}/fake_video_fake_audio.mp4", "train", "both_modified", **both),
        row(f"{base}/fake_video_real_audio.mp4", "train", "visual_modified",
            fake_segments=[[0.04, 0.12]], visual_fake_segments=[[0.04, 0.12]]),
    ]  # fmt: skip
    val = [
        row("id00017/abc/00002/real_video_fake_audio.mp4", "val", "audio_modified",
            audio_model="yourtts", fake_segments=[[0.0, 0.1]], audio_fake_segments=[[0.0, 0.1]]),
        {"file": "id00017/abc/00003/real.mp4", "split": "val", "modify_type": "real"},
    ]  # fmt: skip
    _json(root / "train_metadata.json", train)
    _json(root / "val_metadata.json", val)
    _write(root / "test_files.txt", "000001.mp4\n000002.mp4\n")


def df40(root: Path) -> None:
    for number in range(2):
        for folder in (
            "DF40_train/simswap/frames/071_054",
            "DF40_train/simswap/landmarks/071_054",
            "DF40/simswap/ff/frames/953_974",
            "DF40/simswap/cdf/frames/id1_id2_0007",
            "DF40/sadtalker/cdf/YouTube-real/00043",
            "DF40/heygen/real/clip1",
            "DF40/heygen/fake/clip1",
            "FaceForensics++/original_sequences/youtube/c23/frames/071",
            "FaceForensics++/original_sequences/youtube/c23/frames/953",
            "Celeb-DF-v2/Celeb-real/frames/id1_0007",
            "Celeb-DF-v2/YouTube-real/frames/00043",
        ):
            picture(root / folder / f"{number:03d}.png")
        picture(root / f"DF40/StyleGAN2/ff/{number}.png")
    film(root / "DF40/wav2lip/ff/videos/953_974.mp4")
    film(root / "DF40/holiday/beach.mp4")


def kodf(root: Path) -> None:
    actors = [f"{number:06d}" for number in range(100000, 100008)] + ["0123456789abcdef0123"]
    _films(root, *(f"original_videos/{actor}/{actor}_001.mp4" for actor in actors))
    base = "synthesized_videos"
    made = [
        f"{base}/dffs/20201202/100000/100000_100001_2_0042.mp4",
        f"{base}/dfl/20201202/100002/100002_100003_1_0001.mp4",
        f"{base}/fsgan/20201202/100004/100004_100005_3_0001.mp4",
        f"{base}/fo/20201202/100006/100006_100007_4_0001.mp4",
        f"{base}/audio-driven/20201202/100000/100000_0123456789abcdef0123_5_0001.mp4",
        f"{base}/readme.mp4",
    ]
    _films(root, *made)


def _tar(path: Path, members: Sequence[str], mode: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name in members:
            content = picture(path.parent / ".picture.png").read_bytes()
            item = tarfile.TarInfo(name)
            item.size = len(content)
            archive.addfile(item, io.BytesIO(content))
    (path.parent / ".picture.png").unlink()


def wilddeepfake(root: Path) -> None:
    base = root / "deepfake_in_the_wild"
    # Plain tars, for all that they are called.
    for number in range(1, 9):
        frames = [
            f"{number}/real/{sequence}/{frame}.png" for sequence in (3, 54) for frame in (9, 10)
        ]
        _tar(base / f"real_train/{number}.tar.gz", frames, "w")
    _tar(base / "fake_train/6.tar.gz", ["6/fake/0/1.png", "6/fake/0/2.png"], "w:gz")
    _tar(base / "fake_test/1.tar.gz", ["1/fake/0/1.png"], "w")
    for frame in (1, 2):
        picture(base / f"real_test/12/real/7/{frame}.png")  # unpacked


def deepspeak_v1(root: Path) -> None:
    _csv(
        root / "annotations-split-def.csv",
        ("identity", "split"),
        [*((str(person), "train") for person in range(10, 30)), ("87", "test"), ("88", "test")],
    )
    header = ("video-file", "kind", "engine", "identity-source", "identity-target",
              "recording-source", "recording-target", "recording-target-ai-generated")  # fmt: skip
    _csv(
        root / "annotations-fake.csv",
        header,
        [
            ("facefusion--10-11--4100-4897--0.mp4", "face-swap", "facefusion", "10", "11", "4100",
             "4897", "False"),
            ("wav2lip--87-88--1-2--0.mp4", "lip-sync", "wav2lip", "87", "88", "1", "2", "True"),
            ("absent--1-2--3-4--0.mp4", "face-swap", "facefusion", "1", "2", "3", "4", "False"),
        ],
    )  # fmt: skip
    _csv(root / "annotations-real.csv", ("video-file", "identity"), [("11-4897.mp4", "11")])
    _films(root, *(f"deepspeak-v1-0/{person}-{4886 + person}.mp4" for person in range(10, 30)))
    _films(root, "deepspeak-v1-1/87-0.mp4", "deepspeak-v1-1/facefusion--10-11--4100-4897--0.mp4")
    _films(root, "deepspeak-v1-1/wav2lip--87-88--1-2--0.mp4")


def deepspeak_v2(root: Path) -> None:
    _csv(
        root / "annotations-split-def.csv",
        ("identity", "split"),
        [*((str(person), "train") for person in range(10, 30)), ("87", "test"), ("88", "test")],
    )
    header = ("video-file", "kind", "engine", "identity-source", "identity-target",
              "recording-source", "recording-target", "audio-config", "gesture-type")  # fmt: skip
    _csv(
        root / "annotations-fake.csv",
        header,
        [
            ("diff2lip-6868-6860-playht.mp4", "lip-sync", "diff2lip", "87", "88", "6868", "6860",
             "playht", "none"),
            ("liveportrait-1-2.mp4", "avatar", "liveportrait", "10", "11", "1", "2", "", ""),
        ],
    )  # fmt: skip
    _csv(root / "annotations-real.csv", ("video-file", "identity"), [("88-6860.mp4", "88")])
    _films(root, *(f"deepspeak-v2-0/{person}-2.mp4" for person in range(10, 30)))
    _films(root, "deepspeak-v2-0/88-6860.mp4", "deepspeak-v2-3/diff2lip-6868-6860-playht.mp4")
    _films(root, "deepspeak-v2-3/liveportrait-1-2.mp4")


def voxceleb2(root: Path) -> None:
    people = [f"id{number:05d}" for number in range(12, 40) if number != 17]
    _films(root, *(f"dev/mp4/{person}/{person[2:]}sk56VDQ/00001.mp4" for person in people))
    _films(root, "dev/mp4/id00012/00012sk56VDQ/00002.mp4", "test/mp4/id00017/abc/00001.mp4")
    _films(root, "dev/mp4/extra.mp4")
    rows = [f"{person} ,n000012 ,m ,dev " for person in people]
    header = "VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set "
    _write(root / "vox2_meta.csv", "\n".join([header, *rows, "id00017 ,n000017 ,f ,test "]) + "\n")


def celebv_hq(root: Path) -> None:
    def row(film_id: str, appearance: list[int], emotion: Any) -> dict[str, Any]:
        return {
            "ytb_id": film_id,
            "duration": {"start_sec": 81.62, "end_sec": 86.17},
            "bbox": {"top": 0.0, "bottom": 0.8815, "left": 0.1964, "right": 0.6922},
            "attributes": {"appearance": appearance, "action": [0, 1], "emotion": emotion},
            "version": "v0.1",
        }

    one = {"sep_flag": False, "labels": "neutral"}
    several = {"sep_flag": True, "labels": [{"emotion": "happy", "start_sec": 0, "end_sec": 1}]}
    clips = {
        "M2Ohb0FAaJU_1": row("M2Ohb0FAaJU", [0, 1, 1], one),
        "M2Ohb0FAaJU_2": row("M2Ohb0FAaJU", [0, 1, 0], several),
        "_0tf2n3rlJU_0": row("_0tf2n3rlJU", [1, 0, 0], one),
        "gone4ever___0": row("gone4ever__", [0, 0, 0], one),
    }
    clips |= {f"film{number}_0": row(f"film{number}", [0, 0, 1], one) for number in range(12)}
    mapping = {
        "appearance_mapping": ["Blurry", "Male", "Young"],
        "action_mapping": ["blow", "chew"],
    }
    _json(root / "celebvhq_info.json", {"meta_info": mapping, "clips": clips})
    there = (key for key in clips if not key.startswith("gone"))
    _films(root, *(f"downloaded_celebvhq/processed/{key}.mp4" for key in there))
    film(root / "downloaded_celebvhq/raw/M2Ohb0FAaJU.mp4")


def hdtf(root: Path) -> None:
    lists = {
        "RD": ["Radio11.mp4 00:30-01:00 01:30-02:30", "Radio34.mp4 00:05-00:55"],
        "WDA": [f"Speaker{letter}0.mp4 00:05-01:05" for letter in "ABCDEFGH"],
        "WRA": ["AdamKinzinger0.mp4 00:05-02:55", "AdamKinzinger1.mp4 00:05-01:55"],
    }
    for group, lines in lists.items():
        _write(root / f"HDTF_dataset/{group}_annotion_time.txt", "\n".join(lines) + "\n")
        names = [line.split()[0].removesuffix(".mp4") for line in lines]
        _films(root, *(f"clips/{name}_0.mp4" for name in names))
    film(root / "clips/Radio11_1.mp4")
    film(root / "clips/RD_Radio34_001.mp4")  # as a common download script names them
    film(root / "clips/Nobody_0.mp4")


MINIATURES: dict[str, Callable[[Path], None]] = {
    "ffpp": ffpp,
    "dfd": dfd,
    "celeb-df-v1": celeb_df,
    "celeb-df-v2": celeb_df,
    "celeb-df-pp": celeb_df_pp,
    "dfdc": dfdc,
    "dfdc-preview": dfdc_preview,
    "deeperforensics": deeperforensics,
    "fakeavceleb": fakeavceleb,
    "lav-df": lav_df,
    "av-deepfake1m": av_deepfake1m,
    "df40": df40,
    "kodf": kodf,
    "wilddeepfake": wilddeepfake,
    "deepspeak-v1": deepspeak_v1,
    "deepspeak-v2": deepspeak_v2,
    "voxceleb2": voxceleb2,
    "celebv-hq": celebv_hq,
    "hdtf": hdtf,
}
