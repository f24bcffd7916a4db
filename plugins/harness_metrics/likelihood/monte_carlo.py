"""The log-likelihood by simple Monte Carlo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from harness import (
    Context,
    Data,
    Decodes,
    Estimate,
    HasDecoder,
    ObservationSettings,
    draw,
    observed,
    setting,
)
from harness_metrics.likelihood.weights import Weights, log_likelihood_estimate, log_prob_of_pairs, rows_at_a_time

_images = 1000
_blocks = 32  # at least, of samples: their spread is what the estimator's error is from


class LogLikelihoodMC:
    """log (1/M) Σ p(x | zₘ) with zₘ from the prior, the same ones for every image.

    It needs no encoder. Its error is a few hundredths of a nat with codes of two dimensions; with ten or more hardly
    any sample is near an image, the effective sample size is near 1 and the estimate many nats too low.

    Since images share the samples their errors go together. ``estimator_stderr`` is of the mean over images, by the
    delta method: with a_b the share of block b of the samples in Σ p(x | zₘ), averaged over images, and f_b its share
    of the samples, √(B / (B − 1) Σ (a_b − f_b)²) over the B blocks.
    """

    @dataclass(frozen=True)
    class Config(ObservationSettings):
        """Settings."""

        samples: int = setting(100_000, "codes drawn from the prior, M", minimum=1)
        examples: int = setting(10_000, "how many test images, the first ones", minimum=2)
        memory: float = setting(1024, "MiB that decoded samples may take", above=0)

    unit: ClassVar = "nats"
    direction: ClassVar = "higher"
    effort: ClassVar = "samples"
    needs: ClassVar = (Decodes | HasDecoder,)

    def __init__(self, config: Config) -> None:
        self.config = config

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Measure on the test split."""
        target = observed(model, data, context, self.config)
        samples, noise = self.config.samples, context.noise
        test = data.test.first(self.config.examples)
        images = list(test.batches(_images, noise))
        weights = [Weights(len(x), x.device) for x in images]
        prior = target.prior()
        rows = min(rows_at_a_time(data.info, test.stored.device, self.config.memory), -(-samples // _blocks))
        blocks, sizes = [], []
        for done in range(0, samples, rows):
            sizes.append(min(rows, samples - done))
            observation = target.observation(draw(prior, noise, sizes[-1]))
            sums = [each.add(log_prob_of_pairs(observation, x)) for each, x in zip(weights, images, strict=True)]
            blocks.append(torch.cat(sums))
            context.progress((done + sizes[-1]) / samples)
        log_sum = torch.cat([each.log_sum for each in weights])
        return log_likelihood_estimate(
            torch.cat([each.log_mean for each in weights]),
            torch.cat([each.effective_sizes for each in weights]),
            _stderr(torch.stack(blocks), log_sum, torch.tensor(sizes)) if len(blocks) > 1 else None,
            data.info,
            observation,
            target.description,
        )


def _stderr(log_sums: Tensor, log_sum: Tensor, sizes: Tensor) -> float:
    shares = (log_sums - log_sum).exp().mean(1).cpu()  # (B,)
    spread = (shares - sizes / sizes.sum()).square().sum()
    return float((spread * len(sizes) / (len(sizes) - 1)).sqrt())
