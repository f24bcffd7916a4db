"""The toy data is drawn from the densities that it reports."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import special, stats

from harness import Data, DataSource, Noise
from harness_datasets.toys import MixtureToy, PPCAToy


def load(toy, **settings) -> Data:
    return toy(toy.Config(**settings)).load(DataSource(None, Path(), print))


def log_prob(data: Data, x) -> np.ndarray:
    assert data.log_prob is not None
    values = data.log_prob(torch.as_tensor(x))
    assert values.dtype == torch.float64
    return values.numpy()


def reported_covariance(data: Data) -> np.ndarray:
    """Return the covariance of a Gaussian around zero, from its log-density −½ xᵀ P x + c at a few places."""
    axes = np.eye(data.info.dim)
    at_zero = log_prob(data, np.zeros((1, data.info.dim)))
    along = log_prob(data, axes) - at_zero
    both = np.stack([log_prob(data, axes + axis) for axis in axes]) - at_zero
    return np.linalg.inv(along[:, None] + along - both)


@pytest.mark.parametrize("settings", [{}, {"dim": 3, "latent_dim": 3, "noise": 0.1}, {"dim": 2, "latent_dim": 5}])
def test_the_density_of_ppca_is_gaussian_to_the_last_digits(settings) -> None:
    data = load(PPCAToy, **settings)
    x = data.test.all(Noise(0))
    expected = stats.multivariate_normal(np.zeros(data.info.dim), reported_covariance(data)).logpdf(x.double().numpy())
    assert log_prob(data, x) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_ppca_has_the_spectrum_of_its_model_and_its_vectors_the_reported_covariance() -> None:
    data = load(PPCAToy, dim=6, latent_dim=2, noise=0.3, train=200_000)
    reported = reported_covariance(data)
    eigenvalues = np.linalg.eigvalsh(reported)
    assert eigenvalues[:4] == pytest.approx(0.09)
    assert eigenvalues[4] > 0.5
    x = data.train.all(Noise(0)).double().numpy()
    spread = np.sqrt(np.outer(reported.diagonal(), reported.diagonal()))
    assert np.abs(x.mean(0) / reported.diagonal() ** 0.5).max() < 5 / len(x) ** 0.5
    assert np.abs((np.cov(x.T) - reported) / spread).max() < 5 * 2**0.5 / len(x) ** 0.5


def test_the_density_of_the_mixture_is_that_of_gaussians_around_the_means_of_its_labels() -> None:
    data = load(MixtureToy, train=200_000, components=5, deviation=0.2)
    x, labels = data.train.all(Noise(0)).double().numpy(), data.train.labels
    assert labels is not None
    assert data.info.classes == 5
    counts = labels.bincount().numpy()
    assert stats.chisquare(counts).pvalue > 1e-3
    groups = [x[labels.numpy() == k] for k in range(5)]
    means = np.stack([group.mean(0) for group in groups])
    for group in groups:
        assert group.std(0) == pytest.approx(0.2, rel=0.03)
    test = data.test.all(Noise(0)).double().numpy()
    parts = [stats.multivariate_normal(mean, 0.2**2).logpdf(test) for mean in means]
    expected = special.logsumexp(parts, axis=0) - np.log(5)
    assert log_prob(data, test) == pytest.approx(expected, abs=0.05)


def test_the_density_of_the_mixture_integrates_to_one() -> None:
    data = load(MixtureToy, deviation=0.3)
    axis = np.linspace(-6, 6, 601)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    assert np.exp(log_prob(data, grid)).sum() * (axis[1] - axis[0]) ** 2 == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("toy", [PPCAToy, MixtureToy])
def test_toy_data_depends_on_the_seed_and_its_splits_are_independent(toy) -> None:
    data, again, longer, other = load(toy), load(toy), load(toy, train=20_000), load(toy, seed=1)
    assert torch.equal(data.train.stored, again.train.stored)
    assert torch.equal(data.test.stored, longer.test.stored)
    assert not torch.equal(data.test.stored, other.test.stored)
    assert not torch.equal(data.train.stored[:1000], data.validation.stored)
    assert [len(split) for split in data.splits.values()] == [10_000, 1_000, 2_000]
    assert data.info.support == "real"


def test_the_density_is_kept_when_the_data_changes_device() -> None:
    data = load(MixtureToy)
    moved = data.to("cpu")
    assert moved.log_prob is data.log_prob
    x = data.test.all(Noise(0))
    assert data.log_prob(x.requires_grad_()).requires_grad
