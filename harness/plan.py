"""From names and settings to cells: everything is resolved and checked here, before any work is done.

A fit is a data set × a model × a seed × a budget; a cell is a fit × a metric. Each has a key that is a hash of what
can change its numbers and of nothing else, so that a new metric retrains no model, and neither the order of the
models nor the folder of the run is any part of it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from harness.budget import Budget
from harness.capabilities import FitsInClosedForm, lacking, offers
from harness.datasets import dataset_config_type
from harness.engine import Engine
from harness.errors import UsageError, unknown
from harness.plugins import Provided, Registry
from harness.settings import build, config_type, flatten


@dataclass(frozen=True)
class Chosen:
    """A data set, model or metric with the settings it was given."""

    provided: Provided
    config: Any

    @property
    def name(self) -> str:
        """The name users type."""
        return self.provided.spec.name

    @cached_property
    def factory(self) -> Any:
        """The class behind the name."""
        return self.provided.spec.resolve()

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting, as JSON values."""
        return flatten(self.config)

    @property
    def changed(self) -> list[str]:
        """The names of the settings that are not at their defaults."""
        defaults = flatten(type(self.config)())
        return [name for name, value in self.settings.items() if value != defaults[name]]

    @property
    def identity(self) -> dict[str, Any]:
        """What tells this choice from any other."""
        return {
            "name": self.name,
            "distribution": self.provided.plugin.distribution,
            "version": self.provided.version,
            "settings": self.settings,
        }


@dataclass(frozen=True)
class Fit:
    """A model to be trained on a data set from a seed.

    ``budget`` is None for a closed-form fit; ``machine`` is part of it where the budget is in seconds.
    """

    dataset: Chosen
    model: Chosen
    seed: int
    budget: Budget | None
    engine: Engine
    machine: str | None = None

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
        return hash_of(self.identity)


@dataclass(frozen=True)
class Cell:
    """A metric to be measured on a fit. ``machine`` is part of it where the metric is a timing."""

    fit: Fit
    metric: Chosen
    machine: str | None
    split: str = "test"
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
        return hash_of(self.identity)

    @cached_property
    def lacking(self) -> str | None:
        """Why the metric cannot apply to the model, as far as that is known before training; else None."""
        needs = getattr(self.metric.factory, "needs", ())
        return lacking(self.fit.model.factory, needs)


@dataclass(frozen=True)
class Plan:
    """The cells of a run, in the order they are computed: all metrics of a fit together."""

    cells: tuple[Cell, ...]

    @cached_property
    def fits(self) -> list[Fit]:
        """The distinct fits, in order."""
        return list({cell.fit.key: cell.fit for cell in self.cells}.values())

    @property
    def datasets(self) -> list[Chosen]:
        """The distinct data sets, in order."""
        return list({hash_of(fit.dataset.identity): fit.dataset for fit in self.fits}.values())

    def cells_of(self, fit: Fit) -> list[Cell]:
        """Return the cells of one fit, in order."""
        return [cell for cell in self.cells if cell.fit.key == fit.key]


@dataclass(frozen=True)
class Request:
    """What a user asked for, in words not yet checked.

    ``settings`` maps ``(name, parameter)`` to the values it should take, one cell each.
    """

    models: Sequence[str]
    metrics: Sequence[str]
    datasets: Sequence[str]
    seeds: int = 1
    budget: Budget = Budget(epochs=20)
    settings: Mapping[tuple[str, str], Sequence[Any]] = dataclasses.field(default_factory=dict)


def build_plan(request: Request, registry: Registry, engine: Engine, machine: str) -> Plan:
    """Resolve every name, check every setting, and spell out the grid of cells.

    Raises:
        UsageError: something is unknown, of the wrong type or out of range.
    """
    datasets = _choose("dataset", request.datasets, request, registry)
    models = _choose("model", request.models, request, registry)
    metrics = _choose("metric", request.metrics, request, registry)
    _check_owners(request, registry)
    cells = []
    for dataset, model, seed in itertools.product(datasets, models, range(request.seeds)):
        budget = None if offers(model.factory, FitsInClosedForm) else request.budget
        fit = Fit(
            dataset,
            model,
            seed,
            budget,
            engine if budget else engine.without_steps,
            machine if budget and budget.seconds else None,
        )
        for metric in metrics:
            exclusive = getattr(metric.factory, "times_the_machine", False)
            cells.append(Cell(fit, metric, machine if exclusive else None))
    return Plan(tuple({cell.key: cell for cell in cells}.values()))


def fit_from(identity: Mapping[str, Any], registry: Registry) -> Fit:
    """Build the fit that has this identity again, as it was stored.

    Raises:
        UsageError: the data set, the model or a setting is no longer there, or is of another version.
    """
    dataset, model = (
        choose(registry.get(kind, identity[kind]["name"]), identity[kind]["settings"]) for kind in ("dataset", "model")
    )
    budget = None if identity["budget"] is None else Budget(**identity["budget"])
    fit = Fit(dataset, model, identity["seed"], budget, Engine(**identity["engine"]), identity["machine"])
    if fit.identity != identity:
        raise UsageError(f"{model.name} on {dataset.name} was fitted by another version")
    return fit


def hash_of(identity: Any) -> str:
    """Hash a JSON value, in canonical form, to 24 hexadecimal digits."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def choose(provided: Provided, values: Mapping[str, Any]) -> Chosen:
    """Give a provided thing its settings.

    Raises:
        UsageError: a setting is unknown, of the wrong type or out of range, or the plugin cannot be imported.
    """
    return Chosen(provided, build(provided.spec.name, config_type_of(provided), values))


def config_type_of(provided: Provided) -> type:
    """Return the ``Config`` of a data set, model or metric.

    Raises:
        UsageError: what the plugin names cannot be imported, or its ``Config`` is no dataclass.
    """
    spec = provided.spec
    try:
        return dataset_config_type(spec) if spec.kind == "dataset" else config_type(spec.resolve())
    except (ImportError, SyntaxError, AttributeError, TypeError) as error:
        raise UsageError(
            f"{spec.kind} {spec.name!r} of {provided.plugin.distribution} cannot be loaded: {error}"
        ) from error


def _choose(kind: str, names: Sequence[str], request: Request, registry: Registry) -> list[Chosen]:
    chosen = []
    for name in names:
        provided = registry.get(kind, name)
        grid = {parameter: values for (owner, parameter), values in request.settings.items() if owner == name}
        chosen += [
            choose(provided, dict(zip(grid, values, strict=True))) for values in itertools.product(*grid.values())
        ]
    return chosen


def _check_owners(request: Request, registry: Registry) -> None:
    named = {*request.models, *request.metrics, *request.datasets}
    for owner, parameter in request.settings:
        if owner in named:
            continue
        if owner not in registry.takers_of_settings:
            raise unknown("name in --set", owner, named)
        raise UsageError(
            f"--set {owner}.{parameter}: {owner!r} is not part of this run, which has {', '.join(sorted(named))}"
        )
