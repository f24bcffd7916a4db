"""Reconstruction errors, per value of an example, over the test split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from harness import Context, Data, Estimate, NoSettings, NotApplicable, Reconstructs, setting

batch = 1000


def over_test(model: Reconstructs, data: Data, context: Context, error: Callable[[Tensor, Tensor], Tensor]) -> Estimate:
    """Average ``error(reconstruction, x)``, elementwise, over values and then over test examples.

    Raises:
        NotApplicable: the examples are sets of points.
    """
    if data.info.support == "points":
        raise NotApplicable("it compares value by value, and the order of points means nothing; see chamfer")
    errors = [
        error(model.reconstruct(x), x).flatten(1).double().mean(1) for x in data.test.batches(batch, context.noise)
    ]
    return Estimate.over_examples(torch.cat(errors))


class ReconstructionMSE:
    """(x̂ − x)², averaged over the values of an example; x̂ is not clipped."""

    Config = NoSettings
    unit: ClassVar = "squared error per pixel"
    direction: ClassVar = "lower"
    needs: ClassVar = (Reconstructs,)

    def __init__(self, config: NoSettings) -> None:
        self.config = config

    def measure(self, model: Reconstructs, data: Data, context: Context) -> Estimate:
        """Measure on the test split."""
        return over_test(model, data, context, lambda reconstruction, x: (reconstruction - x).square())


class ReconstructionBCE:
    """−x log x̂ − (1 − x) log(1 − x̂), averaged over the values of an example, for data in [0, 1].

    x̂ is clipped to [ε, 1 − ε], which also admits models such as PCA whose reconstructions leave the interval. It
    is a loss, not a likelihood: on grey pixels its least value is above zero.
    """

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        epsilon: float = setting(1e-6, "reconstructions are clipped to [ε, 1 − ε]", above=0, below=0.5)

    unit: ClassVar = "nats per pixel"
    direction: ClassVar = "lower"
    needs: ClassVar = (Reconstructs,)

    def __init__(self, config: Config) -> None:
        self.config = config

    def measure(self, model: Reconstructs, data: Data, context: Context) -> Estimate:
        """Measure on the test split.

        Raises:
            NotApplicable: the data leaves [0, 1].
        """
        if data.info.support not in ("binary", "unit"):
            raise NotApplicable(f"a cross-entropy needs data in [0, 1], and this is {data.info.support}")
        epsilon = self.config.epsilon

        def error(reconstruction: Tensor, x: Tensor) -> Tensor:
            clipped = reconstruction.double().clamp(epsilon, 1 - epsilon)
            return F.binary_cross_entropy(clipped, x.double(), reduction="none")

        return over_test(model, data, context, error)
