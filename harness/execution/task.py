"""A task: fits that are obtained together, and the cells that are measured on them."""

from __future__ import annotations

from dataclasses import dataclass

from harness.execution.failure import Failure
from harness.execution.measure import measure
from harness.execution.obtain_model import obtain_models
from harness.execution.records import record_without_value
from harness.execution.specification import WorkerContext
from harness.planning.plan import Cell, Fit


@dataclass(frozen=True)
class Task:
    """Fits that differ only in their seeds, and the cells to be measured on them; there may be none."""

    fits: tuple[Fit, ...]
    cells: tuple[Cell, ...]


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
