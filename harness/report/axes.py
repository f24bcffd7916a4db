"""Axes: ticks at round numbers, and where values are between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_many_times = 50  # the largest value over the smallest, from which an axis is logarithmic
_suffixes = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


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
    low, high = min(values), max(values)
    if low > 0 and high / low >= _many_times:
        return _logarithmic(low, high, most)
    if low == high:
        around = abs(low) / 10 or 1.0
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
    """Return the unit in which a number of at least five digits is short."""
    if largest < 1e4:
        return 1.0, ""
    return next((unit, suffix) for unit, suffix in _suffixes if largest >= unit)


def _label(value: float, unit: tuple[float, str], precision: float) -> str:
    """Write a tick in few characters, with the digits that ``precision`` needs."""
    if value == 0:
        return "0"
    if precision < 1e-4:
        return f"{value:.3g}".replace("e-0", "e-").replace("-", "−")
    scaled = precision / unit[0]
    digits = max(0, -math.floor(math.log10(scaled) + 1e-9))
    if not math.isclose(scaled * 10**digits, round(scaled * 10**digits), rel_tol=1e-6):  # a step of 2.5
        digits += 1
    return f"{value / unit[0]:.{digits}f}".replace("-", "−") + unit[1]
