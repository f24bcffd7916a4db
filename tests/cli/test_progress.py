"""Progress is shown for each fit and measurement, with the time left and the best value so far."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from timed_runs import timed_run

from harness.cli.best_so_far import BestSoFar
from harness.cli.progress import Bars, Lines
from harness.cli.time_left import TimeLeft
from harness.contracts.engine import Engine
from harness.contracts.events import Record
from harness.execution.durations import Durations
from harness.execution.records import record_of
from harness.execution.run import Run
from harness.planning.budget import Budget
from harness.planning.plan import Cell, Request, build_plan
from harness.registry import Registry


def test_fits_that_differ_only_in_their_data_have_different_names() -> None:
    settings = {("binarized-mnist-10k", "binarization_seed"): ["0", "1"]}
    request = Request(("vae",), ("elbo",), ("binarized-mnist-10k",), 1, Budget(epochs=2, batch_size=128), settings)
    first, second = build_plan(request, Registry.load(), Engine(), "this one").cells
    with Bars(2) as bars:
        bars.fit_started([first.fit])
        bars.fit_started([second.fit])
        bars.epoch_ended([first.fit], 1, {"loss": 1.0}, 0.5)
        bars.fit_ended([first.fit], "ok", 1.0)
        bars.epoch_ended([second.fit], 1, {"loss": 1.0}, 0.5)
        bars.cell_progressed(first, 0.5)
        bars.cell_progressed(second, 0.5)
        names = [task.description for task in bars.progress.tasks]
    assert len(set(names)) == 4
    assert "vae on binarized-mnist-10k binarization_seed=1, seed 0" in names


@pytest.mark.parametrize("progresses", [False, True])
def test_a_measurement_has_a_bar_from_its_beginning_to_its_end(tmp_path: Path, progresses: bool) -> None:
    run = timed_run(tmp_path, metrics=("frechet-distance",))
    (cell,) = run.plan.cells
    with Bars(1) as bars:
        bars.cell_started(cell)
        of_cells, bar = bars.progress.tasks
        assert bar.description == "frechet-distance of vae on binarized-mnist-10k, seed 0"
        assert bar.total is None
        if progresses:
            bars.cell_progressed(cell, 0.5)
            assert bar.percentage == 50
        bars.cell_reported(cell, record_of(cell, run.specification, "n/a", reason="no samples"))
        assert bars.progress.tasks == [of_cells]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_lines_say_the_time_left_of_the_run_once_it_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = timed_run(tmp_path, seeds=3)
    clock = Clock()
    shown = Lines(3, time_left=TimeLeft(run, Durations(), 1, clock))
    for fit, cell in zip(run.plan.fits, run.plan.cells, strict=True):
        shown.fit_started([fit])
        for epoch in (1, 2):
            clock.now += 120
            shown.epoch_ended([fit], epoch, {"loss": 1.0}, epoch / 2)
        shown.fit_ended([fit], "ok", 240.0)
        shown.cell_started(cell)
        clock.now += 60
        shown.cell_reported(cell, valued(cell, run, 1.0, seconds=60.0))
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition("; ")[2] for line in lines if ": epoch" in line] == [
        *("", ""),
        *("about 8 minutes left", "about 6 minutes left"),
        *("about 3 minutes left", "about 1 minute left"),
    ]
    assert [line.partition("; ")[2] for line in lines if line.startswith("[")] == [
        *("about 10 minutes left", "about 5 minutes left"),
        "",
    ]


def valued(cell: Cell, run: Run, value: float | None, **fields: Any) -> Record:
    fields = {"unit": "nats", "direction": "higher", "measure": "probability mass", "stderr": 0.5} | fields
    return record_of(cell, run.specification, "ok" if value is not None else "error", value=value, **fields)


def in_turn(run: Run, *values: float | None, **fields: Any) -> list[str | None]:
    """Return the best so far after each cell of a run that gets one of these values."""
    best, shown = BestSoFar(run), []
    for cell, value in zip(run.plan.cells, values, strict=True):
        best.add(cell, valued(cell, run, value, **fields))
        shown.append(best.in_words)
    return shown


def test_the_best_so_far_is_that_of_the_mean_over_seeds(tmp_path: Path) -> None:
    run = timed_run(tmp_path, models=("vae", "iwae"), seeds=2)
    higher = in_turn(run, -108.0, -110.0, -104.0, -108.0)
    assert higher == [None, None, "iwae elbo −104.00", "iwae elbo −106.00"]
    lower = in_turn(run, 108.0, 110.0, 104.0, 115.0, direction="lower")
    assert lower == [None, None, "iwae elbo 104.00", "vae elbo 109.00"]


def test_what_cannot_be_ranked_is_never_the_best_so_far(tmp_path: Path) -> None:
    run = timed_run(tmp_path, models=("vae", "beta-vae", "iwae"), seeds=1)
    assert in_turn(run, -108.0, -109.0, -100.0) == [None, "vae elbo −108.00", "iwae elbo −100.00"]
    assert in_turn(run, -108.0, -109.0, None) == [None, "vae elbo −108.00", "vae elbo −108.00"]
    assert in_turn(run, None, -109.0, -110.0) == [None, None, "beta-vae elbo −109.00"]
    assert in_turn(run, None, -109.0, None) == [None, None, None]
    for fields in ({"direction": None}, {"biased_in_favour": True}, {"contradiction": "more than 1"}):
        assert in_turn(run, -108.0, -108.0, -100.0, **fields) == [None] * 3
    best, (of_vae, of_beta_vae, _) = BestSoFar(run), run.plan.cells
    best.add(of_vae, valued(of_vae, run, -108.0))
    best.add(of_beta_vae, valued(of_beta_vae, run, -900.0, measure="density"))
    assert best.in_words is None


def test_the_best_so_far_is_of_the_first_metric_and_of_stored_results_too(tmp_path: Path) -> None:
    def run() -> Run:
        return timed_run(tmp_path, models=("vae", "iwae"), metrics=("elbo", "kl"))

    first = run()
    best = BestSoFar(first)
    for cell in first.plan.cells:
        if cell.metric.name == "kl":
            best.add(cell, valued(cell, first, 20.0))
        else:
            first.store.append(valued(cell, first, -108.0))
    assert best.in_words is None
    assert BestSoFar(run()).in_words == "vae elbo −108.00"


def test_the_best_so_far_is_shown_as_a_line_and_below_the_bars(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = timed_run(tmp_path, models=("vae", "iwae"))
    shown, bars = Lines(2, best=BestSoFar(run)), Bars(2, best=BestSoFar(run))
    for cell, value in zip(run.plan.cells, (-108.0, -109.0), strict=True):
        shown.cell_reported(cell, valued(cell, run, value))
        bars.cell_reported(cell, valued(cell, run, value))
    assert capsys.readouterr().err.count("  best so far: vae elbo −108.00\n") == 1
    with bars.progress.console.capture() as captured:
        bars.progress.console.print(bars.progress.get_renderable())
    cells, best = captured.get().splitlines()
    assert "2 of 2" in cells
    assert best == "best so far: vae elbo −108.00"
