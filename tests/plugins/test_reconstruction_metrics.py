"""Metrics of reconstructions, compared with simple computations in float64."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from harness import Context, Data, Estimate, Examples, Noise, NotApplicable
from harness_metrics.reconstruction.errors import ReconstructionBCE, ReconstructionMSE
from harness_metrics.reconstruction.image_quality import PSNR, SSIM

every = [ReconstructionMSE, ReconstructionBCE, PSNR, SSIM]


def pictures(channels: int, height: int, width: int, n: int = 5) -> Data:
    generator = torch.Generator().manual_seed(height * width)
    pixels = torch.randint(256, (n, channels, height, width), generator=generator, dtype=torch.uint8)
    return Data.from_tensors(*[Examples(pixels)] * 3)


class ReconstructsBy:
    """A model that reconstructs by a function and remembers its input."""

    def __init__(self, function) -> None:
        self.function = function

    def reconstruct(self, x: Tensor) -> Tensor:
        self.seen = x
        return self.function(x)


def identity() -> ReconstructsBy:
    return ReconstructsBy(lambda x: x)


def measured(metric, model, data: Data, seed: int = 0, **settings) -> Estimate:
    return metric(metric.Config(**settings)).measure(model, data, Context(Noise(seed), None, None, 0))


def ssim_by_hand(a: np.ndarray, b: np.ndarray) -> float:
    """Compute the mean similarity of two images ``(H, W)``, window by window."""
    steps = np.arange(11) - 5
    bell = np.exp(-(steps**2) / (2 * 1.5**2))
    weights = np.outer(bell, bell) / bell.sum() ** 2
    values = []
    for i in range(a.shape[0] - 10):
        for j in range(a.shape[1] - 10):
            p, q = a[i : i + 11, j : j + 11], b[i : i + 11, j : j + 11]
            mean_p, mean_q = (weights * p).sum(), (weights * q).sum()
            var_p, var_q = (weights * (p - mean_p) ** 2).sum(), (weights * (q - mean_q) ** 2).sum()
            covariance = (weights * (p - mean_p) * (q - mean_q)).sum()
            luminance = (2 * mean_p * mean_q + 0.01**2) / (mean_p**2 + mean_q**2 + 0.01**2)
            values.append(luminance * (2 * covariance + 0.03**2) / (var_p + var_q + 0.03**2))
    return float(np.mean(values))


@pytest.mark.parametrize("shape", [(1, 11, 11), (1, 13, 16), (3, 12, 14)])
def test_ssim_equals_its_definition(shape: tuple[int, int, int]) -> None:
    data = pictures(*shape)
    model = ReconstructsBy(lambda x: 0.7 * x + 0.3 * x.flip(0))
    x = data.test.all(Noise(0))
    estimate = measured(SSIM, model, data)
    expected = [
        np.mean([ssim_by_hand(ours, theirs) for ours, theirs in zip(a, b, strict=True)])
        for a, b in zip(model.function(x).double().numpy(), x.double().numpy(), strict=True)
    ]
    assert estimate.per_example.numpy() == pytest.approx(expected, abs=1e-5)
    assert estimate.stderr == pytest.approx(np.std(expected, ddof=1) / len(expected) ** 0.5, abs=1e-5)


def test_exact_reconstructions_have_the_best_values() -> None:
    data = pictures(1, 12, 12)
    assert measured(SSIM, identity(), data).value == pytest.approx(1.0, abs=1e-6)
    assert measured(PSNR, identity(), data).value == 100  # its maximum, instead of infinity
    assert measured(ReconstructionMSE, identity(), data).value == 0


def test_psnr_is_the_squared_error_of_each_image_in_decibels() -> None:
    data = pictures(2, 6, 5)
    model = ReconstructsBy(lambda x: x.square())
    ratio, error = measured(PSNR, model, data), measured(ReconstructionMSE, model, data)
    torch.testing.assert_close(ratio.per_example, -10 * error.per_example.log10(), rtol=1e-7, atol=0)
    assert ratio.value == pytest.approx(float(ratio.per_example.mean()))
    tenth = ReconstructsBy(lambda x: torch.where(x < 0.5, x + 0.1, x - 0.1))
    assert measured(PSNR, tenth, data).value == pytest.approx(20, abs=1e-5)


@pytest.mark.parametrize("metric", [PSNR, SSIM])
def test_reconstructions_are_clipped_to_the_range_of_the_data(metric) -> None:
    data = pictures(1, 12, 12)
    beyond, clipped = ReconstructsBy(lambda x: 3 * x - 1), ReconstructsBy(lambda x: (3 * x - 1).clamp(0, 1))
    assert measured(metric, beyond, data).value == measured(metric, clipped, data).value


def test_image_quality_needs_large_enough_images_in_the_unit_interval(small_data: Data) -> None:
    with pytest.raises(NotApplicable, match="11 × 11"):
        measured(SSIM, identity(), small_data)
    with pytest.raises(NotApplicable, match="11 × 11"):
        measured(SSIM, identity(), Data.from_tensors(*[Examples(torch.rand(4, 200))] * 3, support="unit"))
    real = Data.from_tensors(*[Examples(torch.randn(4, 1, 12, 12))] * 3)
    for metric in (SSIM, PSNR, ReconstructionBCE):
        with pytest.raises(NotApplicable, match=r"\[0, 1\], but this is real"):
            measured(metric, identity(), real)


@pytest.mark.parametrize("metric", every)
def test_reconstructions_of_corrupted_images_are_compared_with_clean_images(metric) -> None:
    data = pictures(1, 12, 12, n=50)
    x = data.test.all(Noise(0))
    model = identity()
    estimate = measured(metric, model, data, seed=3, corruption=0.2)
    noise = model.seen - x
    assert float(noise.std()) == pytest.approx(0.2, rel=0.02)
    assert float(noise.mean()) == pytest.approx(0, abs=0.01)
    # A model that removes the noise is perfect.
    knows = measured(metric, ReconstructsBy(lambda seen: x), data, seed=3, corruption=0.2)
    assert knows.value == measured(metric, identity(), data).value
    sign = 1 if metric.direction == "higher" else -1
    assert sign * knows.value > sign * estimate.value


def test_corruption_depends_on_the_seed_of_the_evaluation_and_not_on_the_model() -> None:
    data = pictures(1, 12, 12)
    one, other, again = identity(), ReconstructsBy(lambda x: x.square()), identity()
    measured(ReconstructionMSE, one, data, seed=3, corruption=0.2)
    measured(PSNR, other, data, seed=3, corruption=0.2)
    measured(ReconstructionMSE, again, data, seed=4, corruption=0.2)
    assert torch.equal(one.seen, other.seen)
    assert not torch.equal(one.seen, again.seen)


def test_the_squared_error_of_unchanged_corrupted_images_is_the_variance_of_the_noise() -> None:
    estimate = measured(ReconstructionMSE, identity(), pictures(1, 28, 28, n=200), corruption=0.3)
    assert estimate.value == pytest.approx(0.09, abs=5 * estimate.stderr)


def test_the_cross_entropy_equals_torchs_with_clipped_reconstructions() -> None:
    data = pictures(1, 4, 4)
    x = data.test.all(Noise(0)).double()
    estimate = measured(ReconstructionBCE, ReconstructsBy(lambda x: 3 * x - 1), data, epsilon=0.01)
    ours = (3 * data.test.all(Noise(0)) - 1).double().clamp(0.01, 0.99)
    expected = F.binary_cross_entropy(ours, x, reduction="none").flatten(1).mean(1)
    torch.testing.assert_close(estimate.per_example, expected)
    white = Data.from_tensors(*[Examples(torch.full((3, 1, 2, 2), 255, dtype=torch.uint8))] * 3)
    half = measured(ReconstructionBCE, ReconstructsBy(lambda x: x / 2), white)
    assert half.value == pytest.approx(math.log(2))
