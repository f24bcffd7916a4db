"""The commands that compute stored results again."""

from __future__ import annotations

import json
import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.contracts.events import Record
from harness.settings import show

_flag_of = {"epochs": "epochs", "steps": "steps", "seconds": "budget"}


def commands_of(records: Iterable[Record]) -> list[str]:
    """Return the commands that compute the cells of one model on one data set again, on the same kind of machine.

    There are several if a metric was measured with several settings, or if metrics differ in their split, evaluation
    seed or number of seeds.

    Args:
        records: of one model with one budget and one engine.
    """
    by_metric: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        metric = [record.metric["name"], record.metric["settings"], record.split, record.evaluation_seed]
        by_metric[json.dumps(metric, sort_keys=True)].append(record)
    runs: list[tuple[tuple[str, int, int], dict[str, Record]]] = []
    for _, those in sorted(by_metric.items()):
        last = max(those, key=lambda record: record.seed)
        protocol = last.split, last.evaluation_seed, last.seed
        fitting = (metrics for each, metrics in runs if each == protocol and last.metric["name"] not in metrics)
        metrics = next(fitting, None)
        if metrics is None:
            runs.append((protocol, metrics := {}))
        metrics[last.metric["name"]] = last
    return [_command(list(metrics.values())) for _, metrics in runs]


def _command(records: Sequence[Record]) -> str:
    """Return the command of records that differ in nothing but their metrics."""
    first = records[0]
    components = [first.dataset, first.model, *(record.metric for record in records)]
    words = ["harness", "run", "--models", first.model["name"], "--dataset", first.dataset["name"]]
    words += ["--metric", ",".join(record.metric["name"] for record in records)]
    for component in components:
        for name in component["changed"]:
            words += ["--set", f"{component['name']}.{name}={show(component['settings'][name])}"]
    words += ["--weights", f"{first.model['name']}={first.model['weights']}"] if "weights" in first.model else []
    words += ["--seeds", str(first.seed + 1)]
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
    words = [f"--{_flag_of[length]}", show(budget[length]), "--batch-size", str(budget["batch_size"])]
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
