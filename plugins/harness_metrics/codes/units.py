"""Units of codes: how many are near zero, and how many depend on the example."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from harness import Context, Data, Estimate, HasEncoder, HasPosterior, setting

batch = 1000


def codes(model: Any, data: Data, context: Context) -> Tensor:
    """Return the codes of the test examples, ``(N, code)``: by ``encode``, or the means of the posterior."""
    code = model.encode if isinstance(model, HasEncoder) else lambda x: model.posterior(x).mean
    return torch.cat([code(x).flatten(1) for x in data.test.batches(batch, context.noise)])


class Sparsity:
    """The share of an example's code units that are near zero: |unit| at most a threshold.

    The code of a model with a posterior is the posterior's mean. The threshold is in units of the code, whose scale
    differs between models: compare settings of one model rather than models. Neither direction is better.
    """

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        threshold: float = setting(0.01, "greatest |unit| that counts as near zero, in units of the code", minimum=0)

    unit: ClassVar = "share of units"
    direction: ClassVar = None
    needs: ClassVar = (HasEncoder | HasPosterior,)

    def __init__(self, config: Config) -> None:
        self.config = config

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Measure on the test split; ``dead_units`` is the number of units near zero in all examples."""
        near_zero = codes(model, data, context).abs() <= self.config.threshold
        dead = int(near_zero.all(0).sum())
        return Estimate.over_examples(near_zero.double().mean(1), diagnostics={"dead_units": dead})


class ActiveUnits:
    """The number of latent units u whose posterior mean varies: Varₓ(E_q[zᵤ | x]) > 0.01 (Burda et al., 2016).

    The posterior of an inactive unit is like the prior, so that it carries no information. The variance is over the
    test split.
    """

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        threshold: float = setting(0.01, "variance of the mean above which a unit is active", minimum=0)

    unit: ClassVar = "units"
    direction: ClassVar = "higher"
    needs: ClassVar = (HasPosterior,)

    def __init__(self, config: Config) -> None:
        self.config = config

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Measure on the test split; the diagnostics have the variances, largest first."""
        means = torch.cat([model.posterior(x).mean for x in data.test.batches(batch, context.noise)])
        variances = means.double().var(0)  # (latent,)
        active = variances > self.config.threshold
        return Estimate(
            value=float(active.sum()),
            stderr=None,
            n=len(means),
            parts={"share (of units)": float(active.double().mean())},
            diagnostics={"variances": variances.sort(descending=True).values.tolist()},
        )
