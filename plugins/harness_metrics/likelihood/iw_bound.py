"""The importance-weighted bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from harness import Context, Data, Estimate, HasObservationModel, HasPosterior, likelihood_measure, setting
from harness_metrics.likelihood.weights import effective, importance_weighted, observation_at_mean, rows_at_a_time


class ImportanceWeightedBound:
    """E[log (1/k) Σ p(x, zᵢ) / q(zᵢ | x)] with zᵢ from the posterior (Burda, Grosse and Salakhutdinov, 2016).

    At k = 1 the evidence lower bound; as k grows it approaches log p(x) from below. With k = 5000 it is the figure of
    that paper's tables. The effective sample size, (Σw)² / Σw², says how many of the k samples count; where it is near
    1 the bound is loose. With many samples, and its own error beside it, the same is ``log-likelihood-iw``.
    """

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        k: int = setting(500, "posterior samples per image", minimum=1)
        examples: int = setting(10_000, "how many test images, the first ones", minimum=2)
        memory: float = setting(1024, "MiB that decoded samples may take", above=0)

    unit: ClassVar = "nats"
    direction: ClassVar = "higher"
    needs: ClassVar = (HasPosterior, HasObservationModel)

    def __init__(self, config: Config) -> None:
        self.config = config

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Measure on the test split."""
        test = data.test.first(self.config.examples)
        rows = rows_at_a_time(model, data.info, self.config.memory)
        found = [weights for _, weights in importance_weighted(model, test, self.config.k, rows, context)]
        return Estimate.over_examples(
            torch.cat([each.log_mean for each in found]),
            measure=likelihood_measure(data.info, observation_at_mean(model)),
            diagnostics=effective(torch.cat([each.effective_sizes for each in found])),
        )
