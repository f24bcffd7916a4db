"""Options of what a fit or a measurement may take."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from harness.cli.engine import Seconds
from harness.cli.options import Command, with_options

if TYPE_CHECKING:
    from harness.execution.limits import Limits

_units = {"M": 2**20, "G": 2**30, "T": 2**40}


class SecondsOrNever(Seconds):
    """A length of time, or ``never``."""

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> float:
        """Return the time in seconds."""
        return math.inf if str(value).strip() == "never" else super().convert(value, param, context)


class Memory(click.ParamType[int]):
    """An amount of memory: ``500M``, ``4G`` or ``1.5G``."""

    name = "memory"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> int:
        """Return the bytes."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([MGT])(?:i?B)?", str(value).strip(), re.IGNORECASE)
        size = float(match[1]) * _units[match[2].upper()] if match else 0.0
        if not 0 < size < math.inf:
            self.fail(f"{value!r} is not an amount of memory; write 500M, 4G or 1.5G", param, context)
        return int(size)


def limit_options(command: Command) -> Command:
    """Add the options of limits; see ``limits_from``."""
    options = [
        click.option("--timeout", type=Seconds(), metavar="TIME",
                     help="End a fit or a measurement that takes longer, such as 10m; of a timing, a round."),
        click.option("--memory", type=Memory(), metavar="SIZE",
                     help="End a fit or a measurement whose process, with all that it has started, uses more memory, "
                     "such as 4G. Memory of a GPU does not count."),
        click.option("--hang-after", type=SecondsOrNever(), metavar="TIME|never",
                     help="End a fit or a measurement without progress for this long: no training step, and no share "
                     "that a metric reports. [default: 10m for training in a process of its own]"),
        click.option("--isolate", is_flag=True,
                     help="Give each fit, with its measurements, a process of its own. Fits with plugins of others, "
                     "and all fits under a limit, always have one."),
    ]  # fmt: skip
    return with_options(options, command)


def limits_from(values: Mapping[str, Any]) -> Limits:
    """Return the limits that the options give."""
    from harness.execution.limits import Limits

    return Limits(values["isolate"], values["timeout"], values["memory"], values["hang_after"])
