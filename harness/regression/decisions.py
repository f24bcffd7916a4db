"""Decides from blocks of timings whether one version is slower than another, as early as the data allow.

The observation is one number a block: the logarithm of the ratio of the times of two fresh processes. Timings within a
process are correlated, so there are as many observations as blocks. A block has three processes: one of the head and
two of the base. The two of the base show what a ratio of equal versions looks like on this machine.

A benchmark is looked at after 4, 6, 9, 13 and 20 blocks. The error rate that is spent up to a look is α t², with t the
share of the 20 blocks (Kim & DeMets 1987), and each look spends its increment. So all looks together have an error rate
of at most α, with exact quantiles of Student's t and no assumption about how looks depend on each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, variance

from harness.regression.findings import Verdict, false_alarm_rate, holm

looks = (4, 6, 9, 13, 20)
confidence = 0.95
control = "control"

Block = Mapping[str, Mapping[str, Sequence[float]]]
"""The seconds of each round, by benchmark and arm."""


@dataclass(frozen=True)
class Decision:
    """What is known about a benchmark after a look.

    Args:
        verdict: None if more blocks are needed.
        ratio: the time of the head over that of the base.
        low: the lower end of the 95% interval of the ratio; all intervals of all looks hold at once.
        high: its upper end.
        blocks: how many it rests on.
        reason: why there is no verdict.
    """

    verdict: Verdict | None
    ratio: float
    low: float
    high: float
    blocks: int
    reason: str | None = None


@dataclass(frozen=True)
class _Contrast:
    """A mean logarithm over blocks, its standard error, and the degrees of freedom of that."""

    mean: float
    stderr: float
    freedom: int

    def exceeds(self, bound: float) -> float:
        """Return the p-value of the hypothesis that the mean is at most ``bound``."""
        from scipy.special import stdtr

        return float(stdtr(self.freedom, (bound - self.mean) / self.stderr))

    def margin(self, error_rate: float) -> float:
        """Return half the width of the interval that misses on either side with this probability."""
        from scipy.special import stdtrit

        return float(stdtrit(self.freedom, 1 - error_rate)) * self.stderr


def decide(
    blocks: Sequence[Block], undecided: Sequence[str], benchmarks: int, *, slowdown: float, is_last: bool
) -> dict[str, Decision]:
    """Decide about benchmarks after a look.

    Args:
        blocks: all so far; each has the control and all benchmarks that were undecided then.
        undecided: the benchmarks to decide about.
        benchmarks: how many there are, decided or not.
        slowdown: what is accepted, as a share of the time of the base, such as 0.03.
        is_last: whether no block will follow, so that what is left of the error rate is spent.
    """
    spent = 0.0 if len(blocks) <= looks[0] else _share_spent(max(n for n in looks if n < len(blocks)))
    share = (1.0 if is_last else _share_spent(len(blocks))) - spent
    too_few = f"{len(blocks)} blocks are too few for a verdict" if len(blocks) < looks[0] else None
    moved = _what_moved(blocks, slowdown)
    contrasts = {name: _slowdown([block[name] for block in blocks]) for name in undecided}
    bound = math.log1p(slowdown)
    p_values = [contrasts[name].exceeds(bound) for name in undecided]
    slower = dict(zip(undecided, holm(p_values, false_alarm_rate * share, benchmarks), strict=True))
    found = {}
    for name in undecided:
        contrast = contrasts[name]
        margin = contrast.margin((1 - confidence) / 2 * share)
        low, high = contrast.mean - margin, contrast.mean + margin
        its_blocks = [block[name] for block in blocks]
        reason = too_few or moved or _moved_itself(its_blocks, slowdown)
        verdict: Verdict | None = None
        if reason is None and slower[name]:
            verdict = "worse"
        elif reason is None and high < bound:
            reason = _few_turns_are_slower(its_blocks, bound)
            if reason is None:
                verdict = "better" if high < 0 and contrast.mean < -bound else "same"
        if verdict is None and is_last:
            verdict = "inconclusive"
            reason = reason or f"{len(blocks)} blocks do not show whether it is slower by more than {slowdown:.0%}"
        ratio, low, high = (math.exp(min(700, each)) for each in (contrast.mean, low, high))
        found[name] = Decision(
            verdict, ratio, low, high, len(blocks), reason if verdict in (None, "inconclusive") else None
        )
    return found


def _share_spent(blocks: int) -> float:
    return min(1.0, blocks / looks[-1]) ** 2


def slowdown_of(times: Mapping[str, Sequence[float]]) -> float:
    """Return the observation of a block: the logarithm of the time of the head over that of the base.

    Rounds are compared one by one, since the machine may change between them, and the median is resistant to the few
    rounds that something disturbed. The head is compared with each process of the base, and not with the mean of both:
    where rounds are often disturbed, that of a mean is more often than that of one process, and an equal head would
    seem to be faster.
    """
    return fmean(_median_of_ratios(times["head"], times[arm]) for arm in ("base", "again"))


def drift_of(times: Mapping[str, Sequence[float]]) -> float:
    """Return the same between the two processes of the base, which is 0 but for noise."""
    return _median_of_ratios(times["again"], times["base"])


def _median_of_ratios(times: Sequence[float], others: Sequence[float]) -> float:
    return median(math.log(one / other) for one, other in zip(times, others, strict=True))


def _slowdown(blocks: Sequence[Mapping[str, Sequence[float]]]) -> _Contrast:
    """Return the slowdown over blocks.

    If processes of one version differ with variance σ², the slowdown has variance 3/2 σ² and the drift, which is not
    correlated with it, 2 σ². So both tell σ², which doubles the degrees of freedom. If the slowdown varies more than
    that, its own variance is taken. With four times the deviation in the head, all looks together have an error rate of
    1.1 to 1.7%, for one to twenty benchmarks, instead of 1%.
    """
    slowdowns, drifts = [slowdown_of(each) for each in blocks], [drift_of(each) for each in blocks]
    own = variance(slowdowns)
    pooled = (own + 0.75 * variance(drifts)) / 2
    freedom = (len(blocks) - 1) * (1 if own > pooled else 2)
    return _Contrast(fmean(slowdowns), _stderr(max(own, pooled), len(blocks)), freedom)


def _few_turns_are_slower(blocks: Sequence[Mapping[str, Sequence[float]]], bound: float) -> str | None:
    """Return a sentence if the head is slower in so few turns that no median shows it (p < 1%), else None."""
    base, again, head = ([math.log(math.fsum(each[arm])) for each in blocks] for arm in ("base", "again", "head"))
    gaps = [one - (two + three) / 2 for one, two, three in zip(head, base, again, strict=True)]
    contrast = _Contrast(fmean(gaps), _stderr(variance(gaps), len(gaps)), len(gaps) - 1)
    if contrast.exceeds(bound) >= 0.01:
        return None
    return f"a few turns of the head take much longer: all turns together take {math.expm1(contrast.mean):+.1%}"


def _stderr(of_one: float, n: int) -> float:
    return max(math.sqrt(of_one / n), 1e-9)  # clocks have ticks, so some differences are 0


def _what_moved(blocks: Sequence[Block], slowdown: float) -> str | None:
    """Return a sentence if the control, which is the same work everywhere, took other times in the head."""
    moved = _shift([slowdown_of(block[control]) for block in blocks], slowdown)
    return (
        f"the control, which is the same for both, changed by {moved:+.1%}: the machine is not steady, or the head "
        "changes the speed of all that its process does"
        if moved
        else None
    )


def _moved_itself(blocks: Sequence[Mapping[str, Sequence[float]]], slowdown: float) -> str | None:
    moved = _shift([drift_of(each) for each in blocks], slowdown)
    return f"two processes of the base differ by {moved:+.1%}: the machine is not steady" if moved else None


def _shift(observed: Sequence[float], slowdown: float) -> float | None:
    """Return the mean change if it is not 0 (p < 1%) and large enough to matter, else None."""
    contrast = _Contrast(fmean(observed), _stderr(variance(observed), len(observed)), len(observed) - 1)
    is_sure = abs(contrast.mean) > contrast.margin(0.005)
    return math.expm1(contrast.mean) if is_sure and abs(contrast.mean) > slowdown / 2 else None
