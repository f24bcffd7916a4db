"""What a training step consists of, for one model or for several stacked ones, however steps are executed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Adam

from harness.contracts.engine import Precision
from harness.contracts.objectives import Objective
from harness.errors import HarnessError
from harness.machine.precision import autocast
from harness.noise import Noise, global_state, restore_global_state
from harness.training.pure_losses import PureLoss
from harness.training.seed_noise import streams_of

Loss = Callable[[int, Tensor, Noise], Tensor]


@dataclass
class TrainingStep:
    """The parts of a training step.

    Args:
        objectives: what each step minimises, in order.
        parameters: those that each objective updates.
        frozen: for each objective, parameters that require no gradient while its loss is computed.
        network: all modules that take part in a step.
        tensors: returns all parameters and buffers that steps change.
        batch: returns the examples at an index, with their data noise.
        loss: from the number of an objective, a batch and noise to the loss, a scalar or one for each model.
        pure_loss: the same as a pure function, for batches like the one given.
        data_noise: for batches.
        noise: for losses.
        example: an index of a full batch, ``(..., B)``.
        precision: of losses and gradients.
        mark: called with the name of each part of a step when the part ends, to time the parts.
    """

    objectives: list[Objective]
    parameters: list[list[Tensor]]
    frozen: list[list[nn.Parameter]]
    network: nn.Module
    tensors: Callable[[], list[Tensor]]
    batch: Callable[[Tensor, Noise], Tensor]
    loss: Loss
    pure_loss: Callable[[int, Tensor], PureLoss]
    data_noise: Noise
    noise: Noise
    example: Tensor
    precision: Precision
    mark: Callable[[str], None] = lambda part: None
    optimizers: list[Adam] = field(init=False)

    def __post_init__(self) -> None:
        pairs = zip(self.objectives, self.parameters, strict=True)
        self.optimizers = [each.optimizer.optimizer(parameters) for each, parameters in pairs]

    @property
    def streams(self) -> list[Noise]:
        """The streams of random numbers on the device."""
        return [*streams_of(self.data_noise), *streams_of(self.noise)]

    @property
    def device(self) -> torch.device:
        """Where steps are computed."""
        return self.example.device

    def is_full(self, index: Tensor) -> bool:
        """Return whether an index is that of a full batch."""
        return index.shape[-1] == self.example.shape[-1]

    def take(self, index: Tensor, loss: Loss) -> Tensor:
        """Update the parameters of every objective on the examples at ``index``, with the gradients of ``loss``.

        Returns:
            The losses, ``(..., objectives)``.
        """
        x = self.batch(index, self.data_noise)
        self.mark("data")
        losses = []
        for which, (objective, optimizer) in enumerate(zip(self.objectives, self.optimizers, strict=True)):
            for _ in range(objective.repeats):
                value = self._loss(loss, which, x)
                self.mark("forward")
                if not value.requires_grad:
                    raise HarnessError(
                        f"its {objective.name!r} has no gradient; compute it from the parameters, without detach(), "
                        "no_grad() or numpy"
                    )
                optimizer.zero_grad(set_to_none=True)
                ones = torch.ones_like(value) if value.dim() else None  # torch would import sympy to check it
                value.backward(ones, inputs=self.parameters[which])
                self.mark("backward")
                optimizer.step()
                self.mark("optimizer")
            losses.append(value.detach())
        return torch.stack(losses, dim=-1)

    def gradient(self, loss: Loss, which: int) -> list[Tensor | None]:
        """Return the gradient of an objective's loss on a full batch, ``None`` for parameters that it does not use.

        Every call draws the same numbers.
        """
        states = self.noise_states()
        try:
            value = self._loss(loss, which, self.batch(self.example, self.data_noise))
        finally:
            self.rewind_noise(states)
        return list(torch.autograd.grad(value.sum(), self.parameters[which], allow_unused=True))

    def noise_states(self) -> list[Tensor]:
        """Return the state of every stream of noise, for ``rewind_noise``."""
        return [stream.state for stream in self.streams]

    def rewind_noise(self, states: list[Tensor]) -> None:
        """Set the streams of noise to states that they had."""
        for stream, state in zip(self.streams, states, strict=True):
            stream.restore(state)

    def _loss(self, loss: Loss, which: int, x: Tensor) -> Tensor:
        with autocast(self.precision, self.device), _without_gradient(self.frozen[which]):
            return loss(which, x, self.noise)


class Steps(Protocol):
    """A strategy to execute training steps.

    ``refusal`` says why the strategy takes all further steps eagerly.
    """

    refusal: str | None

    @property
    def is_settled(self) -> bool:
        """Whether all further full batches take the same path, so that steps can be timed."""

    def take(self, index: Tensor) -> Tensor:
        """Take one step on the examples at ``index`` ``(..., B)``; return the losses, ``(..., objectives)``."""


class Snapshot:
    """The state that steps change, as it was at one moment: some tensors, noise, and attributes of modules in Python.

    Args:
        step: whose state.
        tensors: returns the tensors to keep.
    """

    def __init__(self, step: TrainingStep, tensors: Callable[[], list[Tensor]]) -> None:
        self._step = step
        self._current = tensors
        self._global = global_state()
        self._noise = step.noise_states()
        self.counters = counters_of(step.network)
        self.tensors = [tensor.detach().clone() for tensor in self._current()]

    @torch.no_grad()
    def restore(self) -> None:
        """Set the state to what it was, in place."""
        restore_global_state(self._global)
        self._step.rewind_noise(self._noise)
        restore_counters(self._step.network, self.counters)
        for now, before in zip(self._current(), self.tensors, strict=True):
            now.copy_(before)


@contextmanager
def undone(step: TrainingStep) -> Iterator[None]:
    """Compute gradients within the block without a lasting effect on buffers and on attributes of modules."""

    def buffers() -> list[Tensor]:
        return [each for each in step.tensors() if not each.requires_grad]

    snapshot = Snapshot(step, buffers)
    try:
        yield
    finally:
        snapshot.restore()


def counters_of(model: nn.Module) -> list[dict[str, Any]]:
    """Return the numbers, strings and booleans that each module keeps as attributes."""
    return [
        {name: value for name, value in vars(module).items() if isinstance(value, bool | int | float | str)}
        for module in model.modules()
    ]


def restore_counters(model: nn.Module, counters: list[dict[str, Any]]) -> None:
    """Set these attributes to what ``counters_of`` returned."""
    for module, its_counters in zip(model.modules(), counters, strict=True):
        vars(module).update(its_counters)


@contextmanager
def _without_gradient(parameters: list[nn.Parameter]) -> Iterator[None]:
    for each in parameters:
        each.requires_grad_(False)
    try:
        yield
    finally:
        for each in parameters:
            each.requires_grad_(True)
