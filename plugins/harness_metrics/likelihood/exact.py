"""Exact log-likelihood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from harness import Context, Data, Estimate, HasDensity, density_measure, setting
from harness_metrics.likelihood.weights import per_dimension

batch = 1000


class ExactLogLikelihood:
    """log p(x), averaged over test images, of a model with a tractable density.

    For d dequantized 8-bit values, (pixel + u) / 256, bits per dimension are shown too: −(log p(x) / d − log 256) /
    log 2, an upper bound on the bits per original value (Theis, van den Oord and Bethge, 2016). If the density of the
    data is known, its log-likelihood of the test images is shown too: no model has a higher one in expectation.
    """

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        examples: int = setting(10_000, "number of test images, chosen at random", minimum=2)

    unit: ClassVar = "nats"
    direction: ClassVar = "higher"
    at_least: ClassVar = ("elbo", "iw-bound", "log-likelihood-iw")
    needs: ClassVar = (HasDensity,)

    def __init__(self, config: Config) -> None:
        self.config = config

    def measure(self, model: HasDensity, data: Data, context: Context) -> Estimate:
        """Measure on a fixed random choice of test images."""
        found, true = [], []
        for x in data.test.subset(self.config.examples).batches(batch, context.noise):
            found.append(model.log_prob(x).double())
            if data.log_prob is not None:
                true.append(data.log_prob(x))
        values = torch.cat(found)
        parts = {"true density": torch.cat(true)} if true else {}
        parts |= per_dimension(values, data.info)
        return Estimate.over_examples(values, parts=parts, measure=density_measure(data.info))
