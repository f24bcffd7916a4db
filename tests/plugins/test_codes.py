"""Metrics of codes, rate and distortion, on models with known values."""

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from harness import Context, Data, Estimate, Examples, Noise, NotApplicable
from harness_metrics.codes.units import ActiveUnits, Sparsity
from harness_metrics.likelihood.elbo import ELBO, Distortion, Rate
from harness_metrics.likelihood.kl import KL


def measured(metric, model, data: Data, seed: int = 0, **settings) -> Estimate:
    return metric(metric.Config(**settings)).measure(model, data, Context(Noise(seed), None, None, 0))


def reals(n: int = 400, d: int = 6) -> Data:
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(1234))  # no evaluation below has this seed
    return Data.from_tensors(*[Examples(x)] * 3)


class Codes:
    def __init__(self, codes: Tensor) -> None:
        self.codes = codes

    def encode(self, x: Tensor) -> Tensor:
        return self.codes[: len(x)]


class Planted:
    """q(z | x) = N(a · x, s²), p(x | z) = N(z, 1), each value its own unit, some with a = 0."""

    def __init__(self, a: list[float], s: float = 0.5, correlated: bool = False) -> None:
        self.a, self.s, self.correlated = torch.tensor(a), s, correlated

    def prior(self) -> Distribution:
        zero = torch.zeros(len(self.a))
        if self.correlated:
            return MultivariateNormal(zero, torch.eye(len(self.a)))
        return Independent(Normal(zero, torch.ones(len(self.a))), 1)

    def posterior(self, x: Tensor) -> Distribution:
        return Independent(Normal(self.a * x, torch.full_like(x, self.s)), 1)

    def observation(self, z: Tensor) -> Distribution:
        return Independent(Normal(z, torch.ones_like(z)), 1)

    def exact(self, x: Tensor) -> Tensor:
        mean, variance = (self.a * x).double(), self.s**2
        return 0.5 * (mean**2 + variance - 1 - torch.tensor(variance).double().log()).sum(1)


class OwnBound:
    def __init__(self, *names: str) -> None:
        self.names = names

    def elbo_terms(self, x: Tensor, noise: Noise) -> dict[str, Tensor]:
        return {name: -float(i + 1) * x.square().sum(1) for i, name in enumerate(self.names)}


def test_the_sparsity_of_a_code_is_its_share_of_small_units() -> None:
    codes = torch.tensor([[0.0, 0.009, -0.009, 1.0], [0.0, 0.5, -0.5, 0.011]])
    estimate = measured(Sparsity, Codes(codes), reals(2))
    assert estimate.per_example.tolist() == [0.75, 0.25]
    assert estimate.value == 0.5
    assert estimate.diagnostics == {"dead_units": 1}
    assert measured(Sparsity, Codes(codes), reals(2), threshold=0.0).value == 0.25
    assert measured(Sparsity, Codes(codes), reals(2), threshold=0.5).value == 0.875


def test_the_code_of_a_model_with_a_posterior_is_its_mean() -> None:
    estimate = measured(Sparsity, Planted([0.0, 0.0, 0.0, 3.0, 3.0, 3.0]), reals(), threshold=0.0)
    assert estimate.value == 0.5
    assert estimate.diagnostics == {"dead_units": 3}


def test_the_active_units_are_those_whose_mean_varies_by_more_than_a_hundredth() -> None:
    model = Planted([0.0, 1.0, 0.09, 2.0, 0.0, 0.12])  # standard deviations; 0.1 is the bound
    estimate = measured(ActiveUnits, model, reals(5000))
    assert estimate.value == 3
    assert estimate.parts == {"share (of units)": 0.5}
    assert estimate.n == 5000
    variances = estimate.diagnostics["variances"]
    assert variances == sorted(variances, reverse=True)
    assert variances[0] == pytest.approx(4, rel=0.1)
    assert measured(ActiveUnits, model, reals(5000), threshold=0.005).value == 4


def test_the_kl_divergence_is_exact_and_agrees_with_its_monte_carlo_estimate() -> None:
    model, data = Planted([0.0, 1.0, 0.5, 2.0, 0.1, 1.0]), reals()
    estimate = measured(KL, model, data)
    torch.testing.assert_close(estimate.per_example, model.exact(data.test.all(Noise(0))), rtol=1e-5, atol=1e-5)
    excess, error = (estimate.diagnostics[f"monte_carlo_excess{name}"] for name in ("", "_stderr"))
    assert 0 < abs(excess) < 4 * error
    assert estimate.parts["Monte Carlo"] - estimate.value == pytest.approx(excess)
    many = measured(KL, model, data, samples=1000)
    assert many.diagnostics["monte_carlo_excess_stderr"] == pytest.approx(error / 10, rel=0.2)


def test_a_kl_divergence_without_a_closed_form_is_estimated() -> None:
    model, data = Planted([1.0] * 6, correlated=True), reals()
    exact = float(model.exact(data.test.all(Noise(0))).mean())
    estimate = measured(KL, model, data, samples=200)
    error = estimate.diagnostics["monte_carlo_excess_stderr"]
    assert estimate.value == pytest.approx(exact, abs=5 * error)
    assert estimate.value != pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("model", [Planted([1.0] * 6), OwnBound("prior", "steps", "reconstruction")])
def test_rate_and_distortion_add_up_to_minus_the_bound_on_every_example(model, samples: int) -> None:
    rate, distortion, bound = (
        measured(metric, model, reals(), seed=5, samples=samples) for metric in (Rate, Distortion, ELBO)
    )
    torch.testing.assert_close(rate.per_example + distortion.per_example, -bound.per_example)
    assert distortion.measure == bound.measure
    assert rate.measure is None


def test_the_rate_of_a_latent_variable_model_is_its_kl_divergence() -> None:
    model, data = Planted([1.0] * 6), reals()
    rate, kl = measured(Rate, model, data), measured(KL, model, data)
    torch.testing.assert_close(rate.per_example, kl.per_example, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("metric", [Rate, Distortion])
def test_a_bound_without_a_reconstruction_has_neither_rate_nor_distortion(metric) -> None:
    with pytest.raises(NotApplicable, match="prior, steps"):
        measured(metric, OwnBound("prior", "steps"), reals())
