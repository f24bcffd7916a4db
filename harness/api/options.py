"""Arguments of the Python API as options of ``harness run``, which checks them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

import click

from harness.contracts.engine import Precision, StepMode
from harness.contracts.events import EvaluationSplit
from harness.errors import UsageError, unknown

Names = str | Sequence[str]
PathLike = str | os.PathLike[str]
Settings = Mapping[str, Any]


class RunOptions(TypedDict, total=False):
    """Options of ``harness run``, by their names; those that are left out have the command's defaults.

    Args:
        steps: train for this many steps, instead of ``epochs``.
        budget: train for this time, such as ``"60s"``, instead of ``epochs``.
        batch_size: training examples per step.
        weights: which weights to keep: ``last``, or ``best`` by validation loss; or ``MODEL=FILE`` to measure a model
            with given weights, without training.
        target: value of a metric to reach, such as ``"elbo=-100"``.
        split: which split is measured.
        evaluation_seed: of the metrics' random numbers.
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: of training.
        threads: CPU threads per fit.
        step_mode: how training steps run.
        deterministic: whether only deterministic operations are used.
        jobs: fits to run in parallel on the CPU.
        executor: where fits run: ``local``, or the name of a cluster's executor, such as ``ray``. Its settings are
            among ``settings``.
        address: of the cluster.
        timing_rounds: rounds in which timings are taken.
        vectorize: whether all seeds of a model are trained in one computation.
        timeout: end a fit or a measurement that takes longer, in seconds or such as ``"10m"``.
        memory: end a fit or a measurement whose processes use more memory, such as ``"4G"``.
        hang_after: end a fit or a measurement without progress for this long, in seconds or such as ``"2m"``;
            ``"never"`` for no limit.
        isolate: whether each fit, with its measurements, has a process of its own.
        data_dir: folder with the full data sets.
        figures: whether to draw figures of each fit.
        traceback: whether to print the traceback of each cell that fails.
        fresh: whether to compute again what is stored.
    """

    steps: int | None
    budget: str | float | None
    batch_size: int
    weights: Names
    target: str | None
    split: EvaluationSplit
    evaluation_seed: int
    device: Literal["auto", "cpu", "cuda"]
    precision: Precision
    threads: int
    step_mode: StepMode | None
    deterministic: bool
    jobs: int | None
    executor: str
    address: str | None
    timing_rounds: int
    vectorize: bool | None
    timeout: str | float | None
    memory: str | None
    hang_after: str | float | None
    isolate: bool
    data_dir: PathLike | None
    figures: bool
    traceback: bool
    fresh: bool


def require_known(options: Mapping[str, Any], others: Iterable[str]) -> None:
    """Check the names of keyword arguments.

    Raises:
        UsageError: one is neither in ``RunOptions`` nor among the others that the function has.
    """
    for name in options:
        if name not in RunOptions.__annotations__:
            raise unknown("argument", name, {*RunOptions.__annotations__, *others})


def context_of(command: click.Command, arguments: Mapping[str, Any]) -> click.Context:
    """Parse arguments as the command line does, and return the command's context.

    Args:
        command: ``harness run``.
        arguments: by the names of options, with underscores; None stands for an option that is not given.

    Raises:
        UsageError: an argument is of the wrong type or out of range.
    """
    options = {
        name.removeprefix("--").replace("-", "_"): option
        for option in command.params
        if isinstance(option, click.Option)
        for name in option.opts
    }
    words: list[str] = []
    for name, value in arguments.items():
        if value is not None:
            words += _words(name, options[name], value)
    try:
        return command.make_context("harness run", words)
    except click.ClickException as error:
        raise UsageError(error.format_message()) from None


def _words(name: str, option: click.Option, value: Any) -> Iterator[str]:
    flag = f"--{name.replace('_', '-')}"
    if option.is_flag:
        if not isinstance(value, bool):
            raise UsageError(f"{name}={value!r}: write True or False")
        if value:
            yield flag
        else:
            yield from option.secondary_opts
    elif isinstance(value, str | os.PathLike) or not isinstance(value, Iterable):
        yield f"{flag}={os.fspath(value) if isinstance(value, os.PathLike) else value}"
    elif option.multiple:
        yield from (f"{flag}={each}" for each in value)
    else:
        raise UsageError(f"{name}={value!r}: write a single value")


def names_of(argument: str, given: Names) -> list[str]:
    """Return names that are joined by commas or given one by one.

    Raises:
        UsageError: something else is given.
    """
    listed: Iterable[Any] = [given] if isinstance(given, str) or not isinstance(given, Iterable) else given
    found = []
    for each in listed:
        if not isinstance(each, str):
            raise UsageError(
                f"{argument}: write names as text, not {in_words(each)}; classes are passed as plugins=[...], and "
                "harness.evaluate measures a model in memory"
            )
        found += [name.strip() for name in each.split(",")]
    return found


def in_words(given: Any) -> str:
    """Name a class, or a value with its type, on one line."""
    if isinstance(given, type):
        return f"the class {given.__name__}"
    return repr(given) if isinstance(given, int | float | None) else f"an object of type {type(given).__name__}"


def path_of(argument: str, given: PathLike) -> Path:
    """Return a path.

    Raises:
        UsageError: something else is given.
    """
    if not isinstance(given, str | os.PathLike):
        raise UsageError(f"{argument}: write a path, not {in_words(given)}")
    return Path(given)


def assignments_of(settings: Settings | None) -> list[str]:
    """Return settings by ``"NAME.PARAM"`` as ``--set`` takes them; each value of a list gives one result.

    Raises:
        UsageError: a value is of no kind that a setting has.
    """
    if settings is not None and not isinstance(settings, Mapping):
        raise UsageError(f"settings={settings!r}: write a dictionary, such as {{'vae.latent_dim': [2, 10]}}")
    found = []
    for target, value in (settings or {}).items():
        values = value if isinstance(value, list) else [value]
        if not values:
            raise UsageError(f"settings {target!r}: the list is empty; give at least one value")
        found.append(f"{target}={','.join(_written(target, each) for each in values)}")
    return found


def _written(target: str, value: Any) -> str:
    """Write a value with all of its digits."""
    if isinstance(value, tuple):
        return "-".join(_written(target, each) for each in value)
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, Path):
        value = str(value)
    if not isinstance(value, str | int | float) or (isinstance(value, str) and "," in value):
        raise UsageError(
            f"settings {target!r}: {value!r} is not a value of a setting; write a number, text without commas, True, "
            "False, None, a tuple of numbers, or a list of several of these"
        )
    return repr(value) if isinstance(value, float) else str(value)


def data_folder(data_dir: PathLike | None) -> Path | None:
    """Return the user's folder of data sets: the one that is given, or that of ``HARNESS_DATA_DIR``, or None.

    Raises:
        UsageError: there is no such folder.
    """
    given = data_dir if data_dir is not None else os.environ.get("HARNESS_DATA_DIR") or None
    found = None if given is None else path_of("data_dir", given)
    if found is not None and not found.is_dir():
        raise UsageError(f"data_dir {str(given)!r}: there is no such folder")
    return found
