"""Calibrates an estimator of log p(x): measures its bias and coverage on a model whose log p(x) is known exactly."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist, mean, stdev

import torch
from torch import nn

from harness.calibration.proposals import view_for
from harness.contracts.engine import Engine
from harness.contracts.metrics import Context, Estimate
from harness.contracts.models import Samples
from harness.data.dataset import Data
from harness.errors import NotApplicable, UsageError, no_exit
from harness.machine.fast_linear import fast_linear
from harness.noise import Noise, derive_seed, global_seed
from harness.planning.component import Component
from harness.planning.plan import Fit, needs_of
from harness.training.fit import fit_seed
from harness.training.recipe import Recipe

normal_quantile = NormalDist().inv_cdf(0.975)  # of a 95% interval


@dataclass(frozen=True)
class CalibrationResult:
    """The error of an estimator on a model.

    Args:
        model: its name.
        latent_dim: its setting of that name, or None if it has none.
        estimator: name of the metric.
        proposal: where the codes come from; None if the estimator uses samples of the model instead of codes.
        effort: name of the setting that buys accuracy.
        value: of that setting.
        estimate: mean over images and replications, in nats.
        exact: mean of the exact log-likelihood of the same images, in nats.
        bias: estimate − exact, in nats.
        bias_stderr: standard error of the bias over replications; None with a single replication.
        coverage: of the 95% interval around the estimator's mean; see ``coverage``.
        effective_sample_size: the median over images, averaged over replications; None if the estimator reports none.
        examples: number of images.
        replications: number of measurements, each from another seed.
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
    def label(self) -> str:
        """The model's name with the size of its codes."""
        return self.model if self.latent_dim is None else f"{self.model}, {self.latent_dim} latent"


def fitted(model: Component, dataset: Component, data: Data) -> nn.Module:
    """Fit an exact model to a data set; return it in evaluation mode.

    Raises:
        UsageError: the model cannot be fitted to this data.
    """
    found = fit_seed(Recipe.of(Fit(dataset, model, 0, None, Engine()), data), 0)
    if isinstance(found.error, NotApplicable):
        raise UsageError(f"{model.name}: {found.error}")
    if found.error is not None:
        raise found.error
    assert found.model is not None
    return found.model.eval()


def calibrate(
    estimator: Component,
    exact: Component,
    model: nn.Module,
    data: Data,
    replications: int,
    on_replication: Callable[[], None] = lambda: None,
) -> CalibrationResult:
    """Measure an estimator on an exact model, from several seeds.

    Args:
        estimator: the metric with its settings.
        exact: the model with its settings.
        model: the same, ``fitted``.
        data: what the model was fitted on; as many of its test images are measured as the metric's settings say.
        replications: number of measurements.
        on_replication: called after each.

    Raises:
        NotApplicable: the metric does not apply to the model or the data.
    """
    metric = estimator.factory(estimator.config)
    view = view_for(needs_of(metric), model)
    settings = estimator.settings
    test = data.test.subset(settings["examples"])
    truth = float(model.log_prob(test.all(Noise(0, test.stored.device))).double().mean())  # type: ignore[operator]
    estimates: list[Estimate] = []
    for replication in range(replications):
        seed = derive_seed("estimator calibration", replication)
        context = Context(Noise(seed, test.stored.device), model.config, None, 0)
        with no_exit(), global_seed(seed), torch.no_grad(), fast_linear(model, test.stored.device):
            estimates.append(metric.measure(view, replace(data, test=test), context))
        on_replication()
    values = [each.value for each in estimates]
    sizes = [each.effective_sample_size for each in estimates]
    return CalibrationResult(
        model=exact.name,
        latent_dim=exact.settings.get("latent_dim"),
        estimator=estimator.name,
        proposal=None if Samples in needs_of(metric) else view.proposal,
        effort=metric.effort,
        value=settings[metric.effort],
        estimate=mean(values),
        exact=truth,
        bias=mean(values) - truth,
        bias_stderr=stdev(values) / replications**0.5 if replications > 1 else None,
        coverage=coverage(estimates),
        effective_sample_size=mean(sizes) if None not in sizes else None,  # type: ignore[type-var]
        examples=len(test),
        replications=replications,
    )


def coverage(estimates: Sequence[Estimate]) -> float | None:
    """Return the coverage of the 95% interval around the estimator's mean.

    It is the share of replications whose interval, from ``estimator_stderr``, contains the mean over replications. Bias
    does not affect it. It is None for a single replication, or if one has no such standard error.
    """
    errors = [each.estimator_stderr for each in estimates]
    if None in errors or len(estimates) == 1:
        return None
    centre = mean(each.value for each in estimates)
    # Each value is part of the mean, which brings it closer to the mean by this factor.
    width = normal_quantile * math.sqrt(1 - 1 / len(estimates))
    pairs = zip(estimates, errors, strict=True)
    return sum(abs(each.value - centre) <= width * float(error or 0) for each, error in pairs) / len(estimates)
