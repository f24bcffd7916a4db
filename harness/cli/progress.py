"""How a run shows that it is getting on: bars on a terminal, plain lines elsewhere."""

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

from harness.contracts.events import Record
from harness.leaderboard.text import decimals, number
from harness.planning.budget import in_words
from harness.planning.plan import Cell, Fit
from harness.settings import show


class Lines:
    """Writes a plain line for each thing that ends, and for an epoch now and then."""

    def __init__(self, cells: int) -> None:
        self.cells = cells
        self.ended = 0
        self._told: dict[str, float] = {}

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def announce(self, line: str) -> None:
        """Write a line."""
        print(line, file=sys.stderr, flush=True)

    def warn(self, line: str) -> None:
        """Write a warning."""
        self.announce(f"warning: {line}")

    def fit_started(self, fits: Sequence[Fit]) -> None:
        """Say what is being fitted."""
        budget = fits[0].budget
        how = f"for {in_words(budget.identity)}" if budget else "in closed form"
        self.announce(f"fitting {name_of(*fits)} {how}")

    def epoch_ended(self, fits: Sequence[Fit], epoch: int, losses: Mapping[str, float], progress: float) -> None:
        """Tell the losses about five times a fit."""
        if self._is_worth_telling(fits[0].key, progress):
            self.announce(f"  {name_of(*fits)}: epoch {epoch}, {progress:.0%}: {told(losses)}")

    def fit_ended(self, fits: Sequence[Fit], status: str, seconds: float) -> None:
        """Say how long it took."""
        self.announce(f"  {name_of(*fits)}: {'fitted' if status == 'ok' else status} in {seconds:.1f} s")

    def cell_progressed(self, cell: Cell, progress: float) -> None:
        """Tell about five times a measurement how far it is."""
        if self._is_worth_telling(cell.key, progress) and progress < 1:
            self.announce(f"  {measurement_of(cell)}: {progress:.0%}")

    def _is_worth_telling(self, key: str, progress: float) -> bool:
        if progress < min(1.0, self._told.get(key, 0.0) + 0.2):
            return False
        self._told[key] = progress
        return True

    def cell_reported(self, cell: Cell, record: Record) -> None:
        """Tell the outcome."""
        self.ended += 1
        self.announce(f"[{self.ended}/{self.cells}] {name_of(cell.fit)}, {outcome_of(record)}")


class Bars(Lines):
    """Shows a bar over the cells and one for each fit or long measurement that is going on, with the time left."""

    def __init__(self, cells: int) -> None:
        super().__init__(cells)
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
        """Move the bar on."""
        bar = self._bars[fits[0].key]
        self.progress.update(bar, completed=progress, losses=f"epoch {epoch}: {told(losses)}")

    def fit_ended(self, fits: Sequence[Fit], status: str, seconds: float) -> None:
        """Take the bar away."""
        self.progress.remove_task(self._bars.pop(fits[0].key))

    def cell_progressed(self, cell: Cell, progress: float) -> None:
        """Show a bar for the measurement."""
        if cell.key not in self._bars:
            self._bars[cell.key] = self.progress.add_task(measurement_of(cell), total=1.0, losses="")
        self.progress.update(self._bars[cell.key], completed=progress)

    def cell_reported(self, cell: Cell, record: Record) -> None:
        """Tell the outcome and move the bar of the cells on."""
        super().cell_reported(cell, record)
        if (bar := self._bars.pop(cell.key, None)) is not None:
            self.progress.remove_task(bar)
        self.progress.update(self._cells_bar, completed=self.ended, losses=f"{self.ended} of {self.cells}")


def reporter_for(cells: int) -> Lines:
    """Return bars where the error stream is a terminal, else plain lines."""
    return Bars(cells) if sys.stderr.isatty() else Lines(cells)


def name_of(*fits: Fit) -> str:
    """Name a fit, or fits that differ in the seed, for people: model and data set with changed settings, seeds."""
    fit = fits[0]
    model, dataset = (_with_settings(each.name, each.settings, each.changed) for each in (fit.model, fit.dataset))
    seeds = ", ".join(str(each.seed) for each in fits)
    return f"{model} on {dataset}, seed{'s' * (len(fits) > 1)} {seeds}"


def measurement_of(cell: Cell) -> str:
    """Name a measurement for people: the metric and its changed settings, and the fit."""
    metric = cell.metric
    return f"{_with_settings(metric.name, metric.settings, metric.changed)} of {name_of(cell.fit)}"


def told(losses: Mapping[str, float]) -> str:
    """Write losses in a few characters."""
    return ", ".join(f"{name} {value:.4g}" for name, value in losses.items())


def outcome_of(record: Record) -> str:
    """Write a record's outcome in a few words."""
    metric = _with_settings(record.metric["name"], record.metric["settings"], record.metric["changed"])
    if record.value is None:
        return f"{metric}: {record.status}, {record.reason}"
    digits = decimals(record.value, record.stderr)
    error = f" ± {number(record.stderr, digits)}" if record.stderr is not None else ""
    warning = f", {record.warning}" if record.warning else ""
    return f"{metric}: {number(record.value, digits)}{error} {record.unit}{warning}"


def _with_settings(name: str, settings: Mapping[str, Any], changed: Sequence[str]) -> str:
    return " ".join([name, *(f"{setting}={show(settings[setting])}" for setting in changed)])
