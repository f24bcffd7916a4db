"""Profiles of training steps: the time of each part, and the least time that the machine could take."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode

from harness.contracts.engine import StepMode
from harness.machine.device import synchronize
from harness.machine.peak_flops import matrix_product_peak, memory_bandwidth
from harness.training.trainer import Trainer

parts = ("data", "forward", "backward", "optimizer")

# Adam reads a float32 parameter, its gradient and two moments, and writes all but the gradient.
_bytes_per_parameter = 4 * 4 + 3 * 4


@dataclass(frozen=True)
class StepProfile:
    """The time of one training step.

    Args:
        seconds: of the whole step, median over the timed steps.
        parts: seconds of each part, medians likewise; the rest of the step is overhead between them.
        flops: floating-point operations in the step's matrix products.
        peak: the device's highest rate of float32 matrix products, in FLOP/s.
        moved: bytes that must pass through memory: the parameters, which the forward and the backward pass read and
            Adam reads and writes, and the batch.
        bandwidth: the device's rate of copying, in bytes/s, reads and writes both counted.
    """

    seconds: float
    parts: dict[str, float]
    flops: int
    peak: float
    moved: int
    bandwidth: float

    @property
    def overhead(self) -> float:
        """Seconds of a step outside its parts."""
        return max(0.0, self.seconds - sum(self.parts.values()))

    @property
    def roofline(self) -> float:
        """The longer of two times: the step's products at the peak, and its memory traffic at the bandwidth."""
        return max(self.flops / self.peak, self.moved / self.bandwidth)


def profile_steps(
    trainer: Trainer,
    steps: int,
    step_mode: StepMode = "eager",
    announce: Callable[[str], None] = lambda line: None,
) -> StepProfile:
    """Time ``steps`` full steps of a new trainer, eager or compiled, after a tenth as many for warm-up."""
    device = trainer.device
    size = min(trainer.batch_size, len(trainer.train))
    batches = trainer.full_batches()
    trainer.model.train()
    with FlopCounterMode(display=False) as counter:
        trainer.step(next(batches))
    trainer.use(step_mode, announce)
    with trainer.computing():
        for _ in range(max(1, steps // 10)):
            trainer.step(next(batches))
        clock = _Clock(device)
        trainer.training_step.mark = clock.mark
        whole = []
        for _ in range(steps):
            index = next(batches)
            synchronize(device)
            start = time.perf_counter()
            clock.start()
            trainer.step(index)
            synchronize(device)
            whole.append(time.perf_counter() - start)
            clock.end_step()
    example = trainer.train.stored[:1]
    parameters = sum(each.numel() for each in trainer.model.parameters())
    return StepProfile(
        seconds=median(whole),
        parts={name: median(clock.seconds[name]) for name in parts},
        flops=counter.get_total_flops(),
        peak=matrix_product_peak(device).rate,
        moved=parameters * (2 * 4 + _bytes_per_parameter) + size * example.nbytes,
        bandwidth=memory_bandwidth(device),
    )


class _Clock:
    """Sums the time between marks, measured by CUDA events on a GPU."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self._marks: list[tuple[str, float | torch.cuda.Event]] = []

    def start(self) -> None:
        self._marks = [("", self._now())]

    def mark(self, part: str) -> None:
        self._marks.append((part, self._now()))

    def end_step(self) -> None:
        spent: dict[str, float] = defaultdict(float)
        for (_, before), (part, after) in zip(self._marks, self._marks[1:], strict=False):
            spent[part] += _between(before, after)
        for part, seconds in spent.items():
            self.seconds[part].append(seconds)

    def _now(self) -> float | torch.cuda.Event:
        if self.device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


def _between(before: float | torch.cuda.Event, after: float | torch.cuda.Event) -> float:
    if isinstance(before, float) or isinstance(after, float):
        return after - before  # type: ignore[operator]
    milliseconds: float = before.elapsed_time(after)
    return milliseconds / 1000
