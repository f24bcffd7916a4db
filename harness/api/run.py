"""``harness.run`` and ``harness.plan``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from harness.api.options import (
    Names,
    PathLike,
    RunOptions,
    Settings,
    assignments_of,
    context_of,
    names_of,
    require_known,
)
from harness.api.plugins import Plugins
from harness.api.results import Results
from harness.api.torch_state import restored_torch
from harness.cli.data import default_dataset
from harness.cli.preview import Preview
from harness.errors import HarnessError, UsageError
from harness.specs import Spec

if TYPE_CHECKING:
    from harness.execution.run import Run


def run(
    models: Names,
    metrics: Names,
    datasets: Names = default_dataset,
    *,
    seeds: int = 3,
    epochs: int | None = None,
    settings: Settings | None = None,
    runs: PathLike = "runs",
    leaderboards: PathLike | None = None,
    plugins: Sequence[PathLike | type | Spec] = (),
    quiet: bool = False,
    **options: Unpack[RunOptions],
) -> Results:
    """Train models, measure them, and return the results, as ``harness run`` does.

    What is stored in ``runs`` is not computed again.

    Args:
        models: names, such as ``["vae", "iwae"]``.
        metrics: names.
        datasets: names.
        seeds: train each model from the seeds 0 to ``seeds`` − 1.
        epochs: train for this many passes over the training data; 20 if no other length is given.
        settings: by ``"NAME.PARAM"``, such as ``{"vae.latent_dim": [2, 10]}``; each value of a list gives one result,
            and a tuple is one value, such as ``{"vae.hidden": (256, 128)}``.
        runs: the folder of results.
        leaderboards: a folder in which the boards are written; None writes none.
        plugins: paths of plugin files, classes of models, metrics or data sets, and specs of such classes. A class is
            named after itself: ``TiedAutoencoder`` is ``tied-autoencoder``. Classes work in one job, in this process,
            and without limits.
        quiet: show only warnings and failures.
        options: further options of ``harness run``; see ``RunOptions``.

    Raises:
        UsageError: an argument is unknown, of the wrong type or out of range; nothing was run.
        DataError: all data sets are missing, incomplete or corrupt.
        StoreError: a result could not be written; those before it are stored.
        HarnessError: the run has ended, and a cell has no record.
        KeyboardInterrupt: the run was interrupted; all finished cells are stored, and the same call resumes it.
    """
    from harness.atomic import require_writable
    from harness.cli.output import warn
    from harness.cli.run import execute
    from harness.leaderboard.files import rewrite
    from harness.results.curation import with_titles

    own = {"seeds": seeds, "epochs": epochs, "runs": runs, "leaderboards": leaderboards, "quiet": quiet}
    named = {"models": models, "metrics": metrics, "datasets": datasets}
    with restored_torch():
        begun, values = _run_of({**named, **own}, settings, plugins, options)
        require_writable(values["runs"], "runs")
        if leaderboards is not None:
            require_writable(values["leaderboards"], "leaderboards")
        outcome = execute(begun, values)
    if leaderboards is not None:
        names = {record.dataset["name"] for record in outcome.records.values()}
        rewrite(names, begun.store, values["leaderboards"], begun.registry, warn)
    if outcome.interrupted:
        raise KeyboardInterrupt
    if outcome.unrecorded:
        raise HarnessError(f"{len(outcome.unrecorded)} cells of the plan have no record, see above")
    records = [outcome.records[cell.key] for cell in begun.plan.cells]
    return Results(with_titles(records, begun.store), begun.store)


def plan(
    models: Names,
    metrics: Names,
    datasets: Names = default_dataset,
    *,
    seeds: int = 3,
    epochs: int | None = None,
    settings: Settings | None = None,
    runs: PathLike = "runs",
    plugins: Sequence[PathLike | type | Spec] = (),
    **options: Unpack[RunOptions],
) -> Preview:
    """Return what ``run`` would compute with these arguments, and about how long it takes; nothing is computed.

    Args:
        models: names, such as ``["vae", "iwae"]``.
        metrics: names.
        datasets: names.
        seeds: as of ``run``.
        epochs: as of ``run``.
        settings: as of ``run``.
        runs: the folder of results.
        plugins: as of ``run``.
        options: further options of ``harness run``; see ``RunOptions``.

    Raises:
        UsageError: an argument is unknown, of the wrong type or out of range.
    """
    from harness.cli.preview import preview_of

    own = {"seeds": seeds, "epochs": epochs, "runs": runs, "quiet": True}
    named = {"models": models, "metrics": metrics, "datasets": datasets}
    with restored_torch():
        begun, values = _run_of({**named, **own}, settings, plugins, options)
        return preview_of(begun, values["jobs"])


def _run_of(
    arguments: Mapping[str, Any],
    settings: Settings | None,
    plugins: Sequence[PathLike | type | Spec],
    options: RunOptions,
) -> tuple[Run, dict[str, Any]]:
    """Return the run that the arguments ask for, before any work, with the values of the command's options."""
    from harness.cli.run import request_of, run_of
    from harness.cli.run import run as command

    require_known(options, [*arguments, "settings", "plugins"])
    given = Plugins.of(plugins)
    files = [os.fspath(file) for file in given.files]
    named = {
        name: names_of(name, arguments[name])
        for name in ("models", "metrics", "datasets")
        if arguments[name] is not None
    }
    words = {**arguments, **named, **options, "set": assignments_of(settings), "plugin": files}
    context = context_of(command, words)
    registry = given.registry()
    values = dict(context.params)
    found = run_of(request_of(context, registry), registry, values)
    if given.specs:
        _require_one_process(found, values)
        values["jobs"] = 1
    return found, values


def _require_one_process(found: Run, values: Mapping[str, Any]) -> None:
    timings = sorted({cell.metric.name for cell in found.plan.cells if cell.machine is not None})
    if timings:
        raise UsageError(
            f"{timings[0]} is timed in fresh processes, which do not have the classes of this one; write the plugins "
            "to a file, and pass the file"
        )
    if (values["jobs"] or 1) > 1:
        raise UsageError(
            f"jobs={values['jobs']}: other processes do not have the classes of this one; leave jobs out, or write the "
            "plugins to a file, and pass the file"
        )
    if found.executor is not None:
        raise UsageError(
            f"executor={values['executor']}: other machines do not have the classes of this process; write the plugins "
            "to a file, and pass the file"
        )
    if found.specification.limits.isolates:
        given = next(name for name in ("timeout", "memory", "hang_after", "isolate") if values[name])
        raise UsageError(
            f"{given}={values[given]}: limits are for other processes, which do not have the classes of this one; "
            "write the plugins to a file, and pass the file"
        )
