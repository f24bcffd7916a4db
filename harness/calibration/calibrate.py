"""Holds estimators of log p(x) against models whose log p(x) is exact, to see how far they are off.

A model answers for the truth where it has a density and fits itself. A metric is an estimator where its class says
``effort = "k"``: the setting that buys accuracy. One that needs an encoder is given a posterior that is off by design;
any other sees no encoder, and starts from the prior.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist, mean, stdev
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from harness.contracts.engine import Engine
from harness.contracts.metrics import Context, Estimate
from harness.contracts.models import FitsItself, HasDensity, Samples, lacking
from harness.data.dataset import Data
from harness.errors import NotApplicable, UsageError, no_exit, unknown
from harness.machine.fast_linear import fast_linear
from harness.noise import Noise, derive_seed, global_seed
from harness.planning.component import Component, config_type_of, resolve_component
from harness.planning.plan import Fit, needs_of
from harness.registry import Provided, Registry
from harness.settings import describe
from harness.training.fit import fit_seed
from harness.training.recipe import Recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

shift, widening = 0.5, 1.2  # of the proposal, in standard deviations of the exact posterior
_exact = (HasDensity, FitsItself)
_rungs = (25, 5, 1)  # each estimator is measured at its effort over these
_interval = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Finding:
    """How far an estimator was off on a model.

    Args:
        model: its name.
        latent_dim: its setting of that name, or None where it has none.
        estimator: name of the metric.
        proposal: where its codes come from, in words; None where it takes samples and no codes.
        effort: the setting that buys accuracy, and ``value`` what it was.
        value: see ``effort``.
        estimate: mean over images and replications, in nats.
        exact: mean of the exact log-likelihood of the same images.
        bias: estimate − exact.
        bias_stderr: standard error of the bias over replications; None where there was one.
        coverage: share of the replications whose interval of 95%, by the estimator's own ``estimator_stderr``, holds
            the estimator's own expectation, as the mean over replications tells it; None where it has no such error.
        effective_sample_size: the median over images, averaged over replications; None where it tells none.
        examples: number of images.
        replications: how often it was measured, each time from another seed.
    """

    model: str
    latent_dim: int | None
    estimator: str
    proposal: str | None
    effort: str
    value: int
    estimate: float
    exact: float
    bias: float
    bias_stderr: float | None
    coverage: float | None
    effective_sample_size: float | None
    examples: int
    replications: int

    @property
    def subject(self) -> str:
        """The model in words, with the size of its codes."""
        return self.model if self.latent_dim is None else f"{self.model}, {self.latent_dim} latent"


class Misfit:
    """A fitted model whose posterior is half a standard deviation off and a fifth too wide; all else is the model's."""

    proposal = f"posterior shifted by {shift:g} sd and widened {widening:g} times"

    def __init__(self, model: nn.Module) -> None:
        self._model = model

    def posterior(self, x: Tensor) -> Distribution:
        """Return N(μ + 0.5 σ, (1.2 σ)²) where the exact posterior, of independent components, is N(μ, σ²)."""
        exact = self._model.posterior(x)  # type: ignore[operator]
        return Independent(Normal(exact.mean + shift * exact.stddev, widening * exact.stddev), 1)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


class WithoutEncoder:
    """A fitted model of which the encoder is not seen."""

    proposal = "prior"

    def __init__(self, model: nn.Module) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        if name in ("posterior", "encode"):
            raise AttributeError(name)
        return getattr(self._model, name)


def estimators(registry: Registry, wanted: Sequence[str] = ()) -> list[Provided]:
    """Return the metrics that estimate log p(x), all of them or those ``wanted``.

    Raises:
        UsageError: one that is wanted is no such metric.
    """
    found = {each.spec.name: each for each in registry.all("metric") if hasattr(_factory(each), "effort")}
    for name in wanted:
        if name not in found:
            raise unknown("estimator of log p(x)", name, found)
    return [found[name] for name in wanted or found]


def exact_models(registry: Registry, wanted: Sequence[str], latent_sizes: Sequence[int]) -> list[Component]:
    """Return the models of those names, with codes of each size where they have the setting ``latent_dim``.

    Raises:
        UsageError: there is no such model, or it has no exact answers.
    """
    found: list[Component] = []
    for name in wanted:
        provided = registry.get("model", name)
        factory = _factory(provided)
        reason = lacking(factory, _exact)
        if reason is not None:
            answers = [each.spec.name for each in registry.all("model") if lacking(_factory(each), _exact) is None]
            raise UsageError(f"{name} has no exact answers: {reason}. Models that have: {', '.join(answers)}.")
        has_codes = "latent_dim" in {each.name for each in describe(config_type_of(provided))}
        variants: list[dict[str, Any]] = [{"latent_dim": each} for each in latent_sizes] if has_codes else [{}]
        found += [resolve_component(provided, each) for each in variants]
    return found


def fitted(model: Component, dataset: Component, data: Data) -> nn.Module:
    """Fit a model of exact answers to a data set, in evaluation mode.

    Raises:
        UsageError: it cannot be fitted to this data.
    """
    found = fit_seed(Recipe.of(Fit(dataset, model, 0, None, Engine()), data), 0)
    if isinstance(found.error, NotApplicable):
        raise UsageError(f"{model.name}: {found.error}")
    if found.error is not None:
        raise found.error
    assert found.model is not None
    return found.model.eval()


def ladder(estimator: Provided, values: dict[str, Any], examples: int) -> list[Component]:
    """Return the estimator with a 25th and a fifth of its effort and in full, on so many images.

    Raises:
        UsageError: a setting is unknown or out of range.
    """
    effort: str = _factory(estimator).effort
    full = resolve_component(estimator, {**values, "examples": examples})
    efforts = sorted({min(full.settings[effort], max(2, full.settings[effort] // rung)) for rung in _rungs})
    return [resolve_component(estimator, {**values, "examples": examples, effort: each}) for each in efforts]


def calibrate(
    estimator: Component, exact: Component, model: nn.Module, data: Data, replications: int, done: Callable[[], None]
) -> Finding:
    """Measure an estimator on a fitted model that has the exact answer, from several seeds.

    Args:
        estimator: the metric with its settings.
        exact: the model with its settings.
        model: the same, ``fitted``.
        data: what the model was fitted on; estimates are of the first test images, as many as the metric's settings
            say.
        replications: how often.
        done: called after each.

    Raises:
        NotApplicable: the metric says so.
    """
    metric = estimator.factory(estimator.config)
    view = (Misfit if lacking(WithoutEncoder(model), needs_of(metric)) is not None else WithoutEncoder)(model)
    settings = estimator.settings
    test = data.test.first(settings["examples"])
    truth = float(model.log_prob(test.all(Noise(0, test.stored.device))).double().mean())  # type: ignore[operator]
    found: list[Estimate] = []
    for replication in range(replications):
        seed = derive_seed("estimator calibration", replication)
        context = Context(Noise(seed, test.stored.device), model.config, None, 0)
        with no_exit(), global_seed(seed), torch.no_grad(), fast_linear(model, test.stored.device):
            found.append(metric.measure(view, replace(data, test=test), context))
        done()
    values = [each.value for each in found]
    expectation = mean(values)
    sizes = [each.effective_sample_size for each in found]
    return Finding(
        model=exact.name,
        latent_dim=exact.settings.get("latent_dim"),
        estimator=estimator.name,
        proposal=None if Samples in needs_of(metric) else view.proposal,
        effort=metric.effort,
        value=settings[metric.effort],
        estimate=expectation,
        exact=truth,
        bias=expectation - truth,
        bias_stderr=stdev(values) / replications**0.5 if replications > 1 else None,
        coverage=_coverage(found, expectation),
        effective_sample_size=mean(sizes) if None not in sizes else None,  # type: ignore[type-var]
        examples=len(test),
        replications=replications,
    )


def bias_figure(findings: Sequence[Finding]) -> Figure:
    """Draw the bias of each estimator against its effort, a line for each model and size of the code."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(each.estimator for each in findings))
    subjects = list(dict.fromkeys(each.subject for each in findings))
    figure = Figure(figsize=(3 * len(names) + 2.5, 4), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False, sharey=True)[0], names, strict=True):
        mine = [each for each in findings if each.estimator == name]
        for number, subject in enumerate(subjects):
            line = [each for each in mine if each.subject == subject]
            errors = [_interval * (each.bias_stderr or 0) for each in line]
            places, biases = [each.value for each in line], [each.bias for each in line]
            axes.errorbar(
                places, biases, errors, marker="o", markersize=4, capsize=2, color=f"C{number}", label=subject
            )
        axes.axhline(0, color="grey", linewidth=0.8)
        axes.set_xscale("log")
        axes.set_yscale("symlog", linthresh=0.01)
        proposal = f"from the {mine[0].proposal}" if mine[0].proposal else ""
        axes.set_title(f"{name}\n{proposal}", fontsize=8)
        axes.set_xlabel(mine[0].effort)
        axes.set_xticks(sorted({each.value for each in mine}), minor=False)
        axes.set_xticks([], minor=True)
        axes.xaxis.set_major_formatter("{x:,.0f}")
    figure.axes[0].set_ylabel("bias (nats)")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    return figure


def _coverage(found: Sequence[Estimate], expectation: float) -> float | None:
    errors = [each.estimator_stderr for each in found]
    if None in errors or len(found) == 1:
        return None
    reach = _interval * math.sqrt(1 - 1 / len(found))  # each value is part of the mean, and by so much nearer to it
    pairs = zip(found, errors, strict=True)
    return sum(abs(each.value - expectation) <= reach * float(error or 0) for each, error in pairs) / len(found)


def _factory(provided: Provided) -> Any:
    """Return the class behind a name, or None where it cannot be imported, of which ``harness plugins`` tells."""
    try:
        return provided.spec.resolve()
    except (ImportError, SyntaxError, AttributeError):
        return None
