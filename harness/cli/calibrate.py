"""``harness calibrate``: how far the estimators of log p(x) are off, where the exact answer is known."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.data import data_dir_option, source_from
from harness.cli.main import load_registry
from harness.cli.options import format_option, names_option, plugin_option
from harness.cli.settings import parse_assignments, set_option
from harness.errors import NotApplicable, UsageError

if TYPE_CHECKING:
    from harness.calibration.calibrate import Finding


@click.command(epilog="Example:  harness calibrate --metric log-likelihood-ais --latent-sizes 10 --replications 5")
@names_option("--metric", "--metrics", "metrics", metavar="M[,M]", help="Only these estimators. [default: all]")
@names_option("--model", "--models", "models", metavar="M[,M]", default=("ppca,factor-analysis,gaussian-mixture",),
              show_default=True, help="Models of exact density, which tell the truth.")  # fmt: skip
@click.option("--dataset", default="dequantized-mnist-10k", show_default=True, metavar="D", help="What to fit them on.")
@names_option("--latent-sizes", "sizes", metavar="N[,N]", default=("2,10,50,100",), show_default=True,
              help="Sizes of the code, where the model has one.")  # fmt: skip
@click.option("--examples", type=click.IntRange(min=2), default=100, show_default=True, metavar="N",
              help="Test images, the first ones.")  # fmt: skip
@click.option("--replications", type=click.IntRange(min=1), default=5, show_default=True, metavar="N",
              help="How often each is measured.")  # fmt: skip
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, metavar="N",
              help="CPU threads; they change the last digits.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("calibration"),
              show_default=True, metavar="DIR", help="Where the figure is written.")  # fmt: skip
@format_option("terminal", "json")
@set_option
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
    """Hold the estimators of log p(x) against models whose log p(x) is exact.

    Those that need an encoder are given a posterior that is half a standard deviation off and a fifth too wide; the
    others start from the prior. Each is measured at a 25th and a fifth of its effort, and in full. The coverage is how
    often its own interval of 95% holds its own expectation, which its bias is no part of.
    """
    if not all(size.isdecimal() and int(size) > 0 for size in sizes):
        raise UsageError(f"--latent-sizes {','.join(sizes)}: write whole numbers above 0, as in 2,10")
    registry = load_registry(plugin_files)
    of_dataset = registry.get("dataset", dataset)

    from harness.atomic import require_writable
    from harness.calibration import calibrate as calibration
    from harness.contracts.models import lacking
    from harness.data.loading import load_dataset
    from harness.machine.device import prepare_torch, using_threads
    from harness.planning.component import resolve_component
    from harness.planning.plan import needs_of

    answers = calibration.exact_models(registry, models, [int(size) for size in sizes])
    found = calibration.estimators(registry, metrics)
    values: dict[str, dict[str, str]] = {each.spec.name: {} for each in found}
    for (owner, parameter), given in parse_assignments(assignments).items():
        if owner not in values:
            raise UsageError(f"--set {owner}.{parameter}: {owner!r} is not an estimator that is calibrated here")
        if len(given) > 1 or parameter == "examples":
            raise UsageError(f"--set {owner}.{parameter}: one value, and --examples for the number of images")
        values[owner][parameter] = given[0]
    ladders = [calibration.ladder(each, values[each.spec.name], examples) for each in found]
    require_writable(out, "--out")

    from rich.console import Console
    from rich.progress import Progress

    def announce(line: str) -> None:
        click.echo(line, err=True)

    chosen = resolve_component(of_dataset, {})
    data = load_dataset(of_dataset.spec, chosen.config, source_from(data_dir, announce))  # type: ignore[arg-type]
    data = data.to(prepare_torch("auto", deterministic=True))
    rungs = [each for ladder in ladders for each in ladder]
    left_out: dict[tuple[str, str], str] = {}
    subjects = []
    for exact in answers:
        lacks = {each.name: lacking(exact.factory, needs_of(each.factory)) for each in rungs}
        left_out |= {(name, exact.name): reason for name, reason in lacks.items() if reason}
        subjects.append((exact, [each for each in rungs if not lacks[each.name]]))
    measurements = sum(len(applicable) for _, applicable in subjects) * replications
    announce(f"{measurements} measurements of {examples} images: {len(rungs)} settings of {len(found)} estimators")
    findings = []
    interrupted = False
    console = Console(stderr=True)
    with using_threads(threads), Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        fits = [
            (exact, calibration.fitted(exact, chosen, data), applicable) for exact, applicable in subjects if applicable
        ]
        bar = progress.add_task("measuring", total=measurements)
        try:
            for exact, fit, applicable in fits:
                for each in applicable:
                    try:
                        findings.append(
                            calibration.calibrate(each, exact, fit, data, replications, lambda: progress.advance(bar))
                        )
                    except NotApplicable as error:
                        left_out[each.name, exact.name] = str(error)
                        progress.advance(bar, replications)
        except KeyboardInterrupt:
            interrupted = True
    for (estimator, model), reason in left_out.items():
        announce(f"left out {estimator} of {model}: {reason}")
    if not findings:
        raise KeyboardInterrupt if interrupted else UsageError("none of the estimators applies")
    path = out / "bias.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    calibration.bias_figure(findings).savefig(path, dpi=150, metadata={"Software": None})
    announce(f"wrote {path}")
    if format_ == "json":
        click.echo(json.dumps([asdict(each) for each in findings], indent=2))
    else:
        _show(findings, f"{dataset}, {findings[0].examples} images, {replications} replications, in nats")
    if interrupted:
        raise KeyboardInterrupt


def _show(findings: list[Finding], title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    from harness.leaderboard.text import decimals

    console = Console(highlight=False, markup=False)
    console.print(title, style="bold")
    for name in dict.fromkeys(each.estimator for each in findings):
        mine = [each for each in findings if each.estimator == name]
        proposal = mine[0].proposal
        start = f",\nfrom the {proposal}" if proposal else ""
        console.print(f"\n{name} over {mine[0].effort}{start}")
        table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0))
        table.add_column("model", no_wrap=True)
        for heading in ("latent", "effort", "estimate", "exact", "bias", "covers", "ESS"):
            table.add_column(heading, justify="right", no_wrap=True)
        for each in mine:
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
