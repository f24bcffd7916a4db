"""Training: what a fit computes, and how it fails."""

import re
import sys
from dataclasses import replace

import pytest
import torch
from small_models import Line
from torch import Tensor, nn

from harness import AdamSettings, Data, DataInfo, Examples, Noise, Split, derive_seed
from harness.contracts.objectives import objectives_of
from harness.data.transforms import Binarize
from harness.errors import Diverged
from harness.planning.budget import Budget
from harness.training.fit import fit_seed, fit_seeds, trainer_of
from harness.training.recipe import Callbacks, Recipe
from harness.training.trainer import Trainer
from harness_vae.vae import VAE


def test_an_epoch_shows_every_image_once_and_leaves_no_batch_of_one(small_data: Data) -> None:
    for batch_size in (1, 7, 13, 23, 64, 299, 300, 1000):  # 300 leaves one over at 13 and 299 (and 23)
        trainer = Trainer(nn.Identity(), [], small_data.train, batch_size, seed=0)
        batches = list(trainer.shuffled())
        assert sorted(torch.cat(batches).tolist()) == list(range(300))
        assert batch_size == 1 or all(len(each) > 1 for each in batches)
        assert all(len(each) == batch_size for each in batches[:-1])


def test_the_order_changes_between_epochs_and_seeds_and_is_the_same_for_every_model(small_data: Data) -> None:
    def order(trainer: Trainer) -> list[int]:
        return torch.cat(list(trainer.shuffled())).tolist()

    a, b, c = (Trainer(nn.Identity(), [], small_data.train, 10, seed) for seed in (0, 0, 1))
    first = order(a)
    assert first == order(b)
    assert first != order(a)
    assert first != order(c)


def test_the_steps_are_those_of_a_plain_float64_loop(small_data: Data) -> None:
    data = Binarize(Binarize.Config(binarization="static")).apply(small_data)
    train = replace(data.train, inputs=lambda stored, noise: stored.double())
    config = VAE.Config(latent_dim=3, hidden=(12,))
    torch.manual_seed(4)
    model = VAE(data.info, config).double()
    torch.manual_seed(4)
    plain = VAE(data.info, config).double()
    trainer = Trainer(model, objectives_of(model, config), train, 32, seed=9)
    order, data_noise, noise = (Noise(derive_seed(name, 9)) for name in ("batches", "data", "noise"))
    moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in plain.parameters()]
    steps = 0
    for _ in range(5):
        shuffled = order.permutation(len(train)).split(trainer.sizes)
        for index, same in zip(trainer.shuffled(), shuffled, strict=True):
            loss = trainer.step(index)
            steps += 1
            expected = plain.loss(train.batch(same, data_noise), noise)
            torch.testing.assert_close(loss[0], expected.detach())
            gradients = torch.autograd.grad(expected, list(plain.parameters()))
            with torch.no_grad():
                for p, g, (m, v) in zip(plain.parameters(), gradients, moments, strict=True):
                    m.mul_(0.9).add_(0.1 * g)
                    v.mul_(0.999).add_(0.001 * g * g)
                    p -= 1e-3 * (m / (1 - 0.9**steps)) / ((v / (1 - 0.999**steps)).sqrt() + 1e-8)
    assert steps == 50
    for p, q in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-7, atol=1e-9)


class Exploding(nn.Module):
    def __init__(self, info, config) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.epochs = 0

    def loss(self, x, noise):
        self.epochs += 1
        return self.weight * x.sum() * (torch.inf if self.epochs > 8 else 1.0)


def test_a_loss_that_is_not_finite_stops_the_fit_and_keeps_its_curve(small_data: Data) -> None:
    seen: list[int] = []
    recipe = Recipe(Exploding, AdamSettings(), small_data, Budget(epochs=5, batch_size=60))
    fitted = fit_seed(recipe, 0, Callbacks(on_epoch=lambda epoch, losses, progress: seen.append(epoch)))
    assert fitted.model is None
    assert isinstance(fitted.error, Diverged)
    assert re.fullmatch(r"loss became (inf|nan) in epoch 2, after 10 steps", str(fitted.error))
    assert seen == [1]
    assert len(fitted.curves.train["loss"]) == 2


def test_frozen_parameters_do_not_change_and_the_others_are_trained(fit, small_data: Data) -> None:
    class Frozen(Line):
        def __init__(self, info, config) -> None:
            super().__init__(info, config)
            self.scale = nn.Parameter(torch.ones(info.dim), requires_grad=False)

        def loss(self, x: Tensor, noise: Noise) -> Tensor:
            return super().loss(x * self.scale.view(x.shape[1:]), noise)

    model = fit(Frozen, AdamSettings(), small_data, epochs=1)
    assert torch.equal(model.scale, torch.ones_like(model.scale))
    assert float(model.mean.detach().abs().sum()) > 0


def test_a_model_that_draws_from_the_global_generator_is_repeatable(fit, small_data: Data) -> None:
    class Foreign(nn.Module):
        def __init__(self, info, config) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(info.dim))

        def loss(self, x, noise):
            return (self.weight + torch.randn(len(x), len(self.weight)) - x.flatten(1)).square().mean()

    def weights(seed: int) -> torch.Tensor:
        return fit(Foreign, None, small_data, epochs=2, batch_size=60, seed=seed).weight.detach()

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def test_a_model_never_sees_the_test_split(fit, small_data: Data) -> None:
    blank = Examples(torch.zeros(5, 1, 6, 5, dtype=torch.uint8))
    other = replace(small_data, test=Data.from_tensors(blank, blank, blank).test)
    config = VAE.Config(latent_dim=2, hidden=(8,))

    def weights(data: Data) -> list[torch.Tensor]:
        model = fit(VAE, config, data, epochs=1, batch_size=60)
        return [p.detach() for p in model.parameters()]

    assert all(torch.equal(a, b) for a, b in zip(weights(small_data), weights(other), strict=True))


def test_training_does_not_change_the_global_generator(fit, small_data: Data) -> None:
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    fit(VAE, VAE.Config(), small_data, epochs=1, batch_size=60)
    assert torch.equal(torch.rand(3), expected)


def test_seeds_and_their_noise_are_equal_only_for_equal_names() -> None:
    assert derive_seed("batches", 1) == derive_seed("batches", 1)
    assert len({derive_seed("batches", 1), derive_seed("batches", 2), derive_seed("data", 1), derive_seed("1")}) == 4
    assert torch.equal(Noise(5).normal(4), Noise(5).normal(4))


class ExitsWhenBuilt(Line):
    def __init__(self, info: DataInfo, config: AdamSettings) -> None:
        super().__init__(info, config)
        sys.exit("built")


class ExitsInTraining(Line):
    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        sys.exit("trained")


class ExitsInCalibration(Line):
    def calibrate(self, validation: Split, noise: Noise) -> None:
        sys.exit("calibrated")


class ExitsInItsFit(Line):
    def fit(self, train: Split, noise: Noise) -> None:
        sys.exit("fitted")


@pytest.mark.parametrize("vectorized", [False, True])
@pytest.mark.parametrize("model", [ExitsWhenBuilt, ExitsInTraining, ExitsInCalibration, ExitsInItsFit])
def test_a_model_that_calls_sys_exit_fails_its_fit_and_not_the_process(model, vectorized, small_data: Data) -> None:
    recipe = Recipe(model, AdamSettings(), small_data, Budget(epochs=1, batch_size=50))
    fits = fit_seeds(recipe, (0, 1), vectorized=vectorized)
    assert [fitted.seed for fitted in fits] == [0, 1]
    for fitted in fits:
        assert fitted.model is None
        assert isinstance(fitted.error, RuntimeError)
        assert re.fullmatch(r"sys\.exit\('(built|trained|calibrated|fitted)'\) was called", str(fitted.error))


def test_a_model_that_calls_sys_exit_when_it_is_built_has_no_trainer(small_data: Data) -> None:
    with pytest.raises(RuntimeError, match=r"sys\.exit\('built'\) was called"):
        trainer_of(Recipe(ExitsWhenBuilt, AdamSettings(), small_data, Budget(epochs=1)), seed=0)


def test_samples_that_cannot_be_drawn_in_training_are_announced_and_the_fit_succeeds(small_data: Data) -> None:
    class ExitsInSampling(Line):
        def sample(self, n: int, noise: Noise) -> Tensor:
            sys.exit("sampled")

    announced: list[str] = []
    recipe = Recipe(ExitsInSampling, AdamSettings(), small_data, Budget(epochs=1, batch_size=50))
    fitted = fit_seed(recipe, 0, Callbacks(announce=announced.append, snapshots=4))
    assert fitted.error is None
    assert announced == ["no samples could be drawn in epoch 1: sys.exit('sampled') was called"]
