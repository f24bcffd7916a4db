"""Fixtures of benchmarks: pairs timed in turns in one process, planted slowdowns, and full MNIST."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from ratios import ratio_of

from harness import Data, DataSource
from harness.machine.cpu_load import cores
from harness.machine.device import prepare_torch
from harness_datasets.idx import MNIST

Call = Callable[[], object]
_seconds = 6.0  # that the rounds of a benchmark are to take
_most_rounds = 101


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--planted",
        type=lambda text: [float(each) for each in text.split(",")],
        default=[],
        metavar="FACTOR[,FACTOR...]",
        help="let our side of each benchmark take FACTOR times as long, by busy waiting, until one turns it red",
    )


@pytest.fixture(autouse=True)
def _torch_as_in_a_run(_same_torch_everywhere: None) -> None:
    prepare_torch("cpu")


@pytest.fixture(params=[1, cores()], ids=lambda n: f"{n}-threads")
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Let torch use one thread, as a fit has by default, and then all cores."""
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(1)


@pytest.fixture
def grey_mnist(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Data:
    """Return full MNIST with its 55,000 training images."""
    return MNIST(MNIST.Config()).load(DataSource(data_dir, tmp_path_factory.mktemp("cache"), print))


@pytest.fixture
def in_turns(benchmark, request: pytest.FixtureRequest) -> Callable[..., None]:
    """Return a function that times two calls in turns and fails if ours takes too many times as long.

    Its arguments are what is compared, our call, the reference, and the ratio of their times that is accepted
    (``at_most``). With ``work``, ours does that many times the work of the reference. There are as many rounds as fit
    into six seconds, from ``least_rounds`` to 101. In a round the reference is called until it has taken about as long
    as ours, since other processes interrupt a longer call more often.
    """

    def in_turns(
        what: str, ours: Call, reference: Call, *, at_most: float, work: float = 1.0, least_rounds: int = 8
    ) -> None:
        our_times: list[float] = []
        their_times: list[float] = []
        factor, calls = 1.0, 1

        def our_round() -> None:
            start = time.perf_counter()
            ours()
            end = start + factor * (time.perf_counter() - start)
            while factor > 1 and time.perf_counter() < end:
                pass
            our_times.append(time.perf_counter() - start)

        def their_round() -> None:
            start = time.perf_counter()
            for _ in range(calls):
                reference()
            their_times.append((time.perf_counter() - start) / calls * work)

        for _ in range(2):  # the first calls are slower
            their_round()
            our_round()
        once = their_times[-1] / work
        calls = max(1, round(our_times[-1] / once))
        fit = int(_seconds / (our_times[-1] + calls * once))
        rounds = min(_most_rounds, max(least_rounds, fit))
        our_times.clear()
        their_times.clear()
        benchmark.pedantic(our_round, setup=their_round, rounds=rounds)
        if benchmark.disabled:
            return
        ratio = ratio_of(our_times, their_times)
        benchmark.extra_info.update({"compared": what, "ratio": ratio.median, "low": ratio.low, "at_most": at_most})
        print(f"\n{what}: {ratio}, at most {at_most:g}")
        if ratio.exceeds(at_most):
            pytest.fail(f"{what}: {ratio}, which is more than the accepted {at_most:g}", pytrace=False)
        for factor in request.config.getoption("--planted", []):
            our_times.clear()
            their_times.clear()
            for _ in range(rounds):
                their_round()
                our_round()
            ratio = ratio_of(our_times, their_times)
            print(f"planted {factor:g}: {ratio}")
            if ratio.exceeds(at_most):
                benchmark.extra_info["found"] = factor
                pytest.fail(f"{what}: {ratio} with a planted slowdown by {factor:g}, so it is found", pytrace=False)

    return in_turns
