"""A plugin with a tiny data set, and with models and metrics that fail, each in its way."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import torch
from torch import Tensor

import harness
from harness.results.checkpoint import FileCheckpoint


class Tiny:
    """Sixty points of thirty values in each split."""

    def __init__(self, config: harness.NoSettings) -> None:
        pass

    def load(self, source: harness.DataSource) -> harness.Data:
        generator = torch.Generator().manual_seed(1)
        splits = [harness.Examples(torch.rand(60, 30, generator=generator)) for _ in range(3)]
        return harness.Data.from_tensors(*splits)


class Scaled(torch.nn.Module):
    """Learns one factor."""

    def __init__(self, info: harness.DataInfo, config: harness.NoSettings) -> None:
        super().__init__()
        self.w = torch.nn.Parameter(torch.zeros(1))

    def reconstruct(self, x: Tensor) -> Tensor:
        return x * self.w

    def loss(self, x: Tensor, noise: harness.Noise) -> Tensor:
        return (self.reconstruct(x) - x).square().mean() + noise.normal(len(x)).square().mean()


class Counted(Scaled):
    """Writes a character to the file ``loss-calls`` each time that its loss is computed."""

    def loss(self, x: Tensor, noise: harness.Noise) -> Tensor:
        with Path("loss-calls").open("a") as file:
            file.write(".")
        return super().loss(x, noise)


class Broken(Scaled):
    """Raises in its first step."""

    def loss(self, x: Tensor, noise: harness.Noise) -> Tensor:
        raise ZeroDivisionError("by design")


class Exploding(Scaled):
    """Has an infinite loss."""

    def loss(self, x: Tensor, noise: harness.Noise) -> Tensor:
        return (self.w + 1).sum() / 0


class Huge(Scaled):
    """Asks for more memory than there is."""

    def loss(self, x: Tensor, noise: harness.Noise) -> Tensor:
        return torch.empty(2**58).sum()


class Stoppable(Scaled):
    """Interrupts the run after as many steps as a file named ``stop`` says; an empty one says none.

    Each epoch has a checkpoint.
    """

    steps = 0

    def loss(self, x: Tensor, noise: harness.Noise) -> Tensor:
        FileCheckpoint.is_due = True  # in the process of this model
        self.steps += self.training
        if Path("stop").exists() and self.steps > int(Path("stop").read_text() or 0):
            run = multiprocessing.parent_process()
            assert run is not None and run.pid is not None
            os.kill(run.pid, signal.SIGTERM)  # a shell's background jobs ignore SIGINT
            time.sleep(3600)
        return super().loss(x, noise)


class Undemanding:
    """Measures any model."""

    unit, direction, needs = "things", "lower", ()

    def __init__(self, config: harness.NoSettings) -> None:
        pass


class Ticks(Undemanding):
    """Is a timing that takes no time."""

    times_the_machine = True

    def measure(self, model: object, data: harness.Data, context: object) -> harness.Estimate:
        return harness.Estimate(1.0, 0.0, 1, threads=1)


class Raises(Undemanding):
    """Has a fault."""

    def measure(self, model: object, data: harness.Data, context: object) -> harness.Estimate:
        raise LookupError("not today")


class NotANumber(Undemanding):
    """Measures what is not a number."""

    def measure(self, model: object, data: harness.Data, context: object) -> harness.Estimate:
        return harness.Estimate(value=float("nan"), stderr=None, n=1)


class Bare(Undemanding):
    """Returns a number where an estimate is due."""

    def measure(self, model: object, data: harness.Data, context: object) -> float:
        return 1.0


@harness.hookimpl
def harness_datasets() -> list[harness.DatasetSpec]:
    return [harness.DatasetSpec("tiny", Tiny, "for tests")]


@harness.hookimpl
def harness_models() -> list[harness.ModelSpec]:
    models = (Scaled, Counted, Broken, Exploding, Huge, Stoppable)
    return [harness.ModelSpec(model.__name__.lower(), model, "for tests") for model in models]


@harness.hookimpl
def harness_metrics() -> list[harness.MetricSpec]:
    metrics = {"raises": Raises, "not-a-number": NotANumber, "bare": Bare, "ticks": Ticks}
    return [harness.MetricSpec(name, metric, "for tests") for name, metric in metrics.items()]
