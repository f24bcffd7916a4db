"""Memorisation of training images, and diversity of samples."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from harness import Noise, NotApplicable, derive_seed
from harness_metrics.quality.distances import distances, jackknife, nearest, sums_over_others
from harness_metrics.quality.sample_quality import QualitySettings, Reference, SampleQuality, Score

resamples = 200


class Memorisation(SampleQuality):
    """The median distance from a sample to the nearest training image, divided by that of a test image.

    medianᵢ minₜ ‖f(sᵢ) − f(t)‖ / medianᵢ minₜ ‖f(xᵢ) − f(t)‖ over samples s, test images x and all training images t.
    It is 1 for new real images and 0 for copies. Samples unlike any image are above 1, so that neither direction is
    better. The standard error is over samples, by 200 bootstrap resamples. If training images are binarized or
    dequantized per batch, they are drawn once, and a copy of another draw is not at 0.
    """

    Config = QualitySettings
    unit: ClassVar = "times the distance of test images"
    direction: ClassVar = None

    def __init__(self, config: QualitySettings) -> None:
        self.config = config

    def score(self, samples: Tensor, reference: Reference) -> Score:
        """Score features of samples, ``(m, d)`` float64."""
        if reference.test_to_train == 0:
            raise NotApplicable("at least half of the test images are training images")
        found = nearest(samples, reference.train).cpu() / reference.test_to_train
        n, noise = len(found), Noise(derive_seed("quality", "bootstrap"))
        chosen = (noise.uniform(resamples, n) * n).long().clamp(max=n - 1)
        return Score(float(found.median()), float(found[chosen].median(1).values.std()))


class Diversity(SampleQuality):
    """The mean distance of two samples divided by that of two test images: 1 for real images, 0 for equal samples.

    Noise is more diverse than images, so that neither direction is better. The standard error is over samples, by the
    jackknife.
    """

    Config = QualitySettings
    unit: ClassVar = "times the distance of test images"
    direction: ClassVar = None

    def __init__(self, config: QualitySettings) -> None:
        self.config = config

    def least(self, reference: Reference) -> int:
        """Return 3: a pair must remain when the jackknife leaves one sample out."""
        return 3

    def score(self, samples: Tensor, reference: Reference) -> Score:
        """Score features of samples, ``(m, d)`` float64."""
        n, real = len(samples), reference.test
        scale = sums_over_others(real, distances).sum() / (len(real) * (len(real) - 1))
        if scale == 0:
            raise NotApplicable("all test images are equal")
        sums = sums_over_others(samples, distances)
        left_out = (sums.sum() - 2 * sums) / ((n - 1) * (n - 2))
        return Score(float(sums.sum() / (n * (n - 1)) / scale), jackknife(left_out / scale))
