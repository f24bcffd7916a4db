"""Times of fits and measurements are estimated from those on this machine that are stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from timed_runs import here, stored_fit, stored_record, timed_run

from harness.execution.durations import Durations, Forecast, in_words, makespan
from harness.execution.run import Run
from harness.planning.budget import Budget
from harness.planning.identity import hash_of


def durations(run: Run, machine: str = here.machine) -> Durations:
    return Durations.of(run.store, machine)


def seconds_of_fit(run: Run, machine: str = here.machine) -> float | None:
    return durations(run, machine).of_fit(run.plan.fits[0])


def test_the_time_of_a_fit_grows_with_its_budget(tmp_path: Path) -> None:
    stored_fit(timed_run(tmp_path, budget=Budget(epochs=2)), seconds=10.0, steps=158)
    assert seconds_of_fit(timed_run(tmp_path, budget=Budget(epochs=20))) == pytest.approx(100)
    assert seconds_of_fit(timed_run(tmp_path, budget=Budget(steps=79))) == pytest.approx(5)
    assert seconds_of_fit(timed_run(tmp_path, budget=Budget(seconds=30))) == 30
    assert seconds_of_fit(timed_run(tmp_path, budget=Budget(epochs=20, batch_size=32))) is None


def test_the_start_of_a_fit_does_not_grow_with_its_budget(tmp_path: Path) -> None:
    stored_fit(timed_run(tmp_path, budget=Budget(epochs=2)), seconds=18.0, steps=158, by_epoch=(4.0, 4.0))
    assert seconds_of_fit(timed_run(tmp_path, budget=Budget(epochs=20))) == pytest.approx(10 + 80)
    assert seconds_of_fit(timed_run(tmp_path, budget=Budget(seconds=30))) == pytest.approx(10 + 30)
    longer = timed_run(tmp_path, budget=Budget(steps=79))
    assert seconds_of_fit(longer) == pytest.approx(10 + 4)
    assert durations(longer).of_fit(longer.plan.fits[0], 0.5) == pytest.approx(2)


def test_steps_are_counted_in_epochs_if_an_epoch_of_the_data_is_known(tmp_path: Path) -> None:
    stored_fit(timed_run(tmp_path, budget=Budget(steps=100)), seconds=10.0, steps=100)
    longer = timed_run(tmp_path, budget=Budget(epochs=3))
    assert seconds_of_fit(longer) is None
    stored_fit(timed_run(tmp_path, models=("gan",), budget=Budget(epochs=1)), seconds=1.0, steps=79)
    assert seconds_of_fit(longer) == pytest.approx(3 * 7.9)


def test_a_fit_takes_as_long_as_one_with_the_same_settings_or_else_of_the_model(tmp_path: Path) -> None:
    sizes: dict[tuple[str, str], list[Any]] = {("vae", "latent_dim"): [2]}
    small = timed_run(tmp_path, settings=sizes)
    stored_fit(small, seconds=10.0, steps=158)
    usual = timed_run(tmp_path)
    assert seconds_of_fit(usual) == pytest.approx(10)
    stored_fit(usual, seconds=50.0, steps=158)
    assert seconds_of_fit(usual) == pytest.approx(50)
    assert seconds_of_fit(small) == pytest.approx(10)
    assert seconds_of_fit(timed_run(tmp_path, models=("iwae",))) is None


def test_times_of_another_machine_do_not_count(tmp_path: Path) -> None:
    run = timed_run(tmp_path)
    stored_fit(run, seconds=10.0, steps=158)
    stored_record(run, seconds=3.0)
    assert seconds_of_fit(run, "another, 8 cores") is None
    assert durations(run, "another, 8 cores").of_cell(run.plan.cells[0], 5) is None
    assert durations(run).of_cell(run.plan.cells[0], 5) == 3


def test_the_time_of_a_fit_that_was_resumed_is_that_of_all_its_epochs(tmp_path: Path) -> None:
    run = timed_run(tmp_path)
    stored_fit(run, seconds=2.0, steps=158, by_epoch=(5.0, 5.0))
    assert seconds_of_fit(run) == pytest.approx(10)


def test_seeds_that_were_trained_together_share_their_time(tmp_path: Path) -> None:
    run = timed_run(tmp_path, seeds=3, path="vectorized")
    stored_fit(run, seconds=31.0, steps=158, by_epoch=(15.0, 15.0), group=(0, 1, 2))
    assert seconds_of_fit(run) == pytest.approx(10)


def test_a_measurement_takes_as_long_as_those_of_the_model_or_else_of_any_model(tmp_path: Path) -> None:
    run = timed_run(tmp_path, models=("vae", "iwae"))
    stored_record(run, seconds=3.0)  # of vae
    of_vae, of_iwae = run.plan.cells
    assert [durations(run).of_cell(cell, 5) for cell in (of_vae, of_iwae)] == [3, 3]
    stored_record(timed_run(tmp_path, models=("iwae",)), seconds=7.0)
    assert [durations(run).of_cell(cell, 5) for cell in (of_vae, of_iwae)] == [3, 7]
    small = timed_run(tmp_path, settings={("vae", "latent_dim"): [2]})
    assert durations(run).of_cell(small.plan.cells[0], 5) == 3
    other = timed_run(tmp_path, settings={("elbo", "samples"): [50]})
    assert durations(other).of_cell(other.plan.cells[0], 5) is None


def test_a_measurement_with_work_in_it_that_is_done_once_is_no_estimate_of_others(tmp_path: Path) -> None:
    run = timed_run(tmp_path, models=("vae", "iwae"))
    stored_record(run, seconds=200.0)  # of vae, with the training of a classifier
    of_vae, of_iwae = run.plan.cells
    stored_record(timed_run(tmp_path, models=("iwae",)), seconds=3.0)
    assert [durations(run).of_cell(cell, 5) for cell in (of_vae, of_iwae)] == [None, 3]
    stored_record(run, seconds=4.0)
    assert [durations(run).of_cell(cell, 5) for cell in (of_vae, of_iwae)] == [4, 3]


def test_a_timing_takes_as_long_as_its_rounds(tmp_path: Path) -> None:
    run = timed_run(tmp_path, metrics=("latency",))
    stored_record(run, seconds=10.0, n=5, counted="rounds")
    assert durations(run).of_cell(run.plan.cells[0], 8) == pytest.approx(16)


def test_a_forecast_says_what_it_leaves_out(tmp_path: Path) -> None:
    run = timed_run(tmp_path, models=("vae", "iwae"), metrics=("elbo", "kl"), seeds=2)

    def forecast(jobs: int = 1) -> Forecast:
        return Forecast.of(run, durations(run), jobs)

    assert forecast().in_words == "how long it takes is not known: nothing like it was timed here before"
    stored_fit(timed_run(tmp_path, models=("vae",), budget=Budget(epochs=4)), seconds=598.0, steps=316)
    stored_record(timed_run(tmp_path, models=("vae",), budget=Budget(epochs=4)), seconds=1.0)
    assert forecast().in_words == "it takes about 10 minutes for 2 of 8 cells; the other 6 were never timed here"
    assert forecast(jobs=2).seconds == pytest.approx(300)


def test_parts_are_begun_in_turn_by_processes_that_are_free() -> None:
    assert makespan([], 2) == 0
    assert makespan([3, 1], 10**25) == 3
    assert makespan([3, 1, 1, 5], 2) == 7
    assert makespan([3, 1, 1, 5], 1) == 10


@pytest.mark.parametrize(("seconds", "words"), [
    (3, "less than a minute"), (61, "about 1 minute"), (700, "about 12 minutes"), (9000, "about 2.5 hours"),
])  # fmt: skip
def test_times_are_written_roughly(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_an_environment_of_another_version_is_not_this_machine(tmp_path: Path) -> None:
    run = timed_run(tmp_path)
    stored_fit(run, seconds=10.0, steps=158)
    other = {"python": "4"}
    run.store.write_environment(hash_of(other), other)
    described = run.store.fit(run.plan.fits[0].key)
    run.store.write_fit(run.plan.fits[0].key, {**described, "environment": hash_of(other)}, None)
    assert seconds_of_fit(run) is None
