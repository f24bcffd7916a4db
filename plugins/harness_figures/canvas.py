"""Draws rows of examples: images as tiles, point sets as points with their intensity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from harness import Data, DataInfo, Noise, NotApplicable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_dpi = 100
_gap = 0.06  # between tiles, relative to their width
_examples_for_range = 100  # test examples that set black and white for data without bounds

Row = tuple[str, Tensor]


def require_drawable(info: DataInfo) -> None:
    """Check that examples are images with one or three channels, or sets of points (x, y, intensity).

    Raises:
        NotApplicable: they are neither.
    """
    if info.support == "points":
        features, _ = info.as_points()
        if features != 3:
            raise NotApplicable(f"it draws points (x, y, intensity), and these have {features} features")
    elif not (len(info.shape) == 3 and info.shape[0] in (1, 3)):
        raise NotApplicable(f"examples of shape {info.shape} are neither images nor point sets")


def draw_rows(rows: Sequence[Row], data: Data, tile: float | None = None) -> Figure:
    """Draw rows of examples, each row with a label on its left.

    Args:
        rows: the label and the examples ``(n, *shape)`` of each row.
        data: the data set that the examples belong to, or resemble.
        tile: width of an example in inches; by default wider for points than for images.

    Raises:
        NotApplicable: examples are neither images nor point sets.
    """
    from matplotlib.figure import Figure

    require_drawable(data.info)
    of_points = data.info.support == "points"
    tile = tile or (0.9 if of_points else 0.56)
    tile_height = tile if of_points else tile * data.info.shape[1] / data.info.shape[2]
    longest_label = max(len(label) for label, _ in rows)
    margin = 0.075 * longest_label + 0.12 if longest_label else 0.04
    columns = max(len(examples) for _, examples in rows)
    width, height = margin + tile * columns + 0.04, tile_height * len(rows) + 0.08
    figure = Figure(figsize=(width, height), dpi=_dpi)
    size = (tile * columns / width, tile_height * len(rows) / height)
    axes = figure.add_axes((margin / width, 0.04 / height, *size))
    axes.set_yticks([i + 0.5 for i in range(len(rows))], [label for label, _ in rows], fontsize=9)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    examples = [each.cpu() for _, each in rows]
    if of_points:
        _draw_points(axes, examples)
    else:
        _draw_images(axes, examples, columns, _range_of(data))
    axes.set(xlim=(0, columns), ylim=(len(rows), 0))
    return figure


def _range_of(data: Data) -> tuple[float, float]:
    """Return the values drawn black and white: 0 and 1, or for real data the extremes of some test examples.

    Values outside this range are clipped, so all pictures of a data set have the same scale.
    """
    if data.info.support != "real":
        return 0.0, 1.0
    examples = data.test.subset(_examples_for_range).all(Noise(0, data.test.stored.device))
    return float(examples.min()), float(examples.max())


def _draw_images(axes: Any, rows: Sequence[Tensor], columns: int, values: tuple[float, float]) -> None:
    """Draw rows of ``(n, channels, height, width)``; the two ``values`` are black and white."""
    low, high = values
    _, height, width = rows[0].shape[1:]
    gap = max(1, round(_gap * width))
    canvas = np.ones((len(rows) * (height + gap), columns * (width + gap), 3), np.float32)
    for i, row in enumerate(rows):
        pictures = ((row - low) / max(high - low, 1e-6)).clamp(0, 1).permute(0, 2, 3, 1).numpy()
        for j, picture in enumerate(pictures):
            top, left = i * (height + gap), j * (width + gap)
            canvas[top : top + height, left : left + width] = picture
    axes.imshow(canvas, extent=(0, columns, len(rows), 0), interpolation="nearest", aspect="auto")


def _draw_points(axes: Any, rows: Sequence[Tensor]) -> None:
    """Draw rows of ``(n, 1, 3, points)``: x to the right, y down, intensity as brightness on black."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    cells = [(j, i) for i, row in enumerate(rows) for j in range(len(row))]
    tiles = [Rectangle((j + _gap / 2, i + _gap / 2), 1 - _gap, 1 - _gap) for j, i in cells]
    axes.add_collection(PatchCollection(tiles, facecolor="black"))
    for i, row in enumerate(rows):
        sets = row[:, 0].clamp(0, 1).numpy()  # (n, 3, points)
        across = np.arange(len(sets))[:, None] + 0.06 + 0.88 * sets[:, 0]
        down = i + 0.06 + 0.88 * sets[:, 1]
        axes.scatter(across, down, c=sets[:, 2], cmap="inferno", vmin=0, vmax=1, s=9, linewidths=0)
