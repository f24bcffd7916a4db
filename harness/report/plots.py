"""The geometry of plots: intervals beside the rows of a board, quality against cost, distortion against rate, curves.

Charts are drawn on a canvas of ``width`` × ``height`` pixels, with room for axes on the left and at the bottom. The
templates write the SVG.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from harness.contracts.boards import Board, Row
from harness.report.axes import Axis, axis_for
from harness.report.labels import Labels, labels_of, short_names

width, height = 310, 225
interval_width = 240  # pixels, of the axis of a board
left, right, top, bottom = 46, 12, 10, 40
colours = 8  # of lines that can be told apart; more lines are grey
_points = 32  # of a line at most, after those are left out that do not show
_tolerance = 0.5  # pixels, by which a line may be off
_room = left - 4, 0, width, height - bottom  # for labels


@dataclass(frozen=True)
class Interval:
    """A value on the axis of its board: positions in pixels."""

    dot: int
    line: tuple[int, int] | None
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Intervals:
    """The values of a board with their comparison intervals, by the index of the row."""

    axis: Axis
    rows: dict[int, Interval]

    @property
    def ticks(self) -> list[tuple[int, str]]:
        """Position in pixels and label of each tick."""
        return [
            (_pixels(self.axis, tick), label) for tick, label in zip(self.axis.ticks, self.axis.labels, strict=True)
        ]


def intervals(board: Board) -> Intervals | None:
    """Return the values of a board with their comparison intervals on one axis; None if no row has a value."""
    rows = [row for row in board.rows if row.value is not None]
    axis = axis_of_values([(row.value or 0.0, row.comparison_margin) for row in rows], _of_seeds(rows))
    if axis is None:
        return None
    return Intervals(
        axis, {index: _interval(row, axis) for index, row in enumerate(board.rows) if row.value is not None}
    )


def _of_seeds(rows: Sequence[Row]) -> list[float]:
    return [value for row in rows for value in row.by_seed.values()]


def axis_of_values(values: Sequence[tuple[float, float | None]], others: Sequence[float] = ()) -> Axis | None:
    """Return an axis that shows values with their intervals; None if there are no values.

    Values that are never negative, such as shares and distances, have no part of the axis below 0: intervals end there.
    An interval down to 0 does not keep an axis from being logarithmic.

    Args:
        values: each with half the width of its interval, or None.
        others: single values without an interval.
    """
    known = [value for value, _ in values] + list(others)
    ends = [value + sign * (half or 0.0) for value, half in values for sign in (-1, 1)] + list(others)
    if known and min(known) >= 0:
        of_values = axis_for(known)
        is_logarithmic = of_values is not None and of_values.is_logarithmic
        ends = [end for end in ends if end > 0] if is_logarithmic else [max(0.0, end) for end in ends]
    return axis_for(ends)


def _interval(row: Row, axis: Axis) -> Interval:
    assert row.value is not None
    half = row.comparison_margin
    line = (_pixels(axis, row.value - half), _pixels(axis, row.value + half)) if half else None
    seeds = tuple(_pixels(axis, value) for value in row.by_seed.values()) if row.seeds > 1 else ()
    return Interval(_pixels(axis, row.value), line, seeds)


def _pixels(axis: Axis, value: float) -> int:
    return round(interval_width * axis.share(value))


@dataclass(frozen=True)
class Line:
    """A curve as the path of an SVG, with the number of its colour."""

    name: str
    path: str
    colour: int
    is_dashed: bool = False


@dataclass(frozen=True)
class Ticks:
    """Ticks of a chart: position in pixels, and label."""

    x: list[tuple[int, str]]
    y: list[tuple[int, str]]


@dataclass(frozen=True)
class TradeOff:
    """Quality against cost, with the Pareto front.

    Args:
        quality: the title of the axis.
        cost: the title of the axis.
        on_front: the names on the Pareto front, cheapest first.
        front: the path through them, or nothing.
        errors: a path with the comparison intervals of the quality.
        best: a path with the points on the front.
        others: a path with the other points.
        labels: of all points.
        ticks: of both axes.
    """

    quality: str
    cost: str
    on_front: tuple[str, ...]
    front: str
    errors: str
    best: str
    others: str
    labels: Labels
    ticks: Ticks


@dataclass(frozen=True)
class Costed:
    """A model with its quality and its cost; ``margin`` is half the width of its comparison interval, or None.

    A model whose quality has no rank, such as a value that cannot be right, is drawn but not on the front.
    """

    name: str
    quality: float
    margin: float | None
    cost: float
    is_ranked: bool = True


def pareto_front(models: Sequence[Costed], quality: str, cost: str) -> list[Costed]:
    """Return the models that no other one beats: none is at least as good in both and better in one, by the values.

    Args:
        models: in any order.
        quality: ``higher`` or ``lower``, whichever is better.
        cost: the same of the cost.

    Returns:
        The models in the order of cost, the cheapest first.
    """
    signs = (1 if quality == "higher" else -1), (1 if cost == "higher" else -1)
    best: list[Costed] = []
    for model in sorted(models, key=lambda each: (-signs[1] * each.cost, -signs[0] * each.quality)):
        better = not best or signs[0] * model.quality > signs[0] * best[-1].quality
        if better or (model.cost, model.quality) == (best[-1].cost, best[-1].quality):
            best.append(model)
    return best


def trade_off(models: Sequence[Costed], quality: tuple[str, str], cost: tuple[str, str]) -> TradeOff | None:
    """Return the chart of quality against cost; None if fewer than two models have both, or none of them has a rank.

    Args:
        models: that have both.
        quality: the title of the axis, and which values are better.
        cost: the same of the cost.
    """
    front = pareto_front([each for each in models if each.is_ranked], quality[1], cost[1])
    if len(models) < 2 or not front:
        return None
    models = [*front, *(model for model in models if not any(model is each for each in front))]
    x_axis = axis_for([each.cost for each in models])
    y_axis = axis_of_values([(each.quality, each.margin) for each in models])
    assert x_axis is not None
    assert y_axis is not None
    points = [(_x(x_axis.share(model.cost)), _y(y_axis.share(model.quality))) for model in models]
    corners, others = points[: len(front)], points[len(front) :]
    steps = "".join(f"H{round(x)}V{round(y)}" for x, y in corners[1:])
    errors = [
        f"M{round(x)} {round(_y(y_axis.share(model.quality - model.margin)))}"
        f"V{round(_y(y_axis.share(model.quality + model.margin)))}"
        for model, (x, _) in zip(models, points, strict=True)
        if model.margin
    ]
    return TradeOff(
        quality[0],
        cost[0],
        tuple(each.name for each in front),
        f"M{round(corners[0][0])} {round(corners[0][1])}{steps}" if steps else "",
        "".join(errors),
        _dots(corners),
        _dots(others),
        labels_of([model.name for model in models], points, _room),
        _ticks(x_axis, y_axis),
    )


def _dots(points: Iterable[tuple[float, float]]) -> str:
    """Return a path with a dot, a line of no length, at each point."""
    return "".join(f"M{round(x)} {round(y)}h0" for x, y in points)


@dataclass(frozen=True)
class RateDistortion:
    """Distortion against rate: a line for each model, with its settings in the order of the rate.

    Args:
        rate: the title of the axis.
        distortion: the title of the axis.
        lines: the paths of models, with their names.
        dots: a path with the points of each line.
        labels: of all points.
        ticks: of both axes.
    """

    rate: str
    distortion: str
    lines: tuple[Line, ...]
    dots: tuple[str, ...]
    labels: Labels
    ticks: Ticks


def rate_distortion(pairs: Sequence[tuple[Row, Row]], titles: tuple[str, str]) -> RateDistortion | None:
    """Return the chart of distortion against rate; None if there are fewer than two points.

    Args:
        pairs: the rows of a rate and of a distortion of the same fits, both with a value.
        titles: of the axes, of the rate and of the distortion.
    """
    if len(pairs) < 2:
        return None
    pairs = sorted(pairs, key=lambda pair: pair[0].value or 0.0)
    x_axis, y_axis = (axis_for([pair[which].value or 0.0 for pair in pairs]) for which in (0, 1))
    assert x_axis is not None
    assert y_axis is not None
    points = [(_x(x_axis.share(rate.value or 0.0)), _y(y_axis.share(value.value or 0.0))) for rate, value in pairs]
    by_model: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for (rate, _), point in zip(pairs, points, strict=True):
        by_model[rate.model].append(point)
    lines = [
        Line(model, "M" + "L".join(f"{round(x)} {round(y)}" for x, y in those), min(place, colours))
        for place, (model, those) in enumerate(by_model.items())
    ]
    names = short_names([rate for rate, _ in pairs])
    return RateDistortion(
        *titles,
        tuple(lines),
        tuple(map(_dots, by_model.values())),
        labels_of(names, points, _room),
        _ticks(x_axis, y_axis),
    )


@dataclass(frozen=True)
class Chart:
    """Curves of one loss against the seconds of training, in tenths of pixels."""

    title: str
    lines: tuple[Line, ...]
    ticks: Ticks


@dataclass(frozen=True)
class Curve:
    """A loss by epoch, and the seconds that each epoch took."""

    name: str
    seconds: Sequence[float]
    losses: Sequence[float | None]
    colour: int
    is_dashed: bool = False

    @property
    def points(self) -> list[tuple[float, float]]:
        """Seconds since the start and loss, without the epochs whose loss is not finite."""
        pairs = zip(accumulate(self.seconds), self.losses, strict=False)
        return [(seconds, loss) for seconds, loss in pairs if loss is not None and math.isfinite(loss)]


def chart(title: str, curves: Sequence[Curve]) -> Chart | None:
    """Return the chart of curves against seconds; None if no curve has two points. Curves of one name are one line."""
    drawn = [(curve, points) for curve in curves if len(points := curve.points) > 1]
    if not drawn:
        return None
    x_axis = axis_for([0.0, *(seconds for _, points in drawn for seconds, _ in points)])
    y_axis = axis_for([loss for _, points in drawn for _, loss in points])
    assert x_axis is not None
    assert y_axis is not None
    lines: dict[str, Line] = {}
    for curve, points in drawn:
        places = simplified([(_x(x_axis.share(x)), _y(y_axis.share(y))) for x, y in points])
        at = [(round(10 * x), round(10 * y)) for x, y in places]
        moves = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(at)]
        path = f"M{at[0][0]} {at[0][1]}l" + " ".join(f"{x} {y}" for x, y in moves).replace(" -", "-")
        before = lines[curve.name].path if curve.name in lines else ""
        lines[curve.name] = Line(curve.name, before + path, curve.colour, curve.is_dashed)
    return Chart(title, tuple(lines.values()), _ticks(x_axis, y_axis))


def simplified(line: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """Return a line with few of its points, by the algorithm of Douglas and Peucker (1973).

    It keeps the ends and whatever is further from the rest than half a pixel, or further if that is too many points.

    Args:
        line: the points, in pixels.
    """
    tolerance = _tolerance
    while len(kept := _without_straight_parts(line, tolerance)) > _points:
        tolerance *= 1.5
    return kept


def _without_straight_parts(line: Sequence[tuple[float, float]], tolerance: float) -> list[tuple[float, float]]:
    kept = {0, len(line) - 1}
    parts = [(0, len(line) - 1)]
    while parts:
        first, last = parts.pop()
        (x, y), (to_x, to_y) = line[first], line[last]
        length = math.hypot(to_x - x, to_y - y) or 1.0
        distances = (
            (abs((to_x - x) * (line[place][1] - y) - (to_y - y) * (line[place][0] - x)) / length, place)
            for place in range(first + 1, last)
        )
        furthest, place = max(distances, default=(0.0, 0))
        if furthest > tolerance:
            kept.add(place)
            parts += [(first, place), (place, last)]
    return [line[place] for place in sorted(kept)]


def _ticks(x_axis: Axis, y_axis: Axis) -> Ticks:
    return Ticks(
        [(round(_x(x_axis.share(tick))), label) for tick, label in zip(x_axis.ticks, x_axis.labels, strict=True)],
        [(round(_y(y_axis.share(tick))), label) for tick, label in zip(y_axis.ticks, y_axis.labels, strict=True)],
    )


def _x(share: float) -> float:
    return left + share * (width - left - right)


def _y(share: float) -> float:
    return height - bottom - share * (height - top - bottom)
