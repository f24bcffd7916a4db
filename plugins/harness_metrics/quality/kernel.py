"""The kernel distance between samples and test images."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from harness_metrics.quality.distances import by_rows, sums_over_others
from harness_metrics.quality.sample_quality import QualitySettings, SampleQuality


class KernelDistance(SampleQuality):
    """The squared maximum mean discrepancy of the features under (x·y / d + 1)³ (Bińkowski et al., 2018).

    The unbiased estimate over all pairs rather than over subsets. Its expectation is 0 for equal distributions, so that
    it can be negative.
    """

    Config = QualitySettings
    unit: ClassVar = "squared discrepancy"
    direction: ClassVar = "lower"
    limits: ClassVar = (
        "Cannot see memorised training images, or what leaves the first three moments of the features equal."
    )

    def __init__(self, config: QualitySettings) -> None:
        self.config = config

    def compare(self, samples: Tensor, test: Tensor, train: Tensor) -> float:
        """Return the discrepancy of features of samples ``(m, d)`` and of test images ``(n, d)``."""
        return kernel_distance(samples, test)


def cubic_kernel(a: Tensor, b: Tensor) -> Tensor:
    """Return (aᵢ·bⱼ / d + 1)³, ``(N, M)``."""
    return (a @ b.T / a.shape[1] + 1) ** 3


def kernel_distance(x: Tensor, y: Tensor) -> float:
    """Return the unbiased squared discrepancy of ``(m, d)`` and ``(n, d)``."""
    m, n = len(x), len(y)
    within_x, within_y = (sums_over_others(each, cubic_kernel).sum() for each in (x, y))
    across = by_rows(x, lambda rows, _: cubic_kernel(rows, y).sum(1)).sum()
    return float(within_x / (m * (m - 1)) + within_y / (n * (n - 1)) - 2 * across / (m * n))
