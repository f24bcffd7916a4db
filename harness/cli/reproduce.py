"""The commands that compute stored results again."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.contracts.events import Record
from harness.settings import show

_flag_of = {"epochs": "epochs", "steps": "steps", "seconds": "budget"}


def commands_of(records: Iterable[Record]) -> list[str]:
    """Return the commands that compute the cells of one model on one data set again, on the same kind of machine.

    A command has each metric once. So there are several if a metric was measured with several settings, on both splits
    or with several evaluation seeds.

    Args:
        records: of one model with one budget and one engine.
    """
    by_protocol: dict[tuple[str, int], list[Record]] = defaultdict(list)
    for record in records:
        by_protocol[record.split, record.evaluation_seed].append(record)
    return [command for _, those in sorted(by_protocol.items()) for command in _of_one_protocol(those)]


def _of_one_protocol(records: Sequence[Record]) -> list[str]:
    by_metric: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        by_metric[record.metric["name"], repr(sorted(record.metric["settings"].items()))].append(record)
    rounds: list[dict[str, list[Record]]] = []
    for (name, _), those in sorted(by_metric.items()):
        free = next((each for each in rounds if name not in each), None)
        if free is None:
            rounds.append(free := {})
        free[name] = those
    return [_command([record for those in each.values() for record in those]) for each in rounds]


def _command(records: Sequence[Record]) -> str:
    first = records[0]
    metrics = {record.metric["name"]: record.metric for record in records}
    components = [first.dataset, first.model, *metrics.values()]
    words = ["harness", "run", "--models", first.model["name"], "--dataset", first.dataset["name"]]
    words += ["--metric", ",".join(metrics)]
    for component in components:
        for name in component["changed"]:
            words += ["--set", f"{component['name']}.{name}={_written(component['settings'][name])}"]
    words += ["--seeds", str(max(record.seed for record in records) + 1)]
    words += _budget(first.budget) + _engine(first.engine)
    words += ["--split", first.split] if first.split != "test" else []
    words += ["--evaluation-seed", str(first.evaluation_seed)] if first.evaluation_seed else []
    files = dict.fromkeys(each["distribution"] for each in components if each["distribution"].endswith(".py"))
    for file in files:
        words += ["--plugin", file]
    return shlex.join(words)


def _budget(budget: Mapping[str, Any] | None) -> list[str]:
    if not budget:
        return []
    length = next(name for name in _flag_of if name in budget)
    words = [f"--{_flag_of[length]}", _written(budget[length]), "--batch-size", str(budget["batch_size"])]
    return words + (["--weights", "best"] if budget.get("weights") == "best" else [])


def _engine(engine: Mapping[str, Any]) -> list[str]:
    device = engine["device"]
    words = ["--device", device, "--threads", str(engine["threads"])]
    words += ["--precision", engine["precision"]] if engine["precision"] != "float32" else []
    words += ["--step-mode", engine["execution"]] if "execution" in engine else []
    words += [] if engine.get("deterministic", True) else ["--no-deterministic"]
    if device == "cuda" or engine["path"] == "vectorized":
        words.append("--vectorize" if engine["path"] == "vectorized" else "--no-vectorize")
    return words


def _written(value: Any) -> str:
    """Write a value with all of its digits, as ``--set`` takes it."""
    if isinstance(value, list | tuple):
        return "-".join(map(_written, value))
    return repr(value) if isinstance(value, float) else show(value)
