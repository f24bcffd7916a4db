"""Linear models agree with known exact results."""

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

from harness import Context, Data, Examples, Noise, NotApplicable, Split
from harness.data.transforms import Dequantize
from harness.toolkit import elbo_terms, log_importance_weights
from harness_linear.factor_analysis import FactorAnalysis
from harness_linear.linear_ae import LinearAutoencoder
from harness_linear.linear_gaussian import LinearGaussian
from harness_linear.moments import moments
from harness_linear.pca import PCA
from harness_linear.ppca import PPCA
from harness_metrics.likelihood.exact import ExactLogLikelihood


@torch.no_grad()
def training_error(model, data: Data) -> float:
    x = data.train.all(Noise(0))
    return float((model.reconstruct(x) - x).double().square().mean())


def test_moments_of_many_examples_are_merged_from_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def inputs(stored: torch.Tensor, noise: Noise) -> torch.Tensor:
        drawn.append(len(stored))
        return stored + noise.uniform(*stored.shape)

    values = torch.randn(20_000, 6, generator=torch.Generator().manual_seed(0)).cumsum(0)  # batches differ in the mean
    train = Split(values, None, torch.arange(20_000), inputs)
    x = train.all(Noise(1)).double()
    for limit, sizes in ((2**28, [20_000]), (6 * 8192, [8192, 8192, 3616])):
        monkeypatch.setattr("harness_linear.moments._values", limit)
        drawn.clear()
        mean, covariance = moments(train, Noise(1))
        assert drawn == sizes
        torch.testing.assert_close(mean, x.mean(0), rtol=1e-12, atol=0)
        torch.testing.assert_close(covariance, x.T.cov(correction=0), rtol=1e-10, atol=0)


def test_pca_is_the_truncated_singular_value_decomposition(fit, small_data: Data) -> None:
    model = fit(PCA, PCA.Config(latent_dim=4), small_data, epochs=20)
    x = small_data.train.all(Noise(0)).flatten(1).double()
    centred = x - x.mean(0)
    _, s, _ = torch.linalg.svd(centred, full_matrices=False)
    assert training_error(model, small_data) == pytest.approx(float(s[4:].square().sum()) / x.numel(), rel=1e-5)


def test_pca_with_all_components_reconstructs_exactly(fit, small_data: Data) -> None:
    model = fit(PCA, PCA.Config(latent_dim=30), small_data, epochs=20)
    assert training_error(model, small_data) < 1e-10


def test_pca_refuses_more_components_than_there_are_values(fit, small_data: Data) -> None:
    with pytest.raises(NotApplicable, match="30 values"):
        fit(PCA, PCA.Config(latent_dim=31), small_data, epochs=20)


def test_a_linear_autoencoder_approaches_pca_on_its_training_set_and_never_beats_it(fit, small_data: Data) -> None:
    best = training_error(fit(PCA, PCA.Config(latent_dim=4), small_data, epochs=20), small_data)
    learned = training_error(
        fit(LinearAutoencoder, LinearAutoencoder.Config(latent_dim=4, learning_rate=1e-2), small_data, epochs=60),
        small_data,
    )
    assert best <= learned < 1.02 * best


@pytest.mark.full_mnist
def test_pca_and_the_linear_autoencoder_reach_published_errors_on_mnist(fit, full_mnist: Data) -> None:
    x = full_mnist.test.all(Noise(0))

    @torch.no_grad()
    def error(model) -> float:
        return float((model.reconstruct(x) - x).double().square().mean())

    for k, published in {2: 0.05567, 10: 0.03407, 32: 0.01683}.items():
        assert error(fit(PCA, PCA.Config(latent_dim=k), full_mnist, epochs=20)) == pytest.approx(published, rel=0.01)
    learned = error(fit(LinearAutoencoder, LinearAutoencoder.Config(latent_dim=32), full_mnist, epochs=5))
    assert learned == pytest.approx(0.01683, rel=0.02)


linear_gaussian = pytest.mark.parametrize("factory", [PPCA, FactorAnalysis])


def fitted_in_float64(factory, data: Data, k: int = 4, **settings) -> LinearGaussian:
    model = factory(data.info, factory.Config(latent_dim=k, **settings)).double()
    model.fit(data.train, Noise(0))
    return model


def covariance(model: LinearGaussian):
    return model.loadings @ model.loadings.T + model.noise_variance.expand_as(model.mean).diag()


def test_ppca_has_the_log_likelihood_of_scikit_learn(small_data: Data) -> None:
    from sklearn import decomposition

    model = fitted_in_float64(PPCA, small_data)
    train, x = (split.all(Noise(0)).flatten(1).double().numpy() for split in (small_data.train, small_data.test))
    # scikit-learn divides the covariance by N - 1, maximum likelihood by N.
    shrunk = train.mean(0) + (train - train.mean(0)) * np.sqrt(1 - 1 / len(train))
    expected = decomposition.PCA(4, svd_solver="full").fit(shrunk).score_samples(x)
    np.testing.assert_allclose(model.log_prob(small_data.test.all(Noise(0))).numpy(), expected, rtol=1e-6)


def test_factor_analysis_has_the_likelihood_of_scikit_learn_and_more_than_ppca() -> None:
    from sklearn.decomposition import FactorAnalysis as Reference

    noise = Noise(0)
    loadings, scales = noise.normal(8, 2), 0.2 + noise.uniform(8)

    def drawn(n: int) -> Examples:
        return Examples(noise.normal(n, 2) @ loadings.T + scales * noise.normal(n, 8))

    data = Data.from_tensors(drawn(500), drawn(20), drawn(20))
    x = data.train.all(Noise(0)).double()
    ours = fitted_in_float64(FactorAnalysis, data, k=2, tolerance=1e-9, iterations=1000).log_prob(x).mean()
    reference = Reference(2, tol=1e-4, svd_method="lapack").fit(x.numpy())
    assert float(ours) == pytest.approx(reference.score(x.numpy()), abs=1e-4)
    assert ours > fitted_in_float64(PPCA, data, k=2).log_prob(x).mean() + 0.1


@linear_gaussian
def test_the_exact_density_is_that_of_the_marginal_gaussian(small_data: Data, factory) -> None:
    model = fitted_in_float64(factory, small_data)
    x = small_data.test.all(Noise(0)).double()
    marginal = MultivariateNormal(model.mean, covariance(model))
    torch.testing.assert_close(model.log_prob(x), marginal.log_prob(x.flatten(1)), rtol=1e-9, atol=1e-9)
    in_float32 = factory(small_data.info, factory.Config(latent_dim=4))
    in_float32.fit(small_data.train, Noise(0))
    torch.testing.assert_close(in_float32.log_prob(x), model.log_prob(x), rtol=1e-5, atol=1e-4)


@linear_gaussian
def test_the_posterior_follows_from_bayes_rule(small_data: Data, factory) -> None:
    model = fitted_in_float64(factory, small_data)
    x = small_data.test.all(Noise(0)).double()
    # Condition the joint Gaussian of (z, x), whose covariance is [[I, W'], [W, C]].
    gain = model.loadings.T @ covariance(model).inverse()
    posterior = model.posterior(x)
    torch.testing.assert_close(posterior.mean, (x.flatten(1) - model.mean) @ gain.T)
    exact = torch.eye(4, dtype=torch.float64) - gain @ model.loadings
    torch.testing.assert_close(posterior.variance.diag_embed(), exact.expand(len(x), 4, 4))


@linear_gaussian
def test_at_the_exact_posterior_every_bound_is_the_log_likelihood_of_each_example(small_data: Data, factory) -> None:
    model = fitted_in_float64(factory, small_data)
    x = small_data.test.all(Noise(0)).double()
    exact = model.log_prob(x)
    weights = log_importance_weights(model, x, 3, Noise(0))  # each is log p(x), wherever z is
    torch.testing.assert_close(weights, exact.expand(3, -1), rtol=1e-9, atol=1e-9)
    posterior = model.posterior(x)
    # E_q[log p(x | z)] is log p(x | z) at the mean less half of what the codes' variance adds to the squared error.
    precision = (model.loadings.square() / model.noise_variance.unsqueeze(1)).sum(0)
    expected = model.observation(posterior.mean).log_prob(x) - 0.5 * (posterior.variance * precision).sum(1)
    terms = elbo_terms(model, x, Noise(0))
    torch.testing.assert_close(terms.kl, kl_divergence(posterior, model.prior()))
    torch.testing.assert_close(expected - terms.kl, exact, rtol=1e-9, atol=1e-9)
    gap = expected - terms.reconstruction
    assert abs(float(gap.mean())) < 5 * float(gap.std()) / len(x) ** 0.5


@linear_gaussian
def test_samples_have_the_mean_and_covariance_of_the_model(small_data: Data, factory) -> None:
    model = factory(small_data.info, factory.Config(latent_dim=4))
    model.fit(small_data.train, Noise(0))
    drawn = model.sample(100_000, Noise(0)).flatten(1)
    torch.testing.assert_close(drawn.mean(0), model.mean, atol=5e-3, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), covariance(model), atol=2e-3, rtol=0)


@linear_gaussian
def test_a_linear_gaussian_model_refuses_as_many_codes_as_values(fit, small_data: Data, factory) -> None:
    with pytest.raises(NotApplicable, match="30 values"):
        fit(factory, factory.Config(latent_dim=30), small_data, epochs=1)


def test_ppca_refuses_data_without_noise_and_factor_analysis_limits_the_variance(fit) -> None:
    def flat(n: int) -> Examples:
        return Examples(torch.cat([Noise(n).normal(n, 3), torch.zeros(n, 2)], 1))

    data = Data.from_tensors(flat(100), flat(20), flat(30))
    with pytest.raises(NotApplicable, match="latent_dim=3"):
        fit(PPCA, PPCA.Config(latent_dim=3), data, epochs=1)
    model = fit(FactorAnalysis, FactorAnalysis.Config(latent_dim=2, least_noise=1e-3), data, epochs=1)
    torch.testing.assert_close(model.noise_variance[3:], torch.full((2,), 1e-3))
    assert bool(model.log_prob(data.test.all(Noise(0))).isfinite().all())


@pytest.mark.full_mnist
def test_ppca_reaches_its_known_log_density_on_dequantized_mnist(fit, full_mnist: Data) -> None:
    data = Dequantize(Dequantize.Config()).apply(full_mnist)
    for k, known in {2: 17.46, 10: 189.17, 32: 412.49}.items():
        model = fit(PPCA, PPCA.Config(latent_dim=k), data, epochs=1)
        metric = ExactLogLikelihood(ExactLogLikelihood.Config())
        estimate = metric.measure(model, data, Context(Noise(0), None, None, 0))
        assert estimate.value == pytest.approx(known, abs=0.05)


def test_ppca_says_that_constant_data_leave_no_noise() -> None:
    same = Examples(torch.full((20, 5), 0.5))
    data = Data.from_tensors(same, same, same)
    with pytest.raises(NotApplicable, match="vary in at most latent_dim=2 dimensions"):
        PPCA(data.info, PPCA.Config(latent_dim=2)).fit(data.train, Noise(0))
