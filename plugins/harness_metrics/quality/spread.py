"""Memorisation of training images, authenticity, and diversity of samples."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from harness import Context, Data, Estimate, Noise, NotApplicable, derive_seed, setting
from harness_metrics.quality.distances import by_rows, distances, nearest, radii, sums_over_others
from harness_metrics.quality.resampling import Resampled, by_half_samples
from harness_metrics.quality.sample_quality import QualitySettings, SampleQuality

_standard_errors = 5.0  # below 1, beyond which a ratio is no chance


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

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Compare samples with training images, and warn if they are significantly closer than test images are.

        Raises:
            NotApplicable: see ``SampleQuality.measure``.
            Diverged: a sample is not finite.
        """
        estimate = super().measure(model, data, context)
        if estimate.stderr is None or estimate.value + _standard_errors * estimate.stderr >= 1:
            return estimate
        return replace(estimate, warning="samples are closer to training images than real images are: copies, or blur")


def _ratio_of_medians(samples: Tensor, test: Tensor) -> float:
    usual = float(test.median())
    if usual == 0:
        raise NotApplicable("at least half of the test images are training images")
    return float(samples.median()) / usual


class Authenticity(SampleQuality):
    """The share of samples that are farther from the nearest training image than that image is from its own neighbour.

    A sample that is closer may be a copy (Alaa et al., 2022). New real images have about a half, or a little more.
    Noise has 1, so that neither direction is better.
    """

    @dataclass(frozen=True)
    class Config(QualitySettings):
        """Settings."""

        train_images: int = setting(10_000, "training images to compare with, chosen at random", minimum=2)

    unit: ClassVar = "share of samples"
    direction: ClassVar = None
    aspect: ClassVar = "memorisation"
    limits: ClassVar = "Cannot see copies of images that it does not compare with, or how good the samples are."
    uses_train: ClassVar = True
    sure_at: ClassVar = (0, 1)

    def __init__(self, config: Config) -> None:
        self.config = config

    def compare(self, samples: Tensor, test: Tensor, train: Tensor) -> float:
        """Return the share for features of samples ``(m, d)`` and training images ``(N, d)``."""
        return float(self._authentic(samples, train).mean())

    def resample(self, samples: Tensor, test: Tensor, train: Tensor) -> Resampled:
        """Return the share with its error, which needs each distance only once; arguments as in ``compare``."""
        authentic = self._authentic(samples, train)
        return by_half_samples(authentic, authentic, lambda some, _: float(some.mean()))

    def _authentic(self, samples: Tensor, train: Tensor) -> Tensor:
        """Return whether each sample is authentic, as 0 or 1, ``(m,)``."""
        order = Noise(derive_seed("quality", "authenticity")).permutation(len(train)).to(train.device)
        train = train[order[: self.config.train_images]]
        own = radii(train, 1)

        def of_rows(rows: Tensor, place: slice) -> Tensor:
            closest = distances(rows, train).min(1)
            return (own[closest.indices] < closest.values).double()

        return by_rows(samples, of_rows)


class VendiScore(SampleQuality):
    """The exponential of the entropy of the eigenvalues of K / n (Friedman and Dieng, 2023).

    K are the cosine similarities of n samples. It is an effective number of different samples: 1 if all are equal, n if
    all are orthogonal, and in d dimensions at most d. Noise is more diverse than images, so that neither direction is
    better; ``real images`` is what to compare with.
    """

    Config = QualitySettings
    unit: ClassVar = "effective samples"
    direction: ClassVar = None
    aspect: ClassVar = None
    limits: ClassVar = "Looks at samples only: cannot see whether they are like the data."

    def __init__(self, config: QualitySettings) -> None:
        self.config = config

    def compare(self, samples: Tensor, test: Tensor, train: Tensor) -> float:
        """Return the score of features of samples ``(m, d)``; the others play no part."""
        directions = torch.nn.functional.normalize(samples, dim=1)
        wide = directions.shape[1] > len(directions)
        product = directions @ directions.T if wide else directions.T @ directions  # of the same eigenvalues
        return float(torch.special.entr(torch.linalg.eigvalsh(product / len(samples)).clamp(min=0)).sum().exp())


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
