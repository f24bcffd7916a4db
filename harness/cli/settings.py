"""``--set NAME.PARAM=VALUE``."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click

from harness.cli.options import Command
from harness.errors import UsageError

Settings = dict[tuple[str, str], list[str]]


def set_option(
    what: str = "a model, metric or data set; each of several values gives its own result",
    metavar: str = "NAME.PARAM=V[,V...]",
) -> Callable[[Command], Command]:
    """Return the decorator that adds ``--set``, which may be repeated, with ``what`` the settings belong to."""
    return click.option(
        "--set", "assignments", multiple=True, metavar=metavar, help=f"Setting of {what}. May be repeated."
    )


def parse_assignments(assignments: Iterable[str]) -> Settings:
    """Parse ``NAME.PARAM=V[,V...]`` into the values by name and parameter.

    Raises:
        UsageError: the form is wrong, a value is empty, or a setting is given twice.
    """
    parsed: Settings = {}
    for text in assignments:
        target, equals, values = text.partition("=")
        owner, dot, parameter = target.partition(".")
        if not (equals and dot and owner and parameter):
            raise UsageError(f"--set {text!r}: write NAME.PARAM=VALUE, as in vae.latent_dim=2,10")
        if (owner, parameter) in parsed:
            raise UsageError(f"--set {target} is given twice; join the values by commas")
        parsed[owner, parameter] = split_values(f"--set {text!r}", values)
    return parsed


def split_values(source: str, values: str) -> list[str]:
    """Split values that are joined by commas.

    Raises:
        UsageError: one is empty; the message names the source.
    """
    listed = [value.strip() for value in values.split(",")]
    if not all(listed):
        raise UsageError(f"{source}: an empty value")
    return listed
