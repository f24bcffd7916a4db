"""Captured steps: a CUDA graph replays a whole step, with one launch for all of its kernels, optimizers included.

Small models on a fast GPU spend most of a step on launching kernels. Python code in a step runs only once, while the
graph is captured, so replayed steps are first compared with eager ones.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor
from torch.optim import Adam

from harness.machine.cuda_graphs import GraphRecorder, Work, cuda_graph, side_stream
from harness.machine.device import synchronize
from harness.training.pure_losses import Unsupported, raising_unsupported
from harness.training.steps.step import Snapshot, TrainingStep, counters_of

_warm_up = 3  # eager steps before capture: optimizers and libraries allocate memory in the first one
_compared = 3  # steps taken both ways
_slower = 1.1  # times the time of eager steps
_tolerance = 0.01  # of the norm of the change of a tensor in the compared steps


class CapturedSteps:
    """Takes steps on full batches, the first few eagerly, the others from a graph; eager ones on other batches.

    Steps stay eager if they cannot be captured, or if a replayed step differs from an eager one or is slower.

    Args:
        step: to capture.
        record: records work and returns a function that replays it.
    """

    def __init__(self, step: TrainingStep, record: GraphRecorder = cuda_graph) -> None:
        self.refusal: str | None = None
        self._step = step
        self._record = record
        self._taken = 0
        self._replay: Work | None = None
        self._rates = [torch.zeros((), device=step.device) for _ in step.optimizers]
        self._rates_set = [0.0 for _ in step.optimizers]

    @property
    def is_settled(self) -> bool:
        """See ``Steps.is_settled``."""
        return self._replay is not None or self.refusal is not None

    def take(self, index: Tensor) -> Tensor:
        """See ``Steps.take``."""
        if self.refusal is not None or not self._step.is_full(index):
            return self._eager(index)
        self._taken += 1
        if self._taken <= _warm_up:
            with side_stream(self._step.device):
                return self._eager(index)
        if self._replay is None:
            try:
                self._capture(index)
            except Unsupported as error:
                self.refusal = str(error)
                return self._eager(index)
        assert self._replay is not None
        self._index.copy_(index)
        self._set_rates()
        self._replay()
        return self._losses.clone()

    def _eager(self, index: Tensor) -> Tensor:
        return self._step.take(index, self._step.loss)

    def _set_rates(self) -> None:
        for which, optimizer in enumerate(self._step.optimizers):
            rate = optimizer.param_groups[0]["lr"]
            if rate != self._rates_set[which]:
                self._rates[which].fill_(rate)
                self._rates_set[which] = rate

    def _capture(self, index: Tensor) -> None:
        """Record a step and compare it with eager ones; leave the state as it was.

        Raises:
            Unsupported: it cannot be recorded, differs from an eager step, or is slower.
        """
        step, its_index = self._step, index.clone()
        before = Snapshot(step, partial(_changed_tensors, step))
        try:
            with raising_unsupported():
                losses = torch.zeros_like(self._eager(index))

                def work() -> None:  # without a reference to self, which would keep its memory
                    losses.copy_(step.take(its_index, step.loss))

                if counters_of(step.network) != before.counters:
                    raise Unsupported("a step counts something in Python, which a replayed step would not")
                before.restore()
                expected, eager_seconds = self._several(work, losses)
                before.restore()
                self._set_rates()
                with _capturable(step.optimizers, self._rates):
                    replay = self._record(work, step.streams)
                    replay()
                before.restore()
                found, seconds = self._several(replay, losses)
                off = float(_errors(before, expected, found).max())
        except torch.OutOfMemoryError as error:
            raise Unsupported("there is not enough memory to compare replayed steps with eager ones") from error
        finally:
            before.restore()
        if not off <= _tolerance:
            raise Unsupported(f"replayed steps change the model differently from eager ones, by {off:.0%}")
        if seconds > _slower * eager_seconds:
            raise Unsupported("replayed steps are slower than eager ones")
        self._index, self._losses, self._replay = its_index, losses, replay

    def _several(self, work: Work, losses: Tensor) -> tuple[list[Tensor], float]:
        """Take a few steps; return all tensors that they have changed, the losses last, and the seconds they took."""
        synchronize(self._step.device)
        start = time.perf_counter()
        for _ in range(_compared):
            work()
        synchronize(self._step.device)
        seconds = time.perf_counter() - start
        return [each.detach().clone() for each in (*_changed_tensors(self._step), losses)], seconds


def _changed_tensors(step: TrainingStep) -> list[Tensor]:
    """Return the tensors that steps change: of the model, and of the optimizers, such as Adam's moments."""
    states = (state for optimizer in step.optimizers for state in optimizer.state.values())
    return [*step.tensors(), *(each for state in states for each in state.values() if isinstance(each, Tensor))]


@contextmanager
def _capturable(optimizers: list[Adam], rates: list[Tensor]) -> Iterator[None]:
    """Let the optimizers read their learning rates and counts of steps from the device within the block."""
    before = [[dict(group) for group in each.param_groups] for each in optimizers]
    for optimizer, rate in zip(optimizers, rates, strict=True):
        for group in optimizer.param_groups:
            group.update(lr=rate, capturable=rate.is_cuda)
    try:
        yield
    finally:
        for optimizer, groups in zip(optimizers, before, strict=True):
            for group, values in zip(optimizer.param_groups, groups, strict=True):
                group.update(lr=values["lr"], capturable=values["capturable"])


def _errors(before: Snapshot, expected: list[Tensor], found: list[Tensor]) -> Tensor:
    """Return the error of each tensor after replayed steps, and of the losses, as a share of its change."""
    start = [*before.tensors, torch.zeros_like(expected[-1])]
    return torch.stack([_error(*each) for each in zip(start, expected, found, strict=True)])


def _error(before: Tensor, expected: Tensor, found: Tensor) -> Tensor:
    error: Tensor = _difference(expected, found).norm() / _difference(before, expected).norm().clamp(min=1e-12)
    return error


def _difference(a: Tensor, b: Tensor) -> Tensor:
    """Return b − a, which is 0 also between equal infinities, such as a buffer may hold."""
    return torch.where(a == b, 0.0, b.double() - a.double())
