"""What is known of the adversarial network."""

import math

import pytest
import torch
from torch import nn

from harness import Data, Noise
from harness.budget import Budget
from harness.training import Recipe, Trainer, fit_seed, objectives_of
from harness.transforms import Binarize
from harness_gan.gan import GAN


def test_at_equilibrium_the_discriminator_loses_log_4(small_data: Data) -> None:
    model = GAN(small_data.info, GAN.Config())
    nn.init.zeros_(model.discriminator[-1].weight)
    nn.init.zeros_(model.discriminator[-1].bias)
    x = small_data.train.all(Noise(0))
    assert model.discriminator_loss(x, Noise(0)).item() == pytest.approx(math.log(4))
    assert model.generator_loss(x, Noise(0)).item() == pytest.approx(math.log(2))


def test_the_saturating_loss_is_log_one_minus_the_discriminator(small_data: Data) -> None:
    torch.manual_seed(0)
    model = GAN(small_data.info, GAN.Config(loss="saturating"))
    x = small_data.train.all(Noise(0))
    logits = model.discriminator(model.generator(Noise(3).normal(len(x), 20)))
    expected = torch.log(1 - torch.sigmoid(logits)).mean()
    torch.testing.assert_close(model.generator_loss(x, Noise(3)), expected)


def test_each_objective_moves_its_own_network_only(small_data: Data) -> None:
    torch.manual_seed(0)
    config = GAN.Config()
    model = GAN(small_data.info, config)
    networks = {"generator": model.generator, "discriminator": model.discriminator}
    for objective in objectives_of(model, config):
        before = {name: [p.detach().clone() for p in each.parameters()] for name, each in networks.items()}
        Trainer(model, [objective], small_data.train, 64, seed=0).step(torch.arange(64))
        for name, each in networks.items():
            moved = any(not torch.equal(a, b) for a, b in zip(before[name], each.parameters(), strict=True))
            assert moved == (name == objective.name)


def test_samples_lie_in_the_range_of_the_data_and_vary(small_data: Data) -> None:
    data = Binarize(Binarize.Config()).apply(small_data)
    fitted = fit_seed(Recipe(GAN, GAN.Config(), data, Budget(epochs=3, batch_size=100)), 0)
    model, curves = fitted.model, fitted.curves
    with torch.no_grad():
        samples = model.sample(50, Noise(0))
    assert samples.shape == (50, 1, 6, 5)
    assert 0 <= float(samples.min()) < float(samples.max()) <= 1
    assert float(samples.std(0).mean()) > 0.01
    assert set(curves.train) == set(curves.validation) == {"generator", "discriminator"}
