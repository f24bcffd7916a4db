"""What a run would compute, without computing it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from io import StringIO
from typing import TYPE_CHECKING

from harness.words import counted

_headings = ("fit", "metric", "action", "cell")
_most_rows, _first_rows = 500, 50  # of a table; a longer one shows only the first

if TYPE_CHECKING:
    from rich.table import Table

    from harness.execution.run import Run


@dataclass(frozen=True)
class PlannedCell:
    """A cell of a plan.

    Args:
        fit: model, data set and seed, with the settings that are not at their defaults.
        metric: name.
        action: what would be done, such as ``fit, measure``, or why nothing would be.
        key: of the cell.
    """

    fit: str
    metric: str
    action: str
    key: str


@dataclass(frozen=True, repr=False)
class Preview:
    """The cells of a run before any work; shows itself as a table.

    Args:
        cells: in the order in which they would be computed.
        summary: how many cells and fits there are.
        forecast: about how long the run takes, or that this is not known; None if nothing is to be trained or measured.
    """

    cells: tuple[PlannedCell, ...]
    summary: str
    forecast: str | None

    def __len__(self) -> int:
        return len(self.cells)

    def __iter__(self) -> Iterator[PlannedCell]:
        return iter(self.cells)

    def __repr__(self) -> str:
        from rich.console import Console

        # In a notebook, rich would write colours and show what is only captured.
        console = Console(
            file=StringIO(), width=110, highlight=False, markup=False, force_terminal=False, force_jupyter=False
        )
        with console.capture() as captured:
            console.print(self.table())
        return "\n".join(filter(None, [captured.get(), self.forecast]))

    def _repr_html_(self) -> str:
        from tabulate import tabulate

        rows = [[escape(entry) for entry in row] for row in self._rows()]
        lines = [f"<strong>{escape(self.summary)}</strong>", tabulate(rows, _headings, "unsafehtml")]
        return "\n".join([*lines, *([f"<small>{escape(self.forecast)}</small>"] if self.forecast else [])])

    def table(self) -> Table:
        """Return the cells as a table; if there are many, the first ones, and how many others there are."""
        from rich.table import Table

        table = Table(box=None, header_style="bold", title=self.summary, title_justify="left")
        for heading in _headings:
            table.add_column(heading, overflow="fold")
        for row in self._rows():
            table.add_row(*row)
        return table

    def _rows(self) -> Iterator[tuple[str, str, str, str]]:
        shown = self.cells if len(self.cells) <= _most_rows else self.cells[:_first_rows]
        for cell in shown:
            yield cell.fit, cell.metric, cell.action, cell.key[:12]
        if len(shown) < len(self.cells):
            others = Counter(cell.action for cell in self.cells[len(shown) :])
            yield "…", "…", "\n".join(f"{n:,} more: {action}" for action, n in others.most_common()), "…"


def preview_of(run: Run, jobs: int | None) -> Preview:
    """Return what a run would compute, with ``jobs`` processes or as many as keep the cores busy."""
    from harness.cli.progress import name_of
    from harness.execution.durations import Durations, Forecast
    from harness.machine.cpu_load import cores
    from harness.machine.device import gpus

    pending = {cell.key for cell in run.pending}
    names = {fit.key: name_of(fit) for fit in run.plan.fits}
    fitted = {key for key, fit in {cell.fit.key: cell.fit for cell in run.applicable}.items() if run.is_fitted(fit)}
    cells = []
    for cell in run.plan.cells:
        if cell.key not in pending:
            action = "nothing: stored"
        elif cell.lacking is not None:
            action = f"n/a: {cell.lacking}"
        else:
            action = "measure" if cell.fit.key in fitted else "fit, measure"
        cells.append(PlannedCell(names[cell.fit.key], cell.metric.name, action, cell.key))
    engine = run.specification.engine
    at_once = jobs or max(1, cores() // engine.threads if engine.device == "cpu" else len(gpus(engine.device)))
    forecast = Forecast.of(run, Durations.before(run), at_once).in_words if run.applicable else None
    return Preview(tuple(cells), summary(run), forecast)


def summary(run: Run) -> str:
    """Say how many cells a run has, and how many of them are to be computed."""
    cells, pending = len(run.plan.cells), run.pending
    fits = len({cell.fit.key for cell in run.applicable})
    if not pending:
        return f"{counted(cells, 'cell')}, all stored already; use --fresh to compute again"
    stored = f", {cells - len(pending)} of them stored already" if len(pending) < cells else ""
    return f"{counted(cells, 'cell')}{stored}; {len(pending)} to compute from {counted(fits, 'fit')}"
