"""``harness check``: whether plugins keep their contracts, and whether their mathematics is right."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from harness.cli.data import data_dir_option, source_from
from harness.cli.main import load_registry
from harness.cli.options import format_option, plugin_option
from harness.cli.output import notice, output_console, print_formatted
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.conformance.checks import Result
    from harness.conformance.suite import Target

failed_exit = 1
_cost_of_quick = 1  # of checks that need at most one fit


@click.command(epilog="Example:  harness check tied-ae --plugin tied_ae.py")
@click.argument("names", metavar="[NAME[,NAME]]", required=False)
@plugin_option
@data_dir_option
@click.option("--quick", is_flag=True, help="Leave out checks that need several fits.")
@format_option("terminal", "json")
def check(names: str | None, plugin_files: tuple[Path, ...], data_dir: Path | None, quick: bool, format_: str) -> int:
    """Check models, metrics, data sets and figures: contracts, behaviour and mathematics, on tiny data.

    NAME is one of them, or a package, all of whose plugins are then checked. Without a name, everything in the files
    given by --plugin is checked. Skipped checks do not apply to the plugin.

    The exit code is 1 if a check failed.
    """
    registry = load_registry(plugin_files)
    wanted = [name.strip() for name in (names or "").split(",")] if names is not None else []
    if not all(wanted):
        raise UsageError(f"{names!r} has an empty item; write names joined by commas, as in a,b")
    wanted = wanted or [each.distribution for each in registry.plugins if each.file is not None]
    if not wanted:
        raise UsageError("say what to check: NAME, or --plugin FILE.py for everything in a file")

    from harness.conformance.suite import find, results_of, target_of
    from harness.machine.device import using_threads

    source = source_from(data_dir, notice)
    targets = [target_of(each, registry, source) for each in find(registry, wanted)]
    results: list[Result] = []
    with using_threads(1):
        for target in targets:
            chosen = [each for each in target.checks if not quick or each.cost <= _cost_of_quick]
            found = list(_followed(target, results_of(target, chosen)))
            results += found
            if format_ == "terminal":
                _show(target, found)
    if format_ == "json":
        print_formatted(
            json.dumps([dataclasses.asdict(each) for each in results], indent=1, ensure_ascii=False), "json"
        )
    return failed_exit if any(each.status == "failed" for each in results) else 0


def _followed(target: Target, results: Iterable[Result]) -> Iterable[Result]:
    """Pass on results, and show a progress bar if standard error is a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True, highlight=False)
    text = f"checking {target.name}"
    return track(results, text, len(target.checks), console=console, transient=True, disable=not console.is_terminal)


def _show(target: Target, results: list[Result]) -> None:
    from harness.conformance.checks import Status

    console = output_console()
    counts = Counter(each.status for each in results)
    console.print(f"{target.provided.spec.kind} {target.name}", style="bold")
    for each in results:
        if each.status == "failed":
            console.print(f"  failed {each.check}: {each.message}", style="red", soft_wrap=True)
        elif each.status == "expected-failure":
            console.print(f"  expected failure {each.check}: {each.message}", style="yellow", soft_wrap=True)
    order = get_args(Status)
    shown = [f"{counts[name]} {name.replace('-', ' ')}" for name in order if counts[name]]
    console.print(f"  {', '.join(shown)}", soft_wrap=True)
