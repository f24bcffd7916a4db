"""The sliced Wasserstein distance, and the quantile coupling that it shares with metrics of point sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from harness import Noise, derive_seed, setting
from harness_metrics.quality.sample_quality import QualitySettings, SampleQuality


class SlicedWasserstein(SampleQuality):
    """The squared 2-Wasserstein distance of projections, averaged over directions (Bonneel et al., 2015).

    The projections are one-dimensional and the directions fixed. In one dimension the optimal coupling pairs quantiles.
    For Gaussians whose means differ by Δ and whose covariances are equal it is ‖Δ‖² / d. Like other distances of finite
    sets it is above 0 for equal distributions.
    """

    @dataclass(frozen=True)
    class Config(QualitySettings):
        """Settings."""

        directions: int = setting(200, "number of random directions", minimum=1)

    unit: ClassVar = "squared distance"
    direction: ClassVar = "lower"
    limits: ClassVar = "Sees only one-dimensional projections; cannot see memorisation."

    def __init__(self, config: Config) -> None:
        self.config = config

    def compare(self, samples: Tensor, test: Tensor, train: Tensor) -> float:
        """Return the distance of features of samples ``(m, d)`` and of test images ``(n, d)``."""
        directions = directions_in(samples.shape[1], self.config.directions).to(samples)
        return float(quantile_gaps(samples @ directions, test @ directions).square().mean())


def directions_in(dimensions: int, n: int) -> Tensor:
    """Return fixed random directions, ``(dimensions, n)`` float64, uniform on the sphere."""
    found = Noise(derive_seed("quality", "directions", dimensions)).normal(dimensions, n).double()
    unit: Tensor = found / found.norm(dim=0)
    return unit


def quantile_gaps(a: Tensor, b: Tensor) -> Tensor:
    """Return the differences between equal quantiles of the columns of ``(m, L)`` and ``(n, L)``, ``(n, L)``.

    If m differs from n, each quantile of ``b`` is paired with the nearest one of ``a``.
    """
    first, second = a.sort(0).values, b.sort(0).values
    if len(a) != len(b):
        places = (torch.arange(len(b), device=b.device) + 0.5) * len(a) / len(b)
        first = first[places.long()]
    return first - second
