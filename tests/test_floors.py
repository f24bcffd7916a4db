"""Imports point down: a module imports only from its own floor or from a lower one, also for types alone."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

package = Path(__file__).parents[1] / "harness"

# From the bottom. Folders of one floor do not import each other.
floors = [
    ["errors", "git", "noise", "specs", "words"],
    ["atomic", "settings"],
    ["data"],
    ["contracts"],
    ["hookspecs", "machine"],
    ["registry", "toolkit"],
    ["planning"],
    ["training", "results"],
    ["execution"],
    ["calibration", "conformance", "leaderboard", "new_package"],
    ["regression", "report"],
    ["cli"],
    ["api"],
    ["__main__", "pytest_plugin"],
]
floor_of = {name: number for number, floor in enumerate(floors) for name in floor}


def imported_by(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the top-level name under ``harness`` of every import in a module, wherever it stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            is_package = node.module == "harness"
            names = [f"harness.{each.name}" for each in node.names] if is_package else [node.module or ""]
        else:
            continue
        for name in names:
            if name.split(".")[0] == "harness" and "." in name:
                yield node.lineno, name.split(".")[1]


def upward_imports(name: str, source: str) -> list[str]:
    """Return the imports of a module that do not point down, in words."""
    return [
        f"line {line}: {name} (floor {floor_of[name]}) imports {other} (floor {floor_of[other]})"
        for line, other in imported_by(source)
        if other != name and floor_of[other] >= floor_of[name]
    ]


modules = sorted(path for path in package.rglob("*.py") if path.relative_to(package).parts != ("__init__.py",))


@pytest.mark.parametrize("path", modules, ids=lambda path: str(path.relative_to(package)))
def test_imports_point_down(path: Path) -> None:
    name = path.relative_to(package).parts[0].removesuffix(".py")
    assert upward_imports(name, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    ["from harness.cli.main import main", "from harness import execution", "import harness.leaderboard.board"],
)
def test_a_planted_upward_import_is_found(line: str) -> None:
    source = (package / "results" / "store.py").read_text(encoding="utf-8")
    typed = source.replace("if TYPE_CHECKING:\n", f"if TYPE_CHECKING:\n    {line}\n")
    assert typed != source
    assert len(upward_imports("results", typed)) == 1


def test_the_core_knows_no_plugin() -> None:
    for path in modules:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names]
                assert not any(name.startswith("harness_") for name in names), path


def messages(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of every string of a module that is not a docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


def test_messages_of_the_core_and_of_plugins_name_no_flag() -> None:
    core = [path for path in modules if path.relative_to(package).parts[0] not in ("cli", "pytest_plugin.py")]
    plugins = sorted((package.parent / "plugins").rglob("*.py"))
    callers = ("environment.py", "origin.py", "versions.py", "workloads.py")  # of commands, such as git
    found = [
        f"{path.name}, line {line}: {text}"
        for path in [*core, *plugins]
        for line, text in messages(path)
        if re.search(r"(?<!\w)--[a-z]{3}", text) and path.name not in callers
    ]
    assert found == []
