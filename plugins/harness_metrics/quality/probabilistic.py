"""P-precision and P-recall: the probability that a point lies in the support of the other set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from harness import setting
from harness_metrics.quality.distances import by_rows, distances, radii
from harness_metrics.quality.sample_quality import QualitySettings, SampleQuality

scale = 1.2  # of the radius, as Park and Kim recommend


@dataclass(frozen=True)
class FourNeighbours(QualitySettings):
    """Settings of P-precision and P-recall."""

    k: int = setting(4, "the radius is 1.2 times the mean distance to the k-th nearest neighbour", minimum=1)


class _Probabilistic(SampleQuality):
    Config = FourNeighbours
    unit: ClassVar = "mean probability"
    sure_at: ClassVar = (0, 1)

    def __init__(self, config: FourNeighbours) -> None:
        self.config = config

    def least(self, dim: int) -> int:
        """Return k + 1: a point needs k others."""
        return int(self.config.k) + 1


class ProbabilisticPrecision(_Probabilistic):
    """The mean probability that a sample lies in the support of the test images (Park and Kim, 2023).

    Real images do not reach 1, and their value depends on the dimensions and on the number of images: compare with the
    part ``real images``.
    """

    aspect: ClassVar = "fidelity"
    limits: ClassVar = (
        "Cannot see missing modes, memorised training images, or blur; in many dimensions distant samples score above "
        "0."
    )

    def compare(self, samples: Tensor, test: Tensor, train: Tensor) -> float:
        """Return the mean over features of samples ``(m, d)``, in the support of test images ``(n, d)``."""
        return float(probability_inside(samples, test, self.config.k).mean())


class ProbabilisticRecall(_Probabilistic):
    """The mean probability that a test image lies in the support of the samples (Park and Kim, 2023).

    Real images do not reach 1, and their value depends on the dimensions and on the number of images: compare with the
    part ``real images``.
    """

    aspect: ClassVar = "diversity"
    limits: ClassVar = (
        "Cannot see bad samples or memorised training images; in many dimensions distant samples score above 0."
    )

    def compare(self, samples: Tensor, test: Tensor, train: Tensor) -> float:
        """Return the mean over features of test images ``(n, d)``, in the support of samples ``(m, d)``."""
        return float(probability_inside(test, samples, self.config.k).mean())


def probability_inside(points: Tensor, centres: Tensor, k: int) -> Tensor:
    """Return the probability that each point lies in the support of the centres, ``(N,)``.

    1 − Πᵢ min(‖y − xᵢ‖ / R, 1), where R is 1.2 times the mean distance of a centre to its k-th nearest other centre
    (Park and Kim, 2023). If all centres are equal, R is 0 and their support is that point.
    """
    radius = scale * radii(centres, k).mean()
    apart = by_rows(points, lambda rows, _: (distances(rows, centres) / radius).nan_to_num(nan=0).clamp(max=1).prod(1))
    return 1 - apart
