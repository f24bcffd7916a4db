"""A task: fits that are obtained together, and the cells that are measured on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.data.dataset import Data
from harness.errors import UsageError, no_exit
from harness.execution.failure import Failure
from harness.execution.measure import measure
from harness.execution.obtain_model import obtain_models
from harness.execution.records import record_without_value
from harness.execution.specification import WorkerContext
from harness.planning.identity import hash_of
from harness.planning.plan import Cell, Fit
from harness.training.fit import built
from harness.training.recipe import Recipe


@dataclass(frozen=True)
class Task:
    """Fits that differ only in their seeds, and the cells to be measured on them; there may be none.

    ``isolated`` is whether it has a process of its own.
    """

    fits: tuple[Fit, ...]
    cells: tuple[Cell, ...]
    isolated: bool = False


def prepare(fits: Sequence[Fit], context: WorkerContext) -> dict[str, int | None]:
    """Load the data sets of fits, and check that models that come from files suit them.

    Returns:
        The number of training examples by the hash of a data set's identity; None for one that could not be loaded.

    Raises:
        UsageError: the files do not suit the data set.
        DataError: all data sets are missing, incomplete or corrupt.
    """
    context.require_some(list({hash_of(fit.dataset.identity): fit.dataset for fit in fits}.values()))
    examples: dict[str, int | None] = {}
    for fit in fits:
        data = context.data(fit.dataset)
        examples[hash_of(fit.dataset.identity)] = len(data.train) if isinstance(data, Data) else None
        if fit.is_given and isinstance(data, Data):
            _require_suitable_files(fit, data)
    return examples


def _require_suitable_files(fit: Fit, data: Data) -> None:
    try:
        with no_exit():
            built(Recipe.of(fit, data), fit.seed)
    except UsageError:
        raise
    except Exception:  # recorded as that of the cells when they are computed
        return


def perform(task: Task, context: WorkerContext) -> None:
    """Obtain the models and measure the cells; what fails becomes a record and stops nothing else.

    Raises:
        StoreError: a fit could not be written.
    """
    data = context.data(task.fits[0].dataset)
    models = obtain_models(task.fits, data, context)
    for fit in task.fits:
        if isinstance(failure := models[fit.key], Failure):
            context.events.fit_failed(fit, failure)
    for cell in task.cells:
        context.events.cell_started(cell)
        model, data = models[cell.fit.key], context.data(cell.fit.dataset)  # a cell before may have changed the data
        if isinstance(model, Failure):
            context.events.cell_ended(cell, record_without_value(cell, model, context.specification), None)
        elif isinstance(data, Failure):
            context.events.cell_ended(cell, record_without_value(cell, data, context.specification), None)
        else:
            context.events.cell_ended(cell, *measure(cell, model, data, context))
