"""Finding, loading and naming plugins; one broken plugin never stops the rest."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from harness import hookspecs
from harness.errors import UsageError, nearest, no_exit, unknown
from harness.specs import CommandSpec, DatasetSpec, FigureSpec, MetricSpec, ModelSpec, RendererSpec, Spec

own_distribution = "generative-harness"
entry_point_group = "harness"

_hooks: dict[str, type[Spec]] = {
    "harness_datasets": DatasetSpec,
    "harness_models": ModelSpec,
    "harness_metrics": MetricSpec,
    "harness_figures": FigureSpec,
    "harness_renderers": RendererSpec,
    "harness_commands": CommandSpec,
}


@dataclass
class Plugin:
    """One module that was asked to extend the harness, whether it could or not."""

    name: str
    distribution: str
    version: str
    provides: list[Spec] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Provided:
    """A spec and the plugin it came from."""

    spec: Spec
    plugin: Plugin

    @property
    def version(self) -> str:
        """The spec's own version, or else that of its distribution."""
        return self.spec.version or self.plugin.version


class Registry:
    """All that the plugins provide, by kind and name."""

    def __init__(self) -> None:
        self.plugins: list[Plugin] = []
        self.manager = pluggy.PluginManager("harness")
        self.manager.add_hookspecs(hookspecs)
        self._provided: dict[tuple[str, str], Provided] = {}
        self._warned: set[str] = set()

    @classmethod
    def load(cls, files: Sequence[Path] = ()) -> Registry:
        """Load every installed plugin, our own first, then the given files.

        Raises:
            UsageError: a file does not exist.
        """
        for file in files:
            if not file.is_file():
                raise UsageError(f"plugin file {str(file)!r} does not exist")
        registry = cls()
        for entry in _entry_points():
            distribution = entry.dist.name if entry.dist else "unknown"
            version = entry.dist.version if entry.dist else "0"
            registry.add(Plugin(entry.name, distribution, version), entry.load)
        for file in files:
            digest = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
            registry.add(Plugin(file.stem, file.name, f"sha256:{digest}"), partial(_import_file, file))
        return registry

    def add(self, plugin: Plugin, load: Callable[[], Any]) -> None:
        """Load one plugin and take what it provides; what is wrong with it is kept in its ``problems``."""
        self.plugins.append(plugin)
        try:
            module = load()
        except (Exception, SystemExit) as error:
            plugin.problems.append(f"failed to import: {_described(error)}")
            return
        plugin.problems += _misspelt_hooks(module)
        try:
            self.manager.register(module, name=f"{plugin.distribution}:{plugin.name}")
        except (pluggy.PluginValidationError, ValueError) as error:
            plugin.problems.append(_described(error))
            return
        for hook, kind in _hooks.items():
            self._take(plugin, hook, kind, module)

    def _take(self, plugin: Plugin, hook: str, kind: type[Spec], module: Any) -> None:
        implementations = [each for each in getattr(self.manager.hook, hook).get_hookimpls() if each.plugin is module]
        for implementation in implementations:
            try:
                with no_exit():
                    specs = list(implementation.function())
            except Exception as error:
                plugin.problems.append(f"{hook}() failed: {_described(error)}")
                continue
            for spec in specs:
                if not isinstance(spec, kind):
                    plugin.problems.append(f"{hook}() returned {spec!r}, not a {kind.__name__}")
                    continue
                holder = self._provided.get((spec.kind, spec.name))
                if holder is not None:
                    plugin.problems.append(
                        f"{spec.kind} {spec.name!r} is already provided by {holder.plugin.distribution}; "
                        "this one is left out"
                    )
                    continue
                plugin.provides.append(spec)
                self._provided[spec.kind, spec.name] = Provided(spec, plugin)

    def all(self, kind: str) -> list[Provided]:
        """Return what is provided of one kind, in the order of names."""
        return [self._provided[key] for key in sorted(self._provided) if key[0] == kind]

    def get(self, kind: str, name: str) -> Provided:
        """Return the thing of that name.

        Raises:
            UsageError: there is none; the message has the nearest right name.
        """
        try:
            return self._provided[kind, name]
        except KeyError:
            raise unknown(kind, name, [each.spec.name for each in self.all(kind)]) from None

    @property
    def takers_of_settings(self) -> list[str]:
        """The names of all data sets, metrics and models."""
        return [each.spec.name for kind in ("dataset", "metric", "model") for each in self.all(kind)]

    def notify(self, hook: str, warn: Callable[[str], None], **arguments: Any) -> None:
        """Call a notice hook of every plugin; each distinct failure is shown once and stops nothing else."""
        for implementation in getattr(self.manager.hook, hook).get_hookimpls():
            try:
                with no_exit():
                    implementation.function(*(arguments[name] for name in implementation.argnames))
            except Exception as error:
                message = f"plugin {implementation.plugin_name}: {hook}() failed: {_described(error)}"
                if message not in self._warned:
                    self._warned.add(message)
                    warn(message)

    @property
    def broken(self) -> list[Plugin]:
        """The plugins with problems."""
        return [each for each in self.plugins if each.problems]


def _entry_points() -> list[importlib.metadata.EntryPoint]:
    found: Iterable[importlib.metadata.EntryPoint] = importlib.metadata.entry_points(group=entry_point_group)
    unique = {(entry.dist.name if entry.dist else "", entry.name): entry for entry in found}
    return [unique[key] for key in sorted(unique, key=lambda key: (key[0] != own_distribution, key))]


def _import_file(file: Path) -> ModuleType:
    name = f"harness_file_{file.stem}"
    specification = importlib.util.spec_from_file_location(name, file)
    if specification is None or specification.loader is None:
        raise ImportError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    try:
        specification.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _misspelt_hooks(module: Any) -> list[str]:
    """Find functions marked as hooks, or named like ones, that no hook spec knows."""
    known = {name for name in vars(hookspecs) if name.startswith("harness_")}
    problems = []
    for name, value in vars(module).items():
        marked = callable(value) and hasattr(value, "harness_impl")
        if marked and name not in known:
            match = nearest(name, known)
            problems.append(f"unknown hook {name!r}" + (f"; did you mean {match!r}?" if match else ""))
        elif name in known and callable(value) and not marked:
            problems.append(f"{name} is not marked @harness.hookimpl, so it is not called")
    return problems


def _described(error: BaseException) -> str:
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return said if len(said) < 300 else said[:300] + "…"
