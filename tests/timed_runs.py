"""Runs that are planned but not executed, and results with given times in their stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.cli.progress import Lines
from harness.contracts.engine import Engine
from harness.execution.records import record_of
from harness.execution.run import Run
from harness.execution.specification import RunSpecification
from harness.planning.budget import Budget
from harness.planning.identity import hash_of
from harness.planning.plan import Request
from harness.registry import Registry
from harness.results.environment import Commit, Environment

registry = Registry.load()
here = Environment("3", "system", {}, "this processor", 2, None)


def timed_run(
    folder: Path,
    models: Sequence[str] = ("vae",),
    metrics: Sequence[str] = ("elbo",),
    seeds: int = 1,
    budget: Budget = Budget(epochs=2),
    settings: Mapping[tuple[str, str], Sequence[Any]] | None = None,
    path: str = "single",
) -> Run:
    """Return a run whose results are under ``folder``."""
    request = Request(models, metrics, ["binarized-mnist-10k"], seeds, budget, settings or {})
    commit = Commit(None, None)
    specification = RunSpecification(request, (), Engine(path=path), here, commit, folder / "runs", None, folder)
    return Run(specification, registry, Lines(0))


def stored_fit(
    run: Run, seconds: float, steps: int, by_epoch: Sequence[float] = (), group: Sequence[int] = (0,)
) -> None:
    """Store the first fit of a run as one that took this time."""
    fit, environment = run.plan.fits[0], here.as_json()
    run.store.write_environment(hash_of(environment), environment)
    described = {
        "identity": fit.identity,
        "status": "ok",
        "seconds": seconds,
        "group": list(group),
        "curves": {"train": {}, "validation": {}, "seconds": list(by_epoch), "steps": steps},
        "environment": hash_of(environment),
    }
    run.store.write_fit(fit.key, described, None)


def stored_record(run: Run, seconds: float, **fields: Any) -> None:
    """Store a record of the first cell of a run, which was measured for this time."""
    environment = here.as_json()
    run.store.write_environment(hash_of(environment), environment)
    cell = run.plan.cells[0]
    run.store.append(record_of(cell, run.specification, "ok", value=1.0, unit="", seconds=seconds, **fields))
