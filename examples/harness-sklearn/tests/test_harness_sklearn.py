"""The checks of harness, and agreement with scikit-learn on the same data."""

import numpy as np
import pytest
import torch
from harness_sklearn.models import Factors, Kernels, Linear, Mixture, PrincipalComponents
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity

import harness
from harness.conformance import BoundCheck, parametrize


@parametrize("sklearn-pca", "sklearn-factor-analysis", "sklearn-mixture", "sklearn-kernel-density")
def test_it_passes(check: BoundCheck) -> None:
    check()


@pytest.fixture
def data() -> harness.Data:
    """Return 200 training, 50 validation and 50 test vectors of six correlated values."""
    generator = torch.Generator().manual_seed(1)
    mixing = torch.randn(6, 6, generator=generator)
    splits = [harness.Examples(torch.randn(n, 6, generator=generator) @ mixing) for n in (200, 50, 50)]
    return harness.Data.from_tensors(*splits)


def fitted(factory, data: harness.Data, **settings):
    model = factory(data.info, factory.Config(**settings))
    model.fit(data.train, harness.Noise(1, torch.device("cpu")))
    restored = factory(data.info, factory.Config(**settings))
    restored.load_state_dict(model.state_dict())
    return restored


def arrays(data: harness.Data) -> tuple[np.ndarray, np.ndarray]:
    return tuple(each.stored.double().numpy() for each in (data.train, data.test))


def measured(model, data: harness.Data, metric: str) -> float:
    (record,) = harness.evaluate(model, data, [metric], quiet=True).records
    return record.value


def test_pca_has_the_reconstruction_error_and_the_score_of_sklearn(data: harness.Data) -> None:
    model, (train, test) = fitted(PrincipalComponents, data, latent_dim=2), arrays(data)
    theirs = PCA(2).fit(train)
    error = np.square(theirs.inverse_transform(theirs.transform(test)) - test).mean()
    assert measured(model, data, "reconstruction-mse") == pytest.approx(error, rel=1e-5)
    assert measured(model, data, "log-likelihood-exact") == pytest.approx(theirs.score(test), rel=1e-5)


def test_factor_analysis_has_the_score_of_sklearn(data: harness.Data) -> None:
    model, (train, test) = fitted(Factors, data, latent_dim=2), arrays(data)
    theirs = FactorAnalysis(2, svd_method="lapack").fit(train)
    assert measured(model, data, "log-likelihood-exact") == pytest.approx(theirs.score(test), rel=1e-5)


def test_a_mixture_has_the_scores_of_sklearn(data: harness.Data) -> None:
    model, (_, test) = fitted(Mixture, data, components=3), arrays(data)
    theirs = GaussianMixture(3)
    for name in ("weights_", "means_", "precisions_cholesky_"):
        setattr(theirs, name, getattr(model, name).numpy())
    ours = model.log_prob(data.test.all(harness.Noise(0, torch.device("cpu"))))
    np.testing.assert_allclose(ours.numpy(), theirs.score_samples(test), rtol=1e-9)
    assert measured(model, data, "log-likelihood-exact") == pytest.approx(theirs.score(test), rel=1e-5)


def test_kernels_have_the_scores_of_sklearn(data: harness.Data) -> None:
    model, (_, test) = fitted(Kernels, data, points=100, bandwidth=0.7), arrays(data)
    theirs = KernelDensity(bandwidth=0.7).fit(model.kernels.numpy())
    expected = theirs.score_samples(test).mean()
    assert measured(model, data, "log-likelihood-exact") == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("factory", [PrincipalComponents, Factors])
def test_samples_have_the_covariance_of_the_density(factory: type[Linear], data: harness.Data) -> None:
    model = fitted(factory, data, latent_dim=2)
    samples = model.sample(200_000, harness.Noise(3, torch.device("cpu")))
    expected = model.fitted().get_covariance()
    np.testing.assert_allclose(np.cov(samples.numpy().T), expected, atol=0.03 * np.abs(expected).max())
