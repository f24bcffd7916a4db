"""Plugins of a call: files, and classes or specs in memory, through the same registry."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.api.code_digest import digest_of_code
from harness.api.options import PathLike, in_words
from harness.cli.main import load_registry
from harness.errors import UsageError
from harness.hookspecs import hookimpl
from harness.registry import Plugin, Registry, in_memory
from harness.specs import DatasetSpec, MetricSpec, ModelSpec, Spec

_hooks: dict[type[Spec], str] = {
    DatasetSpec: "harness_datasets",
    MetricSpec: "harness_metrics",
    ModelSpec: "harness_models",
}


@dataclass(frozen=True)
class Plugins:
    """What a call was given as ``plugins``.

    Args:
        files: paths of plugin files.
        specs: of classes in memory, each with a version.
    """

    files: tuple[Path, ...]
    specs: tuple[Spec, ...]

    @classmethod
    def of(cls, given: Sequence[PathLike | type | Spec]) -> Plugins:
        """Sort plugins by what they are.

        Raises:
            UsageError: one is no path, class or spec of a data set, metric or model, or is a class without a digest.
        """
        if isinstance(given, str | os.PathLike | type | Spec):
            given = [given]
        if not isinstance(given, Iterable):
            raise UsageError(f"plugins: write a list of files, classes and specs, not {in_words(given)}")
        files = tuple(Path(each) for each in given if isinstance(each, str | os.PathLike))
        specs = tuple(_spec_of(each) for each in given if not isinstance(each, str | os.PathLike))
        return cls(files, specs)

    def registry(self) -> Registry:
        """Load the installed plugins, then these.

        Raises:
            UsageError: one of these has a problem.
        """
        registry = load_registry(self.files)
        if self.specs:
            provide(registry, self.specs)
        return registry


def provide(registry: Registry, specs: Sequence[Spec]) -> None:
    """Register specs of classes in memory, as the hooks of a plugin do.

    Raises:
        UsageError: another plugin provides one of the names.
    """
    plugin = Plugin(specs[0].name, in_memory, "0")
    registry.add(plugin, lambda: _module_of(specs))
    for problem in plugin.problems:
        raise UsageError(f"plugins: {problem}")


def name_of_class(found: type) -> str:
    """Return the name of a class as users type names: ``TiedAutoencoder`` becomes ``tied-autoencoder``."""
    dashed = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_+", "-", found.__name__)
    return dashed.strip("-").lower()


def _spec_of(given: Any) -> Spec:
    if isinstance(given, type):
        kind = _kind_of(given)
        lines = (given.__doc__ or "").strip().splitlines()
        given = _made(kind, name_of_class(given), given, lines[0] if lines else given.__name__)
    if not isinstance(given, Spec) or type(given) not in _hooks:
        raise UsageError(f"plugins: {given!r} is no file, class or spec of a model, a metric or a data set")
    if given.version is not None:
        return given
    factory = given.resolve()
    if not isinstance(factory, type):
        raise UsageError(f"plugins: the factory of {given.name!r} is {factory!r}; name a class")
    return replace(given, version=digest_of_code(factory))


def _kind_of(found: type) -> type[Spec]:
    if hasattr(found, "measure"):
        return MetricSpec
    return ModelSpec if hasattr(found, "state_dict") else DatasetSpec


def _made(kind: type[Spec], name: str, factory: type, summary: str) -> Spec:
    try:
        return kind(name, factory, summary)
    except ValueError as error:
        raise UsageError(f"plugins: {error}; name it with harness.{kind.__name__}") from None


def _module_of(specs: Sequence[Spec]) -> ModuleType:
    """Return a module with the hooks that provide specs."""
    module = ModuleType("harness_in_memory", "Classes that were passed as plugins.")
    for kind, hook in _hooks.items():
        setattr(module, hook, hookimpl(_provider([spec for spec in specs if type(spec) is kind])))
    return module


def _provider(specs: list[Spec]) -> Callable[[], list[Spec]]:
    def provide() -> list[Spec]:
        return specs

    return provide
