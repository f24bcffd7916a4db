"""How work is timed: after a warm-up, in repeats of sufficient length, while watching the load of other processes."""

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

shortest_repeat = 0.03  # seconds
fewest_calls, longest_calls = 20, 10.0  # single calls: at least, and seconds
sweep_limit = 30.0  # seconds after which a sweep starts no further batch size
attempts = 3  # while other processes use the CPUs
knee_share = 0.9  # of the best rate


def load_limit() -> float:
    """Declare the setting of the load that a timing tolerates."""
    limit: float = setting(
        0.1,
        "share of the CPUs that other processes may use; above it the timing is repeated, and then has a warning",
        minimum=0,
        maximum=1,
    )
    return limit


@dataclass(frozen=True)
class TimingSettings:
    """Settings of every timing of repeated calls."""

    repeats: int = setting(9, "number of timed repeats", minimum=7)
    load_limit: float = load_limit()


@dataclass(frozen=True)
class Timing:
    """The repeats of a timing.

    Args:
        batch: examples per call.
        seconds: per call, one entry per repeat.
        load: the share of the CPUs that other processes used meanwhile, or None if it is unknown.
    """

    batch: int
    seconds: tuple[float, ...]
    load: float | None

    @property
    def rates(self) -> tuple[float, ...]:
        """Examples per second, one entry per repeat."""
        return tuple(self.batch / each for each in self.seconds)

    @property
    def rate(self) -> float:
        """The median of the rates."""
        return median(self.rates)


def timing(work: Work, batch: int, device: torch.device, settings: TimingSettings) -> Timing:
    """Time ``work``, which processes ``batch`` examples per call, and keep every repeat.

    The warm-up finds how many calls last at least 30 ms; each repeat has that many. If other processes use more of the
    CPUs than the settings allow, the timing is repeated, and the least disturbed of three attempts is kept.
    """
    calls = enough_calls(work, device, shortest_repeat)

    def repeats() -> tuple[float, ...]:
        return tuple(_seconds(work, calls, device) for _ in range(settings.repeats))

    seconds, load = least_disturbed(repeats, settings.load_limit)
    return Timing(batch, seconds, load)


def each_call(
    work: Work, calls: int, device: torch.device, clock: Callable[[], float] = time.perf_counter
) -> tuple[float, ...]:
    """Return the seconds of single calls, each from a device at rest to the end of its work.

    Two calls warm up. After ten seconds no call is started, but at least 20 are timed.
    """
    for _ in range(2):
        work()
    seconds: list[float] = []
    while len(seconds) < calls and (len(seconds) < fewest_calls or sum(seconds) < longest_calls):
        synchronize(device)
        start = clock()
        work()
        synchronize(device)
        seconds.append(clock() - start)
    return tuple(seconds)


def least_disturbed(
    measure: Callable[[], tuple[float, ...]], limit: float, load_meter: Callable[[], CompetingLoad] = CompetingLoad
) -> tuple[tuple[float, ...], float | None]:
    """Measure until other processes use at most ``limit`` of the CPUs; return the best attempt, and their share in it.

    Args:
        measure: takes the measurement.
        limit: the share of the CPUs.
        load_meter: measures the share within a ``with`` block.
    """
    done: list[tuple[tuple[float, ...], float]] = []
    for _ in range(attempts):
        with load_meter() as load:
            result = measure()
        if load.share is None:
            return result, None
        done.append((result, load.share))
        if load.share <= limit:
            break
    return min(done, key=lambda each: each[1])


def sweep(
    work_at: Callable[[int], Work],
    batches: Iterable[int],
    device: torch.device,
    settings: TimingSettings,
    limit: float = sweep_limit,
) -> list[Timing]:
    """Time ``work_at(batch)`` for each batch size, in the given order.

    The first one is always timed. After ``limit`` seconds no further batch size is started.
    """
    start = time.perf_counter()
    timings: list[Timing] = []
    for batch in dict.fromkeys(batches):
        if timings and time.perf_counter() - start > limit:
            break
        timings.append(timing(work_at(batch), batch, device, settings))
    return timings


def knee(rates: Mapping[int, float]) -> int:
    """Return the smallest batch size with at least 90% of the best rate."""
    best = max(rates.values())
    return min(batch for batch, rate in rates.items() if rate >= knee_share * best)


def throughput(timings: Sequence[Timing], reported: Timing, device: torch.device, settings: TimingSettings) -> Estimate:
    """Return the rate of one timing, in examples per second, with a whole sweep and its knee.

    Args:
        timings: of the sweep.
        reported: whose repeats become the estimate; one of the sweep, or another one of the same work.
        device: on which they were taken.
        settings: with which they were taken.
    """
    by_batch = {each.batch: each for each in sorted(timings, key=lambda each: each.batch)}
    found = knee({batch: each.rate for batch, each in by_batch.items()})
    entries = [
        {"batch": batch, "median": each.rate, "quartiles": quartiles(each.rates), "competing_load": each.load}
        for batch, each in by_batch.items()
    ]
    load = highest_load(each.load for each in (*timings, reported))
    return of_repeats(
        reported.rates,
        device,
        parts={"knee (batch size)": found},
        diagnostics={"competing_load": load, "batch_size": reported.batch, "sweep": entries, "knee": found},
        warning=load_warning(load, settings.load_limit),
    )


def of_repeats(
    samples: Sequence[float],
    device: torch.device,
    *,
    parts: Mapping[str, float] | None = None,
    diagnostics: Mapping[str, Any] | None = None,
    measure: str | None = None,
    warning: str | None = None,
) -> Estimate:
    """Return the median of repeats with the standard error of a median, 1.25 s / √n, and the interquartile range."""
    low, high = quartiles(samples)
    return Estimate(
        value=median(samples),
        stderr=math.sqrt(math.pi / 2) * stdev(samples) / math.sqrt(len(samples)),
        n=len(samples),
        counted="repeats",
        parts={"IQR": high - low, **(parts or {})},
        diagnostics={"interquartile_range": [low, high], "device": str(device), **(diagnostics or {})},
        measure=measure,
        samples=tuple(samples),
        warning=warning,
        threads=torch.get_num_threads(),
    )


def highest_load(loads: Iterable[float | None]) -> float | None:
    """Return the largest share of the CPUs that other processes used, or None if all are unknown."""
    return max((each for each in loads if each is not None), default=None)


def load_warning(load: float | None, limit: float) -> str | None:
    """Return a warning if other processes used more than ``limit`` of the CPUs, else None."""
    return f"measured under {load:.0%} competing load" if load is not None and load > limit else None


def quartiles(samples: Sequence[float]) -> list[float]:
    """Return the first and the third quartile."""
    low, _, high = quantiles(samples, n=4)
    return [low, high]


def enough_calls(work: Work, device: torch.device, seconds: float) -> int:
    """Warm up, and return how many calls last at least ``seconds``."""
    _seconds(work, 1, device)
    calls = 1
    while (lasted := calls * _seconds(work, calls, device)) < seconds:
        calls = min(10 * calls, math.ceil(1.2 * calls * seconds / lasted))
    return calls


def _seconds(work: Work, calls: int, device: torch.device) -> float:
    """Return the mean duration of a call, in seconds."""
    synchronize(device)
    start = time.perf_counter()
    for _ in range(calls):
        work()
    synchronize(device)
    return (time.perf_counter() - start) / calls
