"""The gap between the log-likelihood and the evidence lower bound."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from harness import Context, Data, Estimate, HasDensity, HasObservationModel, HasPosterior, likelihood_measure, setting
from harness_metrics.likelihood.weights import (
    few_effective_samples,
    first_percentile,
    importance_weighted,
    observation_at_mean,
    rows_at_a_time,
)


class PosteriorGap:
    """log p(x) − ELBO = KL(q(z | x) ‖ p(z | x)) of each image (Cremer, Li and Duvenaud, 2018).

    The ELBO is the mean of log p(x, z) − log q(z | x) over k samples of the posterior. log p(x) is exact if the model
    has a tractable density. Otherwise it is the importance-weighted estimate from the same samples, which is too low
    on average, and so is the gap. The two kinds are never ranked together. By Jensen's inequality the estimated gap is
    never negative. If the effective sample size is small, the error favours the model, and the row has no rank.
    """

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        k: int = setting(5000, "posterior samples per image", minimum=2)
        examples: int = setting(1000, "number of test images, chosen at random", minimum=2)
        memory: float = setting(1024, "memory for decoded samples, in MiB", above=0)

    unit: ClassVar = "nats"
    check_settings: ClassVar = {"k": 200, "examples": 100}
    direction: ClassVar = "lower"
    needs: ClassVar = (HasPosterior, HasObservationModel)

    def __init__(self, config: Config) -> None:
        self.config = config

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Measure on a fixed random choice of test images."""
        exact = isinstance(model, HasDensity)
        test = data.test.subset(self.config.examples)
        rows = rows_at_a_time(model, data.info, self.config.memory)
        likelihoods, bounds, sizes = [], [], []
        for x, weights in importance_weighted(model, test, self.config.k, rows, context):
            likelihoods.append(model.log_prob(x).double() if exact else weights.log_mean)
            bounds.append(weights.mean_log)
            sizes.append(weights.effective_sizes)
        log_likelihood, bound = torch.cat(likelihoods), torch.cat(bounds)
        kind = "exact" if exact else "importance-weighted"
        gap = Estimate.over_examples(
            log_likelihood - bound,
            parts={"log-likelihood": log_likelihood, "elbo": bound},
            measure=f"{likelihood_measure(data.info, observation_at_mean(model))}; log p(x) {kind}",
            diagnostics={"log_likelihood": kind},
        )
        return gap if exact else _with_its_bias(gap, torch.cat(sizes))


def _with_its_bias(gap: Estimate, sizes: Tensor) -> Estimate:
    """Add to an estimated gap what the effective sample sizes ``(N,)`` say about its bias."""
    warning = few_effective_samples(sizes)
    bias = {"direction_of_bias": "too low, as the log-likelihood is on average", **first_percentile(sizes)}
    return replace(
        gap,
        diagnostics={**gap.diagnostics, **bias},
        warning=warning,
        biased_in_favour=warning is not None,
        effective_sample_size=float(sizes.median()),
    )
