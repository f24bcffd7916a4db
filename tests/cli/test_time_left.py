"""The time that is left is estimated from measured times, and nothing is shown without a basis."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from timed_runs import stored_fit, stored_record, timed_run

from harness.cli.progress import Display, shortened
from harness.cli.time_left import TimeLeft, in_digits
from harness.contracts.events import Record
from harness.execution.durations import Durations
from harness.execution.records import record_of
from harness.execution.run import Run
from harness.planning.budget import Budget
from harness.planning.plan import Cell


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def followed(run: Run, jobs: int = 1) -> tuple[TimeLeft, Clock]:
    clock = Clock()
    return TimeLeft(run, Durations.of(run.store, run.specification.environment.machine), jobs, clock), clock


def measured(cell: Cell, run: Run, seconds: float | None) -> Record:
    return record_of(cell, run.specification, "ok" if seconds else "n/a", seconds=seconds)


def test_the_time_left_of_a_fit_is_that_of_its_epochs_so_far(tmp_path: Path) -> None:
    run = timed_run(tmp_path)
    time_left, clock = followed(run)
    (fit,) = run.plan.fits
    time_left.fit_started([fit])
    clock.now = 50  # the start is no part of the speed
    time_left.epoch_ended([fit], 1, 0.2)
    assert time_left.of(fit.key) is None
    clock.now = 60
    time_left.epoch_ended([fit], 2, 0.4)
    assert time_left.of(fit.key) == pytest.approx(30)
    clock.now = 65
    assert time_left.of(fit.key) == pytest.approx(25)
    time_left.epoch_ended([fit], 3, 0.8)
    assert time_left.of(fit.key) == pytest.approx(5)
    clock.now = 69.5
    assert time_left.of(fit.key) is None  # it should end soon, but may not


def test_a_fit_of_three_epochs_with_a_slow_start_never_has_a_wrong_time_left(tmp_path: Path) -> None:
    start, epoch = 15.0, 4.0
    earlier = timed_run(tmp_path, settings={("vae", "latent_dim"): [5]}, budget=Budget(epochs=3))
    stored_fit(earlier, seconds=16.0, steps=237, by_epoch=(4.0, 4.0, 4.0))
    stored_record(earlier, seconds=1.0)
    run = timed_run(tmp_path, budget=Budget(epochs=3))
    time_left, clock = followed(run)
    (fit,) = run.plan.fits
    assert time_left.of_run() == pytest.approx(17)
    time_left.fit_started([fit])
    ends = [start + epoch * number for number in (1, 2, 3)]
    shown = []
    for tenth in range(int(10 * ends[-1])):
        clock.now = tenth / 10
        if clock.now in ends:
            number = ends.index(clock.now) + 1
            time_left.epoch_ended([fit], number, number / 3)
        left, left_of_run = time_left.of(fit.key), time_left.of_run()
        if left_of_run is not None:
            assert left_of_run >= 1
        if clock.now >= ends[0] and left is not None:
            shown.append(left)
            assert left == pytest.approx(ends[-1] - clock.now)
        elif left is not None:
            assert left > 2
    assert len(shown) > 50


def test_a_short_part_that_overruns_does_not_hide_the_time_of_a_long_run(tmp_path: Path) -> None:
    run = timed_run(tmp_path, seeds=20)
    stored_fit(timed_run(tmp_path, settings={("vae", "latent_dim"): [5]}), seconds=30.0, steps=158)
    stored_record(timed_run(tmp_path, settings={("vae", "latent_dim"): [5]}), seconds=2.0)
    time_left, clock = followed(run)
    time_left.fit_started([run.plan.fits[0]])
    clock.now = 30
    time_left.fit_ended([run.plan.fits[0]], "ok", 30.0)
    time_left.cell_started(run.plan.cells[0])
    clock.now = 33
    assert time_left.of(run.plan.cells[0].key) is None
    assert time_left.of_run() == pytest.approx(19 * 32)
    clock.now = 300
    assert time_left.of_run() is None


def test_times_of_this_run_tell_the_start_from_the_epochs(tmp_path: Path) -> None:
    run = timed_run(tmp_path, seeds=2, budget=Budget(epochs=4))
    time_left, clock = followed(run)
    first, second = run.plan.fits
    time_left.fit_started([first])
    for number in (1, 2, 3, 4):
        clock.now = 20 + 5 * number
        time_left.epoch_ended([first], number, number / 4)
    time_left.fit_ended([first], "ok", 40.0)
    assert time_left.durations.of_fit(second) == pytest.approx(40)
    assert time_left.durations.of_fit(second, 0.25) == pytest.approx(15)


def test_the_epochs_before_an_interruption_took_no_time_now(tmp_path: Path) -> None:
    run = timed_run(tmp_path, seeds=2)
    time_left, clock = followed(run)
    fit, other = run.plan.fits
    time_left.fit_started([fit])
    clock.now = 10
    time_left.epoch_ended([fit], 8, 0.8)
    assert time_left.of(fit.key) is None
    clock.now = 20
    time_left.epoch_ended([fit], 9, 0.9)
    assert time_left.of(fit.key) == pytest.approx(10)
    time_left.fit_ended([fit], "ok", 30.0)
    assert time_left.durations.of_fit(other) is None


def test_seeds_that_are_trained_one_by_one_in_place_of_together_have_no_time_left(tmp_path: Path) -> None:
    run = timed_run(tmp_path, seeds=2, path="vectorized")
    time_left, clock = followed(run)
    time_left.fit_started(run.plan.fits)
    for clock.now, epoch, share in ((10, 1, 0.5), (20, 2, 1.0), (30, 1, 0.5)):
        time_left.epoch_ended(run.plan.fits, epoch, share)
    assert time_left.of(run.plan.fits[0].key) is None


def test_cells_that_take_no_time_are_no_basis_for_the_others(tmp_path: Path) -> None:
    run = timed_run(tmp_path, models=("pca", "vae"))
    time_left, clock = followed(run)
    clock.now = 0.01
    without_value, _ = run.plan.cells
    time_left.cell_reported(without_value, measured(without_value, run, None))
    assert time_left.of_run() is None


def test_the_time_left_of_a_run_is_learnt_from_its_first_fit_and_measurement(tmp_path: Path) -> None:
    run = timed_run(tmp_path, seeds=3)
    time_left, clock = followed(run)
    fits, cells = run.plan.fits, run.plan.cells
    time_left.fit_started([fits[0]])
    clock.now = 30
    time_left.epoch_ended([fits[0]], 1, 1.0)
    time_left.fit_ended([fits[0]], "ok", 30.0)
    assert time_left.of_run() is None  # nothing was measured
    clock.now = 32
    time_left.cell_reported(cells[0], measured(cells[0], run, 2.0))
    assert time_left.of_run() == pytest.approx(64)
    time_left.fit_started([fits[1]])
    clock.now = 42
    assert time_left.of_run() == pytest.approx(54)
    time_left.epoch_ended([fits[1]], 1, 0.5)
    assert time_left.of_run() == pytest.approx(15 + 2 + 32)
    clock.now = 80
    assert time_left.of_run() is None  # this fit takes longer than was expected


def test_stored_times_are_a_basis_from_the_start_and_processes_share_the_work(tmp_path: Path) -> None:
    run = timed_run(tmp_path, seeds=4)
    stored_fit(timed_run(tmp_path, settings={("vae", "latent_dim"): [5]}), seconds=30.0, steps=158)
    stored_record(timed_run(tmp_path, settings={("vae", "latent_dim"): [5]}), seconds=2.0)
    assert followed(run)[0].of_run() == pytest.approx(4 * 32)
    assert followed(run, jobs=2)[0].of_run() == pytest.approx(2 * 32)


def test_a_long_measurement_has_a_time_left_once_its_speed_is_known(tmp_path: Path) -> None:
    run = timed_run(tmp_path)
    time_left, clock = followed(run)
    (cell,) = run.plan.cells
    for clock.now, share in ((2, 0.1), (4, 0.3)):
        assert time_left.of(cell.key) is None
        time_left.cell_progressed(cell, share)
    assert time_left.of(cell.key) == pytest.approx(7)


def test_timings_are_the_last_part_of_the_time_left(tmp_path: Path) -> None:
    other = timed_run(tmp_path, metrics=("latency",), settings={("vae", "latent_dim"): [5]})
    stored_fit(other, seconds=30.0, steps=158)
    stored_record(other, seconds=10.0, n=5, counted="rounds")
    run = timed_run(tmp_path, metrics=("latency",))
    time_left, clock = followed(run)
    (fit,) = run.plan.fits
    assert time_left.of_run() == pytest.approx(30 + 10)
    time_left.fit_started([fit])
    clock.now = 30
    time_left.fit_ended([fit], "ok", 30.0)
    clock.now = 33
    assert time_left.of_run() == pytest.approx(7)
    clock.now = 39
    assert time_left.of_run() is None  # they should end soon, but may not


def lines_of(width: int, *tasks: tuple[str, float, str, float | None]) -> list[str]:
    """Return what is shown of tasks: name, share, details, and the seconds that are left."""
    console = Console(file=StringIO(), width=width, force_terminal=True, color_system=None)
    display = Display(console)
    for name, share, details, left in tasks:

        def time_left(left: float | None = left) -> float | None:
            return left

        display.add_task(name, total=1.0, completed=share, details=details, time_left=time_left)  # type: ignore[arg-type]
    with console.capture() as captured:
        console.print(display.make_tasks_table(display.tasks))
    return captured.get().splitlines()


name, losses = "vae latent_dim=2 on binarized-mnist-10k, seed 0", "epoch 12: negative ELBO 105.2"


@pytest.mark.parametrize("width", [40, 60, 80, 120, 160])
def test_names_are_shortened_before_bars_and_times(width: int) -> None:
    first, second = lines_of(width, ("cells", 0.2, "2 of 10", None), (name, 0.25, losses, 3725.0))
    assert max(len(first.rstrip()), len(second.rstrip())) <= width
    assert "━" in second
    assert "25%" in second
    assert ("0:00:00" in second) == (width >= 70)
    assert "1:02:05 left" in second
    assert "left" not in first
    assert (name in second) == (width >= 140)
    assert ("seed 0" in second) == (width >= 60)
    assert (losses in second) == (width >= 120)
    assert ("epoch 12" in second) == (width >= 60)
    assert "vae" in second


@settings(max_examples=50, deadline=None)
@given(st.integers(30, 200), st.text("abc -=", max_size=60), st.text("abc :", max_size=60))
def test_a_bar_is_never_longer_than_its_line(width: int, name: str, details: str) -> None:
    for line in lines_of(width, ("cells", 0.2, "2 of 10", None), (name, 0.25, details, 3725.0)):
        assert len(line.rstrip()) <= width
        assert "0% " in line or "25% " in line


def test_a_shortened_name_keeps_its_ends() -> None:
    assert shortened("vae on mnist, seed 0", 16) == "vae on …, seed 0"
    assert shortened("vae", 16) == "vae"


def test_no_time_left_is_not_written_as_zero() -> None:
    assert in_digits(None) == ""
    assert in_digits(61.4) == "0:01:01 left"
