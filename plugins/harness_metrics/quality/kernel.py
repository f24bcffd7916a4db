"""The kernel distance between samples and test images."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from harness_metrics.quality.distances import by_rows, sums_over_others
from harness_metrics.quality.resampling import Resampled, Terms, by_expansion
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

    def resample(self, samples: Tensor, test: Tensor, train: Tensor) -> Resampled:
        """Return the discrepancy with its error."""
        return by_expansion(kernel_distance(samples, test), *terms(samples, test))


def cubic_kernel(a: Tensor, b: Tensor) -> Tensor:
    """Return (aᵢ·bⱼ / d + 1)³, ``(N, M)``."""
    return (a @ b.T / a.shape[1] + 1) ** 3


def kernel_distance(x: Tensor, y: Tensor) -> float:
    """Return the unbiased squared discrepancy of ``(m, d)`` and ``(n, d)``."""
    m, n = len(x), len(y)
    within_x, within_y = (sums_over_others(each, cubic_kernel).sum() for each in (x, y))
    across = by_rows(x, lambda rows, _: cubic_kernel(rows, y).sum(1)).sum()
    return float(within_x / (m * (m - 1)) + within_y / (n * (n - 1)) - 2 * across / (m * n))


def terms(samples: Tensor, test: Tensor) -> tuple[Terms, Terms]:
    """Return the terms of the squared discrepancy of samples ``(m, d)`` and test images ``(n, d)``.

    φ(x) = 2 E k(x, x') − 2 E k(x, y), less its mean, and likewise for y. With a kernel k that is centred in both
    arguments, h(x, x') = 2 k(x, x') and h(x, y) = −2 k(x, y).
    """
    within_x, within_y = (sums_over_others(each, cubic_kernel) / (len(each) - 1) for each in (samples, test))
    across_x = by_rows(samples, lambda rows, _: cubic_kernel(rows, test).mean(1))
    across_y = by_rows(test, lambda rows, _: cubic_kernel(rows, samples).mean(1))
    of_x, of_y = (2 * (each - each.mean()) for each in (within_x - across_x, within_y - across_y))
    across = 4 * _mean_square(samples, across_x, test, across_y) / (2 * len(samples) * len(test))

    def terms_of(x: Tensor, within: Tensor, first: Tensor, y: Tensor, other: Tensor) -> Terms:
        own, of_other = first / len(x) ** 2, other / len(y) ** 2

        def slopes(rows: Tensor, place: slice) -> Tensor:
            among = cubic_kernel(rows, x)
            among[:, place].fill_diagonal_(0)
            return 4 * (among @ own - cubic_kernel(rows, y) @ of_other)

        return Terms(first, 4 * _mean_square(x, within, x, within) / (2 * len(x) ** 2) + across, by_rows(x, slopes))

    return terms_of(samples, within_x, of_x, test, of_y), terms_of(test, within_y, of_y, samples, of_x)


def _mean_square(a: Tensor, of_a: Tensor, b: Tensor, of_b: Tensor) -> float:
    """Return the mean square of the kernel less its row means, given for ``(m, d)`` and ``(n, d)``, or of pairs of one.

    Those of a row with itself are left out.
    """

    def squares(rows: Tensor, place: slice) -> Tensor:
        found = (cubic_kernel(rows, b) - of_a[place, None] - of_b + of_b.mean()).square()
        if a is b:
            found[:, place].fill_diagonal_(0)
        return found.sum(1)

    return float(by_rows(a, squares).sum()) / (len(a) * (len(b) - (a is b)))
