"""The option of where fits are carried out."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import Command, with_options
from harness.cli.settings import parse_assignments
from harness.cli.study import located_option
from harness.errors import UsageError, no_exit, unknown

if TYPE_CHECKING:
    from harness.contracts.executors import Executor
    from harness.registry import Registry

local = "local"


def executor_options(command: Command) -> Command:
    """Add the options of where fits are carried out; see ``executor_from``."""
    options = [
        click.option("--executor", default=local, show_default=True, metavar="NAME",
                     help="Where fits run: on this machine, or on a cluster, as with ray or slurm. Timings always run "
                     "here. 'harness show NAME' shows the settings of one."),
        click.option("--address", metavar="A", help="Address of the cluster, such as auto or 10.0.0.1:6379."),
    ]  # fmt: skip
    return with_options(options, command)


def executor_from(values: Mapping[str, Any], registry: Registry) -> Executor | None:
    """Return the executor that the options name, with its settings, or None for this machine.

    Args:
        values: of the options ``executor``, ``address`` and ``assignments``, by name.
        registry: the plugins.

    Raises:
        UsageError: there is no such executor, or a setting of it is unknown, given twice or out of range.
    """
    about = "address" if values["executor"] == local else "executor"
    context = click.get_current_context(silent=True)
    with nullcontext() if context is None else located_option(context, about):
        return _executor(values, registry)


def _executor(values: Mapping[str, Any], registry: Registry) -> Executor | None:
    from harness.contracts.checks import problem_of_executor
    from harness.planning.component import config_type_of
    from harness.settings import build, describe, missing

    name = values["executor"]
    if name == local:
        if values["address"] is not None:
            raise UsageError("--address is that of a cluster; name it with --executor, as in --executor ray")
        return None
    known = [local, *(each.spec.name for each in registry.all("executor"))]
    if name not in known:
        raise unknown("executor", name, known)
    provided = registry.get("executor", name)
    given: dict[str, Any] = {}
    for (owner, parameter), found in parse_assignments(values["assignments"]).items():
        if owner == name and len(found) > 1:
            raise UsageError(f"{name}.{parameter} has several values; give one")
        if owner == name:
            given[parameter] = found[0]
    config_of = config_type_of(provided)
    if values["address"] is not None:
        if "address" not in {each.name for each in describe(config_of)}:
            raise UsageError(f"--address: {name} has no address")
        if "address" in given:
            raise UsageError(f"--address and {name}.address are both given; give one of them")
        given["address"] = values["address"]
    config = build(name, config_of, given)
    for setting in missing(config_of, given):
        raise UsageError(f"{name}.{setting.name} has no default: give it a value ({setting.help})")
    factory = provided.spec.resolve()
    provided.require(problem_of_executor(factory))
    try:
        with no_exit():
            executor: Executor = factory(config)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"{provided.title} cannot be built: {type(error).__name__}: {error}") from error
    return executor
