"""Samples of the fitted model, and of the model during training."""

from __future__ import annotations

from typing import ClassVar

import torch
from matplotlib.figure import Figure
from torch import Tensor

from harness import Data, FigureContext, NotApplicable, Samples
from harness_figures.canvas import draw_rows, require_drawable

_rows, _columns = 6, 10
_points = 1000


class SampleGrid:
    """A grid of samples; for vectors, scatter plots of the first two values of test examples and of samples."""

    needs: ClassVar = (Samples,)

    def draw(self, model: Samples, data: Data, context: FigureContext) -> Figure:
        """Draw a grid, or scatter plots.

        Raises:
            NotApplicable: examples are neither images nor point sets nor vectors of two values or more.
        """
        if len(data.info.shape) == 1:
            test = data.test.subset(_points).all(context.noise)
            return _scatter(test, model.sample(len(test), context.noise))
        require_drawable(data.info)
        samples = model.sample(_rows * _columns, context.noise)
        return draw_rows([("", row) for row in samples.split(_columns)], data)


class SamplesInTraining:
    """Samples after the first, the middle and the last epoch, from the same latent points."""

    needs: ClassVar = (Samples,)

    def draw(self, model: Samples, data: Data, context: FigureContext) -> Figure:
        """Draw a row for each of these epochs.

        Raises:
            NotApplicable: no samples were kept, as for a model fitted in closed form.
        """
        if not context.snapshots:
            raise NotApplicable("no samples were kept during training")
        return draw_rows([(f"epoch {epoch}", samples) for epoch, samples in context.snapshots.items()], data)


def _scatter(test: Tensor, samples: Tensor) -> Figure:
    if test.shape[1] < 2:
        raise NotApplicable("a scatter plot needs at least two values per example")
    figure = Figure(figsize=(6, 3), dpi=100, layout="constrained")
    both = torch.cat([test, samples])[:, :2].cpu()
    (left, bottom), (right, top) = both.amin(0).tolist(), both.amax(0).tolist()
    for axes, points, title in zip(figure.subplots(1, 2), (test, samples), ("test", "samples"), strict=True):
        axes.scatter(*points[:, :2].T.cpu().numpy(), s=4, linewidths=0, alpha=0.5)
        axes.set_title(title, fontsize=9)
        axes.set(xlim=(left, right), ylim=(bottom, top))
        axes.tick_params(labelsize=8)
    return figure
