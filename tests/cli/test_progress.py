"""Progress is shown for each fit."""

from pathlib import Path

import pytest
from timed_runs import timed_run

from harness.cli.progress import Bars
from harness.contracts.engine import Engine
from harness.execution.records import record_of
from harness.planning.budget import Budget
from harness.planning.plan import Request, build_plan
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
