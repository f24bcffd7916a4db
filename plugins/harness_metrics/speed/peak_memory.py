"""Peak memory of training or running a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, ClassVar

import torch

from harness import (
    Context,
    Data,
    Estimate,
    NotApplicable,
    Reconstructs,
    Samples,
    TrainsByGradient,
    TrainsByObjectives,
    setting,
)
from harness.toolkit import PeakMemory
from harness_metrics.speed import steps
from harness_metrics.speed.timing import Work, of_repeats

batch = 1000


class PeakMemoryUse:
    """Peak memory of a training step at the batch size of the fit, in MiB above the memory in use before the step.

    Weights, optimiser state and data are in memory before the step; gradients are freed before it. A part shows a pass
    of 1,000 examples, sampled or reconstructed. For a model that is not trained in steps, that pass is the value; the
    two are never ranked together. On CUDA it is the memory allocated by torch. On a CPU it is the resident memory of
    the process, which also depends on threads and libraries, so that values of different machines are not ranked
    together.
    """

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        repeats: int = setting(9, "number of repeats after the warm-up", minimum=7)

    unit: ClassVar = "MiB"
    direction: ClassVar = "lower"
    needs: ClassVar = (TrainsByGradient | TrainsByObjectives | Samples | Reconstructs,)
    times_the_machine: ClassVar = True
    depends_on_seed: ClassVar = False

    def __init__(self, config: Config) -> None:
        self.config = config

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Measure steps of a copy of ``model``, and passes of the model itself.

        Raises:
            NotApplicable: the system does not report the peak memory of a part of a process's lifetime.
        """
        device = data.train.stored.device
        found: dict[str, list[float]] = {}
        if steps.trains_in_steps(model, context):
            eager = replace(context, step_mode="eager")  # a captured step allocates its memory beforehand
            step = steps.training(model, data, eager, steps.own_batch(data, context))
            found["training step"] = self._peaks(step, device, step.free_gradients)
        if isinstance(model, Samples | Reconstructs):
            what, work = steps.forward(model, data, context, batch)
            found[f"{what} of {batch:,} examples"] = self._peaks(work, device)
        (reported, samples), *others = found.items()
        return of_repeats(
            samples,
            device,
            parts={name: median(each) for name, each in others},
            diagnostics={"batch_size": context.batch_size},
            measure=reported,
        )

    def _peaks(self, work: Work, device: torch.device, free: Callable[[], None] = lambda: None) -> list[float]:
        """Return the peak of each repeat, in MiB, after two calls of warm-up; ``free`` is called before each repeat."""
        work()
        work()
        peaks = []
        for _ in range(self.config.repeats):
            free()
            with PeakMemory(device) as memory:
                work()
            if memory.since_start:
                raise NotApplicable("this system reports only the peak memory of the whole process, not that of a step")
            peaks.append(memory.beyond / 2**20)
        return peaks
