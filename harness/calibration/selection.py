"""Selects what is calibrated: estimators of log p(x) at several efforts, exact models, and metrics of samples.

A metric is an estimator if its class has an attribute ``effort``, the name of the setting that buys accuracy. It is a
metric of samples if it has a method ``compare``, and its ``aspect`` is not None. A model is exact if it has a tractable
density and fits itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from harness.contracts.models import FitsItself, HasDensity, lacking
from harness.errors import UsageError, unknown
from harness.planning.component import Component, config_type_of, resolve_component
from harness.registry import Provided, Registry
from harness.settings import describe

_exact = (HasDensity, FitsItself)
_divisors = (25, 5, 1)  # of the full effort


class Selected(NamedTuple):
    """Metrics to calibrate: estimators of log p(x), and metrics of samples."""

    estimators: list[Provided]
    of_samples: list[Provided]


def selected(registry: Registry, names: Sequence[str] = ()) -> Selected:
    """Return the metrics with these names; all estimators, and no metric of samples, without names.

    Raises:
        UsageError: a name is neither that of an estimator nor that of a metric of samples.
    """
    metrics = {each.spec.name: each for each in registry.all("metric")}
    estimators = {name: each for name, each in metrics.items() if hasattr(_factory(each), "effort")}
    of_samples = {name: each for name, each in metrics.items() if _compares(_factory(each))}
    for name in names:
        if name not in estimators and name not in of_samples:
            raise unknown("estimator of log p(x) or metric of samples", name, {**estimators, **of_samples})
    chosen = names or estimators
    return Selected(
        [estimators[name] for name in chosen if name in estimators],
        [of_samples[name] for name in chosen if name in of_samples],
    )


def effort_levels(estimator: Provided, values: Mapping[str, Any], examples: int) -> list[Component]:
    """Return the estimator at a 25th, at a fifth and at its full effort, for this number of test images.

    Raises:
        UsageError: a setting is unknown or out of range.
    """
    full = resolve_component(estimator, {**values, "examples": examples})
    name: str = full.factory.effort
    effort = full.settings[name]
    levels = sorted({min(effort, max(2, effort // divisor)) for divisor in _divisors})
    return [resolve_component(estimator, {**values, "examples": examples, name: each}) for each in levels]


def exact_models(registry: Registry, names: Sequence[str], latent_sizes: Sequence[int]) -> list[Component]:
    """Return the models with these names, once per latent size if they have a setting ``latent_dim``.

    Raises:
        UsageError: a model is unknown, cannot be loaded, or has no exact log p(x).
    """
    found: list[Component] = []
    for name in names:
        provided = registry.get("model", name)
        settings = {each.name for each in describe(config_type_of(provided))}
        reason = lacking(_factory(provided), _exact)
        if reason is not None:
            exact = [each.spec.name for each in registry.all("model") if lacking(_factory(each), _exact) is None]
            raise UsageError(f"{name} has no exact log p(x): {reason}. Models that have one: {', '.join(exact)}.")
        variants: list[dict[str, Any]] = [{"latent_dim": size} for size in latent_sizes]
        found += [resolve_component(provided, each) for each in (variants if "latent_dim" in settings else [{}])]
    return found


def _compares(metric: Any) -> bool:
    return hasattr(metric, "compare") and getattr(metric, "aspect", "overall") is not None


def _factory(provided: Provided) -> Any:
    """Return the class of a component, or None if it cannot be imported, which ``harness plugins`` reports."""
    try:
        with provided.loading():
            return provided.spec.resolve()
    except UsageError:
        return None
