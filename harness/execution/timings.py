"""Timings: taken in turn over several rounds, each in a fresh process, when nothing else of the run is computed.

Repeats within a process share its memory layout and the state of the machine, so their spread says little about the
next process. Here the unit of the error is the round. In each round every fit is timed once. The order is drawn at
random, and the next round has its reverse. So a machine that becomes slower, over all rounds or within each, favours no
row, and a row that slows the one after it does not slow the same one in all rounds.
"""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean, median_low, stdev

from harness.contracts.events import Record, Values
from harness.execution.events import Events
from harness.execution.failure import Failure
from harness.execution.jobs import one_job
from harness.execution.pool import WorkerPool
from harness.execution.records import now
from harness.execution.specification import RunSpecification
from harness.execution.task import Task
from harness.planning.identity import hash_of
from harness.planning.plan import Cell, Fit
from harness.results.store import Store
from harness.words import counted


def time_in_rounds(cells: Sequence[Cell], specification: RunSpecification, events: Events, kept: Store) -> None:
    """Measure timings of models that have what the metrics need, and whose fits are in the store.

    A cell that fails in a round is not timed again.

    Args:
        cells: that are timed in turn.
        specification: of the run.
        events: receives what happens.
        kept: the records of each round while the timings are not finished. Those of an interrupted run are used.

    Raises:
        HarnessError: a process could not go on, as with a full disk.
    """
    for cell in cells:
        events.cell_started(cell)
    rounds = _Rounds(events, kept, cells)
    if rounds.finished:
        events.announce(f"resuming the timings after round {rounds.finished} of {specification.timing_rounds}")
    cells_of: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        cells_of[cell.fit.key].append(cell)
    tasks = {key: Task((same[0].fit,), tuple(same), isolated=True) for key, same in cells_of.items()}
    for number in range(specification.timing_rounds):
        in_order = [tasks[key] for key in order_of_round(list(tasks), rounds.group, number)]
        left = [task for task in (rounds.left_of(task, number) for task in in_order) if task.cells]
        if left:
            rounds.number = number + 1
            events.announce(f"timing round {rounds.number} of {specification.timing_rounds}: {_count(left)}")
            WorkerPool(left, specification, rounds, one_job).work()
    for cell in cells:
        if cell.key not in rounds.ended:
            events.cell_ended(cell, combined(rounds.records[cell.key]), None)
    shutil.rmtree(kept.root, ignore_errors=True)


def rounds_kept(kept: Store, cells: Sequence[Cell]) -> int:
    """Return how many rounds of all the cells were finished before their timings were interrupted."""
    return _whole_rounds(_records_by_cell(kept, cells))


def _whole_rounds(records: Mapping[str, Sequence[Record]]) -> int:
    return min(map(len, records.values()), default=0)


def _records_by_cell(kept: Store, cells: Sequence[Cell]) -> dict[str, list[Record]]:
    """Return the records of the rounds of each cell, which were kept."""
    found: dict[str, list[Record]] = {cell.key: [] for cell in cells}
    for line in kept.lines():
        if line.record is not None and line.record.cell_key in found:
            found[line.record.cell_key].append(line.record)
    return found


def combined(records: Sequence[Record]) -> Record:
    """Return the record of all rounds: the mean of their values, with its standard error over rounds.

    A part has the mean too, unless it is a whole number in each round, such as a batch size: then it has the median, or
    the lower of the two values in the middle. The mean of batch sizes may be far from all of them.

    Args:
        records: of the same cell, one for each round, at least two.
    """
    first, values = records[0], [record.value for record in records if record.value is not None]
    parts = {name: [record.parts.get(name) for record in records] for name in first.parts}
    return dataclasses.replace(
        first,
        value=fmean(values),
        stderr=stdev(values) / math.sqrt(len(values)),
        n=len(values),
        counted="rounds",
        parts={name: part for name, each in parts.items() if (part := _over_rounds(each)) is not None},
        samples=tuple(values),
        warning=_warning(records),
        estimator_stderr=None,
        degrees_of_freedom=len(values) - 1,
        seconds=sum(record.seconds or 0.0 for record in records),
        peak_memory=max(record.peak_memory or 0 for record in records),
        ended=now(),
    )


def _over_rounds(parts: Sequence[float | None]) -> float | None:
    """Return the mean of a part or, of whole numbers such as batch sizes, the lower median, which one round had.

    It is None if the part is missing in a round or not finite, for which a store has null.
    """
    known = [part for part in parts if part is not None and math.isfinite(part)]
    if len(known) < len(parts):
        return None
    return median_low(known) if all(float(part).is_integer() for part in known) else fmean(known)


def _warning(records: Sequence[Record]) -> str | None:
    warnings = [record.warning for record in records if record.warning]
    if not warnings:
        return None
    return warnings[0] if len(warnings) == len(records) else f"{len(warnings)} of {len(records)} rounds: {warnings[0]}"


def order_of_round(fits: Sequence[str], group: str, number: int) -> list[str]:
    """Return the order in which fits are timed in a round, which is the same when interrupted timings go on.

    Orders are drawn for two rounds at a time; the second has the reverse of the first. They depend on the keys of the
    fits one by one, so the order of some fits is the same without the others. Two fits alternate: the first one leads
    in round 0, the other in rounds 1 and 2, the first one in rounds 3 and 4, and so on.

    Args:
        fits: their keys, all different.
        group: the timing group, from which orders are drawn.
        number: of the round, from 0.
    """
    pair, is_second = divmod(number, 2)
    if len(fits) > 2:
        order = sorted(fits, key=lambda fit: hash_of([group, pair, fit]))
    else:
        order = list(fits[::-1] if pair % 2 else fits)
    return order[::-1] if is_second else order


def _count(tasks: Sequence[Task]) -> str:
    timings = sum(len(task.cells) for task in tasks)
    return f"{counted(timings, 'timing')} in {counted(len(tasks), 'process')}"


class _Rounds:
    """Receives the events of all rounds: keeps records with a value on disk, and passes on everything else.

    A line that was announced once is not announced again.
    """

    def __init__(self, events: Events, kept: Store, cells: Sequence[Cell]) -> None:
        self.events = events
        self.kept = kept
        self.records = _records_by_cell(kept, cells)
        self.finished = _whole_rounds(self.records)
        before = (record.timing_group for records in self.records.values() for record in records)
        self.group = next(before, None) or hash_of([sorted(self.records), now()])
        self.ended: set[str] = set()
        self.number = 1
        self._lines: set[str] = set()

    def left_of(self, task: Task, number: int) -> Task:
        """Return the task without the cells that have failed, or that have been timed in more than so many rounds."""
        left = (each for each in task.cells if each.key not in self.ended and len(self.records[each.key]) <= number)
        return dataclasses.replace(task, cells=tuple(left))

    def announce(self, line: str) -> None:
        if line not in self._lines:
            self._lines.add(line)
            self.events.announce(line)

    def warn(self, line: str) -> None:
        if line not in self._lines:
            self._lines.add(line)
            self.events.warn(line)

    def fit_started(self, fits: Sequence[Fit]) -> None:
        self.events.fit_started(fits)

    def epoch_ended(self, fits: Sequence[Fit], epoch: int, losses: Mapping[str, float], progress: float) -> None:
        self.events.epoch_ended(fits, epoch, losses, progress)

    def fit_ended(self, fits: Sequence[Fit], status: str, seconds: float) -> None:
        self.events.fit_ended(fits, status, seconds)

    def fit_failed(self, fit: Fit, failure: Failure) -> None:
        self.events.fit_failed(fit, failure)

    def cell_progressed(self, cell: Cell, progress: float) -> None:
        self.events.cell_progressed(cell, progress)

    def cell_started(self, cell: Cell) -> None:
        pass  # noted once, before the first round

    def cell_ended(self, cell: Cell, record: Record, values: Values | None) -> None:
        if record.status == "ok":
            record = self.kept.append(dataclasses.replace(record, timing_group=self.group))
            self.records[cell.key].append(record)
        else:
            self.ended.add(cell.key)
            reason = record.reason if self.number == 1 else f"in round {self.number}: {record.reason}"
            self.events.cell_ended(cell, dataclasses.replace(record, reason=reason), None)
