"""The importance-weighted bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from harness import Context, Data, Estimate, HasObservationModel, HasPosterior, likelihood_measure, setting
from harness_metrics.likelihood.weights import (
    first_percentile,
    importance_weighted,
    observation_at_mean,
    rows_at_a_time,
)


class ImportanceWeightedBound:
    """E[log (1/k) Σ p(x, zᵢ) / q(zᵢ | x)] with zᵢ from the posterior (Burda, Grosse and Salakhutdinov, 2016).

    At k = 1 it is the evidence lower bound; as k grows it approaches log p(x) from below. The tables of that paper use
    k = 5000. If the effective sample size, (Σw)² / Σw², is near 1, the bound is loose. ``log-likelihood-iw`` is the
    same estimator with more samples and with its own standard error.
    """

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        k: int = setting(500, "posterior samples per image", minimum=1)
        examples: int = setting(10_000, "number of test images, chosen at random", minimum=2)
        memory: float = setting(1024, "memory for decoded samples, in MiB", above=0)

    unit: ClassVar = "nats"
    check_settings: ClassVar = {"k": 20}
    direction: ClassVar = "higher"
    bound: ClassVar = "lower"
    at_least: ClassVar = ("elbo",)
    needs: ClassVar = (HasPosterior, HasObservationModel)

    def __init__(self, config: Config) -> None:
        self.config = config

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Measure on a fixed random choice of test images."""
        test = data.test.subset(self.config.examples)
        rows = rows_at_a_time(model, data.info, self.config.memory)
        found = [weights for _, weights in importance_weighted(model, test, self.config.k, rows, context)]
        sizes = torch.cat([each.effective_sizes for each in found])
        return Estimate.over_examples(
            torch.cat([each.log_mean for each in found]),
            measure=likelihood_measure(data.info, observation_at_mean(model)),
            diagnostics=first_percentile(sizes),
            effective_sample_size=float(sizes.median()),
        )
