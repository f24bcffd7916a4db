"""Options of the training budget and of the engine."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from click.core import ParameterSource

from harness.cli.options import Command, WholeNumber, most_threads, with_options
from harness.contracts.engine import precisions, step_modes
from harness.errors import UsageError

if TYPE_CHECKING:
    import torch

    from harness.contracts.engine import Engine, StepMode
    from harness.planning.budget import Budget

_units = {"s": 1, "m": 60, "min": 60, "h": 3600}


class Seconds(click.ParamType[float]):
    """A length of time: ``90``, ``90s``, ``1.5m`` or ``2h``."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> float:
        """Return the time in seconds."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)?", str(value).strip())
        seconds = float(match[1]) * _units[match[2] or "s"] if match else 0.0
        if not 0 < seconds < math.inf:
            self.fail(f"{value!r} is not a length of time; write 90, 90s, 1.5m or 2h", param, context)
        return seconds


batch_size_option = click.option(
    "--batch-size",
    type=WholeNumber(min=1),
    default=128,
    show_default=True,
    metavar="N",
    help="Training examples per step.",
)


@dataclass(frozen=True)
class Weights:
    """Which weights of a fit are kept, and the files of weights by the names of models that are not trained."""

    keep: Literal["last", "best"] = "last"
    files: Mapping[str, Path] = field(default_factory=dict)


def _weights(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> Weights:
    keep: list[Literal["last", "best"]] = []
    files: dict[str, Path] = {}
    for each in given:
        model, equals, path = each.partition("=")
        if each in ("last", "best"):
            keep.append("best" if each == "best" else "last")
        elif not (equals and model and path):
            raise click.BadParameter(f"{each!r} is not one of 'last', 'best' and MODEL=FILE", context, option)
        elif model in files:
            raise click.BadParameter(f"{model!r} has two files; give one of them", context, option)
        else:
            files[model] = Path(path)
    if len(set(keep)) > 1:
        raise click.BadParameter("'last' and 'best' exclude each other", context, option)
    return Weights(keep[0] if keep else "last", files)


def budget_options(command: Command) -> Command:
    """Add the options of the training budget."""
    options = [
        click.option("--epochs", type=WholeNumber(min=1), metavar="N",
                     help="Train for N passes over the training data. [default: 20]"),
        click.option("--steps", type=WholeNumber(min=1), metavar="N", help="Train for N steps instead."),
        click.option("--budget", "seconds", type=Seconds(), metavar="TIME",
                     help="Train for this time instead, such as 60s; results then vary slightly."),
        batch_size_option,
        click.option("--weights", multiple=True, callback=_weights, metavar="last|best|MODEL=FILE",
                     help="Weights to keep: the last, or the best by validation loss, computed once an epoch. Or a "
                     "file with the weights of a model, which is then not trained; may be repeated. [default: last]"),
    ]  # fmt: skip
    return with_options(options, command)


def engine_options(command: Command) -> Command:
    """Add the options of the engine that a single fit has too."""
    options = [
        click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True,
                     help="Device to compute on."),
        click.option("--precision", type=click.Choice(precisions), default="float32", show_default=True,
                     help="Precision of training; metrics use float32. tf32 is for CUDA, bf16-products for CPUs."),
        click.option("--threads", type=WholeNumber(min=1, max=most_threads), default=1, show_default=True, metavar="N",
                     help="CPU threads per fit; their number affects the last digits of results."),
        click.option("--step-mode", "--execution", "step_mode", type=click.Choice(step_modes),
                     help="How training steps run: eagerly, compiled (faster for fits of minutes), or captured as a "
                     "CUDA graph. [default: captured on CUDA, else eager]"),
        click.option("--deterministic/--no-deterministic", default=True, show_default=True,
                     help="Use only deterministic operations."),
    ]  # fmt: skip
    return with_options(options, command)


def parallel_options(command: Command) -> Command:
    """Add the options of several fits at once."""
    options = [
        click.option("--jobs", type=WholeNumber(min=1), metavar="N",
                     help="Fits to run in parallel, on CUDA each on a GPU of its own; results do not depend on it. "
                     "[default: as many as keep all cores or GPUs busy]"),
        click.option("--timing-rounds", type=WholeNumber(min=2), default=5, show_default=True, metavar="N",
                     help="Rounds in which timings are taken in turn, each in a fresh process; their spread is the "
                     "error."),
        click.option("--vectorize/--no-vectorize", default=None,
                     help="Train all seeds of a model in one vectorized computation. [default: on CUDA]"),
    ]  # fmt: skip
    return with_options(options, command)


def budget_from(context: click.Context) -> Budget:
    """Return the budget that the options give; the command line overrides a study.

    Raises:
        UsageError: it is given more than once.
    """
    from harness.planning.budget import Budget

    values = context.params
    lengths = {name: values[name] for name in ("epochs", "steps", "seconds") if values[name] is not None}
    typed = [name for name in lengths if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    lengths = {name: lengths[name] for name in typed or lengths}
    if len(lengths) > 1:
        given = " and ".join("--budget" if name == "seconds" else f"--{name}" for name in lengths)
        raise UsageError(f"{given} each set how long to train; give one of them")
    return Budget(**(lengths or {"epochs": 20}), batch_size=values["batch_size"], weights=values["weights"].keep)


def engine_from(values: Mapping[str, Any], seeds: int) -> tuple[torch.device, Engine]:
    """Set up torch, and return the device and the engine that the options give.

    Raises:
        UsageError: there is no such device, or it lacks the precision or the step mode.
    """
    from harness.contracts.engine import Engine
    from harness.machine.device import prepare_torch

    device = prepare_torch(values["device"], deterministic=values["deterministic"])
    step_mode: StepMode = values["step_mode"] or ("captured" if device.type == "cuda" else "eager")
    vectorize = values.get("vectorize")
    together = seeds > 1 and (device.type == "cuda" if vectorize is None else vectorize)
    engine = Engine(
        device=device.type,
        threads=values["threads"],
        precision=values["precision"],
        path="vectorized" if together else "single",
        deterministic=values["deterministic"],
        step_mode=step_mode,
    )
    return prepare_engine(engine), engine


def prepare_engine(engine: Engine) -> torch.device:
    """Set up torch for an engine, and return the device.

    Raises:
        UsageError: there is no such device, or it lacks the precision or the step mode.
    """
    import torch

    from harness.machine.device import prepare_torch
    from harness.machine.precision import require_precision, require_step_mode

    device = prepare_torch(engine.device, deterministic=engine.deterministic)
    torch.set_num_threads(engine.threads)
    require_precision(engine.precision, device)
    require_step_mode(engine.step_mode, device)
    return device
