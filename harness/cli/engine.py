"""Options that say how long models train and how the work is carried out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from harness.cli.options import Command
from harness.contracts.engine import precisions, step_modes
from harness.errors import UsageError

if TYPE_CHECKING:
    import torch

    from harness.contracts.engine import Engine
    from harness.planning.budget import Budget

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
        click.option("--step-mode", "--execution", "step_mode", type=click.Choice(step_modes), default="eager",
                     show_default=True, help="How training steps run: operation by operation, compiled (pays in fits "
                     "of minutes), or captured as a CUDA graph."),
        click.option("--deterministic/--no-deterministic", default=True, show_default=True,
                     help="Use only operations that repeat bit for bit."),
    ]  # fmt: skip
    return _all(options, command)


def budget_from(context: click.Context) -> Budget:
    """Return the budget that the options state; the command line goes before a study.

    Raises:
        UsageError: it is stated more than once.
    """
    from harness.planning.budget import Budget

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

    from harness.contracts.engine import Engine
    from harness.machine.device import prepare_torch
    from harness.training.precision import require_precision, require_step_mode

    device = prepare_torch(values["device"], deterministic=values["deterministic"])
    torch.set_num_threads(values["threads"])
    require_precision(values["precision"], device)
    require_step_mode(values["step_mode"], device)
    vectorize = values["vectorize"]
    together = seeds > 1 and (device.type == "cuda" if vectorize is None else vectorize)
    return device, Engine(
        device=device.type,
        threads=values["threads"],
        precision=values["precision"],
        path="vectorized" if together else "single",
        deterministic=values["deterministic"],
        step_mode=values["step_mode"],
    )


def _all(options: Sequence[Any], command: Command) -> Command:
    for option in reversed(options):
        command = option(command)
    return command
