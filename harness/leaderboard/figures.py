"""Draws the figures of boards, which plugins provide."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.contracts.boards import Board
from harness.contracts.checks import problem_of_board_figure
from harness.errors import NotApplicable, no_exit
from harness.execution.figures import png_of
from harness.registry import Registry


def draw_board_figures(boards: Sequence[Board], registry: Registry, warn: Callable[[str], None]) -> dict[str, bytes]:
    """Draw the figures that apply to the boards of a data set; return them as PNG, by name.

    A figure that cannot be drawn is shown as a warning and stops nothing else.
    """
    drawn = {}
    for provided in registry.all("board-figure"):
        name = provided.spec.name
        try:
            with no_exit():
                draw = provided.spec.resolve()
                problem = problem_of_board_figure(draw)
                if problem is not None:
                    raise TypeError(f"it does not keep its contract: {problem}")
                picture = draw(boards)
            if not hasattr(picture, "savefig"):
                raise TypeError(f"it returned {type(picture).__name__}; return a matplotlib Figure")
            drawn[name] = png_of(picture)
        except NotApplicable:
            continue
        except Exception as error:
            warn(f"the figure {name} of {boards[0].dataset} could not be drawn: {type(error).__name__}: {error}")
    return drawn
