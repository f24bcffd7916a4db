"""``harness calibrate``: compares estimators with exact values, and metrics of samples with known truths."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.calibration_tables import show_biases, show_truth
from harness.cli.data import data_dir_option, source_from
from harness.cli.main import load_registry
from harness.cli.options import PathType, WholeNumber, format_option, most_threads, names_option, plugin_option
from harness.cli.settings import parse_assignments, set_option
from harness.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from harness.calibration.calibrate import CalibrationResult
    from harness.calibration.truth_table import TruthRow
    from harness.data.source import DataSource
    from harness.planning.component import Component

_most_digits = 9  # of a size of the code


@click.command(epilog="Example:  harness calibrate --metric log-likelihood-ais --latent-sizes 10 --replications 5")
@names_option("--metric", "--metrics", "metrics", metavar="M[,M]",
              help="Only these estimators, or these metrics of samples. [default: all estimators]")  # fmt: skip
@names_option("--model", "--models", "models", metavar="M[,M]", default=("ppca,factor-analysis,gaussian-mixture",),
              show_default=True, help="Models with an exact log p(x).")  # fmt: skip
@click.option("--dataset", default="dequantized-mnist-10k", show_default=True, metavar="D",
              help="Data set to fit the models to.")  # fmt: skip
@names_option("--latent-sizes", "sizes", metavar="N[,N]", default=("2,10,50,100",), show_default=True,
              help="Sizes of the code, for models that have codes.")  # fmt: skip
@click.option("--examples", type=WholeNumber(min=2), default=100, show_default=True, metavar="N",
              help="Number of test images, chosen at random.")  # fmt: skip
@click.option("--replications", type=WholeNumber(min=1), metavar="N",
              help="Number of measurements, with different seeds. [default: 5; of metrics of samples 3]")  # fmt: skip
@click.option("--threads", type=WholeNumber(min=1, max=most_threads), default=1, show_default=True, metavar="N",
              help="CPU threads; they change the last digits.")  # fmt: skip
@click.option("--out", type=PathType(file_okay=False), default=Path("calibration"),
              show_default=True, metavar="DIR", help="Folder for the plots.")  # fmt: skip
@format_option("terminal", "json")
@set_option("a metric", "NAME.PARAM=V")
@data_dir_option
@plugin_option
def calibrate(
    metrics: tuple[str, ...],
    models: tuple[str, ...],
    dataset: str,
    sizes: tuple[str, ...],
    examples: int,
    replications: int | None,
    threads: int,
    out: Path,
    format_: str,
    assignments: tuple[str, ...],
    data_dir: Path | None,
    plugin_files: tuple[Path, ...],
) -> None:
    """Compare estimators of log p(x) with exact values, and metrics of samples with known truths.

    An estimator of log p(x) meets models whose log p(x) is exact. One that needs an encoder gets a posterior that is
    half a standard deviation off and a fifth too wide; others start from the prior. Each is measured at a 25th, at a
    fifth and at its full effort. "coverage" is the coverage of the 95% interval around the estimator's mean, which bias
    does not affect.

    A metric of samples, such as precision, meets samples and data from known distributions. A table shows which checks
    it passes.
    """
    if not all(size.isdecimal() and len(size) <= _most_digits and int(size) > 0 for size in sizes):
        raise UsageError(f"--latent-sizes {','.join(sizes)}: write whole numbers above 0, as in 2,10")
    registry = load_registry(plugin_files)
    provided_dataset = registry.get("dataset", dataset)

    from harness.atomic import require_writable
    from harness.calibration.selection import effort_levels, exact_models, selected
    from harness.machine.device import using_threads
    from harness.planning.component import resolve_component

    exact = exact_models(registry, models, [int(size) for size in sizes])
    chosen = selected(registry, metrics)
    estimators = [each.spec.name for each in chosen.estimators]
    of_samples = [each.spec.name for each in chosen.of_samples]
    settings = _settings(assignments, estimators, of_samples)
    levels = [level for each in chosen.estimators for level in effort_levels(each, settings[each.spec.name], examples)]
    components = [resolve_component(each, settings[each.spec.name]) for each in chosen.of_samples]
    data_set = resolve_component(provided_dataset, {})
    require_writable(out, "--out")
    rows: list[dict[str, Any]] = []
    show = rows.extend if format_ == "json" else None
    try:
        with using_threads(threads):
            if levels:
                source = source_from(data_dir, _announce)
                _calibrate_estimators(levels, exact, data_set, source, examples, replications or 5, out, show)
            if components:
                _check_metrics_of_samples(components, replications or 3, out, show)
    finally:
        if rows:
            click.echo(json.dumps(rows, indent=2))


Keep = Callable[[list[dict[str, Any]]], None]


def _calibrate_estimators(
    levels: list[Component],
    exact: list[Component],
    dataset: Component,
    source: DataSource,
    examples: int,
    replications: int,
    out: Path,
    keep: Keep | None,
) -> None:
    """Calibrate estimators; show the results, also those of an interrupted calibration, or keep them as JSON values."""
    from harness.calibration.grid import applicable, calibrate_all
    from harness.calibration.plot import bias_plot
    from harness.data.loading import load_dataset
    from harness.machine.device import prepare_torch

    data = load_dataset(dataset.provided.spec, dataset.config, source)  # type: ignore[arg-type]
    data = data.to(prepare_torch("auto", deterministic=True))
    grid, left_out = applicable(levels, exact)
    measurements = sum(len(found) for _, found in grid) * replications
    count = len({each.name for each in levels})
    _announce(f"{measurements} measurements of {examples} images: {len(levels)} settings of {count} estimators")
    results: list[CalibrationResult] = []
    interrupted = False
    try:
        with showing_progress("measuring", measurements) as advance:
            calibrate_all(grid, dataset, data, replications, results.append, left_out, advance)
    except KeyboardInterrupt:
        interrupted = True
    for (estimator, model), reason in left_out.items():
        _announce(f"left out {estimator} of {model}: {reason}")
    if not results and not interrupted:
        raise UsageError("none of the estimators applies")
    if results:
        _save(bias_plot(results), out / "bias.png")
        if keep:
            keep([asdict(each) for each in results])
        else:
            title = f"{dataset.name}, {results[0].examples} images, {replications} replications, in nats"
            show_biases(results, title)
    if interrupted:
        raise KeyboardInterrupt


def _check_metrics_of_samples(metrics: list[Component], replications: int, out: Path, keep: Keep | None) -> None:
    """Run the checks on metrics of samples; show the truth table, or keep its rows as JSON values."""
    from harness.calibration.plot import truth_plot
    from harness.calibration.sample_checks import checks
    from harness.calibration.truth_table import Cost, truth_rows
    from harness.execution.durations import in_words
    from harness.machine.device import prepare_torch

    prepare_torch("cpu", deterministic=True)
    costs = [Cost.of(each, checks, replications) for each in metrics]
    comparisons, seconds = sum(each.comparisons for each in costs), sum(each.seconds for each in costs)
    _announce(
        f"{comparisons:,} comparisons: {len(checks)} checks of {len(metrics)} metrics of samples, {in_words(seconds)}"
    )
    rows: list[TruthRow] = []
    interrupted = False
    try:
        with showing_progress("checking", comparisons) as advance:
            for each in metrics:
                for check in checks:
                    rows += truth_rows(each, check, replications, lambda: advance(1))
    except KeyboardInterrupt:
        interrupted = True
    if rows:
        _save(truth_plot(rows), out / "truth-table.png")
        if keep:
            keep([asdict(each) for each in rows])
        else:
            show_truth(rows)
    if interrupted:
        raise KeyboardInterrupt


def _settings(assignments: tuple[str, ...], estimators: list[str], of_samples: list[str]) -> dict[str, dict[str, str]]:
    """Return the given settings of each metric."""
    settings: dict[str, dict[str, str]] = {name: {} for name in (*estimators, *of_samples)}
    for (owner, parameter), values in parse_assignments(assignments).items():
        if owner not in settings:
            raise UsageError(f"--set {owner}.{parameter}: {owner!r} is not a metric of this calibration")
        if parameter == "examples" and owner in estimators:
            raise UsageError(f"--set {owner}.examples: use --examples for the number of images")
        if len(values) > 1:
            raise UsageError(f"--set {owner}.{parameter}: give one value, not {len(values)}")
        settings[owner][parameter] = values[0]
    return settings


def _announce(line: str) -> None:
    click.echo(line, err=True)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, metadata={"Software": None})
    _announce(f"wrote {path}")


@contextmanager
def showing_progress(doing: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar if standard error is a terminal, else lines; yield the function that advances it."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(doing, total).advance
        return
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task(doing, total=total)
        yield lambda number: progress.advance(bar, number)


class _Lines:
    """Writes a line after each tenth of the work, and at least twice a minute."""

    longest_silence = 30.0  # seconds

    def __init__(self, doing: str, total: int) -> None:
        self.doing = doing
        self.total = total
        self.done = 0
        self.started = self.written = time.monotonic()

    def advance(self, number: int) -> None:
        """Note that as many more measurements are done."""
        from harness.execution.durations import in_words

        before, self.done = self.done, self.done + number
        now = time.monotonic()
        if 10 * before // self.total == 10 * self.done // self.total and now - self.written < self.longest_silence:
            return
        self.written = now
        left = (now - self.started) / self.done * (self.total - self.done)
        more = f", {in_words(left)} left" if self.done < self.total else ""
        _announce(f"{self.doing}: {self.done:,} of {self.total:,}{more}")
