"""Figures of boards: values against a setting that was swept, and distortion against rate."""

from __future__ import annotations

import math
import textwrap
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness import Board, NotApplicable, Row
from harness_figures.legend import add_legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_fewest_points = 3
_many_times = 10
_most_ticks = 30
_most_panels_in_a_row = 3
_longest_line = 38  # of a label beside a panel, in characters

Sweep = tuple[str, dict[str, list[tuple[float, Row]]]]
"""The name of the setting, and for each line its label and its points."""


def sweeps(boards: Sequence[Board]) -> Figure:
    """Draw each metric against the setting of a model that takes three or more numbers, one panel each.

    Points are means over seeds, with intervals of two standard errors, over examples and seeds together. Crosses are
    the seeds. The scale of the setting is logarithmic if its positive numbers span a factor of 10; zero is a factor of
    10 to the left of the smallest. Up to 30 of them are written on the axis.

    Raises:
        NotApplicable: no setting takes three numbers.
    """
    panels = [(board, model, sweep) for board in boards for model, sweep in _sweeps_of(board)]
    panels.sort(key=lambda panel: panel[1])
    if not panels:
        raise NotApplicable("no setting takes three numbers")
    figure, all_axes = _panels(len(panels))
    for axes, (board, model, (setting, lines)) in zip(all_axes, panels, strict=True):
        for label, points in lines.items():
            xs = [x for x, _ in points]
            drawn = axes.errorbar(
                xs,
                [_value(row) for _, row in points],
                yerr=[2 * (row.stderr_over_all or 0.0) for _, row in points],
                marker="o",
                markersize=4,
                linewidth=1.2,
                capsize=2,
                label=label,
            )
            seeds = [(x, value) for x, row in points for value in row.by_seed.values()]
            axes.plot(*zip(*seeds, strict=True), "x", markersize=4, color=drawn[0].get_color(), alpha=0.7)
        every_x = sorted({x for points in lines.values() for x, _ in points})
        smallest = min((x for x in every_x if x > 0), default=math.inf)
        if every_x[0] >= 0 and every_x[-1] / smallest >= _many_times:
            if every_x[0] > 0:
                axes.set_xscale("log")
            else:
                axes.set_xscale("symlog", linthresh=smallest)  # linear from 0 to it, in the width of a factor of 10
        if len(every_x) <= _most_ticks:
            axes.set_xticks(every_x, [f"{x:g}" for x in every_x])
            axes.minorticks_off()
        _label(axes, f"{model}.{setting}", _name(board))
        if len(lines) > 1:
            add_legend(axes)
    return figure


def rate_distortion(boards: Sequence[Board]) -> Figure:
    """Draw distortion against rate, with intervals of two standard errors, one line for the rows of each model.

    Raises:
        NotApplicable: fewer than three rows have both.
    """
    by_metric: dict[str, list[Board]] = defaultdict(list)
    for board in boards:
        by_metric[board.metric].append(board)
    pairs = [
        (rates, distortions, lines)
        for rates in by_metric["rate"]
        for distortions in by_metric["distortion"]
        if (lines := _pairs(rates, distortions))
    ]
    if not pairs:
        raise NotApplicable("fewer than three rows have a rate and a distortion")
    figure, all_axes = _panels(len(pairs))
    for axes, (rates, distortions, lines) in zip(all_axes, pairs, strict=True):
        for model, points in lines.items():
            drawn = axes.errorbar(
                [_value(rate) for rate, _ in points],
                [_value(distortion) for _, distortion in points],
                xerr=[2 * (rate.stderr_over_all or 0.0) for rate, _ in points],
                yerr=[2 * (distortion.stderr_over_all or 0.0) for _, distortion in points],
                marker="o",
                markersize=4,
                linewidth=1.2,
                label=model,
            )
            for rate, distortion in points:
                axes.annotate(
                    rate.label,
                    (_value(rate), _value(distortion)),
                    xytext=(5, 4),
                    textcoords="offset points",
                    fontsize=7,
                    color=drawn[0].get_color(),
                    parse_math=False,
                )
        _label(axes, _name(rates), _name(distortions))
        axes.margins(x=0.18)
        if len(lines) > 1:
            add_legend(axes)
    return figure


def _sweeps_of(board: Board) -> list[tuple[str, Sweep]]:
    """Return the sweeps on a board, by model."""
    by_model: dict[str, list[Row]] = defaultdict(list)
    for row in board.rows:
        if row.value is not None:
            by_model[row.model].append(row)
    found = ((model, _sweep_of(rows)) for model, rows in by_model.items())
    return [(model, sweep) for model, sweep in found if sweep is not None]


def _sweep_of(rows: Sequence[Row]) -> Sweep | None:
    """Return the rows of a model as lines over the setting with the most numbers; None if none has three."""
    numbers = {
        name: {value for row in rows if _is_number(value := row.settings.get(name))} for name in rows[0].settings
    }
    setting = max(numbers, key=lambda name: len(numbers[name]), default=None)
    if setting is None or len(numbers[setting]) < _fewest_points:
        return None
    differing = [
        name for name in rows[0].settings if name != setting and len({repr(row.settings.get(name)) for row in rows}) > 1
    ]
    budgets = len({repr(row.budget) for row in rows}) > 1
    lines: dict[str, list[tuple[float, Row]]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: float(row.settings.get(setting) or 0)):
        if _is_number(row.settings.get(setting)):
            lines[_label_of(row, differing, budgets)].append((float(row.settings[setting]), row))
    long = {label: points for label, points in sorted(lines.items()) if len(points) >= _fewest_points}
    return (setting, long) if long else None


def _label_of(row: Row, settings: Sequence[str], budgets: bool) -> str:
    parts = [f"{name}={row.settings.get(name)}" for name in settings]
    if budgets and row.budget is not None:
        parts += [", ".join(f"{amount} {name}" for name, amount in row.budget.items() if name in ("epochs", "steps"))]
    return ", ".join(parts)


def _pairs(rates: Board, distortions: Board) -> Mapping[str, list[tuple[Row, Row]]]:
    by_fit = {row.fit_key: row for row in distortions.rows if row.value is not None}
    lines: dict[str, list[tuple[Row, Row]]] = defaultdict(list)
    for row in rates.rows:
        if row.value is not None and row.fit_key in by_fit:
            lines[row.model].append((row, by_fit[row.fit_key]))
    for points in lines.values():
        points.sort(key=lambda pair: _value(pair[0]))
    return {} if sum(map(len, lines.values())) < _fewest_points else lines


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _value(row: Row) -> float:
    assert row.value is not None
    return row.value


def _name(board: Board) -> str:
    unit = f" ({board.unit})" if board.unit else ""
    return " ".join(filter(None, [board.metric, board.metric_label])) + unit


def _panels(n: int) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    columns = min(n, _most_panels_in_a_row)
    rows = math.ceil(n / columns)
    figure = Figure(figsize=(0.4 + 3.4 * columns, 2.8 * rows), dpi=100, layout="constrained")
    every = list(figure.subplots(rows, columns, squeeze=False).flat)
    for left_over in every[n:]:
        left_over.set_visible(False)
    return figure, every[:n]


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize=8, parse_math=False)
    axes.set_ylabel(textwrap.fill(y, _longest_line, break_on_hyphens=False), fontsize=8, parse_math=False)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
