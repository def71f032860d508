"""`corpus` at the command line: what it prints and how it exits."""

import json
from pathlib import Path
from typing import Any

import pytest
from miniatures import film

from obverse.cli import main
from obverse.clip import Clip
from obverse.generator import corpus as module
from obverse.generator.corpus import CorpusReport
from obverse.generator.plan import CorpusPlan
from obverse.generator.recordings import RecordingPlan


def _clip(number: int, label: str) -> Clip:
    return Clip(
        id=f"{number:032x}",
        path=f"clips/{number}.mp4",
        label=label,  # type: ignore[arg-type]
        kind="rendered" if label == "pristine" else "generated",
        split="train" if number < 2 else "test",
        frames=75,
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Stand in for the work; `failed` is what the report will say."""
    seen: dict[str, Any] = {"failed": {}}

    def build(plan: CorpusPlan, folder: Path, **named: Any) -> CorpusReport:
        seen.update(plan=plan, folder=folder, **named)
        named["progress"](1, 0, 4)
        named["progress"](4, 0, 4)
        clips = tuple(_clip(n, "pristine" if n % 2 else "synthetic") for n in range(4))
        return CorpusReport(folder, clips, 3, seen["failed"])

    monkeypatch.setattr(module, "build_corpus", build)
    return seen


def test_options_make_a_plan(asked: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(
            [
                "corpus",
                "-o",
                "c",
                "--identities",
                "9",
                "--voices",
                "4",
                "--methods",
                "talk,reenact",
                "--seconds",
                "2",
                "--size",
                "256",
                "--workers",
                "3",
                "--voices-each",
                "1",
            ]
        )
    assert ended.value.code == 0
    assert asked["plan"] == CorpusPlan(
        identities=9, voices=4, methods=("talk", "reenact"), seconds=2.0, size=256, voices_each=1
    )
    assert (asked["folder"], asked["workers"], asked["force"]) == (Path("c"), 3, False)
    printed = capsys.readouterr()
    assert printed.out == (
        "c: 4 clips (2 pristine, 2 synthetic; train 2, val 0, test 2), 12.0 s; 3 made now, 0 "
        "failed\n"
    )
    assert "4/4" in printed.err


def test_a_plan_file_makes_a_plan(
    asked: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("identities: 5\nseed: 9\n")
    with pytest.raises(SystemExit):
        main(["corpus", str(plan), "-o", "c", "--force", "--json"])
    assert asked["plan"] == CorpusPlan(identities=5, seed=9)
    assert asked["force"] is True
    printed = json.loads(capsys.readouterr().out)
    assert (printed["clips"], printed["made"], printed["failed"]) == (4, 3, {})


def test_clips_that_fail_are_named_and_exit_1(
    asked: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    asked["failed"] = {"ab" * 16: "the mark was not read back."}
    with pytest.raises(SystemExit) as ended:
        main(["corpus", "-o", "c"])
    assert ended.value.code == 1
    printed = capsys.readouterr()
    assert f"clip {'ab' * 16} could not be made: the mark was not read back." in printed.err
    assert "1 failed" in printed.out


def test_recordings_make_a_plan(
    asked: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b", "c"):
        film(tmp_path / "in" / name / "1.mp4")
    pristine = ["corpus", "--pristine", str(tmp_path / "in"), "-o", "c"]
    options = ["--rights", "consented", "--people", "--seconds", "2", "--methods", "reenact"]
    with pytest.raises(SystemExit) as ended:
        main([*pristine, *options])
    assert ended.value.code == 0
    plan = asked["plan"]
    assert isinstance(plan, RecordingPlan)
    assert (plan.rights, plan.settings.seconds, plan.settings.methods) == (
        "consented",
        2.0,
        ("reenact",),
    )
    assert sorted(asked["sources"].values()) == sorted((tmp_path / "in").glob("*/1.mp4"))
    (tmp_path / "plan.yaml").write_text("seconds: 4\nsplit: {train: 1, test: 1}\n")
    with pytest.raises(SystemExit):
        main(["corpus", str(tmp_path / "plan.yaml"), *pristine[1:], "--rights", "public-domain"])
    assert asked["plan"].settings.seconds == 4.0
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--pristine", "in"], "nothing states the rights"),
        (["--rights", "consented"], "name their folder with --pristine"),
        (["--people"], "name their folder with --pristine"),
        (["--pristine", "in", "--rights", "consented", "--voices", "3"], "has no voices"),
    ],
)
def test_recordings_that_are_half_told_are_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["corpus", "-o", "c", *arguments])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
