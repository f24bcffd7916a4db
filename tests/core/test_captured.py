"""Steps replayed from a recording are the eager ones, and a recording that is not leaves no trace.

A recorder that simply calls the step again stands for a CUDA graph where there is no GPU: all but the graph is ours.
"""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from marks import needs_a_gpu
from small_models import small
from torch import Tensor

from harness import Data, Noise, derive_seed
from harness.contracts.objectives import objectives_of
from harness.machine.cuda_graphs import Work
from harness.noise import global_seed
from harness.planning.budget import Budget, BudgetProgress
from harness.planning.component import resolve_component
from harness.registry import Registry
from harness.training.fit import fit_seeds
from harness.training.recipe import Callbacks, Recipe
from harness.training.trainer import Trainer
from harness.training.vectorized import VectorizedTrainer

settings = {name: small[name] for name in ("vae", "gan", "cnn-ae")}
settings["vae"] = {**settings["vae"], "schedule": "cosine"}


class SlowUnlessReplayed(Trainer):
    """Eager steps that take their time, beside which a recording is quick."""

    slow = True

    def take(self, index: Tensor) -> Tensor:
        if self.slow:
            time.sleep(0.002)
        return super().take(index)

    def record(self, work: Work, streams: Sequence[Noise]) -> Work:
        def quickly() -> None:
            self.slow = False
            work()
            self.slow = True

        return quickly


def trainer(name: str, data: Data, kind: type[Trainer] = Trainer) -> Trainer:
    chosen = resolve_component(Registry.load().get("model", name), settings[name])
    with global_seed(derive_seed("initialisation", 0)):
        model = chosen.factory(data.info, chosen.config)
    return kind(model.train(), objectives_of(model, chosen.config), data.train, 32, 0)


def same(a: Trainer, b: Trainer) -> bool:
    return all(torch.equal(mine, its) for mine, its in zip(a.tensors(), b.tensors(), strict=True))


@pytest.mark.parametrize("name", settings)
def test_recorded_steps_are_the_eager_ones_bit_for_bit(name: str, small_data: Data) -> None:
    eager, captured = trainer(name, small_data), trainer(name, small_data, SlowUnlessReplayed)
    captured.execute("captured", record=captured.record)
    paces = [BudgetProgress(Budget(epochs=3, batch_size=32), len(eager.sizes)) for _ in range(2)]
    for _ in range(3):
        assert captured.epoch(paces[0]) == eager.epoch(paces[1])
    assert captured.is_settled
    captured.finish()
    assert (captured.execution, captured.fallback) == ("captured", None)
    assert same(captured, eager)


def test_what_was_interrupted_goes_on_as_the_eager_steps_do(small_data: Data) -> None:
    eager, before, after = (
        trainer("vae", small_data),
        *(trainer("vae", small_data, SlowUnlessReplayed) for _ in range(2)),
    )
    for each in (before, after):
        each.execute("captured", record=each.record)
    eager.epoch()
    before.epoch()
    after.restore(before.state())
    assert eager.epoch() == after.epoch()
    assert same(after, eager)


def fails(work: Work, streams: Sequence[Noise]) -> Work:
    work()
    raise RuntimeError("operation not permitted when stream is capturing")


def does_nothing(work: Work, streams: Sequence[Noise]) -> Work:
    return lambda: None


def draws_the_same_again(work: Work, streams: Sequence[Noise]) -> Work:
    states = [stream.state for stream in streams]

    def replay() -> None:
        for stream, state in zip(streams, states, strict=True):
            stream.restore(state)
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
        (dawdles, "slower than eager"),
    ],
)
def test_a_recording_that_is_not_the_step_is_refused_and_leaves_no_trace(record, reason: str, small_data: Data) -> None:
    said: list[str] = []
    eager, captured = trainer("vae", small_data), trainer("vae", small_data)
    captured.execute("captured", said.append, record)
    paces = [BudgetProgress(Budget(epochs=2, batch_size=32), len(eager.sizes)) for _ in range(2)]
    for _ in range(2):
        assert captured.epoch(paces[0]) == eager.epoch(paces[1])
    assert captured.execution == "eager"
    assert captured.fallback.startswith("it cannot be captured: ")
    assert reason in captured.fallback
    assert len(said) == 1
    assert same(captured, eager)
    resumed = trainer("vae", small_data)
    resumed.execute("captured", record=record)
    resumed.restore(captured.state())
    assert (resumed.execution, resumed.fallback, resumed.is_settled) == ("eager", captured.fallback, True)


def test_a_recording_that_ends_in_nan_is_refused(small_data: Data) -> None:
    captured = trainer("vae", small_data, SlowUnlessReplayed)

    def record(work: Work, streams: Sequence[Noise]) -> Work:
        quickly = captured.record(work, streams)

        def replay() -> None:
            quickly()
            captured.model.output.bias.data.fill_(torch.nan)

        return replay

    captured.execute("captured", record=record)
    captured.epoch()
    assert "change the model otherwise" in captured.fallback
    assert captured.model.output.bias.isfinite().all()


def test_a_step_that_counts_in_python_is_not_recorded(small_data: Data) -> None:
    captured = trainer("vae", small_data, SlowUnlessReplayed)
    captured.model.steps, its_loss = 0, captured.objectives[0].loss

    def warming_up(x: Tensor, noise: Noise) -> Tensor:
        captured.model.steps += 1
        return its_loss(x, noise) * min(1.0, captured.model.steps / 200)

    captured.objectives[0] = replace(captured.objectives[0], loss=warming_up)
    captured._plain.objectives[0] = captured.objectives[0]
    captured.execute("captured", record=captured.record)
    captured.epoch()
    assert "counts something in Python" in captured.fallback
    assert captured.model.steps == len(captured.sizes)


def test_too_few_steps_to_be_captured_were_eager(small_data: Data) -> None:
    captured = trainer("vae", small_data)
    captured.execute("captured", record=fails)
    captured.step(torch.arange(32))
    captured.finish()
    assert (captured.execution, captured.fallback) == (
        "eager",
        "there were too few full batches for it to be captured",
    )


@pytest.mark.parametrize("execution", ["eager", "captured"])
def test_nothing_is_left_of_a_trainer_that_is_done_with(execution, small_data: Data) -> None:
    chosen = resolve_component(Registry.load().get("model", "vae"), settings["vae"])
    models = [chosen.factory(small_data.info, chosen.config) for _ in range(2)]
    together = VectorizedTrainer(models, chosen.config, small_data.train, 32, range(2))
    together.execute(execution, record=lambda work, streams: work)
    together.epoch()
    together.finish()
    parameters = weakref.ref(together.tensors()[0])
    gc.disable()
    try:
        del together
        assert parameters() is None
    finally:
        gc.enable()


@needs_a_gpu
@pytest.mark.parametrize("name", settings)
@pytest.mark.parametrize("vectorized", [False, True])
def test_a_cuda_graph_takes_the_eager_steps(name: str, vectorized: bool, small_data: Data) -> None:
    data = small_data.to("cuda")
    chosen = resolve_component(Registry.load().get("model", name), settings[name])
    recipe = Recipe(chosen.factory, chosen.config, data, Budget(epochs=4, batch_size=32))
    said: list[str] = []
    eager, captured = (
        fit_seeds(each, (0, 1), vectorized=vectorized, companions=Callbacks(announce=said.append))
        for each in (recipe, replace(recipe, execution="captured"))
    )
    assert said == []
    for a, b in zip(eager, captured, strict=True):
        assert b.execution == "captured"
        for name_of, value in a.model.state_dict().items():
            torch.testing.assert_close(value, b.model.state_dict()[name_of], rtol=1e-3, atol=1e-4)
