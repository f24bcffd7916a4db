"""The best value of a run so far."""

from __future__ import annotations

from typing import NamedTuple

from harness.contracts.events import Record
from harness.execution.run import Run
from harness.leaderboard.text import decimals, number
from harness.planning.plan import Cell


class BestSoFar:
    """Follows the values of the first metric of a run, and knows the best of those that may be ranked together.

    These have the same data set, settings of the metric, unit and measure; if there are several such groups, it is that
    of the last value. The value of a model is the mean over its seeds so far. A model of which a seed has no value, or
    with values that are known to favour it or to contradict others, is left out, as it has no rank on a board. One
    model alone is not the best.

    Args:
        run: not yet begun; its stored results count.
    """

    def __init__(self, run: Run) -> None:
        self._metric = run.plan.cells[0].metric.name if run.plan.cells else None
        self._several_datasets = len(run.plan.datasets) > 1
        self._groups: dict[_Group, dict[str, _Mean]] = {}
        self._last_group: _Group | None = None
        self._left_out: set[tuple[tuple[str, str], str]] = set()
        for cell in run.plan.cells:
            if (record := run.outcome.records.get(cell.key)) is not None:
                self.add(cell, record)

    def add(self, cell: Cell, record: Record) -> None:
        """Learn the outcome of a cell."""
        if cell.metric.name != self._metric:
            return
        evaluated = cell.fit.dataset.canonical_identity, cell.metric.canonical_identity
        model = cell.fit.model.canonical_identity
        if record.value is None or record.biased_in_favour or record.contradiction:
            self._left_out.add((evaluated, model))
        elif record.direction is not None:
            self._last_group = _Group(evaluated, record.unit, record.measure, record.direction)
            means = self._groups.setdefault(self._last_group, {})
            means.setdefault(model, _Mean()).add(cell, record)

    @property
    def in_words(self) -> str | None:
        """The model, the metric and the value, such as ``vae elbo −108.0``; None if there is no such value."""
        group = self._last_group
        if group is None:
            return None
        means = [mean for model, mean in self._groups[group].items() if (group.evaluated, model) not in self._left_out]
        if len(means) < 2:
            return None
        best = (max if group.direction == "higher" else min)(means, key=lambda mean: mean.value)
        fit = best.cell.fit
        dataset = f" on {fit.dataset.full_name}" if self._several_datasets else ""
        value = number(best.value, decimals(best.value, best.stderr))
        return f"{fit.model.full_name} {best.cell.metric.full_name} {value}{dataset}"


class _Group(NamedTuple):
    """What values have in common that may be ranked together."""

    evaluated: tuple[str, str]
    unit: str | None
    measure: str | None
    direction: str


class _Mean:
    """The mean of a model's values so far, with the last cell and its standard error."""

    def __init__(self) -> None:
        self._total, self._count = 0.0, 0

    def add(self, cell: Cell, record: Record) -> None:
        self._total += record.value or 0.0
        self._count += 1
        self.cell, self.stderr = cell, record.stderr

    @property
    def value(self) -> float:
        return self._total / self._count
