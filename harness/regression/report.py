"""Shows findings: as a table, as Markdown for a comment, as JUnit XML, and as a picture of intervals."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from xml.etree import ElementTree

from harness.errors import StoreError
from harness.leaderboard.markdown import escaped as markdown_text
from harness.leaderboard.text import printable
from harness.regression.findings import Finding, Verdict, kinds, outcome, verdicts

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Group

_styles: dict[Verdict, str] = {
    "worse": "bold red",
    "newly failing": "bold red",
    "missing": "bold red",
    "inconclusive": "yellow",
    "better": "green",
    "same": "",
}
_colours: dict[Verdict, str] = {"worse": "#c0392b", "inconclusive": "#b8860b", "better": "#2e8b57", "same": "0.35"}
_reference = re.compile(r"[@#](?=\w)|\bGH-(?=\d)", re.IGNORECASE)
_places = {verdict: number for number, verdict in enumerate(verdicts)}


def ordered(findings: Sequence[Finding]) -> list[Finding]:
    """Return findings with the worst verdicts first."""
    return sorted(findings, key=lambda each: (_places[each.verdict], kinds.index(each.kind)))


def summary(findings: Sequence[Finding]) -> str:
    """Return the result in a line: ``regression: 1 worse, 3 same``."""
    found = outcome(findings)
    if found == "nothing":
        return "nothing was compared"
    counts = Counter(each.verdict for each in findings)
    listed = ", ".join(f"{counts[verdict]} {verdict}" for verdict in verdicts if counts[verdict])
    return f"{'no regression' if found == 'passed' else found}: {listed}"


def table(findings: Sequence[Finding], notes: Sequence[str]) -> Group:
    """Return findings as a table for a terminal."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("verdict", "what", "base", "head", "change", "95% interval", "note"):
        is_text = name in ("what", "note")
        justify: Literal["left", "right"] = "left" if is_text or name == "verdict" else "right"
        grid.add_column(name, justify=justify, overflow="fold", no_wrap=not is_text, min_width=24 if is_text else None)
    for each in ordered(findings):
        cells = (each.verdict, each.name, *_numbers(each), each.reason or "")
        grid.add_row(*(Text(cell) for cell in cells), style=_styles[each.verdict])
    lines = [Text(note, style="dim") for note in notes]
    return Group(grid, *lines, Text(summary(findings), style="bold"))


def plain(findings: Sequence[Finding], notes: Sequence[str]) -> str:
    """Return the table as text without colours."""
    return without_colours(table(findings, notes))


def without_colours(rendered: Group) -> str:
    """Return what rich would show, as text."""
    from rich.console import Console

    console = Console(file=StringIO(), width=160, highlight=False)
    with console.capture() as captured:
        console.print(rendered)
    return captured.get()


def markdown(findings: Sequence[Finding], notes: Sequence[str], title: str) -> str:
    """Return findings as Markdown, short enough for a comment: what is the same is folded."""
    lines = [f"### {escaped(printable(title))}", "", f"**{_capital(summary(findings))}**", ""]
    shown = [each for each in ordered(findings) if each.verdict != "same"]
    same = [each for each in findings if each.verdict == "same"]
    if shown:
        lines += [*_markdown_table(shown), ""]
    if same:
        lines += [
            "<details><summary>" + f"{len(same)} the same</summary>",
            "",
            *_markdown_table(same),
            "",
            "</details>",
            "",
        ]
    lines += [f"- {escaped(note)}" for note in notes]
    return "\n".join(lines).rstrip() + "\n"


def _markdown_table(findings: Sequence[Finding]) -> list[str]:
    lines = ["| | what | base | head | change | 95% interval | note |", "|---|---|---:|---:|---:|---:|---|"]
    for each in findings:
        cells = (each.verdict, each.name, *_numbers(each), each.reason or "")
        lines.append("| " + " | ".join(map(escaped, cells)) + " |")
    return lines


def escaped(text: str) -> str:
    """Return text so that Markdown shows it as it is, also in a cell of a table, and GitHub makes no link of it.

    GitHub links ``@name``, ``#12`` and ``GH-12``, and notifies who is named, unless an invisible space divides them.
    """
    return _reference.sub(r"\g<0>&#8203;", markdown_text(text).replace("\n", " "))


def junit(findings: Sequence[Finding], title: str, *, fails_if_inconclusive: bool) -> str:
    """Return findings as JUnit XML: a regression is a failure, and so is that nothing was compared."""
    suite = ElementTree.Element("testsuite", name=printable(title))
    failures = skipped = 0
    if outcome(findings) == "nothing":
        failures += 1
        case = ElementTree.SubElement(suite, "testcase", classname="comparison", name="something is compared")
        ElementTree.SubElement(case, "failure", type="nothing", message=summary(findings))
    for each in ordered(findings):
        case = ElementTree.SubElement(suite, "testcase", classname=each.kind, name=each.name)
        change = " ".join(filter(None, [_change(each), each.reason and f"({each.reason})"]))
        if each.is_regression or (each.verdict == "inconclusive" and fails_if_inconclusive):
            failures += 1
            ElementTree.SubElement(case, "failure", type=each.verdict, message=f"{each.verdict} {change}".strip())
        elif each.verdict == "inconclusive":
            skipped += 1
            ElementTree.SubElement(case, "skipped", message=f"inconclusive {change}".strip())
        else:
            ElementTree.SubElement(case, "system-out").text = f"{each.verdict} {change}".strip()
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(failures))
    suite.set("skipped", str(skipped))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def picture(findings: Sequence[Finding], title: str) -> Figure:
    """Draw the changes with their intervals: ratios of speeds and counts, and differences in units of the tolerance."""
    from matplotlib.figure import Figure

    drawn = [each for each in ordered(findings) if _is_drawn(each)]
    by_kind = {kind: its for kind in kinds if (its := [each for each in drawn if each.kind == kind])}
    heights = [len(its) + 1.5 for its in by_kind.values()] or [1.0]
    figure = Figure(figsize=(9, 1.1 + 0.27 * sum(heights)), layout="constrained")
    figure.suptitle(f"{printable(title)}: {summary(findings)}", fontsize=10, parse_math=False)
    if not by_kind:
        return figure
    panels = figure.subplots(len(by_kind), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (kind, its) in zip(panels, by_kind.items(), strict=True):
        for y, each in enumerate(reversed(its)):
            middle, low, high, tolerance, is_lower_better = _drawn(each)
            colour = _colours.get(each.verdict, "0.35")
            axes.plot([low, high], [y, y], color=colour, linewidth=1.6, solid_capstyle="butt")
            axes.plot([middle], [y], "o", color=colour, markersize=4)
            edge = tolerance if is_lower_better else -tolerance
            axes.plot([edge, edge], [y - 0.35, y + 0.35], color="#c0392b", linewidth=1)
        names = [each.name for each in reversed(its)]
        axes.set_yticks(range(len(names)), names, fontsize=8, parse_math=False)
        axes.set_ylim(-0.7, len(names) - 0.3)
        axes.axvline(0, color="0.6", linewidth=0.8)
        widest = max(abs(end) for end in axes.get_xlim())
        axes.set_xlim(-widest, widest)
        axes.tick_params(axis="x", labelsize=8)
        axes.set_xlabel(_axis[kind], fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


_axis = {
    "quality": "difference, in multiples of what is accepted (red)",
    "speed": "change of the time, in %; red: what is accepted",
    "count": "change of the count, in %; red: what is accepted",
}


def write(text: str, path: Path) -> None:
    """Write a report to a file.

    Raises:
        StoreError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write the report {path}: {error.strerror}") from error


def _is_drawn(finding: Finding) -> bool:
    middle = finding.difference if finding.kind == "quality" else finding.ratio
    ends = (middle, finding.low, finding.high)
    return all(end is not None and math.isfinite(end) for end in ends)


def _drawn(finding: Finding) -> tuple[float, float, float, float, bool]:
    """Return the change, its interval, what is accepted, and whether lower is better, in the units of the axis."""
    assert finding.low is not None
    assert finding.high is not None
    tolerance = finding.tolerance or 0.0
    if finding.kind == "quality":
        assert finding.difference is not None
        unit = tolerance or max(abs(finding.difference), 1e-300)
        scaled = [end / unit for end in (finding.difference, finding.low, finding.high)]
        return scaled[0], scaled[1], scaled[2], float(bool(tolerance)), finding.direction == "lower"
    assert finding.ratio is not None
    percent = [100 * (end - 1) for end in (finding.ratio, finding.low, finding.high)]
    return percent[0], percent[1], percent[2], 100 * tolerance, True


def _numbers(finding: Finding) -> tuple[str, str, str, str]:
    """Return the base, the head, the change and its interval as text."""
    return _value(finding.base, finding), _value(finding.head, finding), _change(finding), _interval(finding)


def _value(value: float | None, finding: Finding) -> str:
    if value is None:
        return ""
    if finding.unit == "seconds":
        return _seconds(value)
    return f"{value:,.0f}" if finding.kind == "count" else f"{value:.5g}"


def _seconds(value: float) -> str:
    scale, unit = next(((s, u) for s, u in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")) if value >= s), (1e-9, "ns"))
    return f"{value / scale:.3g} {unit}"


def _change(finding: Finding) -> str:
    if finding.difference is not None:
        return f"{finding.difference:+.3g}"
    return "" if finding.ratio is None else percent(finding.ratio)


def _interval(finding: Finding) -> str:
    if finding.low is None or finding.high is None or (finding.low == finding.high and finding.kind == "count"):
        return ""
    if finding.difference is not None:
        return f"{finding.low:+.3g} to {finding.high:+.3g}"
    return f"{percent(finding.low)} to {percent(finding.high)}"


def percent(ratio: float) -> str:
    """Return the change that a ratio is, in percent, or a factor if it is large."""
    return f"{100 * (ratio - 1):+.1f}%" if ratio < 10 else f"×{ratio:.3g}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
