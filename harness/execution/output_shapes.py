"""Checks, before a metric is measured, that what the model returns has the types and shapes of its contract."""

from __future__ import annotations

from typing import Any

from torch import nn

from harness.contracts.models import methods
from harness.contracts.outputs import wrong_outputs
from harness.data.dataset import Data
from harness.errors import HarnessError
from harness.execution.specification import WorkerContext
from harness.planning.plan import Cell, capabilities_needed


def require_shapes(cell: Cell, metric: Any, model: nn.Module, data: Data, context: WorkerContext) -> None:
    """Check what the metric needs of a model that is not the project's own, on some validation examples.

    Raises:
        HarnessError: a method returns something else than its contract says.
    """
    provided = cell.fit.model.provided
    if provided.plugin.is_own or cell.machine is not None:
        return
    asked = [name for each in capabilities_needed(metric) for name in methods(each)]
    for name, problem in (context.seen(cell.fit, model.eval(), data, wrong_outputs) or {}).items():
        if name in asked:
            raise HarnessError(f"{provided.title}: its '{name}' {problem}")
