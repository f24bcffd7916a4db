"""Checks of what is declared: the contract and the settings. They need no fit."""

from __future__ import annotations

import dataclasses
from typing import Any

from harness.conformance.checks import check, require, skip
from harness.conformance.surroundings import quiet
from harness.contracts.checks import problem_of_figure
from harness.errors import UsageError
from harness.execution.surroundings import restored
from harness.planning.component import config_type_of, resolve_component
from harness.registry import Provided
from harness.settings import check_value, describe

_configurable = ("model", "metric", "dataset")


@check(
    (*_configurable, "figure"),
    "keeps-its-contract",
    "It has the methods, attributes and signatures of its contract.",
    "Do what the message says; docs/architecture.md describes the contracts.",
    cost=0,
)
def keeps_its_contract(subject: Any) -> None:
    """Check signatures and attributes, as ``harness run`` does before any training."""
    provided: Provided = subject.component.provided if hasattr(subject, "component") else subject.provided
    try:
        if provided.spec.kind == "figure":
            with provided.loading():
                provided.require(problem_of_figure(provided.spec.resolve()()))
        else:
            resolve_component(provided, {each.name: each.default for each in _required(provided)})
    except UsageError as error:
        require(False, str(error))


def _required(provided: Provided) -> list[Any]:
    return [each for each in describe(config_type_of(provided)) if each.required]


@check(
    _configurable,
    "settings-are-described",
    "Each setting has a description, for 'harness show'.",
    'Declare it as name: type = harness.setting(default, "what it is, with its unit").',
    cost=0,
)
def settings_are_described(subject: Any) -> None:
    """Look for settings without help."""
    bare = [each.name for each in _settings(subject) if not each.help.strip()]
    require(not bare, f"{', '.join(bare)} {'has' if len(bare) == 1 else 'have'} none")


@check(
    _configurable,
    "defaults-are-valid",
    "Each default has the type of its setting and lies in its range.",
    "Change the default, the type or the range.",
    cost=0,
)
def defaults_are_valid(subject: Any) -> None:
    """Check each default as if a user had given it."""
    config = config_type_of(subject.component.provided)
    for each in _settings(subject):
        try:
            check_value(subject.component.name, config, each.name, each.default)
        except UsageError as error:
            require(False, str(error))


@check(
    _configurable,
    "settings-are-frozen",
    "The Config is a frozen dataclass: a result has the settings that it was asked for.",
    "Write @dataclass(frozen=True), and keep derived values on the object instead.",
    cost=0,
)
def settings_are_frozen(subject: Any) -> None:
    """Look at the dataclass."""
    config = config_type_of(subject.component.provided)
    require(config.__dataclass_params__.frozen, f"{config.__qualname__} is not frozen")  # type: ignore[attr-defined]


@check(
    _configurable,
    "settings-are-used",
    "Each setting is read: one that changes nothing misleads whoever sets it.",
    "Use the setting, or remove it.",
)
def settings_are_used(subject: Any) -> None:
    """Do all the work with settings that note which of them are read."""
    if not _settings(subject):
        skip("it has no settings")
    config, read = recording(subject.component.config)
    names = {each.name for each in _settings(subject)}
    with restored(), quiet():
        for _ in subject.uses(config):
            if names <= read:
                break
    unread = sorted(names - read)
    require(not unread, f"{', '.join(unread)} {'was' if len(unread) == 1 else 'were'} never read")


def _settings(subject: Any) -> list[Any]:
    return describe(config_type_of(subject.component.provided))


def recording(config: Any) -> tuple[Any, set[str]]:
    """Return equal settings of a derived class, and the set to which each name is added once it is read."""
    read: set[str] = set()
    names = {each.name for each in dataclasses.fields(config)}
    values = {name: getattr(config, name) for name in names}

    def noted(self: Any, name: str) -> Any:
        if name in names:
            read.add(name)
        return object.__getattribute__(self, name)

    kind = type(type(config).__name__, (type(config),), {"__getattribute__": noted})
    return kind(**values), read
