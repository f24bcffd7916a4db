"""Finds and loads plugins, and looks up what they provide; one broken plugin never stops the others."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import inspect
import itertools
import json
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from harness import hookspecs
from harness.errors import UsageError, nearest, no_exit, on_one_line, unknown
from harness.specs import (
    BoardFigureSpec,
    CommandSpec,
    DatasetSpec,
    ExecutorSpec,
    FigureSpec,
    MetricSpec,
    ModelSpec,
    RendererSpec,
    Spec,
)

own_distribution = "generative-harness"
in_memory = "in memory"  # the distribution of classes that no file or package provides
entry_point_group = "harness"

_hooks: dict[str, type[Spec]] = {
    "harness_datasets": DatasetSpec,
    "harness_models": ModelSpec,
    "harness_metrics": MetricSpec,
    "harness_figures": FigureSpec,
    "harness_board_figures": BoardFigureSpec,
    "harness_renderers": RendererSpec,
    "harness_commands": CommandSpec,
    "harness_executors": ExecutorSpec,
}


@dataclass
class Plugin:
    """A module that extends the harness: what it provides, and what is wrong with it.

    ``file`` is the path of a plugin that the user named with ``--plugin``; None for one that is installed. ``source``
    is a digest of the source files of one that is installed in editable mode, which may change under one version.
    """

    name: str
    distribution: str
    version: str
    file: Path | None = None
    source: str | None = None
    provides: list[Spec] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def is_own(self) -> bool:
        """Whether it is one of the project's own plugins."""
        return self.distribution == own_distribution and self.file is None

    @property
    def is_foreign(self) -> bool:
        """Whether it comes from a file or another distribution, so that its code belongs into other processes."""
        return not self.is_own and not self.is_in_memory

    @property
    def is_in_memory(self) -> bool:
        """Whether other processes do not have its classes."""
        return self.distribution == in_memory

    def add_problem(self, text: str, line: int | None = None) -> None:
        """Note what is wrong, with the line where it is wrong if that is in the plugin's file."""
        self.problems.append(f"line {line}: {text}" if self.file and line else text)


@dataclass(frozen=True)
class Provided:
    """A spec and the plugin that provides it."""

    spec: Spec
    plugin: Plugin

    @property
    def version(self) -> str:
        """The spec's own version, or else that of its distribution; with the digest of sources that may change."""
        return "+".join(filter(None, [self.spec.version or self.plugin.version, self.plugin.source]))

    @property
    def title(self) -> str:
        """The kind, the name and the plugin, for messages."""
        return f"{self.spec.kind} {self.spec.name!r} of plugin {self.plugin.name!r} ({self.plugin.distribution})"

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Name the plugin in the error if it cannot be imported within the block.

        Raises:
            UsageError: it cannot.
        """
        try:
            with no_exit():
                yield
        except Exception as error:
            raise UsageError(f"{self.title} cannot be loaded: {type(error).__name__}: {error}") from error

    def require(self, problem: str | None) -> None:
        """Check what the plugin provides against its contract, by the result of a check.

        Raises:
            UsageError: there is a problem.
        """
        if problem is not None:
            raise UsageError(f"{self.title} does not keep its contract: {problem}.")


class Registry:
    """Everything that the plugins provide, by kind and name."""

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
            UsageError: a file does not exist or cannot be read, or two files have the same name.
        """
        files = list(dict.fromkeys(files))
        digests = {file: _digest(file) for file in files}
        for file, other in itertools.combinations(files, 2):
            if file.stem == other.stem:
                raise UsageError(
                    f"plugin files {str(file)!r} and {str(other)!r} have the same name; rename one of them"
                )
        registry = cls()
        for distribution, version, entry in _entry_points():
            source = None if distribution == own_distribution else _source_of(entry)
            registry.add(Plugin(entry.name, distribution, version, source=source), entry.load)
        for file in files:
            registry.add(Plugin(file.stem, file.name, digests[file], file), partial(_import_file, file))
        return registry

    def add(self, plugin: Plugin, load: Callable[[], Any]) -> None:
        """Load one plugin and register what it provides; what is wrong with it is added to its ``problems``."""
        self.plugins.append(plugin)
        try:
            with _guarded():
                module = load()
        except Exception as error:
            plugin.add_problem(f"failed to import: {_described(error)}", _line_of(error, plugin))
            return
        _find_misspelt_hooks(plugin, module)
        try:
            self.manager.register(module, name=f"{plugin.distribution}:{plugin.name}")
        except (pluggy.PluginValidationError, ValueError) as error:
            plugin.add_problem(_described(error))
            return
        for hook, kind in _hooks.items():
            for implementation in getattr(self.manager.hook, hook).get_hookimpls():
                if implementation.plugin is module:
                    self._register_specs(plugin, hook, kind, implementation.function)
        if plugin.file and not plugin.problems and not self.manager.get_hookcallers(module):
            plugin.add_problem("it has no hooks; mark a function such as harness_models() with @harness.hookimpl")

    def _register_specs(self, plugin: Plugin, hook: str, kind: type[Spec], function: Callable[[], Any]) -> None:
        line = function.__code__.co_firstlineno if inspect.isfunction(function) else None
        try:
            with _guarded():
                specs = function()
                if isinstance(specs, Spec):
                    plugin.add_problem(f"{hook}() returned a single {type(specs).__name__}; return a list", line)
                    return
                specs = list(specs)
        except Exception as error:
            plugin.add_problem(f"{hook}() failed: {_described(error)}", _line_of(error, plugin) or line)
            return
        for spec in specs:
            if not isinstance(spec, kind):
                plugin.add_problem(f"{hook}() returned {spec!r}, not a {kind.__name__}", line)
                continue
            provided = Provided(spec, plugin)
            holder = self._provided.setdefault((spec.kind, spec.name), provided)
            if holder is provided:
                plugin.provides.append(spec)
            else:
                by = f"plugin {holder.plugin.name!r} ({holder.plugin.distribution})"
                plugin.add_problem(f"{spec.kind} {spec.name!r} is already provided by {by}; rename this one", line)

    def all(self, kind: str) -> list[Provided]:
        """Return everything of one kind, sorted by name."""
        return [self._provided[key] for key in sorted(self._provided) if key[0] == kind]

    def get(self, kind: str, name: str) -> Provided:
        """Return the spec of that kind and name, with its plugin.

        Raises:
            UsageError: there is none; the message suggests the nearest name.
        """
        try:
            return self._provided[kind, name]
        except KeyError:
            raise unknown(kind, name, [each.spec.name for each in self.all(kind)], self.aliases(kind)) from None

    def aliases(self, kind: str) -> dict[str, str]:
        """Return the names of one kind by their aliases, which are for suggestions only."""
        return {alias: each.spec.name for each in self.all(kind) for alias in each.spec.aliases}

    @property
    def configurable_names(self) -> list[str]:
        """The names of all data sets, metrics and models."""
        return [each.spec.name for kind in ("dataset", "metric", "model") for each in self.all(kind)]

    def notify(self, hook: str, warn: Callable[[str], None], **arguments: Any) -> None:
        """Call a notification hook of every plugin; warn about each distinct failure once, and continue."""
        for implementation in getattr(self.manager.hook, hook).get_hookimpls():
            try:
                with _guarded():
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

    def require_files(self) -> None:
        """Check the plugins of files, which the user has named.

        Raises:
            UsageError: one has a problem.
        """
        wrong = [
            f"plugin file {each.file}: {problem}" for each in self.broken if each.file for problem in each.problems
        ]
        if wrong:
            raise UsageError("\n".join(wrong))


def _entry_points() -> list[tuple[str, str, importlib.metadata.EntryPoint]]:
    """Return the name and the version of the distribution of each installed plugin, and the plugin, our own first."""
    found: dict[tuple[str, str], tuple[str, str, importlib.metadata.EntryPoint]] = {}
    read: dict[int, tuple[str, str]] = {}  # each distribution reads its file each time that it is asked
    for entry in importlib.metadata.entry_points(group=entry_point_group):
        if entry.dist is not None and id(entry.dist) not in read:
            read[id(entry.dist)] = (entry.dist.name, entry.dist.version)
        name, version = read.get(id(entry.dist), ("unknown", "0"))
        found[name, entry.name] = (name, version, entry)
    return [found[key] for key in sorted(found, key=lambda key: (key[0] != own_distribution, key))]


def _source_of(entry: importlib.metadata.EntryPoint) -> str | None:
    """Return a digest of the source files of a plugin that is installed in editable mode, or None for another one.

    They are the Python files of the package, or of the single module, that the entry point names.
    """
    if entry.dist is None or not _is_editable(entry.dist):
        return None
    try:
        found = importlib.util.find_spec(entry.module.partition(".")[0])
        if found is None:
            return None
        folders = [Path(each) for each in found.submodule_search_locations or ()]
        places = [(str(path.relative_to(folder)), path) for folder in folders for path in folder.rglob("*.py")]
        if not folders and found.origin:
            places = [(Path(found.origin).name, Path(found.origin))]
        digest = hashlib.sha256()
        for name, path in sorted(places):
            digest.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    except (OSError, ImportError, ValueError):  # the plugin cannot be loaded either, which is reported then
        return None
    return f"source:{digest.hexdigest()[:12]}"


def _is_editable(distribution: importlib.metadata.Distribution) -> bool:
    try:
        origin = json.loads(distribution.read_text("direct_url.json") or "{}")
        return bool(origin.get("dir_info", {}).get("editable"))
    except (ValueError, AttributeError):
        return False


def _import_file(file: Path) -> ModuleType:
    name = f"harness_file_{file.stem}"
    specification = importlib.util.spec_from_file_location(name, file.absolute())
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


def _digest(file: Path) -> str:
    try:
        return f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"
    except FileNotFoundError:
        raise UsageError(f"plugin file {str(file)!r} does not exist") from None
    except OSError as error:
        raise UsageError(f"plugin file {str(file)!r} cannot be read: {error.strerror}") from None


@contextmanager
def _guarded() -> Iterator[None]:
    """Keep a plugin's code from ending the process and from writing to standard output, which is for results."""
    with no_exit(), redirect_stdout(sys.stderr):
        yield


def _find_misspelt_hooks(plugin: Plugin, module: Any) -> None:
    """Find functions that are marked as hooks but have no hook's name, and the reverse."""
    known = {name for name in vars(hookspecs) if name.startswith("harness_")}
    for name, value in vars(module).items():
        if not callable(value):
            continue
        line = value.__code__.co_firstlineno if inspect.isfunction(value) else None
        marked = getattr(value, "harness_impl", None)
        hook = (marked or {}).get("specname") or name
        if marked and hook not in known:
            match = nearest(hook, known)
            plugin.add_problem(f"unknown hook {hook!r}" + (f"; did you mean {match!r}?" if match else ""), line)
        elif name in known and not marked:
            plugin.add_problem(f"{name}() is never called; mark it with @harness.hookimpl", line)


def _described(error: BaseException) -> str:
    return on_one_line(f"{type(error).__name__}: {error}")


def _line_of(error: BaseException, plugin: Plugin) -> int | None:
    """Return the line of a plugin's file at which an error arose."""
    if plugin.file is None:
        return None
    path = str(plugin.file.absolute())
    if isinstance(error, SyntaxError) and error.filename == path:
        return error.lineno
    cause = error.__cause__
    frames = [*traceback.extract_tb(cause.__traceback__ if cause else None)]
    frames += traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == path]
    return lines[-1] if lines else None
