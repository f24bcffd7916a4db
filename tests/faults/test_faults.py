"""A fault in a model or a metric costs its own fit or cell, has its cause in the record, and leaves no process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest
from fault_trials import trials
from faulty import faults
from faulty_runs import Runs

if TYPE_CHECKING:
    from tests.faults.conftest import Note

places = ("init", "loss", "sample", "measure")
metrics = ("mean", "measured", "reconstruction-mse")

# The status and a part of the reason; a model with one of the other faults has values.
expected = {
    "sigkill": ("killed", "was ended by SIGKILL"),
    "fork-and-sigkill": ("killed", "was ended by SIGKILL"),
    "sigsegv": ("error", "crashed with SIGSEGV"),
    "abort": ("error", "crashed with SIGABRT"),
    "os-exit": ("error", "exit code 0 before the work was done, as os._exit(0) does"),
    "sys-exit": ("error", "sys.exit(0) was called"),
    "busy-hang": ("hung", "made no progress for"),
    "sleeping-hang": ("hung", "made no progress for"),
    "stubborn-hang": ("hung", "made no progress for"),
    "daemons-and-hang": ("hung", "made no progress for"),
    "memory": ("out-of-memory", "the limit is 1 GiB"),
    "memory-of-a-child": ("out-of-memory", "the limit is 1 GiB"),
    "close-files": ("error", "its process"),
}
# The cells that a fault costs, by its place. A model is compared with a loaded copy before its fit is stored, by all of
# its methods: what ends the process in one of them costs the fit, and an exception does not.
costs = {"init": metrics, "loss": metrics, "sample": metrics, "measure": ("measured",)}
costs_of_an_exception = {**costs, "sample": ("mean",)}
limits = ("--memory", "1G", "--hang-after", "25s", "--jobs", "6")  # six hang at the same time


def cost_of(fault: str, place: str) -> tuple[str, ...]:
    """Return the metrics without a value."""
    if fault not in expected:
        return ()
    return (costs_of_an_exception if fault == "sys-exit" else costs)[place]


def wrong_in(records: Sequence[dict[str, Any]], fault: str, place: str, sound: dict[str, float]) -> list[str]:
    """Return what is not as it should be in the records of one model, in words."""
    problems = []
    found = {record["metric"]["name"]: record for record in records}
    if sorted(found) != sorted(metrics) or len(records) != len(metrics):
        return [f"{fault} in {place}: records of {[record['metric']['name'] for record in records]}"]
    for metric, record in found.items():
        if metric in cost_of(fault, place):
            status, reason = expected[fault]
            if record["status"] != status or reason not in record["reason"]:
                problems.append(f"{fault} in {place}, {metric}: {record['status']}, {record['reason']}")
        elif record["status"] != "ok" or record["value"] != sound[metric]:
            problems.append(f"{fault} in {place}, {metric}: {record['status']}, {record['reason']}, {record['value']}")
    return problems


def inject(runs: Runs, names: Sequence[str], at: Sequence[str], note: Note, step: int = 0) -> list[str]:
    """Run models with every one of the faults at every one of the places, and return what is not as it should be.

    Args:
        runs: starts the run.
        names: of the faults.
        at: the places.
        note: fills the table.
        step: how often the loss is computed before its fault.
    """
    grid = ("--set", f"faulty.fault=none,{','.join(names)}", "--set", f"faulty.place={','.join(at)}")
    chosen = ("--seeds", "1", "--metric", ",".join(metrics), "--set", f"faulty.step={step}")
    code, out, _ = runs.run(*chosen, *grid, *limits)
    problems = [f"exit code {code}"] * (code != 3)
    problems += ["standard output has what a model has written"] * ("!!!" in out or "???" in out)
    by_model: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in runs.lines():
        settings = record["model"]["settings"]
        by_model.setdefault((settings["fault"], settings["place"]), []).append(record)
    sound = {each["metric"]["name"]: each["value"] for each in by_model["none", at[0]]}
    for fault in ("none", *names):
        for place in at:
            found = by_model.get((fault, place), [])
            wrong = wrong_in(found, fault, place, sound)
            cost = cost_of(fault, place) or metrics
            note(fault, place, not wrong, {record["status"] for record in found if record["metric"]["name"] in cost})
            problems += wrong
    problems += [f"left running: {command}" for command in runs.alive()]
    return problems + [f"left in the store: {path}" for path in runs.leftovers()]


def test_a_fault_costs_what_it_is_in_and_nothing_else(runs: Runs, note: Note) -> None:
    assert inject(runs, ["os-exit", "daemon"], ["loss", "measure"], note) == []


@pytest.mark.faults
@pytest.mark.parametrize("trial", range(max(trials, 1)))
def test_every_fault_at_every_place(runs: Runs, trial: int, note: Note) -> None:
    names = [name for name in faults if name != "none"]
    assert inject(runs, names, places, note, step=trial % 3) == []
