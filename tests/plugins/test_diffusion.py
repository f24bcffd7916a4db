"""Diffusion and flow matching agree with known exact results."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal

from harness import Context, Data, DataInfo, Examples, Noise, NotApplicable
from harness.data.transforms import Binarize, Dequantize
from harness_diffusion.ddpm import DDPM, Chain, alpha_bars, log_prob_of_level
from harness_diffusion.flow_matching import FlowMatching
from harness_diffusion.networks import UNet
from harness_metrics.likelihood import ode
from harness_metrics.likelihood.elbo import ELBO
from harness_metrics.likelihood.ode import LogLikelihoodODE


def real(*shape: int) -> DataInfo:
    return DataInfo(shape=shape, support="real", mean=torch.zeros(shape))


def context(seed: int = 0) -> Context:
    return Context(Noise(seed), None, 128, 0)


small = DDPM.Config(timesteps=40, channels=(8, 16), sampling_steps=5)


class BestPrediction(nn.Module):
    """E[ε | x_t] where x_0 is N(mean, std²) in every value."""

    def __init__(self, model: DDPM, mean: float, std: float) -> None:
        super().__init__()
        self.chain, self.mean, self.std = model.chain, mean, std

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        t = torch.searchsorted(self.chain.time, time)
        signal, noise = self.chain.signal[t][:, None], self.chain.noise[t][:, None]
        return noise * (x - signal * self.mean) / (signal**2 * self.std**2 + noise**2)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.usefixtures("float64")
def test_the_tables_of_a_chain_equal_the_composition_of_its_steps(schedule) -> None:
    alpha_bar = alpha_bars(schedule, 30)
    chain = Chain(alpha_bar, torch.arange(1, 31), "posterior")
    beta = 1 - alpha_bar / torch.cat([torch.ones(1), alpha_bar[:-1]])
    x0, xt = torch.tensor([[0.7]]), torch.tensor([[-0.4]])
    mean, variance = x0.clone(), torch.zeros(1, 1)
    for t in range(30):
        index = torch.tensor([t])
        before = mean, variance
        mean, variance = (1 - beta[t]).sqrt() * mean, (1 - beta[t]) * variance + beta[t]
        torch.testing.assert_close(chain.diffuse(x0, index, torch.zeros(1, 1)), mean)
        torch.testing.assert_close(chain.noise[t].square(), variance.squeeze())
        if t == 0:
            continue
        # Bayes: the prior N(before) of x_{t−1}, seen through x_t = √(1 − β) x_{t−1} + √β ε.
        precision = 1 / before[1] + (1 - beta[t]) / beta[t]
        expected = (before[0] / before[1] + (1 - beta[t]).sqrt() * xt / beta[t]) / precision
        torch.testing.assert_close(chain.posterior_mean(x0, xt, index), expected)
        torch.testing.assert_close(chain.reverse_std[t].square(), 1 / precision.squeeze())


@pytest.mark.usefixtures("float64")
def test_a_chain_over_some_of_the_times_has_the_same_noisy_examples() -> None:
    alpha_bar, kept = alpha_bars("linear", 100), torch.tensor([3, 20, 50, 100])
    chain = Chain(alpha_bar, kept, "posterior")
    torch.testing.assert_close(chain.signal.square(), alpha_bar[kept - 1])
    torch.testing.assert_close(chain.signal.square() + chain.noise.square(), torch.ones(4))
    torch.testing.assert_close(chain.time, kept / 100)


@pytest.mark.parametrize("variance", ["posterior", "beta"])
@pytest.mark.usefixtures("float64")
def test_the_divergence_of_a_step_is_that_of_the_two_gaussians(variance) -> None:
    chain = Chain(alpha_bars("cosine", 20), torch.arange(1, 21), variance)
    posterior = Chain(alpha_bars("cosine", 20), torch.arange(1, 21), "posterior").reverse_std
    generator = torch.Generator().manual_seed(0)
    clean, predicted, x = torch.randn(3, 19, 5, generator=generator)
    t = torch.arange(1, 20)
    q = Normal(chain.posterior_mean(clean, x, t), posterior[t][:, None])
    p = Normal(chain.posterior_mean(predicted, x, t), chain.reverse_std[t][:, None])
    expected = torch.distributions.kl_divergence(q, p).sum(1)
    torch.testing.assert_close(chain.divergence(clean, predicted, t), expected)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.usefixtures("float64")
def test_with_the_best_prediction_the_bound_approaches_the_log_likelihood_with_more_steps(schedule) -> None:
    mean, std = 0.3, 0.3
    x = mean + std * torch.randn(20_000, 1, generator=torch.Generator().manual_seed(0))
    exact = Normal(mean, std).log_prob(x).sum(1)
    gaps = []
    for timesteps in (4, 20, 100):
        model = DDPM(real(1), DDPM.Config(timesteps=timesteps, beta_schedule=schedule, bound_terms=timesteps))
        model.network = BestPrediction(model, mean, std)
        gap = exact - sum(model.elbo_terms(x, Noise(1)).values())
        error = float(gap.std()) / len(x) ** 0.5
        gaps.append(float(gap.mean()))
        assert gaps[-1] > -4 * error
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 0.05


@pytest.mark.usefixtures("float64")
def test_the_posterior_variance_lowers_the_bound_on_continuous_data_and_raises_it_on_binary(small_data: Data) -> None:
    x = 0.3 + 0.8 * torch.randn(5000, 1, generator=torch.Generator().manual_seed(0))

    def gaussian(variance: str) -> float:
        model = DDPM(real(1), DDPM.Config(timesteps=50, variance=variance, bound_terms=49))
        model.network = BestPrediction(model, 0.3, 0.8)
        return float(sum(model.elbo_terms(x, Noise(0)).values()).mean())

    data = Binarize(Binarize.Config()).apply(small_data)

    def binary(variance: str) -> float:
        torch.manual_seed(0)
        model = DDPM(data.info, DDPM.Config(timesteps=50, variance=variance, bound_terms=49, channels=(8,)))
        with torch.no_grad():
            return float(sum(model.elbo_terms(data.test.all(Noise(0)).double(), Noise(0)).values()).mean())

    assert gaussian("beta") == gaussian("auto") > gaussian("posterior") + 0.5
    assert binary("posterior") == binary("auto") > binary("beta") + 0.5


@pytest.mark.usefixtures("float64")
def test_some_terms_of_the_bound_estimate_all_of_them_without_bias() -> None:
    torch.manual_seed(0)
    full = DDPM(real(3), DDPM.Config(timesteps=30, hidden=(8,), bound_terms=29))
    some = DDPM(real(3), DDPM.Config(timesteps=30, hidden=(8,), bound_terms=4))
    some.load_state_dict(full.state_dict())
    x = torch.tensor([[0.5, -1.0, 2.0]]).expand(20_000, 3)
    with torch.no_grad():
        ours, all_ = (model.elbo_terms(x, Noise(seed)) for seed, model in enumerate((some, full)))
    for name in ours:
        spread = (ours[name].var() / 20_000 + all_[name].var() / 20_000).sqrt()
        assert abs(float(ours[name].mean() - all_[name].mean())) <= 4 * float(spread) + 1e-12, name
    assert float(all_["denoising"].std()) < float(ours["denoising"].std())


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("levels", [2, 256])
@pytest.mark.parametrize("std", [1e-3, 0.05, 2.0])
def test_the_probabilities_of_all_levels_sum_to_one(levels: int, std: float) -> None:
    values = torch.linspace(-1, 1, levels)[:, None]
    means = torch.tensor([-3.0, -1.0, -0.002, 0.0, 0.31, 0.9999, 1.7])
    log_probs = log_prob_of_level(values, means.expand(levels, -1), torch.tensor(std), levels)
    assert bool(log_probs.isfinite().all())
    torch.testing.assert_close(log_probs.exp().sum(0), torch.ones(7))


@pytest.mark.parametrize("steps", [1, 2, 5, 40])
def test_sampling_starts_at_pure_noise_with_any_number_of_steps(steps: int) -> None:
    info = DataInfo((1, 6, 5), "unit", torch.zeros(1, 6, 5))
    model = DDPM(info, DDPM.Config(timesteps=40, channels=(8,), sampling_steps=steps))
    assert float(model.sampling_chain.signal[-1]) == float(model.chain.signal[-1])
    assert len(model.sampling_chain) == steps


def test_every_pixel_value_has_its_own_bin_and_the_right_gradient() -> None:
    pixels = torch.arange(256) / 255
    mean = (2 * pixels - 1).requires_grad_()
    log_probs = log_prob_of_level(2 * pixels - 1, mean, torch.tensor(1e-4), 256)
    torch.testing.assert_close(log_probs, torch.zeros(256), atol=1e-6, rtol=0)
    far, std = mean.flip(0), 1e-3
    log_prob_of_level(2 * pixels - 1, far, torch.tensor(std), 256).sum().backward()
    # Deep in its tail a Gaussian bin has the density at its nearer edge, whose log has the slope −(edge − mean) / std².
    distance = 2 * pixels - 1 - far.detach()
    expected = ((distance.abs() - 1 / 255) * distance.sign() / std**2).flip(0)
    assert mean.grad is not None
    torch.testing.assert_close(mean.grad[:100], expected[:100], rtol=1e-3, atol=0)
    torch.testing.assert_close(mean.grad[-100:], expected[-100:], rtol=1e-3, atol=0)


def test_the_density_of_rescaled_pixels_is_on_the_scale_of_the_data(small_data: Data) -> None:
    info = Dequantize(Dequantize.Config()).apply(small_data).info
    model = DDPM(info, small)
    unscaled = DDPM(real(1, 6, 5), small)
    unscaled.load_state_dict(model.state_dict())
    y, mean = torch.randn(2, 4, 1, 6, 5, generator=torch.Generator().manual_seed(0))
    difference = model._log_decoder(y, mean) - unscaled._log_decoder(y, mean)
    torch.testing.assert_close(difference, torch.full((4,), 30 * math.log(2)), rtol=1e-4, atol=1e-3)


def test_the_bound_names_its_reference_measure(small_data: Data) -> None:
    measures = {
        "probability mass on 8-bit pixels": small_data,
        "probability mass on binary pixels": Binarize(Binarize.Config()).apply(small_data),
        "density on (pixel + u) / 256": Dequantize(Dequantize.Config()).apply(small_data),
    }
    for measure, data in measures.items():
        with torch.no_grad():
            estimate = ELBO(ELBO.Config()).measure(DDPM(data.info, small), data, context())
        assert estimate.measure == measure
        assert estimate.value == pytest.approx(sum(estimate.parts.values()))


def test_untrained_log_odds_are_the_posterior_given_the_noisy_pixel(small_data: Data) -> None:
    model = DDPM(Binarize(Binarize.Config()).apply(small_data).info, small)
    y = torch.linspace(-1.5, 1.5, 30).view(1, 1, 6, 5)
    t = torch.tensor([25])
    with torch.no_grad():
        noise, clean = model._predict(model.chain, y, t)
    signal, spread = model.chain.signal[25], model.chain.noise[25]
    up, down = (Normal(sign * signal, spread).log_prob(y) for sign in (1, -1))
    torch.testing.assert_close(clean, (up - down).sigmoid() * 2 - 1, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(signal * clean + spread * noise, y)


def test_the_bounds_of_all_binary_examples_sum_to_at_most_one_as_probabilities(fit) -> None:
    values = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3)))
    shares = torch.tensor([0.4, 0.02, 0.03, 0.05, 0.05, 0.03, 0.02, 0.4])
    drawn = values[shares.multinomial(4000, replacement=True, generator=torch.Generator().manual_seed(0))]
    data = Data.from_tensors(*[Examples(drawn)] * 3, support="binary")
    config = DDPM.Config(timesteps=100, hidden=(64, 64), learning_rate=5e-3, bound_terms=99)
    model = fit(DDPM, config, data, epochs=8, batch_size=100)
    with torch.no_grad():
        terms = model.elbo_terms(values.repeat(200, 1), Noise(0))
    bounds = sum(terms.values()).view(200, 8).double()
    probabilities = bounds.mean(0).exp()
    error = (bounds.std(0) / 200**0.5 * probabilities).square().sum().sqrt()
    assert float(probabilities.sum()) < 1 + 4 * float(error)
    torch.testing.assert_close(probabilities.float(), shares, atol=0.06, rtol=0)


def test_log_odds_are_refused_on_data_that_is_not_binary(small_data: Data) -> None:
    with pytest.raises(NotApplicable, match="unit"):
        DDPM(small_data.info, DDPM.Config(prediction="log-odds"))


def test_training_on_the_bound_raises_it(fit, small_data: Data) -> None:
    data = Binarize(Binarize.Config()).apply(small_data)
    config = DDPM.Config(timesteps=40, channels=(8,), objective="bound")
    bounds = []
    for epochs in (1, 3):
        model = fit(DDPM, config, data, epochs=epochs, batch_size=30)
        with torch.no_grad():
            bounds.append(ELBO(ELBO.Config(samples=10)).measure(model, data, context()).value)
    assert bounds[1] > bounds[0]


class LargestUniform(Noise):
    """Noise whose uniform numbers are all the largest float32 below one."""

    def uniform(self, *shape: int) -> Tensor:
        return torch.full(shape, 1 - 2**-24)


@pytest.mark.parametrize(
    ("model", "config"),
    [
        (DDPM, DDPM.Config(hidden=(8,))),
        (DDPM, DDPM.Config(hidden=(8,), objective="bound")),
        (FlowMatching, FlowMatching.Config(hidden=(8,))),
    ],
)
def test_the_largest_uniform_number_gives_a_time_within_range(model, config) -> None:
    torch.manual_seed(0)
    built = model(real(3), config)
    # Divided by a batch of 128, this share of the range rounds to 1 in float32.
    assert built.loss(torch.zeros(128, 3), LargestUniform(0)).isfinite()


def test_the_unet_keeps_the_shape_and_treats_each_image_independently() -> None:
    torch.manual_seed(0)
    network = UNet(3, (8, 16, 16), 2)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)  # none is left at zero, which would hide what it does
    x, t = torch.randn(4, 3, 11, 9), torch.rand(4)
    with torch.no_grad():
        together = network(x, t)
        assert together.shape == x.shape
        torch.testing.assert_close(network(x[1:2], t[1:2]), together[1:2], rtol=1e-4, atol=1e-5)
        assert not torch.allclose(network(x, t.flip(0)), together)


class GaussianFlow:
    """The velocity that carries N(0, 1) to N(mean, std²) along straight lines, in every value."""

    mean, std = 0.3, 0.6

    def rescale(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return 2 * x - 1, x.new_full((len(x),), x[0].numel() * math.log(2))

    def velocity(self, y: Tensor, t: Tensor) -> Tensor:
        slope = (t * self.std**2 - (1 - t)) / ((1 - t) ** 2 + t**2 * self.std**2)
        return self.mean + slope * (y - t * self.mean)


class LinearFlow:
    """dy/dt = A y."""

    def __init__(self, A: Tensor) -> None:
        self.A = A

    def rescale(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x.new_zeros(len(x))

    def velocity(self, y: Tensor, t: Tensor) -> Tensor:
        return y @ self.A.T


@pytest.mark.usefixtures("float64")
def test_the_density_along_the_exact_velocity_of_a_gaussian_is_its_density(small_data: Data) -> None:
    data = Dequantize(Dequantize.Config()).apply(small_data)
    metric = LogLikelihoodODE(LogLikelihoodODE.Config(examples=20, probes=2, tolerance=1e-7))
    estimate = metric.measure(GaussianFlow(), data, context())
    x = data.test.subset(20).all(Noise(0)).double()
    expected = Normal((0.3 + 1) / 2, 0.6 / 2).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(estimate.per_example, expected, atol=1e-4, rtol=0)
    assert estimate.diagnostics["trace_stderr"] == pytest.approx(0, abs=1e-8)  # signs are exact on diagonal Jacobians
    assert estimate.measure == "density on (pixel + u) / 256"
    summands = dict(estimate.parts)
    assert summands.pop("per dimension (bits)") == pytest.approx(8 - estimate.value / 30 / math.log(2))
    assert estimate.value == pytest.approx(sum(summands.values()))


@pytest.mark.parametrize(("dim", "trace"), [(5, "exact"), (20, "estimated")])
def test_the_trace_is_exact_in_few_dimensions_and_unbiased_with_a_known_error_in_more(dim: int, trace: str) -> None:
    generator = torch.Generator().manual_seed(0)
    A = torch.randn(dim, dim, generator=generator) / dim**0.5
    values = torch.randn(200, dim, generator=generator)
    data = Data.from_tensors(*[Examples(values)] * 3)
    metric = LogLikelihoodODE(LogLikelihoodODE.Config(examples=200, probes=64, tolerance=1e-6))
    estimate = metric.measure(LinearFlow(A), data, context())
    start = values @ torch.linalg.matrix_exp(-A).T
    expected = Normal(0.0, 1.0).log_prob(start).sum(1) - A.trace()
    if trace == "exact":
        assert estimate.diagnostics["trace"] == "exact"
        torch.testing.assert_close(estimate.per_example.float(), expected, atol=1e-3, rtol=0)
        return
    error = estimate.diagnostics["trace_stderr"]
    assert abs(estimate.value - float(expected.mean())) < 4 * error
    # For signs, Var[εᵀ A ε] = Σ_{i≠j} (A_ij² + A_ij A_ji).
    off = A - A.diag().diag()
    variance = float((off * (off + off.T)).sum())
    assert error == pytest.approx((variance / 64 / 200) ** 0.5, rel=0.1)


@pytest.mark.parametrize("variant", [lambda data: data, Binarize(Binarize.Config()).apply])
def test_discrete_data_has_no_density(small_data: Data, variant) -> None:
    data = variant(small_data)
    model = FlowMatching(data.info, FlowMatching.Config(channels=(8,)))
    with pytest.raises(NotApplicable, match=r"binary|not dequantized"):
        LogLikelihoodODE(LogLikelihoodODE.Config()).measure(model, data, context())


@pytest.mark.parametrize("solver", ["euler", "midpoint", "rk4", "dopri5"])
def test_samples_transported_back_are_the_noise_they_came_from(solver) -> None:
    torch.manual_seed(0)
    model = FlowMatching(real(3), FlowMatching.Config(hidden=(16, 16), solver=solver, steps=200, tolerance=1e-6))
    with torch.no_grad():
        samples = model.sample(50, Noise(4))
        directions = torch.eye(3)[:, None].expand(3, 50, 3)
        base, _, _ = ode.log_prob(model, samples, directions, 1e-6)
    expected = Normal(0.0, 1.0).log_prob(Noise(4).normal(50, 3)).sum(1)
    torch.testing.assert_close(base, expected, atol=2e-2 if solver == "euler" else 2e-3, rtol=0)


def test_a_flow_learns_a_two_dimensional_gaussian(fit) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.tensor([1.0, -0.5]) + torch.tensor([0.5, 1.5]) * torch.randn(2000, 2, generator=generator)
    data = Data.from_tensors(*[Examples(values)] * 3)
    config = FlowMatching.Config(hidden=(64, 64), learning_rate=5e-3)
    model = fit(FlowMatching, config, data, epochs=40, batch_size=100)
    with torch.no_grad():
        estimate = LogLikelihoodODE(LogLikelihoodODE.Config(examples=500)).measure(model, data, context())
        samples = model.sample(4000, Noise(0))
    exact = Normal(torch.tensor([1.0, -0.5]), torch.tensor([0.5, 1.5])).log_prob(values[:500]).sum(1)
    assert estimate.value == pytest.approx(float(exact.mean()), abs=0.1)
    torch.testing.assert_close(samples.mean(0), torch.tensor([1.0, -0.5]), atol=0.12, rtol=0)
    torch.testing.assert_close(samples.std(0), torch.tensor([0.5, 1.5]), atol=0.12, rtol=0)
