"""A check finds what is wrong with a table, and says so once."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from miniatures import MINIATURES, film

from obverse.clip import Clip
from obverse.datasets.adapter import Place
from obverse.datasets.check import CheckConfig, CheckReport, Fingerprinting, check_tables
from obverse.datasets.index import IndexConfig, index_set
from obverse.datasets.table import read_clips, write_clips
from obverse.errors import ConfigError, InputError


def _clip(number: int, **fields: object) -> Clip:
    clip = Clip(id=f"{number:032x}", path=f"{number}.mp4", label="pristine", kind="camera")
    return clip.replace(**fields)


def _check(folder: Path, clips: Sequence[Clip], **config: object) -> CheckReport:
    write_clips(folder / "clips.parquet", clips, force=True)
    settings = {"files": "none"} | config
    return check_tables([folder / "clips.parquet"], CheckConfig(**settings))  # type: ignore[arg-type]


def test_a_table_without_fault_passes(tmp_path: Path) -> None:
    for number in range(3):
        film(tmp_path / f"{number}.mp4")
    clips = [_clip(n, identity=f"p{n}", split="train", sha256=f"{n}" * 64) for n in range(3)]
    for files, said in (("present", "every file is there"), ("open", "every file opens")):
        report = _check(tmp_path, clips, files=files)
        assert report.problems == ()
        assert report.clips == 3
        assert said in report.passed
        assert "no identity, voice or source is in two splits" in report.passed
        assert "no file is there twice" in report.passed


def test_leaks_are_one_problem_a_tie(tmp_path: Path) -> None:
    clips = [
        _clip(1, identity="p", speaker="v", split="train"),
        _clip(2, identity="p", speaker="w", split="test"),
        _clip(3, identity="q", donor="r", label="synthetic", speaker="v", split="val"),
        _clip(4, identity="r", split="test", parents={"twin": f"{3:032x}"}),
    ]
    kinds = [(p.kind, p.clips, p.text.partition(":")[0]) for p in _check(tmp_path, clips).problems]
    assert kinds == [
        ("leak", 2, "2 identities in more than one split"),
        ("leak", 1, "1 source in more than one split"),
        ("leak", 1, "1 voice in more than one split"),
    ]


def test_one_file_twice_is_told_three_ways(tmp_path: Path) -> None:
    same = {"sha256": "a" * 64}
    clips = [
        _clip(1, split="train", **same),
        _clip(2, split="test", label="synthetic", **same),
        _clip(3, split="train", sha256="b" * 64),
        _clip(4, split="train", sha256="b" * 64),
    ]
    texts = [problem.text for problem in _check(tmp_path, clips).problems]
    assert texts == [
        "2 files that are there twice, such as 1.mp4 and 2.mp4",
        "1 files that are in two splits, such as 1.mp4 and 2.mp4",
        "1 files that are called pristine and synthetic, such as 1.mp4 and 2.mp4",
    ]


def test_files_that_are_absent_or_broken_are_found(tmp_path: Path) -> None:
    film(tmp_path / "1.mp4")
    (tmp_path / "2.mp4").write_bytes(b"not a film at all" * 50)
    clips = [_clip(1), _clip(2), _clip(3)]
    (absent,) = _check(tmp_path, clips, files="present").problems
    assert (absent.kind, absent.clips) == ("file", 1)
    assert "3.mp4" in absent.text
    (broken,) = _check(tmp_path, clips, files="open", workers=2).problems
    assert (broken.kind, broken.clips) == ("file", 2)


@pytest.fixture(scope="module")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    def make(name: str) -> Path:
        root = tmp_path_factory.mktemp(name)
        MINIATURES[name](root)
        return root

    return make


def test_counts_are_compared_with_the_published_ones(
    miniature: Callable[[str], Path], tmp_path: Path
) -> None:
    table = tmp_path / "clips.parquet"
    place = Place(root=miniature("ffpp"))
    index_set("ffpp", place, table, IndexConfig(keep={"compression": ("c23",)}))
    problems = check_tables([table]).problems
    assert {problem.kind for problem in problems} == {"count"}
    assert problems[0].text == (
        "FaceForensics++ has 1000 clips of label pristine of compression c23; here are 6"
    )
    assert problems[0].clips == 994
    report = check_tables([table], CheckConfig(partial=True))
    assert report.problems == ()
    assert "no count is above the published one" in report.passed


def test_a_val_that_we_drew_counts_as_the_publishers_train(
    miniature: Callable[[str], Path], tmp_path: Path
) -> None:
    table = tmp_path / "clips.parquet"
    index_set("wilddeepfake", Place(root=miniature("wilddeepfake")), table)
    texts = [problem.text for problem in check_tables([table]).problems]
    assert "WildDeepfake has 3409 clips of label pristine, split train; here are 16" in texts


def test_clips_of_another_set_are_not_meant_to_be_all_of_it(
    miniature: Callable[[str], Path], tmp_path: Path
) -> None:
    """DeeperForensics' pristine clips are FaceForensics++'s; nobody wants its fakes here."""
    table = tmp_path / "clips.parquet"
    place = Place(root=miniature("deeperforensics"), pristine=miniature("ffpp"))
    index_set("deeperforensics", place, table)
    texts = [problem.text for problem in check_tables([table]).problems]
    assert texts
    assert all(text.startswith("DeeperForensics-1.0 has ") for text in texts)


def test_more_than_is_published_is_wrong_in_a_part_as_well(tmp_path: Path) -> None:
    clips = [_clip(n, dataset="wilddeepfake", split="test") for n in range(400)]
    (problem,) = _check(tmp_path, clips, partial=True).problems
    assert problem.text == (
        "WildDeepfake has 396 clips of label pristine, split test; here are 400"
    )
    assert _check(tmp_path, clips[:300], partial=True).problems == ()


def test_clips_that_look_alike_are_found_and_a_stopped_run_goes_on(tmp_path: Path) -> None:
    read: list[str] = []

    def of(clip: Clip, _folder: Path) -> tuple[int, ...]:
        read.append(clip.path)
        if clip.path == "2.mp4" and len(read) == 3:
            raise KeyboardInterrupt
        if clip.path == "3.mp4":
            raise InputError("3.mp4 is damaged.")
        return (0x1234567890ABCDEF if clip.path in ("0.mp4", "1.mp4") else int(clip.path[0]),)

    def distance(one: Sequence[int], other: Sequence[int]) -> float:
        return (one[0] ^ other[0]).bit_count() / 64

    for number in range(4):
        film(tmp_path / f"{number}.mp4")
    clips = [_clip(n, split="train" if n else "test") for n in range(4)]
    content = Fingerprinting(of=of, distance=distance, at_most=0.1)
    with pytest.raises(KeyboardInterrupt):
        _check(tmp_path, clips, content=content)
    report = _check(tmp_path, clips, content=content)
    alike, unread = report.problems
    assert alike.text == (
        "1 pairs of clips in different splits look alike, such as 0.mp4 and 1.mp4 (distance 0.000)"
    )
    assert unread.text == "1 files cannot be read"
    assert list(tmp_path.glob(".*")) == []


def test_tables_are_checked_together(tmp_path: Path) -> None:
    """A person of VoxCeleb2 is the same person in FakeAVCeleb."""
    write_clips(tmp_path / "a.parquet", [_clip(1, identity="vox2:id00076", split="train")])
    write_clips(tmp_path / "b.parquet", [_clip(2, identity="vox2:id00076", split="test")])
    config = CheckConfig(files="none")
    for alone in ("a.parquet", "b.parquet"):
        assert check_tables([tmp_path / alone], config).problems == ()
    report = check_tables([tmp_path / "a.parquet", tmp_path / "b.parquet"], config)
    assert report.clips == 2
    assert "identity vox2:id00076 is in test and train" in report.problems[0].text


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="files is 'some'"):
        CheckConfig(files="some")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="workers is 0"):
        CheckConfig(workers=0)


def test_our_own_corpora_pass(film_table: Path, tmp_path: Path) -> None:
    clips = [clip for clip in read_clips(film_table) if clip.id != "damaged"]
    there = [clip.replace(path=str(film_table.parent / clip.path)) for clip in clips]
    assert _check(tmp_path, there, files="open").problems == ()
