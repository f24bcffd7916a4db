"""Workloads: what benchmarks time and count. This file is run as a script by a fresh process of either version.

It reads requests, one JSON object a line, from standard input, and answers each with a line. The same file runs in both
versions, so it imports from ``harness`` only what has long been there, and only inside functions.

    {"prepare": NAME, "work": WORK, ...}     build a workload and warm it up
    {"time": NAME, "calls": N}               the seconds that N calls take
    {"count": NAME}                          what can be counted exactly
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Call = Callable[[], object]
_warmup_calls = 2


@dataclass
class Workload:
    """Something to time and to count.

    Args:
        call: one unit of work.
        counts: returns what can be counted without a call, such as the number of parameters, by name.
        in_torch: whether the operators that a call dispatches can be counted.
    """

    call: Call
    counts: Callable[[], dict[str, int]] = dict
    in_torch: bool = True


def training_step(request: Mapping[str, Any]) -> Workload:
    """Prepare a step of the optimisers of a model; of ``replicas`` seeds as one model if there are several."""
    from harness.planning.budget import Budget
    from harness.training.fit import trainer_of
    from harness.training.recipe import Recipe

    model, data = _component("model", request), _data(request)
    recipe = Recipe(model.factory, model.config, data, Budget(steps=1))
    replicas = request.get("replicas", 1)
    if replicas == 1:
        trainer: Any = trainer_of(recipe, 0)
    else:
        from harness.training.vectorized import VectorizedTrainer

        models = [trainer_of(recipe, seed).model for seed in range(replicas)]
        size, seeds = recipe.budget.batch_size, range(replicas)
        trainer = VectorizedTrainer(models, recipe.config, data.train, size, seeds, recipe.precision)
    network = trainer.training_step.network.train()
    size = min(trainer.batch_size, len(data.train))
    batches = (index for _ in itertools.count() for index in trainer.shuffled() if index.shape[-1] == size)

    def call() -> None:
        with trainer.computing():
            trainer.step(next(batches))

    if replicas > 1:
        try:
            call()
        except Exception as error:
            raise _DoesNotApplyError(f"seeds cannot be trained as one: {error}") from error
    return Workload(call, lambda: {"parameters": sum(each.numel() for each in network.parameters())})


def evaluation(request: Mapping[str, Any]) -> Workload:
    """Prepare a metric of a model that is not trained, or that is fitted in closed form."""
    import torch

    from harness.contracts.metrics import Context
    from harness.contracts.models import FitsItself, lacking, offers
    from harness.machine.fast_linear import fast_linear
    from harness.noise import Noise
    from harness.planning.plan import needs_of
    from harness.training import recipe

    new_model = getattr(recipe, "new_model", None)  # which older versions do not have
    build = new_model or (lambda factory, config, data: factory(data.info, config))
    model, metric, data = _component("model", request), _component("metric", request), _data(request)
    reason = lacking(model.factory, needs_of(metric.factory))
    if reason is not None:
        raise _DoesNotApplyError(reason)
    device = data.test.stored.device
    torch.manual_seed(0)
    built: Any = build(model.factory, model.config, data).to(device).eval()
    cache = Path(request["cache"])

    def call() -> None:
        context = Context(Noise(0, device), model.config, 128, 0, cache=cache)
        with torch.no_grad(), fast_linear(built, device):
            metric.factory(metric.config).measure(built, data, context)

    if offers(model.factory, FitsItself):
        with torch.no_grad():
            built.fit(data.train, Noise(0, device))
    return Workload(call)


def start_up(request: Mapping[str, Any]) -> Workload:
    """Prepare a process that prints the help."""
    command = [sys.executable, "-m", "harness", "--help"]

    def call() -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def counts() -> dict[str, int]:
        traced = subprocess.run(
            [sys.executable, "-X", "importtime", *command[1:]], check=True, capture_output=True, text=True
        )
        imports = sum(line.startswith("import time:") for line in traced.stderr.splitlines())
        return {"imports": imports - 1}  # less the heading

    return Workload(call, counts, in_torch=False)


def append(request: Mapping[str, Any]) -> Workload:
    """Prepare a record that is appended to a store, and synced."""
    from harness.results.store import Store

    store, records = Store(_scratch() / "appended"), itertools.cycle(_records(100))
    return Workload(lambda: store.append(next(records)), in_torch=False)


def load(request: Mapping[str, Any]) -> Workload:
    """Prepare the reading of a store of 1,000 cells."""
    from harness.results.store import Store

    store = _filled(1000)
    return Workload(lambda: Store(store.root).records(), in_torch=False)


def boards(request: Mapping[str, Any]) -> Workload:
    """Prepare the boards of a store of 300 cells, ranked and rendered as Markdown."""
    from harness.leaderboard.board import build_boards
    from harness.leaderboard.markdown import render

    store = _filled(300)
    records = store.records()
    return Workload(lambda: render(build_boards(records, store)), in_torch=False)


def cell(request: Mapping[str, Any]) -> Workload:
    """Prepare a run of a model that is fitted in closed form: its fit, its measurement and its boards."""
    folder = _scratch() / "cell"
    words = ["run", "--models", request["model"], "--metric", request["metric"], "--dataset", request["dataset"]]
    words += ["--seeds", "1", "--no-figures", "--fresh"]
    words += ["--runs", str(folder / "runs"), "--leaderboards", str(folder / "boards")]

    def call() -> None:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            sys.argv = ["harness", *words]
            try:
                runpy.run_module("harness", run_name="__main__")
            except SystemExit as end:
                if end.code:
                    raise RuntimeError(f"harness {' '.join(words)} ended with exit code {end.code}") from None

    return Workload(call, in_torch=False)


def control(request: Mapping[str, Any]) -> Workload:
    """Prepare work that uses nothing of the harness: matrix products, memory traffic and Python."""
    import torch

    a, large = torch.rand(256, 256), torch.rand(1_000_000)

    def call() -> None:
        for _ in range(8):
            a @ a
        large + 1
        sum(range(20_000))

    return Workload(call, in_torch=False)


works: dict[str, Callable[[Mapping[str, Any]], Workload]] = {
    "step": training_step,
    "seeds": training_step,
    "evaluation": evaluation,
    "start-up": start_up,
    "append": append,
    "load": load,
    "boards": boards,
    "cell": cell,
}
works_that_count = ("step", "seeds", "evaluation", "start-up")
_all_works = {**works, "control": control}


class _DoesNotApplyError(Exception):
    pass


def timed(workload: Workload, calls: int) -> float:
    """Return the seconds that a number of calls take, until the device has finished them."""
    start = time.perf_counter()
    for _ in range(calls):
        workload.call()
    _synchronize()
    return time.perf_counter() - start


def counted(workload: Workload) -> dict[str, int]:
    """Return what can be counted exactly: also the operators, FLOPs and memory of a call if it computes in torch."""
    return workload.counts() | (_of_torch(workload.call) if workload.in_torch else {})


def _of_torch(call: Call) -> dict[str, int]:
    import torch
    from torch.profiler import ProfilerActivity, profile
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import FlopCounterMode

    class Operators(TorchDispatchMode):
        calls = 0

        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.calls += 1
            return function(*args, **(kwargs or {}))

    with FlopCounterMode(display=False) as flops:
        call()
    with Operators() as operators:  # type: ignore[no-untyped-call]
        call()
    found = {"FLOPs": flops.get_total_flops(), "operator calls": operators.calls}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return found | {"peak bytes": torch.cuda.max_memory_allocated() - before}
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        call()
    events = [each for each in profiled.profiler.kineto_results.events() if each.name() == "[memory]"]
    in_use = itertools.accumulate(each.nbytes() for each in sorted(events, key=lambda each: each.start_ns()))
    return found | {"peak bytes": max(in_use, default=0)}


def _synchronize() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()


_loaded: dict[str, Any] = {}


def _data(request: Mapping[str, Any]) -> Any:
    """Return the data set, loaded once in this process."""
    from harness.data.loading import load_dataset
    from harness.data.source import DataSource
    from harness.machine.device import prepare_torch

    name = request["dataset"]
    if name not in _loaded:
        device = prepare_torch(request["device"])
        dataset = _component("dataset", request)
        folder = Path(request["data"]) if request["data"] else None
        source = DataSource(folder, Path(request["cache"]), lambda line: None)
        _loaded[name] = load_dataset(dataset.provided.spec, dataset.config, source).to(device)
    return _loaded[name]


def _component(kind: str, request: Mapping[str, Any]) -> Any:
    """Return a data set, model or metric with its settings."""
    from harness.planning.component import resolve_component
    from harness.registry import Registry

    if "registry" not in _loaded:
        _loaded["registry"] = Registry.load([Path(each) for each in request["plugins"]])
    name = request[kind]
    return resolve_component(_loaded["registry"].get(kind, name), request["settings"].get(name, {}))


def _scratch() -> Path:
    """Return a folder that is removed with this process, or by what has started it if that kills it."""
    if "scratch" not in _loaded:
        _loaded["scratch"] = tempfile.TemporaryDirectory(prefix="harness-")
    return Path(_loaded["scratch"].name)


def _filled(cells: int) -> Any:
    from harness.results.store import Store

    store = Store(_scratch() / f"of-{cells}")
    if not store.records_file.exists():
        first, *rest = _records(cells)
        store.append(first)
        line = json.loads(store.records_file.read_text())
        with store.records_file.open("a") as file:  # all at once: to sync each would take long
            for record in rest:
                fields = {name: getattr(record, name) for name in line if hasattr(record, name)}
                file.write(json.dumps(fields) + "\n")
    return store


def _records(cells: int) -> list[Any]:
    """Return records as a run of ten models with three seeds has them, with the fields that this version knows."""
    import dataclasses
    import random

    from harness.contracts.events import Record

    known, drawn = {each.name for each in dataclasses.fields(Record)}, random.Random(0)
    engine = {"device": "cpu", "threads": 1, "precision": "float32", "path": "single", "deterministic": False}
    found = []
    for number in range(cells):
        metric, place = divmod(number, 30)
        model, seed = divmod(place, 3)
        described = {
            kind: {
                "name": name,
                "distribution": "d",
                "version": "1",
                "settings": {},
                "changed": [],
                "plugin_version": "1",
            }
            for kind, name in (("dataset", "data"), ("model", f"model-{model}"), ("metric", f"metric-{metric}"))
        }
        fields: dict[str, Any] = {
            **described, "cell_key": f"{number:024x}", "fit_key": f"{place:024x}", "seed": seed,
            "budget": {"epochs": 1, "batch_size": 128},
            "engine": engine, "machine": None, "split": "test", "evaluation_seed": 0, "status": "ok",
            "value": drawn.gauss(model, 0.5), "stderr": 0.1, "n": 1000, "counted": "test examples", "unit": "nats",
            "direction": "higher", "parts": {"part": drawn.random()}, "seconds": 1.0,
            "ended": "2026-01-01T00:00:00+00:00",
        }  # fmt: skip
        found.append(Record(**{name: value for name, value in fields.items() if name in known}))
    return found


def _answers(requests: Iterator[str]) -> Iterator[dict[str, Any]]:
    workloads: dict[str, Workload] = {}
    for line in requests:
        request = json.loads(line)
        try:
            if "prepare" in request:
                workload = workloads[request["prepare"]] = _all_works[request["work"]](request)
                for _ in range(_warmup_calls):
                    workload.call()
                yield {}
            elif "time" in request:
                yield {"seconds": timed(workloads[request["time"]], request["calls"])}
            else:
                yield {"counts": counted(workloads[request["count"]])}
        except Exception as error:
            name = type(error).__name__
            applies = not isinstance(error, _DoesNotApplyError) and name != "NotApplicable"
            yield {"error": f"{name}: {error}"} if applies else {"inapplicable": str(error)}


if __name__ == "__main__":
    # What the workloads print must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for answer in _answers(iter(sys.stdin)):
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
