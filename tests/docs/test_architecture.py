"""The architecture page keeps up with the code."""

import re
from pathlib import Path

from test_floors import floors

from harness import hookspecs
from harness.contracts.models import all_capabilities, methods

root = Path(__file__).parents[2]
page = (root / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_every_hook_is_explained() -> None:
    hooks = [name for name in vars(hookspecs) if name.startswith("harness_")]
    assert len(hooks) >= 8
    assert [name for name in hooks if f"`{name}(" not in page] == []


def test_every_capability_is_explained_with_its_methods() -> None:
    capabilities = page.split("\n### A model\n")[1].split("\n### ")[0]
    rows = {each: f"| `{each.__name__}` | " for each in all_capabilities}
    assert [each.__name__ for each, row in rows.items() if row not in capabilities] == []
    for each, row in rows.items():
        offered = capabilities.split(row)[1].split(" | ")[0]
        assert [name for name in methods(each) if f"`{name}(" not in offered] == []


def test_every_folder_and_top_level_file_of_the_core_is_explained() -> None:
    table = page.split("\n## Folders and files\n")[1].split("\n## ")[0]
    core = root / "harness"
    folders = [f"`{path.parent.name}/`" for path in core.glob("*/__init__.py")]
    files = [f"`{path.name}`" for path in core.glob("*.py*") if path.is_file()]
    assert len(folders) >= 11
    assert [name for name in (*folders, *files) if name not in table] == []


def test_every_module_is_explained_in_the_folders_of_which_the_page_lists_modules() -> None:
    table = page.split("\n## Folders and files\n")[1].split("\n## ")[0]
    core, whole = root / "harness", ("cli", "leaderboard", "new_package", "training/steps")
    found = [path.relative_to(core) for path in core.glob("*/**/*.py") if path.name != "__init__.py"]
    modules = [path.as_posix() for path in found if path.parent.as_posix() not in whole]
    assert len(modules) > 100
    assert [path for path in modules if f"`{path}`" not in table] == []


def test_the_floors_are_those_that_imports_are_checked_against() -> None:
    lines = re.findall(r"^\d+\. (.+)$", page.split("\n## Floors\n")[1].split("\n## ")[0], re.MULTILINE)
    assert [re.findall(r"`(\w+)`", line) for line in lines] == floors


def test_every_path_that_is_named_exists() -> None:
    paths = re.findall(r"`([a-z]+/[a-z_/]*(?:\.py)?)`", page.split("\n## Contracts\n")[0])
    assert len(paths) > 60
    assert [path for path in paths if not ((root / "harness" / path).exists() or (root / path).exists())] == []
