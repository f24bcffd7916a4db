"""Checks plugins by themselves when a run uses them for the first time."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.data import cache_dir
from harness.cli.main import main
from harness.cli.output import warn
from harness.conformance.checks import suite_version
from harness.planning.identity import hash_of
from harness.settings import describe

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from harness.execution.run import Run
    from harness.execution.specification import RunSpecification
    from harness.planning.component import Component
    from harness.registry import Provided

_longest = 120.0  # seconds


def check_new_plugins(run: Run) -> None:
    """Check what a run uses of models, metrics and data sets of others, once for each version of their source.

    They are checked in a process of its own by ``harness check --quick``, so that nothing that they do can harm the
    run; data sets in another one, since the time that they take depends on their size. What fails is shown as a
    warning, and the run goes on. Classes in memory are not checked, since another process does not have them, and
    data sets that have no default for a setting are not, since the checks use the defaults.

    Args:
        run: whose data were prepared, so that nothing is left to be downloaded, before it is executed.
    """
    fits = [cell.fit for cell in run.applicable]
    algorithms = [*(fit.model.provided for fit in fits), *(cell.metric.provided for cell in run.applicable)]
    datasets = [fit.dataset.provided for fit in fits if not _requires_settings(fit.dataset)]
    for used in (algorithms, datasets):
        foreign = {_marker(each): each for each in used if each.plugin.is_foreign}
        new = {marker: each for marker, each in foreign.items() if not marker.exists()}
        if new:
            _check_new(new, run)


def _check_new(new: Mapping[Path, Provided], run: Run) -> None:
    """Check what is new, and keep its markers unless the checks broke off."""
    ids = sorted({(each.spec.name, each.spec.kind) for each in new.values()})
    names = sorted({name for name, _ in ids})
    run.reporter.announce(f"checking {', '.join(names)}, used here for the first time")
    try:
        results = _results(names, run.specification)
    except TimeoutError:
        warn(f"the checks of {', '.join(names)} take more than {_longest:g} s and were ended; see 'harness check'")
    else:
        if results is None:
            warn(f"{', '.join(names)} could not be checked; 'harness check' says why")
            return
        for name, kind in ids:
            _warn_of_failures(name, [each for each in results if each["target"] == name and _kind(each) == kind])
    for marker in new:
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()


def _warn_of_failures(name: str, results: Sequence[Mapping[str, str]]) -> None:
    failed = [each for each in results if each["status"] == "failed"]
    if failed:
        others = ", ".join(each["check"] for each in failed[1:])
        more = f" It also fails {others}; 'harness check {name}' says more." if others else ""
        warn(f"{name} fails the check {failed[0]['check']}: {failed[0]['message']}{more}")


def _requires_settings(dataset: Component) -> bool:
    return any(each.required for each in describe(type(dataset.config)))


def _kind(result: Mapping[str, str]) -> str:
    return result["check"].partition("-")[0]


def _marker(provided: Provided) -> Path:
    """Return the file that exists once a plugin was checked with this version of its source and of the checks."""
    spec, plugin = provided.spec, provided.plugin
    version = [provided.version, plugin.version, suite_version]
    return cache_dir() / "checked" / hash_of([spec.kind, spec.name, plugin.distribution, *version])


def _results(names: Sequence[str], specification: RunSpecification) -> list[dict[str, str]] | None:
    """Return the results of the quick checks, or None if they broke off.

    Raises:
        TimeoutError: they take too long.
    """
    from harness.execution.processes import end
    from harness.execution.workers import start_process

    options = [word for file in specification.plugin_files for word in ("--plugin", str(file))]
    if specification.data_dir is not None:
        options += ["--data-dir", str(specification.data_dir)]
    words = ["check", ",".join(names), "--quick", "--format", "json", *options]
    found: list[dict[str, str]] | None = None
    ended = True
    with suppress(EOFError, OSError, ValueError):
        process, connection, leader = start_process(_check, words)
        try:
            ended = connection.poll(_longest)
            if ended:
                found = json.loads(connection.recv_bytes())
        finally:
            end({leader.pid: leader}, grace=0.0)
            process.join()
            connection.close()
    if not ended:
        raise TimeoutError
    return found


def _check(connection: Connection, words: list[str]) -> None:
    """Carry out a command in this process, without what it says meanwhile, and send what it writes."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    written = io.StringIO()
    with redirect_stdout(written), suppress(SystemExit):
        main(words)
    connection.send_bytes(written.getvalue().encode())
