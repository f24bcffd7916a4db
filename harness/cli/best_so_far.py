"""The best value of a run so far."""

from __future__ import annotations

import json
from statistics import fmean

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
        self._groups: dict[str, dict[str, list[tuple[Cell, Record]]]] = {}
        self._last_group: str | None = None
        self._left_out: set[tuple[str, str]] = set()
        for cell in run.plan.cells:
            if (record := run.outcome.records.get(cell.key)) is not None:
                self.add(cell, record)

    def add(self, cell: Cell, record: Record) -> None:
        """Learn the outcome of a cell."""
        if cell.metric.name != self._metric:
            return
        evaluated = [cell.fit.dataset.canonical_identity, cell.metric.canonical_identity]
        model = cell.fit.model.canonical_identity
        if record.value is None or record.biased_in_favour or record.contradiction:
            self._left_out.add((json.dumps(evaluated), model))
        elif record.direction is not None:
            self._last_group = json.dumps([evaluated, record.unit, record.measure, record.direction])
            self._groups.setdefault(self._last_group, {}).setdefault(model, []).append((cell, record))

    @property
    def in_words(self) -> str | None:
        """The model, the metric and the value, such as ``vae elbo −108.0``; None if there is no such value."""
        if self._last_group is None:
            return None
        evaluated, *_, direction = json.loads(self._last_group)
        models = self._groups[self._last_group]
        means = {
            model: fmean(record.value or 0.0 for _, record in models[model])
            for model in models
            if (json.dumps(evaluated), model) not in self._left_out
        }
        if len(means) < 2:
            return None
        best = (max if direction == "higher" else min)(means, key=lambda model: means[model])
        cell, record = models[best][-1]
        dataset = f" on {cell.fit.dataset.full_name}" if self._several_datasets else ""
        value = number(means[best], decimals(means[best], record.stderr))
        return f"{cell.fit.model.full_name} {cell.metric.full_name} {value}{dataset}"
