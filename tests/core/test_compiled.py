"""Compiled steps are the eager steps, up to rounding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from marks import needs_a_compiler, needs_recent_torch
from small_models import Line, LooksAtItsLoss, in_double, small
from torch import Tensor

from harness import AdamSettings, Data, Examples, Noise, derive_seed
from harness.contracts.objectives import objectives_of
from harness.noise import global_seed
from harness.planning.budget import Budget
from harness.planning.component import Component, resolve_component
from harness.registry import Registry
from harness.training.fit import fit_seed
from harness.training.pure_losses import Unsupported
from harness.training.recipe import Callbacks, Recipe
from harness.training.steps.compiled import require_same_gradient
from harness.training.trainer import Trainer
from harness.training.vectorized import VectorizedTrainer

pytestmark = needs_a_compiler


def chosen(name: str) -> Component:
    return resolve_component(Registry.load().get("model", name), small[name])


def built(of: Component, data: Data, seed: int) -> Any:
    with global_seed(derive_seed("initialisation", seed)):
        return of.factory(data.info, of.config).double()


@pytest.mark.parametrize("name", ["vae", pytest.param("gan", marks=needs_recent_torch), "cnn-ae"])
@pytest.mark.usefixtures("float64")
def test_the_first_fifty_compiled_steps_are_the_eager_ones(name: str, suited: Callable[[Component], Data]) -> None:
    of = chosen(name)
    data = in_double(suited(of))
    models = [built(of, data, 0) for _ in range(2)]
    eager, compiled = (Trainer(model, objectives_of(model, of.config), data.train, 32, 0) for model in models)
    compiled.use("compiled")
    assert (compiled.step_mode, compiled.fallback) == ("compiled", None)
    for key, value in models[0].state_dict().items():
        assert torch.equal(value, models[1].state_dict()[key]), f"compiling has changed {key}"
    taken = 0
    while taken < 50:
        for index, same in zip(compiled.shuffled(), eager.shuffled(), strict=True):
            torch.testing.assert_close(compiled.step(index), eager.step(same), rtol=1e-9, atol=1e-9)
            taken += 1
    for (key, a), b in zip(models[1].state_dict().items(), models[0].state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-9, msg=key)


@pytest.mark.usefixtures("float64")
def test_steps_of_several_seeds_as_one_can_be_compiled(suited: Callable[[Component], Data]) -> None:
    of, seeds = chosen("vae"), (0, 1, 5)
    data = in_double(suited(of))
    eager, compiled = (
        VectorizedTrainer([built(of, data, seed) for seed in seeds], of.config, data.train, 32, seeds) for _ in range(2)
    )
    compiled.use("compiled")
    assert (compiled.step_mode, compiled.fallback) == ("compiled", None)
    for index, same in zip(compiled.shuffled(), eager.shuffled(), strict=True):
        torch.testing.assert_close(compiled.step(index), eager.step(same), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["vae", "wgan-gp"])
def test_compiled_losses_with_onednn_products_have_the_eager_gradients(name: str) -> None:
    """In float32, with layers large enough for oneDNN; wgan-gp differentiates twice."""
    values = (Examples((Noise(i).uniform(200, 1, 28, 28) * 255).to(torch.uint8)) for i in range(3))
    data = Data.from_tensors(*values)
    of = resolve_component(Registry.load().get("model", name), {})
    trainers = []
    for step_mode in ("eager", "compiled"):
        with global_seed(1):
            model = of.factory(data.info, of.config)
        trainers.append(Trainer(model, objectives_of(model, of.config), data.train, 100, 0, use_onednn=True))
        trainers[-1].use(step_mode)
    eager, compiled = trainers
    assert (compiled.step_mode, compiled.fallback is None) in (("compiled", True), ("eager", False))
    for _ in range(2):
        for a, b in zip(compiled.epoch(), eager.epoch(), strict=True):
            assert a == pytest.approx(b, rel=1e-3)
    ours, theirs = (
        torch.cat([each.detach().flatten() for each in trainer.model.parameters()]) for trainer in (compiled, eager)
    )
    assert float((ours - theirs).norm()) < 0.01 * float(theirs.norm())


def test_a_compiled_loss_with_another_gradient_is_refused() -> None:
    plain = [torch.ones(3), None, torch.arange(4.0)]
    with pytest.raises(Unsupported, match=r"off by 0\.25 of its norm"):
        require_same_gradient(lambda: plain, lambda: [torch.zeros(3) + 0.4, None, torch.arange(4.0)], "float32")
    require_same_gradient(lambda: plain, lambda: plain, "float32")


class DrawsMoreLater(Line):
    """Draws more numbers when it is set to be late."""

    late = False

    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        jitter = noise.normal(len(x), 3 if self.late else 2).mean()
        return super().loss(x, noise) * (1 + 0.01 * jitter)


def test_steps_are_eager_from_the_one_where_a_compiled_loss_fails(small_data: Data) -> None:
    announced: list[str] = []
    eager, compiled = (
        Trainer(model, objectives_of(model, AdamSettings()), small_data.train, 50, 0)
        for model in (DrawsMoreLater(small_data.info, AdamSettings()) for _ in range(2))
    )
    compiled.use("compiled", announced.append)
    assert compiled.step_mode == "compiled"
    for late in (False, True):
        for each in (eager, compiled):
            each.model.late = late
        assert compiled.epoch()[0] == pytest.approx(eager.epoch()[0], rel=1e-5)
    assert (compiled.step_mode, len(announced)) == ("eager", 1)
    assert compiled.fallback.startswith("it cannot be compiled: ")


class Counts(Line):
    """Computes another loss at every step, from a counter in Python."""

    def __init__(self, info, config: AdamSettings) -> None:
        super().__init__(info, config)
        self.steps = 0

    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        self.steps += 1
        return super().loss(x, noise) * self.steps


@pytest.mark.parametrize("model", [LooksAtItsLoss, Counts])
def test_a_model_that_cannot_be_compiled_is_trained_eagerly_and_the_reason_is_announced(
    model, small_data: Data
) -> None:
    announced: list[str] = []
    recipe = Recipe(model, AdamSettings(), small_data, Budget(epochs=2, batch_size=50))
    fitted = fit_seed(replace(recipe, step_mode="compiled"), 0, Callbacks(announce=announced.append))
    assert fitted.error is None
    assert len(announced) == 1
    assert announced[0].startswith("steps are eager, since they cannot be compiled: ")
    assert fitted.step_mode == "eager"
    assert fitted.fallback.startswith("it cannot be compiled: ")
    assert torch.equal(fitted.model.mean, fit_seed(recipe, 0).model.mean)
