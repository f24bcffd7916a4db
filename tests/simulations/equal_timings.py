"""How often timings of equal models are ranked apart on this machine, whatever else it does.

From the root of the repository,

    PYTHONPATH=.:plugins python -m tests.simulations.equal_timings [--metric latency] [--boards 200] [--rows 2]

times copies of one model in turn, as ``harness run`` does, and ranks them with the functions that rank real boards. It
takes about half a minute of one core. All timings are taken in one process; ``harness run`` starts one for each.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from statistics import fmean, stdev

import torch

from harness import Context, Data, Estimate, Noise
from harness.conformance.tiny_data import kinds
from harness.execution.timings import order_of_round
from harness.results.comparison import Measured, rank_ranges
from harness_metrics.speed.latency import Latency
from harness_metrics.speed.throughput import SamplingThroughput
from harness_vae.vae import VAE

config = VAE.Config(hidden=(64,), latent_dim=4)


def latency(model: VAE, data: Data, context: Context) -> Estimate:
    """Time 50 single calls."""
    return Latency(Latency.Config(calls=50, load_limit=1.0)).measure(model, data, context)


def throughput(model: VAE, data: Data, context: Context) -> Estimate:
    """Time repeated calls, 30 ms long."""
    settings = SamplingThroughput.Config(batch_sizes=(64,), repeats=7, load_limit=1.0)
    return SamplingThroughput(settings).measure(model, data, context)


metrics: dict[str, Callable[[VAE, Data, Context], Estimate]] = {"latency": latency, "sampling-throughput": throughput}


def board(measure: Callable[[VAE, Data, Context], Estimate], rows: int, rounds: int) -> list[Measured]:
    """Return rows of equal models, timed in turn."""
    data = kinds()["large binary images"]
    values: dict[str, list[float]] = {f"row {number}": [] for number in range(rows)}
    group = str(time.time())
    for number in range(rounds):
        for row in order_of_round(list(values), group, number):
            torch.manual_seed(0)
            model = VAE(data.info, config)
            values[row].append(measure(model, data, Context(Noise(0), config, 128, 0)).value)
    errors = [stdev(each) / math.sqrt(rounds) for each in values.values()]
    return [
        Measured({0: fmean(each)}, (error,), rounds - 1, measurement_stderr=error)
        for each, error in zip(values.values(), errors, strict=True)
    ]


def main() -> None:
    """Print the share of boards with a false claim."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--metric", choices=metrics, default="latency")
    parser.add_argument("--boards", type=int, default=200)
    parser.add_argument("--rows", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    wrong, errors = 0, []
    for _ in range(given.boards):
        rows = board(metrics[given.metric], given.rows, given.rounds)
        low, high, _ = rank_ranges(rows, "lower")
        wrong += int(((low > 1) | (high < given.rows)).any())
        errors += [100 * row.stderr / row.value for row in rows if row.stderr is not None]
    print(
        f"{given.metric}: {wrong} of {given.boards} boards of {given.rows} equal rows make a false claim "
        f"({100 * wrong / given.boards:.1f}%); standard errors of {min(errors):.2g}% to {max(errors):.2g}%"
    )


if __name__ == "__main__":
    with torch.no_grad():
        main()
