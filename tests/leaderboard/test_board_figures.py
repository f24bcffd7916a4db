"""Figures of boards: what they draw of records whose values are known, and pages that show them."""

from __future__ import annotations

import math
from io import BytesIO, StringIO
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest

from harness import NotApplicable
from harness.contracts.events import Record
from harness.leaderboard.board import build_boards
from harness.leaderboard.files import write_leaderboards
from harness.registry import Registry
from harness.results.store import Store
from harness_figures.boards import rate_distortion, sweeps

counter = count()
plugin = """
import harness

def broken(boards):
    raise RuntimeError("no ink")

@harness.hookimpl
def harness_board_figures():
    return [harness.BoardFigureSpec("broken", broken, "for tests")]
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def record(value: float, metric: str = "elbo", *, seed: int = 0, key: str = "", **settings: Any) -> Record:
    """Return the record of a model with settings; fits with the same settings and seed share their key."""

    def described(name: str, settings: dict[str, Any]) -> dict[str, Any]:
        given = {"name": name, "distribution": "generative-harness", "version": "1", "plugin_version": "1"}
        return {**given, "settings": settings, "changed": list(settings)}

    return Record(
        cell_key=f"cell{next(counter):06}",
        fit_key=key or f"{sorted(settings.items())} {seed}",
        dataset=described("digits", {}),
        model=described("vae", settings),
        metric=described(metric, {}),
        seed=seed,
        budget={"epochs": 20, "batch_size": 128},
        engine={"device": "cpu", "threads": 1, "precision": "float32", "path": "single"},
        machine=None,
        split="test",
        evaluation_seed=0,
        status="ok",
        value=value,
        stderr=0.5,
        n=100,
        unit="nats",
        direction="higher",
        seconds=1.0,
        ended="2026-01-01T00:00:00+00:00",
    )


def bars(axes: Any) -> list[tuple[float, float, float]]:
    """Return the x, the lower and the upper end of each interval of the panel."""
    (lines,) = axes.containers[0].lines[2]
    return [(float(low[0]), float(low[1]), float(high[1])) for low, high in lines.get_segments()]


def test_a_sweep_shows_the_mean_of_each_value_with_two_standard_errors_over_examples_and_seeds(store: Store) -> None:
    values = {2: (-160.0, -162.0), 5: (-130.0, -132.0), 10: (-115.0, -115.0), 20: (-108.0, -109.0)}
    records = [
        record(value, seed=seed, latent_dim=size) for size, pair in values.items() for seed, value in enumerate(pair)
    ]
    (axes,) = sweeps(build_boards(records, store)).axes
    assert axes.get_xlabel() == "vae.latent_dim"
    assert axes.get_ylabel() == "elbo (nats)"
    assert axes.get_xscale() == "log"
    found = bars(axes)
    assert [x for x, _, _ in found] == [2, 5, 10, 20]
    for (_, low, high), pair in zip(found, values.values(), strict=True):
        spread = abs(pair[0] - pair[1]) / math.sqrt(2)  # the standard deviation of two
        half = 2 * math.hypot(0.5, spread / math.sqrt(2))
        assert low == pytest.approx(sum(pair) / 2 - half)
        assert high == pytest.approx(sum(pair) / 2 + half)


def test_numbers_on_the_axis_do_not_overlap_if_zero_is_among_them(store: Store) -> None:
    records = [record(-100.0 - size, size=size) for size in (0.0, 0.03, 0.1, 0.3, 1.0, 3.0)]
    figure = sweeps(build_boards(records, store))
    figure.savefig(BytesIO())
    (axes,) = figure.axes
    labels = [label.get_window_extent() for label in axes.get_xticklabels()]
    assert len(labels) == 6
    assert all(left.x1 < right.x0 for left, right in pairwise(labels))


def test_a_second_setting_gives_one_line_for_each_of_its_values(store: Store) -> None:
    records = [
        record(-100.0 - beta - (loss == "a"), beta=beta, loss=loss) for beta in (0.03, 0.1, 1.0) for loss in ("a", "b")
    ]  # the better loss has the first rows, but not the first colour, which would differ between panels
    (axes,) = sweeps(build_boards(records, store)).axes
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["loss=a", "loss=b"]


def test_names_are_text_and_long_ones_are_broken(store: Store) -> None:
    name = r"$\no math$ and a setting with=a-long-value"
    pairs = [
        record(-100.0 - each, metric, rate=each, kind=kind)
        for each in (1.0, 2.0, 3.0) for kind in (r"$\x$", "b") for metric in (name, "rate", "distortion")
    ]  # fmt: skip
    boards = build_boards(pairs, store)
    for figure in (sweeps(boards), rate_distortion(boards)):
        figure.savefig(StringIO(), format="svg")
    labels = [axes.get_ylabel() for axes in sweeps(boards).axes]
    assert r"$\no math$ and a setting" + "\nwith=a-long-value (nats)" in labels


@pytest.mark.parametrize("sizes", [(), (2,), (2, 5)])
def test_two_points_are_no_sweep(store: Store, sizes: tuple[int, ...]) -> None:
    with pytest.raises(NotApplicable):
        sweeps(build_boards([record(-100.0, latent_dim=size) for size in sizes], store))


def test_a_switch_and_a_word_are_no_numbers(store: Store) -> None:
    records = [record(-100.0, mode=mode, on=on) for mode in ("a", "b", "c") for on in (True, False)]
    with pytest.raises(NotApplicable):
        sweeps(build_boards(records, store))


def test_rate_and_distortion_are_paired_by_fit(store: Store) -> None:
    rates = {0.1: 59.0, 1.0: 26.0, 10.0: 3.0}
    records = [record(rate, "rate", beta=beta) for beta, rate in rates.items()]
    records += [record(100 - rate, "distortion", beta=beta) for beta, rate in reversed(rates.items())]
    (axes,) = rate_distortion(build_boards(records, store)).axes
    line = axes.containers[0].lines[0]
    assert [*line.get_xdata()] == [3.0, 26.0, 59.0]
    assert [*line.get_ydata()] == [97.0, 74.0, 41.0]
    with pytest.raises(NotApplicable):
        rate_distortion(build_boards(records[:5], store))


def test_the_page_shows_the_figures_of_boards_and_one_that_fails_is_a_warning(store: Store, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(plugin)
    boards = build_boards([record(-float(size), latent_dim=size) for size in (2, 5, 10)], store)
    warnings: list[str] = []
    registry = Registry.load([tmp_path / "broken.py"])
    written = write_leaderboards(boards, tmp_path / "boards", store, registry, warnings.append)
    assert "![sweeps](digits.figures/sweeps.png)" in written[0].read_text()
    assert (tmp_path / "boards" / "digits.figures" / "sweeps.png").read_bytes().startswith(b"\x89PNG")
    assert warnings == ["the figure broken of digits could not be drawn: RuntimeError: no ink"]
