"""Studies: runs written down in a TOML file, whose keys are the flags of ``harness run``.

models = ["vae", "iwae"]
metric = ["elbo", "iw-bound"]
seeds = 3

[set]
vae.latent_dim = [2, 10]      # several values: one cell each
iwae.hidden = "200-200"
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import click

from harness.errors import UsageError, nearest

_settings_key = "set"


def take_study(context: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
    """Make what a study says the defaults of the command's options; the command line overrides them.

    Raises:
        UsageError: the file cannot be read, or has a key that is no flag, or a value of the wrong type.
    """
    if path is None:
        return None
    try:
        text = path.read_text(encoding="utf-8")
        keys = tomllib.loads(text)
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror}; name a study, a TOML file such as studies/everything.toml"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from None
    flags = {
        flag.removeprefix("--"): option
        for option in context.command.params
        if isinstance(option, click.Option) and option.name != "assignments"
        for flag in option.opts
    }
    defaults: dict[str, Any] = {}
    for key, value in keys.items():
        if key == _settings_key:
            context.meta[_settings_key] = tuple(_assignments(path, text, value))
            continue
        if key not in flags:
            match = nearest(key, [*flags, _settings_key])
            hint = f" Did you mean {match!r}?" if match else ""
            raise UsageError(f"{_place(path, text, key)}: {key!r} is no flag of 'harness run'.{hint}")
        defaults[str(flags[key].name)] = _value(path, text, key, value, flags[key])
    context.default_map = defaults
    return path


def assignments_of_study(context: click.Context) -> tuple[str, ...]:
    """Return the settings of the study, if any, as ``--set`` takes them."""
    return tuple(context.meta.get(_settings_key, ()))


def _value(path: Path, text: str, key: str, value: Any, option: click.Option) -> Any:
    if option.multiple and isinstance(value, str):
        return [value]
    if option.multiple and isinstance(value, list) and all(isinstance(each, str) for each in value):
        return value
    if not option.multiple and isinstance(value, str | int | float):
        return value
    raise UsageError(f"{_place(path, text, key)}: {key!r} takes a value, or names as in ['a', 'b']")


def _assignments(path: Path, text: str, owners: Any) -> list[str]:
    if not isinstance(owners, dict) or not all(isinstance(each, dict) for each in owners.values()):
        raise UsageError(f"{_place(path, text, _settings_key)}: write settings as [set] and name.parameter = value")
    assignments = []
    for owner, parameters in owners.items():
        for parameter, value in parameters.items():
            values = value if isinstance(value, list) else [value]
            if not values or any(isinstance(each, list | dict) for each in values):
                where = _place(path, text, f"{owner}.{parameter}")
                raise UsageError(f"{where}: {owner}.{parameter} takes a value or a list of values; widths as '256-128'")
            written = ",".join(str(each).lower() if isinstance(each, bool) else str(each) for each in values)
            assignments.append(f"{owner}.{parameter}={written}")
    return assignments


def _place(path: Path, text: str, key: str) -> str:
    """Name the file and the line of a key."""
    pattern = re.compile(rf"""\s*\[?["']?{re.escape(key)}["']?\s*[=.\]]""")
    for number, line in enumerate(text.splitlines(), start=1):
        if pattern.match(line):
            return f"{path}, line {number}"
    return str(path)
