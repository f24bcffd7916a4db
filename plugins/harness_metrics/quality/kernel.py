"""The kernel distance between samples and test images."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from harness_metrics.quality.distances import by_rows, mean_of_pairs
from harness_metrics.quality.jackknife import Jackknife, means_left_out, pseudo_values
from harness_metrics.quality.sample_quality import QualitySettings, SampleQuality


class KernelDistance(SampleQuality):
    """The squared maximum mean discrepancy of the features under (x·y / d + 1)³ (Bińkowski et al., 2018).

    The unbiased estimate over all pairs rather than over subsets. Its expectation is 0 for equal distributions, so that
    it can be negative.
    """

    Config = QualitySettings
    unit: ClassVar = "squared discrepancy"
    direction: ClassVar = "lower"

    def __init__(self, config: QualitySettings) -> None:
        self.config = config

    def compare(self, samples: Tensor, test: Tensor, train: Tensor) -> float:
        """Return the discrepancy of features of samples ``(m, d)`` and of test images ``(n, d)``."""
        return self.jackknife(samples, test, train).value

    def jackknife(self, samples: Tensor, test: Tensor, train: Tensor) -> Jackknife:
        """Return the discrepancy with its pseudo-values, all from one pass over the pairs."""
        among_samples, without_samples = mean_of_pairs(samples, cubic_kernel)
        among_test, without_test = mean_of_pairs(test, cubic_kernel)
        across = by_rows(samples, lambda rows, _: cubic_kernel(rows, test).mean(1))  # (m,)
        across_test = by_rows(test, lambda rows, _: cubic_kernel(rows, samples).mean(1))  # (n,)
        value = among_samples + among_test - 2 * float(across.mean())
        return Jackknife(
            value,
            pseudo_values(value, without_samples + among_test - 2 * means_left_out(across)),
            pseudo_values(value, among_samples + without_test - 2 * means_left_out(across_test)),
        )


def cubic_kernel(a: Tensor, b: Tensor) -> Tensor:
    """Return (aᵢ·bⱼ / d + 1)³, ``(N, M)``."""
    return (a @ b.T / a.shape[1] + 1) ** 3
