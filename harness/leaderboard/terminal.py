"""Boards as tables, for a terminal and for a picture.

A table that is too wide has its notes below it; if it is still too wide, each row becomes a block of lines. Numbers and
names are never cut: a word that is longer than a line is left to the terminal to break.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from io import StringIO
from itertools import zip_longest
from textwrap import wrap

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from harness.contracts.boards import Board
from harness.leaderboard.summary import Entry, Summary, summaries
from harness.leaderboard.text import captions, cells, columns, printable, title, unbroken

# Characters in a line of a head (0: as few as possible) and between columns, tried in turn.
_heads = ((18, 3), (18, 2), (0, 2))
_narrowest_note = 20
_best, _noted = "*", "†"

# In a notebook, rich would show what is only captured.
_Console = partial(Console, force_jupyter=False)


def render(boards: Sequence[Board]) -> str:
    """Write summaries and boards as tables as wide as the terminal, in colour where standard output is one."""
    on_terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size((110, 24)).columns
    console = _Console(file=StringIO(), force_terminal=on_terminal, width=width, highlight=False)
    with console.capture() as captured:
        for summary in summaries(boards):
            _print(console, _of_summary(summary, width))
        for board in boards:
            _print(console, _of_board(board, width))
    return captured.get()


def render_svg(boards: Sequence[Board]) -> str:
    """Write boards as one SVG picture that loads no other files."""
    width = 120
    console = _Console(file=StringIO(), record=True, width=width, force_terminal=True, highlight=False)
    for board in boards:
        _print(console, _of_board(board, width))
    names = printable(", ".join(dict.fromkeys(board.dataset for board in boards)))
    svg = console.export_svg(title=names, unique_id="board")
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)


def _print(console: Console, found: RenderableType) -> None:
    console.print(found, crop=False)
    console.print()


@dataclass(frozen=True)
class _Column:
    """A column of a table.

    Args:
        head: of the column.
        entries: of its rows.
        best: whether each entry is set off.
        least: the width down to which entries may be broken into lines between words; None for one line each.
    """

    head: str
    entries: Sequence[str]
    best: Sequence[bool]
    least: int | None = None

    @cached_property
    def width(self) -> int:
        return max(map(_cells_of, self.entries), default=0)

    def style(self, place: int) -> str:
        return _style_of_best if self.best[place] else ""


@dataclass(frozen=True)
class _Table:
    """A table that looks as one of rich with the box ``SIMPLE_HEAD``, which takes 20 times as long to lay out.

    Args:
        columns: of the table.
        heads: of the columns, with line ends.
        widths: of the columns.
        gap: characters between two columns, at least 2.
        styles: of the rows.
    """

    columns: Sequence[_Column]
    heads: Sequence[str]
    widths: Sequence[int]
    gap: int
    styles: Sequence[str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        """Yield the lines of the table."""
        inner = sum(self.widths) + self.gap * (len(self.widths) - 1)
        yield Segment(f"{' ' * (inner + 2)}\n")
        heads = [head.split("\n") for head in self.heads]
        height = max(map(len, heads))
        bold = ["bold"] * len(heads)
        for line in zip(*([""] * (height - len(head)) + head for head in heads), strict=True):
            yield from self._line(console, line, bold, "bold")
        yield Segment(f" {'─' * inner} \n")
        for place, style in enumerate(self.styles):
            styles = [column.style(place) or style for column in self.columns]
            for texts in self._row(console, place):
                yield from self._line(console, texts, styles, style)
        yield Segment(f"{' ' * (inner + 2)}\n")

    def _row(self, console: Console, place: int) -> Iterable[Sequence[str]]:
        """Return what the columns have in each line of a row."""
        lines = []
        for column, width in zip(self.columns, self.widths, strict=True):
            entry = column.entries[place]
            is_whole = column.least is None or _cells_of(entry) <= width
            lines.append([entry] if is_whole else [line.plain for line in Text(entry).wrap(console, width)])
        return zip_longest(*lines, fillvalue="")

    def _line(self, console: Console, texts: Sequence[str], styles: Sequence[str], style: str) -> Iterator[Segment]:
        """Yield a line with a text of each column, in a style of its own, and between them that of the row."""
        padded = []
        for text, column, width in zip(texts, self.columns, self.widths, strict=True):
            text = text.rstrip()
            spaces = " " * (width - _cells_of(text))
            padded.append(spaces + text if column.least is None else text + spaces)
        if not any(styles) and not console.record:  # a picture has a place for each segment
            yield Segment(f" {(' ' * self.gap).join(padded)} \n")
            return
        between = [Segment(" " * (self.gap - 2), _parsed(style)), Segment(" "), Segment(" ", _parsed(style))]
        yield Segment(" ")
        for place, (text, its_style) in enumerate(zip(padded, styles, strict=True)):
            yield from between * (place > 0)
            yield Segment(text, _parsed(its_style))
        yield Segment(" \n")


_style_of_best = "bold green"
_parsed = lru_cache(Style.parse)


def _cells_of(text: str) -> int:
    """Return how many characters wide a text is on a terminal."""
    return len(text) if text.isascii() else cell_len(text)


def _of_board(board: Board, width: int) -> Group:
    """Return a board with its title above and its captions below."""
    rows = cells(board)
    names_best = board.names_best
    styles = [
        _style_of_best if names_best and row.rank_low == 1 else "dim" if row.value is None else "" for row in board.rows
    ]
    every = [_column(head, [row[place] for row in rows]) for place, head in enumerate(columns(board))]
    notes = [printable(f"{row.name}: {row.reason}") for row in board.rows if row.reason]
    body: RenderableType
    if (table := _table(every, styles, width)) is not None:
        body, notes = table, []
    elif notes and (table := _table(every[:-1], styles, width)) is not None:
        body = table
    else:
        body, notes = _blocks([f"{rank}  {name}" for rank, name, *_ in rows], every[2:], styles, width), []
    below = [*(_lines(note, width) for note in notes), *(_lines(line, width, "dim") for line in captions(board))]
    return Group(_lines(title(board), width, "bold"), body, *below)


@dataclass(frozen=True)
class TableOfWords:
    """A table of words, as wide as its console; a block of lines for each row where there is no room.

    Args:
        heads: of the columns.
        rows: texts of the columns, of which the first one names the row.
        styles: of the rows.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    styles: Sequence[str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Yield the table or the blocks."""
        width = options.max_width
        rows = [[printable(text) for text in row] for row in self.rows]
        columns = [_words(head, [row[place] for row in rows]) for place, head in enumerate(self.heads)]
        table = _table(columns, self.styles, width, heads=_heads[-1:])
        yield table or _blocks(columns[0].entries, columns[1:], self.styles, width)


def _of_summary(summary: Summary, width: int) -> Group:
    """Return a summary, as several tables below each other if one would be too wide."""
    names = _column("model", summary.names)
    values = [_values(head, each) for head, each in zip(summary.heads, zip(*summary.entries, strict=True), strict=True)]
    best = [f"{_best}: may be the first of its board."] * any(each.is_best for row in summary.entries for each in row)
    body: list[RenderableType] = []
    left = values
    while left:
        tables = ((n, _part(names, left[:n], width)) for n in range(len(left), 0, -1))
        count, table = next(((n, table) for n, table in tables if table is not None), (0, None))
        if table is None:
            body = [_blocks(summary.names, values, [""] * len(summary.names), width)]
            break
        body.append(table)
        left = left[count:]
    below = (_lines(line, width, "dim") for line in [*best, *summary.captions])
    return Group(_lines(summary.title, width, "bold"), *body, *below)


def _values(head: str, entries: Sequence[Entry]) -> _Column:
    """Return a column of values, with marks that leave them aligned."""
    marks = [_best * each.is_best + _noted * each.has_note for each in entries]
    longest = max(map(len, marks))
    texts = [
        f"{each.text} {mark:<{longest}}" if longest else each.text for each, mark in zip(entries, marks, strict=True)
    ]
    return _Column(head, texts, [each.is_best for each in entries])


def _part(names: _Column, values: Sequence[_Column], width: int) -> _Table | None:
    """Return a table of some columns of a summary, with the rows that have a value there, or None if it is too wide."""
    places = [n for n in range(len(names.entries)) if any(each.entries[n].strip() for each in values)]
    part = [
        replace(each, entries=[each.entries[n] for n in places], best=[each.best[n] for n in places])
        for each in (names, *values)
    ]
    return _table(part, [""] * len(places), width, heads=_heads[: 2 if len(values) > 1 else None])


def _column(head: str, entries: Sequence[str]) -> _Column:
    if head not in ("model", "note"):
        return _Column(head, entries, [False] * len(entries))
    return _words(head, entries, _narrowest_note if head == "note" else 0)


def _words(head: str, entries: Sequence[str], narrowest: int = 0) -> _Column:
    longest = max(_cells_of(word) for text in (head, *entries) for word in text.split())
    return _Column(head, entries, [False] * len(entries), max(longest, narrowest))


def _table(
    columns: Sequence[_Column], styles: Sequence[str], width: int, heads: Sequence[tuple[int, int]] = _heads
) -> _Table | None:
    """Return a table with heads as wide and columns as far apart as there is room for, or None if it does not fit."""
    for most, gap in heads:
        texts = [_head(column, most) for column in columns]
        widths = _widths(columns, texts, width - gap * len(columns) + gap - 2)
        if widths is not None:
            break
    else:
        return None
    return _Table(columns, texts, widths, gap, styles)


def _widths(columns: Sequence[_Column], heads: Sequence[str], width: int) -> list[int] | None:
    """Return widths of columns that are ``width`` together at most, or None; those of words share what others leave.

    Of these, the narrowest gets more first.
    """
    wanted = [max(column.width, *map(cell_len, head.split("\n"))) for column, head in zip(columns, heads, strict=True)]
    widths = [wide if each.least is None else min(wide, each.least) for each, wide in zip(columns, wanted, strict=True)]
    if (left := width - sum(widths)) < 0:
        return None
    while left and (short := [place for place, wide in enumerate(wanted) if widths[place] < wide]):
        widths[min(short, key=widths.__getitem__)] += 1
        left -= 1
    return widths


def _head(column: _Column, most: int) -> str:
    """Break a head into lines of ``most`` characters, or of as few as its words and the column have."""
    parts = [
        part.replace(" ↑", "\xa0↑").replace(" ↓", "\xa0↓") for part in column.head.replace(" (", "\n(").splitlines()
    ]
    words = [len(word) for part in parts for word in part.split(" ")]
    lines = [line for part in parts for line in _wrapped(part, most or max(column.width, *words))]
    return "\n".join(lines).replace("\xa0", " ")


def _blocks(names: Sequence[str], columns: Sequence[_Column], styles: Sequence[str], width: int) -> Group:
    """Return a block of lines for each row: its name, then what each column says of it."""
    blocks = []
    for place, (name, style) in enumerate(zip(names, styles, strict=True)):
        block = _lines(name, width, style)
        for column in columns:
            entry = column.entries[place]
            if entry.strip():
                text = f"{column.head}: {entry}"
                block.append("\n").append(_lines(text, width, column.style(place), indent="  "))
        blocks.append(block)
    return Group(*blocks)


def _lines(text: str, width: int, style: str | Style = "", indent: str = "") -> Text:
    """Break a text between words, but not next to ±; a word that is longer than a line is left whole."""
    lines = _wrapped(unbroken(text), width, initial_indent=indent, subsequent_indent=2 * indent)
    return Text("\n".join(lines).replace("\xa0", " "), style, no_wrap=True, overflow="ignore")


_wrapped = partial(wrap, break_long_words=False, break_on_hyphens=False)
