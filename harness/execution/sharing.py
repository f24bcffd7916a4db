"""Work shared with other runs that use the same store at the same time.

A run leases the fits and the cells of a task when it begins the task. What another run has leased is deferred: this run
does its other work first, then waits. It takes results from the store, and computes what the other run left undone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from harness.execution.task import Task
from harness.planning.plan import Cell, Fit
from harness.results.leases import Leases, seconds_between_tries
from harness.words import counted


class SharedWork:
    """The tasks of a run, each of which is carried out by one run at a time.

    Args:
        leases: of this run.
        take_results: takes the results that other runs have stored meanwhile.
        is_done: whether a cell has a finished record.
        is_fitted: whether a fit is in the store and may be used.
        announce: shows the user a line.
        fresh: whether tasks are carried out even if another run does the same.
    """

    def __init__(
        self,
        leases: Leases,
        take_results: Callable[[], None],
        is_done: Callable[[Cell], bool],
        is_fitted: Callable[[Fit], bool],
        announce: Callable[[str], None],
        *,
        fresh: bool,
    ) -> None:
        self.leases = leases
        self.take_results = take_results
        self.is_done = is_done
        self.is_fitted = is_fitted
        self.announce = announce
        self.fresh = fresh
        self.deferred: list[Task] = []

    def claim(self, task: Task) -> Task | None:
        """Return the part of a task that is to be carried out now, which this run has leased; None if there is none."""
        fits = [fit.key for fit in task.fits]
        if self.fresh:
            self.leases.take([*fits, *(cell.key for cell in task.cells)])
            return task
        if not self.leases.take(fits):
            self.deferred.append(task)
            return None
        leased = [cell for cell in task.cells if self.leases.take([cell.key])]
        # Read after the leases were taken: a run ends a lease when the result is on disk.
        self.take_results()
        mine = tuple(cell for cell in leased if not self.is_done(cell))
        self.leases.release([cell.key for cell in leased if self.is_done(cell)])
        others = tuple(cell for cell in task.cells if cell not in leased and not self.is_done(cell))
        if others:
            self.deferred.append(replace(task, cells=others))
        if mine or (not task.cells and not all(map(self.is_fitted, task.fits))):
            return replace(task, cells=mine)
        self.leases.release(fits)
        return None

    def carry_out(self, tasks: Sequence[Task], perform: Callable[[Sequence[Task]], None]) -> None:
        """Carry out tasks, and wait for those that another run carries out.

        Args:
            tasks: in the order in which they are begun.
            perform: carries out tasks, each of which it claims when it begins it.
        """
        perform(tasks)
        self.leases.release_all()
        is_announced = False
        while self.deferred:
            deferred, self.deferred = self.deferred, []
            claimed = [mine for task in deferred if (mine := self.claim(task)) is not None]
            if claimed:
                perform(claimed)
                self.leases.release_all()
            elif self.deferred:
                if not is_announced:
                    self.announce(f"waits for {_counted(self.deferred)} that another run computes")
                    is_announced = True
                time.sleep(seconds_between_tries)


def _counted(tasks: Sequence[Task]) -> str:
    cells = sum(len(task.cells) for task in tasks)
    n, what = (cells, "cell") if cells else (sum(len(task.fits) for task in tasks), "fit")
    return counted(n, what)
