"""The repository is laid out as it is packaged: nothing that runs or is read stays behind."""

import fnmatch
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("audit", "datasets", "detector", "eval", "generator", "provenance", "watermark")
# What travels with code and is read at run time; sources of documentation may stay behind.
DATA_FOLDERS = ("weights", "utterances")


def _setuptools() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as stream:
        tables: dict[str, Any] = tomllib.load(stream)["tool"]["setuptools"]
    return tables


def _code_directories() -> dict[str, Path]:
    """Return package name -> directory, for every directory that holds Python code."""
    found: dict[str, Path] = {}
    for top in ("obverse", *PARTS):
        base = ROOT / top
        prefix = "obverse" if top == "obverse" else f"obverse.{top}"
        for path in sorted(base.rglob("*.py")):
            folder = path.parent
            inner = folder.relative_to(base).parts
            if "__pycache__" in inner:
                continue
            # rglob does not walk into links in Python 3.11 and 3.12; from 3.13 on it may
            if top == "obverse" and inner and inner[0] in PARTS:
                continue
            found[".".join((prefix, *inner))] = folder
    return found


def test_every_directory_with_code_is_packaged() -> None:
    declared = set(_setuptools()["packages"])
    missing = set(_code_directories()) - declared
    assert not missing, f"add to [tool.setuptools] packages: {sorted(missing)}"


def test_every_package_is_a_directory() -> None:
    table = _setuptools()
    for name in table["packages"]:
        folder = ROOT / Path(*name.split("."))
        # An empty directory is not in a clone, and an installation of the clone then fails.
        assert any(folder.glob("*.py")), f"{name} is packaged and holds no code"
    for name, folder in table["package-dir"].items():
        assert (ROOT / folder).is_dir()
        assert name == "obverse" or name == f"obverse.{folder}"


def test_every_part_is_mapped_to_its_directory() -> None:
    table = _setuptools()
    assert table["package-dir"] == {"obverse": "obverse"} | {f"obverse.{p}": p for p in PARTS}
    for part in PARTS:
        assert f"obverse.{part}" in table["packages"]


@pytest.mark.parametrize("part", PARTS)
def test_every_part_is_linked_and_is_no_package_of_its_own(part: str) -> None:
    link = ROOT / "obverse" / part
    assert link.is_symlink()
    assert link.readlink() == Path("..") / part
    assert link.resolve() == ROOT / part
    # With an __init__.py a checkout's ./datasets or ./eval would shadow an installed package.
    assert not (ROOT / part / "__init__.py").exists()


def test_rooms_inside_a_part_are_packages() -> None:
    for name, folder in _code_directories().items():
        top = name.count(".") == 1 and name.split(".")[1] in PARTS
        assert top or (folder / "__init__.py").is_file(), f"{folder} lacks __init__.py"


def test_data_travels_with_the_code() -> None:
    patterns = _setuptools()["package-data"]["*"]
    for folder in _code_directories().values():
        for data in DATA_FOLDERS:
            for path in sorted((folder / data).glob("**/*")):
                relative = path.relative_to(folder).as_posix()
                if path.is_file() and "__pycache__" not in relative:
                    matched = [p for p in patterns if _matches(relative, p)]
                    assert matched, f"no package-data pattern covers {path}"


def _matches(relative: str, pattern: str) -> bool:
    """Setuptools' globs: a star stops at a slash."""
    parts, wanted = relative.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted))


def test_typed_and_licensed() -> None:
    assert (ROOT / "obverse" / "py.typed").is_file()
    with (ROOT / "pyproject.toml").open("rb") as stream:
        project = tomllib.load(stream)["project"]
    for name in (*project["license-files"], project["readme"]):
        assert (ROOT / name).is_file(), f"pyproject.toml names {name}, which is absent"


def test_lint_covers_each_part_once() -> None:
    """The links are left out of ruff, so that a file is not checked under two names."""
    with (ROOT / "pyproject.toml").open("rb") as stream:
        tables = tomllib.load(stream)["tool"]
    assert set(tables["ruff"]["extend-exclude"]) == {f"obverse/{part}" for part in PARTS}
    assert set(tables["coverage"]["run"]["source"]) == {"obverse", *PARTS}


def test_rooms_are_named_for_what_they_know() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "base", "misc", "manager"}
    for folder in _code_directories().values():
        assert folder.name not in vague
        assert not vague & {path.stem for path in folder.glob("*.py")}


def test_what_is_tracked_is_not_made() -> None:
    try:
        listed = subprocess.run(
            ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    made = ("__pycache__", ".egg-info", ".nbi", ".nbc", ".pyc", ".DS_Store")
    assert not [name for name in listed.stdout.splitlines() if any(each in name for each in made)]
