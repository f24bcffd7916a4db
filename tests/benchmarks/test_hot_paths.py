"""The hot paths, each beside a reference that does the necessary work by hand, in turns in one process.

    pytest tests/benchmarks/test_hot_paths.py --benchmark-only -s
    pytest tests/benchmarks/test_hot_paths.py --benchmark-only --planted 1.8      each is to turn red

The workloads are those that ``harness compare`` times. A benchmark fails if its ratio is shown to be above ``at_most``.
The ratio beside it is the median of several runs on two cores that other processes shared. The margin between them is
for noise and for other processors: 26 to 42%, and 64% for the peak. ``python -m
tests.simulations.planted_slowdowns`` measures which slowdowns are found.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import by_hand
import pytest
import torch
from by_hand import latent
from large_store import write
from prepared import dataset, workload
from torch import Tensor, nn

from harness import Context, Noise
from harness.cli import main
from harness.contracts.engine import Engine
from harness.leaderboard.board import build_boards
from harness.leaderboard.terminal import render
from harness.leaderboard.text import cells, columns
from harness.machine.fast_linear import fast_linear
from harness.planning.component import resolve_component
from harness.planning.identity import hash_of
from harness.planning.plan import Request, build_plan
from harness.registry import Registry
from harness.regression import workloads
from harness.results.store import Store


@pytest.fixture(scope="module", autouse=True)
def _files_in_memory() -> Iterator[None]:
    """Let the workloads write to memory if they can: the time of a disk would hide that of the harness."""
    memory, before = Path("/dev/shm"), tempfile.tempdir
    if os.access(memory, os.W_OK):
        tempfile.tempdir = str(memory)
    yield
    tempfile.tempdir = before


@pytest.mark.parametrize(
    ("model", "reference", "at_most"),
    [
        ("vae", by_hand.VAE, 1.4),  # measured 1.11
        ("cnn-vae", by_hand.CNNVAE, 1.35),  # measured 1.00
        ("gan", by_hand.GAN, 1.35),  # measured 1.01
    ],
    ids=["vae", "cnn-vae", "gan"],
)
def test_a_training_step(in_turns, model: str, reference: Callable[[], nn.Module], at_most: float) -> None:
    pixels = dataset().train.stored
    theirs = by_hand.training_step(reference(), pixels if model == "cnn-vae" else pixels.flatten(1))
    in_turns(f"step of {model} / by hand", workload("step", model=model).call, theirs, at_most=at_most)


def test_a_step_of_five_seeds_as_one(in_turns) -> None:
    at_most = 1.3  # measured 1.02
    # Stacked parameters are not multiplied by oneDNN, so neither are those of the reference.
    pixels = dataset().train.stored.flatten(1)
    steps = [by_hand.training_step(by_hand.VAE(), pixels, use_onednn=False) for _ in range(5)]
    ours = workload("seeds", model="vae", replicas=5).call
    in_turns("step of 5 seeds as one / 5 steps by hand", ours, lambda: [step() for step in steps], at_most=at_most)


def test_an_evaluation_pass(in_turns) -> None:
    at_most = 1.35  # measured 1.06
    data, model = dataset(), by_hand.VAE()

    @torch.no_grad()
    def theirs() -> None:
        with fast_linear(model, by_hand.cpu):
            for x in data.test.batches(1000, Noise(0)):
                model.negative_elbo(x.flatten(1))

    in_turns("elbo / by hand", workload("evaluation", model="vae", metric="elbo").call, theirs, at_most=at_most)


def test_an_evaluation_pass_compared_with_the_peak(in_turns) -> None:
    at_most = 2.3  # measured 1.40
    flops = 2 * len(dataset().test) * (784 * 500 + 500 * 40 + 20 * 500 + 500 * 784)
    theirs, work = by_hand.products_at_the_peak(flops)
    ours = workload("evaluation", model="vae", metric="elbo").call
    in_turns("elbo / its matrix products at the peak", ours, theirs, work=work, at_most=at_most)


@pytest.mark.parametrize(
    ("metric", "k", "examples", "at_most"),
    [
        ("log-likelihood-iw", 1000, 10, 2),  # measured 1.46
        ("iw-bound", 10, 1000, 2.3),  # measured 1.62
        ("posterior-gap", 1000, 10, 2),  # measured 1.42
    ],
    ids=["log-likelihood-iw", "iw-bound", "posterior-gap"],
)
def test_importance_weighting(in_turns, metric: str, k: int, examples: int, at_most: float) -> None:
    theirs = by_hand.applied(by_hand.VAE().decoder, [torch.randn(1000, latent)] * 10)
    chosen = {metric: {"k": str(k), "examples": str(examples)}}
    ours = workload("evaluation", chosen, model="vae", metric=metric).call
    in_turns(f"{metric} / its decoder passes", ours, theirs, at_most=at_most)


def test_monte_carlo(in_turns) -> None:
    at_most = 2.6  # measured 1.89
    images = [dataset().test.subset(500).all(Noise(0)).flatten(1)]
    theirs = by_hand.pairs(by_hand.VAE().decoder, [torch.randn(1000, latent)] * 4, images)
    chosen = {"log-likelihood-mc": {"samples": "4000", "examples": "500"}}
    ours = workload("evaluation", chosen, model="vae", metric="log-likelihood-mc").call
    in_turns("log-likelihood-mc / its decoder passes and products with images", ours, theirs, at_most=at_most)


@pytest.mark.parametrize(
    ("metric", "walks", "at_most"),
    [
        ("log-likelihood-ais", 1, 2.8),  # measured 2.02
        ("ais-gap", 2, 2.8),  # measured 2.00
    ],
    ids=["log-likelihood-ais", "ais-gap"],
)
def test_annealing(in_turns, metric: str, walks: int, at_most: float) -> None:
    chosen = {"examples": "10", "chains": "16", "temperatures": "10", "leapfrog": "2"}
    tuning = 1 + (25 + 10 + 1) * 2  # at the start, then in 25 trajectories at the base and one at each temperature
    timing = 4  # to announce the cost
    passes = [(tuning, 4 * 10), (timing + walks * (1 + 9 * 2), 16 * 10)]  # 4 chains are tuned
    ours = workload("evaluation", {metric: chosen}, model="vae", metric=metric).call
    theirs = by_hand.gradients(by_hand.VAE().decoder, passes)
    in_turns(f"{metric} / the gradients of its decoder", ours, theirs, at_most=at_most)


def test_kernel_density_estimate(in_turns) -> None:
    at_most = 2.4  # measured 1.79
    data, generator = dataset(), by_hand.GAN().generator.eval()
    tuning = [x.flatten(1) for x in data.validation.subset(500).batches(1000, Noise(0))]
    images = [x.flatten(1) for x in data.test.subset(1000).batches(1000, Noise(0))]
    theirs = by_hand.pairs(generator, [torch.randn(1000, latent)], tuning * 5 + images)
    chosen = {"parzen": {"samples": "1000", "examples": "1000", "validation": "500", "bandwidths": "5"}}
    ours = workload("evaluation", chosen, model="gan", metric="parzen").call
    in_turns("parzen / its samples and products with images", ours, theirs, at_most=at_most)


def test_exact_likelihood(in_turns) -> None:
    at_most = 2  # measured 1.54
    halves = [torch.randn(1000, 392)] * 2 * 6  # through the networks of six couplings
    theirs = by_hand.applied(by_hand.perceptron(392, 256, 256, 784), halves)
    chosen = {"model": "realnvp", "metric": "log-likelihood-exact", "dataset": "dequantized-mnist-10k"}
    in_turns("log-likelihood-exact / its networks", workload("evaluation", **chosen).call, theirs, at_most=at_most)


def test_likelihood_along_a_differential_equation(in_turns) -> None:
    at_most = 1.6  # measured 1.19
    chosen = {"model": "flow-matching", "metric": "log-likelihood-ode", "dataset": "mixture-toy"}
    registry, data = Registry.load(), dataset(chosen["dataset"])
    flow, metric = (resolve_component(registry.get(kind, chosen[kind]), {}) for kind in ("model", "metric"))
    torch.manual_seed(0)  # as in the workload, on which the number of evaluations depends
    network = flow.factory(data.info, flow.config).eval()
    found = metric.factory(metric.config).measure(network, data, Context(Noise(0), flow.config, None, 0))
    y, t = data.test.subset(100).all(Noise(0)).requires_grad_(), torch.zeros(())

    def theirs() -> None:
        for _ in range(found.diagnostics["evaluations"]):
            velocity = network.velocity(y, t)
            for each in range(data.info.dim):
                torch.autograd.grad(velocity[:, each].sum(), y, retain_graph=True)

    ours = workload("evaluation", **chosen).call
    in_turns("log-likelihood-ode / its velocities and their derivatives", ours, theirs, at_most=at_most)


def halves(of: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor) -> list[Tensor]:
    """Return a value of all rows, and of 16 pairs of halves of them."""
    orders = [torch.randperm(len(x)) for _ in range(16)]
    parts = [(order[: len(x) // 2], order[len(x) // 2 :]) for order in orders]
    return [of(x, y)] + [of(x[half], y[half]) for pair in parts for half in pair]


def left_out(of: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor) -> list[Tensor]:
    """Return a value of all rows, and without each tenth of either."""
    tenth = torch.arange(len(x)) % 10
    return [of(x, y)] + [of(x[tenth != i], y) for i in range(10)] + [of(x, y[tenth != i]) for i in range(10)]


@pytest.mark.parametrize(
    ("metric", "core", "at_most"),
    [
        ("frechet-distance", lambda x, y: left_out(by_hand.frechet_distance, x, y), 2.2),  # measured 1.68
        ("kernel-distance", by_hand.kernel_distance, 2),  # measured 1.49
        ("precision", lambda x, y: halves(lambda a, b: by_hand.precision(a, b, 3), x, y), 1.5),  # measured 1.13
        ("coverage", lambda x, y: halves(lambda a, b: by_hand.coverage(a, b, 5), x, y), 1.55),  # measured 1.15
    ],
    ids=["frechet-distance", "kernel-distance", "precision", "coverage"],
)
def test_a_sample_metric(in_turns, metric: str, core: Callable[[Tensor, Tensor], object], at_most: float) -> None:
    """Of samples that are drawn once, since metrics of one model share them."""
    network, real = by_hand.classifier(), torch.randn(300, 64, dtype=torch.float64)
    samples = dataset().test.subset(300).all(Noise(0))

    @torch.no_grad()
    def theirs() -> None:
        core(torch.cat([network(x) for x in samples.split(250)]).double(), real)

    ours = workload("evaluation", {metric: {"samples": "300"}}, model="gan", metric=metric).call
    in_turns(f"{metric} / its core by hand", ours, theirs, at_most=at_most)


def test_appending_a_record(in_turns, monkeypatch: pytest.MonkeyPatch) -> None:
    at_most = 2.4  # measured 1.92
    ours = workload("append")
    ours.call()
    file = Path(tempfile.gettempdir()) / f"by-hand-{os.getpid()}"
    record = workloads._records(1)[0]
    try:

        def theirs() -> None:
            line = json.dumps(asdict(record)).encode() + b"\n"
            with file.open("ab") as opened:
                opened.write(line)
                opened.flush()
                os.fsync(opened.fileno())

        in_turns("appending a record / encoding, writing and syncing it", ours.call, theirs, at_most=at_most)
    finally:
        file.unlink(missing_ok=True)
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    ours.call()
    assert len(synced) == 1


def test_reading_records(in_turns) -> None:
    at_most = 1.4  # measured 0.98
    ours = workload("load")
    file = workloads._scratch() / "of-1000" / "records.jsonl"

    def theirs() -> None:
        for line in file.read_bytes().splitlines():
            json.loads(line)

    in_turns("reading 1,000 records / their JSON", ours.call, theirs, at_most=at_most)


def test_a_plan(in_turns) -> None:
    at_most = 5  # measured 3.5
    values = [str(number) for number in range(2, 52)]
    request = Request(
        ["vae"], ["elbo", "reconstruction-mse"], ["mnist-10k"], 10, settings={("vae", "latent_dim"): values}
    )
    registry = Registry.load()
    identity = build_plan(request, registry, Engine(), "this one").cells[0].fit.identity

    def theirs() -> None:
        for _ in range(500):
            hash_of(identity)

    def ours() -> None:
        assert len({fit.key for fit in build_plan(request, registry, Engine(), "this one").fits}) == 500

    in_turns("plan of 1,000 cells / hashing the identities of its fits", ours, theirs, at_most=at_most)


def test_boards(in_turns) -> None:
    at_most = 6.8  # measured 4.9
    from tabulate import tabulate

    ours = workload("boards")
    tables = [section for section in str(ours.call()).split("\n\n") if section.startswith("|")]
    rows = [[line.strip("|").split("|") for line in table.splitlines() if "---" not in line] for table in tables]
    assert sum(map(len, rows)) >= 100

    def theirs() -> None:
        for head, *body in rows:
            tabulate(body, headers=head, tablefmt="github", disable_numparse=True)

    in_turns("boards of 300 records / tabulate of the same rows", ours.call, theirs, at_most=at_most)


def test_tables_of_a_terminal(in_turns) -> None:
    at_most = 1.4  # measured 0.96
    from tabulate import tabulate

    store = Store(write(workloads._scratch() / "terminal", 1000))
    found = build_boards(store.records(), store)
    head, body = columns(found[0]), cells(found[0])

    def theirs() -> None:
        for _ in range(2 * len(found)):  # a summary has about as many cells as all boards
            tabulate(body, headers=head, tablefmt="simple", disable_numparse=True)

    in_turns("boards of 1,000 records for a terminal / tabulate", lambda: render(found), theirs, at_most=at_most)


def test_start_up(in_turns) -> None:
    at_most = 2.5  # measured 1.76

    def theirs() -> None:
        subprocess.run([sys.executable, "-c", "import click, rich.console"], check=True)

    in_turns("harness --help / Python that imports click and rich", workload("start-up").call, theirs, at_most=at_most)


def test_a_cell(in_turns, monkeypatch: pytest.MonkeyPatch) -> None:
    at_most = 1.85  # measured 1.39
    data = dataset("mnist-10k")
    train, test = (each.all(Noise(0)).flatten(1) for each in (data.train, data.test))
    # An installed harness is a plugin of pytest, whose loader of plugins does not work with runpy.
    monkeypatch.setattr(runpy, "run_module", lambda name, run_name: main(sys.argv[1:]))
    ours = workload("cell", model="pca", metric="reconstruction-mse", dataset="mnist-10k").call

    def theirs() -> None:
        by_hand.pca_and_its_error(train, test, 20)

    in_turns("a run of one cell / its fit and metric by hand", ours, theirs, at_most=at_most)
