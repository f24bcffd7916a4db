"""Writes the reference pages of the documentation site from the code and its docstrings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
from tabulate import tabulate

import harness
from harness.cli.description import Description, describe
from harness.contracts.models import lacking
from harness.planning.plan import needs_of
from harness.registry import Provided, Registry

_folders = {
    "model": "models",
    "metric": "metrics",
    "dataset": "datasets",
    "figure": "figures",
    "executor": "executors",
}
_titles = {
    "model": "Models",
    "metric": "Metrics",
    "dataset": "Data sets",
    "figure": "Figures",
    "executor": "Executors",
}
_name_in_stub = re.compile(r"from \.[\w.]* import (\w+) as \w+")


def write_reference(folder: Path) -> None:
    """Write one page for each model, metric, data set and figure, and pages of commands, hooks and the Python API."""
    registry = Registry.load()
    for kind in _folders:
        _write_kind(kind, registry, folder)
    (folder / "commands.md").write_text(_commands(registry.all("command")))
    (folder / "hooks.rst").write_text(_hooks())
    (folder / "api.rst").write_text(_api())


def _write_kind(kind: str, registry: Registry, folder: Path) -> None:
    (folder / _folders[kind]).mkdir(parents=True)
    lines = [f"# {_titles[kind]}", "", "```{toctree}", ":hidden:", ""]
    found = sorted(registry.all(kind), key=lambda provided: provided.spec.name)
    lines += [f"{_folders[kind]}/{provided.spec.name}" for provided in found] + ["```", ""]
    for provided in found:
        name = provided.spec.name
        (folder / _folders[kind] / f"{name}.md").write_text(_page(describe(provided), provided, registry))
        lines.append(f"- [{name}]({_folders[kind]}/{name}.md): {_text(provided.spec.summary)}")
    (folder / f"{_folders[kind]}.md").write_text("\n".join(lines) + "\n")


def _page(described: Description, provided: Provided, registry: Registry) -> str:
    spec = described.spec
    parts = [f"# {spec.name}", _text(spec.summary), _text(described.documentation)]
    parts += ["\n".join(f"- **{heading}**: {_text(text)}" for heading, text in described.facts)]
    parts += [_counterparts(spec.kind, provided, registry)]
    if described.settings:
        rows = [[f"`{row.name}`", *map(_text, (row.default, row.takes, row.meaning))] for row in described.settings]
        heads = ["setting", "default", "takes", "meaning"]
        parts += ["## Settings", tabulate(rows, heads, tablefmt="github", disable_numparse=True)]
        parts += [f"Change one with `{described.example}`."]
    parts += [f"Source: `{_source(provided)}`."]
    return "\n\n".join(filter(None, parts)) + "\n"


def _counterparts(kind: str, provided: Provided, registry: Registry) -> str:
    """Return the metrics that apply to a model, or the models to which a metric applies."""
    if kind == "model":
        metrics = {each.spec.name: needs_of(each.spec.resolve()) for each in registry.all("metric")}
        model = provided.spec.resolve()
        found = [name for name, needs in metrics.items() if lacking(model, needs) is None]
        return "**Metrics that apply**: " + _links(found, "metrics")
    if kind == "metric":
        needs = needs_of(provided.spec.resolve())
        models = {each.spec.name: each.spec.resolve() for each in registry.all("model")}
        found = [name for name, model in models.items() if lacking(model, needs) is None]
        return "**Models that it applies to**: " + _links(found, "models")
    return ""


def _links(names: Iterable[str], folder: str) -> str:
    return ", ".join(f"[{name}](../{folder}/{name}.md)" for name in sorted(names)) or "none"


def _source(provided: Provided) -> str:
    return str(provided.spec.factory).replace(":", ", ")


def _commands(found: Sequence[Provided]) -> str:
    parts = ["# Commands"]
    for provided in found:
        command = provided.spec.resolve()
        parts += [f"## harness {command.name}", _help(command, f"harness {command.name}")]
        if isinstance(command, click.Group):
            for name, each in command.commands.items():
                parts += [f"### harness {command.name} {name}", _help(each, f"harness {command.name} {name}")]
    return "\n\n".join(parts) + "\n"


def _help(command: click.Command, name: str) -> str:
    text = command.get_help(click.Context(command, info_name=name, max_content_width=100, terminal_width=100))
    return f"```text\n{text}\n```"


def _hooks() -> str:
    return "\n".join([*_heading("Hooks"), ".. automodule:: harness.hookspecs", "   :members:", "   :undoc-members:"])


def _api() -> str:
    """Return the page of the public names, in the order and under the headings of ``harness/__init__.pyi``."""
    lines = _heading("Python API")
    stub = Path(harness.__file__).with_name("__init__.pyi").read_text()
    for line in stub.splitlines():
        if line.startswith("# ") and not line.startswith("# ruff"):
            lines += ["", *_heading(line.removeprefix("# "), "-")]
        elif match := _name_in_stub.match(line):
            lines += _documented(match[1])
    return "\n".join(lines) + "\n"


def _documented(name: str) -> list[str]:
    found = getattr(harness, name)
    if found is harness.hookimpl:
        return ["", "``@harness.hookimpl`` marks a function that implements a hook."]
    kind = "class" if isinstance(found, type) else "function" if callable(found) else "module"
    members = [] if kind == "function" else ["   :members:"]
    return ["", f".. auto{kind}:: harness.{name}", *members]


def _heading(title: str, line: str = "=") -> list[str]:
    return [title, line * len(title), ""]


def _text(text: str) -> str:
    """Return a docstring as Markdown: what it quotes stays, and nothing else is markup."""
    quoted = re.split(r"(``[^`]+``)", text)
    return "".join(part if part.startswith("``") else re.sub(r"([\\<>*_|#\[\]$])", r"\\\1", part) for part in quoted)
