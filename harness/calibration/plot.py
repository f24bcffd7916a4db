"""Plots the bias of estimators over their effort."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.calibration.calibrate import CalibrationResult, normal_quantile

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def bias_plot(results: Sequence[CalibrationResult]) -> Figure:
    """Plot the bias of each estimator, in nats, over its effort, with a line per model and latent size."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(each.estimator for each in results))
    labels = list(dict.fromkeys(each.label for each in results))
    figure = Figure(figsize=(3 * len(names) + 2.5, 4), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False, sharey=True)[0], names, strict=True):
        shown = [each for each in results if each.estimator == name]
        for number, label in enumerate(labels):
            line = [each for each in shown if each.label == label]
            errors = [normal_quantile * (each.bias_stderr or 0) for each in line]
            efforts, biases = [each.value for each in line], [each.bias for each in line]
            axes.errorbar(efforts, biases, errors, marker="o", markersize=4, capsize=2, color=f"C{number}", label=label)
        axes.axhline(0, color="grey", linewidth=0.8)
        axes.set_xscale("log")
        axes.set_yscale("symlog", linthresh=0.01)
        proposal = f"from the {shown[0].proposal}" if shown[0].proposal else ""
        axes.set_title(f"{name}\n{proposal}", fontsize=8)
        axes.set_xlabel(shown[0].effort)
        axes.set_xticks(sorted({each.value for each in shown}), minor=False)
        axes.set_xticks([], minor=True)
        axes.xaxis.set_major_formatter("{x:,.0f}")
    figure.axes[0].set_ylabel("bias (nats)")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    return figure
