"""The length of training, the schedule of the learning rate, and which weights are kept."""

from __future__ import annotations

import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from harness import AdamSettings, Data, Noise, NotApplicable
from harness.contracts.objectives import learning_rate_factor, objectives_of
from harness.data.transforms import Binarize
from harness.planning.budget import Budget
from harness.training.fit import fit_seed
from harness.training.recipe import Recipe
from harness.training.trainer import Trainer
from harness_gan.gan import GAN
from harness_vae.vae import VAE

small = VAE.Config(latent_dim=2, hidden=(8,))


def test_a_budget_has_exactly_one_length() -> None:
    for lengths in ({}, {"epochs": 2, "steps": 3}, {"steps": 3, "seconds": 1.0}):
        with pytest.raises(ValueError, match="epochs, in steps or in seconds"):
            Budget(**lengths)


def test_a_budget_in_steps_takes_that_many_steps(small_data: Data) -> None:
    for steps in (1, 6, 7, 20):  # an epoch has 6
        fitted = fit_seed(Recipe(VAE, small, small_data, Budget(steps=steps, batch_size=50)), 0)
        assert fitted.curves.steps == steps
        assert len(fitted.curves.seconds) == -(-steps // 6)


def test_a_budget_of_steps_gives_the_same_model_as_the_same_number_of_epochs(small_data: Data) -> None:
    by_steps = fit_seed(Recipe(VAE, small, small_data, Budget(steps=12, batch_size=50)), 0)
    by_epochs = fit_seed(Recipe(VAE, small, small_data, Budget(epochs=2, batch_size=50)), 0)
    assert by_steps.curves.train == by_epochs.curves.train
    for a, b in zip(by_steps.model.parameters(), by_epochs.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_budget_in_seconds_ends_within_an_epoch(small_data: Data) -> None:
    class Slow(nn.Module):
        def __init__(self, info, config) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(()))

        def loss(self, x: Tensor, noise: Noise) -> Tensor:
            time.sleep(0.02 if self.training else 0)
            return self.weight.square()

    fitted = fit_seed(Recipe(Slow, AdamSettings(), small_data, Budget(seconds=0.1, batch_size=10)), 0)
    assert 1 <= fitted.curves.steps <= 6  # an epoch has 30, and would take 0.6 s
    assert len(fitted.curves.seconds) == 1


def test_best_weights_are_those_of_the_epoch_with_the_lowest_validation_loss(small_data: Data) -> None:
    class Drifting(nn.Module):
        """A model whose only weight grows by about 1 an epoch and is best at 3."""

        def __init__(self, info, config) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(()))

        def loss(self, x: Tensor, noise: Noise) -> Tensor:
            return -self.weight if self.training else (self.weight - 3).square()

    def fitted(weights: str) -> float:
        budget = Budget(epochs=6, batch_size=100, weights=weights)
        recipe = Recipe(Drifting, AdamSettings(learning_rate=1 / 3), small_data, budget)
        return fit_seed(recipe, 0).model.weight.item()

    assert fitted("best") == pytest.approx(3, abs=0.01)
    assert fitted("last") == pytest.approx(6, abs=0.01)


def test_a_model_with_several_objectives_has_no_best_weights(small_data: Data) -> None:
    data = Binarize(Binarize.Config()).apply(small_data)
    fitted = fit_seed(Recipe(GAN, GAN.Config(), data, Budget(epochs=1, batch_size=50, weights="best")), 0)
    assert isinstance(fitted.error, NotApplicable)
    assert "generator and discriminator" in str(fitted.error)


def test_the_staged_schedule_takes_3_to_the_i_passes_at_10_to_the_minus_i_sevenths() -> None:
    passes = [round(10 ** (-7 / 7), 9)]
    factors = [learning_rate_factor("staged", done / 3280) for done in range(3280)]
    expected = [10 ** (-i / 7) for i in range(8) for _ in range(3**i)]
    assert factors == pytest.approx(expected)
    assert factors[-1] == pytest.approx(passes[0])


@given(st.floats(0, 1), st.floats(0, 1))
def test_no_schedule_ever_raises_the_learning_rate(a: float, b: float) -> None:
    earlier, later = sorted((a, b))
    for schedule in ("constant", "cosine", "staged"):
        assert 0 <= learning_rate_factor(schedule, later) <= learning_rate_factor(schedule, earlier) <= 1


def test_the_learning_rate_follows_the_schedule_over_the_whole_budget(small_data: Data) -> None:
    class Still(nn.Module):
        """A model with a constant gradient, which Adam updates by the learning rate."""

        def __init__(self, info, config) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros((), dtype=torch.float64))

        def loss(self, x: Tensor, noise: Noise) -> Tensor:
            return -self.weight

    budget = Budget(steps=10, batch_size=100)
    moved = fit_seed(Recipe(Still, AdamSettings(learning_rate=0.1, schedule="cosine"), small_data, budget), 0)
    expected = sum(0.1 * learning_rate_factor("cosine", step / 10) for step in range(10))
    assert moved.model.weight.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("precision", ["bf16", "bf16-products"])
def test_a_lower_precision_learns_nearly_the_same_and_restores_the_settings_of_torch(
    precision: str, small_data: Data
) -> None:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    data = Binarize(Binarize.Config(binarization="static")).apply(small_data)

    def last_loss(precision: str) -> float:
        recipe = Recipe(VAE, small, data, Budget(epochs=20, batch_size=50), precision)
        return fit_seed(recipe, 0).curves.validation["negative ELBO"][-1]

    assert last_loss(precision) == pytest.approx(last_loss("float32"), rel=0.02)
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == before


def test_bf16_computes_the_loss_in_bfloat16(small_data: Data) -> None:
    seen = []

    class Watching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(30, 2)

        def loss(self, x: Tensor, noise: Noise) -> Tensor:
            seen.append(self.layer(x.flatten(1)).dtype)
            return self.layer(x.flatten(1)).float().square().mean()

    for precision in ("float32", "bf16"):
        model = Watching()
        Trainer(model, objectives_of(model, None), small_data.train, 50, 0, precision).epoch()
    assert seen == [torch.float32] * 6 + [torch.bfloat16] * 6
