"""Plots the bias of estimators over their effort, and the truth table of metrics of samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.calibration.calibrate import CalibrationResult, normal_quantile
from harness.calibration.truth_table import TruthRow

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


def truth_plot(rows: Sequence[TruthRow]) -> Figure:
    """Plot the truth table: a row for each check and topic, a column for each metric, green where it passes."""
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure

    metrics = list(dict.fromkeys(each.metric for each in rows))
    places = list(dict.fromkeys((each.check, each.topic) for each in rows))
    outcomes = ["n/a", "fail", "pass"]
    values = [[0] * len(metrics) for _ in places]
    for each in rows:
        values[places.index((each.check, each.topic))][metrics.index(each.metric)] = outcomes.index(each.outcome)
    figure = Figure(figsize=(3.5 + 0.45 * len(metrics), 2 + 0.25 * len(places)), layout="constrained")
    axes = figure.subplots()
    axes.imshow(values, cmap=ListedColormap(["0.93", "#e8998d", "#8fc59a"]), vmin=0, vmax=2, aspect="auto")
    for y, line in enumerate(values):
        for x, value in enumerate(line):
            axes.text(x, y, "–✗✓"[value], ha="center", va="center", fontsize=8)
    axes.set_xticks(range(len(metrics)), metrics, rotation=90, fontsize=8)
    axes.set_yticks(range(len(places)), [f"{check}: {topic}" for check, topic in places], fontsize=8)
    axes.tick_params(length=0)
    return figure
