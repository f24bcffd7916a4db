"""An epoch of the default VAE on full MNIST compared with the same network trained in other ways, in one process.

Run with ``pytest tests/benchmarks --benchmark-only -s``; each ratio is the other's time over the engine's. Flushing
denormal numbers and keeping freed memory, which only the engine sets, hold for all.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from other_loops import Epoch, batch, from_a_loader, pythae, resident

from harness import Data
from harness.contracts.engine import StepMode
from harness.data.transforms import Binarize
from harness.machine.peak_flops import matrix_product_peak
from harness.planning.budget import Budget
from harness.training.fit import trainer_of
from harness.training.profile import profile_steps
from harness.training.recipe import Recipe
from harness_vae.vae import VAE

pytestmark = pytest.mark.full_mnist


@pytest.fixture(params=["float32", "compiled", "bf16", "bf16-products"])
def engine(request: pytest.FixtureRequest, threads: int) -> Callable[[Data], Epoch]:
    """Return a function from a data set to an epoch of the engine."""

    def engine(data: Data) -> Epoch:
        compiled = request.param == "compiled"
        precision = "float32" if compiled else request.param
        trainer = trainer_of(Recipe(VAE, VAE.Config(), data, Budget(epochs=1, batch_size=batch), precision), seed=0)
        trainer.use("compiled" if compiled else "eager")
        return trainer.epoch

    return engine


def test_an_epoch_compared_with_a_loop_by_hand(in_turns, engine: Callable[[Data], Epoch], mnist: Data) -> None:
    assert in_turns("resident loop by hand / engine", engine(mnist), resident(mnist)) > 0


def test_an_epoch_compared_with_a_data_loader(
    in_turns, engine: Callable[[Data], Epoch], mnist: Data, data_dir: Path
) -> None:
    assert in_turns("loader and plain loop / engine", engine(mnist), from_a_loader(data_dir)) > 0


@pytest.mark.filterwarnings("ignore")
def test_an_epoch_compared_with_pythae(
    in_turns, engine: Callable[[Data], Epoch], grey_mnist: Data, tmp_path: Path
) -> None:
    """Both train on the same pixels, drawn once, since pythae's trainer does not draw any."""
    drawn = Binarize(Binarize.Config(binarization="static")).apply(grey_mnist)
    assert in_turns("pythae / engine", engine(drawn), pythae(drawn, tmp_path)) > 0


@pytest.mark.parametrize("step_mode", ["eager", "compiled"])
def test_the_share_of_the_peak_in_a_long_fit(benchmark, threads: int, step_mode: StepMode, mnist: Data) -> None:
    recipe = Recipe(VAE, VAE.Config(), mnist, Budget(epochs=1, batch_size=batch))
    trainer = trainer_of(recipe, seed=0)
    flops = profile_steps(trainer, 20, step_mode).flops
    trainer.epoch()
    peak = matrix_product_peak(torch.device("cpu")).rate
    benchmark.pedantic(trainer.epoch, rounds=3)
    share = flops * len(trainer.sizes) / benchmark.stats.stats.min / peak
    benchmark.extra_info["share of the peak"] = share
    print(f"\nshare of the float32 product peak of {peak / 1e9:.0f} GFLOP/s in an epoch: {share:.2f}")
    assert 0 < share < 1
