"""The tables of ``harness calibrate``: biases of estimators, and the truth table of metrics of samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

    from harness.calibration.calibrate import CalibrationResult
    from harness.calibration.truth_table import TruthRow


def show_biases(results: Sequence[CalibrationResult], title: str) -> None:
    """Print a table for each estimator."""
    from rich.console import Console
    from rich.table import Table

    from harness.leaderboard.text import decimals, number

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
            error = "" if each.bias_stderr is None else f" ± {number(each.bias_stderr, digits)}"
            table.add_row(
                each.model,
                "–" if each.latent_dim is None else str(each.latent_dim),
                f"{each.value:,}",
                f"{each.estimate:.2f}",
                f"{each.exact:.2f}",
                f"{'+' * (each.bias > 0)}{number(each.bias, digits)}{error}",
                "–" if each.coverage is None else f"{each.coverage:.0%}",
                "–" if each.effective_sample_size is None else f"{each.effective_sample_size:,.1f}",
            )
        console.print(table)


def show_truth(rows: Sequence[TruthRow]) -> None:
    """Print the truth table: a row for each check and topic, and a column for each metric."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, markup=False)
    metrics = list(dict.fromkeys(each.metric for each in rows))
    outcomes = {(each.check, each.topic, each.metric): each for each in rows}
    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("check", no_wrap=True)
    table.add_column("topic", no_wrap=True)
    for metric in metrics:
        table.add_column(Text(metric.replace("-", "-\n")), justify="center")
    for check, topic in dict.fromkeys((each.check, each.topic) for each in rows):
        cells = [outcomes.get((check, topic, metric)) for metric in metrics]
        table.add_row(check, topic, *(_mark(each) for each in cells))
    console.print(table)
    console.print("\n✓ pass, ✗ fail, – does not apply; --format json gives the reasons")
    for check, shows in {each.check: each.shows for each in rows}.items():
        console.print(f"{check}: {shows}", style="dim")


def _mark(row: TruthRow | None) -> Text:
    from rich.text import Text

    marks = {"pass": ("✓", "green"), "fail": ("✗", "red"), "n/a": ("–", "dim")}
    return Text(*marks[row.outcome]) if row else Text("")
