"""Settings: the fields of a frozen dataclass, described, parsed from text and validated.

A plugin writes a dataclass and gets the rest: ``harness show`` prints it, ``--set NAME.PARAM=VALUE`` fills it,
every value is checked before any work starts.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Union

from harness.errors import UsageError, unknown

type_names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


@dataclasses.dataclass(frozen=True)
class NoSettings:
    """The configuration of something that has no settings."""


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

    def expected(self) -> str:
        """Say in words which values are taken."""
        return _expected(self.type) + self._bounds()

    def _bounds(self) -> str:
        limits = (
            ("at least", self.minimum),
            ("above", self.above),
            ("at most", self.maximum),
            ("below", self.below),
        )
        said = " and ".join(f"{word} {limit:g}" for word, limit in limits if limit is not None)
        return f", {said}" if said else ""

    def check(self, value: Any) -> Any:
        """Return ``value``, converted from text where it is text.

        Raises:
            ValueError: it is of another type, or out of range.
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
) -> Any:
    """Declare a field of a ``Config`` with its help (state the unit) and its range.

    ``minimum`` and ``maximum`` are themselves allowed; ``above`` and ``below`` are not. For a tuple they bound each
    entry. A ``required`` setting must be given by the user; its default is only an example. A plain
    ``name: type = default`` is enough if neither help nor range is needed.
    """
    limits = {"minimum": minimum, "maximum": maximum, "above": above, "below": below}
    return dataclasses.field(default=default, metadata={"help": help, **limits, "required": required})


def config_type(factory: Any) -> type:
    """Return the ``Config`` dataclass of a model, metric or dataset, or that of no settings."""
    config = getattr(factory, "Config", NoSettings)
    if not (isinstance(config, type) and dataclasses.is_dataclass(config)):
        raise TypeError(f"{factory.__name__}.Config must be a dataclass, not {config!r}")
    return config


def describe(config: type) -> list[Setting]:
    """Return the settings of a ``Config`` in the order they are written."""
    hints = typing.get_type_hints(config)
    return [
        Setting(field.name, hints[field.name], field.default, **{"help": "", **field.metadata})
        for field in dataclasses.fields(config)
    ]


def missing(config: type, given: Iterable[str]) -> list[Setting]:
    """Return the required settings of a ``Config`` that are not given."""
    return [each for each in describe(config) if each.required and each.name not in given]


def build(owner: str, config: type, values: Mapping[str, Any]) -> Any:
    """Build a ``Config`` from the given values, text or typed; the rest keep their defaults.

    Raises:
        UsageError: a setting is unknown, or its value is of the wrong type or out of range.
    """
    known = {each.name: each for each in describe(config)}
    checked = {}
    for name, value in values.items():
        if name not in known:
            raise unknown(f"setting of {owner}", name, known)
        try:
            checked[name] = known[name].check(value)
        except ValueError as error:
            expected = known[name].expected()
            raise UsageError(f"{owner}.{name}={show(value)}: {error}; expected {expected}.") from None
    try:
        return config(**checked)
    except ValueError as error:
        raise UsageError(f"settings of {owner}: {error}") from None


def flatten(config: Any) -> dict[str, Any]:
    """Return a ``Config`` as a flat mapping of JSON values, every setting in it."""
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def show(value: Any) -> str:
    """Write a value as ``--set`` takes it: widths as ``256-128``, numbers in their shortest form."""
    if isinstance(value, tuple | list):
        return "-".join(show(entry) for entry in value)
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if value is None else str(value)


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
        except (TypeError, ValueError):
            raise ValueError("wrong type") from None
        if not math.isfinite(number) or (text is None and number != value):
            raise ValueError("not a finite number" if not math.isfinite(number) else "wrong type")
        return number
    raise ValueError("wrong type")


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (Union, types.UnionType)
