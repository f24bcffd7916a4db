"""Times benchmarks of two versions in blocks of fresh processes, in turns, until each is decided or time is up."""

from __future__ import annotations

import json
import math
import os
import random
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean, median
from types import TracebackType
from typing import Any

from harness.errors import on_one_line
from harness.machine.cpu_load import CompetingLoad
from harness.regression import workloads
from harness.regression.decisions import Block, Decision, control, decide, looks
from harness.regression.findings import Finding, Kind, Verdict
from harness.regression.versions import Version

_prepare_seconds, _call_seconds = 120.0, 60.0
_unit_seconds = 0.015  # of the calls that are timed together
_most_calls = 100_000
_timing_seconds = 5.0  # in a process, of all benchmarks together: about what it takes to start the processes of a block
_least_seconds, _most_seconds = 0.6, 2.4  # of one benchmark in a process
_fewest_rounds, _most_rounds = 4, 160
_busy_share = 0.2


@dataclass(frozen=True)
class Benchmark:
    """What is timed, and counted.

    Args:
        name: as findings show it.
        request: what ``workloads`` needs to prepare it.
    """

    name: str
    request: Mapping[str, Any]


class Failed(Exception):  # noqa: N818 -- the outcome of a workload, not an error of ours
    """A workload failed, took too long, or its process ended."""


class Inapplicable(Exception):  # noqa: N818 -- the same
    """The metric does not apply to the model."""


class TimeUp(Exception):  # noqa: N818 -- the same
    """The time for the whole comparison was up."""

    def __str__(self) -> str:
        """Return it as a reason."""
        return "time was up"


class Worker:
    """A fresh process of a version, in which workloads are prepared, timed and counted.

    Its temporary files are removed with it.

    Args:
        version: whose process it is.
        deadline: on the clock of ``time.monotonic``, when no answer is waited for any longer, and ``TimeUp`` raised.
    """

    def __init__(self, version: Version, deadline: float = math.inf) -> None:
        self._deadline = deadline
        self._folder = tempfile.TemporaryDirectory(prefix="harness-", ignore_cleanup_errors=True)
        threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self._errors = Path(self._folder.name, "stderr")
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-P", workloads.__file__],
                env={**version.environment, **threads, "TMPDIR": self._folder.name},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        self._plugins = [str(file) for file in version.plugin_files]
        self._unread = b""

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()

    def prepare(self, benchmark: Benchmark) -> None:
        """Prepare a workload, and warm it up.

        Raises:
            Failed: it cannot be prepared.
            Inapplicable: the metric does not apply to the model.
        """
        self.begin_to_prepare(benchmark)
        self.end_preparation()

    def begin_to_prepare(self, benchmark: Benchmark) -> None:
        """Have a workload prepared, and do not wait.

        Raises:
            Failed: the process has ended.
        """
        self._send({"prepare": benchmark.name, "plugins": self._plugins, **benchmark.request})

    def end_preparation(self) -> None:
        """Wait until a workload is prepared.

        Raises:
            Failed: it cannot be prepared.
            Inapplicable: the metric does not apply to the model.
        """
        self._receive(_prepare_seconds)

    def time(self, name: str, calls: int) -> float:
        """Return the seconds that a number of calls take.

        Raises:
            Failed: a call fails or takes too long.
        """
        self._send({"time": name, "calls": calls})
        return float(self._receive(_call_seconds)["seconds"])

    def count(self, name: str) -> dict[str, int]:
        """Return what can be counted exactly.

        Raises:
            Failed: a call fails or takes too long.
        """
        self._send({"count": name})
        return dict(self._receive(_call_seconds)["counts"])

    def _send(self, request: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise Failed("its process has ended") from None

    def _ending(self) -> str:
        """Say how the process ended, with the last line that it wrote to standard error."""
        code = self._process.wait()
        lines = self._errors.read_text(errors="replace").strip().splitlines()
        return f"its process ended with exit code {code}" + (f": {on_one_line(lines[-1])}" if lines else "")

    def _receive(self, seconds: float) -> dict[str, Any]:
        """Return the answer to the oldest request."""
        assert self._process.stdout is not None
        end = min(time.monotonic() + seconds, self._deadline)
        while b"\n" not in self._unread:
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, end - time.monotonic()))
            read = os.read(self._process.stdout.fileno(), 65536) if ready else b""
            if not ready:
                if end == self._deadline:
                    raise TimeUp
                raise Failed(f"it takes longer than {seconds:.0f} seconds")
            if not read:
                raise Failed(self._ending())
            self._unread += read
        line, _, self._unread = self._unread.partition(b"\n")
        answer = json.loads(line)
        if "inapplicable" in answer:
            raise Inapplicable(answer["inapplicable"])
        if "error" in answer:
            raise Failed(answer["error"])
        return dict(answer)


@dataclass
class Surveyed:
    """What one process of each version shows before anything is timed.

    Args:
        units: how each benchmark that works in both versions is timed.
        findings: about those that do not.
        counts: by version, benchmark and what is counted.
        notes: about benchmarks that are left out.
        late: the names of those for which time was up.
    """

    units: dict[str, Unit] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    counts: dict[str, dict[str, dict[str, int]]] = field(default_factory=lambda: {"base": {}, "head": {}})
    notes: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Unit:
    """How a benchmark is timed in a process: ``calls`` together, in ``rounds`` turns."""

    calls: int
    rounds: int

    @classmethod
    def of(cls, seconds: float, benchmarks: int) -> Unit:
        """Return the unit of one of several benchmarks, of which one call takes this long."""
        calls = min(_most_calls, max(1, round(_unit_seconds / seconds)))
        in_a_process = min(_most_seconds, max(_least_seconds, _timing_seconds / benchmarks))
        return cls(calls, min(_most_rounds, max(_fewest_rounds, round(in_a_process / (calls * seconds)))))


_unit_of_control = Unit(4, 40)

Outcome = tuple[dict[str, int], float] | Failed | Inapplicable | TimeUp
"""The counts of a benchmark and the seconds of a call, or why there are none."""


def survey(
    benchmarks: Sequence[Benchmark],
    base: Version,
    head: Version,
    kind: Kind = "speed",
    deadline: float = math.inf,
) -> Surveyed:
    """Prepare every benchmark once in either version, count what can be counted, and see how long a call takes.

    ``kind`` is that of findings about benchmarks that cannot be compared.
    """
    surveyed = Surveyed()
    outcomes = {"base": outcomes_of(benchmarks, base, deadline), "head": outcomes_of(benchmarks, head, deadline)}
    for benchmark in benchmarks:
        in_base, in_head = (outcomes[side][benchmark.name] for side in ("base", "head"))
        verdict: Verdict | None = None
        if isinstance(in_base, Inapplicable):
            surveyed.notes.append(f"{benchmark.name} is left out: {in_base}")
        elif isinstance(in_base, TimeUp) or isinstance(in_head, TimeUp):
            verdict, reason = "inconclusive", str(TimeUp())
            surveyed.late.append(benchmark.name)
        elif isinstance(in_base, Failed):
            in_both = isinstance(in_head, Failed)
            verdict, reason = "inconclusive", f"it fails in {'both' if in_both else 'the base'}: {in_base}"
        elif isinstance(in_head, Inapplicable):
            verdict, reason = "newly failing", f"it no longer applies: {in_head}"
        elif isinstance(in_head, Failed):
            verdict, reason = "newly failing", str(in_head)
        if verdict is not None:
            surveyed.findings.append(Finding(benchmark.name, kind, verdict, reason=reason))
        elif isinstance(in_base, tuple) and isinstance(in_head, tuple):
            for side, (counts, _) in (("base", in_base), ("head", in_head)):
                surveyed.counts[side][benchmark.name] = counts
            surveyed.units[benchmark.name] = Unit.of(in_base[1], len(benchmarks))
    return surveyed


def outcomes_of(benchmarks: Sequence[Benchmark], version: Version, deadline: float = math.inf) -> dict[str, Outcome]:
    """Count and time every benchmark once, all in one process as long as none fails; one that fails is tried again."""
    found: dict[str, Outcome] = {}
    failed: set[str] = set()
    while left := [each for each in benchmarks if each.name not in found]:
        if time.monotonic() >= deadline:
            return found | {each.name: TimeUp() for each in left}
        with Worker(version, deadline) as worker:
            for benchmark in left:
                outcome = _outcome(benchmark, worker)
                if isinstance(outcome, TimeUp):
                    break
                if not isinstance(outcome, Failed) or benchmark.name in failed:
                    found[benchmark.name] = outcome
                if isinstance(outcome, Failed):
                    failed.add(benchmark.name)
                    break  # the process may have ended, or may still be busy
    return found


def _outcome(benchmark: Benchmark, worker: Worker) -> Outcome:
    try:
        worker.prepare(benchmark)
        counts = worker.count(benchmark.name)
        calls, seconds = 1, worker.time(benchmark.name, 1)
        while seconds < _unit_seconds / 4 and calls < _most_calls:
            calls *= 4
            seconds = worker.time(benchmark.name, calls)
        return counts, max(seconds, 1e-9) / calls
    except (Failed, Inapplicable, TimeUp) as error:
        return error


def compare_speed(
    benchmarks: Sequence[Benchmark],
    surveyed: Surveyed,
    base: Version,
    head: Version,
    *,
    slowdown: float,
    deadline: float,
    announce: Callable[[str], None] = lambda line: None,
    keep: Callable[[Block], None] = lambda block: None,
) -> list[Finding]:
    """Time benchmarks until each is decided, all blocks are taken, or time is up.

    Args:
        benchmarks: all, of which those in ``surveyed.units`` are timed.
        surveyed: what ``survey`` found.
        base: the version to compare with.
        head: the version that may be slower.
        slowdown: what is accepted, as a share.
        deadline: on the clock of ``time.monotonic``; no block is begun that would end later than that if it took as
            long as the longest one, and one that has not ended by then is not used.
        announce: shows the user a line.
        keep: receives the times of each block.
    """
    timed = [each for each in benchmarks if each.name in surveyed.units]
    arms = {"base": base, "again": base, "head": head}
    order = random.Random()
    blocks: list[Block] = []
    loads: list[float] = []
    decided: dict[str, Decision | Finding] = {}
    longest = 0.0
    while undecided := [each for each in timed if each.name not in decided]:
        started = time.monotonic()
        is_late = started + longest >= deadline
        if is_late or len(blocks) in looks:
            names = [each.name for each in undecided]
            is_last = is_late or len(blocks) == looks[-1]
            if len(blocks) < 2:
                busy = f"; {_used_by_others(loads)}" if loads else ""
                late = {name: Finding(name, "speed", "inconclusive", reason=f"time was up{busy}") for name in names}
                decided |= late
                break
            found = decide(blocks, names, len(timed), slowdown=slowdown, is_last=is_last)
            decided |= {name: each for name, each in found.items() if each.verdict is not None}
            announce(_progress(len(blocks), names, decided))
            undecided = [each for each in undecided if each.name not in decided]
            if is_last or not undecided:
                break
        with CompetingLoad() as load:
            taken = take_block(undecided, surveyed.units, arms, order, deadline)
            if isinstance(taken, Finding):  # once more: what ends one process may have nothing to do with its version
                taken = take_block(undecided, surveyed.units, arms, order, deadline)
        if taken is None:
            longest = math.inf
            continue
        if isinstance(taken, Finding):
            if taken.name == control:
                reason = f"the control, which uses nothing of the harness, fails: {taken.reason}"
                decided |= {each.name: replace(taken, name=each.name, reason=reason) for each in undecided}
                break
            decided[taken.name] = taken
            continue
        loads.append(load.share or 0.0)
        blocks.append(taken)
        keep(taken)
        longest = max(longest, time.monotonic() - started)
    units = surveyed.units
    return [_finding(each.name, decided[each.name], slowdown, blocks, units[each.name], loads) for each in timed]


def _used_by_others(loads: Sequence[float]) -> str:
    return f"other processes used {fmean(loads):.0%} of the CPUs"


def take_block(
    benchmarks: Sequence[Benchmark],
    units: Mapping[str, Unit],
    versions: Mapping[str, Version],
    order: random.Random,
    deadline: float = math.inf,
) -> Block | Finding | None:
    """Time every benchmark in a fresh process of each arm, in turns; or return that one fails.

    Returns None if the block has not ended by the deadline.

    Args:
        benchmarks: to time, beside the control.
        units: how, by the name of the benchmark.
        versions: of the arms; ``base`` is one of them.
        order: draws the order of the processes, of the benchmarks, and of the turns.
        deadline: on the clock of ``time.monotonic``.
    """
    everything = [*benchmarks, Benchmark(control, {"work": "control"})]
    units = {**units, control: _unit_of_control}
    seconds: dict[str, dict[str, list[float]]] = {}
    current, arm = everything[0], "base"
    try:
        with ExitStack() as processes:
            started = order.sample(list(versions), len(versions))
            workers = {arm: processes.enter_context(Worker(versions[arm], deadline)) for arm in started}
            for current in everything:
                for arm in workers:
                    workers[arm].begin_to_prepare(current)
                for arm in workers:
                    workers[arm].end_preparation()
            for current in order.sample(everything, len(everything)):
                times = seconds[current.name] = {arm: [] for arm in versions}
                unit = units[current.name]
                for _ in range(unit.rounds):
                    for arm in order.sample(list(versions), len(versions)):
                        times[arm].append(max(1e-9, workers[arm].time(current.name, unit.calls)))
    except TimeUp:
        return None
    except (Failed, Inapplicable) as error:
        if versions[arm] is versions["base"]:
            return Finding(current.name, "speed", "inconclusive", reason=f"it fails now and then in the base: {error}")
        return Finding(current.name, "speed", "newly failing", reason=str(error))
    return seconds


def _progress(blocks: int, names: Sequence[str], decided: Mapping[str, Decision | Finding]) -> str:
    ended = [f"{name} {decided[name].verdict}" for name in names if name in decided]
    left = len(names) - len(ended)
    return f"after {blocks} blocks: {', '.join(ended) or 'nothing'} decided, {left} left"


def _finding(
    name: str,
    decision: Decision | Finding,
    slowdown: float,
    blocks: Sequence[Block],
    unit: Unit,
    loads: Sequence[float],
) -> Finding:
    """Return what is shown: the median of a call in the base, and that times the ratio, so that both columns agree."""
    if isinstance(decision, Finding):
        return decision
    reason = decision.reason
    if reason and fmean(loads) > _busy_share:
        reason += f"; {_used_by_others(loads)}"
    assert decision.verdict is not None
    base = [median(block[name][arm]) / unit.calls for block in blocks if name in block for arm in ("base", "again")]
    return Finding(
        name=name,
        kind="speed",
        verdict=decision.verdict,
        base=median(base) if base else None,
        head=median(base) * decision.ratio if base else None,
        ratio=decision.ratio,
        low=decision.low,
        high=decision.high,
        unit="seconds",
        direction="lower",
        tolerance=slowdown,
        reason=reason,
    )


def compare_counts(
    base: Mapping[str, Mapping[str, int]], head: Mapping[str, Mapping[str, int]], tolerance: float
) -> list[Finding]:
    """Compare what was counted exactly, by benchmark and by what is counted; fewer are better.

    Args:
        base: of the version to compare with.
        head: of the version that may need more.
        tolerance: what is accepted, as a share of the base's count.
    """
    findings = []
    for benchmark, counts in base.items():
        for what, before in counts.items():
            name = f"{benchmark}: {what}"
            after = head.get(benchmark, {}).get(what)
            if after is None:
                findings.append(Finding(name, "count", "missing", base=before, reason="the head has no such count"))
                continue
            ratio = after / before if before else (1.0 if not after else float("inf"))
            verdict: Verdict = "worse" if ratio > 1 + tolerance else "better" if ratio < 1 - tolerance else "same"
            findings.append(
                Finding(name, "count", verdict, before, after, ratio, None, ratio, ratio, what, "lower", tolerance)
            )
    return findings
