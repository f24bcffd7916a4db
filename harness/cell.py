"""Computes one cell: a metric on a fitted model."""

from __future__ import annotations

import dataclasses
import json
import math
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from harness.capabilities import lacking
from harness.checkpoint import Checkpoint
from harness.data import Data
from harness.environment import Commit
from harness.errors import Diverged, HarnessError, NotApplicable
from harness.estimate import Context, Estimate, Look
from harness.memory import PeakMemory, is_out_of_memory
from harness.noise import Noise, derive_seed, global_seed
from harness.plan import Cell, Chosen, choose
from harness.plugins import Registry
from harness.products import fast_products
from harness.store import Record, Values
from harness.training import Companions, Curves, Recipe, fit_seed


@dataclasses.dataclass(frozen=True)
class Provenance:
    """What every record of a run has in common."""

    environment: str
    commit: Commit


@dataclasses.dataclass(frozen=True)
class Tools:
    """What a measurement may use: see ``Context``, which gets them."""

    registry: Registry
    cache: Path
    checkpoint: Checkpoint
    announce: Callable[[str], None]
    progress: Callable[[float], None]


@dataclasses.dataclass(frozen=True)
class Failure:
    """Why there is no value: the status of the record, and the reason in words."""

    status: str
    reason: str
    traceback: str | None = None


def failure_of(error: BaseException) -> Failure:
    """Tell what kind of failure an exception is."""
    if isinstance(error, NotApplicable):
        return Failure("n/a", str(error))
    if isinstance(error, Diverged):
        return Failure("diverged", str(error))
    trace = "".join(traceback.format_exception(error))
    if is_out_of_memory(error):
        return Failure("out-of-memory", str(error).splitlines()[0] if str(error) else "out of memory", trace)
    said = str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
    return Failure("error", said, trace)


def record_without_value(cell: Cell, failure: Failure, provenance: Provenance) -> Record:
    """Return the record of a cell that has no value."""
    return Record(
        **_common(cell, provenance),
        status=failure.status,
        reason=failure.reason,
        traceback=failure.traceback,
        ended=now(),
    )


def measure_cell(
    cell: Cell, model: nn.Module, data: Data, provenance: Provenance, tools: Tools
) -> tuple[Record, Values | None]:
    """Measure a fitted model; return the record and the per-example values, if any.

    Whatever the metric raises ends up in the record, except an interruption. The checkpoint is left for whoever
    writes the record to remove.
    """
    started, start = now(), time.perf_counter()
    if cell.lacking is not None:
        return record_without_value(cell, Failure("n/a", cell.lacking), provenance), None
    device = data.test.stored.device
    seed = derive_seed("evaluation", cell.evaluation_seed)
    try:
        metric = cell.metric.factory(cell.metric.config)
        context = _context(cell, data, Noise(seed, device), tools)
        with PeakMemory(device) as memory, global_seed(seed), torch.no_grad(), fast_products(device):
            estimate = metric.measure(model.eval(), data, context)
        if (failure := _unusable(estimate)) is not None:
            return record_without_value(cell, failure, provenance), None
        record = Record(
            **_common(cell, provenance),
            status="ok",
            value=estimate.value,
            stderr=estimate.stderr,
            n=estimate.n,
            counted=estimate.counted,
            unit=metric.unit,
            direction=metric.direction,
            measure=estimate.measure,
            parts=dict(estimate.parts),
            diagnostics=dict(estimate.diagnostics),
            samples=tuple(estimate.samples),
            seconds=time.perf_counter() - start,
            peak_memory=memory.bytes,
            started=started,
            ended=now(),
        )
        json.dumps(dataclasses.asdict(record))  # what cannot be written is the metric's failure, not the store's
        return record, _values(estimate, data)
    except Exception as error:
        return record_without_value(cell, failure_of(error), provenance), None


def _values(estimate: Estimate, data: Data) -> Values | None:
    if estimate.per_example is None:
        return None
    ids, values = data.test.ids[: len(estimate.per_example)], estimate.per_example
    if values.shape != ids.shape:
        raise ValueError(f"{len(ids)} examples have {tuple(values.shape)} values; there is one of each")
    return Values(ids.cpu().numpy(), values.cpu().numpy())


def _context(cell: Cell, data: Data, noise: Noise, tools: Tools) -> Context:
    fit, budget = cell.fit, cell.fit.budget

    def metric(name: str) -> Any:
        chosen = choose(tools.registry.get("metric", name), {})
        reason = lacking(fit.model.factory, getattr(chosen.factory, "needs", ()))
        if reason is not None:
            raise NotApplicable(f"{name} does not apply: {reason}")
        return chosen.factory(chosen.config)

    def refit(look: Look) -> Curves:
        assert budget is not None
        recipe = Recipe(fit.model.factory, fit.model.config, data, budget, fit.engine.precision, fit.engine.execution)
        with torch.enable_grad():
            fitted = fit_seed(recipe, fit.seed, Companions(look=look, announce=tools.announce))
        if fitted.error is not None:
            raise fitted.error
        return fitted.curves

    context = Context(
        noise,
        fit.model.config,
        None,
        fit.seed,
        metric=metric,
        cache=tools.cache,
        checkpoint=tools.checkpoint,
        announce=tools.announce,
        progress=tools.progress,
    )
    if budget is None:
        return context
    return dataclasses.replace(
        context,
        batch_size=budget.batch_size,
        precision=fit.engine.precision,
        execution=fit.engine.execution,
        refit=refit,
    )


def now() -> str:
    """Return the time in UTC, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _unusable(estimate: Any) -> Failure | None:
    if not isinstance(estimate, Estimate):
        return Failure("error", f"the metric returned {type(estimate).__name__}, not an Estimate")
    if not math.isfinite(estimate.value):
        return Failure("diverged", f"the metric's value is {estimate.value}")
    return None


def _common(cell: Cell, provenance: Provenance) -> dict[str, Any]:
    fit = cell.fit.identity
    return {
        "cell_key": cell.key,
        "fit_key": cell.fit.key,
        "dataset": _described(cell.fit.dataset),
        "model": _described(cell.fit.model),
        "metric": _described(cell.metric),
        "seed": cell.fit.seed,
        "budget": fit["budget"],
        "engine": fit["engine"],
        "machine": cell.machine,
        "split": cell.split,
        "evaluation_seed": cell.evaluation_seed,
        "environment": provenance.environment,
        "commit": provenance.commit.sha,
        "dirty": provenance.commit.dirty,
    }


def _described(chosen: Chosen) -> dict[str, Any]:
    return {
        **chosen.identity,
        "changed": chosen.changed,
        "plugin_version": chosen.provided.plugin.version,
    }
