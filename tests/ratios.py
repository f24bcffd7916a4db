"""Decides from times that were taken in turns whether one call takes too many times as long as another.

The observation of a round is the ratio of the two times in it. The median over rounds is resistant to the few rounds
that other processes disturbed. Its confidence limits are order statistics. They hold for any distribution of the times,
since the number of rounds below the median is binomial.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

error_rate = 0.05
fewest_rounds = 5  # with fewer there is no limit with this error rate: all are above the median once in 2^4 times


@dataclass(frozen=True)
class Ratio:
    """How many times as long as the reference a call takes.

    Args:
        median: over rounds.
        low: lower limit of the median; it is above the true median with a probability of at most 5%.
        high: upper limit likewise.
        rounds: the number of ratios.
    """

    median: float
    low: float
    high: float
    rounds: int

    def exceeds(self, at_most: float) -> bool:
        """Return whether the ratio is shown to be above ``at_most``: its lower limit is."""
        return self.low > at_most

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.low:.3f} to {self.high:.3f}, {self.rounds} rounds)"


def ratio_of(ours: Sequence[float], reference: Sequence[float]) -> Ratio:
    """Return the ratio of times, given in seconds for each round.

    Raises:
        ValueError: there are fewer than ``fewest_rounds`` rounds, or not as many of both.
    """
    ratios = sorted(mine / its for mine, its in zip(ours, reference, strict=True))
    if len(ratios) < fewest_rounds:
        raise ValueError(f"{len(ratios)} rounds: at least {fewest_rounds} are needed")
    place = _place_of_limit(len(ratios))
    return Ratio(median(ratios), ratios[place], ratios[-1 - place], len(ratios))


def _place_of_limit(rounds: int) -> int:
    """Return the largest k for which at most k of so many rounds are below the median with a probability of 5%."""
    place, below = -1, 0.0
    while True:
        below += math.comb(rounds, place + 1) / 2**rounds
        if below > error_rate:
            return place
        place += 1
