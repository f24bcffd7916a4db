"""Feature likelihood divergence: the likelihood of test images under a mixture around the samples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from harness import Noise, NotApplicable, derive_seed, setting
from harness_metrics.quality.resampling import Resampled, by_half_samples
from harness_metrics.quality.sample_quality import QualitySettings, SampleQuality

_epochs, _learning_rate = 50, 0.5
_background_scale = 0.9**2  # of squared distances from the mean of the training images
_nearest = 1e-3  # added to squared distances, for samples that are training images


class FeatureLikelihoodDivergence(SampleQuality):
    """100 / d · (NLL of test images − that of a mixture around training images) (Jiralerspong et al., 2023).

    Features are standardised by the test images. A mixture of Gaussians is centred on the samples, and its variances
    are fitted to training images, by Adam as in the authors' code. A sample that is a copy of a training image gets a
    variance near 0, which makes test images unlikely: the metric sees fidelity, diversity and memorisation. The mixture
    compared with is centred on half of the training images and fitted to the other half. The value is 0 for samples as
    good as new training images.
    """

    @dataclass(frozen=True)
    class Config(QualitySettings):
        """Settings."""

        train_images: int = setting(2000, "training images to fit the variances to, chosen at random", minimum=4)

    check_settings: ClassVar = {"features": "pixels", "samples": 50, "train_images": 50}
    unit: ClassVar = "100 nats per dimension"
    direction: ClassVar = "lower"
    aspect: ClassVar = "memorisation"
    limits: ClassVar = "One number for quality, diversity and memorisation: it does not say which of them is lacking."
    uses_train: ClassVar = True

    def __init__(self, config: Config) -> None:
        self.config = config

    def compare(self, samples: Tensor, test: Tensor, train: Tensor) -> float:
        """Return the value for features of samples ``(m, d)``, test ``(n, d)`` and training images ``(N, d)``.

        Raises:
            NotApplicable: all test images are equal.
        """
        samples, test, train = self._standardized(samples, test, train)
        return _divergence(samples, test, _baseline(len(samples), test, train), train)

    def resample(self, samples: Tensor, test: Tensor, train: Tensor) -> Resampled:
        """Return the value with its error; the mixture around training images is fitted only once."""
        samples, test, train = self._standardized(samples, test, train)
        with_baseline = torch.cat([test, _baseline(len(samples), test, train).unsqueeze(1)], 1)
        return by_half_samples(
            samples, with_baseline, lambda some, other: _divergence(some, other[:, :-1], other[:, -1], train)
        )

    def _standardized(self, samples: Tensor, test: Tensor, train: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return features in units of the test images' standard deviation, and fewer of ``train``.

        Features that are the same for all test images are left out.
        """
        order = Noise(derive_seed("quality", "mixture")).permutation(len(train)).to(train.device)
        train = train[order[: self.config.train_images]]
        mean, deviation = test.mean(0), test.std(0)
        varies = deviation > 0
        if not varies.any():
            raise NotApplicable("all test images are equal")
        samples, test, train = (((each - mean) / deviation)[:, varies] for each in (samples, test, train))
        return samples, test, train


def _baseline(size: int, test: Tensor, train: Tensor) -> Tensor:
    """Return −log p(x) / d of test images under the mixture around training images, ``(n,)`` nats."""
    half = min(size, len(train) // 2)
    return _negative_log_likelihood(train[:half], test, fitted_to=train[half:])


def _divergence(samples: Tensor, test: Tensor, baseline: Tensor, train: Tensor) -> float:
    return 100 * float((_negative_log_likelihood(samples, test, fitted_to=train) - baseline).mean())


def _negative_log_likelihood(centres: Tensor, x: Tensor, fitted_to: Tensor) -> Tensor:
    """Return −log p(x) / d under the fitted mixture, ``(n,)`` nats."""
    log_variances = fit_log_variances(centres, fitted_to)
    terms = log_normal(torch.cdist(x, centres).square(), log_variances, x.shape[1])
    return -(terms.logsumexp(1) - math.log(len(centres))) / x.shape[1]


@torch.enable_grad()
def fit_log_variances(centres: Tensor, x: Tensor) -> Tensor:
    """Return the logarithms of the variances, ``(m,)``, of a mixture with equal weights, fitted to ``x`` ``(N, d)``.

    They start at the most likely value for the nearest example. A wide component around the mean of ``x`` keeps
    examples that are far from every centre from dominating; it is no part of the result.
    """
    m, d = centres.shape
    distances = torch.cdist(x, centres).square()
    far = _background_scale * torch.cdist(x, x.mean(0, keepdim=True)).square()
    log_variances = ((distances.amin(0) + _nearest) / d).log().requires_grad_()
    background = torch.zeros(1, dtype=x.dtype, device=x.device, requires_grad=True)
    adam = torch.optim.Adam([log_variances, background], lr=_learning_rate)
    for _ in range(_epochs):
        adam.zero_grad()
        terms = log_normal(distances, log_variances, d) - math.log(m)
        likelihood = torch.cat([terms, log_normal(far, background, d)], 1).logsumexp(1)
        (-likelihood.mean() / d).backward()
        adam.step()
        with torch.no_grad():
            log_variances.clamp_(-40, 20)
    return log_variances.detach()


def log_normal(squared_distances: Tensor, log_variances: Tensor, dimensions: int) -> Tensor:
    """Return log N(x; μ, s I) from ‖x − μ‖² ``(N, m)`` and log s ``(m,)``, in ``dimensions`` dimensions, ``(N, m)``."""
    return -0.5 * (squared_distances / log_variances.exp() + dimensions * (log_variances + math.log(2 * math.pi)))
