"""Memorisation of training images, and diversity of samples."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from harness import NotApplicable
from harness_metrics.quality.distances import distances, mean_of_pairs, nearest
from harness_metrics.quality.jackknife import Jackknife, each_left_out, pseudo_values
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
    uses_train: ClassVar = True

    def __init__(self, config: QualitySettings) -> None:
        self.config = config

    def compare(self, samples: Tensor, test: Tensor, train: Tensor) -> float:
        """Return the ratio for features of samples ``(m, d)``, test images ``(n, d)`` and training images ``(N, d)``.

        Raises:
            NotApplicable: at least half of the test images are training images.
        """
        return self.jackknife(samples, test, train).value

    def jackknife(self, samples: Tensor, test: Tensor, train: Tensor) -> Jackknife:
        """Return the ratio with its pseudo-values, which need each distance only once.

        Raises:
            NotApplicable: at least half of the test images are training images.
        """
        found, usual = nearest(samples, train), nearest(test, train)
        if float(usual.median()) == 0:
            raise NotApplicable("at least half of the test images are training images")
        median, median_of_test = float(found.median()), float(usual.median())
        value = median / median_of_test
        without_samples = each_left_out(found, lambda kept: float(kept.median())) / median_of_test
        without_test = median / each_left_out(usual, lambda kept: float(kept.median()))
        return Jackknife(value, pseudo_values(value, without_samples), pseudo_values(value, without_test))


class Diversity(SampleQuality):
    """The mean distance of two samples divided by that of two test images: 1 for real images, 0 for equal samples.

    Noise is more diverse than images, so that neither direction is better.
    """

    Config = QualitySettings
    unit: ClassVar = "times the distance of test images"
    direction: ClassVar = None

    def __init__(self, config: QualitySettings) -> None:
        self.config = config

    def compare(self, samples: Tensor, test: Tensor, train: Tensor) -> float:
        """Return the ratio for features of samples ``(m, d)`` and of test images ``(n, d)``.

        Raises:
            NotApplicable: all test images are equal.
        """
        return self.jackknife(samples, test, train).value

    def jackknife(self, samples: Tensor, test: Tensor, train: Tensor) -> Jackknife:
        """Return the ratio with its pseudo-values, from one pass over the pairs.

        Raises:
            NotApplicable: all test images are equal.
        """
        usual, usual_without = mean_of_pairs(test, distances)
        if usual == 0:
            raise NotApplicable("all test images are equal")
        mean, without = mean_of_pairs(samples, distances)
        value = mean / usual
        return Jackknife(value, pseudo_values(value, without / usual), pseudo_values(value, mean / usual_without))
