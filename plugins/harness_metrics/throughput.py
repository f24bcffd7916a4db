"""How fast a model trains."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from itertools import count, islice
from statistics import median, quantiles, stdev
from typing import Any, ClassVar

import torch

from harness import (
    Context,
    Data,
    Estimate,
    PeakMemory,
    Trainer,
    TrainsByGradient,
    TrainsByObjectives,
    objectives_of,
    setting,
)


class TrainingThroughput:
    """Examples per second of whole training steps: batch, forward, backward and optimiser.

    A copy of the fitted model goes on training at the batch size of its fit. After a warm-up, the median of timed
    repeats is reported, each of so many steps, the device synchronised before and after. The standard error is
    that of a median, 1.25 s / √repeats.
    """

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        repeats: int = setting(9, "timed repeats", minimum=3)
        steps: int = setting(20, "steps in each repeat", minimum=1)

    unit: ClassVar = "examples/s"
    direction: ClassVar = "higher"
    needs: ClassVar = (TrainsByGradient | TrainsByObjectives,)
    times_the_machine: ClassVar = True

    def __init__(self, config: Config) -> None:
        self.config = config

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Time the training of a copy of ``model``."""
        assert context.batch_size is not None
        trained = copy.deepcopy(model).train()
        objectives = objectives_of(trained, context.config)
        trainer = Trainer(trained, objectives, data.train, context.batch_size, context.seed)
        device = data.train.stored.device
        with torch.enable_grad(), PeakMemory(device) as memory:
            self._timed(trainer, device)
            rates = [self._timed(trainer, device) for _ in range(self.config.repeats)]
        low, _, high = quantiles(rates, n=4)
        return Estimate(
            value=median(rates),
            stderr=1.2533 * stdev(rates) / len(rates) ** 0.5,
            n=len(rates),
            parts={"peak memory (MiB)": memory.bytes / 2**20},
            diagnostics={
                "interquartile_range": [low, high],
                "device": str(device),
                "threads": torch.get_num_threads(),
                "batch_size": context.batch_size,
                "peak_memory_since_start": memory.since_start,
            },
            samples=tuple(rates),
        )

    def _timed(self, trainer: Trainer, device: torch.device) -> float:
        """Take so many steps and return examples per second."""
        size = min(trainer.batch_size, len(trainer.train))
        full = (index for _ in count() for index in trainer.shuffled() if len(index) >= size)
        batches = list(islice(full, self.config.steps))
        _synchronize(device)
        start = time.perf_counter()
        for index in batches:
            trainer.step(index)
        _synchronize(device)
        return sum(map(len, batches)) / (time.perf_counter() - start)


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
