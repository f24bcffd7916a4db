"""Log-likelihood by importance sampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from harness import Context, Data, Estimate, HasDecoder, HasObservationModel, HasPosterior, setting
from harness.toolkit import ObservationSettings, observed
from harness_metrics.likelihood.weights import (
    importance_weighted,
    log_likelihood_estimate,
    observation_at_mean,
    rows_at_a_time,
)


class LogLikelihoodIW:
    """log (1/k) Σ p(x, zᵢ) / q(zᵢ | x) with zᵢ from the encoder's posterior (Rezende, Mohamed and Wierstra, 2014).

    Burda, Grosse and Salakhutdinov (2016) use k = 5000. Each image is encoded once. If the encoder's posterior is
    narrower than the true one, samples may miss mass: the bound is then loose although the effective sample size is
    large.

    ``estimator_stderr`` is √Σ varₙ / N over the N images, whose samples are independent; varₙ is computed from the
    weights by the delta method.
    """

    @dataclass(frozen=True)
    class Config(ObservationSettings):
        """Settings."""

        k: int = setting(5000, "posterior samples per image", minimum=1)
        examples: int = setting(1000, "number of test images, chosen at random", minimum=2)

    unit: ClassVar = "nats"
    check_settings: ClassVar = {"k": 100, "variance_images": 5, "variance_samples": 20}
    direction: ClassVar = "higher"
    bound: ClassVar = "lower"
    at_least: ClassVar = ("elbo",)
    effort: ClassVar = "k"
    needs: ClassVar = (HasPosterior, HasObservationModel | HasDecoder)

    def __init__(self, config: Config) -> None:
        self.config = config

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Measure on a fixed random choice of test images."""
        target = observed(model, data, context, self.config)
        test = data.test.subset(self.config.examples)
        rows = rows_at_a_time(target, data.info, self.config.memory)
        found = [weights for _, weights in importance_weighted(target, test, self.config.k, rows, context)]
        variances = torch.cat([each.variances for each in found])
        return log_likelihood_estimate(
            torch.cat([each.log_mean for each in found]),
            torch.cat([each.effective_sizes for each in found]),
            float(variances.sum().sqrt() / len(variances)) if self.config.k > 1 else None,
            data.info,
            observation_at_mean(target),
            target.description,
        )
