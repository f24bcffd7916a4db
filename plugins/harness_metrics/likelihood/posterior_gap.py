"""How far the encoder's posterior is from the true one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from harness import Context, Data, Estimate, HasDensity, HasObservationModel, HasPosterior, likelihood_measure, setting
from harness_metrics.likelihood.weights import effective, importance_weighted, mark, observation_at_mean, rows_at_a_time


class PosteriorGap:
    """log p(x) − ELBO = KL(q(z | x) ‖ p(z | x)), of each image (Cremer, Li and Duvenaud, 2018).

    The bound is the mean of log p(x, z) − log q(z | x) over k samples of the posterior. log p(x) is exact where the
    model has a density; else the importance-weighted estimate from the same samples, which is too low on average, and
    the gap with it: the two are never ranked together. By Jensen's inequality that gap is never negative. Where few
    samples count it flatters the encoder, and has no rank.
    """

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        k: int = setting(5000, "posterior samples per image", minimum=2)
        examples: int = setting(1000, "how many test images, the first ones", minimum=2)
        memory: float = setting(1024, "MiB that decoded samples may take", above=0)

    unit: ClassVar = "nats"
    direction: ClassVar = "lower"
    needs: ClassVar = (HasPosterior, HasObservationModel)

    def __init__(self, config: Config) -> None:
        self.config = config

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Measure on the test split."""
        exact = isinstance(model, HasDensity)
        test = data.test.first(self.config.examples)
        rows = rows_at_a_time(model, data.info, self.config.memory)
        likelihoods, bounds, sizes = [], [], []
        for x, weights in importance_weighted(model, test, self.config.k, rows, context):
            likelihoods.append(model.log_prob(x).double() if exact else weights.log_mean)
            bounds.append(weights.mean_log)
            sizes.append(weights.effective_sizes)
        log_likelihood, bound = torch.cat(likelihoods), torch.cat(bounds)
        how: dict[str, Any] = {"log_likelihood": "exact"}
        if not exact:
            every = torch.cat(sizes)
            how = {
                "log_likelihood": "importance-weighted",
                "direction_of_bias": "too low, as the log-likelihood is on average",
                **effective(every),
                **(marked := mark(every)),
                "flattering": bool(marked),
            }
        return Estimate.over_examples(
            log_likelihood - bound,
            parts={"log-likelihood": log_likelihood, "elbo": bound},
            measure=f"{likelihood_measure(data.info, observation_at_mean(model))}; log p(x) {how['log_likelihood']}",
            diagnostics=how,
        )
