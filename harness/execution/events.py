"""What happens in a run: reported by the process that does the work, received by the one that keeps the records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from harness.contracts.events import Record, Values
from harness.execution.failure import Failure
from harness.planning.plan import Cell, Fit


class Messages(Protocol):
    """Shows the user lines, and the progress of fits and measurements."""

    def announce(self, line: str) -> None:
        """Show a line."""

    def warn(self, line: str) -> None:
        """Show a warning."""

    def fit_started(self, fits: Sequence[Fit]) -> None:
        """Show that models begin to train together."""

    def epoch_ended(self, fits: Sequence[Fit], epoch: int, losses: Mapping[str, float], progress: float) -> None:
        """Show an epoch's mean losses, and the share of the budget that is spent."""

    def fit_ended(self, fits: Sequence[Fit], status: str, seconds: float) -> None:
        """Show how models that trained together ended, and how long they took."""

    def cell_progressed(self, cell: Cell, progress: float) -> None:
        """Show which share of a long measurement is done."""


class Events(Messages, Protocol):
    """Receives everything that happens in a run."""

    def fit_failed(self, fit: Fit, failure: Failure) -> None:
        """Note that there will be no model of this fit in this run."""

    def cell_started(self, cell: Cell) -> None:
        """Note that a cell is about to be computed."""

    def cell_ended(self, cell: Cell, record: Record, values: Values | None) -> None:
        """Keep the record and the per-example values of a cell."""


class Reporter(Messages, Protocol):
    """Shows the user the whole run."""

    def cell_started(self, cell: Cell) -> None:
        """Show that a cell is about to be computed."""

    def cell_reported(self, cell: Cell, record: Record) -> None:
        """Show the outcome of a cell, whose record is on disk."""
