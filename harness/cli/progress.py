"""How a run shows that it is getting on: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from harness.leaderboard.text import decimals, number
from harness.plan import Cell, Fit
from harness.store import Record


class Lines:
    """Writes a plain line for each thing that ends, and for an epoch now and then."""

    def __init__(self, cells: int) -> None:
        self.cells = cells
        self.ended = 0
        self._epochs = 0

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def announce(self, line: str) -> None:
        """Write a line."""
        print(line, file=sys.stderr, flush=True)

    def fit_started(self, fit: Fit, epochs: int) -> None:
        """Say what is being fitted."""
        self._epochs = epochs
        self.announce(f"fitting {name_of(fit)}" + (f" for {epochs} epochs" if epochs else " in closed form"))

    def epoch_ended(self, epoch: int, losses: Mapping[str, float]) -> None:
        """Tell the losses about five times a fit."""
        if epoch % max(1, self._epochs // 5) == 0 or epoch == self._epochs:
            self.announce(f"  epoch {epoch}/{self._epochs}: {told(losses)}")

    def fit_ended(self, fit: Fit, status: str, seconds: float) -> None:
        """Say how long it took."""
        self.announce(f"  {'fitted' if status == 'ok' else status} in {seconds:.1f} s")

    def cell_ended(self, cell: Cell, record: Record) -> None:
        """Tell the outcome."""
        self.ended += 1
        self.announce(f"[{self.ended}/{self.cells}] {name_of(cell.fit)}, {outcome_of(record)}")


class Bars(Lines):
    """Shows a bar over the cells and one over the epochs, with losses and the time left."""

    def __init__(self, cells: int) -> None:
        super().__init__(cells)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[losses]}", style="dim"),
            console=Console(stderr=True, highlight=False),
            transient=True,
        )
        self._cells_bar = self.progress.add_task("cells", total=cells, losses="")
        self._epochs_bar = self.progress.add_task("epochs", visible=False, losses="")

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

    def fit_started(self, fit: Fit, epochs: int) -> None:
        """Start the bar of the epochs."""
        self.progress.reset(
            self._epochs_bar,
            total=epochs or None,
            visible=True,
            description=f"{fit.model.name}, seed {fit.seed}",
            losses="",
        )

    def epoch_ended(self, epoch: int, losses: Mapping[str, float]) -> None:
        """Move the bar on."""
        self.progress.update(self._epochs_bar, completed=epoch, losses=told(losses))

    def fit_ended(self, fit: Fit, status: str, seconds: float) -> None:
        """Take the bar away."""
        self.progress.update(self._epochs_bar, visible=False)

    def cell_ended(self, cell: Cell, record: Record) -> None:
        """Tell the outcome and move the bar of the cells on."""
        super().cell_ended(cell, record)
        self.progress.update(self._cells_bar, completed=self.ended)


def reporter_for(cells: int) -> Lines:
    """Return bars where the error stream is a terminal, else plain lines."""
    return Bars(cells) if sys.stderr.isatty() else Lines(cells)


def name_of(fit: Fit) -> str:
    """Name a fit for people: model, changed settings, data set, seed."""
    from harness.settings import show

    changed = " ".join(f"{name}={show(fit.model.settings[name])}" for name in fit.model.changed)
    model = " ".join(filter(None, [fit.model.name, changed]))
    return f"{model} on {fit.dataset.name}, seed {fit.seed}"


def told(losses: Mapping[str, float]) -> str:
    """Write losses in a few characters."""
    return ", ".join(f"{name} {value:.4g}" for name, value in losses.items())


def outcome_of(record: Record) -> str:
    """Write a record's outcome in a few words."""
    metric = record.metric["name"]
    if record.value is None:
        return f"{metric}: {record.status}, {record.reason}"
    digits = decimals(record.value, record.stderr)
    error = f" ± {number(record.stderr, digits)}" if record.stderr is not None else ""
    mark = f", {record.diagnostics['marked']}" if "marked" in record.diagnostics else ""
    return f"{metric}: {number(record.value, digits)}{error} {record.unit}{mark}"
