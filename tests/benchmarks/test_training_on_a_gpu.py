"""On a GPU: an epoch compared with pythae's, many seeds as one model, and the cost of determinism.

Each also runs on the CPU, on part of the images, for comparison. The thresholds are about 1.5 times what was measured
on an NVIDIA H200; docs/performance.md has the results.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from by_hand import batch
from marks import needs_a_compiler, needs_a_gpu
from other_loops import Epoch, pythae

from harness import Data
from harness.contracts.engine import StepMode
from harness.data.transforms import Binarize
from harness.machine.device import prepare_torch
from harness.planning.budget import Budget
from harness.planning.component import resolve_component
from harness.registry import Registry
from harness.training.fit import trainer_of
from harness.training.recipe import Recipe
from harness.training.vectorized import VectorizedTrainer

pytestmark = pytest.mark.full_mnist


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=needs_a_gpu)])
def data(request: pytest.FixtureRequest, grey_mnist: Data) -> Data:
    """Return binarised MNIST, drawn once."""
    drawn = Binarize(Binarize.Config(binarization="static")).apply(grey_mnist)
    device = prepare_torch(request.param)
    return drawn.to(device) if device.type == "cuda" else replace(drawn, train=drawn.train.subset(6_400))


@pytest.fixture(params=["eager", pytest.param("compiled", marks=needs_a_compiler), "captured"])
def step_mode(request: pytest.FixtureRequest, data: Data) -> StepMode:
    if request.param == "captured" and data.train.stored.device.type == "cpu":
        pytest.skip("needs a GPU")
    return request.param


def recipe_of(model: str, data: Data) -> Recipe:
    chosen = resolve_component(Registry.load().get("model", model), {})
    return Recipe(chosen.factory, chosen.config, data, Budget(epochs=1, batch_size=batch))


def one_seed(data: Data, step_mode: StepMode, model: str = "vae") -> Epoch:
    trainer = trainer_of(recipe_of(model, data), seed=0)
    trainer.use(step_mode, print)
    return trainer.epoch


def many_seeds(data: Data, step_mode: StepMode, seeds: range) -> Epoch:
    recipe = recipe_of("vae", data)
    models = [trainer_of(recipe, seed).model for seed in seeds]
    trainer = VectorizedTrainer(models, recipe.config, data.train, batch, seeds)
    trainer.use(step_mode, print)
    return trainer.epoch


@pytest.mark.filterwarnings("ignore")
def test_an_epoch_compared_with_pythae(in_turns, data: Data, step_mode: StepMode, tmp_path: Path) -> None:
    at_most = 0.08 if step_mode == "captured" else 0.9
    in_turns("engine / pythae", one_seed(data, step_mode), pythae(data, tmp_path), at_most=at_most)


def test_sixteen_seeds_as_one_compared_with_one_seed(in_turns, data: Data, step_mode: StepMode) -> None:
    at_most = 1.5 if data.train.stored.device.type == "cpu" else 0.3
    together = many_seeds(data, step_mode, range(16))
    in_turns("16 seeds as one model / 16 times one seed", together, one_seed(data, step_mode), work=16, at_most=at_most)


@pytest.mark.parametrize("model", ["vae", "cnn-vae"])
def test_the_cost_of_determinism(in_turns, data: Data, model: str) -> None:
    def epoch_of(mode: str) -> Epoch:
        epoch = one_seed(data, "eager", model)

        def in_mode() -> None:
            before = torch.get_deterministic_debug_mode()
            torch.set_deterministic_debug_mode(mode)
            try:
                epoch()
            finally:
                torch.set_deterministic_debug_mode(before)

        return in_mode

    in_turns("deterministic / any operations", epoch_of("error"), epoch_of("default"), at_most=1.5)
