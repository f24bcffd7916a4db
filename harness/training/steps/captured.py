"""Whole steps replayed as a CUDA graph: one launch for all of a step's kernels, optimiser included.

Small models on a fast GPU spend most of a step on launching kernels; a graph does without. What Python does in a step
is done only once, while it is recorded, so that steps taken from the graph are first held against eager ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from harness.machine.cuda_graphs import GraphRecorder, Work, beside_the_main_stream, cuda_graph
from harness.machine.device import synchronize
from harness.noise import Noise, global_state, restore_global_state
from harness.training.pure_losses import Unsuited, answering_unsuited, counters_of, restore_counters

_warm_up = 3  # eager steps before anything is recorded: optimisers and libraries allocate in the first
_checked = 3  # steps taken both ways
_slower = 1.1  # times the time of eager steps
_tolerance = 0.01  # of the norm of what a tensor changes by in the checked steps


class Steppable(Protocol):
    """What takes steps that can be recorded: a pure matter of the device, but for ``index``."""

    device: torch.device

    def take(self, index: Tensor) -> Tensor:
        """Take one step on the examples at ``index``; return the losses."""

    def tensors(self) -> list[Tensor]:
        """Return all tensors that steps change, always the same ones."""

    def networks(self) -> nn.Module:
        """Return all modules that take part in a step, as one."""

    def streams(self) -> list[Noise]:
        """Return the streams on the device that steps draw from."""


class CapturedSteps:
    """Takes steps on batches of one size, the first few eagerly, the others from a graph.

    Args:
        loop: takes the steps.
        size: of the last dimension of the batches' index.
        refuse: is told why steps are taken eagerly after all, where a graph cannot be recorded, changes what steps do,
            or is slower.
        record: records work and returns what replays it.
    """

    def __init__(
        self, loop: Steppable, size: int, refuse: Callable[[Unsuited], None], record: GraphRecorder = cuda_graph
    ) -> None:
        self._loop = loop
        self._size = size
        self._refuse = refuse
        self._record = record
        self._taken = 0
        self._replay: Work | None = None

    @property
    def is_recorded(self) -> bool:
        """Whether steps are taken from a graph by now."""
        return self._replay is not None

    def release(self) -> None:
        """Let go of the graph."""
        self._replay = None

    def __call__(self, index: Tensor) -> Tensor:
        """Take one step on the examples at ``index``; return the losses."""
        if index.shape[-1] != self._size:
            return self._loop.take(index)
        self._taken += 1
        if self._taken <= _warm_up:
            with beside_the_main_stream(self._loop.device):
                return self._loop.take(index)
        if self._replay is None:
            try:
                self._capture(index)
            except Unsuited as error:
                self._refuse(error)
                return self._loop.take(index)
        assert self._replay is not None
        self._index.copy_(index)
        self._replay()
        return self._losses.clone()

    def _capture(self, index: Tensor) -> None:
        """Record a step, and hold it against eager ones without leaving a trace.

        Raises:
            Unsuited: it cannot be recorded, does something else than an eager step, or is slower.
        """
        self._index = index.clone()
        state = _State(self._loop)

        def step() -> None:
            self._losses.copy_(self._loop.take(self._index))

        try:
            with answering_unsuited():
                self._losses = torch.zeros_like(self._loop.take(index))
                if state.has_counted():
                    raise Unsuited("a step counts something in Python, which a recording would not")
                state.restore()
                expected, eager_seconds = self._several(step)
                state.restore()
                replay = self._record(step, self._loop.streams())
                replay()
                state.restore()
                found, seconds = self._several(replay)
                off = float(state.errors(expected, found).max())
        except torch.OutOfMemoryError as error:
            raise Unsuited("there is no memory for holding recorded steps against eager ones") from error
        finally:
            state.restore()
        if not off <= _tolerance:
            raise Unsuited(f"recorded steps change the model otherwise than eager ones, by {off:.0%}")
        if seconds > _slower * eager_seconds:
            raise Unsuited("recorded steps are slower than eager ones")
        self._replay = replay

    def _several(self, work: Work) -> tuple[list[Tensor], float]:
        """Take a few steps; return all that they have changed, with their last losses, and their seconds."""
        synchronize(self._loop.device)
        start = time.perf_counter()
        for _ in range(_checked):
            work()
        synchronize(self._loop.device)
        seconds = time.perf_counter() - start
        return [each.detach().clone() for each in (*self._loop.tensors(), self._losses)], seconds


def _error(before: Tensor, expected: Tensor, found: Tensor) -> Tensor:
    change = expected.double() - before.double()
    error: Tensor = (found.double() - expected.double()).norm() / change.norm().clamp(min=1e-12)
    return error


class _State:
    """What steps change, as it was."""

    def __init__(self, loop: Steppable) -> None:
        self._loop = loop
        self._global = global_state()
        self._streams = [stream.state for stream in loop.streams()]
        self._counters = counters_of(loop.networks())
        self._tensors = [tensor.detach().clone() for tensor in loop.tensors()]

    def errors(self, expected: list[Tensor], found: list[Tensor]) -> Tensor:
        """Return by how much what came of steps is off, of each tensor, and of the losses, as a share of the change."""
        before = [*self._tensors, torch.zeros_like(expected[-1])]
        return torch.stack([_error(*each) for each in zip(before, expected, found, strict=True)])

    def has_counted(self) -> bool:
        """Tell whether a module has changed a number, word or switch that it keeps in Python."""
        return counters_of(self._loop.networks()) != self._counters

    @torch.no_grad()
    def restore(self) -> None:
        """Bring it all back, in place."""
        restore_global_state(self._global)
        for stream, state in zip(self._loop.streams(), self._streams, strict=True):
            stream.restore(state)
        restore_counters(self._loop.networks(), self._counters)
        for now, before in zip(self._loop.tensors(), self._tensors, strict=True):
            now.copy_(before)
