"""Plans: the grid of cells that a request spells out, all of it resolved and checked before any work is done.

A fit is a data set × a model × a seed × a budget; a cell is a fit × a metric. Each has a key: a hash of everything
that can change its result and of nothing else. So a new metric retrains no model, and neither the order of the models
nor the folder of the run is part of a key.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from harness.contracts.engine import Engine
from harness.contracts.events import EvaluationSplit, Record
from harness.contracts.models import FitsItself, lacking, offers
from harness.data.source import DataSource
from harness.errors import UsageError, unknown
from harness.planning.budget import Budget
from harness.planning.component import Component, resolve_component
from harness.planning.identity import canonical, hash_of_fields
from harness.registry import Registry, in_memory

_most_cells = 1_000_000


@dataclass(frozen=True)
class Fit:
    """A model to be trained on a data set from a seed.

    ``budget`` is None for a closed-form fit and for a model with given weights; ``machine`` is part of the identity if
    the budget is in seconds.
    """

    dataset: Component
    model: Component
    seed: int
    budget: Budget | None
    engine: Engine
    machine: str | None = None

    @property
    def is_given(self) -> bool:
        """Whether the model comes from files instead of being trained, so that its seed has no meaning."""
        return self.model.content is not None

    @property
    def identity(self) -> dict[str, Any]:
        """All that can change the fitted weights, as JSON values."""
        return {
            "dataset": self.dataset.identity,
            "model": self.model.identity,
            "seed": self.seed,
            "budget": self.budget.identity if self.budget else None,
            "engine": self.engine.identity,
            "machine": self.machine,
        }

    @cached_property
    def key(self) -> str:
        """The hash of the identity."""
        return hash_of_fields(
            dataset=self.dataset.canonical_identity,
            model=self.model.canonical_identity,
            seed=canonical(self.seed),
            budget=canonical(self.budget.identity if self.budget else None),
            engine=canonical(self.engine.identity),
            machine=canonical(self.machine),
        )


@dataclass(frozen=True)
class Cell:
    """A metric to be measured on a split with a fit; ``machine`` is part of the identity of a timing."""

    fit: Fit
    metric: Component
    machine: str | None
    split: EvaluationSplit = "test"
    evaluation_seed: int = 0

    @property
    def identity(self) -> dict[str, Any]:
        """All that can change the measured value, as JSON values."""
        return {
            "fit": self.fit.key,
            "metric": self.metric.identity,
            "split": self.split,
            "evaluation_seed": self.evaluation_seed,
            "machine": self.machine,
        }

    @cached_property
    def key(self) -> str:
        """The hash of the identity."""
        return hash_of_fields(
            fit=f'"{self.fit.key}"',
            metric=self.metric.canonical_identity,
            split=f'"{self.split}"',
            evaluation_seed=str(self.evaluation_seed),
            machine=canonical(self.machine),
        )

    @cached_property
    def lacking(self) -> str | None:
        """Which capabilities that the metric needs the model does not have, in words; else None."""
        return lacking(self.fit.model.factory, needs_of(self.metric.factory))


@dataclass(frozen=True)
class Plan:
    """The cells of a run, in the order they are computed: all metrics of a fit together."""

    cells: tuple[Cell, ...]

    @cached_property
    def fits(self) -> list[Fit]:
        """The distinct fits, in order."""
        return list({cell.fit.key: cell.fit for cell in self.cells}.values())

    @property
    def datasets(self) -> list[Component]:
        """The distinct data sets, in order."""
        return list({fit.dataset.canonical_identity: fit.dataset for fit in self.fits}.values())


def needs_of(factory: Any) -> Sequence[Any]:
    """Return the capabilities that a metric or a figure needs of a model."""
    needs: Sequence[Any] = getattr(factory, "needs", ())
    return needs


def capabilities_needed(factory: Any) -> list[Any]:
    """Return each capability that a metric or a figure needs of a model, also those of unions."""
    return [each for need in needs_of(factory) for each in get_args(need) or (need,)]


@dataclass(frozen=True)
class Request:
    """What a user asked for, not yet checked.

    Args:
        models: names.
        metrics: names.
        datasets: names.
        seeds: train each model from the seeds 0 to ``seeds`` − 1.
        budget: how long to train.
        settings: the values that a setting takes, one cell each, by ``(name, setting)``.
        split: what is measured.
        evaluation_seed: of the metrics' randomness.
        weights: files of weights, by the names of models that are not to be trained.
    """

    models: Sequence[str]
    metrics: Sequence[str]
    datasets: Sequence[str]
    seeds: int = 1
    budget: Budget = Budget(epochs=20)
    settings: Mapping[tuple[str, str], Sequence[Any]] = dataclasses.field(default_factory=dict)
    split: EvaluationSplit = "test"
    evaluation_seed: int = 0
    weights: Mapping[str, Path] = dataclasses.field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        """The names of everything in the run."""
        return {*self.models, *self.metrics, *self.datasets}


@dataclass(frozen=True)
class StoredCells:
    """A request to compute stored cells again, each from its record alone.

    The engine of a fit is that of its record, and so is the machine of a timing.
    """

    records: tuple[Record, ...]


def build_plan(
    request: Request | StoredCells,
    registry: Registry,
    engine: Engine,
    machine: str,
    source: DataSource | None = None,
) -> Plan:
    """Resolve every name, check every setting and every plugin's contract, and spell out the grid of cells.

    A metric whose value does not depend on the seed is measured on the first seed only, and so is a model that comes
    from files. The files of data sets are in ``source``; without it they are taken for the published ones.

    Raises:
        UsageError: something is unknown, of the wrong type or out of range, does not keep its contract, or is not what
            a record says.
    """
    if isinstance(request, StoredCells):
        stored = (cell_from(record, registry, machine, source) for record in request.records)
        return Plan(tuple({cell.key: cell for cell in stored}.values()))
    datasets = resolved("dataset", request.datasets, request, registry, source)
    models = resolved("model", request.models, request, registry)
    metrics = resolved("metric", request.metrics, request, registry)
    _check_owners(request, registry)
    _check_number(len(datasets) * len(models) * request.seeds * len(metrics))
    budgets = [None if model.content or offers(model.factory, FitsItself) else request.budget for model in models]
    cells = []
    for dataset, (model, budget), seed in itertools.product(
        datasets, zip(models, budgets, strict=True), range(request.seeds)
    ):
        if seed and model.content:
            continue
        fit = Fit(
            dataset,
            model,
            seed,
            budget,
            engine if budget else engine.without_steps,
            machine if budget and budget.seconds else None,
        )
        for metric in metrics:
            if seed and not getattr(metric.factory, "depends_on_seed", True):
                continue
            is_timing = getattr(metric.factory, "times_the_machine", False)
            cells.append(Cell(fit, metric, machine if is_timing else None, request.split, request.evaluation_seed))
    return Plan(tuple({cell.key: cell for cell in cells}.values()))


def fit_from(described: Mapping[str, Any], registry: Registry, source: DataSource) -> Fit:
    """Build a stored fit again from its description in the store; the files of its data set are in ``source``.

    Raises:
        UsageError: the data set, the model, a setting or a file no longer exists, is of another version, or has another
            content.
    """
    identity, files = described["identity"], described.get("files", {})
    dataset, model = (
        resolve_component(
            registry.get(kind, identity[kind]["name"]),
            {**identity[kind]["settings"], **files.get(kind, {})},
            weights,
            source if kind == "dataset" else None,
        )
        for kind, weights in (("dataset", None), ("model", files.get("weights") and Path(files["weights"])))
    )
    budget = None if identity["budget"] is None else Budget(**identity["budget"])
    engine = Engine.from_identity(identity["engine"])
    fit = Fit(dataset, model, identity["seed"], budget, engine, identity["machine"])
    if identity["dataset"].get("content") != fit.dataset.identity.get("content"):
        raise UsageError(f"{model.name} was fitted on other files of {dataset.name} than those that are there now")
    if fit.identity != identity:
        raise UsageError(f"{model.name} on {dataset.name} was fitted by another version")
    return fit


def cell_from(record: Record, registry: Registry, machine: str, source: DataSource | None = None) -> Cell:
    """Build the cell of a record again.

    Args:
        record: of the cell.
        registry: the plugins.
        machine: this one, which is part of the identity of a fit whose budget is in seconds.
        source: where the files of the data set are; without it they are taken for the published ones.

    Raises:
        UsageError: the data set, the model, the metric, a setting or a file no longer exists, or is not what it was.
    """
    dataset, model, metric = (
        _component_from(kind, described, registry, source)
        for kind, described in (("dataset", record.dataset), ("model", record.model), ("metric", record.metric))
    )
    budget = None if record.budget is None else Budget(**record.budget)
    engine = Engine.from_identity(record.engine)
    fit = Fit(dataset, model, record.seed, budget, engine, machine if budget and budget.seconds else None)
    split: EvaluationSplit = "test" if record.split == "test" else "validation"
    return Cell(fit, metric, record.machine, split, record.evaluation_seed)


def _component_from(
    kind: str, described: Mapping[str, Any], registry: Registry, source: DataSource | None
) -> Component:
    """Resolve a data set, model or metric of a record.

    Raises:
        UsageError: it no longer exists, or is not what it was.
    """
    name, origin = described["name"], described["distribution"]
    try:
        provided = registry.get(kind, name)
    except UsageError as error:
        if origin == in_memory:
            raise UsageError(
                f"{kind} {name!r} was a class in memory: pass it to harness.open(…, plugins=[…])"
            ) from None
        hint = (
            f"load the file {origin}" if origin.endswith(".py") else f"install {origin} {described['plugin_version']}"
        )
        raise UsageError(f"{kind} {name!r} is that of {origin}, which is not there: {hint}. {error}") from None
    here = provided.plugin.distribution
    if here != origin:
        raise UsageError(f"{kind} {name!r} was that of {origin}, and here it is that of {here}")
    if provided.version != described["version"]:
        raise UsageError(
            f"{kind} {name!r} of {origin} was measured with version {described['version']}, and here it has version "
            f"{provided.version}"
        )
    weights = described.get("weights")
    component = resolve_component(provided, described["settings"], Path(weights) if weights else None, source)
    if (component.content.digest if component.content else None) != described.get("content"):
        raise UsageError(f"{kind} {name!r}: the content is not what it was: {described.get('note')}")
    if component.settings != described["settings"]:
        changed = sorted(set(component.settings) ^ set(described["settings"])) or ["a setting"]
        raise UsageError(f"{kind} {name!r} of {origin} has other settings than the record: {', '.join(changed)}")
    return component


def resolved(
    kind: str, names: Sequence[str], request: Request, registry: Registry, source: DataSource | None = None
) -> list[Component]:
    """Return what the names of one kind stand for, once for each combination of the settings that are requested.

    Raises:
        UsageError: a name or a setting is unknown, a value is of the wrong type or out of range, or a plugin does not
            keep its contract.
    """
    found = []
    for name in names:
        provided = registry.get(kind, name)
        grid = {setting: values for (owner, setting), values in request.settings.items() if owner == name}
        _check_number(math.prod(map(len, grid.values())))
        found += [
            resolve_component(
                provided,
                dict(zip(grid, values, strict=True)),
                request.weights.get(name) if kind == "model" else None,
                source,
            )
            for values in itertools.product(*grid.values())
        ]
    return found


def _check_number(cells: int) -> None:
    """Check that a plan is not too large to be held in memory.

    Raises:
        UsageError: it is.
    """
    if cells > _most_cells:
        raise UsageError(f"the run would have {cells:,} cells; at most {_most_cells:,} are possible")


def _check_owners(request: Request, registry: Registry) -> None:
    for model in request.weights:
        if model not in request.models:
            raise unknown("model with weights", model, request.models)
    for owner, setting in request.settings:
        if owner in request.names:
            continue
        if owner not in registry.configurable_names:
            raise unknown(f"name in {owner}.{setting}", owner, request.names)
        named = ", ".join(sorted(request.names))
        raise UsageError(f"{owner}.{setting} is set, but {owner!r} is not part of this run, which has {named}")
