"""The kernel distance between samples and test images."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from harness_metrics.quality.distances import by_rows, jackknife, sums_over_others
from harness_metrics.quality.sample_quality import QualitySettings, Reference, SampleQuality, Score


class KernelDistance(SampleQuality):
    """The squared maximum mean discrepancy of the features under (x·y / d + 1)³ (Bińkowski et al., 2018).

    The unbiased estimate over all pairs rather than over subsets. Its expectation is 0 for equal distributions, so that
    it can be negative. The standard error is over samples, by the jackknife, with the test images fixed.
    """

    Config = QualitySettings
    unit: ClassVar = "squared discrepancy"
    direction: ClassVar = "lower"

    def __init__(self, config: QualitySettings) -> None:
        self.config = config

    def least(self, reference: Reference) -> int:
        """Return 3: a pair must remain when the jackknife leaves one sample out."""
        return 3

    def score(self, samples: Tensor, reference: Reference) -> Score:
        """Score features of samples, ``(m, d)`` float64."""
        return kernel_distance(samples, reference.test)


def cubic_kernel(a: Tensor, b: Tensor) -> Tensor:
    """Return (aᵢ·bⱼ / d + 1)³, ``(N, M)``."""
    return (a @ b.T / a.shape[1] + 1) ** 3


def kernel_distance(x: Tensor, y: Tensor) -> Score:
    """Return the unbiased squared discrepancy of ``(m, d)`` and ``(n, d)``, with the standard error over the former."""
    m, n = len(x), len(y)
    within = sums_over_others(x, cubic_kernel)
    across = by_rows(x, lambda rows, _: cubic_kernel(rows, y).sum(1))
    constant = sums_over_others(y, cubic_kernel).sum() / (n * (n - 1))
    value = within.sum() / (m * (m - 1)) + constant - 2 * across.sum() / (m * n)
    left_out = (within.sum() - 2 * within) / ((m - 1) * (m - 2)) - 2 * (across.sum() - across) / ((m - 1) * n)
    return Score(float(value), jackknife(left_out))
