"""Whole runs: seeds side by side, the cost of a pass of evaluation, and what the harness adds to a cell."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from harness import Context, Data, DataSource, Noise
from harness.cli.progress import Lines
from harness.contracts.engine import Engine
from harness.execution.figures import draw_figures
from harness.execution.obtain_model import stored_model
from harness.execution.run import Run
from harness.machine.cpu_load import cores
from harness.machine.fast_linear import fast_linear
from harness.machine.peak_flops import matrix_product_peak
from harness.planning.budget import Budget
from harness.planning.plan import Request, build_plan
from harness.registry import Registry
from harness.results.environment import describe_environment
from harness.results.store import Store
from harness.training.fit import trainer_of
from harness.training.recipe import Recipe
from harness_metrics.likelihood.elbo import ELBO
from harness_vae.vae import VAE


def run(folder: Path, *words: str) -> None:
    chosen = ["--models", "vae", "--metric", "elbo", "--fresh", "--runs", str(folder / "runs")]
    command = [sys.executable, "-m", "harness", "run", *chosen, "--leaderboards", str(folder / "boards"), *words]
    subprocess.run(command, check=True, capture_output=True)


def test_seeds_beside_runs_one_after_another(in_turns, tmp_path: Path) -> None:
    def together() -> None:
        run(tmp_path, "--seeds", "5")

    def one_after_another() -> None:
        run(tmp_path, "--seeds", "5", "--jobs", "1", "--threads", str(cores()))

    assert in_turns("5 seeds one after another on all cores / by workers", together, one_after_another) > 0


@pytest.mark.full_mnist
def test_a_pass_of_the_elbo_beside_its_products_at_the_peak(benchmark, threads: int, mnist: Data) -> None:
    model = trainer_of(Recipe(VAE, VAE.Config(), mnist, Budget(steps=1)), seed=0).model.eval()
    flops = 2 * len(mnist.test) * (784 * 500 + 500 * 40 + 20 * 500 + 500 * 784)
    peak = matrix_product_peak(torch.device("cpu")).rate

    def measure() -> None:
        with torch.no_grad(), fast_linear(torch.device("cpu")):
            ELBO(ELBO.Config()).measure(model, mnist, Context(Noise(0), None, None, 0))

    benchmark.pedantic(measure, rounds=9, warmup_rounds=1)
    times = benchmark.stats.stats.median * peak / flops
    benchmark.extra_info["times its products at the peak"] = times
    print(f"\na pass of the ELBO takes {times:.2f} times its products at the peak")
    assert times > 1


def test_what_the_harness_adds_to_a_cell_beyond_its_fit_and_metric(benchmark, tmp_path: Path) -> None:
    registry, device = Registry.load(), torch.device("cpu")
    environment = describe_environment(device)
    request = Request(["pca"], ["reconstruction-mse", "reconstruction-bce"], ["mnist-10k"], seeds=10)
    plan = build_plan(request, registry, Engine(), environment.machine)
    store = Store(tmp_path / "runs")
    store.prepare()
    with Lines(len(plan.cells)) as reporter:
        run = Run(plan, store, registry, reporter, device, environment, figures=False)
        bench = run.bench(DataSource(None, tmp_path, print))
        outcome = benchmark.pedantic(run.execute, (bench,), rounds=1)
    fits = {record.fit_key for record in outcome.records.values()}
    work = sum(record.seconds for record in outcome.records.values()) + sum(store.fit(key)["seconds"] for key in fits)
    added = (benchmark.stats.stats.total - work) / len(plan.cells)
    benchmark.extra_info["seconds added to a cell"] = added
    print(f"\nthe harness adds {1e3 * added:.1f} ms to a cell")
    assert len(outcome.records) == 20


@pytest.mark.parametrize("model", ["vae", "gan", "cnn-vae"])
def test_what_figures_cost_beside_a_fit_of_the_default_budget(benchmark, tmp_path: Path, model: str) -> None:
    registry, device = Registry.load(), torch.device("cpu")
    environment = describe_environment(device)
    plan = build_plan(
        Request([model], ["parameters"], ["binarized-mnist-10k"]), registry, Engine(), environment.machine
    )
    store = Store(tmp_path / "runs")
    store.prepare()
    with Lines(1) as reporter:
        run = Run(plan, store, registry, reporter, device, environment)
        bench = run.bench(DataSource(None, tmp_path, print))
        run.execute(bench)
    (fit,) = plan.fits
    data, fitted = bench.data(fit.dataset), stored_model(fit, bench.data(fit.dataset), store, print)
    benchmark.pedantic(draw_figures, (fit, fitted, data, store, registry, print), rounds=3)
    share = benchmark.stats.stats.median / store.fit(fit.key)["seconds"]
    benchmark.extra_info["share of the fit"] = share
    print(f"\nthe figures of {model} take {share:.1%} of its fit")
