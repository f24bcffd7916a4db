"""Examples per second of training, sampling and encoding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from harness import (
    Context,
    Data,
    Estimate,
    HasEncoder,
    HasPosterior,
    Samples,
    TrainsByGradient,
    TrainsByObjectives,
    setting,
)
from harness_metrics.speed import steps
from harness_metrics.speed.timing import TimingSettings, Work, sweep, throughput, timing


class TrainingThroughput:
    """Examples per second of whole training steps: batch, forward, backward and optimiser.

    A copy of the fitted model is trained further. The value is the rate at the batch size of the fit. Other batch
    sizes, up to the size of the training split, are timed too; the knee is the smallest one with 90% of the best rate.
    """

    @dataclass(frozen=True)
    class Config(TimingSettings):
        """Settings."""

        batch_sizes: tuple[int, ...] = setting((8, 32, 128, 512), "further batch sizes to time", minimum=1)

    unit: ClassVar = "examples/s"
    check_settings: ClassVar = {"batch_sizes": (8,), "repeats": 7}
    direction: ClassVar = "higher"
    needs: ClassVar = (TrainsByGradient | TrainsByObjectives,)
    times_the_machine: ClassVar = True
    depends_on_seed: ClassVar = False

    def __init__(self, config: Config) -> None:
        self.config = config

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Time the training of copies of ``model``.

        Raises:
            NotApplicable: it was fitted in closed form.
        """
        device = data.train.stored.device
        own = steps.own_batch(data, context)
        others = [batch for batch in self.config.batch_sizes if batch <= len(data.train)]

        def work_at(batch: int) -> Work:
            return steps.training(model, data, context, batch)

        timings = sweep(work_at, [own, *others], device, self.config)
        return throughput(timings, timings[0], device, self.config)


@dataclass(frozen=True)
class SweepSettings(TimingSettings):
    """Settings of a rate at its best batch size."""

    batch_sizes: tuple[int, ...] = setting((1, 8, 64, 512), "batch sizes to time", minimum=1)


class SamplingThroughput:
    """Examples per second that a model samples, at its fastest batch size.

    A sweep over batch sizes finds the fastest one, which is then timed again for the value: the best of several noisy
    rates is too high, most of all where the rates are nearly equal. The knee is the smallest batch size with 90% of the
    best rate of the sweep.
    """

    Config = SweepSettings
    unit: ClassVar = "examples/s"
    check_settings: ClassVar = {"batch_sizes": (8,), "repeats": 7}
    direction: ClassVar = "higher"
    needs: ClassVar = (Samples,)
    times_the_machine: ClassVar = True
    depends_on_seed: ClassVar = False

    def __init__(self, config: SweepSettings) -> None:
        self.config = config

    def measure(self, model: Samples, data: Data, context: Context) -> Estimate:
        """Time ``model.sample``."""
        return _fastest(lambda batch: steps.sampling(model, context, batch), data, self.config)


class EncodingThroughput:
    """Examples per second that a model encodes, to q(z | x) or to codes, at its fastest batch size.

    A sweep over batch sizes finds the fastest one, which is then timed again for the value: the best of several noisy
    rates is too high, most of all where the rates are nearly equal. The knee is the smallest batch size with 90% of the
    best rate of the sweep.
    """

    Config = SweepSettings
    unit: ClassVar = "examples/s"
    check_settings: ClassVar = {"batch_sizes": (8,), "repeats": 7}
    direction: ClassVar = "higher"
    needs: ClassVar = (HasPosterior | HasEncoder,)
    times_the_machine: ClassVar = True
    depends_on_seed: ClassVar = False

    def __init__(self, config: SweepSettings) -> None:
        self.config = config

    def measure(self, model: HasPosterior | HasEncoder, data: Data, context: Context) -> Estimate:
        """Time ``model.posterior``, or ``model.encode`` without a posterior."""
        return _fastest(lambda batch: steps.encoding(model, data, context, batch), data, self.config)


def _fastest(work_at: Callable[[int], Work], data: Data, config: SweepSettings) -> Estimate:
    device = data.test.stored.device
    timings = sweep(work_at, config.batch_sizes, device, config)
    best = max(timings, key=lambda each: each.rate).batch
    return throughput(timings, timing(work_at(best), best, device, config), device, config)
