"""Whole runs: seeds in parallel, the cost of an evaluation, and the time that the harness adds to a cell."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from harness import Context, Data, Noise
from harness.cli.progress import Lines
from harness.contracts.engine import Engine
from harness.execution.figures import draw_figures
from harness.execution.obtain_model import stored_model
from harness.execution.run import Run
from harness.execution.specification import RunSpecification
from harness.machine.cpu_load import cores
from harness.machine.fast_linear import fast_linear
from harness.machine.peak_flops import matrix_product_peak
from harness.planning.budget import Budget
from harness.planning.plan import Request
from harness.registry import Registry
from harness.results.environment import describe_commit, describe_environment
from harness.training.fit import trainer_of
from harness.training.recipe import Recipe
from harness_metrics.likelihood.elbo import ELBO
from harness_vae.vae import VAE


def run(folder: Path, *arguments: str) -> None:
    chosen = ["--models", "vae", "--metric", "elbo", "--fresh", "--runs", str(folder / "runs")]
    command = [sys.executable, "-m", "harness", "run", *chosen, "--leaderboards", str(folder / "boards"), *arguments]
    subprocess.run(command, check=True, capture_output=True)


def test_seeds_in_parallel_compared_with_one_after_another(in_turns, tmp_path: Path) -> None:
    def in_parallel() -> None:
        run(tmp_path, "--seeds", "5")

    def one_after_another() -> None:
        run(tmp_path, "--seeds", "5", "--jobs", "1", "--threads", str(cores()))

    assert in_turns("5 seeds one after another on all cores / by workers", in_parallel, one_after_another) > 0


@pytest.mark.full_mnist
def test_the_elbo_compared_with_its_products_at_the_peak(benchmark, threads: int, mnist: Data) -> None:
    model = trainer_of(Recipe(VAE, VAE.Config(), mnist, Budget(steps=1)), seed=0).model.eval()
    flops = 2 * len(mnist.test) * (784 * 500 + 500 * 40 + 20 * 500 + 500 * 784)
    peak = matrix_product_peak(torch.device("cpu")).rate

    def measure() -> None:
        with torch.no_grad(), fast_linear(model, torch.device("cpu")):
            ELBO(ELBO.Config()).measure(model, mnist, Context(Noise(0), None, None, 0))

    benchmark.pedantic(measure, rounds=9, warmup_rounds=1)
    times = benchmark.stats.stats.median * peak / flops
    benchmark.extra_info["times its matrix products at the peak"] = times
    print(f"\nthe ELBO of the test set takes {times:.2f} times its matrix products at the peak")
    assert times > 1


def run_in(folder: Path, request: Request, *, figures: bool, reporter: Lines) -> Run:
    environment, cpu = describe_environment(torch.device("cpu")), Engine()
    specification = RunSpecification(
        request, (), cpu, environment, describe_commit(), folder / "runs", None, folder / "cache", figures=figures
    )
    return Run(specification, Registry.load(), reporter)


def test_the_time_that_the_harness_adds_to_a_cell_beyond_its_fit_and_metric(benchmark, tmp_path: Path) -> None:
    request = Request(["pca"], ["reconstruction-mse", "reconstruction-bce"], ["mnist-10k"], seeds=10)
    with Lines(20) as reporter:
        run = run_in(tmp_path, request, figures=False, reporter=reporter)
        run.prepare()
        outcome = benchmark.pedantic(run.execute, rounds=1)
    records = outcome.records.values()
    fits = {record.fit_key for record in records}
    work = sum(record.seconds for record in records) + sum(run.store.fit(key)["seconds"] for key in fits)
    added = (benchmark.stats.stats.total - work) / len(records)
    benchmark.extra_info["seconds added to a cell"] = added
    print(f"\nthe harness adds {1e3 * added:.1f} ms to a cell")
    assert len(records) == 20


@pytest.mark.parametrize("model", ["vae", "gan", "cnn-vae"])
def test_the_time_of_figures_compared_with_a_fit_of_the_default_budget(benchmark, tmp_path: Path, model: str) -> None:
    with Lines(1) as reporter:
        run = run_in(
            tmp_path, Request([model], ["parameters"], ["binarized-mnist-10k"]), figures=True, reporter=reporter
        )
        run.execute()
    (fit,) = run.plan.fits
    data = run.context.data(fit.dataset)
    fitted = stored_model(fit, data, run.store, print)
    benchmark.pedantic(draw_figures, (fit, fitted, data, run.store, run.registry, print), rounds=3)
    share = benchmark.stats.stats.median / run.store.fit(fit.key)["seconds"]
    benchmark.extra_info["share of the fit"] = share
    print(f"\nthe figures of {model} take {share:.1%} of its fit")
