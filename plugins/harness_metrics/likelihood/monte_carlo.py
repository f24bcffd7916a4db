"""Log-likelihood by simple Monte Carlo."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from harness import Context, Data, Estimate, HasDecoder, HasObservationModel, draw, setting
from harness.toolkit import ObservationSettings, observed
from harness_metrics.likelihood.weights import (
    Weights,
    few_effective_samples,
    log_likelihood_estimate,
    log_prob_of_pairs,
    rows_at_a_time,
)

_images = 1000
_blocks = 32  # of samples; the estimator's standard error comes from their spread


class LogLikelihoodMC:
    """log (1/M) Σ p(x | zₘ) with zₘ from the prior; all images share the samples.

    It needs no encoder. With codes of two dimensions its error is a few hundredths of a nat. With ten or more, hardly
    any sample is near an image: the effective sample size is near 1, and the estimate is many nats too low.

    Because images share the samples, their errors are correlated. ``estimator_stderr`` is that of the mean over images,
    by the delta method: √(B / (B − 1) Σ (a_b − f_b)²) over B = 32 blocks of samples, where a_b is the share of block b
    in Σ p(x | zₘ), averaged over images, and f_b its share of the samples. The spread over images does not show it, so
    it is added to ``stderr``. If the effective sample size is so small that there is a warning, ``estimator_stderr`` is
    None and ``stderr`` too low: a few samples with all the weight say nothing about the regions not sampled.
    """

    @dataclass(frozen=True)
    class Config(ObservationSettings):
        """Settings."""

        samples: int = setting(100_000, "codes sampled from the prior, M", minimum=1)
        examples: int = setting(10_000, "number of test images, chosen at random", minimum=2)

    unit: ClassVar = "nats"
    check_settings: ClassVar = {"samples": 2000, "variance_images": 5, "variance_samples": 20}
    direction: ClassVar = "higher"
    bound: ClassVar = "lower"
    effort: ClassVar = "samples"
    needs: ClassVar = (HasObservationModel | HasDecoder,)

    def __init__(self, config: Config) -> None:
        self.config = config

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Measure on a fixed random choice of test images."""
        target = observed(model, data, context, self.config)
        samples, noise = self.config.samples, context.noise
        test = data.test.subset(self.config.examples)
        images = list(test.batches(_images, noise))
        weights = [Weights(len(x), x.device) for x in images]
        prior = target.prior()
        rows = rows_at_a_time(target, data.info, self.config.memory)
        blocks, done = [_Block(len(test), test.stored.device) for _ in range(min(samples, _blocks))], 0
        for number, block in enumerate(blocks, 1):
            end = samples * number // len(blocks)
            while done < end:
                size = min(rows, end - done)
                observation = target.observation(draw(prior, noise, size))
                sums = [each.add(log_prob_of_pairs(observation, x)) for each, x in zip(weights, images, strict=True)]
                block.add(torch.cat(sums), size)
                done += size
                context.progress(done / samples)
        sizes = torch.cat([each.effective_sizes for each in weights])
        log_sum = torch.cat([each.log_sum for each in weights])
        shared = _stderr(blocks, log_sum) if len(blocks) > 1 else None
        found = log_likelihood_estimate(
            torch.cat([each.log_mean for each in weights]),
            sizes,
            shared if few_effective_samples(sizes) is None else None,
            data.info,
            observation,
            target.description,
        )
        if found.stderr is None or shared is None:
            return found
        return replace(found, stderr=math.hypot(found.stderr, shared))


class _Block:
    """A block of samples: its size, and the logarithm of Σ p(x | z) over it for each image, ``(images,)``."""

    def __init__(self, images: int, device: torch.device) -> None:
        self.size = 0
        self.log_sum = torch.full((images,), -torch.inf, dtype=torch.float64, device=device)

    def add(self, log_sum: Tensor, size: int) -> None:
        self.log_sum = torch.logaddexp(self.log_sum, log_sum)
        self.size += size


def _stderr(blocks: list[_Block], log_sum: Tensor) -> float:
    total = sum(each.size for each in blocks)
    spread = sum((float((each.log_sum - log_sum).exp().mean()) - each.size / total) ** 2 for each in blocks)
    return float((spread * len(blocks) / (len(blocks) - 1)) ** 0.5)
