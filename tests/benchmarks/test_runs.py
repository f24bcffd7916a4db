"""Whole runs: seeds in parallel, and the figures of a fit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from prepared import workload
from two_nodes import needs_ray, two_nodes

from harness.cli.progress import Lines
from harness.contracts.engine import Engine
from harness.execution.figures import draw_figures
from harness.execution.obtain_model import stored_model
from harness.execution.run import Run
from harness.execution.specification import RunSpecification
from harness.machine.cpu_load import cores
from harness.planning.budget import Budget
from harness.planning.plan import Request
from harness.registry import Registry
from harness.results.environment import describe_commit, describe_environment


def run(folder: Path, *arguments: str) -> None:
    chosen = ["--models", "vae", "--metric", "elbo", "--seeds", "5", "--epochs", "10", "--no-figures", "--fresh"]
    folders = ["--runs", str(folder / "runs"), "--leaderboards", str(folder / "boards")]
    command = [sys.executable, "-m", "harness", "run", *chosen, *folders, *arguments]
    subprocess.run(command, check=True, capture_output=True)


def test_seeds_in_parallel_compared_with_one_after_another(in_turns, tmp_path: Path) -> None:
    in_turns(
        "5 seeds by workers / one after another on all cores",
        lambda: run(tmp_path),
        lambda: run(tmp_path, "--jobs", "1", "--threads", str(cores())),
        at_most=1,  # measured 0.81 with 20 epochs
        least_rounds=5,
        several_threads=True,
    )


@needs_ray
def test_two_nodes_of_a_cluster_compared_with_two_workers_here(in_turns, tmp_path: Path) -> None:
    """With fits of ten seconds; the nodes have one CPU each and are on this machine too."""
    fits = ("--seeds", "6", "--epochs", "12")
    with two_nodes() as nodes:
        in_turns(
            "6 seeds on a Ray cluster of two nodes / by two workers of this machine",
            lambda: run(tmp_path, *fits, "--executor", "ray", "--address", nodes.address),
            lambda: run(tmp_path, *fits),
            at_most=1.2,  # measured 1.09
            least_rounds=5,
            several_threads=True,
        )


@pytest.mark.parametrize(
    ("model", "at_most"),
    [
        ("vae", 0.03),  # measured 0.006
        ("gan", 0.03),  # measured 0.002
        ("cnn-vae", 0.03),
    ],
    ids=["vae", "gan", "cnn-vae"],
)
def test_figures_compared_with_training(in_turns, tmp_path: Path, model: str, at_most: float) -> None:
    request = Request([model], ["parameters"], ["binarized-mnist-10k"], budget=Budget(epochs=1))
    environment, cpu = describe_environment(torch.device("cpu")), Engine()
    specification = RunSpecification(
        request, (), cpu, environment, describe_commit(), tmp_path / "runs", None, tmp_path / "cache", figures=True
    )
    with Lines(1) as reporter:
        run = Run(specification, Registry.load(), reporter)
        run.execute()
    (fit,) = run.plan.fits
    data = run.context.data(fit.dataset)
    fitted = stored_model(fit, data, run.store, print)
    in_turns(
        f"figures of {model} / the steps of a fit",
        lambda: draw_figures(fit, fitted, data, run.store, run.context.figures, print),
        workload("step", model=model).call,
        work=20 * 79,  # steps of the default budget
        at_most=at_most,
    )
