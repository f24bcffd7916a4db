"""Models with an exact density agree with known exact results."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.mixture import GaussianMixture as Estimator
from threadpoolctl import threadpool_info
from torch import Tensor
from torch.distributions import MultivariateNormal

from harness import Context, Data, DataInfo, Examples, Noise, NotApplicable, density_measure
from harness.data.transforms import Binarize, Dequantize
from harness.toolkit import using_threads
from harness_densities.gaussian_mixture import GaussianMixture
from harness_densities.realnvp import RealNVP
from harness_metrics.likelihood.exact import ExactLogLikelihood


def moons(n: int, seed: int) -> Examples:
    """Two noisy arcs in the plane."""
    noise = Noise(seed)
    angle, which = math.pi * noise.uniform(n), (noise.uniform(n) < 0.5).float()
    arcs = torch.stack([angle.cos() + which, (1 - 2 * which) * angle.sin() + which / 2], dim=1)
    return Examples(arcs + 0.15 * noise.normal(n, 2))


@pytest.fixture(scope="module")
def plane() -> Data:
    return Data.from_tensors(moons(1000, 0), moons(200, 1), moons(500, 2))


@torch.no_grad()
def integral(model, low: float, high: float, n: int = 400) -> float:
    """Integrate a density over a square by the midpoint rule."""
    step = (high - low) / n
    line = low + step * (torch.arange(n) + 0.5)
    return float(model.log_prob(torch.cartesian_prod(line, line)).double().exp().sum()) * step**2


@pytest.mark.parametrize("covariance", ["diagonal", "full", "tied"])
def test_a_mixture_is_a_density_and_fits_better_than_one_gaussian(fit, plane: Data, covariance: str) -> None:
    model = fit(GaussianMixture, GaussianMixture.Config(components=8, covariance=covariance), plane, epochs=1)
    assert integral(model, -5, 5) == pytest.approx(1, abs=0.01)
    one = fit(GaussianMixture, GaussianMixture.Config(components=1, covariance=covariance), plane, epochs=1)
    x = plane.test.all(Noise(0))
    assert model.log_prob(x).mean() > one.log_prob(x).mean() + 0.3


@pytest.mark.parametrize("covariance", ["diagonal", "full", "tied"])
def test_a_mixture_has_the_density_of_scikit_learn_and_samples_from_it(fit, plane: Data, covariance: str) -> None:
    from sklearn.mixture import GaussianMixture as Reference

    model = fit(GaussianMixture, GaussianMixture.Config(components=4, covariance=covariance), plane, epochs=1)
    reference = Reference(4, covariance_type={"diagonal": "diag"}.get(covariance, covariance))
    factors = model.factors.double()
    reference.weights_, reference.means_ = model.weights.double().numpy(), model.means.double().numpy()
    precisions = 1 / factors if covariance == "diagonal" else torch.linalg.inv(factors).mT
    reference.precisions_cholesky_ = precisions.numpy()
    x = plane.test.all(Noise(0)).double()
    expected = torch.as_tensor(reference.score_samples(x.numpy()))
    torch.testing.assert_close(model.log_prob(x), expected, rtol=1e-6, atol=1e-6)

    drawn = model.sample(40_000, Noise(1)).double()
    means, weights = model.means.double(), model.weights.double()
    mean = weights @ means
    within = torch.diag_embed(factors**2) if covariance == "diagonal" else factors @ factors.mT
    spread = torch.einsum("k,ka,kb->ab", weights, means - mean, means - mean)
    expected = spread + torch.einsum("k,kab->ab", weights, within.expand(4, 2, 2))
    torch.testing.assert_close(drawn.mean(0), mean, atol=0.03, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), expected, atol=0.03, rtol=0)


def test_a_mixture_is_fitted_with_the_threads_of_the_fit(fit, plane: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    usual = Estimator.fit

    def watched(self: Estimator, x: object) -> object:
        seen.extend(each["num_threads"] for each in threadpool_info() if each["prefix"] != "libiomp")
        return usual(self, x)

    monkeypatch.setattr(Estimator, "fit", watched)
    with using_threads(1):
        fit(GaussianMixture, GaussianMixture.Config(components=2), plane, epochs=1)
    assert seen
    assert set(seen) == {1}


def test_a_mixture_refuses_more_components_than_examples(fit, plane: Data) -> None:
    with pytest.raises(NotApplicable, match="1000 training examples"):
        fit(GaussianMixture, GaussianMixture.Config(components=1001), plane, epochs=1)


@pytest.fixture(scope="module")
def flow(fit, plane: Data) -> RealNVP:
    return fit(RealNVP, RealNVP.Config(hidden=(32, 32), learning_rate=3e-3), plane, epochs=20)


def test_a_flow_is_a_density_that_learns_the_data(flow: RealNVP, plane: Data) -> None:
    assert integral(flow, -5, 5) == pytest.approx(1, abs=0.01)
    x = plane.test.all(Noise(0))
    gaussian = MultivariateNormal(x.mean(0), x.T.cov())
    assert flow.log_prob(x).mean() > gaussian.log_prob(x).mean() + 0.2


def test_a_flow_on_the_unit_square_is_a_density_on_the_domain_of_its_logit(fit) -> None:
    noise = Noise(0)
    square = [Examples(noise.uniform(n, 2) ** 2) for n in (500, 100, 100)]
    data = Data.from_tensors(*square, support="unit")
    model = fit(RealNVP, RealNVP.Config(hidden=(16,), learning_rate=3e-3), data, epochs=5)
    beyond = 0.05 / 0.9
    assert integral(model, -beyond, 1 + beyond) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("shape", [(2,), (3,), (1, 6, 5), (3, 4, 4)])
def test_a_flow_inverts_and_its_determinant_is_that_of_its_jacobian(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    info = DataInfo(shape, "unit", torch.zeros(shape))
    model = RealNVP(info, RealNVP.Config(hidden=(16,)))
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    x = torch.rand(20, *shape)
    with torch.no_grad():
        z, log_determinant = model.transform(x)
        torch.testing.assert_close(model.invert(z), x, atol=1e-5, rtol=0)
    assert not torch.allclose(z, x.flatten(1), atol=0.1)
    model.double()
    jacobian = torch.autograd.functional.jacobian(lambda x: model.transform(x.unsqueeze(0))[0][0], x[0].double())
    expected = torch.linalg.slogdet(jacobian.reshape(info.dim, info.dim)).logabsdet
    assert float(log_determinant[0]) == pytest.approx(float(expected), abs=1e-4)


def test_a_flow_refuses_discrete_values_and_says_what_to_use(small_data: Data) -> None:
    binary = Binarize(Binarize.Config()).apply(small_data)
    for info in (small_data.info, binary.info):
        with pytest.raises(NotApplicable, match="use a dequantized data set"):
            RealNVP(info, RealNVP.Config())
    with pytest.raises(NotApplicable, match="two values"):
        RealNVP(DataInfo((1,), "real", torch.zeros(1)), RealNVP.Config())


def test_bits_per_dimension_of_a_uniform_density_are_eight(small_data: Data) -> None:
    class Uniform:
        def log_prob(self, x: Tensor) -> Tensor:
            return torch.zeros(len(x))

    data = Dequantize(Dequantize.Config()).apply(small_data)
    metric = ExactLogLikelihood(ExactLogLikelihood.Config())
    estimate = metric.measure(Uniform(), data, Context(Noise(0), None, None, 0))
    assert estimate.value == 0
    assert estimate.parts == {"per dimension (bits)": pytest.approx(8)}
    assert estimate.measure == "density on (pixel + u) / 256"
    assert len(estimate.per_example) == len(data.test)
    assert not metric.measure(Uniform(), small_data, Context(Noise(0), None, None, 0)).parts


def test_a_density_names_its_reference_measure(small_data: Data, plane: Data) -> None:
    binary, dequantized = (
        Binarize(Binarize.Config()).apply(small_data),
        Dequantize(Dequantize.Config()).apply(small_data),
    )
    assert density_measure(plane.info) == "density on real values"
    assert density_measure(dequantized.info) == "density on (pixel + u) / 256"
    for info in (binary.info, small_data.info):
        assert density_measure(info).endswith("which is discrete: not dequantized")
    assert len({density_measure(each.info) for each in (plane, binary, dequantized, small_data)}) == 4
