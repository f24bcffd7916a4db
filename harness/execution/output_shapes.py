"""Checks, before a metric is measured, that what the model returns has the types and shapes of its contract."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from torch import nn

from harness.contracts.models import methods
from harness.contracts.outputs import wrong_outputs
from harness.data.dataset import Data
from harness.errors import HarnessError
from harness.execution.integrity import ChangedError
from harness.execution.specification import WorkerContext
from harness.noise import Noise, derive_seed
from harness.planning.plan import Cell, capabilities_needed

_examples = 16


def require_shapes(cell: Cell, metric: Any, model: nn.Module, data: Data, context: WorkerContext) -> None:
    """Check what the metric needs of a model that is not the project's own, on some validation examples.

    Raises:
        HarnessError: a method returns something else than its contract says.
    """
    fit = cell.fit
    if fit.model.provided.plugin.is_own or cell.machine is not None:
        return
    if fit.key not in context.wrong_outputs:
        x = data.validation.subset(_examples).all(Noise(derive_seed("shapes"), data.validation.stored.device))
        found: dict[str, str] = {}
        # What a method changes that the metric does not ask for is no fault of this cell.
        with suppress(ChangedError), context.guarded([fit.model.provided], fit.dataset, fit.key, model.eval()):
            found = wrong_outputs(model, x)
        context.wrong_outputs[fit.key] = found
    asked = [name for each in capabilities_needed(metric) for name in methods(each)]
    for name, problem in context.wrong_outputs[fit.key].items():
        if name in asked:
            raise HarnessError(f"{fit.model.provided.title}: its '{name}' {problem}")
