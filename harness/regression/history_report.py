"""Shows a history: one row per series with its changes, as a table, Markdown, JSON and a picture of all series."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Sequence
from statistics import median
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Literal

from harness.regression.changes import fewest
from harness.regression.report import escaped, percent, without_colours
from harness.regression.series import Change, Group, Point, Series
from harness.words import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.console import Group as Rendered

Judgement = Literal["worse", "better", ""]

_columns = ("what", "runs", "first", "latest", "change", "95% interval", "p", "between")
_to_the_right = _columns[1:-1]
_narrowest = {"what": 20, "between": 22}  # a date with a commit
_styles: dict[Judgement, str] = {"worse": "red", "better": "green", "": ""}
_colours: dict[Judgement, str] = {"worse": "#c0392b", "better": "#2e8b57", "": "0.35"}
_across = 3  # panels, at most
_title = 64  # characters in a line


def table(groups: Sequence[Group]) -> Rendered:
    """Return the series as tables for a terminal, one for each base."""
    from rich import box
    from rich.console import Group as Rendered
    from rich.table import Table
    from rich.text import Text

    parts: list[Table | Text] = []
    for group in groups:
        grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in _columns:
            justify: Literal["left", "right"] = "right" if name in _to_the_right else "left"
            narrowest = _narrowest.get(name)
            grid.add_column(name, justify=justify, overflow="fold", no_wrap=not narrowest, min_width=narrowest)
        for series in group.series:
            for cells, judgement in _rows(series, group):
                grid.add_row(*(Text(cell) for cell in cells), style=_styles[judgement])
        parts += [Text(_heading(group), style="bold"), grid, Text(_summary(group), style="bold")]
    return Rendered(*parts, *(Text(note, style="dim") for note in _notes(groups)))


def plain(groups: Sequence[Group]) -> str:
    """Return the tables as text without colours."""
    return without_colours(table(groups))


def markdown(groups: Sequence[Group]) -> str:
    """Return the series as Markdown, one table for each base."""
    lines = []
    for group in groups:
        lines += [
            f"### {escaped(_heading(group))}",
            "",
            f"**{_summary(group)}**",
            "",
            "| " + " | ".join(_columns) + " |",
        ]
        lines += ["|" + "|".join("---:" if name in _to_the_right else "---" for name in _columns) + "|"]
        for series in group.series:
            lines += ["| " + " | ".join(map(escaped, cells)) + " |" for cells, _ in _rows(series, group)]
        lines.append("")
    lines += [f"- {escaped(note)}" for note in _notes(groups)]
    return "\n".join(lines).rstrip() + "\n"


def as_json(groups: Sequence[Group]) -> str:
    """Return the series as a JSON list."""
    found = [
        {
            "name": series.finding.name,
            "kind": series.finding.kind,
            "unit": series.finding.unit,
            "direction": series.finding.direction,
            "base": {"name": group.newest.base.name, "commit": group.newest.base.commit},
            "conditions": group.newest.conditions,
            "runs": len(series.points),
            "first": _point_as_json(series.points[0]),
            "latest": _point_as_json(series.points[-1]),
            "changes": [_change_as_json(change, series) for change in reversed(series.changes)],
        }
        for group in groups
        for series in group.series
    ]
    return json.dumps(found, indent=1, ensure_ascii=False)


def _point_as_json(point: Point) -> dict[str, Any]:
    head = point.entry.head
    return {"date": point.entry.date, "commit": head.commit, "dirty": head.dirty, "value": point.value,
            "low": point.low, "high": point.high}  # fmt: skip


def _change_as_json(change: Change, series: Series) -> dict[str, Any]:
    ends = {"before": _point_as_json(change.before), "after": _point_as_json(change.after)}
    numbers = {"size": change.size, "low": change.low, "high": change.high, "p_value": change.p_value}
    return {**ends, **numbers, "judgement": _judgement(change, series) or None, "notes": _notes_of(change)}


def picture(groups: Sequence[Group]) -> Figure:
    """Draw a panel for each series that is compared with the newest base.

    A panel has the points with their intervals, the levels between changes, and the changes as vertical lines.
    """
    from matplotlib.figure import Figure

    chosen = [group for group in groups if group.newest.base == groups[0].newest.base]
    drawn = [(group, series) for group in chosen for series in group.series]
    across = min(_across, len(drawn)) or 1
    rows = math.ceil(len(drawn) / across) or 1
    figure = Figure(figsize=(max(7, 4.2 * across), 0.5 + 2.2 * rows), layout="constrained")
    figure.suptitle("\n".join(map(_heading, chosen)), fontsize=9, parse_math=False)
    panels = list(figure.subplots(rows, across, squeeze=False).flat)
    for axes, (group, series) in zip(panels, drawn, strict=False):
        conditions = [", ".join(_in_words(group.newest.conditions))] if len(chosen) > 1 else []
        _draw(axes, series, "\n".join([*wrap(series.finding.name, _title), *conditions]))
    for axes in panels[len(drawn) :]:
        axes.set_axis_off()
    return figure


def _draw(axes: Axes, series: Series, title: str) -> None:
    """Draw a series; runs have equal distances, since several may be of one date."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    is_count = series.finding.kind == "count"
    values = [_on_axis(point.value, series) for point in series.points]
    intervals = [
        (number, _on_axis(point.low, series), _on_axis(point.high, series))
        for number, point in enumerate(series.points)
        if not is_count and point.low is not None and point.high is not None
    ]
    if intervals:
        axes.vlines(*zip(*intervals, strict=True), color="0.8", linewidth=1.2)
        # A single night with a wide interval must not flatten all others.
        margin = 0.05 * (max(values) - min(values)) + median(high - low for _, low, high in intervals)
        axes.set_ylim(min(values) - (margin or 1), max(values) + (margin or 1))
    places = {id(point): number for number, point in enumerate(series.points)}
    bounds = [0, *(places[id(change.after)] for change in series.changes), len(values)]
    for start, end in itertools.pairwise(bounds):
        axes.hlines(sum(values[start:end]) / (end - start), start - 0.5, end - 0.5, color="0.2", linewidth=1.2)
    for change, place in zip(series.changes, bounds[1:], strict=False):
        axes.axvline(place - 0.5, color=_colours[_judgement(change, series)], linewidth=1, linestyle="--")
    axes.plot(values, ".", color="#4c72b0", markersize=4)
    axes.set_title(title, fontsize=7.5, parse_math=False)
    axes.set_ylabel(_axis(series), fontsize=7, parse_math=False)
    days = {_day(series.points[number]): number for number in (len(values) - 1, (len(values) - 1) // 2, 0)}
    axes.set_xticks(list(days.values()), list(days))
    axes.set_xlim(-0.9, max(len(values), 2) - 0.1)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=is_count))
    if is_count:
        axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    axes.tick_params(labelsize=6.5)
    axes.spines[["top", "right"]].set_visible(False)


def _axis(series: Series) -> str:
    if series.finding.kind == "count":
        return series.finding.unit or "count"
    return "change of the time, %" if series.finding.kind == "speed" else f"difference, {series.finding.unit or ''}"


def _on_axis(value: float, series: Series) -> float:
    return 100 * (value - 1) if series.finding.kind == "speed" else value


def _heading(group: Group) -> str:
    first, newest = group.entries[0], group.newest
    base = newest.base.name if newest.base.short == newest.base.name else f"{newest.base.name} ({newest.base.short})"
    runs = counted(len(group.entries), "run")
    days = first.date[:10] if first.date[:10] == newest.date[:10] else f"{first.date[:10]} to {newest.date[:10]}"
    return ", ".join([f"Compared with {base}: {runs}", days, *_in_words(newest.conditions)])


def _summary(group: Group) -> str:
    """Return how much changed in a line: ``3 changes: 2 worse, 1 better``."""
    judged = Counter(_judgement(change, series) for series in group.series for change in series.changes)
    listed = ", ".join(f"{judged[name]} {name}" for name in ("worse", "better") if judged[name])
    return f"{counted(judged.total(), 'change')}{listed and f': {listed}'}"


def _in_words(conditions: Any) -> list[str]:
    found = []
    for name, value in conditions.items():
        if name == "settings":
            found += [f"{owner}.{setting}={given}" for owner, its in value.items() for setting, given in its.items()]
        else:
            found.append(f"{value} {name}" if isinstance(value, int) else str(value))
    return found


def _notes(groups: Sequence[Group]) -> list[str]:
    notes = []
    noisy = [series for group in groups for series in group.series if series.finding.kind != "count"]
    if any(len(series.points) < 2 * fewest for series in noisy):
        notes.append(f"Changes of a speed or a metric are sought in {2 * fewest} runs or more.")
    commits: dict[str, set[str | None]] = {}
    for group in groups:
        commits.setdefault(group.newest.base.name, set()).add(group.newest.base.commit)
    for name, its in commits.items():
        if len(its) > 1:
            notes.append(
                f"{name} was {len(its)} different commits, and runs are only compared with those of the same base; "
                "compare with a tag or a baseline."
            )
    return notes


def _rows(series: Series, group: Group) -> list[tuple[tuple[str, ...], Judgement]]:
    """Return the cells of a series, with a row for each change, the newest first."""
    latest = _value(series.points[-1], series)
    if series.points[-1].entry is not group.newest:
        latest += f" until {_day(series.points[-1])}"
    what = (series.finding.name, f"{len(series.points):,}", _value(series.points[0], series), latest)
    changes = [(_cells(change, series), _judgement(change, series)) for change in reversed(series.changes)]
    if not changes:
        return [((*what, "", "", "", ""), "")]
    blank = ("",) * len(what)
    return [((*(blank if number else what), *cells), verdict) for number, (cells, verdict) in enumerate(changes)]


def _cells(change: Change, series: Series) -> tuple[str, str, str, str]:
    interval = f"{_size(change.low, series)} to {_size(change.high, series)}"
    size = _size(change.size, series)
    if series.finding.kind == "count" and change.before.value:
        size += f" ({percent(change.after.value / change.before.value)})"
    judgement = _judgement(change, series)
    between = f"{_where(change.before)} and {_where(change.after)}"
    return (
        f"{size} {judgement}".rstrip(),
        interval if change.low < change.high else "",
        "exact" if change.p_value is None else f"{change.p_value:.2g}",
        "; ".join([between, *_notes_of(change)]),
    )


def _notes_of(change: Change) -> list[str]:
    """Return what else is known about the cause of a change."""
    same = ["the commit is the same"] if change.is_of_one_commit else []
    return [*same, *change.environment]


def _judgement(change: Change, series: Series) -> Judgement:
    is_more = change.size > (1 if series.finding.kind == "speed" else 0)
    if series.finding.direction not in ("higher", "lower"):
        return ""
    return "better" if is_more == (series.finding.direction == "higher") else "worse"


def _value(point: Point, series: Series) -> str:
    if series.finding.kind == "count":
        return f"{point.value:,.0f}"
    return percent(point.value) if series.finding.kind == "speed" else f"{point.value + 0.0:+.3g}"


def _size(size: float, series: Series) -> str:
    if series.finding.kind == "count":
        return f"{size:+,.0f}"
    return percent(size) if series.finding.kind == "speed" else f"{size:+.3g}"


def _where(point: Point) -> str:
    return f"{_day(point)} {point.entry.head.short}"


def _day(point: Point) -> str:
    return point.entry.date[:10]
