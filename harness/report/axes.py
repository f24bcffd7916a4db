"""Axes: ticks at round numbers, and where values are between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_many_times = 50  # the largest value over the smallest, from which an axis is logarithmic
_largest = 1e300  # so that distances are finite
_smallest_share = 1e-9  # of the values, that their differences must have for ticks to differ
_suffixes = {3: "k", 6: "M", 9: "G", 12: "T"}


@dataclass(frozen=True)
class Axis:
    """An axis from its first tick to its last.

    Args:
        ticks: at equal distances, at least two.
        is_logarithmic: whether equal distances are equal factors.
    """

    ticks: tuple[float, ...]
    is_logarithmic: bool = False

    def share(self, value: float) -> float:
        """Return where a value is: 0 at the first tick, 1 at the last; values beyond are moved to the nearest end."""
        low, high = self._scaled(self.ticks[0]), self._scaled(self.ticks[-1])
        inside = min(max(value, self.ticks[0]), self.ticks[-1])
        return (self._scaled(inside) - low) / (high - low)

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.is_logarithmic else value

    @property
    def labels(self) -> list[str]:
        """The ticks as text, in one unit unless the axis is logarithmic."""
        if self.is_logarithmic:
            return [_label(tick, _unit_for(tick), tick) for tick in self.ticks]
        unit = _unit_for(max(abs(self.ticks[0]), abs(self.ticks[-1])))
        return [_label(tick, unit, self.ticks[1] - self.ticks[0]) for tick in self.ticks]


def axis_for(values: Sequence[float], most: int = 4) -> Axis | None:
    """Return an axis that shows all values, with at most ``most`` + 1 ticks; None if there are no values.

    It is logarithmic if all values are positive and the largest is many times the smallest.
    """
    if not values:
        return None
    low, high = (min(max(end, -_largest), _largest) for end in (min(values), max(values)))
    if low >= 1 / _largest and high / low >= _many_times:
        return _logarithmic(low, high, most)
    size = max(abs(low), abs(high))
    if high - low <= _smallest_share * size:
        around = size / 10 or 1.0
        low, high = low - around, high + around
    return _linear(low, high, most)


def _linear(low: float, high: float, most: int) -> Axis:
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    # The smallest of these steps that needs at most ``most`` of them; 20 and 50 are for ends that are rounded outwards.
    for factor in (1, 2, 2.5, 5, 10, 20, 50):
        step = power * factor
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if 0 < last - first <= most:
            break
    return Axis(tuple(float(f"{number * step:.12g}") for number in range(first, last + 1)))


def _logarithmic(low: float, high: float, most: int) -> Axis:
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    step = math.ceil((last - first) / most)
    last = first + step * math.ceil((last - first) / step)
    return Axis(tuple(10.0**power for power in range(first, last + 1, step)), is_logarithmic=True)


def _unit_for(largest: float) -> tuple[float, str]:
    """Return a unit in which numbers up to ``largest`` are short, and how it is written."""
    if 1e-2 <= largest < 1e4 or largest == 0:
        return 1.0, ""
    power = 3 * math.floor(math.log10(largest) / 3 + 1e-9)
    return 10.0**power, _suffixes.get(power, f"e{power}".replace("-", "−"))


def _label(value: float, unit: tuple[float, str], precision: float) -> str:
    """Write a tick in few characters, with the digits that ``precision`` needs."""
    if value == 0:
        return "0"
    scaled = precision / unit[0]
    digits = max(0, -math.floor(math.log10(scaled) + 1e-9))
    if not math.isclose(scaled * 10**digits, round(scaled * 10**digits), rel_tol=1e-6):  # a step of 2.5
        digits += 1
    return f"{value / unit[0]:.{digits}f}".replace("-", "−") + unit[1]
