"""Kernel density estimate from a model's samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from harness import Context, Data, Estimate, Samples, Split, density_measure, setting
from harness_metrics.likelihood.weights import Weights, log_prob_of_pairs, per_dimension

_images = 1000
_at_a_time = 1000


class Parzen:
    """log (1/M) Σ N(x; sₘ, h² I) over M samples of the model.

    The bandwidth h has the highest likelihood on validation images, among ``bandwidths`` values spaced logarithmically
    from 0.01 to 1. The first adversarial networks were compared by this estimate (Goodfellow et al., 2014). It is below
    the true value by hundreds of nats and orders models wrongly (Theis, van den Oord and Bethge, 2016; Wu et al.,
    2017). It is here for comparison with such papers and is not ranked.
    """

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        samples: int = setting(10_000, "samples of the model, M", minimum=1)
        examples: int = setting(10_000, "number of test images, chosen at random", minimum=2)
        validation: int = setting(1000, "number of validation images that choose the bandwidth", minimum=1)
        bandwidths: int = setting(21, "number of bandwidths to try", minimum=2)

    unit: ClassVar = "nats"
    check_settings: ClassVar = {"samples": 500, "examples": 100, "validation": 50, "bandwidths": 5}
    direction: ClassVar = None
    effort: ClassVar = "samples"
    needs: ClassVar = (Samples,)

    def __init__(self, config: Config) -> None:
        self.config = config

    def measure(self, model: Samples, data: Data, context: Context) -> Estimate:
        """Measure on a fixed random choice of test images.

        Raises:
            NotApplicable: the examples are sets of points.
        """
        data.info.as_vector()
        noise = context.noise
        at_a_time = self.config.samples if hasattr(model, "count") else _at_a_time
        starts = range(0, self.config.samples, at_a_time)
        samples = torch.cat([model.sample(min(at_a_time, self.config.samples - i), noise) for i in starts])
        validation = data.validation.subset(self.config.validation).all(noise)
        tried = torch.logspace(-2, 0, self.config.bandwidths).tolist()
        bandwidth = max(tried, key=lambda h: float(_log_density(samples, validation, h).mean()))
        test: Split = data.test.subset(self.config.examples)
        values = torch.cat([_log_density(samples, x, bandwidth) for x in test.batches(_images, noise)])
        return Estimate.over_examples(
            values,
            parts=per_dimension(values, data.info),
            measure=density_measure(data.info),
            diagnostics={"bandwidth": bandwidth, "bandwidth_at_an_end": bandwidth in (tried[0], tried[-1])},
            warning="kernel density estimates order models wrongly",
        )


def _log_density(samples: Tensor, x: Tensor, bandwidth: float) -> Tensor:
    weights = Weights(len(x), x.device)
    for part in samples.split(_at_a_time):
        scale = torch.full_like(part[:1], bandwidth).expand_as(part)
        kernels = Independent(Normal(part, scale, validate_args=False), part.dim() - 1)
        weights.add(log_prob_of_pairs(kernels, x))
    return weights.log_mean
