"""Checks plugins by themselves when a run uses them for the first time."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.data import cache_dir
from harness.cli.main import main
from harness.cli.output import warn
from harness.conformance.checks import suite_version
from harness.planning.identity import hash_of
from harness.registry import in_memory

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from harness.execution.run import Run
    from harness.registry import Provided

_longest = 120.0  # seconds


def check_new_plugins(run: Run) -> None:
    """Check the models and metrics of a run that are not the project's own, once for each version of their source.

    They are checked in a process of its own by ``harness check --quick``, so that nothing that they do can harm the
    run. What fails is shown as a warning, and the run goes on. Classes in memory are not checked, since another process
    does not have them.

    Args:
        run: before it is executed.
    """
    used = [each for cell in run.applicable for each in (cell.fit.model.provided, cell.metric.provided)]
    foreign = {_marker(each): each for each in used if not each.plugin.is_own and each.plugin.distribution != in_memory}
    new = {marker: each for marker, each in foreign.items() if not marker.exists()}
    if not new:
        return
    names = sorted({each.spec.name for each in new.values()})
    run.reporter.announce(f"checking {', '.join(names)}, used here for the first time")
    results = _results(names, run.specification.plugin_files)
    if results is None:
        warn(f"{', '.join(names)} could not be checked; 'harness check' says why")
        return
    for name in names:
        failed = [each for each in results if each["target"] == name and each["status"] == "failed"]
        if failed:
            others = ", ".join(each["check"] for each in failed[1:])
            more = f" It also fails {others}; 'harness check {name}' says more." if others else ""
            warn(f"{name} fails the check {failed[0]['check']}: {failed[0]['message']}{more}")
    for marker in new:
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()


def _marker(provided: Provided) -> Path:
    """Return the file that exists once a plugin was checked with this version of its source and of the checks."""
    spec, plugin = provided.spec, provided.plugin
    version = [provided.version, plugin.version, suite_version]
    return cache_dir() / "checked" / hash_of([spec.kind, spec.name, plugin.distribution, *version])


def _results(names: Sequence[str], files: Sequence[Path]) -> list[dict[str, str]] | None:
    """Return the results of the quick checks, or None if they did not end."""
    from harness.execution.processes import end
    from harness.execution.workers import start_process

    plugins = [word for file in files for word in ("--plugin", str(file))]
    words = ["check", ",".join(names), "--quick", "--format", "json", *plugins]
    found: list[dict[str, str]] | None = None
    with suppress(EOFError, OSError, ValueError):
        process, connection, leader = start_process(_check, words)
        try:
            if connection.poll(_longest):
                found = json.loads(connection.recv_bytes())
        finally:
            end({leader.pid: leader}, grace=0.0)
            process.join()
            connection.close()
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
