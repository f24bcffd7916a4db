"""Fixtures of benchmarks: pairs timed in turns in one process, and full MNIST."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from harness import Data, DataSource
from harness.data.transforms import Binarize
from harness.machine.cpu_load import cores
from harness.machine.device import prepare_torch
from harness_datasets.idx import MNIST


@pytest.fixture(params=[1, cores()], ids=lambda n: f"{n}-threads")
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Let torch use one thread, as a fit has by default, and then all cores."""
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(1)


@pytest.fixture
def grey_mnist(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Data:
    """Return full MNIST with its 55,000 training images."""
    prepare_torch("cpu")
    return MNIST(MNIST.Config()).load(DataSource(data_dir, tmp_path_factory.mktemp("cache"), print))


@pytest.fixture
def mnist(grey_mnist: Data) -> Data:
    """Return binarised MNIST."""
    return Binarize(Binarize.Config()).apply(grey_mnist)


@pytest.fixture
def in_turns(benchmark) -> Callable[..., float]:
    """Return a function that times two calls in turns and returns the median of the ratios of their times."""

    def in_turns(what: str, ours: Callable[[], object], theirs: Callable[[], object], rounds: int = 3) -> float:
        ratios: list[float] = []

        def timed(call: Callable[[], object]) -> float:
            start = time.perf_counter()
            call()
            return time.perf_counter() - start

        def pair() -> None:
            mine = timed(ours)
            ratios.append(timed(theirs) / mine)

        benchmark.pedantic(pair, rounds=rounds, warmup_rounds=1)
        ratio = statistics.median(ratios[1:])
        benchmark.extra_info[what] = ratio
        print(f"\n{what}: {ratio:.3f} ({', '.join(f'{each:.2f}' for each in sorted(ratios[1:]))})")
        return ratio

    return in_turns
