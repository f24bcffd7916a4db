"""Progress is shown for each fit."""

from harness.cli.progress import Bars
from harness.contracts.engine import Engine
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
