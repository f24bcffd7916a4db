"""Studies: TOML files whose keys are the options of ``harness run``.

models = ["vae", "iwae"]
metric = ["elbo", "iw-bound"]
seeds = 3

[set]
vae.latent_dim = [2, 10]      # each of several values gives its own result
iwae.hidden = "200-200"
"""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from harness.cli.settings import split_values
from harness.errors import UsageError, nearest

_settings_key, _arguments_key = "set", "arguments"
_places_key = "places of options"


class CommandWithStudy(click.Command):
    """A command whose options may be given by a study; it keeps its arguments for messages."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments."""
        ctx.meta[_arguments_key] = list(args)
        return super().parse_args(ctx, args)


@dataclass(frozen=True)
class StudySetting:
    """The values of a setting, as text, and their place in the study."""

    values: list[str]
    place: str


def take_study(context: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
    """Make the values of a study the defaults of the command's options; the command line overrides them.

    Raises:
        UsageError: the file cannot be read, a key is unknown, or a value is one that the option does not take.
    """
    if path is None:
        return None
    text = _read(path, context)
    try:
        keys = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from None
    options = {
        name.removeprefix("--"): option
        for option in context.command.params
        if isinstance(option, click.Option) and option.name != "assignments"
        for name in option.opts
    }
    context.default_map, chosen = {}, dict[str, str]()
    for key, value in keys.items():
        place = _place(path, text, key)
        if key == _settings_key:
            context.meta[_settings_key] = dict(_settings(path, text, value))
        elif key not in options:
            match = nearest(key, [*options, _settings_key])
            hint = f" Did you mean {match!r}?" if match else ""
            raise UsageError(f"{place}: {key!r} is not an option of 'harness run'.{hint}")
        else:
            name = str(options[key].name)
            if name in chosen:
                raise UsageError(f"{place}: {key!r} and {chosen[name]!r} are the same option; give one of them")
            chosen[name] = key
            with located(place):
                context.default_map[name] = _checked(context, key, value, options[key])
            context.meta.setdefault(_places_key, {})[name] = place
    return path


def settings_of_study(context: click.Context) -> dict[tuple[str, str], StudySetting]:
    """Return the settings of the study, by name and parameter; none without a study."""
    settings: dict[tuple[str, str], StudySetting] = context.meta.get(_settings_key, {})
    return settings


def located_option(context: click.Context, name: str) -> AbstractContextManager[None]:
    """Begin the message of an error about an option with its place, if its value comes from a study."""
    from_study = context.get_parameter_source(name) is ParameterSource.DEFAULT_MAP
    place = context.meta.get(_places_key, {}).get(name)
    return located(place) if from_study and place else nullcontext()


@contextmanager
def located(place: str) -> Iterator[None]:
    """Begin the message of an error with its place in a study."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{place}: {error}") from None


def _read(path: Path, context: click.Context) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if path.suffix:
            raise UsageError(f"there is no study file {str(path)!r}") from None
        raise UsageError(
            f"there is no study file {str(path)!r}; names are joined by commas: {_joined(context, str(path))}"
        ) from None
    except OSError as error:
        raise UsageError(f"study file {str(path)!r}: {error.strerror}; name a TOML file") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from None


def _joined(context: click.Context, word: str) -> str:
    """Write names that were separated by spaces, as in ``--models pca linear-ae``, as the option takes them."""
    arguments = context.meta[_arguments_key]
    at = arguments.index(word)
    lists = {name for each in context.command.params if isinstance(each, click.Option) and each.multiple
             for name in each.opts}  # fmt: skip
    if at < 2 or arguments[at - 2] not in lists:
        return "--models vae,gan"
    names = itertools.takewhile(lambda each: not each.startswith("-"), arguments[at - 1 :])
    return f"{arguments[at - 2]} {','.join(each.strip(',') for each in names)}"


def _checked(context: click.Context, key: str, value: Any, option: click.Option) -> Any:
    """Check a value by what the option takes on the command line, and return it as the option's default."""
    if option.is_flag:
        if not isinstance(value, bool):
            raise UsageError(f"{key!r} takes true or false")
        return value
    if option.multiple:
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(each, str) for each in values):
            raise UsageError(f"{key!r} takes names, as in ['a', 'b']")
        given: Any = values
    elif isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UsageError(f"{key!r} takes a single value that is not true or false")
    else:
        given = str(value)
    try:
        option.process_value(context, given)
    except click.BadParameter as error:
        raise UsageError(f"{key!r}: {error.message}") from None
    return given


def _settings(path: Path, text: str, owners: Any) -> Iterator[tuple[tuple[str, str], StudySetting]]:
    if not isinstance(owners, dict) or not all(isinstance(each, dict) for each in owners.values()):
        raise UsageError(f"{_place(path, text, _settings_key)}: write settings as [set] and name.parameter = value")
    for owner, parameters in owners.items():
        for parameter, value in parameters.items():
            place = _place(path, text, f"{owner}.{parameter}")
            values = value if isinstance(value, list) else [value]
            if not values or any(isinstance(each, list | dict) for each in values):
                raise UsageError(f"{place}: {owner}.{parameter} takes a value or a list of values; widths as '256-128'")
            written = ",".join(str(each).lower() if isinstance(each, bool) else str(each) for each in values)
            yield (owner, parameter), StudySetting(split_values(f"{place}: {owner}.{parameter}", written), place)


def _place(path: Path, text: str, key: str) -> str:
    """Return the file and the line of a key."""
    pattern = re.compile(rf"""\s*\[?["']?{re.escape(key)}["']?\s*[=.\]]""")
    for number, line in enumerate(text.splitlines(), start=1):
        if pattern.match(line):
            return f"{path}, line {number}"
    return str(path)
