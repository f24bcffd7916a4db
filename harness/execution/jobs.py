"""Scheduling: how many processes carry out the tasks of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from harness.contracts.executors import Executor
from harness.errors import UsageError
from harness.execution.specification import WorkerContext
from harness.execution.task import Task
from harness.machine.cpu_load import cores
from harness.machine.device import gpus
from harness.words import counted

# Fits that show fewer examples, or take less time, end before a second process has begun.
_long_examples, _long_seconds = 50_000, 5


class Jobs(NamedTuple):
    """How many processes carry out tasks at once: usually, and as soon as only ``last`` tasks are left.

    Five equal tasks on two cores take as long as six, unless the last three share the cores.
    """

    usual: int = 1
    last: int = 1


one_job = Jobs()


def jobs_for(
    tasks: Sequence[Task], context: WorkerContext, requested: int | None, executor: Executor | None = None
) -> Jobs:
    """Return how many processes to use: as many as keep the cores busy, for fits that take long enough to be worth it.

    If the last of these would leave half of the cores idle or more, they share the cores with those before, unless the
    budget is a time or a fit has several threads, which would wait for one another. Each GPU has at most one process.
    An executor, whose ``with`` block has begun, says how many workers it has place for.

    Raises:
        UsageError: more were requested than there are GPUs.
    """
    engine = context.specification.engine
    if executor is not None:
        jobs = min(requested or executor.places, max(1, len(tasks)))
        return Jobs(jobs, jobs)
    places = cores() // engine.threads
    if engine.device != "cpu":
        places = max(1, len(gpus(engine.device)))
        if (requested or 1) > places:
            raise UsageError(
                f"{requested} jobs on {counted(places, 'GPU')}: each job needs a GPU of its own, on which the "
                "seeds of a model are trained as one"
            )
        if places == 1:
            return one_job
    if requested:
        jobs = min(requested, max(1, len(tasks)))
        return Jobs(jobs, jobs)
    long = [task for task in tasks if _is_long(task, context)]
    usual = max(1, min(places, len(long)))
    over = len(long) % usual
    timed = any(fit.budget and fit.budget.seconds for task in long for fit in task.fits)
    shares = engine.device == "cpu" and over <= usual / 2 and engine.threads == 1 and not timed
    return Jobs(usual, usual + over * shares)


def _is_long(task: Task, context: WorkerContext) -> bool:
    budget, examples = task.fits[0].budget, context.training_examples(task.fits[0].dataset)
    if budget is None or examples is None:
        return False
    if budget.seconds:
        return budget.seconds >= _long_seconds
    shown = budget.epochs * examples if budget.epochs else (budget.steps or 0) * budget.batch_size
    return shown >= _long_examples
