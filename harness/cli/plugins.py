"""``harness plugins``: what is installed, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from harness.cli.main import failure_exit
from harness.cli.options import plugin_option
from harness.cli.output import output_console
from harness.registry import Plugin, Registry
from harness.words import counted


@click.command()
@plugin_option
def plugins(plugin_files: tuple[Path, ...]) -> int:
    """Show every plugin, what it provides, and its problems.

    The exit code is 3 if any plugin has a problem.
    """
    from rich.table import Table

    registry = Registry.load(plugin_files)
    table = Table(box=None, header_style="bold")
    for heading in ("plugin", "distribution", "version", "provides"):
        table.add_column(heading, overflow="fold")
    for plugin in registry.plugins:
        table.add_row(plugin.name, plugin.distribution, plugin.version, _provides(plugin))
    console = output_console()
    console.print(table)
    for plugin in registry.broken:
        for problem in plugin.problems:
            console.print(f"{plugin.name} of {plugin.distribution}: {problem}", style="red", soft_wrap=True)
    return failure_exit if registry.broken else 0


def _provides(plugin: Plugin) -> str:
    counts = Counter(spec.kind for spec in plugin.provides)
    return ", ".join(counted(n, kind) for kind, n in counts.items()) or "nothing"
