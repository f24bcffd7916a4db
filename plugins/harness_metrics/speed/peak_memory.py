"""How much memory a model takes to train or to run."""

from __future__ import annotations

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
    """MiB in use at most within one training step at the batch size of the fit, beyond what was there before.

    Weights, the optimiser's state and the data are there before; gradients are not. A pass of 1,000 examples, sampled
    or rebuilt, is shown beside it, and takes its place where a model is not trained in steps; the two are never
    ranked together. On CUDA it is what torch allocated. On a CPU it is the process's resident memory, which also
    depends on threads and libraries, so that the machine is part of the figure.
    """

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        repeats: int = setting(9, "repeats, after a warm-up", minimum=7)

    unit: ClassVar = "MiB"
    direction: ClassVar = "lower"
    needs: ClassVar = (TrainsByGradient | TrainsByObjectives | Samples | Reconstructs,)
    times_the_machine: ClassVar = True

    def __init__(self, config: Config) -> None:
        self.config = config

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Measure steps of a copy of ``model`` and passes of the model itself.

        Raises:
            NotApplicable: the system does not tell the peak of a stretch of work.
        """
        device = data.train.stored.device
        found: dict[str, list[float]] = {}
        if steps.trains_in_steps(model, context):
            eager = replace(context, step_mode="eager")  # a recording would have its memory beforehand
            step = steps.training(model, data, eager, steps.own_batch(data, context))
            found["training step"] = self._peaks(step, device)
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

    def _peaks(self, work: Work, device: torch.device) -> list[float]:
        """Return the MiB that each of several calls took, after two that are not counted."""
        work()
        work()
        peaks = []
        for _ in range(self.config.repeats):
            with PeakMemory(device) as memory:
                work()
            if memory.since_start:
                raise NotApplicable("this system does not tell the peak memory of a stretch of work")
            peaks.append(memory.beyond / 2**20)
        return peaks
