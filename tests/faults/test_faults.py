"""A fault in a model or a metric costs its own fit or cell, has its cause in the record, and leaves no process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pytest
from faulty import faults

if TYPE_CHECKING:
    from tests.faults.conftest import Runs

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
# The cells that a fault costs, by its place.
costs = {"init": metrics, "loss": metrics, "sample": ("mean",), "measure": ("measured",)}
limits = ("--memory", "1G", "--hang-after", "15s", "--jobs", "2")


def wrong_in(records: Sequence[dict[str, Any]], fault: str, place: str, sound: dict[str, float]) -> list[str]:
    """Return what is not as it should be in the records of one model, in words."""
    problems = []
    found = {record["metric"]["name"]: record for record in records}
    if sorted(found) != sorted(metrics) or len(records) != len(metrics):
        return [f"{fault} in {place}: records of {[record['metric']['name'] for record in records]}"]
    for metric, record in found.items():
        if fault in expected and metric in costs[place]:
            status, reason = expected[fault]
            if record["status"] != status or reason not in record["reason"]:
                problems.append(f"{fault} in {place}, {metric}: {record['status']}, {record['reason']}")
        elif record["status"] != "ok" or record["value"] != sound[metric]:
            problems.append(f"{fault} in {place}, {metric}: {record['status']}, {record['reason']}, {record['value']}")
    return problems


def inject(runs: Runs, names: Sequence[str], at: Sequence[str], note: Callable[[str, str, bool], None]) -> list[str]:
    """Run models with every one of the faults at every one of the places, and return what is not as it should be."""
    grid = ("--set", f"faulty.fault=none,{','.join(names)}", "--set", f"faulty.place={','.join(at)}")
    code, out, _ = runs.run("--seeds", "1", "--metric", ",".join(metrics), *grid, *limits)
    problems = [f"exit code {code}"] * (code != 3)
    problems += ["standard output has what a model has written"] * ("!!!" in out or "???" in out)
    by_model: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in runs.lines():
        settings = record["model"]["settings"]
        by_model.setdefault((settings["fault"], settings["place"]), []).append(record)
    sound = {each["metric"]["name"]: each["value"] for each in by_model["none", at[0]]}
    for fault in names:
        for place in at:
            wrong = wrong_in(by_model.get((fault, place), []), fault, place, sound)
            note(fault, place, not wrong)
            problems += wrong
    problems += [f"left running: {command}" for command in runs.alive()]
    return problems + [f"left in the store: {path}" for path in runs.leftovers()]


def test_a_fault_costs_what_it_is_in_and_nothing_else(runs: Runs, note: Callable[[str, str, bool], None]) -> None:
    assert inject(runs, ["os-exit", "daemon"], ["loss", "measure"], note) == []


@pytest.mark.faults
def test_every_fault_at_every_place(runs: Runs, trial: int, note: Callable[[str, str, bool], None]) -> None:
    names = [name for name in faults if name != "none"]
    assert inject(runs, names, places, note) == []
