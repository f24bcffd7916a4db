"""``harness report``: the stored results as one page of HTML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import PathType, names_option, runs_option
from harness.cli.output import warn
from harness.cli.stored import nothing_shown, selected
from harness.errors import StoreError, UsageError

if TYPE_CHECKING:
    from harness.results.store import Store

default_output, default_port = Path("report.html"), 8765


@click.command(epilog="Example:  harness report --dataset mnist --output mnist.html")
@names_option("--dataset", "--datasets", "datasets", metavar="D[,D]", help="Only these data sets.")
@names_option("--model", "--models", "models", metavar="A,B", help="Only these models.")
@names_option("--metric", "--metrics", "metrics", metavar="M[,M]", help="Only these metrics.")
@click.option("--output", type=PathType(), metavar="FILE.html", help=f"File to write. [default: {default_output}]")
@click.option(
    "--serve", is_flag=True, help="Show the page on this computer instead, and follow a run while it goes on."
)
@click.option("--port", type=click.IntRange(0, 65535), metavar="N",
              help=f"Port of --serve; 0 takes a free one. [default: {default_port}]")  # fmt: skip
@runs_option
def report(
    datasets: tuple[str, ...],
    models: tuple[str, ...],
    metrics: tuple[str, ...],
    output: Path | None,
    serve: bool,
    port: int | None,
    runs: Path,
) -> None:
    """Write stored results as one HTML file: boards, plots, and each model with its pictures and settings.

    The file needs no network and no other file. It can be opened from disk, sent to others and printed.
    """
    from harness.results.store import Store

    if serve and output is not None:
        raise UsageError("--serve writes no file; leave out --output, or --serve")
    if port is not None and not serve:
        raise UsageError("--port is for --serve; add --serve")
    store = Store(runs, warn)
    wanted = {"dataset": datasets, "model": models, "metric": metrics}
    if serve:
        _serve(store, wanted, default_port if port is None else port)
    else:
        _write(store, wanted, output or default_output)


def _write(store: Store, wanted: Mapping[str, tuple[str, ...]], output: Path) -> None:
    from harness.atomic import replacing, require_replaceable
    from harness.cli.run_commands import commands_of
    from harness.report.page import render
    from harness.results.curation import shown_records

    stored = shown_records(store)
    if not stored:
        raise nothing_shown(store)
    records = selected(stored, wanted, store.root)
    require_replaceable(output, "--output")
    page = render(records, store, commands_of, _summaries(), among=stored)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with replacing(output) as temporary:
            temporary.write_text(page, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write {output}: {error.strerror}") from error
    print(f"wrote {output}")


def _summaries() -> dict[str, str]:
    """Return what each metric of the installed plugins measures, by name."""
    from harness.cli.main import load_registry

    return {each.spec.name: each.spec.summary for each in load_registry(()).all("metric")}


def _serve(store: Store, wanted: Mapping[str, tuple[str, ...]], port: int) -> None:
    from harness.cli.run_commands import commands_of
    from harness.report.page import render
    from harness.report.serve import Pages, serve
    from harness.results.curation import shown_records

    summaries = _summaries()
    recorded = shown_records(store)
    if recorded:
        selected(recorded, wanted, store.root)

    def build() -> str:
        stored = shown_records(store)
        try:
            records = selected(stored, wanted, store.root)
        except UsageError:  # a run that has just started has no results of this name yet
            records = []
        return render(records, store, commands_of, summaries, among=stored, is_served=True)

    def announce(address: str) -> None:
        print(f"the report is at {address} until Ctrl-C", flush=True)

    serve(Pages(build, store), port, announce)
