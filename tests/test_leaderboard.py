"""A board joins rows by ids alone, counts what has no score, and shares places that the clips
cannot part.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from obverse.cli import main
from obverse.clip import Clip
from obverse.datasets.table import write_clips
from obverse.errors import ConfigError, InputError
from obverse.eval.evaluation import EvalConfig
from obverse.eval.leaderboard import Board, make_board, read_board
from obverse.eval.leaderboard_report import board_report
from obverse.eval.report import Origin

QUICK = EvalConfig(samples=100)


def put(
    folder: Path,
    name: str,
    detector: str,
    of: str,
    scores: Sequence[float | None],
    *,
    first: int = 0,
    **card: str,
) -> None:
    """Write scores of clips of which every second is synthetic, three clips a person."""
    folder.mkdir(exist_ok=True)
    lines = ["clip,label,score,status,identity"]
    for number, score in enumerate(scores, first):
        said = ",missing" if score is None else f"{score:.6f},ok"
        lines.append(f"{of}-{number:03d},{number % 2},{said},p{number // 3}")
    (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    about = {
        "detector": detector,
        "set": of,
        "judges": "picture",
        "date": "2026-11-26",
        "commit": "0123456",
        "source": "by hand",
        **card,
    }
    text = "".join(f"{key}: {value}\n" for key, value in about.items() if value)
    (folder / f"{name}.yaml").write_text(text, encoding="utf-8")


def noisy(clips: int, noise: float, seed: int) -> list[float | None]:
    rng = np.random.default_rng(seed)
    signal = np.arange(clips) % 2 * 2 - 1
    return list(1 / (1 + np.exp(-rng.normal(signal, noise))))


def board(folder: Path, **options: float) -> Board:
    return make_board(read_board(folder), QUICK, **options)


def test_places_are_shared_until_the_clips_part_them(tmp_path: Path) -> None:
    put(tmp_path, "a", "sharp", "heads", noisy(120, 0.3, 1))
    put(tmp_path, "b", "keen", "heads", noisy(120, 0.35, 2))
    put(tmp_path, "c", "blind", "heads", noisy(120, 30.0, 3))
    found = board(tmp_path)
    assert found.detectors[-1] == "blind"
    assert str(found.ranks["sharp", "heads"]) == "1-2 of 3"
    assert str(found.ranks["keen", "heads"]) == "1-2 of 3"
    assert str(found.ranks["blind", "heads"]) == "3 of 3"
    assert [gap.shown for gap in found.gaps].count(True) == 2
    assert all(gap.difference.p_holm >= gap.difference.p for gap in found.gaps)


def test_the_tests_of_all_sets_are_corrected_together(tmp_path: Path) -> None:
    for of in ("one", "two"):
        put(tmp_path, f"a-{of}", "sharp", of, noisy(60, 0.8, 1))
        put(tmp_path, f"b-{of}", "dull", of, noisy(60, 1.6, 2))
    found = board(tmp_path)
    first, second = (gap.difference for gap in found.gaps)
    assert first.p == second.p  # the same numbers
    assert first.p_holm == second.p_holm == min(1.0, 2 * first.p)


def test_clips_without_a_score_are_counted_and_may_cost_the_place(tmp_path: Path) -> None:
    whole = noisy(100, 0.5, 1)
    put(tmp_path, "a", "whole", "heads", whole)
    put(tmp_path, "b", "picky", "heads", [None] * 20 + whole[20:90])
    found = board(tmp_path)
    entry = found.entries["picky", "heads"]
    counts = entry.evaluation.counts
    assert (counts["ok"], counts["missing"], counts["absent"]) == (70, 20, 10)
    assert entry.evaluation.coverage == pytest.approx(0.7)
    assert not entry.ranked
    assert found.ranks == {}  # nobody is left to be compared with
    assert board(tmp_path, min_coverage=0.5).ranks.keys() == {
        ("whole", "heads"), ("picky", "heads"),
    }  # fmt: skip


def test_a_threshold_is_carried_from_set_to_set(tmp_path: Path) -> None:
    scores = [0.1 + 0.008 * number for number in range(100)]
    put(tmp_path, "a", "net", "low", scores)
    put(tmp_path, "b", "net", "high", [min(1.0, score + 0.1) for score in scores])
    found = board(tmp_path)
    shift = next(e for e in found.shifts["net"] if (e.source, e.target) == ("low", "high"))
    assert shift.fpr.value is not None
    # Pristine are the even clips, 0.008 apart: 90 to 98 alarm on their own set. On the other,
    # 0.1 / 0.008 = 12.5 clips higher, those above 88 - 12.5 do: 76 to 98.
    assert shift.fpr.value == pytest.approx(12 / 50)
    assert found.means["net"].value == pytest.approx(
        np.mean([entry.evaluation.figures["auc"].value for entry in found.entries.values()])
    )


def test_labels_are_of_what_each_detector_judges(tmp_path: Path) -> None:
    clips = [
        Clip(
            id=f"c{number:02d}",
            path="same.mp4",
            label="synthetic" if number % 2 else "pristine",
            sound="synthetic" if number == 0 else "pristine",
            kind="camera",
        )
        for number in range(20)
    ]
    (tmp_path / "board").mkdir()
    write_clips(tmp_path / "board" / "clips.parquet", clips)
    for name, judges in (("eyes", "picture"), ("ears", "picture and sound")):
        path = tmp_path / "board" / f"{name}.csv"
        rows = [f"{clip.id},{0.9 if clip.binary else 0.1}" for clip in clips]
        path.write_text("\n".join(["clip,score", *rows]) + "\n", encoding="utf-8")
        path.with_suffix(".yaml").write_text(
            f"detector: {name}\nset: heads\njudges: {judges}\ndate: 2026-11-26\ncommit: 1\n"
            "source: by hand\nlabels: clips.parquet\n",
            encoding="utf-8",
        )
    read = read_board(tmp_path / "board")
    assert {card.detector: int(table.truth.sum()) for card, _, table in read} == {
        "eyes": 10, "ears": 11,
    }  # fmt: skip
    with pytest.raises(InputError, match="disagree about the label of clip c00 of heads"):
        make_board(read, QUICK)


def test_tables_are_never_joined_by_a_name(tmp_path: Path) -> None:
    put(tmp_path, "a", "one", "heads", noisy(40, 1, 1))
    put(tmp_path, "b", "two", "heads", noisy(40, 1, 2), first=500)
    with pytest.raises(InputError, match="share no clip"):
        board(tmp_path)
    put(tmp_path, "b", "one", "heads", noisy(40, 1, 2))
    with pytest.raises(ConfigError, match="both scores of one on heads"):
        board(tmp_path)


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ({"detector": ""}, "lacks detector"),
        ({"judges": "sound"}, "must be picture or picture and sound"),
        ({"judges": ""}, "says what the detector judges"),
        ({"colour": "red"}, "has 'colour'; a card may have detector"),
        ({"source": "[a, b]"}, "source with several values"),
        ({"labels": "absent.parquet"}, "absent.parquet"),
    ],
)
def test_a_card_that_says_too_little_is_refused(
    tmp_path: Path, card: dict[str, str], said: str
) -> None:
    put(tmp_path, "a", **{"detector": "net", "of": "heads", **card}, scores=[0.1, 0.9])  # type: ignore[arg-type]
    with pytest.raises((ConfigError, InputError), match=said):
        read_board(tmp_path)


def test_a_card_may_not_contradict_its_scores(tmp_path: Path) -> None:
    put(tmp_path, "a", "net", "heads", [0.1, 0.9])
    path = tmp_path / "a.csv"
    first, *rows = path.read_text(encoding="utf-8").splitlines()
    said = [f"{first},judges", *(f"{row},picture and sound" for row in rows)]
    path.write_text("\n".join(said) + "\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="are about picture and sound, and its card says other"):
        read_board(tmp_path)


def test_scores_without_a_card_and_a_card_without_scores_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no card"):
        read_board(tmp_path)
    put(tmp_path, "a", "net", "heads", [0.1, 0.9])
    (tmp_path / "b.csv").write_text("clip,label,score\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"b.csv has no card b.yaml"):
        read_board(tmp_path)
    (tmp_path / "b.csv").unlink()
    (tmp_path / "a.csv").unlink()
    with pytest.raises(ConfigError, match="beside 0 tables"):
        read_board(tmp_path)


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(each) for each in arguments])
    return int(caught.value.code or 0)


def test_a_page_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "scores"
    put(folder, "a", "sharp_1", "heads", noisy(60, 0.3, 1))
    put(folder, "b", "dull", "heads", [*noisy(50, 3.0, 2), *[None] * 10])
    command = ("eval", "leaderboard", folder, "-o", tmp_path / "page", "--samples", 50)
    assert run(*command) == 1
    captured = capsys.readouterr()
    assert "too few scores" in captured.out
    assert "83.3% of the clips of heads have a score of dull" in captured.err
    assert "0123456," in (tmp_path / "page" / "tables" / "sources.csv").read_text()
    page = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    assert "Shown and not ranked" in page
    assert 'src="' not in page  # all is in it
    assert r"sharp\_1" in (tmp_path / "page" / "tables" / "leaderboard.tex").read_text()
    assert run(*command) == 2
    assert run(*command[:3], "--samples", 50, "--json", "--min-coverage", 0.5) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["rank"]["best"] for each in found["entries"]] == [1, 2]
    assert found["differences"][0]["shown"]


def test_the_documented_board_is_that_of_the_committed_scores() -> None:
    root = Path(__file__).parents[1]
    text = (root / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    table = board_report(
        found := make_board(read_board(root / "benchmarks" / "leaderboard")),
        Origin("", "", {str(entry.files[0]): "" for entry in found.entries.values()}, ""),
        "Board",
    ).sections[0].tables[0]  # fmt: skip
    for row in table.rows:
        assert f"| {' | '.join(row[:6])} |" in text
