"""The README is true: its commands exist, its Python runs, its links lead somewhere."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from obverse.cli.main import cli

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
BLOCK = re.compile(r"^```(?P<kind>[^\n]*)\n(?P<body>.*?)^```\s*$", re.MULTILINE | re.DOTALL)


def _text() -> str:
    return README.read_text(encoding="utf-8") if README.is_file() else ""


def _blocks(*kinds: str) -> list[str]:
    return [m["body"] for m in BLOCK.finditer(_text()) if m["kind"].strip() in kinds]


def _command_lines() -> list[str]:
    """Return the commands of all shell blocks; in a console block only lines after a prompt."""
    lines = [
        line.strip()[2:]
        for block in _blocks("console")
        for line in re.sub(r"\\\n\s*>?", " ", block).splitlines()
        if line.strip().startswith("$ ")
    ]
    for block in _blocks("bash", "sh", "shell"):
        lines += [line.strip() for line in re.sub(r"\\\n\s*", " ", block).splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


COMMANDS = [line for line in _command_lines() if line.split()[0] == "obverse"]
TARGETS = [line for line in _command_lines() if line.split()[0] == "make"]
PROGRAMS = _blocks("python run")


def test_the_readme_shows_commands() -> None:
    assert README.is_file()
    assert len(COMMANDS) >= 3


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_exists(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    command: click.Command = cli
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        inner = command.get_command(click.Context(command), words[0])
        assert inner is not None, f"there is no verb {words[0]!r}"
        command, words = inner, words[1:]
    known = {opt for param in command.params for opt in (*param.opts, *param.secondary_opts)}
    for word in words:
        if re.match(r"-{1,2}[a-zA-Z]", word):
            option = word.split("=")[0]
            assert option in known | {"--help", "-h"}, f"there is no option {option}"


@pytest.mark.parametrize("line", TARGETS)
def test_every_target_exists(line: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in [word for word in line.split("#")[0].split()[1:] if "=" not in word]:
        assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), f"no target {target}"


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_runs(program: str, tmp_path: Path) -> None:
    environment = os.environ | {"OBVERSE_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("program", _blocks("python"))
def test_every_snippet_is_python(program: str) -> None:
    compile(program, "README.md", "exec")


def test_links_lead_somewhere() -> None:
    outside_code = BLOCK.sub("", _text())
    for target in re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", outside_code):
        link = (target[0] or target[1]).split("#")[0]
        if link and not re.match(r"[a-z]+:", link):
            assert (ROOT / link).exists(), f"README.md links to {link}, which is absent"
