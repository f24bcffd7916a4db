"""When blocks of timings decide: error rates by simulation, and what blocks a verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from harness.regression.decisions import Block, Decision, control, decide, looks, slowdown_of
from harness.regression.findings import false_alarm_rate, holm

Draw = Callable[[np.random.Generator], float]


def normal(generator: np.random.Generator) -> float:
    return float(generator.normal(0, 0.02))


def heavy(generator: np.random.Generator) -> float:
    """As normal, but one process in ten has another variance, six times as wide."""
    return float(generator.normal(0, 0.12 if generator.random() < 0.1 else 0.015))


def blocks_of(
    generator: np.random.Generator, slower: Mapping[str, float], draw: Draw = normal, control_slower: float = 1.0
) -> list[Block]:
    """Return the blocks of a whole run, with one round each; the head takes ``slower`` times as long."""
    everything = {**slower, control: control_slower}
    return [
        {
            name: {
                "base": [math.exp(draw(generator))],
                "again": [math.exp(draw(generator))],
                "head": [factor * math.exp(draw(generator))],
            }
            for name, factor in everything.items()
        }
        for _ in range(looks[-1])
    ]


def run(blocks: Sequence[Block], names: Sequence[str]) -> dict[str, Decision]:
    """Decide as the gate does, look by look."""
    decided: dict[str, Decision] = {}
    for look in looks:
        left = [name for name in names if name not in decided]
        if not left:
            break
        found = decide(blocks[:look], left, len(names), slowdown=0.03, is_last=look == looks[-1])
        decided |= {name: each for name, each in found.items() if each.verdict is not None}
    return decided


@pytest.mark.parametrize("draw", [normal, heavy])
def test_equal_versions_raise_no_more_alarms_than_stated(draw: Draw) -> None:
    """The worst case: every head is slower by exactly what is accepted."""
    generator, names, runs = np.random.default_rng(0), [f"benchmark {n}" for n in range(5)], 300
    alarms = 0
    for _ in range(runs):
        decided = run(blocks_of(generator, dict.fromkeys(names, 1.03), draw), names)
        alarms += any(each.verdict == "worse" for each in decided.values())
    assert alarms <= runs * false_alarm_rate + 3 * math.sqrt(runs * false_alarm_rate)


@pytest.mark.parametrize("benchmarks", [1, 10])
def test_a_head_that_varies_four_times_as_much_raises_few_more_alarms(benchmarks: int) -> None:
    """With as many degrees of freedom as where it varies alike, 3.4% of runs of ten benchmarks would have an alarm."""
    generator, names, runs = np.random.default_rng(10), [f"benchmark {n}" for n in range(benchmarks)], 400
    alarms = 0
    for _ in range(runs):
        blocks = blocks_of(generator, dict.fromkeys(names, 1.03))
        for block in blocks:
            for name in names:
                block[name]["head"] = [1.03 * math.exp(generator.normal(0, 0.08))]  # type: ignore[index]
        alarms += any(each.verdict == "worse" for each in run(blocks, names).values())
    assert alarms <= 0.013 * runs + 2 * math.sqrt(0.013 * runs)


def test_fewer_than_four_blocks_have_no_verdict() -> None:
    """Two or three processes of either version can all be fast or slow by chance."""
    generator = np.random.default_rng(11)
    for slower in (1.0, 2.0):
        for count in (2, 3):
            found = decide(blocks_of(generator, {"a": slower})[:count], ["a"], 1, slowdown=0.03, is_last=True)["a"]
            assert (found.verdict, found.reason) == ("inconclusive", f"{count} blocks are too few for a verdict")


@pytest.mark.parametrize(("factor", "share"), [(2.0, 0.2), (3.0, 0.25), (1.5, 0.4)])
def test_a_head_with_a_few_long_turns_is_seldom_called_the_same(factor: float, share: float) -> None:
    """The median of turns does not show what happens in fewer than half of them, so sums are looked at too."""
    generator = np.random.default_rng(12)

    def times(long: float) -> list[float]:
        return [math.exp(generator.normal(0, 0.02)) * (factor if generator.random() < long else 1) for _ in range(40)]

    def blocks_with(long_in_base: float) -> list[Block]:
        long = {"base": long_in_base, "again": long_in_base, "head": share}
        return [
            {"a": {arm: times(long[arm]) for arm in long}, control: {arm: times(0) for arm in long}}
            for _ in range(looks[-1])
        ]

    found = [run(blocks_with(0), ["a"])["a"] for _ in range(10)]
    assert sum(each.verdict == "same" for each in found) <= 3
    assert share > 0.3 or any("a few turns of the head take much longer" in (each.reason or "") for each in found)
    assert all(run(blocks_with(share), ["a"])["a"].verdict in ("same", "inconclusive") for _ in range(10))


def test_most_equal_versions_are_found_to_be_the_same_and_early() -> None:
    generator, runs = np.random.default_rng(1), 100
    decided = [run(blocks_of(generator, {"a": 1.0}), ["a"])["a"] for _ in range(runs)]
    assert sum(each.verdict == "same" for each in decided) >= 0.95 * runs
    assert np.median([each.blocks for each in decided]) <= 13


@pytest.mark.parametrize("slower", [1.10, 1.15])
def test_a_slowdown_is_found(slower: float) -> None:
    generator, runs = np.random.default_rng(2), 100
    names = ["slow", *(f"equal {n}" for n in range(9))]
    decided = [run(blocks_of(generator, {**dict.fromkeys(names, 1.0), "slow": slower}), names) for _ in range(runs)]
    assert sum(each["slow"].verdict == "worse" for each in decided) >= 0.9 * runs


def test_a_faster_head_is_better() -> None:
    generator = np.random.default_rng(3)
    assert run(blocks_of(generator, {"a": 0.8}), ["a"])["a"].verdict == "better"


def test_the_interval_contains_the_true_ratio() -> None:
    generator, runs, truth = np.random.default_rng(4), 200, 1.05
    decided = [run(blocks_of(generator, {"a": truth}), ["a"])["a"] for _ in range(runs)]
    assert sum(each.low <= truth <= each.high for each in decided) >= 0.95 * runs


def test_no_verdict_where_the_control_moves() -> None:
    generator = np.random.default_rng(5)
    found = run(blocks_of(generator, {"a": 1.3}, control_slower=1.3), ["a"])["a"]
    assert found.verdict == "inconclusive"
    assert found.reason is not None
    assert "the control" in found.reason
    assert run(blocks_of(generator, {"a": 1.3}), ["a"])["a"].verdict == "worse"


def test_no_verdict_where_processes_of_the_base_differ() -> None:
    generator = np.random.default_rng(6)
    blocks = [
        {**block, "a": {**block["a"], "again": [1.2 * each for each in block["a"]["again"]]}}
        for block in blocks_of(generator, {"a": 1.3})
    ]
    found = run(blocks, ["a"])["a"]
    assert found.verdict == "inconclusive"
    assert found.reason is not None
    assert "two processes of the base differ" in found.reason


def test_a_machine_too_noisy_for_a_verdict_is_inconclusive() -> None:
    generator = np.random.default_rng(7)
    found = run(blocks_of(generator, {"a": 1.0}, lambda g: float(g.normal(0, 0.5))), ["a"])["a"]
    assert found.verdict == "inconclusive"
    assert found.low < 0.9 < 1.1 < found.high


def test_a_round_that_is_disturbed_changes_nothing() -> None:
    """The median over rounds leaves out that a process once waits for half a second."""
    generator = np.random.default_rng(8)

    def times(factor: float) -> list[float]:
        return [0.04 * factor * math.exp(float(generator.normal(0, 0.01))) for _ in range(9)]

    blocks: list[Block] = []
    for _ in range(looks[0]):
        block = {name: {arm: times(1.0) for arm in ("base", "again", "head")} for name in ("a", control)}
        blocks.append(block)
    blocks[1]["a"]["head"][3] += 0.5
    assert decide(blocks, ["a"], 1, slowdown=0.03, is_last=False)["a"].verdict == "same"


@pytest.mark.parametrize("share", [0.1, 0.3, 0.7])
def test_an_equal_head_seems_neither_slower_nor_faster_where_many_rounds_are_disturbed(share: float) -> None:
    """Compared with the mean of both processes of the base, it would seem to be faster at 0.3, and slower at 0.7."""
    generator = np.random.default_rng(9)

    def times() -> list[float]:
        return [math.exp(generator.normal(0, 0.01) + 0.3 * (generator.random() < share)) for _ in range(60)]

    observed = [slowdown_of({arm: times() for arm in ("base", "again", "head")}) for _ in range(400)]
    assert abs(np.mean(observed)) < 3 * np.std(observed) / math.sqrt(len(observed))


def test_times_that_are_all_equal_have_a_verdict() -> None:
    """Clocks have ticks."""
    equal = {"base": [1.0], "again": [1.0], "head": [1.0]}
    blocks = [{"a": equal, control: equal}] * looks[0]
    assert decide(blocks, ["a"], 1, slowdown=0.03, is_last=False)["a"].verdict == "same"


def test_holm_rejects_in_order() -> None:
    assert holm([0.01, 0.5, 0.012], 0.04, 3) == [True, False, True]
    assert holm([0.03, 0.001], 0.04, 2) == [True, True]
    assert holm([0.03, 0.001], 0.04, 4) == [False, True]
    assert holm([], 0.04, 4) == []
