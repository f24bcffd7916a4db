"""The importance-weighted bound."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from harness import (
    Context,
    Data,
    Decodes,
    Encodes,
    Estimate,
    likelihood_measure,
    log_importance_weights,
    setting,
)

# Decodings at a time: more leave the processor's caches, fewer are bound by the overhead of each call.
_rows = {"cpu": 2000, "cuda": 100_000}


class ImportanceWeightedBound:
    """E[log (1/k) Σ p(x, zᵢ) / q(zᵢ | x)] with zᵢ from the posterior (Burda, Grosse and Salakhutdinov, 2016).

    At k = 1 the evidence lower bound; as k grows it approaches log p(x) from below. With k = 5000 it is the figure of
    that paper's tables. The effective sample size, (Σw)² / Σw², says how many of the k samples count; where it is near
    1 the bound is loose.
    """

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        k: int = setting(500, "posterior samples per image", minimum=1)
        examples: int = setting(10_000, "how many test images, the first ones", minimum=2)

    unit: ClassVar = "nats"
    direction: ClassVar = "higher"
    needs: ClassVar = (Encodes, Decodes)
    effort: ClassVar = "k"

    def __init__(self, config: Config) -> None:
        self.config = config

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Measure on the test split."""
        k = self.config.k
        device = data.test.stored.device
        rows = _rows.get(device.type, _rows["cpu"])
        images = max(1, rows // k)
        bounds, sizes = [], []
        test = data.test.first(self.config.examples)
        for x in test.batches(images, context.noise):
            first = torch.full((len(x),), -torch.inf, dtype=torch.float64, device=device)  # log Σ w
            second = first.clone()  # log Σ w²
            for done in range(0, k, rows):
                log_weights = log_importance_weights(model, x, min(rows, k - done), context.noise).double()
                first = torch.logaddexp(first, log_weights.logsumexp(0))
                second = torch.logaddexp(second, (2 * log_weights).logsumexp(0))
            bounds.append(first - math.log(k))
            sizes.append((2 * first - second).exp())
        return Estimate.over_examples(
            torch.cat(bounds),
            measure=likelihood_measure(data.info, model.observation(model.posterior(x).mean)),
            diagnostics=_effective(torch.cat(sizes)),
        )


def _effective(sizes: Tensor) -> dict[str, float]:
    return {
        "effective_sample_size_median": float(sizes.median()),
        "effective_sample_size_1st_percentile": float(sizes.quantile(0.01)),
    }
