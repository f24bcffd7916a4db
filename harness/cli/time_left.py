"""How much time a run has left, estimated from measured times; nothing while there is no basis for an estimate."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from harness.contracts.events import Record
from harness.execution.durations import Durations, makespan
from harness.execution.run import Run
from harness.planning.plan import Cell, Fit

Clock = Callable[[], float]
_most = 0.8  # of what was expected of a part after its last report; one that has used this up may take any time
_largest_doubt = 0.25  # of the time left of a run, in one part that may take any time
_Estimate = Callable[[float], float | None]  # the seconds that are left of a part after a share of it is done


class Pace:
    """The speed of a fit or a measurement between the first and the last report of the share that is done.

    What was before the first report is not counted: it may have the start of a process, compilation or the loading of
    a checkpoint in it.

    Args:
        started: when it began.
    """

    def __init__(self, started: float) -> None:
        self.latest = started
        self.share = 0.0
        self.was_resumed = False
        self.is_repeated = False
        self._first: tuple[float, float] | None = None  # time and share

    def report(self, now: float, share: float, *, is_first: bool = True) -> None:
        """Note that a share is done; ``is_first`` if all of it was done since the start."""
        if self._first is None:
            self.was_resumed = not is_first
            self._first = now, share
        elif share < self.share:
            self.is_repeated = True  # as by seeds that are trained one by one, since they cannot be together
        self.latest, self.share = now, share

    @property
    def whole(self) -> float | None:
        """The seconds that all of it takes without its start, or None if that is not known."""
        if self._first is None or self.is_repeated or self.share <= self._first[1]:
            return None
        return (self.latest - self._first[0]) / (self.share - self._first[1])


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
            self._parts.append({**fits, **{cell.key: partial(self._of_cell, cell, 1) for cell in task.cells}})
            self._places |= dict.fromkeys([*fits, *(cell.key for cell in task.cells)], place)
        timings = [cell for cell in run.applicable if cell.machine is not None]
        self._timings = {cell.key: partial(self._of_cell, cell, rounds) for cell in timings}
        self._paces: dict[str, Pace] = {}  # of the parts in progress
        self._begun: set[int] = set()  # tasks
        self._last_end: float | None = None

    def fit_started(self, fits: Sequence[Fit]) -> None:
        """Note that a fit begins."""
        self._begin(fits[0].key)

    def epoch_ended(self, fits: Sequence[Fit], epoch: int, share: float) -> None:
        """Note which share of its budget a fit has spent."""
        self._paces[fits[0].key].report(self.clock(), share, is_first=epoch == 1)

    def fit_ended(self, fits: Sequence[Fit], status: str, seconds: float) -> None:
        """Learn how long a fit took, unless it was resumed or failed."""
        pace = self._end(fits[0].key)
        if status == "ok" and not pace.was_resumed:
            start = 0.0 if pace.whole is None else max(0.0, seconds - pace.whole)
            for fit in fits:
                self.durations.add_fit(fit.identity, seconds / len(fits), start=start / len(fits))

    def cell_started(self, cell: Cell) -> None:
        """Note that a measurement begins."""
        self._begin(cell.key)

    def cell_progressed(self, cell: Cell, share: float) -> None:
        """Note which share of a measurement is done."""
        self._paces.setdefault(cell.key, Pace(self.clock())).report(self.clock(), share)

    def cell_reported(self, cell: Cell, record: Record) -> None:
        """Learn how long a measurement took."""
        self.durations.add_record(record)
        self._timings.pop(cell.key, None)
        self._end(cell.key)

    def of(self, key: str) -> float | None:
        """Return the seconds that are left of a fit or a measurement in progress, by its key, or None if not known."""
        found = self._in_progress(key)
        return None if found is None or found.is_doubtful else found.left

    def of_run(self) -> float | None:
        """Return the seconds that are left of the run, or None if the time of any part is not known."""
        begun = [place for place in self._begun if self._parts[place]]
        waiting = [place for place, parts in enumerate(self._parts) if parts and place not in self._begun]
        tasks = [self._of_task(place) for place in (*begun, *waiting)]
        timings = self._of_timings(begins=not tasks)
        known = [each for each in tasks if each is not None]
        if timings is None or len(known) < len(tasks):
            return None
        left = makespan([each.left for each in known], self.jobs) + timings.left
        doubt = max(each.doubt for each in (*known, timings))
        return left if doubt <= _largest_doubt * left else None

    def _of_fits(self, fits: Sequence[Fit], done: float) -> float | None:
        return _sum(self.durations.of_fit(fit, done) for fit in fits)

    def _of_cell(self, cell: Cell, rounds: int, done: float) -> float | None:
        seconds = self.durations.of_cell(cell, rounds)
        return None if seconds is None else (1 - done) * seconds

    def _of_task(self, place: int) -> _Left | None:
        (key, estimate), *rest = self._parts[place].items()
        first = self._in_progress(key) if key in self._paces else _expected(estimate(0.0))
        after = _sum(each(0.0) for _, each in rest)
        return None if first is None or after is None else _Left(first.left + after, first.doubt)

    def _of_timings(self, *, begins: bool) -> _Left | None:
        passed = 0.0 if self._last_end is None or not begins else self.clock() - self._last_end
        return _expected(_sum(estimate(0.0) for estimate in self._timings.values()), passed)

    def _in_progress(self, key: str) -> _Left | None:
        """Return what is left of a part by its speed, or else by what was measured before."""
        pace = self._paces.get(key)
        if pace is None or pace.is_repeated:
            return None
        expected = None
        if pace.whole is not None:
            expected = (1 - pace.share) * pace.whole
        elif key in self._places and key in (parts := self._parts[self._places[key]]):
            expected = parts[key](pace.share)
        return _expected(expected, self.clock() - pace.latest)

    def _begin(self, key: str) -> None:
        self._paces[key] = Pace(self.clock())
        if key in self._places:
            self._begun.add(self._places[key])

    def _end(self, key: str) -> Pace:
        self._last_end = self.clock()
        if key in self._places:
            self._begun.add(self._places[key])
            self._parts[self._places[key]].pop(key, None)
        return self._paces.pop(key, Pace(self._last_end))


@dataclass(frozen=True)
class _Left:
    """The seconds that are left of something, and of these what may be any other number: what has overrun."""

    left: float
    doubt: float = 0.0

    @property
    def is_doubtful(self) -> bool:
        return self.doubt > 0


def _expected(seconds: float | None, passed: float = 0.0) -> _Left | None:
    """Return what is left of some seconds, of which ``passed`` have passed since a report; None for None."""
    if seconds is None:
        return None
    return _Left(max(0.0, seconds - passed), max(seconds, passed) if passed > _most * seconds else 0.0)


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
