"""Progress of a run: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from harness.cli.output import notice
from harness.contracts.events import Record
from harness.leaderboard.text import decimals, number
from harness.planning.budget import in_words
from harness.planning.plan import Cell, Fit
from harness.settings import show


class Lines:
    """Writes a line for each fit and cell that ends, and for some of the epochs.

    Args:
        cells: the number of cells to be computed.
        tracebacks: whether to show the traceback of a cell that fails.
    """

    def __init__(self, cells: int, tracebacks: bool = False) -> None:
        self.cells = cells
        self.tracebacks = tracebacks
        self.ended = 0
        self._shown: dict[str, float] = {}
        self._last_traceback: str | None = None

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def announce(self, line: str) -> None:
        """Write a line."""
        notice(line)

    def warn(self, line: str) -> None:
        """Write a warning."""
        self.announce(f"warning: {line}")

    def fit_started(self, fits: Sequence[Fit]) -> None:
        """Show which model is being fitted."""
        budget = fits[0].budget
        how = f"for {in_words(budget.identity)}" if budget else "in closed form"
        self.announce(f"fitting {name_of(*fits)} {how}")

    def epoch_ended(self, fits: Sequence[Fit], epoch: int, losses: Mapping[str, float], progress: float) -> None:
        """Show the losses about five times per fit."""
        if self._is_due(fits[0].key, progress):
            self.announce(f"  {name_of(*fits)}: epoch {epoch}, {progress:.0%}: {format_losses(losses)}")

    def fit_ended(self, fits: Sequence[Fit], status: str, seconds: float) -> None:
        """Show how long the fit took."""
        self.announce(f"  {name_of(*fits)}: {'fitted' if status == 'ok' else status} in {seconds:.1f} s")

    def cell_progressed(self, cell: Cell, progress: float) -> None:
        """Show the progress about five times per measurement."""
        if self._is_due(cell.key, progress) and progress < 1:
            self.announce(f"  {measurement_of(cell)}: {progress:.0%}")

    def _is_due(self, key: str, progress: float) -> bool:
        if progress < min(1.0, self._shown.get(key, 0.0) + 0.2):
            return False
        self._shown[key] = progress
        return True

    def cell_reported(self, cell: Cell, record: Record) -> None:
        """Show the outcome, and the traceback of a failure unless it is that of the cell before."""
        self.ended += 1
        self.announce(f"[{self.ended}/{self.cells}] {name_of(cell.fit)}, {outcome_of(record)}")
        if self.tracebacks and record.traceback and record.traceback != self._last_traceback:
            self.announce(record.traceback.rstrip())
            self._last_traceback = record.traceback


class Bars(Lines):
    """Shows a bar for all cells and one for each current fit or long measurement, with the time left."""

    def __init__(self, cells: int, tracebacks: bool = False) -> None:
        super().__init__(cells, tracebacks)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[losses]}", style="dim"),
            console=Console(stderr=True, highlight=False),
            transient=True,
        )
        self._cells_bar = self.progress.add_task("cells", total=cells, losses="")
        self._bars: dict[str, TaskID] = {}

    def __enter__(self) -> Bars:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def announce(self, line: str) -> None:
        """Write a line above the bars."""
        self.progress.console.print(line, markup=False)

    def fit_started(self, fits: Sequence[Fit]) -> None:
        """Show a bar for its budget."""
        total = 1.0 if fits[0].budget else None
        self._bars[fits[0].key] = self.progress.add_task(name_of(*fits), total=total, losses="")

    def epoch_ended(self, fits: Sequence[Fit], epoch: int, losses: Mapping[str, float], progress: float) -> None:
        """Advance the bar."""
        bar = self._bars[fits[0].key]
        self.progress.update(bar, completed=progress, losses=f"epoch {epoch}: {format_losses(losses)}")

    def fit_ended(self, fits: Sequence[Fit], status: str, seconds: float) -> None:
        """Remove the bar."""
        self.progress.remove_task(self._bars.pop(fits[0].key))

    def cell_progressed(self, cell: Cell, progress: float) -> None:
        """Show a bar for the measurement."""
        if cell.key not in self._bars:
            self._bars[cell.key] = self.progress.add_task(measurement_of(cell), total=1.0, losses="")
        self.progress.update(self._bars[cell.key], completed=progress)

    def cell_reported(self, cell: Cell, record: Record) -> None:
        """Show the outcome, and advance the bar of the cells."""
        super().cell_reported(cell, record)
        if (bar := self._bars.pop(cell.key, None)) is not None:
            self.progress.remove_task(bar)
        self.progress.update(self._cells_bar, completed=self.ended, losses=f"{self.ended} of {self.cells}")


def reporter_for(cells: int, tracebacks: bool = False) -> Lines:
    """Return bars if standard error is a terminal, else plain lines."""
    return Bars(cells, tracebacks) if sys.stderr.isatty() else Lines(cells, tracebacks)


def name_of(*fits: Fit) -> str:
    """Name a fit, or fits that differ in the seed: model and data set with changed settings, and seeds."""
    fit = fits[0]
    model, dataset = (_with_settings(each.name, each.settings, each.changed) for each in (fit.model, fit.dataset))
    seeds = ", ".join(str(each.seed) for each in fits)
    return f"{model} on {dataset}, seed{'s' * (len(fits) > 1)} {seeds}"


def measurement_of(cell: Cell) -> str:
    """Name a measurement: the metric with changed settings, and the fit."""
    metric = cell.metric
    return f"{_with_settings(metric.name, metric.settings, metric.changed)} of {name_of(cell.fit)}"


def format_losses(losses: Mapping[str, float]) -> str:
    """Write losses with four digits."""
    return ", ".join(f"{name} {value:.4g}" for name, value in losses.items())


def outcome_of(record: Record) -> str:
    """Write the outcome of a record on one line."""
    metric = _with_settings(record.metric["name"], record.metric["settings"], record.metric["changed"])
    if record.value is None:
        return f"{metric}: {record.status}, {record.reason}"
    digits = decimals(record.value, record.stderr)
    error = f" ± {number(record.stderr, digits)}" if record.stderr is not None else ""
    warning = f", {record.warning}" if record.warning else ""
    return f"{metric}: {number(record.value, digits)}{error} {record.unit}{warning}"


def _with_settings(name: str, settings: Mapping[str, Any], changed: Sequence[str]) -> str:
    return " ".join([name, *(f"{setting}={show(settings[setting])}" for setting in changed)])
