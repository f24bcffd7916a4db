"""``harness baseline``: the results of a version in one small file, to compare later versions with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.data import cache_dir, data_dir_option
from harness.cli.options import PathType, names_option, plugin_option, runs_option
from harness.cli.output import notice, warn
from harness.cli.stored import no_results, selected
from harness.errors import HarnessError
from harness.words import counted

if TYPE_CHECKING:
    from harness.regression.baseline import Baseline


@click.group()
def baseline() -> None:
    """Keep the results of a version in one small file, to compare later versions with."""


@baseline.command()
@click.argument("name", type=PathType(), metavar="NAME")
@names_option("--dataset", "--datasets", "datasets", metavar="D[,D]", help="Only these data sets.")
@names_option("--metric", "--metrics", "metrics", metavar="M[,M]", help="Only these metrics.")
@names_option("--models", "--model", "models", metavar="M[,M]", help="Only these models.")
@click.option("--counts", is_flag=True, help="Also count the operators, FLOPs, bytes and imports of this version.")
@runs_option
@data_dir_option
@plugin_option
def save(
    name: Path,
    datasets: tuple[str, ...],
    metrics: tuple[str, ...],
    models: tuple[str, ...],
    counts: bool,
    runs: Path,
    data_dir: Path | None,
    plugin_files: tuple[Path, ...],
) -> None:
    """Write the stored results to the file NAME; the suffix .jsonl is added unless it has it.

    The file has the values, their errors and per-example values, averaged over groups of examples, but no models. It
    is small enough to be committed. A file that exists is replaced.
    """
    from harness.atomic import require_replaceable
    from harness.regression.baseline import Baseline, suffix
    from harness.regression.baseline import save as write
    from harness.results.store import Store

    path = name if name.suffix == suffix else name.with_name(f"{name.name}{suffix}")
    require_replaceable(path, "NAME")
    store = Store(runs, warn)
    records = store.records()
    if not records:
        raise no_results(runs)
    records = selected(records, {"dataset": datasets, "metric": metrics, "model": models}, runs)
    found = _counted(Baseline(records), data_dir, plugin_files) if counts else {}
    saved = write(store, records, path, notice, found)
    print(f"{path}: {counted(len(saved), 'result')}, {path.stat().st_size / 1024:,.0f} KiB")


def _counted(results: Baseline, data_dir: Path | None, plugin_files: tuple[Path, ...]) -> dict[str, dict[str, int]]:
    """Count what the benchmarks of these results count, in the version that is installed.

    Raises:
        HarnessError: one fails; a comparison would not notice that it is left out.
    """
    from harness.regression.compare import Comparison, counts_of, request_of
    from harness.regression.versions import Version

    asked = request_of(results)
    benchmarks = Comparison("", "", cache_dir(), **asked, kinds=("count",), data=data_dir).benchmarks()
    notice(f"counting: {len(benchmarks)} benchmarks")
    failed: list[str] = []
    found = counts_of(benchmarks, Version("this version", plugin_files=plugin_files), failed.append)
    if failed:
        raise HarnessError(f"nothing was saved, since not all can be counted: {'; '.join(failed)}")
    return found
