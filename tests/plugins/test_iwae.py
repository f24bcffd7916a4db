"""The k-sample bound lies between the ELBO and the exact log-likelihood."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from harness import Context, Data, Noise
from harness.data.transforms import Binarize
from harness.toolkit import log_importance_weights
from harness_metrics.likelihood.elbo import ELBO
from harness_metrics.likelihood.iw_bound import ImportanceWeightedBound
from harness_vae.iwae import IWAE
from harness_vae.vae import VAE


class LinearGaussian(torch.nn.Module):
    """x = Wz + ε, whose log p(x) is known, with a posterior that is not the exact one."""

    def __init__(self, width: float = 1.5, shift: float = 0.3) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.w = torch.randn(30, 2, generator=generator, dtype=torch.float64)
        precision = torch.eye(2, dtype=torch.float64) + self.w.T @ self.w
        self.gain = torch.linalg.solve(precision, self.w.T)  # (2, 30)
        self.scale = width * precision.inverse().diagonal().sqrt()
        self.shift = shift

    def prior(self) -> Distribution:
        return Independent(Normal(torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)), 1)

    def posterior(self, x: Tensor) -> Distribution:
        mean = x.flatten(1).double() @ self.gain.T + self.shift * self.scale
        return Independent(Normal(mean, self.scale.expand_as(mean)), 1)

    def observation(self, z: Tensor) -> Distribution:
        mean = (z @ self.w.T).unflatten(-1, (1, 6, 5))
        return Independent(Normal(mean, torch.ones_like(mean)), 3)

    def log_prob(self, x: Tensor) -> Tensor:
        covariance = self.w @ self.w.T + torch.eye(30, dtype=torch.float64)
        return MultivariateNormal(torch.zeros(30, dtype=torch.float64), covariance).log_prob(x.flatten(1).double())


def context(seed: int = 0) -> Context:
    return Context(Noise(seed), None, None, 0)


def test_the_bound_rises_with_k_from_the_elbo_to_the_exact_log_likelihood(small_data: Data) -> None:
    model = LinearGaussian()
    exact = model.log_prob(small_data.test.all(Noise(0)))
    found = {
        k: ImportanceWeightedBound(ImportanceWeightedBound.Config(k=k)).measure(model, small_data, context())
        for k in (1, 4, 20_000)
    }
    values = [each.value for each in found.values()]
    assert values == sorted(values)
    assert values[-1] == pytest.approx(float(exact.mean()), abs=0.003)
    torch.testing.assert_close(found[20_000].per_example, exact, atol=0.1, rtol=0)
    elbo = ELBO(ELBO.Config(samples=200)).measure(model, small_data, context())
    assert values[0] == pytest.approx(elbo.value, abs=4 * found[1].stderr)


@pytest.mark.parametrize("examples", [7, 60])
def test_k_samples_are_drawn_for_any_number_of_examples(small_data: Data, examples: int) -> None:
    # Codes are decoded in chunks of about a thousand: one chunk for 7 examples, several for 60.
    config = ImportanceWeightedBound.Config(k=50, examples=examples)
    estimate = ImportanceWeightedBound(config).measure(LinearGaussian(width=1, shift=0), small_data, context())
    assert 25 < estimate.effective_sample_size <= 50


def test_the_setting_examples_limits_the_number_measured(small_data: Data) -> None:
    config = ImportanceWeightedBound.Config(k=5, examples=7)
    assert ImportanceWeightedBound(config).measure(LinearGaussian(), small_data, context()).n == 7


def test_the_loss_is_the_negative_bound_and_at_one_sample_that_of_the_vae(small_data: Data) -> None:
    data = Binarize(Binarize.Config()).apply(small_data)
    x = data.test.all(Noise(0))
    model = IWAE(data.info, IWAE.Config(latent_dim=2, hidden=(8,), k=7))
    weights = log_importance_weights(model, x, 7, Noise(3))
    expected = -(weights.logsumexp(0) - math.log(7)).mean()
    torch.testing.assert_close(model.loss(x, Noise(3)), expected)

    one = IWAE(data.info, IWAE.Config(latent_dim=2, hidden=(8,), k=1))
    vae = VAE(data.info, VAE.Config(latent_dim=2, hidden=(8,)))
    vae.load_state_dict(one.state_dict())
    noises = [Noise(seed) for seed in range(400)]
    with torch.no_grad():
        losses = torch.tensor([[float(m.loss(x, Noise(s))) for m in (one, vae)] for s in range(len(noises))])
    difference = losses[:, 0] - losses[:, 1]
    assert abs(float(difference.mean())) < 4 * float(difference.std()) / len(noises) ** 0.5
