"""Measures one cell: a metric on a fitted model."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from harness.contracts.checks import problem_of_estimate
from harness.contracts.curves import Curves
from harness.contracts.events import Record, Values, fields_of_schema_1
from harness.contracts.metrics import AfterEpoch, Context, Estimate
from harness.contracts.models import lacking
from harness.data.dataset import Data
from harness.errors import Diverged, HarnessError, NotApplicable, no_exit
from harness.execution.contradictions import contradictions
from harness.execution.failure import failure_of
from harness.execution.integrity import watched
from harness.execution.output_shapes import require_shapes
from harness.execution.records import now, record_of, record_without_value
from harness.execution.specification import WorkerContext
from harness.machine.cpu_load import cores
from harness.machine.device import using_threads
from harness.machine.fast_linear import fast_linear
from harness.machine.memory import PeakMemory
from harness.noise import Noise, derive_seed, global_seed
from harness.planning.component import resolve_component
from harness.planning.plan import Cell, needs_of
from harness.results.checksums import object_from
from harness.results.store import line_of, record_from
from harness.training.fit import fit_seed
from harness.training.recipe import Callbacks, Recipe

_seconds_between_reports = 2.0
_largest_share = 0.2  # of the variance, in one example
_fewest_examples = 100  # with fewer, the largest of ordinary values may have as much


def measure(cell: Cell, model: nn.Module, data: Data, context: WorkerContext) -> tuple[Record, Values | None]:
    """Measure a fitted model that has what the metric needs; return the record and the per-example values, if any.

    Any exception of the metric becomes part of the record, except an interruption. The caller removes the checkpoint of
    the measurement once the record is written.
    """
    specification = context.specification
    # No other work of the run is going on during a timing, which may use all cores.
    threads = cores() if cell.machine else cell.fit.engine.threads
    data = dataclasses.replace(data, test=data.splits[cell.split])
    started, start = now(), time.perf_counter()
    try:
        metric = cell.metric.factory(cell.metric.config)
        require_shapes(cell, metric, model, data, context)
        estimate, peak_memory = _measured(cell, metric, model, data, context, threads)
        estimate = _with_mark_of_an_outlier(_with_typed_fields(estimate, cell.metric.name, context))
        found = contradictions(cell, metric, estimate, model, data, context)
        estimate = dataclasses.replace(estimate, contradiction="; ".join(found) or None)
        conversion = getattr(model, "conversion", None)
        measure = ", ".join(filter(None, [estimate.measure, conversion])) or None
        estimate = dataclasses.replace(estimate, measure=measure)
        record = record_of(
            cell,
            specification,
            "ok",
            **_fields(estimate, cell.split),
            unit=metric.unit,
            direction=metric.direction,
            depends_on_seed=getattr(metric, "depends_on_seed", True) and not cell.fit.is_given,
            bound=getattr(metric, "bound", None),
            at_least=getattr(metric, "at_least", ()),
            limits=getattr(metric, "limits", None),
            seconds=time.perf_counter() - start,
            peak_memory=peak_memory,
            started=started,
        )
        _require_readable(record, cell)
        return record, _values(estimate, data)
    except Exception as error:
        return record_without_value(cell, failure_of(error), specification), None


def _measured(
    cell: Cell, metric: Any, model: nn.Module, data: Data, context: WorkerContext, threads: int
) -> tuple[Estimate, int]:
    """Return the estimate, and the most memory in use meanwhile, in bytes."""
    device = data.test.stored.device
    seed = derive_seed("evaluation", cell.evaluation_seed)
    plugins, data = [cell.metric.provided, cell.fit.model.provided], watched(data)
    given = _context(cell, data, Noise(seed, device), context)
    with (
        using_threads(threads),
        PeakMemory(device) as memory,
        no_exit(),
        global_seed(seed),
        torch.no_grad(),
        fast_linear(model, device),
        context.guarded(plugins, cell.fit.dataset, cell.key, model.eval()),
    ):
        estimate = metric.measure(model, data, given)
    if isinstance(estimate, Estimate) and isinstance(estimate.value, float) and not math.isfinite(estimate.value):
        raise Diverged(f"the metric's value is {estimate.value}")
    problem = problem_of_estimate(estimate, len(data.test))
    if problem is not None:
        raise _wrong_estimate(cell, problem)
    return estimate, memory.bytes


def _wrong_estimate(cell: Cell, problem: str) -> HarnessError:
    return HarnessError(f"{cell.metric.provided.title} returned a wrong estimate: {problem}")


def _require_readable(record: Record, cell: Cell) -> None:
    """Check that a record could be read again; if not, this is the metric's failure, not the store's.

    Raises:
        HarnessError: it could not.
    """
    try:
        record_from(object_from(line_of(record)))
    except (TypeError, ValueError) as error:
        raise _wrong_estimate(cell, str(error)) from error


def _with_typed_fields(estimate: Estimate, metric: str, context: WorkerContext) -> Estimate:
    """Return the estimate of a metric written for version 0.1, which kept in diagnostics what are fields now."""
    before = {name: key for name, key in fields_of_schema_1.items() if key in estimate.diagnostics}
    unset = {name: key for name, key in before.items() if not getattr(estimate, name)}
    for name, key in unset.items():
        context.events.warn(f"metric {metric}: diagnostics[{key!r}] is deprecated; use harness.Estimate.{name}")
    return dataclasses.replace(estimate, **{name: estimate.diagnostics[key] for name, key in unset.items()})


def _with_mark_of_an_outlier(estimate: Estimate) -> Estimate:
    """Return the estimate with a warning, and its median, if one example has more than a fifth of the variance.

    The standard error then rests on that example.
    """
    values = estimate.per_example
    if values is None or values.dim() != 1 or len(values) < _fewest_examples:
        return estimate
    squares = (values.double() - values.double().mean()).square()
    share = float(squares.max() / squares.sum()) if float(squares.sum()) > 0 else 0.0
    if not share > _largest_share:
        return estimate
    warnings = [estimate.warning, f"one example has {share:.0%} of the variance: see the median"]
    return dataclasses.replace(
        estimate,
        parts={**estimate.parts, "median": float(values.double().median())},
        warning="; ".join(filter(None, warnings)),
    )


def _fields(estimate: Estimate, split: str) -> dict[str, Any]:
    """Return the fields of an estimate that a record has too."""
    names = [field.name for field in dataclasses.fields(estimate) if field.name != "per_example"]
    found = {name: getattr(estimate, name) for name in names}
    found |= {"parts": dict(estimate.parts), "diagnostics": dict(estimate.diagnostics)}
    found |= {"samples": tuple(estimate.samples), "group_values": tuple(estimate.group_values)}
    if split != "test" and estimate.counted == "test examples":
        found["counted"] = f"{split} examples"
    return found


def _values(estimate: Estimate, data: Data) -> Values | None:
    if estimate.per_example is None:
        return None
    return Values(data.test.subset(estimate.n).ids.cpu().numpy(), estimate.per_example.cpu().numpy())


def _context(cell: Cell, data: Data, noise: Noise, context: WorkerContext) -> Context:
    fit, budget, events = cell.fit, cell.fit.budget, context.events

    def announce(line: str) -> None:
        events.announce(f"{cell.metric.name} of {fit.model.name}: {line}")

    def metric(name: str) -> Any:
        component = resolve_component(context.registry.get("metric", name), {})
        reason = lacking(fit.model.factory, needs_of(component.factory))
        if reason is not None:
            raise NotApplicable(f"{name} does not apply: {reason}")
        return component.factory(component.config)

    def refit(after_epoch: AfterEpoch) -> Curves:
        def measured(trained: nn.Module, seconds: float) -> bool:
            with fast_linear(trained, data.test.stored.device):
                return after_epoch(trained, seconds)

        with torch.enable_grad():
            callbacks = Callbacks(context.beat, after_epoch=measured, announce=announce)
            fitted = fit_seed(Recipe.of(fit, data), fit.seed, callbacks)
        if fitted.error is not None:
            raise fitted.error
        return fitted.curves

    found = Context(
        noise,
        fit.model.config,
        None,
        fit.seed,
        metric=metric,
        cache=context.specification.cache_dir,
        checkpoint=context.checkpoint([cell.key], announce, "measurement"),
        announce=announce,
        progress=_now_and_then(lambda share: events.cell_progressed(cell, share), context.beat),
    )
    if budget is None:
        return found
    return dataclasses.replace(
        found,
        batch_size=budget.batch_size,
        precision=fit.engine.precision,
        step_mode=fit.engine.step_mode,
        refit=refit,
    )


def _now_and_then(report: Callable[[float], None], beat: Callable[[], None]) -> Callable[[float], None]:
    """Return a function that passes on what it is called with, but only every few seconds.

    It calls ``beat`` whenever a share is larger than all before.
    """
    reported, largest = time.monotonic(), 0.0

    def progress(share: float) -> None:
        nonlocal reported, largest
        if share > largest:
            largest = share
            beat()
        if time.monotonic() - reported > _seconds_between_reports:
            reported = time.monotonic()
            report(share)

    return progress
