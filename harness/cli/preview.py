"""What a run would compute, without computing it."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from io import StringIO
from typing import TYPE_CHECKING, NamedTuple

from harness.words import counted

_headings = ("model", "seeds", "metrics", "action")
_most_rows, _first_rows = 200, 50  # of the tables together; of more than that only the first are shown

if TYPE_CHECKING:
    from rich.console import Group, RenderableType

    from harness.execution.run import Run


@dataclass(frozen=True)
class PlannedCell:
    """A cell of a plan.

    Args:
        dataset: name, with the settings that are not at their defaults.
        model: name, with such settings.
        seed: of the training; None if the model comes from a file.
        metric: name, with such settings.
        action: what would be done, such as ``fit, measure``, or why nothing would be.
        key: of the cell.
    """

    dataset: str
    model: str
    seed: int | None
    metric: str
    action: str
    key: str


class _Row(NamedTuple):
    """Cells of a model on a data set that have the same seeds and the same action."""

    dataset: str
    model: str
    seeds: tuple[int | None, ...]
    metrics: tuple[str, ...]
    action: str

    @property
    def texts(self) -> tuple[str, str, str, str]:
        return self.model, _in_ranges(self.seeds), ", ".join(self.metrics), self.action


@dataclass(frozen=True, repr=False)
class Preview:
    """The cells of a run before any work; shows itself as a table for each data set.

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
            console.print(self.tables())
        return captured.get().rstrip("\n")

    def _repr_html_(self) -> str:
        from tabulate import tabulate

        parts = [f"<strong>{escape(self.summary)}</strong>"]
        for title, rows in self._sections():
            lines = [[escape(text) for text in row] for row in rows]
            parts += [f"<p>{escape(title)}</p>", tabulate(lines, _headings, "unsafehtml")]
        return "\n".join([*parts, *(f"<small>{escape(each)}</small>" for each in self._below())])

    def tables(self) -> Group:
        """Return the summary, a table for each data set, and the forecast."""
        from rich.console import Group
        from rich.text import Text

        from harness.leaderboard.terminal import TableOfWords

        parts: list[RenderableType] = [Text(self.summary)]
        for title, rows in self._sections():
            parts += [Text(f"\n{title}", "bold"), TableOfWords(_headings, rows, [""] * len(rows))]
        return Group(*parts, *(Text(f"\n{each}") for each in self._below()))

    def _sections(self) -> Iterator[tuple[str, list[tuple[str, str, str, str]]]]:
        """Yield each data set with the rows of its table, as far as they are shown."""
        shown = self._rows if len(self._rows) <= _most_rows else self._rows[:_first_rows]
        for dataset, rows in itertools.groupby(shown, lambda row: row.dataset):
            yield dataset, [row.texts for row in rows]

    def _below(self) -> Iterator[str]:
        """Yield what stands below the tables: what they leave out, and the forecast."""
        if len(self._rows) > _most_rows:
            others: Counter[str] = Counter()
            for row in self._rows[_first_rows:]:
                others[row.action] += len(row.seeds) * len(row.metrics)
            yield "\n".join(f"{counted(n, 'more cell')}: {action}" for action, n in others.most_common())
        if self.forecast is not None:
            yield self.forecast

    @cached_property
    def _rows(self) -> list[_Row]:
        """The rows of all tables, in the order of their first cells."""
        seeds: dict[tuple[str, str, str, str], list[int | None]] = {}
        for cell in self.cells:
            seeds.setdefault((cell.dataset, cell.model, cell.action, cell.metric), []).append(cell.seed)
        metrics: dict[tuple[str, str, str, tuple[int | None, ...]], list[str]] = {}
        for (*named, metric), of_metric in seeds.items():
            metrics.setdefault((*named, tuple(of_metric)), []).append(metric)  # type: ignore[arg-type]
        return [
            _Row(dataset, model, of_metrics, tuple(names), action)
            for (dataset, model, action, of_metrics), names in metrics.items()
        ]


def _in_ranges(seeds: Sequence[int | None]) -> str:
    """Write seeds, such as ``0–2, 5``; nothing for a model without one."""
    known = [seed for seed in seeds if seed is not None]
    ranges = [
        [seed for _, seed in those] for _, those in itertools.groupby(enumerate(known), lambda each: each[1] - each[0])
    ]
    return ", ".join(str(each[0]) if len(each) == 1 else f"{each[0]}–{each[-1]}" for each in ranges)


def preview_of(run: Run, jobs: int | None) -> Preview:
    """Return what a run would compute, with ``jobs`` processes or as many as keep the cores busy."""
    from harness.execution.durations import Durations, Forecast
    from harness.execution.first_steps import time_first_steps
    from harness.execution.specification import WorkerContext
    from harness.machine.cpu_load import cores
    from harness.machine.device import gpus

    pending = {cell.key for cell in run.pending}
    fitted = {key for key, fit in {cell.fit.key: cell.fit for cell in run.applicable}.items() if run.is_fitted(fit)}
    cells = []
    for cell in run.plan.cells:
        if cell.key not in pending:
            action = "nothing: stored"
        elif cell.lacking is not None:
            action = f"n/a: {cell.lacking}"
        else:
            action = "measure" if cell.fit.key in fitted else "fit, measure"
        dataset, model, metric = (each.full_name for each in (cell.fit.dataset, cell.fit.model, cell.metric))
        seed = None if cell.fit.is_given else cell.fit.seed
        cells.append(PlannedCell(dataset, model, seed, metric, action, cell.key))
    engine = run.specification.engine
    at_once = jobs or max(1, cores() // engine.threads if engine.device == "cpu" else len(gpus(engine.device)))
    forecast = None
    if run.applicable:
        durations = Durations.before(run)
        time_first_steps(run, durations, WorkerContext(run.specification, run.registry, run, only_at_hand=True))
        forecast = Forecast.of(run, durations, at_once).in_words
    return Preview(tuple(cells), summary(run), forecast)


def summary(run: Run) -> str:
    """Say how many cells a run has, and how many of them are to be computed."""
    cells, pending = len(run.plan.cells), run.pending
    fits = len({cell.fit.key for cell in run.applicable})
    if not pending:
        return f"{counted(cells, 'cell')}, all stored already; use --fresh to compute again"
    stored = f", {cells - len(pending):,} of them stored already" if len(pending) < cells else ""
    return f"{counted(cells, 'cell')}{stored}; {len(pending):,} to compute from {counted(fits, 'fit')}"
