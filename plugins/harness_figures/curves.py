"""Training curves."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from harness import Data, FigureContext, NotApplicable, TrainsByGradient, TrainsByObjectives, objectives_of
from harness_figures.legend import add_legend


class TrainingCurves:
    """Every objective on the training and the validation split over epochs, and the ELBO if the model has one.

    A dashed line shows an objective's known value at equilibrium.
    """

    needs = (TrainsByGradient | TrainsByObjectives,)

    def draw(self, model: Any, data: Data, context: FigureContext) -> Figure:
        """Draw one plot per curve, side by side.

        Raises:
            NotApplicable: training had fewer than two epochs.
        """
        curves = context.curves
        epochs = range(1, len(curves.seconds) + 1)
        if len(epochs) < 2:
            raise NotApplicable("a curve needs at least two epochs")
        landmarks = {each.name: each.landmark for each in objectives_of(model, context.config)}
        names = list(curves.validation)
        figure = Figure(figsize=(0.4 + 3.1 * len(names), 2.6), dpi=100, layout="constrained")
        for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
            axes.plot(epochs, curves.train[name], label="training")
            axes.plot(epochs, curves.validation[name], label="validation")
            if (landmark := landmarks.get(name)) is not None:
                label, value = landmark
                axes.axhline(value, color="grey", linestyle="--", linewidth=1, label=label)
            axes.set_title(name, fontsize=9, parse_math=False)
            axes.set_xlabel("epoch", fontsize=8)
            axes.tick_params(labelsize=8)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            add_legend(axes)
        return figure
