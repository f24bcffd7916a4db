"""The exact log-likelihood, of models that have one."""

from __future__ import annotations

import math
from typing import ClassVar

import torch

from harness import Context, Data, Estimate, HasDensity, NoSettings, density_measure

batch = 1000


class ExactLogLikelihood:
    """log p(x), averaged over the test split, for a model whose density can be evaluated.

    On d dequantised 8-bit values, (pixel + u) / 256, it is shown in bits per dimension too,
    −(log p(x) / d − log 256) / log 2: a bound on the bits that an original value takes (Theis, van den Oord and
    Bethge, 2016).
    """

    Config = NoSettings
    unit: ClassVar = "nats"
    direction: ClassVar = "higher"
    needs: ClassVar = (HasDensity,)

    def __init__(self, config: NoSettings) -> None:
        self.config = config

    def measure(self, model: HasDensity, data: Data, context: Context) -> Estimate:
        """Measure on the test split."""
        values = torch.cat([model.log_prob(x).double() for x in data.test.batches(batch, context.noise)])
        bits = (math.log(256) - values / data.info.dim) / math.log(2)
        return Estimate.over_examples(
            values,
            parts={"bits per dimension": bits} if data.info.dequantized else {},
            measure=density_measure(data.info),
        )
