"""Reconstruction errors, averaged over the test split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from harness import Context, Data, DataInfo, Estimate, NotApplicable, Reconstructs, setting

batch = 1000


@dataclass(frozen=True)
class ReconstructionSettings:
    """Settings of every metric of reconstructions."""

    corruption: float = setting(
        0.0,
        "σ of Gaussian noise added to the input, in units of the data; the target is the clean example",
        minimum=0,
    )

    def over_test(
        self, model: Reconstructs, data: Data, context: Context, score: Callable[[Tensor, Tensor], Tensor]
    ) -> Estimate:
        """Average ``score(reconstruction, x)``, of shape ``(B,)``, over the test examples.

        Noise comes from the evaluation: every model reconstructs the same corrupted examples.

        Raises:
            NotApplicable: the examples are sets of points.
        """
        if data.info.support == "points":
            raise NotApplicable("it compares value by value, and the order of points means nothing; use chamfer")
        scores = []
        for x in data.test.batches(batch, context.noise):
            seen = x + self.corruption * context.noise.normal(*x.shape) if self.corruption else x
            scores.append(score(model.reconstruct(seen), x))
        return Estimate.over_examples(torch.cat(scores))


def per_example(values: Tensor) -> Tensor:
    """Average over the values of an example, in float64: ``(B, *shape)`` to ``(B,)``."""
    return values.flatten(1).double().mean(1)


def require_unit_interval(info: DataInfo, what: str) -> None:
    """Raise ``NotApplicable`` if the data is not in [0, 1]."""
    if info.support not in ("binary", "unit"):
        raise NotApplicable(f"{what} needs data in [0, 1], but this is {info.support}")


class ReconstructionMSE:
    """(x̂ − x)², averaged over the values of an example; x̂ is not clipped."""

    Config = ReconstructionSettings
    unit: ClassVar = "squared error per pixel"
    direction: ClassVar = "lower"
    needs: ClassVar = (Reconstructs,)

    def __init__(self, config: ReconstructionSettings) -> None:
        self.config = config

    def measure(self, model: Reconstructs, data: Data, context: Context) -> Estimate:
        """Measure on the test split."""
        return self.config.over_test(model, data, context, lambda output, x: per_example((output - x).square()))


class ReconstructionBCE:
    """−x log x̂ − (1 − x) log(1 − x̂), averaged over the values of an example, for data in [0, 1].

    x̂ is clipped to [ε, 1 − ε], since reconstructions of models such as PCA leave [0, 1]. It is a loss, not a
    likelihood: on grey pixels its minimum is above zero.
    """

    @dataclass(frozen=True)
    class Config(ReconstructionSettings):
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
            NotApplicable: the data is not in [0, 1].
        """
        require_unit_interval(data.info, "a cross-entropy")
        epsilon = self.config.epsilon

        def error(output: Tensor, x: Tensor) -> Tensor:
            clipped = output.double().clamp(epsilon, 1 - epsilon)
            return per_example(F.binary_cross_entropy(clipped, x.double(), reduction="none"))

        return self.config.over_test(model, data, context, error)
