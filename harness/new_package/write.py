"""The files of a new package."""

from __future__ import annotations

import importlib.util
import keyword
import re
from pathlib import Path
from typing import Literal

from harness.errors import UsageError

Kind = Literal["model", "metric", "dataset", "figure"]

nouns: dict[Kind, str] = {"model": "model", "metric": "metric", "dataset": "data set", "figure": "figure"}


def files_of(kind: Kind, name: str, run: str) -> dict[str, str]:
    """Return the text of each file of a package with one plugin, by its path in the package.

    Args:
        kind: of the plugin.
        name: of the plugin and of the package.
        run: a command that uses it, for the README.

    Raises:
        UsageError: the name cannot be that of a plugin and of a module, or a module of that name is installed.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    module = _module_of(name)
    environment = Environment(
        loader=PackageLoader("harness.new_package"), undefined=StrictUndefined, keep_trailing_newline=True
    )
    values = {
        "name": name,
        "module": module,
        "class_name": "".join(part.capitalize() for part in name.split("-")),
        "kind": kind,
        "noun": nouns[kind],
        "run": run,
    }
    templates = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"{module}.py": f"{kind}.py",
        f"tests/test_{module}.py": "test.py",
    }
    return {path: environment.get_template(f"{template}.jinja").render(values) for path, template in templates.items()}


def write_package(folder: Path, files: dict[str, str]) -> None:
    """Write the files into a new folder.

    Raises:
        UsageError: the folder exists and is not empty, or cannot be written.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder} exists already; choose another name or another folder")
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}") from None


def _module_of(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise UsageError(
            f"name {name!r}: use lower-case letters, digits and single dashes, and start with a letter, as in my-model"
        )
    module = name.replace("-", "_")
    if keyword.iskeyword(module) or importlib.util.find_spec(module) is not None:
        why = "is a word of Python" if keyword.iskeyword(module) else "is the name of a module that is installed"
        raise UsageError(f"name {name!r}: {module!r} {why}; choose another, such as my-{name}")
    return module
