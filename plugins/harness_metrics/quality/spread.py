"""Memorisation of training images, and diversity of samples."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from harness import NotApplicable
from harness_metrics.quality.distances import distances, nearest, sums_over_others
from harness_metrics.quality.resampling import Resampled, by_half_samples
from harness_metrics.quality.sample_quality import QualitySettings, SampleQuality


class Memorisation(SampleQuality):
    """The median distance from a sample to the nearest training image, divided by that of a test image.

    medianᵢ minₜ ‖f(sᵢ) − f(t)‖ / medianᵢ minₜ ‖f(xᵢ) − f(t)‖ over samples s, test images x and all training images t.
    It is 1 for new real images and 0 for copies. Samples unlike any image are above 1, so that neither direction is
    better. If training images are binarized or dequantized per batch, they are drawn once, and a copy of another draw
    is not at 0.
    """

    Config = QualitySettings
    unit: ClassVar = "times the distance of test images"
    direction: ClassVar = None
    aspect: ClassVar = "memorisation"
    limits: ClassVar = (
        "Cannot see copies of fewer than half of the samples, altered copies, or how good the samples are."
    )
    uses_train: ClassVar = True

    def __init__(self, config: QualitySettings) -> None:
        self.config = config

    def compare(self, samples: Tensor, test: Tensor, train: Tensor) -> float:
        """Return the ratio for features of samples ``(m, d)``, test images ``(n, d)`` and training images ``(N, d)``.

        Raises:
            NotApplicable: at least half of the test images are training images.
        """
        return _ratio_of_medians(nearest(samples, train), nearest(test, train))

    def resample(self, samples: Tensor, test: Tensor, train: Tensor) -> Resampled:
        """Return the ratio with its error, which needs each distance only once; arguments as in ``compare``."""
        return by_half_samples(nearest(samples, train), nearest(test, train), _ratio_of_medians)


def _ratio_of_medians(samples: Tensor, test: Tensor) -> float:
    usual = float(test.median())
    if usual == 0:
        raise NotApplicable("at least half of the test images are training images")
    return float(samples.median()) / usual


class Diversity(SampleQuality):
    """The mean distance of two samples divided by that of two test images: 1 for real images, 0 for equal samples.

    Noise is more diverse than images, so that neither direction is better.
    """

    Config = QualitySettings
    unit: ClassVar = "times the distance of test images"
    direction: ClassVar = None
    aspect: ClassVar = "diversity"
    limits: ClassVar = "Cannot see whether samples resemble the data: noise has the highest values."

    def __init__(self, config: QualitySettings) -> None:
        self.config = config

    def compare(self, samples: Tensor, test: Tensor, train: Tensor) -> float:
        """Return the ratio for features of samples ``(m, d)`` and of test images ``(n, d)``.

        Raises:
            NotApplicable: all test images are equal.
        """
        usual = _mean_distance(test)
        if usual == 0:
            raise NotApplicable("all test images are equal")
        return _mean_distance(samples) / usual


def _mean_distance(x: Tensor) -> float:
    """Return the mean distance of two rows of ``(n, d)``."""
    return float(sums_over_others(x, distances).sum() / (len(x) * (len(x) - 1)))
