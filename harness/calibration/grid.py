"""Calibrates several estimators on several exact models, each estimator on the models that it applies to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.calibration.calibrate import CalibrationResult, calibrate, fitted
from harness.contracts.models import lacking
from harness.data.dataset import Data
from harness.errors import NotApplicable
from harness.planning.component import Component
from harness.planning.plan import needs_of

Grid = list[tuple[Component, list[Component]]]  # exact models, each with the estimators to calibrate on it
LeftOut = dict[tuple[str, str], str]  # why, by the names of estimator and model


def applicable(estimators: Sequence[Component], models: Sequence[Component]) -> tuple[Grid, LeftOut]:
    """Return the estimators that apply to each model, and why others do not."""
    grid: Grid = []
    left_out: LeftOut = {}
    for model in models:
        reasons = [lacking(model.factory, needs_of(each.factory)) for each in estimators]
        pairs = list(zip(estimators, reasons, strict=True))
        left_out |= {(each.name, model.name): reason for each, reason in pairs if reason is not None}
        found = [each for each, reason in pairs if reason is None]
        if found:
            grid.append((model, found))
    return grid, left_out


def calibrate_all(
    grid: Grid,
    dataset: Component,
    data: Data,
    replications: int,
    keep: Callable[[CalibrationResult], None],
    left_out: LeftOut,
    on_replications: Callable[[int], None] = lambda number: None,
) -> None:
    """Fit the models and calibrate on each.

    Args:
        grid: what to calibrate.
        dataset: the data set with its settings.
        data: the same, loaded.
        replications: number of measurements of each estimator.
        keep: receives each result.
        left_out: receives why an estimator does not apply to a model, where only the measurement shows it.
        on_replications: called with the number of replications that are done, or left out, since the last call.
    """
    fits = [fitted(model, dataset, data) for model, _ in grid]
    for (model, estimators), fit in zip(grid, fits, strict=True):
        for estimator in estimators:
            try:
                keep(calibrate(estimator, model, fit, data, replications, lambda: on_replications(1)))
            except NotApplicable as error:
                left_out[estimator.name, model.name] = str(error)
                on_replications(replications)
