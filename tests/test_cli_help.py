"""Every command explains itself, by `--help` with an example that is true, and in docs/cli.md."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from obverse.cli.main import cli

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "cli.md"
# Only the names: a verb is imported by the test that needs it.
VERBS = cli.list_commands(click.Context(cli))


def _get(group: click.Command, name: str) -> click.Command | None:
    return group.get_command(click.Context(group), name) if isinstance(group, click.Group) else None


def _walk(verb: str) -> Iterator[tuple[str, click.Command]]:
    """Yield (full name, command) of a verb and of everything below it."""
    command = _get(cli, verb)
    assert command is not None
    pending = [(f"obverse {verb}", command)]
    while pending:
        name, command = pending.pop()
        yield name, command
        if isinstance(command, click.Group):
            for inner in command.list_commands(click.Context(command)):
                found = _get(command, inner)
                assert found is not None
                pending.append((f"{name} {inner}", found))


def _leaves(verb: str) -> Iterator[tuple[str, click.Command]]:
    return (item for item in _walk(verb) if not isinstance(item[1], click.Group))


def _help(name: str) -> str:
    arguments = [*name.split()[1:], "--help"]
    result = CliRunner().invoke(cli, arguments, terminal_width=100)
    assert result.exit_code == 0, result.output
    return result.output


def _check_line(line: str) -> str:
    """A command line names a command that exists and options that it has; return the name."""
    words = shlex.split(line, comments=True)
    name, command, rest = words[0], click.Command("") if words[0] != "obverse" else cli, words[1:]
    while rest and (inner := _get(command, rest[0])) is not None:
        name, command, rest = f"{name} {rest[0]}", inner, rest[1:]
    options = [word.split("=")[0] for word in rest if re.match(r"-{1,2}[a-zA-Z]", word)]
    only_options = len(options) == len(rest)
    assert only_options or not isinstance(command, click.Group), f"{line!r} names no command"
    known = {opt for param in command.params for opt in (*param.opts, *param.secondary_opts)}
    for option in options:
        assert option in known | {"--help", "-h"}, f"{line!r}: {name} has no option {option}"
    return name


def test_the_verbs_of_a_newcomer_are_there() -> None:
    expected = {"demo", "generate", "sitter", "corpus", "mark", "inspect", "doctor"}
    assert expected <= set(VERBS)


def test_the_group_lists_its_verbs_and_exit_codes() -> None:
    text = _help("obverse")
    assert "Exit codes" in text
    for verb in VERBS:
        assert re.search(rf"^\s+{verb}\s+[A-Z].*\.", text, re.MULTILINE)


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_has_help(verb: str) -> None:
    for name, command in _walk(verb):
        assert _help(name).startswith("Usage: ")
        stated = " ".join((command.help or "").split())
        assert re.match(r"[A-Z].+[.:]", stated), f"{name} has no sentence of help"


@pytest.mark.parametrize("verb", VERBS)
def test_every_example_is_true(verb: str) -> None:
    for name, _ in _leaves(verb):
        text = _help(name)
        assert "Example" in text, f"{name} --help has no example"
        after = re.sub(r"\\\n\s*", " ", text.split("Example", 1)[1])
        examples = re.findall(r"^\s+(?:\$ )?(obverse .+)$", after, re.MULTILINE)
        assert examples, f"{name} has no example line that starts with obverse"
        assert name in [_check_line(line) for line in examples]


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_is_explained(verb: str) -> None:
    for name, command in _leaves(verb):
        for param in command.params:
            if isinstance(param, click.Option):
                assert param.help, f"{name} does not explain {param.opts[0]}"


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_is_documented(verb: str) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for name, _ in _leaves(verb):
        assert re.search(rf"\b{re.escape(name)}\b", text), f"docs/cli.md does not mention {name}"


def test_the_document_speaks_of_what_exists() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for block in re.findall(r"^```(?:console|bash|sh)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            if match := re.match(r"(?:\$ )?(obverse .*)", line):
                _check_line(match[1])


def test_wrong_usage_exits_two() -> None:
    assert CliRunner().invoke(cli, ["no-such-verb"]).exit_code == 2


@pytest.mark.parametrize("verb", ["audit", "inspect", "recover"])
def test_a_clip_that_is_not_there_is_missed_before_anything_is_loaded(verb: str) -> None:
    script = f"""
import sys
from obverse.cli.main import main
try:
    main(["{verb}", "absent.mp4"])
except SystemExit as ended:
    heavy = ("torch", "onnxruntime", "numba", "scipy", "sqlalchemy", "c2pa")
    print(ended.code, [name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "2 []\n"
    assert done.stderr == (
        "obverse: absent.mp4 cannot be opened (No such file or directory); check the name.\n"
    )
