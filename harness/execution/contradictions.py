"""Finds reasons why a value that was measured cannot be right, from what is known of the data and the model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from harness.contracts.metrics import Estimate, density_measure
from harness.contracts.models import Reconstructs, methods
from harness.contracts.outputs import attempted, attempted_codes, unequal
from harness.data.dataset import Data
from harness.execution.specification import WorkerContext
from harness.noise import Noise
from harness.planning.plan import Cell, capabilities_needed, needs_of

# The product of q(x) / p(x) over n examples of p has the mean 1 for any density q that does not depend on them. So by
# Markov's inequality its logarithm exceeds 20 in at most one of 5e8 cases.
_log_evidence = 20.0
_standard_errors = 5.0  # for an estimate of log q(x), whose own error counts too


def contradictions(
    cell: Cell, metric: Any, estimate: Estimate, model: nn.Module, data: Data, context: WorkerContext
) -> list[str]:
    """Return why a value cannot be right: what the metric says, and what is found here."""
    found = [
        estimate.contradiction,
        _of_reconstructions(metric, estimate),
        _of_the_true_density(metric, estimate, data),
        _of_batches(cell, metric, model, data, context),
    ]
    return [each for each in found if each]


def _of_reconstructions(metric: Any, estimate: Estimate) -> str | None:
    if Reconstructs in needs_of(metric) and metric.direction == "lower" and estimate.value == 0:
        return "an error of exactly 0: the reconstructions are the examples themselves"
    return None


def _of_the_true_density(metric: Any, estimate: Estimate, data: Data) -> str | None:
    """Compare a log-likelihood in nats with that of the distribution of the data, if this is known."""
    values = estimate.per_example
    if data.log_prob is None or values is None or len(values) < 2 or metric.unit != "nats":
        return None
    if metric.direction != "higher" or estimate.measure != density_measure(data.info):
        return None
    x = data.test.subset(len(values)).all(Noise(0, data.test.stored.device))
    excess = values.double().cpu() - data.log_prob(x)
    total, error = float(excess.sum()), float(excess.std()) * len(excess) ** 0.5
    if total > _log_evidence and total > _standard_errors * error:
        return "above the likelihood of the true distribution of the data, which no model exceeds"
    return None


def _of_batches(cell: Cell, metric: Any, model: nn.Module, data: Data, context: WorkerContext) -> str | None:
    """Say that what the metric asks the model for depends on how examples are grouped into batches."""
    fit = cell.fit
    if fit.model.provided.plugin.is_own:
        return None
    asked = {name for need in capabilities_needed(metric) for name in methods(need)}
    found = [name for name in context.seen(fit, model, data, _batch_dependent) or () if name.split("'")[0] in asked]
    if not found:
        return None
    return f"{', '.join(found)} of an example depends on the other examples of its batch"


def _batch_dependent(model: nn.Module, x: Tensor) -> list[str]:
    """Return the names of what a model says of examples and would say otherwise of each half of them."""
    z = attempted_codes(model, x)
    whole = attempted(model, x, z, drawn=False)
    parts = (slice(0, None, 2), slice(1, None, 2))
    halves = [attempted(model, x[part], None if z is None else z[part], drawn=False) for part in parts]
    joined: dict[str, Tensor | Exception] = {}
    for name, of_all in whole.items():
        first, second = (each.get(name) for each in halves)
        if isinstance(of_all, Tensor) and isinstance(first, Tensor) and isinstance(second, Tensor):
            joined[name] = torch.stack([first, second], 1).flatten(0, 1) if first.shape == second.shape else of_all
        else:
            joined[name] = of_all  # what cannot be computed for a half is not compared
    return unequal(whole, joined)
