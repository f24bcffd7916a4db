"""Seeds trained as one model take the same steps as alone."""

from __future__ import annotations

import pytest
import torch
from marks import needs_recent_torch
from small_models import Line, LooksAtItsLoss, in_double, small
from torch import Tensor, nn

from harness import AdamSettings, Data, Diverged, Noise, Objective, Split, derive_seed
from harness.contracts.models import FitsItself, offers
from harness.contracts.objectives import objectives_of
from harness.noise import global_seed
from harness.planning.budget import Budget
from harness.planning.component import resolve_component
from harness.registry import Registry
from harness.training.fit import fit_seed, fit_seeds
from harness.training.recipe import Callbacks, Recipe
from harness.training.trainer import Trainer
from harness.training.vectorized import VectorizedTrainer

registry = Registry.load()
gradient_models = [
    each.spec.name
    for each in registry.all("model")
    if each.plugin.distribution == "generative-harness" and not offers(each.spec.resolve(), FitsItself)
]
vectorizable = [
    pytest.param(name, marks=needs_recent_torch) if name in ("ddpm", "flow-matching") else name
    for name in gradient_models
]


@pytest.mark.parametrize("name", vectorizable)
@pytest.mark.usefixtures("float64")
def test_the_first_fifty_steps_of_seeds_together_are_those_of_each_alone(name: str, suited) -> None:
    chosen = resolve_component(registry.get("model", name), small.get(name, {}))
    data = suited(chosen)
    train = in_double(data).train
    seeds = (0, 1, 5)

    def built(seed: int) -> nn.Module:
        with global_seed(derive_seed("initialisation", seed)):
            return chosen.factory(data.info, chosen.config).double()

    together = VectorizedTrainer([built(seed) for seed in seeds], chosen.config, train, 32, seeds)
    models = [built(seed).train() for seed in seeds]
    alone = [
        Trainer(model, objectives_of(model, chosen.config), train, 32, seed)
        for model, seed in zip(models, seeds, strict=True)
    ]
    for _ in range(5):
        for index, *indices in zip(together.shuffled(), *(each.shuffled() for each in alone), strict=True):
            losses = together.step(index)
            expected = torch.stack([each.step(i) for each, i in zip(alone, indices, strict=True)])
            torch.testing.assert_close(losses, expected, rtol=1e-9, atol=1e-9)
    for ours, theirs in zip(together.synchronize(), models, strict=True):
        for (key, a), b in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-9, msg=key)


@pytest.mark.parametrize("name", vectorizable)
def test_a_vectorized_fit_ends_like_each_seed_alone_up_to_rounding(name: str, suited) -> None:
    chosen = resolve_component(registry.get("model", name), small.get(name, {}))
    data = suited(chosen)
    recipe = Recipe(chosen.factory, chosen.config, data, Budget(steps=7, batch_size=50))
    together = fit_seeds(recipe, (3, 4), vectorized=True)
    assert [(each.seed, each.path, each.group) for each in together] == [(s, "vectorized", (3, 4)) for s in (3, 4)]
    for fitted in together:
        alone = fit_seed(recipe, fitted.seed)
        assert fitted.curves.steps == alone.curves.steps == 7
        for curve, expected in zip(fitted.curves.validation.values(), alone.curves.validation.values(), strict=True):
            assert curve == pytest.approx(expected, rel=1e-3)
        assert fitted.model is not None
        assert not fitted.model.training


class DrawsGlobally(Line):
    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        return super().loss(x, noise) + torch.randn(()) * self.mean.sum()


class ReplacesItsBuffer(Line):
    def __init__(self, info, config: AdamSettings) -> None:
        super().__init__(info, config)
        self.register_buffer("seen", torch.zeros(()))

    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        self.seen = self.seen + 1
        return super().loss(x, noise)


@pytest.mark.parametrize("model", [DrawsGlobally, LooksAtItsLoss, ReplacesItsBuffer])
def test_a_model_that_cannot_be_vectorized_is_trained_seed_by_seed_and_the_reason_is_announced(
    model, small_data: Data
) -> None:
    announced: list[str] = []
    recipe = Recipe(model, AdamSettings(), small_data, Budget(epochs=2, batch_size=50))
    fits = fit_seeds(recipe, (0, 1), vectorized=True, callbacks=Callbacks(announce=announced.append))
    assert len(announced) == 1
    assert announced[0].startswith("trained seed by seed, since the model cannot be vectorized: ")
    for fitted in fits:
        alone = fit_seed(recipe, fitted.seed)
        assert fitted.path == "single"
        assert fitted.fallback
        assert torch.equal(fitted.model.mean, alone.model.mean)


class FitsThree(Line):
    """Runs out of memory with more than three seeds at once."""

    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        if torch._C._functorch.is_batchedtensor(x) and torch._C._functorch.get_unwrapped(x).shape[0] > 3:
            raise torch.OutOfMemoryError("Tried to allocate 20 GiB")
        return super().loss(x, noise)


def test_a_group_that_does_not_fit_into_memory_is_halved_until_it_does(small_data: Data) -> None:
    announced: list[str] = []
    recipe = Recipe(FitsThree, AdamSettings(), small_data, Budget(epochs=1, batch_size=50))
    fits = fit_seeds(recipe, range(8), vectorized=True, callbacks=Callbacks(announce=announced.append))
    assert [fitted.group for fitted in fits] == [(0, 1)] * 2 + [(2, 3)] * 2 + [(4, 5)] * 2 + [(6, 7)] * 2
    assert announced[0] == "8 seeds at once do not fit into memory: trying 4 and 4"
    assert all(fitted.error is None for fitted in fits)


@pytest.mark.parametrize("vectorized", [False, True])
def test_a_fitted_model_keeps_no_gradients_in_memory(vectorized: bool, small_data: Data) -> None:
    recipe = Recipe(Line, AdamSettings(), small_data, Budget(epochs=1, batch_size=50))
    for fitted in fit_seeds(recipe, range(2), vectorized=vectorized):
        assert [each.grad for each in fitted.model.parameters()] == [None]


class NeverFits(Line):
    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        raise torch.OutOfMemoryError("Tried to allocate 20 GiB")


def test_a_seed_that_does_not_fit_into_memory_alone_fails_with_the_error_of_torch(small_data: Data) -> None:
    recipe = Recipe(NeverFits, AdamSettings(), small_data, Budget(epochs=1, batch_size=50))
    for fitted in fit_seeds(recipe, range(3), vectorized=True):
        assert isinstance(fitted.error, torch.OutOfMemoryError)
        assert "20 GiB" in str(fitted.error)


class Repeats(Line):
    """Updates its parameters three times in each step, on noisy examples."""

    def objectives(self) -> list[Objective]:
        return [Objective("loss", self.loss, [self.mean], AdamSettings(), repeats=3)]

    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        return super().loss(x + noise.normal(len(x), 1, 1, 1), noise)


def test_an_objective_with_repeats_takes_that_many_updates_with_new_noise_alone_and_together(small_data: Data) -> None:
    recipe = Recipe(Repeats, AdamSettings(), small_data, Budget(epochs=2, batch_size=50))
    for together in fit_seeds(recipe, (0, 1), vectorized=True):
        alone = fit_seed(recipe, together.seed)
        assert together.path == "vectorized"
        torch.testing.assert_close(together.model.mean, alone.model.mean)
    model = Repeats(small_data.info, AdamSettings())
    trainer = Trainer(model, model.objectives(), small_data.train, 50, seed=0)
    (last,) = trainer.step(torch.arange(50))
    (state,) = trainer.state()["optimizers"][0]["state"].values()
    assert state["step"] == 3
    noise, by_hand = Noise(derive_seed("noise", 0)), Repeats(small_data.info, AdamSettings())
    optimizer = AdamSettings().optimizer(by_hand.parameters())
    for _ in range(3):
        optimizer.zero_grad()
        loss = by_hand.loss(small_data.train.batch(torch.arange(50), noise), noise)
        loss.backward()
        optimizer.step()
    assert torch.equal(model.mean, by_hand.mean)
    assert last == loss


class OneExplodes(Line):
    """Diverges for the seeds whose first draw is below a half."""

    def __init__(self, info, config: AdamSettings) -> None:
        super().__init__(info, config)
        self.register_buffer("doom", torch.where(torch.rand(()) < 0.5, torch.inf, 1.0))

    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        return super().loss(x, noise) * self.doom


class OneIsRefused(OneExplodes):
    """Diverges for the same seeds, but in calibration."""

    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        return Line.loss(self, x, noise)

    def calibrate(self, validation: Split, noise: Noise) -> None:
        if not self.doom.isfinite():
            raise Diverged("training diverged")


@pytest.mark.parametrize("model", [OneExplodes, OneIsRefused])
def test_a_seed_that_diverges_does_not_change_the_others(model, small_data: Data) -> None:
    recipe = Recipe(model, AdamSettings(), small_data, Budget(epochs=3, batch_size=50))
    fits = fit_seeds(recipe, range(8), vectorized=True)
    assert 0 < sum(fitted.error is None for fitted in fits) < 8
    for fitted in fits:
        alone = fit_seed(recipe, fitted.seed)
        assert (fitted.error is None) == (alone.error is None)
        if fitted.model is not None:
            torch.testing.assert_close(fitted.model.mean, alone.model.mean)
