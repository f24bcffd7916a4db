"""Variational autoencoders agree with known exact results."""

import math
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, MultivariateNormal, Normal, kl_divergence

from harness import Context, Data, DataInfo, Noise, NotApplicable, likelihood_measure
from harness.data.transforms import Binarize, Dequantize
from harness.toolkit import elbo_terms
from harness_metrics.likelihood.elbo import ELBO
from harness_vae.beta_vae import BetaVAE
from harness_vae.cnn_vae import CNNVAE
from harness_vae.gaussian_vae import GaussianVAE
from harness_vae.vae import VAE
from harness_vae.variational import log_variance_scale


class LinearGaussian:
    """x = W z + b + √v ε with z from N(0, I), whose posterior and marginal are Gaussian and known."""

    def __init__(self, W: Tensor, b: Tensor, v: float, shift: float = 0.0, widen: float = 1.0) -> None:
        self.W, self.b, self.v, self.shift, self.widen = W, b, v, shift, widen

    def prior(self) -> Distribution:
        zero = torch.zeros(self.W.shape[1], dtype=torch.float64)
        return MultivariateNormal(zero, torch.eye(len(zero), dtype=torch.float64))

    def observation(self, z: Tensor) -> Distribution:
        return Independent(Normal(z @ self.W.T + self.b, self.v**0.5), 1)

    def posterior(self, x: Tensor) -> Distribution:
        precision = torch.eye(self.W.shape[1], dtype=torch.float64) + self.W.T @ self.W / self.v
        covariance = precision.inverse()
        mean = (x - self.b) @ self.W @ covariance.T / self.v
        return MultivariateNormal(mean + self.shift, covariance * self.widen**2)

    def log_prob(self, x: Tensor) -> Tensor:
        d = len(self.b)
        covariance = self.W @ self.W.T + self.v * torch.eye(d, dtype=torch.float64)
        return MultivariateNormal(self.b, covariance).log_prob(x)


@dataclass(frozen=True)
class Problem:
    model: LinearGaussian
    x: Tensor


def problem(seed: int, shift: float, widen: float) -> Problem:
    generator = torch.Generator().manual_seed(seed)
    W = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    b = torch.randn(6, generator=generator, dtype=torch.float64)
    model = LinearGaussian(W, b, 0.3, shift, widen)
    z = torch.randn(4000, 3, generator=generator, dtype=torch.float64)
    x = z @ W.T + b + 0.3**0.5 * torch.randn(4000, 6, generator=generator, dtype=torch.float64)
    return Problem(model, x)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**31), st.floats(-0.5, 0.5), st.floats(0.5, 1.5))
def test_the_bound_never_exceeds_the_exact_log_likelihood(seed: int, shift: float, widen: float) -> None:
    given_ = problem(seed, shift, widen)
    terms = elbo_terms(given_.model, given_.x, Noise(seed))
    gap = given_.model.log_prob(given_.x) - (terms.reconstruction - terms.kl)
    assert float(gap.mean()) > -5 * float(gap.std()) / len(gap) ** 0.5 - 1e-9


def test_the_gap_of_the_bound_is_the_divergence_from_the_exact_posterior() -> None:
    wrong = problem(3, 0.3, 1.3)
    exact = LinearGaussian(wrong.model.W, wrong.model.b, wrong.model.v)
    terms = elbo_terms(wrong.model, wrong.x, Noise(0))
    gap = exact.log_prob(wrong.x) - (terms.reconstruction - terms.kl)
    known = kl_divergence(wrong.model.posterior(wrong.x), exact.posterior(wrong.x))
    assert float(gap.mean()) == pytest.approx(float(known.mean()), abs=5 * float(gap.std()) / len(gap) ** 0.5)


def test_at_the_exact_posterior_the_bound_is_the_log_likelihood_on_average() -> None:
    # Point by point log p(x | z) − log q(z | x) + log p(z) is log p(x), whatever z.
    given_ = problem(5, 0.0, 1.0)
    z = given_.model.posterior(given_.x).sample()
    bound = (
        given_.model.observation(z).log_prob(given_.x)
        + given_.model.prior().log_prob(z)
        - given_.model.posterior(given_.x).log_prob(z)
    )
    torch.testing.assert_close(bound, given_.model.log_prob(given_.x), rtol=1e-9, atol=1e-9)
    terms = elbo_terms(given_.model, given_.x, Noise(1))
    difference = terms.reconstruction - terms.kl - bound
    assert abs(float(difference.mean())) < 5 * float(difference.std()) / len(bound) ** 0.5


def test_the_divergence_in_closed_form_equals_its_monte_carlo_estimate(small_data: Data) -> None:
    data = Binarize(Binarize.Config()).apply(small_data)
    torch.manual_seed(0)
    model = VAE(data.info, VAE.Config(latent_dim=4, hidden=(16,))).double()
    x = data.test.all(Noise(0)).double()
    with torch.no_grad():
        q, p = model.posterior(x), model.prior()
        q = Independent(Normal(3 * q.mean, q.stddev * 0.7), 1)
        mean, scale = q.mean, q.stddev
        z = mean + scale * torch.randn(4000, *mean.shape, dtype=torch.float64)
        sampled = q.log_prob(z) - p.log_prob(z)  # (4000, N)
        closed = kl_divergence(q, p)
        by_hand = 0.5 * (scale**2 + mean**2 - 1 - 2 * scale.log()).sum(1)
    torch.testing.assert_close(closed, by_hand)
    error = sampled.std(0) / 4000**0.5
    assert bool(((sampled.mean(0) - closed).abs() < 5 * error).all())


def test_a_gaussian_density_includes_its_constants(small_data: Data) -> None:
    data = Dequantize(Dequantize.Config()).apply(small_data)
    model = VAE(data.info, VAE.Config(latent_dim=2, hidden=(8,), variance=0.25))
    z = torch.zeros(3, 2)
    x = data.test.all(Noise(0))[:3]
    with torch.no_grad():
        observation = model.observation(z)
        squared = (x - observation.mean).square().flatten(1).sum(1)
        expected = -squared / (2 * 0.25) - 15 * math.log(2 * math.pi * 0.25)  # 30 values
        torch.testing.assert_close(observation.log_prob(x), expected)


def test_a_variance_set_on_the_validation_split_maximises_the_bound_there(fit, small_data: Data) -> None:
    data = Dequantize(Dequantize.Config()).apply(small_data)
    config = VAE.Config(latent_dim=2, hidden=(16,), variance="validation")
    model = fit(VAE, config, data, epochs=5, batch_size=50)
    x = data.validation.all(Noise(0)).repeat(200, 1, 1, 1)

    @torch.no_grad()
    def bound(factor: float) -> float:
        chosen = model.scaled_log_variance.clone()
        model.scaled_log_variance.add_(math.log(factor) / log_variance_scale)
        terms = elbo_terms(model, x, Noise(7))
        model.scaled_log_variance.copy_(chosen)
        return float((terms.reconstruction - terms.kl).mean())

    assert bound(1.0) > max(bound(0.9), bound(1.1))


def test_a_learned_variance_is_close_to_its_optimum(fit, small_data: Data) -> None:
    data = Dequantize(Dequantize.Config()).apply(small_data)
    config = VAE.Config(latent_dim=2, hidden=(16,))
    model = fit(VAE, config, data, epochs=60, batch_size=50)
    x = data.train.all(Noise(0))
    with torch.no_grad():
        drawn = model.posterior(x).base_dist
        z = drawn.loc + drawn.scale * Noise(1).normal(*drawn.loc.shape)
        optimum = (model.observation(z).mean - x).square().mean()
    assert model.variance.item() == pytest.approx(optimum.item(), rel=0.1)


@pytest.mark.parametrize("bias", ["random", "data-mean"])
def test_the_output_bias_can_start_at_the_mean_image(small_data: Data, bias: str) -> None:
    data = Binarize(Binarize.Config()).apply(small_data)
    model = VAE(data.info, VAE.Config(output_bias=bias))
    at_mean = torch.allclose(model.output.bias.sigmoid(), data.info.mean.flatten(), atol=2e-3)
    assert at_mean == (bias == "data-mean")


def test_a_bernoulli_on_grey_pixels_is_not_called_a_likelihood(small_data: Data) -> None:
    binary = Binarize(Binarize.Config()).apply(small_data).info
    grey, dequantized = small_data.info, Dequantize(Dequantize.Config()).apply(small_data).info
    bernoulli, gaussian = Bernoulli(torch.tensor(0.5)), Normal(0.0, 1.0)
    measures = {
        likelihood_measure(binary, bernoulli),
        likelihood_measure(grey, bernoulli),
        likelihood_measure(grey, gaussian),
        likelihood_measure(dequantized, gaussian),
        likelihood_measure(binary, gaussian),
    }
    assert len(measures) == 5
    assert "not a likelihood" in likelihood_measure(grey, bernoulli)


def test_a_bernoulli_is_refused_on_data_outside_the_unit_interval(small_data: Data) -> None:
    info = DataInfo(shape=(3,), support="real", mean=torch.zeros(3))
    with pytest.raises(NotApplicable, match="real"):
        VAE(info, VAE.Config(observation="bernoulli"))


def test_the_elbo_is_estimated_from_samples_and_its_parts_add_up(small_data: Data) -> None:
    data = Binarize(Binarize.Config()).apply(small_data)
    torch.manual_seed(0)
    model = VAE(data.info, VAE.Config(latent_dim=4, hidden=(16,))).eval()

    def measured(seed: int, samples: int):
        metric = ELBO(ELBO.Config(samples=samples))
        with torch.no_grad():
            return metric.measure(model, data, Context(Noise(seed), None, 128, 0))

    one, other, many = measured(0, 1), measured(1, 1), measured(2, 500)
    assert one.value != other.value
    assert one.value == pytest.approx(one.parts["reconstruction"] - one.parts["kl"])
    assert one.parts["kl"] == pytest.approx(many.parts["kl"])
    assert one.n == len(data.test)
    assert one.stderr == pytest.approx(float(one.per_example.std() / one.n**0.5))
    with torch.no_grad():
        x = data.test.all(Noise(0))
        at_mean = model.observation(model.posterior(x).mean).log_prob(x).mean() - one.parts["kl"]
    assert many.value < float(at_mean)


def test_a_beta_vae_with_beta_1_is_the_vae_bit_for_bit(fit, small_data: Data) -> None:
    data = Binarize(Binarize.Config()).apply(small_data)
    plain = fit(VAE, VAE.Config(), data, epochs=3).state_dict()
    beta = fit(BetaVAE, BetaVAE.Config(beta=1.0), data, epochs=3).state_dict()
    assert plain.keys() == beta.keys()
    assert all(torch.equal(plain[name], beta[name]) for name in plain)


def test_a_larger_beta_lowers_the_rate_and_raises_the_distortion(fit, small_data: Data) -> None:
    data = Binarize(Binarize.Config()).apply(small_data)
    x = data.test.all(Noise(0))
    rates, distortions = [], []
    for beta in (0.1, 1.0, 10.0):
        config = BetaVAE.Config(latent_dim=2, hidden=(16,), beta=beta, learning_rate=1e-2)
        model = fit(BetaVAE, config, data, epochs=20, batch_size=50)
        with torch.no_grad():
            terms = elbo_terms(model, x, Noise(0))
        rates.append(float(terms.kl.mean()))
        distortions.append(-float(terms.reconstruction.mean()))
    assert rates == sorted(rates, reverse=True)
    assert distortions == sorted(distortions)


@pytest.mark.parametrize("variant", [lambda data: data, Binarize(Binarize.Config()).apply])
def test_a_gaussian_vae_has_the_density_of_scipys_normal_with_variance_one(variant, small_data: Data) -> None:
    data = variant(small_data)
    model = GaussianVAE(data.info, GaussianVAE.Config(latent_dim=2, hidden=(8,)))
    x = data.test.all(Noise(0))
    with torch.no_grad():
        observation = model.observation(torch.randn(len(x), 2))
        means = observation.mean.flatten(1).double().numpy()
        expected = norm.logpdf(x.flatten(1).double().numpy(), means, 1.0).sum(1)
        torch.testing.assert_close(observation.log_prob(x).double(), torch.from_numpy(expected), rtol=1e-5, atol=0)
    assert "not dequantized" in likelihood_measure(data.info, observation)
    assert "scaled_log_variance" not in dict(model.named_parameters())


@pytest.mark.parametrize("model", [VAE, BetaVAE, GaussianVAE, CNNVAE])
def test_decoding_gives_the_mean_of_the_observation_model(model, small_data: Data) -> None:
    data = Binarize(Binarize.Config()).apply(small_data)
    built = model(data.info, model.Config()).requires_grad_(False)
    x, z = data.test.all(Noise(0)), torch.randn(7, 20)
    assert torch.equal(built.decode(z), built.observation(z).mean)
    assert torch.equal(built.reconstruct(x), built.decode(built.posterior(x).mean))
    assert torch.equal(built.sample(7, Noise(1)), built.decode(Noise(1).normal(7, 20)))


def test_a_convolutional_vae_is_smaller_than_the_vae_and_bounds_the_same_likelihood(fit, small_data: Data) -> None:
    digits = DataInfo(shape=(1, 28, 28), support="binary", mean=torch.zeros(1, 28, 28))
    sizes = [sum(p.numel() for p in model(digits, model.Config()).parameters()) for model in (CNNVAE, VAE)]
    assert sizes[0] < sizes[1]
    data = Binarize(Binarize.Config()).apply(small_data)
    model = fit(CNNVAE, CNNVAE.Config(latent_dim=2, channels=(4, 8)), data, epochs=2)
    with torch.no_grad():
        estimate = ELBO(ELBO.Config()).measure(model, data, Context(Noise(0), None, 128, 0))
    assert estimate.measure == "probability mass on binary pixels"
    assert estimate.value < 0


@pytest.mark.full_mnist
def test_the_default_vae_reaches_its_known_bound_on_binarized_mnist(fit, full_mnist: Data) -> None:
    data = Binarize(Binarize.Config()).apply(full_mnist)
    config = VAE.Config()
    model = fit(VAE, config, data, epochs=5, batch_size=128)
    with torch.no_grad():
        estimate = ELBO(ELBO.Config()).measure(model, data, Context(Noise(0), config, 128, 0))
    assert estimate.value == pytest.approx(-105, abs=1.5)  # known after 5 epochs; -102 after 10, -99.75 after 20
