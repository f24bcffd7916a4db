"""How much time a run has left, estimated from measured times; nothing while there is no basis for an estimate."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial

from harness.contracts.events import Record
from harness.execution.durations import Durations, makespan
from harness.execution.run import Run
from harness.planning.plan import Cell, Fit

Clock = Callable[[], float]
_moment = 10.0  # seconds
_Estimate = Callable[[], float | None]


class Pace:
    """The speed of a fit or a measurement, from the shares of it that were reported as done.

    Args:
        started: when it began; None if that is not known.
    """

    def __init__(self, started: float | None = None) -> None:
        self.started = started
        self.was_resumed = False
        self._reports: list[tuple[float, float]] = []  # time and share, the first and the last
        self._is_repeated = False

    def report(self, now: float, share: float, *, is_first: bool = False) -> None:
        """Note that a share is done; ``is_first`` if all of it was done since the start."""
        if not self._reports:
            self.was_resumed = not is_first
            self._reports = [(now, share) if self.started is None or not is_first else (self.started, 0.0)]
        elif share < self._reports[-1][1]:
            self._is_repeated = True  # as by seeds that are trained one by one, since they cannot be together
        self._reports[1:] = [(now, share)]

    def left(self, now: float) -> float | None:
        """Return the seconds that are left, or None if that is not known."""
        if not self._reports or self._is_repeated:
            return None
        (first, before), (last, share) = self._reports
        if share <= before:
            return None
        left = (1 - share) * (last - first) / (share - before) - (now - last)
        return left if left >= 0 else None


class TimeLeft:
    """Follows a run by its events, and estimates what is left of its parts and of all of it.

    Args:
        run: not yet begun.
        durations: known so far; it learns from what ends.
        jobs: the number of processes.
        clock: returns the time in seconds.
    """

    def __init__(self, run: Run, durations: Durations, jobs: int, clock: Clock = time.monotonic) -> None:
        self.durations = durations
        self.jobs = jobs
        self.clock = clock
        rounds = run.specification.timing_rounds
        self._parts: list[dict[str, _Estimate]] = []  # of each task, what is not ended, in order
        self._places: dict[str, int] = {}
        for place, task in enumerate(run.tasks):
            missing = [fit for fit in task.fits if not run.is_fitted(fit)]
            fits = {missing[0].key: partial(self._of_fits, missing)} if missing else {}
            self._parts.append({**fits, **{cell.key: partial(durations.of_cell, cell, 1) for cell in task.cells}})
            self._places |= dict.fromkeys([*fits, *(cell.key for cell in task.cells)], place)
        timings = [cell for cell in run.applicable if cell.machine is not None]
        self._timings = {cell.key: partial(durations.of_cell, cell, rounds) for cell in timings}
        self._paces: dict[str, Pace] = {}
        self._latest: dict[int, float] = {}  # event of each task that has begun

    def fit_started(self, fits: Sequence[Fit]) -> None:
        """Note that a fit begins."""
        self._paces[fits[0].key] = Pace(self.clock())
        self._note(fits[0].key)

    def epoch_ended(self, fits: Sequence[Fit], epoch: int, share: float) -> None:
        """Note which share of its budget a fit has spent."""
        self._paces[fits[0].key].report(self.clock(), share, is_first=epoch == 1)

    def fit_ended(self, fits: Sequence[Fit], status: str, seconds: float) -> None:
        """Learn how long a fit took, unless it was resumed or failed."""
        if status == "ok" and not self._paces.pop(fits[0].key).was_resumed:
            for fit in fits:
                self.durations.add_fit(fit.identity, seconds / len(fits))
        self._end(fits[0].key)

    def cell_progressed(self, cell: Cell, share: float) -> None:
        """Note which share of a measurement is done."""
        self._paces.setdefault(cell.key, Pace()).report(self.clock(), share)

    def cell_reported(self, cell: Cell, record: Record) -> None:
        """Learn how long a measurement took."""
        self.durations.add_record(record)
        self._paces.pop(cell.key, None)
        self._timings.pop(cell.key, None)
        self._end(cell.key)

    def of(self, key: str) -> float | None:
        """Return the seconds that are left of a fit or a measurement in progress, by its key."""
        pace = self._paces.get(key)
        return None if pace is None else pace.left(self.clock())

    def of_run(self) -> float | None:
        """Return the seconds that are left of the run, or None if the time of any part is not known."""
        begun = [place for place in self._latest if self._parts[place]]
        waiting = [place for place, parts in enumerate(self._parts) if parts and place not in self._latest]
        tasks = [self._of_task(place) for place in (*begun, *waiting)]
        timings = [estimate() for estimate in self._timings.values()]
        known = [each for each in (*tasks, *timings) if each is not None]
        if len(known) < len(tasks) + len(timings):
            return None
        left = makespan(known[: len(tasks)], self.jobs) + sum(known[len(tasks) :])
        if not tasks and self._latest:
            left -= self.clock() - max(self._latest.values())
        return _until(left)

    def _of_fits(self, fits: Sequence[Fit]) -> float | None:
        return _sum(self.durations.of_fit(fit) for fit in fits)

    def _of_task(self, place: int) -> float | None:
        (key, estimate), *rest = self._parts[place].items()
        first = estimate()
        if place in self._latest:
            measured = self.of(key)
            passed = self.clock() - self._latest[place]
            expected = None if first is None else _until(first - passed)
            first = expected if measured is None else measured
        return _sum([first, *(estimate() for _, estimate in rest)])

    def _note(self, key: str) -> None:
        if key in self._places:
            self._latest[self._places[key]] = self.clock()

    def _end(self, key: str) -> None:
        self._note(key)
        if key in self._places:
            self._parts[self._places[key]].pop(key, None)


def _until(left: float) -> float | None:
    """Return no time for what should have ended a moment ago, and None if it was longer ago."""
    return max(0.0, left) if left > -_moment else None


def in_digits(seconds: float | None) -> str:
    """Write a time that is left, such as ``0:01:40 left``, or nothing."""
    return "" if seconds is None else f"{timedelta(seconds=round(seconds))} left"


def _sum(seconds: Iterable[float | None]) -> float | None:
    total = 0.0
    for each in seconds:
        if each is None:
            return None
        total += each
    return total
