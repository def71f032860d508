"""Imports run one way: what a part may know of the others, read from the source of every module."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("audit", "datasets", "detector", "eval", "generator", "provenance", "watermark")

# A part may import its own modules and these; `core` is what lies in obverse/ itself.
ALLOWED: dict[str, frozenset[str]] = {
    "core": frozenset(),
    "datasets": frozenset({"core"}),
    "watermark": frozenset({"core"}),
    "provenance": frozenset({"core"}),
    "generator": frozenset({"core", "datasets", "watermark", "provenance"}),
    # A detector that can see the mark learns the mark.
    "detector": frozenset({"core", "datasets", "provenance"}),
    "eval": frozenset({"core", "datasets", "watermark", "provenance", "generator", "detector"}),
    "audit": frozenset(
        {"core", "datasets", "watermark", "provenance", "generator", "detector", "eval"}
    ),
    "demo": frozenset({"core", *PARTS}),
    "cli": frozenset({"core", "demo", *PARTS}),
}
# Inside the core, the records and errors know nothing of the rest.
LEAVES: dict[str, frozenset[str]] = {
    "obverse.errors": frozenset(),
    "obverse.clip": frozenset({"obverse.errors"}),
    "obverse.weights": frozenset({"obverse.errors"}),
}


def _modules() -> Iterator[tuple[str, Path]]:
    for path in sorted((ROOT / "obverse").glob("*.py")):
        yield _name(("obverse",), path.relative_to(ROOT / "obverse")), path
    for room in sorted(p for p in (ROOT / "obverse").iterdir() if p.is_dir()):
        if not room.is_symlink():
            for path in sorted(room.rglob("*.py")):
                yield _name(("obverse",), path.relative_to(ROOT / "obverse")), path
    for part in PARTS:
        for path in sorted((ROOT / part).rglob("*.py")):
            yield _name(("obverse", part), path.relative_to(ROOT / part)), path


def _name(prefix: tuple[str, ...], relative: Path) -> str:
    parts = (*prefix, *relative.with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _part(module: str) -> str:
    names = module.split(".")
    if len(names) > 1 and names[1] in (*PARTS, "demo", "cli"):
        return names[1]
    return "cli" if module == "obverse.__main__" else "core"  # python -m obverse


def _imported(path: Path) -> Iterator[tuple[str, int]]:
    """Yield (module, line) of every import of obverse's own, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "obverse":
                    yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively; name the module"
            if node.module and node.module.split(".")[0] == "obverse":
                yield node.module, node.lineno
                for alias in node.names:  # from obverse.generator import motion
                    yield f"{node.module}.{alias.name}", node.lineno


MODULES = dict(_modules())


def test_every_part_has_modules_to_look_at() -> None:
    assert len(MODULES) > 10
    assert "obverse.media.video" in MODULES
    assert "obverse.generator.motion" in MODULES


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_one_way(module: str) -> None:
    part = _part(module)
    may = ALLOWED[part] | {part}
    for name, line in _imported(MODULES[module]):
        assert _part(name) in may, f"{MODULES[module]}:{line}: {part} may not import {name}"


@pytest.mark.parametrize("module", LEAVES)
def test_records_and_errors_are_leaves(module: str) -> None:
    for name, line in _imported(MODULES[module]):
        if name in MODULES:
            assert name in LEAVES[module], f"{module}:{line} imports {name}"


def test_the_detector_cannot_see_how_fakes_are_made() -> None:
    assert not ALLOWED["detector"] & {"generator", "watermark"}


def test_every_import_of_our_own_exists() -> None:
    for module, path in MODULES.items():
        for name, line in _imported(path):
            known = name in MODULES or name.rpartition(".")[0] in MODULES
            package = any(other.startswith(f"{name}.") for other in MODULES)
            assert known or package, f"{path}:{line}: {module} imports {name}, which is nowhere"


@pytest.mark.parametrize("module", MODULES)
def test_public_names_are_stated(module: str) -> None:
    """A module that defines public names lists them in `__all__`, and lists nothing else."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    stated: set[str] | None = None
    defined: set[str] = set()
    imported: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            defined.add(node.name)
        elif isinstance(node, ast.Assign):
            names = {
                each.id
                for target in node.targets
                for each in ast.walk(target)  # A, B = range(2) too
                if isinstance(each, ast.Name)
            }
            defined |= names
            if "__all__" in names:
                stated = set(ast.literal_eval(node.value))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            defined.add(node.target.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            imported |= {alias.asname or alias.name for alias in node.names}
    if stated is not None:
        assert stated <= defined | imported, f"__all__ names {stated - defined - imported}"
    else:
        public = {name for name in defined if not name.startswith("_")}
        assert not public, f"{module} has no __all__ for {sorted(public)}"
