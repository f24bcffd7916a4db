"""Time for a single example."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, median
from typing import Any, ClassVar

import torch

from harness import Context, Data, Estimate, Reconstructs, Samples, setting
from harness_metrics.speed import steps
from harness_metrics.speed.timing import each_call, least_disturbed, load_limit, load_warning

_quantile = NormalDist().inv_cdf(0.975)


class Latency:
    """Milliseconds to sample one example or, if the model cannot sample, to reconstruct one; never ranked together.

    Each call is timed alone, from a device at rest to the result. The value is the median; the 95th percentile is
    beside it. The standard error of the median is that of its distribution-free interval, from order statistics.
    """

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        calls: int = setting(
            200, "number of timed calls; fewer, but at least 20, if they take over ten seconds", minimum=20
        )
        load_limit: float = load_limit()

    unit: ClassVar = "ms"
    check_settings: ClassVar = {"calls": 20}
    direction: ClassVar = "lower"
    needs: ClassVar = (Samples | Reconstructs,)
    times_the_machine: ClassVar = True
    depends_on_seed: ClassVar = False

    def __init__(self, config: Config) -> None:
        self.config = config

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Time a batch of one."""
        device = data.test.stored.device
        what, work = steps.forward(model, data, context, 1)
        seconds, load = least_disturbed(lambda: each_call(work, self.config.calls, device), self.config.load_limit)
        calls = [1000 * each for each in seconds]
        return Estimate(
            value=median(calls),
            stderr=error_of_median(calls),
            n=len(calls),
            counted="calls",
            parts={"95th percentile (ms)": percentile_95(calls)},
            diagnostics={"competing_load": load, "operation": what, "batch_size": 1, "device": str(device)},
            measure=f"{what} of one example",
            samples=tuple(calls),
            warning=load_warning(load, self.config.load_limit),
            threads=torch.get_num_threads(),
        )


def percentile_95(values: Sequence[float]) -> float:
    """Return the smallest value that at least 95% of the values do not exceed."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def error_of_median(values: Sequence[float]) -> float:
    """Return half the width of the 95% interval of the median, from order statistics, over 1.96.

    The number of values below the median is binomial with n and 1/2, whatever their distribution.
    """
    n, ordered = len(values), sorted(values)
    reach = math.ceil(_quantile * math.sqrt(n) / 2)
    low, high = ordered[max(0, n // 2 - reach)], ordered[min(n - 1, (n - 1) // 2 + reach)]
    return (high - low) / (2 * _quantile)
