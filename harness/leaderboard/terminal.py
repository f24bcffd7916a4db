"""Boards as rich tables, for a terminal and for a picture."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence
from io import StringIO
from textwrap import wrap

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from harness.contracts.boards import Board
from harness.leaderboard.text import captions, cells, columns, printable, title


def render(boards: Sequence[Board]) -> str:
    """Write boards as tables as wide as the terminal, in colour where standard output is one."""
    on_terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size((110, 24)).columns
    console = Console(file=StringIO(), force_terminal=on_terminal, width=width, highlight=False)
    with console.capture() as captured:
        for board in boards:
            console.print(table(board))
            console.print()
    return captured.get()


def render_svg(boards: Sequence[Board]) -> str:
    """Write boards as one SVG picture that loads no other files."""
    console = Console(file=StringIO(), record=True, width=120, force_terminal=True, highlight=False)
    for board in boards:
        console.print(table(board))
        console.print()
    names = printable(", ".join(dict.fromkeys(board.dataset for board in boards)))
    svg = console.export_svg(title=names, unique_id="board")
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)


def table(board: Board) -> Group:
    """Return a board as a rich table with its title above and its captions below."""
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    least = {"model": max(len(name) for name in ("model", *(row.model for row in board.rows))), "note": 14}
    for name in columns(board):
        words = name in least
        grid.add_column(
            Text(_head(name)),
            justify="left" if words else "right",
            no_wrap=not words,
            overflow="fold",
            min_width=least.get(name),
        )
    for row in board.rows:
        style = "bold green" if row.rank_low == 1 else "dim" if row.value is None else ""
        grid.add_row(*(Text(entry) for entry in cells(board, row)), style=style)
    return Group(Text(title(board), style="bold"), grid, *(Text(line, style="dim") for line in captions(board)))


def _head(name: str) -> str:
    """Break a column head into lines, with the unit below, to leave room for notes."""
    return "\n".join(line for part in name.replace(" (", "\n(").splitlines() for line in wrap(part, 18))
