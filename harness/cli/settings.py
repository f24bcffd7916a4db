"""``--set NAME.PARAM=VALUE``."""

from __future__ import annotations

import click

from harness.cli.options import Command
from harness.errors import UsageError


def set_option(command: Command) -> Command:
    """Add ``--set``, which may be repeated."""
    return click.option(
        "--set",
        "assignments",
        multiple=True,
        metavar="NAME.PARAM=V[,V...]",
        help="A setting of a model, metric or dataset; several values mean one cell each. May be repeated.",
    )(command)


def parse_assignments(assignments: tuple[str, ...]) -> dict[tuple[str, str], list[str]]:
    """Read ``NAME.PARAM=V[,V...]``.

    Raises:
        UsageError: the form is another, a value is empty, or a setting is given twice.
    """
    parsed: dict[tuple[str, str], list[str]] = {}
    for text in assignments:
        target, equals, values = text.partition("=")
        owner, dot, parameter = target.partition(".")
        if not (equals and dot and owner and parameter):
            raise UsageError(f"--set {text!r}: write NAME.PARAM=VALUE, as in vae.latent_dim=2,10")
        listed = [value.strip() for value in values.split(",")]
        if not all(listed):
            raise UsageError(f"--set {text!r}: an empty value")
        if (owner, parameter) in parsed:
            raise UsageError(f"--set {target} is given twice; join the values by commas")
        parsed[owner, parameter] = listed
    return parsed
