"""How long fits and measurements take on this machine, learned from those that have ended."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import TYPE_CHECKING, Any

from harness.contracts.events import Record
from harness.planning.plan import Cell, Fit
from harness.results.environment import Environment
from harness.results.store import Store
from harness.words import counted

if TYPE_CHECKING:
    from harness.execution.run import Run

_newest = 5  # of the times of one kind, whose lower median counts
_much_longer = 5


class Durations:
    """Learns from times, and estimates others of the same kind.

    A fit takes as long per epoch or step as earlier fits of the model with the same settings, or else of the model, on
    the same data set, with the same engine and batch size; its start takes as long as theirs. A measurement takes as
    long as earlier ones of the same metric with the same settings: of the model with the same settings, or else of the
    model, or else of any model.
    """

    def __init__(self) -> None:
        self._times: dict[str, list[float]] = defaultdict(list)

    @classmethod
    def of(cls, store: Store, machine: str) -> Durations:
        """Learn from the results in a store that were computed on this machine."""
        found = cls()
        here = _Here(store, machine)
        for key in store.fit_keys():
            described = store.fit(key)
            if described is not None and described["status"] == "ok" and here.has(described.get("environment")):
                found._add_stored_fit(described)
        for record in store.records():
            if here.has(record.environment):
                found.add_record(record)
        return found

    @classmethod
    def before(cls, run: Run) -> Durations:
        """Learn from the results in the store of a run, if there is anything left to train or to measure."""
        return cls.of(run.store, run.specification.environment.machine) if run.applicable else cls()

    def add_fit(
        self, identity: Mapping[str, Any], seconds: float, steps: int | None = None, start: float = 0.0
    ) -> None:
        """Learn how long the fit of one seed took.

        Args:
            identity: of the fit.
            seconds: it took.
            steps: it took, if that is known.
            start: seconds of these before the first step and after the last one.
        """
        budget = identity["budget"] or {}
        epochs, steps = budget.get("epochs"), steps or budget.get("steps")
        for kind in _kinds_of_fit(identity):
            if not budget:
                self._add(kind, seconds)
                continue
            self._add([*kind, "start"], start)
            if epochs:
                self._add([*kind, "epochs"], (seconds - start) / epochs)
            if steps:
                self._add([*kind, "steps"], (seconds - start) / steps)
        if epochs and steps:
            self._add(_epoch_of(identity), steps / epochs)

    def add_record(self, record: Record) -> None:
        """Learn how long a cell was measured."""
        if record.seconds is None:
            return
        seconds = record.seconds / (record.n or 1) if record.counted == "rounds" else record.seconds
        for kind in _kinds_of_cell(record.metric, record.model, record.dataset, record.engine):
            self._add(kind, seconds)

    def of_fit(self, fit: Fit, done: float = 0.0) -> float | None:
        """Return the seconds that a fit takes after a share ``done`` of it, or None if nothing like it was timed."""
        kinds, budget = _kinds_of_fit(fit.identity), fit.budget
        start = 0.0 if done else self._first_of([[*kind, "start"] for kind in kinds]) or 0.0
        if budget is not None and budget.seconds:
            return start + (1 - done) * budget.seconds
        for kind in kinds:
            if budget is None:
                found = self._typical(kind)
            elif budget.epochs:
                per_step, steps = self._typical([*kind, "steps"]), self._typical(_epoch_of(fit.identity))
                of_steps = per_step * steps if per_step and steps else None
                found = _times(self._typical([*kind, "epochs"]) or of_steps, budget.epochs)
            else:
                found = _times(self._typical([*kind, "steps"]), budget.steps or 0)
            if found is not None:
                return start + (1 - done) * found
        return None

    def of_cell(self, cell: Cell, rounds: int) -> float | None:
        """Return the seconds that a cell will be measured, a timing in ``rounds``, or None if none like it was."""
        fit = cell.fit.identity
        kinds = _kinds_of_cell(cell.metric.identity, fit["model"], fit["dataset"], fit["engine"])
        seconds = self._first_of(kinds)
        if seconds is None or self._is_alone(seconds, kinds):
            return None
        return seconds * (rounds if cell.machine else 1)

    def _is_alone(self, seconds: float, kinds: Sequence[Sequence[Any]]) -> bool:
        """Return whether the only time of its kind is much longer than the others of the metric.

        It may have in it what is done once for all models, such as the training of a classifier.
        """
        of_kind, of_metric = (self._newest_of(kind) for kind in (next(filter(self._newest_of, kinds)), kinds[-1]))
        return len(of_kind) == 1 and len(of_metric) > 1 and seconds > _much_longer * min(of_metric)

    def _add_stored_fit(self, described: Mapping[str, Any]) -> None:
        identity, curves = described["identity"], described["curves"]
        training = sum(curves["seconds"])
        if identity["engine"]["path"] == "vectorized":
            seconds = training = training / len(described["group"])  # ``seconds`` is the time of all seeds
        else:
            seconds = max(described["seconds"], training)  # of a fit that was resumed, the former is the last part
        self.add_fit(identity, seconds, curves["steps"], seconds - training if training else 0.0)

    def _add(self, kind: Sequence[Any], number: float) -> None:
        self._times[json.dumps(kind, sort_keys=True)].append(number)

    def _first_of(self, kinds: Sequence[Sequence[Any]]) -> float | None:
        """Return the typical time of the first kind that has one."""
        known = (self._typical(kind) for kind in kinds)
        return next((each for each in known if each is not None), None)

    def _typical(self, kind: Sequence[Any]) -> float | None:
        times = self._newest_of(kind)
        return median_low(times) if times else None

    def _newest_of(self, kind: Sequence[Any]) -> list[float]:
        return self._times.get(json.dumps(kind, sort_keys=True), [])[-_newest:] if self._times else []


@dataclass(frozen=True)
class Forecast:
    """How long a run will take.

    Args:
        seconds: of the fits and of the cells that can be estimated.
        known: the number of cells that can be, with their fits.
        unknown: the number of other cells to be computed.
        known_fits: the number of fits that can be estimated, of those to be computed.
        fits: the number of all of these.
    """

    seconds: float
    known: int
    unknown: int
    known_fits: int
    fits: int

    @classmethod
    def of(cls, run: Run, durations: Durations, jobs: int) -> Forecast:
        """Estimate the time of what is pending in a run, computed by a number of processes."""
        rounds, known, unknown = run.specification.timing_rounds, 0, 0
        tasks, timed, without_model, counts = [], 0.0, set(), [0, 0]
        for task in run.tasks:
            fits = [durations.of_fit(fit) for fit in task.fits if not run.is_fitted(fit)]
            counts = [counts[0] + len(fits) * (None not in fits), counts[1] + len(fits)]
            if None in fits:
                without_model |= {fit.key for fit in task.fits}
            tasks.append(0.0 if None in fits else sum(each or 0.0 for each in fits))
        places = {fit.key: place for place, task in enumerate(run.tasks) for fit in task.fits}
        for cell in run.applicable:
            seconds = durations.of_cell(cell, rounds)
            if seconds is None or cell.fit.key in without_model:
                unknown += 1
                continue
            known += 1
            if cell.machine is None:
                tasks[places[cell.fit.key]] += seconds
            else:
                timed += seconds
        return cls(makespan(tasks, jobs) + timed, known, unknown, *counts)

    @property
    def in_words(self) -> str:
        """The time, and how many cells it leaves out."""
        if not self.known and self.known_fits:
            of_fits = f" for {self.known_fits} of {self.fits} fits" * (self.known_fits < self.fits)
            training = f"training takes {in_words(self.seconds)}{of_fits}"
            return f"{training}; how long measuring takes is not known: nothing like it was timed here before"
        if not self.known:
            return "how long it takes is not known: nothing like it was timed here before"
        takes = f"it takes {in_words(self.seconds)}"
        if not self.unknown:
            return takes
        others = f"the other {self.unknown} were" if self.unknown > 1 else "the other one was"
        return f"{takes} for {self.known} of {self.known + self.unknown} cells; {others} never timed here"


def makespan(seconds: Sequence[float], jobs: int) -> float:
    """Return how long work takes whose parts are begun in turn by a number of processes."""
    ends = [0.0] * max(1, min(jobs, len(seconds)))
    for each in seconds:
        ends[ends.index(min(ends))] += each
    return max(ends)


def in_words(seconds: float) -> str:
    """Write a time roughly."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    if minutes < 100:
        return f"about {counted(minutes, 'minute')}"
    return f"about {seconds / 3600:.1f} hours"


class _Here:
    """Whether an environment is that of this machine, by its identifier."""

    def __init__(self, store: Store, machine: str) -> None:
        self.store = store
        self.machine = machine
        self._known: dict[str | None, bool] = {None: False}

    def has(self, identifier: str | None) -> bool:
        if identifier not in self._known:
            described = self.store.environment(identifier or "")
            try:
                self._known[identifier] = described is not None and Environment(**described).machine == self.machine
            except TypeError:  # written by another version
                self._known[identifier] = False
        return self._known[identifier]


def _kinds_of_fit(identity: Mapping[str, Any]) -> list[list[Any]]:
    """Return what fits that take equally long have in common, from the closest to the loosest."""
    model, dataset = identity["model"], identity["dataset"]
    how = [identity["engine"], (identity["budget"] or {}).get("batch_size")]
    return [
        ["fit", model["name"], model["settings"], dataset["name"], dataset["settings"], *how],
        ["fit", model["name"], dataset["name"], *how],
    ]


def _epoch_of(identity: Mapping[str, Any]) -> list[Any]:
    dataset = identity["dataset"]
    return ["steps per epoch", dataset["name"], dataset["settings"], identity["budget"]["batch_size"]]


def _kinds_of_cell(
    metric: Mapping[str, Any], model: Mapping[str, Any], dataset: Mapping[str, Any], engine: Mapping[str, Any]
) -> list[list[Any]]:
    """Return what measurements that take equally long have in common, from the closest to the loosest."""
    how = ["cell", metric["name"], metric["settings"], dataset["name"], engine["device"], engine["threads"]]
    return [
        [*how, model["name"], model["settings"], dataset["settings"]],
        [*how, model["name"]],
        how,
    ]


def _times(seconds: float | None, number: float) -> float | None:
    return None if seconds is None else seconds * number
