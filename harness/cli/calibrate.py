"""``harness calibrate``: bias and coverage of estimators of log p(x) on models with an exact log p(x)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.data import data_dir_option, source_from
from harness.cli.main import load_registry
from harness.cli.options import WholeNumber, format_option, names_option, plugin_option
from harness.cli.settings import parse_assignments, set_option
from harness.errors import NotApplicable, UsageError

if TYPE_CHECKING:
    from harness.calibration.calibrate import CalibrationResult
    from harness.data.dataset import Data
    from harness.planning.component import Component


@click.command(epilog="Example:  harness calibrate --metric log-likelihood-ais --latent-sizes 10 --replications 5")
@names_option("--metric", "--metrics", "metrics", metavar="M[,M]", help="Only these estimators. [default: all]")
@names_option("--model", "--models", "models", metavar="M[,M]", default=("ppca,factor-analysis,gaussian-mixture",),
              show_default=True, help="Models with an exact log p(x).")  # fmt: skip
@click.option("--dataset", default="dequantized-mnist-10k", show_default=True, metavar="D",
              help="Data set to fit the models to.")  # fmt: skip
@names_option("--latent-sizes", "sizes", metavar="N[,N]", default=("2,10,50,100",), show_default=True,
              help="Sizes of the code, for models that have codes.")  # fmt: skip
@click.option("--examples", type=WholeNumber(min=2), default=100, show_default=True, metavar="N",
              help="Number of test images, chosen at random.")  # fmt: skip
@click.option("--replications", type=WholeNumber(min=1), default=5, show_default=True, metavar="N",
              help="Number of measurements of each estimator, with different seeds.")  # fmt: skip
@click.option("--threads", type=WholeNumber(min=1), default=1, show_default=True, metavar="N",
              help="CPU threads; they change the last digits.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("calibration"),
              show_default=True, metavar="DIR", help="Folder for the plot.")  # fmt: skip
@format_option("terminal", "json")
@set_option("an estimator", "NAME.PARAM=V")
@data_dir_option
@plugin_option
def calibrate(
    metrics: tuple[str, ...],
    models: tuple[str, ...],
    dataset: str,
    sizes: tuple[str, ...],
    examples: int,
    replications: int,
    threads: int,
    out: Path,
    format_: str,
    assignments: tuple[str, ...],
    data_dir: Path | None,
    plugin_files: tuple[Path, ...],
) -> None:
    """Compare estimators of log p(x) with models whose log p(x) is exact.

    An estimator that needs an encoder gets a posterior that is half a standard deviation off and a fifth too wide;
    others start from the prior. Each is measured at a 25th, at a fifth and at its full effort. "coverage" is the
    coverage of the 95% interval around the estimator's mean, which bias does not affect.
    """
    if not all(size.isdecimal() and int(size) > 0 for size in sizes):
        raise UsageError(f"--latent-sizes {','.join(sizes)}: write whole numbers above 0, as in 2,10")
    registry = load_registry(plugin_files)
    provided_dataset = registry.get("dataset", dataset)

    from harness.atomic import require_writable
    from harness.calibration.plot import bias_plot
    from harness.calibration.selection import effort_levels, estimators, exact_models
    from harness.data.loading import load_dataset
    from harness.machine.device import prepare_torch
    from harness.planning.component import resolve_component

    exact = exact_models(registry, models, [int(size) for size in sizes])
    chosen = estimators(registry, metrics)
    settings = _settings(assignments, [each.spec.name for each in chosen])
    levels = [level for each in chosen for level in effort_levels(each, settings[each.spec.name], examples)]
    component = resolve_component(provided_dataset, {})
    require_writable(out, "--out")

    def announce(line: str) -> None:
        click.echo(line, err=True)

    source = source_from(data_dir, announce)
    data = load_dataset(provided_dataset.spec, component.config, source)  # type: ignore[arg-type]
    data = data.to(prepare_torch("auto", deterministic=True))
    grid, left_out = _applicable(levels, exact)
    measurements = sum(len(applicable) for _, applicable in grid) * replications
    announce(f"{measurements} measurements of {examples} images: {len(levels)} settings of {len(chosen)} estimators")
    results: list[CalibrationResult] = []
    interrupted = False
    try:
        _calibrate_all(grid, component, data, replications, threads, results.append, left_out)
    except KeyboardInterrupt:
        interrupted = True
    for (estimator, model), reason in left_out.items():
        announce(f"left out {estimator} of {model}: {reason}")
    if not results:
        raise KeyboardInterrupt if interrupted else UsageError("none of the estimators applies")
    path = out / "bias.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    bias_plot(results).savefig(path, dpi=150, metadata={"Software": None})
    announce(f"wrote {path}")
    if format_ == "json":
        click.echo(json.dumps([asdict(each) for each in results], indent=2))
    else:
        _show(results, f"{dataset}, {results[0].examples} images, {replications} replications, in nats")
    if interrupted:
        raise KeyboardInterrupt


def _settings(assignments: tuple[str, ...], names: list[str]) -> dict[str, dict[str, str]]:
    """Return the given settings of each estimator."""
    settings: dict[str, dict[str, str]] = {name: {} for name in names}
    for (owner, parameter), values in parse_assignments(assignments).items():
        if owner not in settings:
            raise UsageError(f"--set {owner}.{parameter}: {owner!r} is not an estimator of this calibration")
        if parameter == "examples":
            raise UsageError(f"--set {owner}.examples: use --examples for the number of images")
        if len(values) > 1:
            raise UsageError(f"--set {owner}.{parameter}: give one value, not {len(values)}")
        settings[owner][parameter] = values[0]
    return settings


Grid = list[tuple["Component", list["Component"]]]  # exact models, each with the estimators to calibrate on it


def _applicable(estimators: list[Component], models: list[Component]) -> tuple[Grid, dict[tuple[str, str], str]]:
    """Return the estimators that apply to each model, and why others do not, by the names of estimator and model."""
    from harness.contracts.models import lacking
    from harness.planning.plan import needs_of

    grid: Grid = []
    left_out: dict[tuple[str, str], str] = {}
    for model in models:
        reasons = [lacking(model.factory, needs_of(each.factory)) for each in estimators]
        pairs = list(zip(estimators, reasons, strict=True))
        left_out |= {(each.name, model.name): reason for each, reason in pairs if reason is not None}
        applicable = [each for each, reason in pairs if reason is None]
        if applicable:
            grid.append((model, applicable))
    return grid, left_out


def _calibrate_all(
    grid: Grid,
    dataset: Component,
    data: Data,
    replications: int,
    threads: int,
    keep: Callable[[CalibrationResult], None],
    left_out: dict[tuple[str, str], str],
) -> None:
    """Fit the models and calibrate on each, with a progress bar; pass on each result, and add what is left out."""
    from rich.console import Console
    from rich.progress import Progress

    from harness.calibration.calibrate import calibrate, fitted
    from harness.machine.device import using_threads

    console = Console(stderr=True)
    with using_threads(threads), Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        fits = [fitted(model, dataset, data) for model, _ in grid]
        bar = progress.add_task("measuring", total=sum(len(applicable) for _, applicable in grid) * replications)
        for (model, applicable), fit in zip(grid, fits, strict=True):
            for estimator in applicable:
                try:
                    keep(calibrate(estimator, model, fit, data, replications, lambda: progress.advance(bar)))
                except NotApplicable as error:
                    left_out[estimator.name, model.name] = str(error)
                    progress.advance(bar, replications)


def _show(results: list[CalibrationResult], title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    from harness.leaderboard.text import decimals

    console = Console(highlight=False, markup=False)
    console.print(title, style="bold")
    for name in dict.fromkeys(each.estimator for each in results):
        shown = [each for each in results if each.estimator == name]
        proposal = f",\nfrom the {shown[0].proposal}" if shown[0].proposal else ""
        console.print(f"\n{name} over {shown[0].effort}{proposal}")
        table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0))
        table.add_column("model", no_wrap=True)
        for heading in ("latent", "effort", "estimate", "exact", "bias", "coverage", "ESS"):
            table.add_column(heading, justify="right", no_wrap=True)
        for each in shown:
            digits = decimals(each.bias, each.bias_stderr)
            error = "" if each.bias_stderr is None else f" ± {each.bias_stderr:.{digits}f}"
            table.add_row(
                each.model,
                "–" if each.latent_dim is None else str(each.latent_dim),
                f"{each.value:,}",
                f"{each.estimate:.2f}",
                f"{each.exact:.2f}",
                f"{each.bias:+.{digits}f}{error}",
                "–" if each.coverage is None else f"{each.coverage:.0%}",
                "–" if each.effective_sample_size is None else f"{each.effective_sample_size:,.1f}",
            )
        console.print(table)
