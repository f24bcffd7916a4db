"""Whole runs: seeds side by side, the cost of a pass of evaluation, and what the harness adds to a cell."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from harness import Context, Data, Noise
from harness.budget import Budget
from harness.peak import matrix_product_peak
from harness.products import fast_products
from harness.training import Recipe, trainer_of
from harness_metrics.elbo import ELBO
from harness_vae.vae import VAE


def run(folder: Path, *words: str) -> None:
    chosen = ["--models", "vae", "--metric", "elbo", "--fresh", "--runs", str(folder / "runs")]
    command = [sys.executable, "-m", "harness", "run", *chosen, "--leaderboards", str(folder / "boards"), *words]
    subprocess.run(command, check=True, capture_output=True)


def test_five_seeds_beside_five_runs_one_after_another(in_turns, tmp_path: Path) -> None:
    def together() -> None:
        run(tmp_path, "--seeds", "5")

    def one_after_another() -> None:
        run(tmp_path, "--seeds", "5", "--jobs", "1", "--threads", "2")

    assert in_turns("5 seeds one after another on 2 threads / by workers", together, one_after_another, rounds=3) > 0


@pytest.mark.full_mnist
def test_a_pass_of_the_elbo_beside_its_products_at_the_peak(benchmark, threads: int, mnist: Data) -> None:
    model = trainer_of(Recipe(VAE, VAE.Config(), mnist, Budget(steps=1)), seed=0).model.eval()
    flops = 2 * len(mnist.test) * (784 * 500 + 500 * 40 + 20 * 500 + 500 * 784)
    peak = matrix_product_peak(torch.device("cpu")).rate

    def measure() -> None:
        with torch.no_grad(), fast_products(torch.device("cpu")):
            ELBO(ELBO.Config()).measure(model, mnist, Context(Noise(0), None, None, 0))

    benchmark.pedantic(measure, rounds=9, warmup_rounds=1)
    times = benchmark.stats.stats.median * peak / flops
    benchmark.extra_info["times its products at the peak"] = times
    print(f"\na pass of the ELBO takes {times:.2f} times its products at the peak")
    assert times > 1
