"""Times a few training steps of fits of which nothing like them was timed before, to estimate how long they take."""

from __future__ import annotations

import time
from statistics import median

from harness.data.dataset import Data
from harness.errors import no_exit
from harness.execution.durations import Durations
from harness.execution.run import Run
from harness.execution.specification import WorkerContext
from harness.machine.device import using_threads
from harness.noise import global_seed
from harness.planning.budget import BudgetProgress
from harness.planning.plan import Fit
from harness.training.fit import trainer_of
from harness.training.loop import batch_sizes
from harness.training.recipe import Recipe

_fewest_steps = 200  # of a fit; with fewer, it may take no longer than to time some of them
_most_timed = 25
_seconds_of_fit, _seconds_in_all = 0.5, 10.0  # after which no other step or fit is begun


def time_first_steps(run: Run, durations: Durations, context: WorkerContext) -> None:
    """Time steps of new models, and let ``durations`` learn how long their fits will take.

    Left out are fits on other machines and on GPUs, those that run code of others, which has processes of its own, and
    those that are left after ten seconds. What fails here will fail in the run, which says why.
    """
    if run.executor is not None:
        return
    started = time.perf_counter()
    for task in run.tasks:
        if time.perf_counter() - started > _seconds_in_all:
            return
        fit, engine = task.fits[0], task.fits[0].engine
        as_usual = (engine.device, engine.path, engine.step_mode) == ("cpu", "single", "eager")
        if task.isolated or not as_usual or run.is_fitted(fit) or durations.of_fit(fit) is not None:
            continue
        data = context.data(fit.dataset)
        if isinstance(data, Data) and (steps := _steps_of(fit, data)) >= _fewest_steps:
            try:
                with no_exit(), global_seed(0), using_threads(engine.threads):
                    durations.add_fit(fit.identity, steps * _seconds_of_step(fit, data), steps)
            except Exception:
                continue


def _steps_of(fit: Fit, data: Data) -> int:
    """Return how many steps a fit takes, or 0 if that is not known."""
    if fit.budget is None or fit.is_given:
        return 0
    per_epoch = len(batch_sizes(len(data.train), fit.budget.batch_size))
    return BudgetProgress(fit.budget, per_epoch).total_steps or 0


def _seconds_of_step(fit: Fit, data: Data) -> float:
    trainer = trainer_of(Recipe.of(fit, data), fit.seed)
    trainer.model.train()
    batches = trainer.full_batches()
    times: list[float] = []
    with trainer.computing():
        while len(times) < 2 or (len(times) <= _most_timed and sum(times) < _seconds_of_fit):
            index, start = next(batches), time.perf_counter()
            trainer.step(index)
            times.append(time.perf_counter() - start)
    return median(times[1:])  # the first one has more to do
