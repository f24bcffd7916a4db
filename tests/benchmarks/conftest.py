"""Fixtures of benchmarks: pairs timed in turns in one process, planted slowdowns, and full MNIST."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import torch
from ratios import Ratio, ratio_of

from harness import Data, DataSource
from harness.machine.cpu_load import cores
from harness.machine.device import prepare_torch
from harness_datasets.idx import MNIST

Call = Callable[[], object]
_seconds = 6.0  # that the rounds of a benchmark are to take
_shortest_round = 0.02
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
    into six seconds, from ``least_rounds`` to 101. A round takes about as long for either, and at least 20 ms: short
    calls are repeated, since other processes interrupt a longer one more often, and leave a shorter one's caches cold.

    There are two ratios: of the time that passes, and of the CPU time of this process and its children, which hardly
    depends on other processes. Either one fails. With ``several_threads``, which wait for each other in loops, only the
    time that passes counts.
    """

    def in_turns(
        what: str,
        ours: Call,
        reference: Call,
        *,
        at_most: float,
        work: float = 1.0,
        least_rounds: int = 8,
        several_threads: bool = False,
    ) -> None:
        kinds = ("time",) if several_threads else ("time", "CPU time")
        factor = 1.0
        our_calls = their_calls = 1
        our_times: list[tuple[float, ...]] = []
        their_times: list[tuple[float, ...]] = []

        def our_round() -> None:
            start = _clocks()
            for _ in range(our_calls):
                ours()
            end = time.process_time() + (factor - 1) * _since(start)[1]
            while time.process_time() < end:
                pass
            our_times.append(tuple(each / our_calls for each in _since(start)))

        def their_round() -> None:
            start = _clocks()
            for _ in range(their_calls):
                reference()
            their_times.append(tuple(each / their_calls * work for each in _since(start)))

        def ratios() -> dict[str, Ratio]:
            sides = zip(zip(*our_times, strict=True), zip(*their_times, strict=True), strict=True)
            return {kind: ratio_of(*times) for kind, times in zip(kinds, sides, strict=False)}

        began = time.perf_counter()
        while len(our_times) < 2 or time.perf_counter() < began + 0.1:  # the first calls are slower
            their_round()
            our_round()
        our_time, their_time = min(our_times)[0], min(their_times)[0] / work
        longest = max(our_time, their_time, _shortest_round)
        our_calls, their_calls = max(1, round(longest / our_time)), max(1, round(longest / their_time))
        fit = int(_seconds / (our_calls * our_time + their_calls * their_time))
        rounds = min(_most_rounds, max(least_rounds, fit))
        our_times.clear()
        their_times.clear()
        benchmark.pedantic(our_round, setup=their_round, rounds=rounds)
        if benchmark.disabled:
            return
        found = ratios()
        benchmark.extra_info.update({"compared": what, "at_most": at_most, "calls in a round": our_calls})
        benchmark.extra_info.update({kind: ratio.median for kind, ratio in found.items()})
        print(f"\n{what}: {_shown(found)}, at most {at_most:g}")
        if any(ratio.exceeds(at_most) for ratio in found.values()):
            pytest.fail(f"{what}: {_shown(found)}, which is more than the accepted {at_most:g}", pytrace=False)
        for factor in request.config.getoption("--planted", []):
            our_times.clear()
            their_times.clear()
            for _ in range(rounds):
                their_round()
                our_round()
            found = ratios()
            print(f"planted {factor:g}: {_shown(found)}")
            if any(ratio.exceeds(at_most) for ratio in found.values()):
                benchmark.extra_info["found"] = factor
                pytest.fail(f"{what}: a planted slowdown by {factor:g} is found: {_shown(found)}", pytrace=False)

    return in_turns


def _clocks() -> tuple[float, float]:
    """Return the time, and the CPU time of this process and of its children that have ended, in seconds."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter(), time.process_time() + children.ru_utime + children.ru_stime


def _since(start: tuple[float, float]) -> tuple[float, float]:
    now = _clocks()
    return now[0] - start[0], now[1] - start[1]


def _shown(ratios: Mapping[str, Ratio]) -> str:
    return "; ".join(f"{kind} {ratio}" for kind, ratio in ratios.items())
