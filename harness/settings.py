"""Settings: the fields of a frozen dataclass, described, parsed from text and validated.

A plugin only writes the dataclass: ``harness show`` prints it, ``--set NAME.PARAM=VALUE`` sets its fields, and every
value is checked before anything is run.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Literal, Union

from harness.errors import UsageError, unknown

type_names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


@dataclasses.dataclass(frozen=True)
class NoSettings:
    """A ``Config`` without settings."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting as a user sees it."""

    name: str
    type: Any
    default: Any
    help: str
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None
    required: bool = False
    by_content: bool = False

    def expected(self) -> str:
        """Describe the values that the setting takes."""
        return _expected(self.type) + self._bounds()

    def _bounds(self) -> str:
        limits = (
            ("at least", self.minimum),
            ("above", self.above),
            ("at most", self.maximum),
            ("below", self.below),
        )
        bounds = " and ".join(f"{word} {limit:g}" for word, limit in limits if limit is not None)
        return f", {bounds}" if bounds else ""

    def check(self, value: Any) -> Any:
        """Return ``value`` with the setting's type; text is converted.

        Raises:
            ValueError: the type is wrong, or the value is out of range.
        """
        converted = _convert(self.type, value)
        for number in converted if isinstance(converted, tuple) else (converted,):
            if isinstance(number, int | float) and not isinstance(number, bool):
                self._check_range(number)
        return converted

    def _check_range(self, number: float) -> None:
        outside = (
            (self.minimum is not None and number < self.minimum)
            or (self.above is not None and number <= self.above)
            or (self.maximum is not None and number > self.maximum)
            or (self.below is not None and number >= self.below)
        )
        if outside:
            raise ValueError(f"{number:g} is out of range")


def setting(
    default: Any,
    help: str = "",  # noqa: A002 -- the word that argparse, click and typer users look for
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
    required: bool = False,
    by_content: bool = False,
) -> Any:
    """Declare a field of a ``Config`` with its help (state the unit) and its range.

    ``minimum`` and ``maximum`` are included in the range; ``above`` and ``below`` are not. For a tuple they bound each
    entry. A ``required`` setting must be given by the user; its default is only an example. A setting that is
    ``by_content`` names a file or a folder; results are identified by its content, not by its name, so the class must
    have a method ``content`` (see ``harness.Content``). A plain ``name: type = default`` is enough if neither help nor
    range is needed.
    """
    limits = {"minimum": minimum, "maximum": maximum, "above": above, "below": below}
    marks = {"required": required, "by_content": by_content}
    return dataclasses.field(default=default, metadata={"help": help, **limits, **marks})


def config_type(factory: Any) -> type:
    """Return the ``Config`` dataclass of a model, metric or data set; ``NoSettings`` if it has none.

    Raises:
        TypeError: its ``Config`` is not a dataclass.
    """
    config = getattr(factory, "Config", NoSettings)
    if not (isinstance(config, type) and dataclasses.is_dataclass(config)):
        raise TypeError(f"{factory.__name__}.Config must be a dataclass, not {config!r}")
    return config


def describe(config: type) -> list[Setting]:
    """Return the settings of a ``Config`` in the order of its fields."""
    return list(_described(config))


@lru_cache(maxsize=1024)
def _described(config: type) -> tuple[Setting, ...]:
    hints = typing.get_type_hints(config)
    return tuple(
        Setting(field.name, hints[field.name], field.default, **{"help": "", **field.metadata})
        for field in dataclasses.fields(config)
    )


def missing(config: type, given: Iterable[str]) -> list[Setting]:
    """Return the required settings of a ``Config`` that are not given."""
    return [each for each in describe(config) if each.required and each.name not in given]


def build(owner: str, config: type, values: Mapping[str, Any]) -> Any:
    """Build a ``Config`` from the given values, text or typed; the other settings keep their defaults.

    Raises:
        UsageError: a setting is unknown, or its value is of the wrong type or out of range.
    """
    checked = {name: check_value(owner, config, name, value) for name, value in values.items()}
    # A default of a float may be written as an int, and JSON, of which identities are made, has 1024 and 1024.0.
    defaults = {each.name: each.default for each in describe(config)}
    try:
        return config(**{name: defaults[name] if value == defaults[name] else value for name, value in checked.items()})
    except ValueError as error:
        raise UsageError(f"settings of {owner}: {error}") from None


def check_value(owner: str, config: type, name: str, value: Any) -> Any:
    """Return the value of one setting of a ``Config`` with the setting's type.

    Raises:
        UsageError: the setting is unknown, or the value is of the wrong type or out of range.
    """
    known = {each.name: each for each in describe(config)}
    if name not in known:
        raise unknown(f"setting of {owner}", name, known)
    try:
        return known[name].check(value)
    except ValueError as error:
        raise UsageError(f"{owner}.{name}={show(value)}: {error}; expected {known[name].expected()}.") from None


def flatten(config: Any) -> dict[str, Any]:
    """Return all settings of a ``Config`` as JSON values, by name."""
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def show(value: Any) -> str:
    """Write a value as ``--set`` takes it: tuples as ``256-128``, numbers in their shortest form."""
    if isinstance(value, tuple | list):
        return "-".join(show(entry) for entry in value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value).lower() if value is None else str(value)


def name_with_settings(name: str, settings: Mapping[str, Any], changed: Iterable[str]) -> str:
    """Return a name with the settings that are not at their defaults, as in ``vae latent_dim=3``."""
    return " ".join([name, *(f"{each}={show(settings[each])}" for each in changed)])


def _expected(hint: Any) -> str:
    if _is_union(hint):
        return " or ".join(_expected(member) for member in typing.get_args(hint))
    if typing.get_origin(hint) is Literal:
        return " or ".join(show(choice) for choice in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        return f"{type_names[typing.get_args(hint)[0]]} each, joined by '-' (as in 256-128)"
    return "none" if hint is type(None) else type_names[hint]


def _convert(hint: Any, value: Any) -> Any:
    if _is_union(hint):
        return _convert_union(hint, value)
    if typing.get_origin(hint) is Literal:
        choices = {show(choice): choice for choice in typing.get_args(hint)}
        if show(value) not in choices:
            raise ValueError("no such choice")
        return choices[show(value)]
    if typing.get_origin(hint) is tuple:
        entries = value.split("-") if isinstance(value, str) else value
        if not isinstance(entries, list | tuple) or not entries:
            raise ValueError("wrong type")
        return tuple(_convert(typing.get_args(hint)[0], entry) for entry in entries)
    return _convert_scalar(hint, value)


def _convert_union(hint: Any, value: Any) -> Any:
    for member in sorted(typing.get_args(hint), key=lambda each: each is str):
        try:
            return _convert(member, value)
        except ValueError:
            continue
    raise ValueError("wrong type")


def _convert_scalar(hint: Any, value: Any) -> Any:
    text = value.strip() if isinstance(value, str) else None
    if hint is type(None) and (value is None or text == "none"):
        return None
    if hint is bool:
        words = {"true": True, "yes": True, "on": True, "1": True}
        words |= {"false": False, "no": False, "off": False, "0": False}
        if isinstance(value, bool):
            return value
        if text is not None and text.lower() in words:
            return words[text.lower()]
    elif hint is str and text is not None:
        return text
    elif hint in (int, float) and not isinstance(value, bool):
        try:
            number = hint(value) if text is None or hint is float else int(text)
            is_finite = math.isfinite(number)
        except OverflowError:  # of a whole number with more than 308 digits
            raise ValueError("out of range") from None
        except (TypeError, ValueError):
            raise ValueError("wrong type") from None
        if not is_finite or (text is None and number != value):
            raise ValueError("not a finite number" if not is_finite else "wrong type")
        return number
    raise ValueError("wrong type")


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (Union, types.UnionType)
