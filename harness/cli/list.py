"""``harness list``: what there is to run."""

from __future__ import annotations

import json
from pathlib import Path

import click

from harness.cli.main import load_registry
from harness.cli.options import format_option, plugin_option

_kinds = {"models": "model", "metrics": "metric", "datasets": "dataset", "figures": "figure"}


@click.command("list")
@click.argument("kind", type=click.Choice(list(_kinds)), required=False)
@format_option("terminal", "json")
@plugin_option
def list_(kind: str | None, format_: str, plugin_files: tuple[Path, ...]) -> None:
    """List models, metrics, datasets and figures, from every plugin that is installed."""
    registry = load_registry(plugin_files)
    found = [each for name in ([kind] if kind else _kinds) for each in registry.all(_kinds[name])]
    if format_ == "json":
        click.echo(
            json.dumps(
                [
                    {
                        "name": each.spec.name,
                        "kind": each.spec.kind,
                        "summary": each.spec.summary,
                        "distribution": each.plugin.distribution,
                    }
                    for each in found
                ],
                indent=1,
            )
        )
        return
    from rich.console import Console
    from rich.table import Table

    for name in [kind] if kind else _kinds:
        table = Table(box=None, title=name.upper(), title_justify="left", title_style="bold", show_header=False)
        table.add_column(no_wrap=True, style="cyan")
        table.add_column()
        for each in registry.all(_kinds[name]):
            foreign = each.plugin.distribution if each.plugin.distribution != "generative-harness" else ""
            table.add_row(each.spec.name, each.spec.summary + (f" [{foreign}]" if foreign else ""))
        Console(highlight=False, markup=False).print(table)
    click.echo("\n'harness show NAME' tells more, with the settings of each.")
