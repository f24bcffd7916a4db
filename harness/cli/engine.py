"""Options that say how long models train and how the work is carried out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from harness.cli.options import Command
from harness.engine import executions, precisions
from harness.errors import UsageError

if TYPE_CHECKING:
    import torch

    from harness.budget import Budget
    from harness.engine import Engine
    from harness.executors import Bench, Jobs, Task

# Fits that show fewer examples, or take less time, end before a second process has begun.
_long_examples, _long_seconds = 50_000, 5

_units = {"s": 1, "m": 60, "min": 60, "h": 3600}


class Seconds(click.ParamType[float]):
    """A length of time: ``90``, ``90s``, ``1.5m`` or ``2h``."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> float:
        """Return it in seconds."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)?", str(value).strip())
        if not match or float(match[1]) <= 0:
            self.fail(f"{value!r} is no length of time; write 90, 90s, 1.5m or 2h", param, context)
        return float(match[1]) * _units[match[2] or "s"]


def budget_options(command: Command) -> Command:
    """Add the options of a budget."""
    options = [
        click.option("--epochs", type=click.IntRange(min=1), metavar="N",
                     help="Train for N passes over the training images. [default: 20]"),
        click.option("--steps", type=click.IntRange(min=1), metavar="N", help="Train for N steps instead."),
        click.option("--budget", "seconds", type=Seconds(), metavar="TIME",
                     help="Train for a time instead, as in 60s; not repeatable bit for bit."),
        click.option("--batch-size", type=click.IntRange(min=1), default=128, show_default=True, metavar="N",
                     help="Training images a step."),
        click.option("--weights", type=click.Choice(["last", "best"]), default="last", show_default=True,
                     help="Which weights to keep; best is by validation loss, seen once an epoch."),
    ]  # fmt: skip
    return _all(options, command)


def engine_options(command: Command) -> Command:
    """Add the options of the engine."""
    options = [
        click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True,
                     help="Where to compute."),
        click.option("--precision", type=click.Choice(precisions), default="float32", show_default=True,
                     help="Of training; metrics always take float32. tf32 is for CUDA, bf16-products for CPUs."),
        click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, metavar="N",
                     help="CPU threads of one fit; they change its last digits."),
        click.option("--jobs", type=click.IntRange(min=1), metavar="N",
                     help="Fits side by side on the CPU; they change no number. [default: what keeps all cores busy]"),
        click.option("--vectorize/--no-vectorize", default=None,
                     help="Train the seeds of a model as one. [default: on CUDA]"),
        click.option("--execution", type=click.Choice(executions), default="eager", show_default=True,
                     help="Of training steps: as they come, compiled (worth it in fits of minutes), or captured as a "
                     "CUDA graph."),
        click.option("--deterministic/--no-deterministic", default=True, show_default=True,
                     help="Use only operations that repeat bit for bit."),
    ]  # fmt: skip
    return _all(options, command)


def budget_from(context: click.Context) -> Budget:
    """Return the budget that the options state; the command line goes before a study.

    Raises:
        UsageError: it is stated more than once.
    """
    from harness.budget import Budget

    values = context.params
    lengths = {name: values[name] for name in ("epochs", "steps", "seconds") if values[name] is not None}
    typed = [name for name in lengths if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    lengths = {name: lengths[name] for name in typed or lengths}
    if len(lengths) > 1:
        given = " and ".join("--budget" if name == "seconds" else f"--{name}" for name in lengths)
        raise UsageError(f"{given} each say how long to train; give one of them")
    return Budget(**(lengths or {"epochs": 20}), batch_size=values["batch_size"], weights=values["weights"])


def engine_from(values: Mapping[str, Any], seeds: int) -> tuple[torch.device, Engine]:
    """Set torch up and return the device and the engine that the options state.

    Raises:
        UsageError: the device is not there, or has not the precision or the execution.
    """
    import torch

    from harness.device import prepare_torch
    from harness.engine import Engine
    from harness.training import require_execution, require_precision

    device = prepare_torch(values["device"], deterministic=values["deterministic"])
    torch.set_num_threads(values["threads"])
    require_precision(values["precision"], device)
    require_execution(values["execution"], device)
    vectorize = values["vectorize"]
    together = seeds > 1 and (device.type == "cuda" if vectorize is None else vectorize)
    return device, Engine(
        device=device.type,
        threads=values["threads"],
        precision=values["precision"],
        path="vectorized" if together else "single",
        deterministic=values["deterministic"],
        execution=values["execution"],
    )


def jobs_from(values: Mapping[str, Any], engine: Engine, tasks: Sequence[Task], bench: Bench) -> Jobs:
    """Return how many processes to use: as many as keep the cores busy, for fits that take long enough to be worth it.

    Where the last of these would leave half of the cores idle or more, they share the cores with those before, unless
    the budget is a time or a fit has several threads, which wait for one another.

    Raises:
        UsageError: several were asked for on a GPU.
    """
    from harness.executors import Jobs
    from harness.load import cores

    if engine.device != "cpu":
        if (values["jobs"] or 1) > 1:
            raise UsageError("--jobs is for CPUs; on a GPU the seeds of a model are trained as one instead.")
        return Jobs()
    if values["jobs"]:
        jobs = min(values["jobs"], max(1, len(tasks)))
        return Jobs(jobs, jobs)
    long = [task for task in tasks if _is_long(task, bench)]
    usual = max(1, min(cores() // engine.threads, len(long)))
    over = len(long) % usual
    timed = any(fit.budget and fit.budget.seconds for task in long for fit in task.fits)
    shares = over <= usual / 2 and engine.threads == 1 and not timed
    return Jobs(usual, usual + over * shares)


def _is_long(task: Task, bench: Bench) -> bool:
    from harness.data import Data

    budget, data = task.fits[0].budget, bench.data(task.fits[0].dataset)
    if budget is None or not isinstance(data, Data):
        return False
    if budget.seconds:
        return budget.seconds >= _long_seconds
    shown = budget.epochs * len(data.train) if budget.epochs else (budget.steps or 0) * budget.batch_size
    return shown >= _long_examples


def _all(options: Sequence[Any], command: Command) -> Command:
    for option in reversed(options):
        command = option(command)
    return command
