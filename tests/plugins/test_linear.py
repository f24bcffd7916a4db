"""Linear models agree with known exact results."""

import numpy as np
import pytest
import scipy.sparse.linalg
import torch
from threadpoolctl import threadpool_info, threadpool_limits
from torch.distributions import MultivariateNormal, kl_divergence

from harness import Context, Data, Examples, Noise, NotApplicable, Split
from harness.data.transforms import Dequantize
from harness.toolkit import elbo_terms, log_importance_weights, using_threads
from harness_linear.eigenpairs import leading_eigenpairs
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


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every covariance of more than 20 k values be a large one, of which only k eigenpairs are computed."""
    monkeypatch.setattr("harness_linear.eigenpairs._all", 0)


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the sizes of the covariances of which all eigenpairs are computed from now on."""
    sizes: list[int] = []
    eigh = torch.linalg.eigh

    def counted(matrix: torch.Tensor):
        sizes.append(len(matrix))
        return eigh(matrix)

    monkeypatch.setattr("torch.linalg.eigh", counted)
    return sizes


def with_spectrum(leading: list[float], rest: torch.Tensor) -> torch.Tensor:
    """Return a symmetric matrix with these eigenvalues and random eigenvectors."""
    values = torch.cat([torch.tensor(leading, dtype=torch.float64), rest])
    generator = torch.Generator().manual_seed(0)
    vectors = torch.linalg.qr(torch.randn(len(values), len(values), generator=generator, dtype=torch.float64)).Q
    matrix = (vectors * values) @ vectors.T
    return (matrix + matrix.T) / 2


def descending(n: int) -> torch.Tensor:
    return torch.linspace(0.9, 0.1, n, dtype=torch.float64)


def nothing(n: int) -> torch.Tensor:
    return torch.zeros(n, dtype=torch.float64)


def of_examples(n: int, d: int, constant: int) -> torch.Tensor:
    """Return the covariance of n random examples of d values, of which some are constant."""
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x[:, :constant] = 0.5
    return x.T.cov(correction=0)


spectra = {
    "no gap": with_spectrum([], 1 + 1e-3 * descending(300)),
    "every eigenvalue is the same": with_spectrum([], torch.ones(300, dtype=torch.float64)),
    "the identity": torch.eye(300, dtype=torch.float64),
    "equal eigenvalues": with_spectrum([5.0] * 6 + [3.0] * 3, descending(291)),
    "more equal eigenvalues than k": with_spectrum([5.0] * 15, descending(285)),
    "one of n values is 1": torch.eye(300, dtype=torch.float64) / 300 - 1 / 300**2,
    "rank 3": with_spectrum([3.0, 2.0, 1.0], nothing(297)),
    "rank 3, uncorrelated": torch.cat([torch.tensor([3.0, 2.0, 1.0]), torch.zeros(297)]).double().diag(),
    "rank k": with_spectrum([10.0 - i for i in range(10)], nothing(290)),
    "ten decades": with_spectrum([10.0**-i for i in range(10)], 1e-11 * descending(290)),
    "small units": 1e-30 * with_spectrum([], descending(300)),
    "large units": 1e30 * with_spectrum([], descending(300)),
    "fewer examples than k": of_examples(8, 300, constant=0),
    "constant pixels": of_examples(500, 300, constant=100),
    "just above 20 k values": of_examples(500, 201, constant=0),
}


@pytest.mark.parametrize("spectrum", spectra)
def test_the_leading_eigenpairs_alone_are_those_of_the_full_decomposition(large, full, spectrum: str) -> None:
    covariance, k = spectra[spectrum], 10
    values, vectors, rest = leading_eigenpairs(covariance, k)
    assert not full
    expected = torch.linalg.eigvalsh(covariance)
    scale = float(expected[-1])
    torch.testing.assert_close(values, expected[-k:], rtol=1e-10, atol=1e-14 * scale)
    torch.testing.assert_close(rest, expected[:-k].sum(), rtol=1e-10, atol=1e-13 * scale)
    torch.testing.assert_close(vectors.T @ vectors, torch.eye(k, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(covariance @ vectors, vectors * values, rtol=0, atol=1e-8 * scale)
    again = leading_eigenpairs(covariance, k)
    assert all(map(torch.equal, (values, vectors, rest), again))  # though restarts of the method are random


def test_the_leading_eigenvectors_span_the_same_subspace_if_there_is_a_gap(large, full) -> None:
    covariance = with_spectrum([5.0] * 6 + [3.0] * 4, descending(290))
    _, vectors, _ = leading_eigenpairs(covariance, 10)
    assert not full
    _, expected = torch.linalg.eigh(covariance)
    cosines = torch.linalg.svdvals(vectors.T @ expected[:, -10:])
    torch.testing.assert_close(cosines, torch.ones_like(cosines), rtol=0, atol=1e-13)
    across = expected[:, :-10].T @ vectors  # the sines of the angles, which are more exact than the cosines
    assert float(torch.linalg.matrix_norm(across, 2)) < 1e-12


@pytest.mark.parametrize(
    ("covariance", "k"),
    [
        pytest.param(torch.zeros(300, 300, dtype=torch.float64), 10, id="constant examples"),
        pytest.param(of_examples(500, 200, constant=0), 10, id="k is a 20th of the values"),
        pytest.param(of_examples(500, 50, constant=0), 50, id="k is all values"),
    ],
)
def test_all_eigenpairs_are_computed_where_the_leading_ones_alone_would_take_longer(
    large, full, capfd: pytest.CaptureFixture[str], covariance: torch.Tensor, k: int
) -> None:
    values, vectors, rest = leading_eigenpairs(covariance, k)
    assert full == [len(covariance)]
    assert not capfd.readouterr().out
    expected, directions = torch.linalg.eigh(covariance)
    assert torch.equal(values, expected[-k:])
    assert torch.equal(vectors, directions[:, -k:])
    assert torch.equal(rest, expected[:-k].sum())


def test_all_eigenpairs_are_computed_if_the_leading_ones_alone_take_too_long(large, full, monkeypatch) -> None:
    covariance = spectra["no gap"]
    expected = leading_eigenpairs(covariance, 10)
    assert not full
    monkeypatch.setattr("harness_linear.eigenpairs._products", 60)
    values, vectors, rest = leading_eigenpairs(covariance, 10)
    assert full == [300]
    torch.testing.assert_close(values, expected[0], rtol=1e-12, atol=0)
    torch.testing.assert_close((vectors * expected[1]).sum(0).abs(), torch.ones_like(values), rtol=1e-10, atol=0)
    torch.testing.assert_close(rest, expected[2], rtol=1e-12, atol=0)


def test_the_leading_eigenpairs_are_computed_with_the_threads_of_the_fit(large, full, monkeypatch) -> None:
    seen: list[int] = []
    usual = scipy.sparse.linalg.eigsh

    def watched(*arguments, **options):
        seen.extend(each["num_threads"] for each in threadpool_info() if each["prefix"] != "libiomp")
        return usual(*arguments, **options)

    monkeypatch.setattr("scipy.sparse.linalg.eigsh", watched)
    with using_threads(1), threadpool_limits(2, "blas"):
        leading_eigenpairs(spectra["no gap"], 10)
    assert not full
    assert set(seen) == {1}


def test_all_eigenpairs_are_computed_up_to_the_size_of_the_built_in_data_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    class AllPairsError(Exception):
        pass

    def refused(matrix: torch.Tensor) -> None:
        raise AllPairsError

    monkeypatch.setattr("torch.linalg.eigh", refused)
    covariance = torch.eye(3 * 32 * 32 + 1, dtype=torch.float64)
    for d in (28 * 28, 3 * 32 * 32):
        with pytest.raises(AllPairsError):
            leading_eigenpairs(covariance[:d, :d], 10)
    leading_eigenpairs(covariance, 10)


@pytest.fixture
def correlated() -> Data:
    """Return examples of 120 correlated values: 300 for training, and 60 for validation and for testing."""
    mixing = torch.randn(120, 120, generator=torch.Generator().manual_seed(0)) / torch.arange(1, 121)

    def examples(n: int) -> Examples:
        return Examples(torch.randn(n, 120, generator=torch.Generator().manual_seed(n)) @ mixing.T)

    return Data.from_tensors(examples(300), examples(61), examples(60))


def test_the_error_of_pca_on_large_examples_is_the_sum_of_the_trailing_eigenvalues(large, full, correlated) -> None:
    model = PCA(correlated.info, PCA.Config(latent_dim=4)).double()
    model.fit(correlated.train, Noise(0))
    assert not full
    x = correlated.train.all(Noise(0)).double()
    error = (model.reconstruct(x) - x).square().sum(1).mean()
    torch.testing.assert_close(error, torch.linalg.eigvalsh(x.T.cov(correction=0))[:-4].sum(), rtol=1e-10, atol=0)


@linear_gaussian
def test_a_linear_gaussian_model_of_large_examples_has_the_density_by_all_eigenpairs(
    monkeypatch: pytest.MonkeyPatch, full, correlated: Data, factory
) -> None:
    x = correlated.test.all(Noise(0)).double()
    expected = fitted_in_float64(factory, correlated).log_prob(x)
    assert full
    full.clear()
    monkeypatch.setattr("harness_linear.eigenpairs._all", 0)
    model = fitted_in_float64(factory, correlated)
    assert not full
    torch.testing.assert_close(model.log_prob(x), expected, rtol=1e-10, atol=0)


def test_ppca_refuses_large_examples_without_noise(large, full) -> None:
    few = Examples(torch.randn(5, 120, generator=torch.Generator().manual_seed(0)))
    data = Data.from_tensors(few, few, few)
    with pytest.raises(NotApplicable, match="vary in at most latent_dim=4 dimensions"):
        fitted_in_float64(PPCA, data)
    assert not full
