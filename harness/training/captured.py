"""Whole steps replayed as a CUDA graph: one launch for all of a step's kernels, optimiser included.

Small models on a fast GPU spend most of a step on launching kernels; a graph does without. What Python does in a step
is done only once, while it is recorded, so that steps taken from the graph are first held against eager ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from harness.device import synchronize
from harness.noise import Noise, global_state, restore_global_state
from harness.recording import Record, Work, beside_the_main_stream, cuda_graph
from harness.training.replay import Unsuited, answering_unsuited

_warm_up = 3  # eager steps before anything is recorded: optimisers and libraries allocate in the first
_checked = 3  # steps taken both ways
_tolerance = 0.01  # of the norm of what a tensor changes by in the checked steps


class Steppable(Protocol):
    """What takes steps that can be recorded: a pure matter of the device, but for ``index``."""

    device: torch.device

    def take(self, index: Tensor) -> Tensor:
        """Take one step on the examples at ``index``; return the losses."""

    def tensors(self) -> list[Tensor]:
        """Return all tensors that steps change, always the same ones."""

    def streams(self) -> list[Noise]:
        """Return the streams on the device that steps draw from."""


class CapturedSteps:
    """Takes steps on batches of one size, the first few eagerly, the others from a graph.

    Args:
        loop: takes the steps.
        size: of the last dimension of the batches' index.
        refuse: is told why steps are taken eagerly after all, where a graph cannot be recorded, changes what steps do,
            or is no quicker.
        record: records work and returns what replays it.
    """

    def __init__(
        self, loop: Steppable, size: int, refuse: Callable[[Unsuited], None], record: Record = cuda_graph
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
            Unsuited: it cannot be recorded, does something else than an eager step, or is no quicker.
        """
        self._index = index.clone()
        state = _State(self._loop)

        def step() -> None:
            self._losses.copy_(self._loop.take(self._index))

        try:
            with answering_unsuited():
                self._losses = torch.zeros_like(self._loop.take(index))
                state.restore()
                expected, eager_seconds = self._several(step, state)
                state.restore()
                replay = self._record(step, self._loop.streams())
                state.restore()
                found, seconds = self._several(replay, state)
        finally:
            state.restore()
        off = [(b - a).norm() / a.norm().clamp(min=1e-12) for a, b in zip(expected, found, strict=True)]
        error = float(torch.stack(off).max())  # not Python's max, which passes over NaN
        if not error <= _tolerance:
            raise Unsuited(f"recorded steps change the model otherwise than eager ones, by {error:.0%}")
        if seconds > eager_seconds:
            raise Unsuited("recorded steps are no quicker than eager ones")
        self._replay = replay

    def _several(self, work: Work, state: _State) -> tuple[list[Tensor], float]:
        """Take a few steps; return their losses and what each tensor has changed by, and their seconds."""
        losses = []
        synchronize(self._loop.device)
        start = time.perf_counter()
        for _ in range(_checked):
            work()
            losses.append(self._losses.to(torch.float64, copy=True))
        synchronize(self._loop.device)
        seconds = time.perf_counter() - start
        return [torch.stack(losses), *state.changes()], seconds


class _State:
    """What steps change, as it was."""

    def __init__(self, loop: Steppable) -> None:
        self._loop = loop
        self._global = global_state()
        self._streams = [stream.state for stream in loop.streams()]
        self._tensors = [tensor.detach().clone() for tensor in loop.tensors()]

    def changes(self) -> list[Tensor]:
        """Return by how much each value differs from what it was."""
        pairs = zip(self._loop.tensors(), self._tensors, strict=True)
        return [now.detach().double() - before.double() for now, before in pairs]

    @torch.no_grad()
    def restore(self) -> None:
        """Bring it all back, in place."""
        restore_global_state(self._global)
        for stream, state in zip(self._loop.streams(), self._streams, strict=True):
            stream.go_on_from(state)
        for now, before in zip(self._loop.tensors(), self._tensors, strict=True):
            now.copy_(before)
