"""Precision cover and recall cover: whether enough of one set lies in each ball of the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from harness import setting
from harness_metrics.quality.distances import points_inside, radii
from harness_metrics.quality.sample_quality import QualitySettings, SampleQuality

factor = 3  # k' / k, as in the authors' code


@dataclass(frozen=True)
class CoverSettings(QualitySettings):
    """Settings of precision cover and recall cover.

    Räisä et al. (2025) let k grow with the number n of images; for n = 1,000 it is 5.
    """

    k: int = setting(5, "points in a ball; its radius is the distance to the 3k-th nearest neighbour", minimum=1)


class _Cover(SampleQuality):
    Config = CoverSettings
    sure_at: ClassVar = (0, 1)

    def __init__(self, config: CoverSettings) -> None:
        self.config = config

    def least(self, dim: int) -> int:
        """Return 3k + 1: a point needs 3k others."""
        return factor * int(self.config.k) + 1


class PrecisionCover(_Cover):
    """The share of samples with at least k test images in their ball (Cheema and Urner, 2023).

    The authors' code, and Räisä et al. (2025) with it, call this recall cover.
    """

    aspect: ClassVar = "fidelity"
    limits: ClassVar = "Cannot see memorised training images; missing modes and narrow samples lower it."
    unit: ClassVar = "share of samples"

    def compare(self, samples: Tensor, test: Tensor, train: Tensor) -> float:
        """Return the share, from features of samples ``(m, d)`` and of test images ``(n, d)``."""
        return float(covered(samples, test, self.config.k).double().mean())


class RecallCover(_Cover):
    """The share of test images with at least k samples in their ball (Cheema and Urner, 2023).

    The authors' code, and Räisä et al. (2025) with it, call this precision cover.
    """

    aspect: ClassVar = "diversity"
    limits: ClassVar = (
        "Cannot see memorised training images, blur, or bad samples while enough others are near the test images."
    )
    unit: ClassVar = "share of test images"

    def compare(self, samples: Tensor, test: Tensor, train: Tensor) -> float:
        """Return the share, from features of samples ``(m, d)`` and of test images ``(n, d)``."""
        return float(covered(test, samples, self.config.k).double().mean())


def covered(points: Tensor, others: Tensor, k: int) -> Tensor:
    """Return whether at least k others are as near to each point as its 3k-th nearest point of its own set, ``(N,)``.

    This is the algorithm in appendix A.3 of Cheema and Urner (2023) with k' = 3k. The point itself is not one of its
    neighbours.
    """
    return points_inside(points, radii(points, factor * k), others) >= k
