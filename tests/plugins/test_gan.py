"""Properties of the adversarial networks."""

import math

import pytest
import torch
from torch import nn

from harness import Data, DataInfo, Diverged, Noise, NotApplicable
from harness.contracts.objectives import objectives_of
from harness.data.transforms import Binarize
from harness.planning.budget import Budget
from harness.training.fit import fit_seed
from harness.training.recipe import Recipe
from harness.training.trainer import Trainer
from harness_gan.dcgan import DCGAN
from harness_gan.gan import GAN
from harness_gan.wgan_gp import WGANGP


def test_at_equilibrium_the_loss_of_the_discriminator_is_log_4(small_data: Data) -> None:
    model = GAN(small_data.info, GAN.Config())
    nn.init.zeros_(model.discriminator[-1].weight)
    nn.init.zeros_(model.discriminator[-1].bias)
    x = small_data.train.all(Noise(0))
    assert model.discriminator_loss(x, Noise(0)).item() == pytest.approx(math.log(4))
    assert model.generator_loss(x, Noise(0)).item() == pytest.approx(math.log(2))
    assert model.objectives()[1].landmark == ("equilibrium, −V = log 4", pytest.approx(math.log(4)))


def test_the_saturating_loss_is_log_one_minus_the_discriminator(small_data: Data) -> None:
    torch.manual_seed(0)
    model = GAN(small_data.info, GAN.Config(loss="saturating"))
    x = small_data.train.all(Noise(0))
    logits = model.discriminator(model.generator(Noise(3).normal(len(x), 20)))
    expected = torch.log(1 - torch.sigmoid(logits)).mean()
    torch.testing.assert_close(model.generator_loss(x, Noise(3)), expected)


def test_each_objective_updates_only_its_own_network(small_data: Data) -> None:
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


@pytest.mark.parametrize("factory", [GAN, WGANGP])
def test_batch_normalisation_needs_two_examples_a_step(small_data: Data, factory) -> None:
    config = factory.Config(latent_dim=2, generator=(8, 8), discriminator=(8,))
    error = fit_seed(Recipe(factory, config, small_data, Budget(steps=2, batch_size=1)), 0).error
    assert isinstance(error, NotApplicable)
    assert "two examples per step" in str(error)


def test_samples_are_in_the_range_of_the_data_and_vary(small_data: Data) -> None:
    data = Binarize(Binarize.Config()).apply(small_data)
    fitted = fit_seed(Recipe(GAN, GAN.Config(), data, Budget(epochs=10, batch_size=50)), 0)
    model, curves = fitted.model, fitted.curves
    with torch.no_grad():
        samples = model.sample(50, Noise(0))
    assert samples.shape == (50, 1, 6, 5)
    assert 0 <= float(samples.min()) < float(samples.max()) <= 1
    assert float(samples.std(0).mean()) > 0.01
    assert set(curves.train) == set(curves.validation) == {"generator", "discriminator"}


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 6, 5), (2, 4, 7), (1, 45, 31)])
def test_dcgan_makes_images_of_any_size_that_can_be_halved(shape: tuple[int, ...]) -> None:
    model = DCGAN(DataInfo(shape, "unit", torch.zeros(shape)), DCGAN.Config(generator=(6, 4), discriminator=(4, 6)))
    assert model.sample(3, Noise(0)).shape == (3, *shape)
    assert model.discriminator(torch.zeros(3, math.prod(shape))).shape == (3, 1)


def test_dcgan_refuses_vectors_and_images_that_are_too_small() -> None:
    for shape, reason in (((12,), "of shape"), ((1, 28, 3), "need sides of 4, not 28 × 3")):
        with pytest.raises(NotApplicable, match=reason):
            DCGAN(DataInfo(shape, "unit", torch.zeros(shape)), DCGAN.Config())


def test_a_linear_critic_has_the_known_loss_and_penalty(small_data: Data) -> None:
    # f(x) = w·x has the gradient w everywhere, so that the penalty is (‖w‖ − 1)², and the rest is known too.
    model = WGANGP(small_data.info, WGANGP.Config())
    model.discriminator = nn.Linear(30, 1)
    nn.init.constant_(model.discriminator.weight, 0.5)
    x = small_data.train.all(Noise(0))
    generated = model.generator(Noise(3).normal(len(x), 20))
    distance = 0.5 * (generated.sum(1) - (2 * x - 1).flatten(1).sum(1)).mean()
    expected = distance + 10 * (0.5 * 30**0.5 - 1) ** 2
    torch.testing.assert_close(model.critic_loss(x, Noise(3)), expected)
    with torch.no_grad():  # as validation losses are measured
        torch.testing.assert_close(model.critic_loss(x, Noise(3)), expected)


def test_the_gradient_of_the_penalty_is_that_of_the_autograd_engine(small_data: Data) -> None:
    torch.manual_seed(0)
    model = WGANGP(small_data.info, WGANGP.Config(discriminator=(16, 8))).double()
    x = Noise(0).normal(40, 30).double()
    ours = torch.autograd.grad(model._gradient_penalty(x), model.discriminator.parameters(), allow_unused=True)
    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(model.discriminator(leaf).sum(), leaf, create_graph=True)
    penalty = (slope.norm(dim=1) - 1).square().mean()
    theirs = torch.autograd.grad(penalty, model.discriminator.parameters(), allow_unused=True)
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b)


def test_the_critic_has_no_batch_norm_and_several_updates_per_step(small_data: Data) -> None:
    config = WGANGP.Config()
    model = WGANGP(small_data.info, config)
    assert not any(isinstance(layer, nn.BatchNorm1d) for layer in model.discriminator.modules())
    trainer = Trainer(model, objectives_of(model, config), small_data.train, 64, seed=0)
    trainer.step(torch.arange(64))
    critic, generator = ({int(s["step"]) for s in o["state"].values()} for o in trainer.state()["optimizers"])
    assert (critic, generator) == ({5}, {1})


@pytest.mark.parametrize("factory", [GAN, DCGAN, WGANGP])
def test_a_generator_that_ignores_the_code_is_reported_as_collapsed(small_data: Data, factory) -> None:
    class Collapsed(factory):
        def calibrate(self, validation, noise: Noise) -> None:
            for parameter in self.generator.parameters():
                nn.init.zeros_(parameter)
            super().calibrate(validation, noise)

    fitted = fit_seed(Recipe(Collapsed, factory.Config(), small_data, Budget(steps=2, batch_size=50)), 0)
    assert isinstance(fitted.error, Diverged)
    assert "their variance, averaged over pixels, is 0," in str(fitted.error)
    assert fitted.model is None


def test_samples_that_are_not_finite_are_reported(small_data: Data) -> None:
    model = GAN(small_data.info, GAN.Config()).eval()
    nn.init.constant_(model.generator[-2].bias, math.nan)
    with torch.no_grad(), pytest.raises(Diverged, match="not finite"):
        model.calibrate(small_data.validation, Noise(0))


def test_the_collapse_threshold_is_a_setting(small_data: Data) -> None:
    torch.manual_seed(0)
    for fraction, collapses in ((0.0, False), (0.99, True)):
        model = GAN(small_data.info, GAN.Config(collapse_fraction=fraction)).eval()
        model.generator[-2].weight.data *= 0.01
        with torch.no_grad():
            if collapses:
                with pytest.raises(Diverged, match=r"0\.99 of that of the validation images"):
                    model.calibrate(small_data.validation, Noise(0))
            else:
                model.calibrate(small_data.validation, Noise(0))
