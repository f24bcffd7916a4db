"""KL divergence of posterior from prior, with a Monte Carlo check of its closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from harness import Context, Data, Estimate, HasObservationModel, HasPosterior, draw, setting
from harness.toolkit import elbo_terms

batch = 1000
_standard_errors = 5.0  # by which the closed form and the estimate differ, if not by chance
_rounding = 1e-3  # of the value


class KL:
    """KL(q(z | x) ‖ p(z)) as in the evidence lower bound: in closed form if torch has one for the pair.

    A part shows the Monte Carlo estimate, the mean of log q(z | x) − log p(z) over samples of the posterior; the two
    should agree within the error. Neither direction is better: at 0 the code carries no information. ``rate`` is the
    same quantity for models with a bound of their own.
    """

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        samples: int = setting(10, "posterior samples per image for the Monte Carlo estimate", minimum=1)

    unit: ClassVar = "nats"
    direction: ClassVar = None
    needs: ClassVar = (HasPosterior, HasObservationModel)

    def __init__(self, config: Config) -> None:
        self.config = config

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Measure on the test split."""
        own, sampled = [], []
        for x in data.test.batches(batch, context.noise):
            own.append(elbo_terms(model, x, context.noise).kl.double())
            posterior = model.posterior(x)
            z = draw(posterior, context.noise, self.config.samples)  # (samples, B, latent)
            log_ratio = posterior.log_prob(z) - model.prior().log_prob(z)
            sampled.append(log_ratio.double().mean(0))
        kl, estimate = torch.cat(own), torch.cat(sampled)
        difference = Estimate.over_examples(estimate - kl)
        error = max(_standard_errors * (difference.stderr or 0.0), _rounding * float(kl.abs().mean()))
        differs = difference.stderr is not None and abs(difference.value) > error
        return Estimate.over_examples(
            kl,
            parts={"Monte Carlo": estimate},
            contradiction="the closed form differs from its Monte Carlo estimate" if differs else None,
            diagnostics={"monte_carlo_excess": difference.value, "monte_carlo_excess_stderr": difference.stderr},
        )
