"""Captured steps are the eager ones, and a recording that differs is refused without a trace.

A recorder that calls the step again stands for a CUDA graph, so that these tests need no GPU.
"""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import pytest
import torch
from marks import needs_a_gpu
from small_models import small
from torch import Tensor, nn

from harness import Data, Noise, derive_seed
from harness.contracts.objectives import objectives_of
from harness.machine.cuda_graphs import GraphRecorder, Work
from harness.noise import global_seed
from harness.planning.budget import Budget, BudgetProgress
from harness.planning.component import resolve_component
from harness.registry import Registry
from harness.training.fit import fit_seeds
from harness.training.loop import TrainingLoop
from harness.training.recipe import Callbacks, Recipe
from harness.training.steps import strategies
from harness.training.steps.captured import CapturedSteps
from harness.training.trainer import Trainer
from harness.training.vectorized import VectorizedTrainer

settings = {name: small[name] for name in ("vae", "gan", "cnn-ae")}
settings["vae"] = {**settings["vae"], "schedule": "cosine"}


class Clocked:
    """A loss that takes its time unless a recording is replayed, so that replayed steps are the faster ones."""

    replaying = False

    def __init__(self, loss: Callable[[Tensor, Noise], Tensor]) -> None:
        self.loss = loss

    def __call__(self, x: Tensor, noise: Noise) -> Tensor:
        if not Clocked.replaying:
            time.sleep(0.02)
        return self.loss(x, noise)


def record_fast(work: Work, streams: Sequence[Noise]) -> Work:
    def replay() -> None:
        Clocked.replaying = True
        work()
        Clocked.replaying = False

    return replay


def trainer(name: str, data: Data, *, clocked: bool = False, counting: bool = False) -> Trainer:
    chosen = resolve_component(Registry.load().get("model", name), settings[name])
    with global_seed(derive_seed("initialisation", 0)):
        model = chosen.factory(data.info, chosen.config)
    objectives = objectives_of(model, chosen.config)
    if clocked:
        objectives = [replace(each, loss=Clocked(each.loss)) for each in objectives]
    if counting:
        objectives = [replace(each, loss=counting_loss(model, each.loss)) for each in objectives]
    return Trainer(model, objectives, data.train, 32, 0)


def counting_loss(model: nn.Module, loss: Callable[[Tensor, Noise], Tensor]) -> Callable[[Tensor, Noise], Tensor]:
    """Return a loss that is warmed up over 200 steps, counted in an attribute of the model."""
    model.steps = 0

    def warming_up(x: Tensor, noise: Noise) -> Tensor:
        model.steps += 1
        return loss(x, noise) * min(1.0, model.steps / 200)

    return warming_up


def capture(each: TrainingLoop, record: GraphRecorder, announce: Callable[[str], None] = print) -> None:
    each.use("captured", announce, {**strategies, "captured": partial(CapturedSteps, record=record)})


def same(a: Trainer, b: Trainer) -> bool:
    pairs = zip(a.state()["tensors"], b.state()["tensors"], strict=True)
    return all(torch.equal(ours, theirs) for ours, theirs in pairs)


@pytest.mark.parametrize("name", settings)
def test_replayed_steps_are_the_eager_ones_bit_for_bit(name: str, small_data: Data) -> None:
    eager, captured = trainer(name, small_data), trainer(name, small_data, clocked=True)
    capture(captured, record_fast)
    progress = [BudgetProgress(Budget(epochs=3, batch_size=32), len(eager.sizes)) for _ in range(2)]
    for _ in range(3):
        assert captured.epoch(progress[0]) == eager.epoch(progress[1])
    assert captured.is_settled
    captured.finish()
    assert (captured.step_mode, captured.fallback) == ("captured", None)
    assert same(captured, eager)


def test_an_interrupted_fit_resumes_with_the_eager_steps(small_data: Data) -> None:
    eager = trainer("vae", small_data)
    before, after = (trainer("vae", small_data, clocked=True) for _ in range(2))
    for each in (before, after):
        capture(each, record_fast)
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


def is_slow(work: Work, streams: Sequence[Noise]) -> Work:
    def replay() -> None:
        time.sleep(0.1)
        work()

    return replay


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (fails, "operation not permitted"),
        (does_nothing, "change the model differently"),
        (draws_the_same_again, "change the model differently"),
        (is_slow, "slower than eager"),
    ],
)
def test_a_recording_that_differs_from_the_step_is_refused_without_a_trace(
    record: GraphRecorder, reason: str, small_data: Data
) -> None:
    announced: list[str] = []
    eager, captured = trainer("vae", small_data), trainer("vae", small_data)
    capture(captured, record, announced.append)
    progress = [BudgetProgress(Budget(epochs=2, batch_size=32), len(eager.sizes)) for _ in range(2)]
    for _ in range(2):
        assert captured.epoch(progress[0]) == eager.epoch(progress[1])
    assert captured.step_mode == "eager"
    assert captured.fallback.startswith("it cannot be captured: ")
    assert reason in captured.fallback
    assert len(announced) == 1
    assert same(captured, eager)
    resumed = trainer("vae", small_data)
    capture(resumed, record)
    resumed.restore(captured.state())
    assert (resumed.step_mode, resumed.fallback, resumed.is_settled) == ("eager", captured.fallback, True)


def test_a_recording_that_ends_in_nan_is_refused(small_data: Data) -> None:
    captured = trainer("vae", small_data, clocked=True)

    def record(work: Work, streams: Sequence[Noise]) -> Work:
        replay_right = record_fast(work, streams)

        def replay() -> None:
            replay_right()
            captured.model.output.bias.data.fill_(torch.nan)

        return replay

    capture(captured, record)
    captured.epoch()
    assert "change the model differently" in captured.fallback
    assert captured.model.output.bias.isfinite().all()


def test_a_buffer_may_be_infinite(small_data: Data) -> None:
    captured = trainer("vae", small_data, clocked=True)
    captured.model.register_buffer("bounds", torch.tensor([-torch.inf, torch.inf]))
    capture(captured, record_fast)
    captured.epoch()
    assert (captured.step_mode, captured.fallback) == ("captured", None)


def test_a_step_that_counts_in_python_is_not_captured(small_data: Data) -> None:
    captured = trainer("vae", small_data, clocked=True, counting=True)
    capture(captured, record_fast)
    captured.epoch()
    assert "counts something in Python" in captured.fallback
    assert captured.model.steps == len(captured.sizes)


def test_too_few_steps_for_a_capture_are_eager(small_data: Data) -> None:
    captured = trainer("vae", small_data)
    capture(captured, fails)
    captured.step(torch.arange(32))
    captured.finish()
    assert (captured.step_mode, captured.fallback) == (
        "eager",
        "there were too few full batches for it to be captured",
    )


@pytest.mark.parametrize("captured", [False, True])
def test_a_trainer_that_is_deleted_leaves_nothing_in_memory(captured: bool, small_data: Data) -> None:
    chosen = resolve_component(Registry.load().get("model", "vae"), settings["vae"])
    models = [chosen.factory(small_data.info, chosen.config) for _ in range(2)]
    together = VectorizedTrainer(models, chosen.config, small_data.train, 32, range(2))
    if captured:
        capture(together, lambda work, streams: work)
    together.epoch()
    together.finish()
    parameters = weakref.ref(together.training_step.tensors()[0])
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
    announced: list[str] = []
    eager, captured = (
        fit_seeds(each, (0, 1), vectorized=vectorized, callbacks=Callbacks(announce=announced.append))
        for each in (recipe, replace(recipe, step_mode="captured"))
    )
    assert announced == []
    for a, b in zip(eager, captured, strict=True):
        assert b.step_mode == "captured"
        for name_of, value in a.model.state_dict().items():
            torch.testing.assert_close(value, b.model.state_dict()[name_of], rtol=1e-3, atol=1e-4)
