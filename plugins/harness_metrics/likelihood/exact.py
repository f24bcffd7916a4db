"""The exact log-likelihood, of models that have one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from harness import Context, Data, Estimate, HasDensity, density_measure, setting
from harness_metrics.likelihood.weights import per_dimension

batch = 1000


class ExactLogLikelihood:
    """log p(x), averaged over the test split, for a model whose density can be evaluated.

    On d dequantised 8-bit values, (pixel + u) / 256, it is shown in bits per dimension too,
    −(log p(x) / d − log 256) / log 2: a bound on the bits that an original value takes (Theis, van den Oord and
    Bethge, 2016). Where the density that the data were drawn from is known, what it gives the test split is shown too:
    no model can expect more.
    """

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        examples: int = setting(10_000, "how many test images, the first ones", minimum=2)

    unit: ClassVar = "nats"
    direction: ClassVar = "higher"
    needs: ClassVar = (HasDensity,)

    def __init__(self, config: Config) -> None:
        self.config = config

    def measure(self, model: HasDensity, data: Data, context: Context) -> Estimate:
        """Measure on the test split."""
        found, true = [], []
        for x in data.test.first(self.config.examples).batches(batch, context.noise):
            found.append(model.log_prob(x).double())
            if data.log_prob is not None:
                true.append(data.log_prob(x))
        values = torch.cat(found)
        parts = {"true density": torch.cat(true)} if true else {}
        parts |= per_dimension(values, data.info)
        return Estimate.over_examples(values, parts=parts, measure=density_measure(data.info))
