"""Steps replayed from a recording are the eager ones, and a recording that is not leaves no trace.

A recorder that simply calls the step again stands for a CUDA graph where there is no GPU: all but the graph is ours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pytest
import torch

from harness import Data, Noise, derive_seed
from harness.budget import Budget
from harness.noise import global_seed
from harness.plan import choose
from harness.plugins import Registry
from harness.recording import Work
from harness.training import Companions, Recipe, Trainer, VectorizedTrainer, fit_seeds, objectives_of
from harness.training.captured import CapturedSteps
from harness.training.replay import Unsuited

needs_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
small = {
    "vae": {"latent_dim": "3", "hidden": "12", "schedule": "cosine"},
    "gan": {"latent_dim": "3", "generator": "8-12", "discriminator": "8", "collapse_fraction": "0"},
    "cnn-ae": {"latent_dim": "3", "channels": "4-6"},
}


def again(work: Work, streams: Sequence[Noise]) -> Work:
    return work


def trainer(name: str, data: Data) -> Trainer:
    chosen = choose(Registry.load().get("model", name), small[name])
    with global_seed(derive_seed("initialisation", 0)):
        model = chosen.factory(data.info, chosen.config)
    return Trainer(model.train(), objectives_of(model, chosen.config), data.train, 32, 0)


class Slowly:
    """Eager steps that take their time, beside which a recording is quick."""

    def __init__(self, of: Trainer) -> None:
        self.of = of
        self.device, self.tensors, self.streams = of.device, of.tensors, of.streams
        self.slow = True

    def take(self, index: torch.Tensor) -> torch.Tensor:
        if self.slow:
            time.sleep(0.002)
        return self.of.take(index)

    def recorded(self, work: Work, streams: Sequence[Noise]) -> Work:
        def quickly() -> None:
            self.slow = False
            work()
            self.slow = True

        return quickly


def refused(refusals: list[str]) -> Callable[[Unsuited], None]:
    return lambda error: refusals.append(str(error))


@pytest.mark.parametrize("name", small)
def test_recorded_steps_are_the_eager_ones_bit_for_bit(name: str, small_data: Data) -> None:
    refusals: list[str] = []
    eager, captured = trainer(name, small_data), trainer(name, small_data)
    slowly = Slowly(captured)
    steps = CapturedSteps(slowly, 32, refused(refusals), slowly.recorded)
    for _ in range(3):
        for index, same in zip(captured.shuffled(), eager.shuffled(), strict=True):
            assert torch.equal(steps(index), eager.take(same))
    assert refusals == []
    assert steps.is_recorded
    for a, b in zip(captured.tensors(), eager.tensors(), strict=True):
        assert torch.equal(a, b)


def fails(work: Work, streams: Sequence[Noise]) -> Work:
    work()
    raise RuntimeError("operation not permitted when stream is capturing")


def does_nothing(work: Work, streams: Sequence[Noise]) -> Work:
    return lambda: None


def draws_the_same_again(work: Work, streams: Sequence[Noise]) -> Work:
    states = [stream.state for stream in streams]

    def replay() -> None:
        for stream, state in zip(streams, states, strict=True):
            stream.go_on_from(state)
        work()

    return replay


def dawdles(work: Work, streams: Sequence[Noise]) -> Work:
    def replay() -> None:
        time.sleep(0.1)
        work()

    return replay


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (fails, "operation not permitted"),
        (does_nothing, "change the model otherwise"),
        (draws_the_same_again, "change the model otherwise"),
        (dawdles, "no quicker"),
    ],
)
def test_a_recording_that_is_not_the_step_is_refused_and_leaves_no_trace(record, reason: str, small_data: Data) -> None:
    refusals: list[str] = []
    eager, captured = trainer("vae", small_data), trainer("vae", small_data)
    steps = CapturedSteps(captured, 32, refused(refusals), record)
    for index, same in zip(captured.shuffled(), eager.shuffled(), strict=True):
        losses = captured.take(index) if refusals else steps(index)
        assert torch.equal(losses, eager.take(same))
    assert len(refusals) == 1
    assert reason in refusals[0]


@needs_a_gpu
@pytest.mark.parametrize("name", small)
def test_a_cuda_graph_takes_the_eager_steps(name: str, small_data: Data) -> None:
    data = small_data.to("cuda")
    chosen = choose(Registry.load().get("model", name), small[name])
    recipe = Recipe(chosen.factory, chosen.config, data, Budget(epochs=4, batch_size=32))
    for vectorized in (False, True):
        said: list[str] = []
        eager, captured = (
            fit_seeds(each, (0, 1), vectorized=vectorized, companions=Companions(announce=said.append))
            for each in (recipe, Recipe(chosen.factory, chosen.config, data, recipe.budget, execution="captured"))
        )
        assert said == []
        for a, b in zip(eager, captured, strict=True):
            assert b.execution == "captured"
            torch.testing.assert_close(a.model.state_dict(), b.model.state_dict(), rtol=1e-3, atol=1e-4)


@needs_a_gpu
def test_seeds_together_are_captured(small_data: Data) -> None:
    data = small_data.to("cuda")
    chosen = choose(Registry.load().get("model", "vae"), small["vae"])
    models = [chosen.factory(data.info, chosen.config).to("cuda") for _ in range(4)]
    together = VectorizedTrainer(models, chosen.config, data.train, 32, range(4))
    together.execute("captured")
    for _ in range(3):
        together.epoch()
    assert (together.execution, together.fallback) == ("captured", None)
