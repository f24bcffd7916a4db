"""The legend of a panel."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def add_legend(axes: Axes) -> None:
    """Add a legend without a frame, in which the names are text, whatever is in them."""
    for text in axes.legend(fontsize=7, frameon=False).get_texts():
        text.set_parse_math(False)
