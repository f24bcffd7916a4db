"""How work is timed: warm, long enough, repeated, at several batch sizes, with an eye on what else the machine does."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles, stdev
from typing import Any

import torch

from harness import Estimate, setting
from harness.toolkit import CompetingLoad, synchronize

Work = Callable[[], object]

shortest = 0.03  # seconds that a repeat lasts at least
patience = 30.0  # seconds after which a sweep goes on to no further batch size
attempts = 3  # at a timing whose machine is not its own
knee_share = 0.9  # of the best rate


@dataclass(frozen=True)
class TimingSettings:
    """Settings of everything that is timed."""

    repeats: int = setting(9, "timed repeats", minimum=7)
    load_limit: float = setting(
        0.1,
        "share of the CPUs that others may use; above it a timing is taken again, then marked",
        minimum=0,
        maximum=1,
    )


@dataclass(frozen=True)
class Timing:
    """The repeats of one piece of work.

    Args:
        batch: how many examples a call takes.
        seconds: per call, one entry a repeat.
        load: the share of the CPUs that others used meanwhile, or None where that cannot be known.
    """

    batch: int
    seconds: tuple[float, ...]
    load: float | None

    @property
    def rates(self) -> tuple[float, ...]:
        """Examples per second, one entry a repeat."""
        return tuple(self.batch / each for each in self.seconds)

    @property
    def rate(self) -> float:
        """The median of the rates."""
        return median(self.rates)


def timing(work: Work, batch: int, device: torch.device, settings: TimingSettings) -> Timing:
    """Time ``work``, which handles ``batch`` examples a call, and keep every repeat.

    Calls are made until they last long enough to be timed well; those are the warm-up. Then so many calls make up
    each repeat. Where others use more of the CPUs than the settings allow, all is done again, and the least
    disturbed of three attempts is kept.
    """
    calls = enough_calls(work, device, shortest)

    def repeats() -> tuple[float, ...]:
        return tuple(_seconds(work, calls, device) for _ in range(settings.repeats))

    seconds, load = least_disturbed(repeats, settings.load_limit)
    return Timing(batch, seconds, load)


def least_disturbed(measure: Callable[[], tuple[float, ...]], limit: float) -> tuple[tuple[float, ...], float | None]:
    """Measure until others use no more than ``limit`` of the CPUs; return the best attempt, and their share in it."""
    done: list[tuple[tuple[float, ...], float]] = []
    for _ in range(attempts):
        with CompetingLoad() as load:
            result = measure()
        if load.share is None:
            return result, None
        done.append((result, load.share))
        if load.share <= limit:
            break
    return min(done, key=lambda each: each[1])


def sweep(
    work_at: Callable[[int], Work], batches: Iterable[int], device: torch.device, settings: TimingSettings
) -> list[Timing]:
    """Time ``work_at(batch)`` for each batch size, in the order given, the first in any case.

    A slow model is not waited for: once half a minute has passed no further batch size is begun.
    """
    start = time.perf_counter()
    timings: list[Timing] = []
    for batch in dict.fromkeys(batches):
        if timings and time.perf_counter() - start > patience:
            break
        timings.append(timing(work_at(batch), batch, device, settings))
    return timings


def knee(rates: Mapping[int, float]) -> int:
    """Return the smallest batch size whose rate is at least nine tenths of the best."""
    best = max(rates.values())
    return min(batch for batch, rate in rates.items() if rate >= knee_share * best)


def throughput(timings: Sequence[Timing], reported: Timing, device: torch.device, settings: TimingSettings) -> Estimate:
    """Report the rate of one timing of a sweep, in examples per second; the others are diagnostics, and the knee."""
    by_batch = {each.batch: each for each in sorted(timings, key=lambda each: each.batch)}
    found = knee({batch: each.rate for batch, each in by_batch.items()})
    entries = [
        {"batch": batch, "median": each.rate, "quartiles": quartiles(each.rates), "competing_load": each.load}
        for batch, each in by_batch.items()
    ]
    return of_repeats(
        reported.rates,
        device,
        parts={"knee (batch size)": found},
        diagnostics={
            **competition([each.load for each in timings], settings.load_limit),
            "batch_size": reported.batch,
            "sweep": entries,
            "knee": found,
        },
    )


def of_repeats(
    samples: Sequence[float],
    device: torch.device,
    *,
    parts: Mapping[str, float] | None = None,
    diagnostics: Mapping[str, Any] | None = None,
    measure: str | None = None,
) -> Estimate:
    """Report the median of repeats with the standard error of a median, 1.25 s / √n, and the interquartile range."""
    low, high = quartiles(samples)
    return Estimate(
        value=median(samples),
        stderr=math.sqrt(math.pi / 2) * stdev(samples) / math.sqrt(len(samples)),
        n=len(samples),
        counted="repeats",
        parts={"IQR": high - low, **(parts or {})},
        diagnostics={
            "interquartile_range": [low, high],
            "device": str(device),
            "threads": torch.get_num_threads(),
            **(diagnostics or {}),
        },
        measure=measure,
        samples=tuple(samples),
    )


def competition(loads: Iterable[float | None], limit: float) -> dict[str, Any]:
    """Keep the largest share of the CPUs that others used, as diagnostics, and mark it where it is above the limit."""
    load = max((each for each in loads if each is not None), default=None)
    mark = {"marked": f"taken under {load:.0%} competing load"} if load is not None and load > limit else {}
    return {"competing_load": load, **mark}


def quartiles(samples: Sequence[float]) -> list[float]:
    """Return the first and the third quartile."""
    low, _, high = quantiles(samples, n=4)
    return [low, high]


def enough_calls(work: Work, device: torch.device, seconds: float) -> int:
    """Warm up, and return how many calls last at least so many seconds."""
    _seconds(work, 1, device)
    calls = 1
    while (lasted := calls * _seconds(work, calls, device)) < seconds:
        calls = min(10 * calls, math.ceil(1.2 * calls * seconds / lasted))
    return calls


def _seconds(work: Work, calls: int, device: torch.device) -> float:
    """Return how long one of so many calls took."""
    synchronize(device)
    start = time.perf_counter()
    for _ in range(calls):
        work()
    synchronize(device)
    return (time.perf_counter() - start) / calls
