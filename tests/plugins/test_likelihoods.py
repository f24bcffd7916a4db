"""Estimates of log p(x), compared with exact values."""

import copy
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import in_double
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent, MultivariateNormal, Normal

from harness import Context, Data, DataSource, Examples, Noise, NotApplicable, draw
from harness.data.transforms import Binarize, Dequantize
from harness.results.comparison import Measured, compare
from harness.toolkit import ObservationSettings, PeakMemory, observed, sum_of_softplus
from harness_autoencoders.mlp_ae import MLPAutoencoder
from harness_datasets.toys import PPCAToy
from harness_gan.dcgan import DCGAN
from harness_gan.gan import GAN
from harness_linear.factor_analysis import FactorAnalysis
from harness_linear.linear_gaussian import LinearGaussian
from harness_linear.pca import PCA
from harness_linear.ppca import PPCA
from harness_metrics.likelihood.ais import AnnealingSettings, LogLikelihoodAIS
from harness_metrics.likelihood.exact import ExactLogLikelihood
from harness_metrics.likelihood.importance import LogLikelihoodIW
from harness_metrics.likelihood.monte_carlo import LogLikelihoodMC
from harness_metrics.likelihood.parzen import Parzen
from harness_metrics.likelihood.posterior_gap import PosteriorGap
from harness_metrics.likelihood.weights import Weights, importance_weighted, log_prob_of_pairs
from harness_vae.vae import VAE


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.no_grad():
        yield


def context(seed: int = 0) -> Context:
    return Context(Noise(seed), None, None, 0)


@pytest.fixture
def dequantized(small_data: Data) -> Data:
    return Dequantize(Dequantize.Config()).apply(small_data)


@pytest.fixture
def binarized(small_data: Data) -> Data:
    return Binarize(Binarize.Config()).apply(small_data)


def fitted(factory: type[LinearGaussian], data: Data) -> LinearGaussian:
    model = factory(data.info, factory.Config(latent_dim=2))
    model.fit(data.train, Noise(0))
    return model


def vae(data: Data) -> VAE:
    torch.manual_seed(0)
    return VAE(data.info, VAE.Config(latent_dim=3, hidden=(16,)))


class ShiftedPosterior(nn.Module):
    """A linear-Gaussian model whose proposal is the posterior shifted and widened."""

    def __init__(self, model: LinearGaussian, shift: float = 0.5, widen: float = 1.5) -> None:
        super().__init__()
        self.model, self.shift, self.widen = model, shift, widen
        self.prior, self.observation, self.log_prob = model.prior, model.observation, model.log_prob
        self.encoded = 0

    def posterior(self, x: Tensor) -> Distribution:
        self.encoded += len(x)
        exact = self.model.posterior(x)
        return Independent(Normal(exact.mean + self.shift * exact.stddev, self.widen * exact.stddev), 1)


@pytest.mark.parametrize("factory", [PPCA, FactorAnalysis])
def test_estimates_agree_with_the_exact_likelihood_of_a_linear_gaussian_model(factory, dequantized: Data) -> None:
    model = fitted(factory, dequantized)
    exact = ExactLogLikelihood(ExactLogLikelihood.Config()).measure(model, dequantized, context())
    mc = LogLikelihoodMC(LogLikelihoodMC.Config(samples=20_000))
    iw = LogLikelihoodIW(LogLikelihoodIW.Config(k=500))
    for estimate in (
        mc.measure(model, dequantized, context()),
        iw.measure(ShiftedPosterior(model), dequantized, context()),
    ):
        error = estimate.estimator_stderr
        assert 0 < error < 0.05
        assert estimate.value == pytest.approx(exact.value, abs=4 * error)
        assert estimate.measure == exact.measure
        bits = "per dimension (bits)"
        assert estimate.parts[bits] == pytest.approx((math.log(256) - estimate.value / 30) / math.log(2))
        assert estimate.warning is None


def test_the_estimators_standard_error_is_its_spread_over_repetitions(dequantized: Data) -> None:
    model = fitted(PPCA, dequantized)
    iw = LogLikelihoodIW(LogLikelihoodIW.Config(k=100))
    mc = LogLikelihoodMC(LogLikelihoodMC.Config(samples=2000))
    for metric, target in ((mc, model), (iw, ShiftedPosterior(model))):
        found = [metric.measure(target, dequantized, context(seed)) for seed in range(40)]
        spread = torch.tensor([each.value for each in found]).std()
        stated = torch.tensor([each.estimator_stderr for each in found]).mean()
        assert float(stated / spread) == pytest.approx(1, abs=0.35)


def test_shared_samples_do_not_tell_equal_densities_apart() -> None:
    data = PPCAToy(PPCAToy.Config(dim=4, noise=1.0, test=4000)).load(DataSource(None, None, print))
    model, metric = fitted(PPCA, data), LogLikelihoodMC(LogLikelihoodMC.Config(samples=500))
    model.loadings *= 0.7  # for the true density, the errors that images share cancel to first order
    rotated = copy.deepcopy(model)
    rotated.loadings.copy_(model.loadings @ torch.tensor([[0.6, -0.8], [0.8, 0.6]]))

    def row(model: LinearGaussian, seed: int) -> Measured:
        found = metric.measure(model, data, context(seed))
        over_images = float(found.per_example.std() / found.n**0.5)
        assert found.stderr == pytest.approx(math.hypot(over_images, found.estimator_stderr))
        ids, values = np.arange(found.n), found.per_example.numpy()
        shared = math.sqrt(max(0, found.stderr**2 - over_images**2))
        return Measured({0: found.value}, (found.stderr,), found.n - 1, ids, values, measurement_stderr=shared)

    compared = [compare([row(each, seed) for each in (model, rotated)]) for seed in range(30)]
    squares = [float(each.difference[0, 1] ** 2 / each.variance[0, 1]) for each in compared]
    assert sum(squares) / len(squares) < 1.7  # 1 if errors are told rightly, with an error of 0.26


def test_with_the_exact_posterior_there_is_no_error_and_no_gap(dequantized: Data) -> None:
    model = fitted(PPCA, dequantized).double()
    data = in_double(dequantized)
    estimate = LogLikelihoodIW(LogLikelihoodIW.Config(k=20)).measure(model, data, context())
    exact = torch.cat([model.log_prob(x) for x in data.test.batches(1000, Noise(0))])
    torch.testing.assert_close(estimate.per_example, exact, rtol=0, atol=1e-6)
    assert estimate.diagnostics["effective_sample_size_1st_percentile"] == pytest.approx(20)
    assert estimate.estimator_stderr < 1e-6
    gap = PosteriorGap(PosteriorGap.Config(k=20)).measure(model, data, context())
    assert gap.value == pytest.approx(0, abs=1e-6)


def test_the_posterior_gap_is_the_divergence_from_the_true_posterior(dequantized: Data) -> None:
    model = ShiftedPosterior(fitted(PPCA, dequantized), shift=0.5, widen=1.5)
    gap = PosteriorGap(PosteriorGap.Config(k=5000)).measure(model, dequantized, context())
    known = 2 * (0.5 * (1.5**2 + 0.5**2 - 1) - math.log(1.5))  # two dimensions
    assert gap.value == pytest.approx(known, abs=0.01)
    assert gap.diagnostics["log_likelihood"] == "exact"
    del model.log_prob
    estimated = PosteriorGap(PosteriorGap.Config(k=5000)).measure(model, dequantized, context())
    assert estimated.value == pytest.approx(known, abs=0.02)
    assert float(estimated.per_example.min()) >= 0
    assert not estimated.biased_in_favour
    assert estimated.measure != gap.measure, "an estimate is not ranked with what is exact"


def test_a_posterior_gap_of_few_effective_samples_is_biased_in_favour_of_the_encoder(dequantized: Data) -> None:
    model = ShiftedPosterior(fitted(PPCA, dequantized), shift=6.0)
    exact = PosteriorGap(PosteriorGap.Config(k=50)).measure(model, dequantized, context())
    del model.log_prob
    loose = PosteriorGap(PosteriorGap.Config(k=50)).measure(model, dequantized, context())
    assert loose.value < exact.value - 1
    assert loose.biased_in_favour
    assert "loose" in str(loose.warning)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31), st.integers(1, 5), st.floats(-1, 1), st.floats(0.7, 2))
def test_estimates_are_lower_bounds_on_average(seed: int, k: int, shift: float, widen: float) -> None:
    # One z, two values: x = (z, z/2) + ε.
    noise = Noise(seed)
    x = noise.normal(2000, 1).double() * torch.tensor([1.0, 0.5]) + noise.normal(2000, 2).double()
    covariance = torch.tensor([[2.0, 0.5], [0.5, 1.25]], dtype=torch.float64)
    exact = MultivariateNormal(torch.zeros(2, dtype=torch.float64), covariance).log_prob(x)
    mean, scale = (x @ torch.tensor([1.0, 0.5], dtype=torch.float64)).unsqueeze(1) / 2.25, 2.25**-0.5
    proposal = Normal(mean + shift * scale, widen * scale)
    z = draw(proposal, noise, k)
    likelihood = Normal(z * torch.tensor([1.0, 0.5]), 1).log_prob(x).sum(2)
    weights = Weights(len(x), x.device)
    weights.add(likelihood + (Normal(0, 1).log_prob(z) - proposal.log_prob(z)).squeeze(2))
    for estimate in (weights.log_mean, weights.mean_log):
        gap = exact - estimate
        assert float(gap.mean()) > -5 * float(gap.std()) / len(gap) ** 0.5 - 1e-9


@pytest.mark.parametrize("kind", [Binarize, Dequantize])
def test_exactly_k_samples_are_used_and_each_image_is_encoded_once(kind, small_data: Data) -> None:
    data = kind(kind.Config()).apply(small_data)
    model, test = vae(data), data.test.subset(5)
    calls: list[int] = []
    encoded, model.encoded = model.encoded, lambda x: calls.append(len(x)) or encoded(x)
    found = list(importance_weighted(model, test, 7, 3, context(1)))
    assert sum(calls) == 5
    noise, exact = Noise(1), vae(data).double()
    for image, (x, weights) in zip(test.all(Noise(0)), found, strict=True):
        x64, each = image.unsqueeze(0).double(), []
        for chunk in (3, 3, 1):
            drawn = noise.normal(chunk, 1, 3).double()
            for z in exact.posterior(x64).mean + exact.posterior(x64).stddev * drawn:
                joint = exact.observation(z).log_prob(x64) + exact.prior().log_prob(z)
                each.append(float(joint - exact.posterior(x64).log_prob(z)))
        assert len(each) == weights.count == 7
        w = torch.tensor(each, dtype=torch.float64)
        assert torch.equal(x[0], image)
        assert float(weights.log_mean) == pytest.approx(float(w.logsumexp(0)) - math.log(7), abs=1e-3)
        assert float(weights.mean_log) == pytest.approx(float(w.mean()), abs=1e-3)
        size = float(w.softmax(0).square().sum().reciprocal())
        assert float(weights.effective_sizes) == pytest.approx(size, rel=1e-2)


def test_monte_carlo_uses_the_same_codes_for_all_images(dequantized: Data) -> None:
    model = fitted(PPCA, dequantized)
    seen: list[Tensor] = []
    observation, model.observation = model.observation, lambda z: seen.append(z) or observation(z)
    found = LogLikelihoodMC(LogLikelihoodMC.Config(samples=77)).measure(model, dequantized, context())
    z = torch.cat(seen[2:])  # after one and two codes, which measure the memory of a code
    assert z.shape == (77, 2)
    x = dequantized.test.all(Noise(0)).double()
    model.double().observation = observation
    expected = torch.stack([model.observation(z.double()).log_prob(image) for image in x]).logsumexp(1) - math.log(77)
    torch.testing.assert_close(found.per_example, expected, rtol=0, atol=1e-3)


def observations(seed: int) -> list[Distribution]:
    noise = Noise(seed)
    mean, scale = noise.uniform(11, 1, 8, 7), 0.05 + noise.uniform(11, 1, 8, 7)
    return [
        Independent(Bernoulli(logits=20 * mean - 10), 3),
        Independent(Normal(mean, torch.tensor(0.07).expand_as(mean)), 3),
        Independent(Normal(mean, scale[:1].expand_as(mean)), 3),
        Independent(Normal(mean, scale), 3),
    ]


@pytest.mark.parametrize("which", range(4))
def test_the_likelihoods_of_all_pairs_agree_with_float64(which: int) -> None:
    observation = observations(3)[which]
    x = Noise(1).uniform(5, 1, 8, 7)
    x = (x > 0.5).float() if which == 0 else x
    base = observation.base_dist
    exact = Bernoulli(logits=base.logits.double()) if which == 0 else Normal(base.loc.double(), base.scale.double())
    expected = exact.log_prob(x.double().unsqueeze(1)).flatten(2).sum(2).T
    torch.testing.assert_close(log_prob_of_pairs(observation, x).double(), expected, rtol=1e-6, atol=2e-3)


@given(st.integers(1, 800), st.floats(0, 100))
@settings(deadline=None, max_examples=30)
def test_the_sum_of_softplus_does_not_overflow_or_lose_digits(width: int, size: float) -> None:
    logits = size * Noise(width).normal(3, width)
    expected = torch.nn.functional.softplus(logits.double()).sum(1)
    torch.testing.assert_close(sum_of_softplus(logits).double(), expected, rtol=2e-6, atol=1e-4)


def test_in_float32_an_estimate_is_within_a_hundredth_of_a_nat(binarized: Data) -> None:
    wide = Data.from_tensors(
        *(Examples((Noise(i).uniform(20, 1, 28, 28) < 0.3).float()) for i in range(3)), support="binary"
    )
    model = vae(wide)
    single, double = (
        next(importance_weighted(each, data.test, 50, 1000, context()))[1].log_mean
        for each, data in ((model, wide), (vae(wide).double(), in_double(wide)))
    )
    torch.testing.assert_close(single, double, rtol=0, atol=0.01)


def test_memory_does_not_grow_with_the_number_of_samples(binarized: Data) -> None:
    wide = Data.from_tensors(*(Examples(torch.zeros(4, 1, 100, 100)) for _ in range(3)), support="binary")
    model = vae(wide)

    def measure(samples: int) -> None:
        LogLikelihoodIW(LogLikelihoodIW.Config(k=samples, memory=16.0)).measure(model, wide, context())
        LogLikelihoodMC(LogLikelihoodMC.Config(samples=samples, memory=16.0)).measure(model, wide, context())

    measure(10)  # what libraries allocate once does not count
    with PeakMemory(torch.device("cpu")) as memory:
        measure(6000)
    if not memory.since_start:
        assert memory.beyond < 80 * 2**20  # all codes of one image decoded take 229 MiB


def test_memory_does_not_grow_with_the_decoder_or_the_number_of_images() -> None:
    many = Data.from_tensors(
        *(Examples((Noise(i).uniform(60, 1, 28, 28) < 0.3).float()) for i in range(3)), support="binary"
    )
    model = DCGAN(many.info, DCGAN.Config()).eval()
    annealing = AnnealingSettings(examples=60, chains=16, temperatures=2, leapfrog=1, memory=32.0)
    metrics = [LogLikelihoodMC(LogLikelihoodMC.Config(samples=1000, memory=32.0)), LogLikelihoodAIS(annealing)]
    model.decode(torch.zeros(2, 100))  # torch allocates some memory once
    with PeakMemory(torch.device("cpu")) as memory:
        for metric in metrics:
            metric.measure(model, many, context())
    if not memory.since_start:
        assert memory.beyond < 100 * 2**20  # a thousand codes decoded at once take 400 MiB


small = {
    GAN: GAN.Config(latent_dim=3, generator=(16, 16), discriminator=(8,)),
    MLPAutoencoder: MLPAutoencoder.Config(hidden=(16, 3)),
    PCA: PCA.Config(latent_dim=3),
}


def build(factory: Callable, data: Data) -> nn.Module:
    torch.manual_seed(0)
    model = factory(data.info, small[factory]).eval()
    if factory is PCA:
        model.fit(data.train, Noise(0))
    return model


@pytest.mark.parametrize("factory", [GAN, MLPAutoencoder, PCA])
def test_models_without_an_observation_model_have_a_likelihood(factory, dequantized: Data) -> None:
    model = build(factory, dequantized)
    estimate = LogLikelihoodMC(LogLikelihoodMC.Config(samples=500)).measure(model, dequantized, context())
    assert math.isfinite(estimate.value)
    assert "variance" in estimate.diagnostics["observation"]
    assert 0 < estimate.diagnostics["variance"] < 1
    assert estimate.value < -15 * math.log(2 * math.pi * estimate.diagnostics["variance"])
    assert "unbiased in p" in estimate.diagnostics["direction_of_bias"]
    if factory is not GAN:
        x = dequantized.validation.all(Noise(0))
        errors = (model.reconstruct(x) - x).square().mean()
        assert estimate.diagnostics["variance"] == pytest.approx(float(errors), rel=1e-5)
        assert "training codes" in estimate.diagnostics["prior"]


@pytest.mark.parametrize("factory", [GAN, MLPAutoencoder, PCA])
def test_on_binary_data_they_give_a_probability_and_on_grey_data_none(
    factory, binarized: Data, small_data: Data
) -> None:
    metric = LogLikelihoodMC(LogLikelihoodMC.Config(samples=500))
    estimate = metric.measure(build(factory, binarized), binarized, context())
    assert 30 * math.log(1e-3) < estimate.value < 0
    assert estimate.diagnostics["observation"] == "bernoulli, probabilities kept in [0.001, 0.999]"
    with pytest.raises(NotApplicable, match="discrete"):
        metric.measure(build(factory, small_data), small_data, context())


class LinearGenerator(nn.Module):
    """A generator whose most likely variance is known to a search over the exact likelihood."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight

    def prior(self) -> Distribution:
        return Independent(Normal(torch.zeros(3), torch.ones(3)), 1)

    def decode(self, z: Tensor) -> Tensor:
        return z @ self.weight.T


def test_the_variance_of_a_linear_generator_is_the_most_likely_one_on_validation() -> None:
    noise = Noise(0)
    weight = noise.normal(40, 3)
    splits = (Examples(noise.normal(n, 3) @ weight.T + 0.3**0.5 * noise.normal(n, 40)) for n in (50, 100, 50))
    data = Data.from_tensors(*splits)
    model = LinearGenerator(weight)
    chosen = observed(model, data, context(), ObservationSettings()).description["variance"]
    x = data.validation.all(noise)

    def likelihood(variance: float) -> float:
        covariance = weight @ weight.T + variance * torch.eye(40)
        return float(MultivariateNormal(torch.zeros(40), covariance).log_prob(x).mean())

    best = max((0.2 + i / 1000 for i in range(200)), key=likelihood)
    assert chosen == pytest.approx(best, rel=0.01)
    assert likelihood(best) - likelihood(chosen) < 0.002


def test_the_chosen_observation_is_the_same_for_every_metric_of_a_fit(dequantized: Data) -> None:
    model, used = build(GAN, dequantized), context()
    used.noise.normal(17)
    one, other = (
        observed(model, dequantized, each, ObservationSettings()).description["variance"] for each in (used, context())
    )
    assert one == other


def test_too_few_effective_samples_give_a_warning(dequantized: Data) -> None:
    model = fitted(PPCA, dequantized)
    estimate = LogLikelihoodMC(LogLikelihoodMC.Config(samples=5)).measure(model, dequantized, context())
    assert "effective sample size" in str(estimate.warning)


class Memory(nn.Module):
    """A sampler that returns given examples."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.x = x

    def sample(self, n: int, noise: Noise) -> Tensor:
        return self.x[torch.arange(n) % len(self.x)]


def test_a_kernel_density_is_the_mean_of_its_kernels_and_is_not_ranked(dequantized: Data) -> None:
    x = dequantized.train.all(Noise(0))[:50]
    estimate = Parzen(Parzen.Config(samples=50)).measure(Memory(x), dequantized, context())
    h = estimate.diagnostics["bandwidth"]
    test = dequantized.test.all(Noise(0)).flatten(1).double()
    kernels = Normal(x.flatten(1).double(), h).log_prob(test.unsqueeze(1)).sum(2)
    torch.testing.assert_close(estimate.per_example, kernels.logsumexp(1) - math.log(50), rtol=0, atol=1e-3)
    assert Parzen.direction is None
    assert estimate.warning
    assert not estimate.diagnostics["bandwidth_at_an_end"]
