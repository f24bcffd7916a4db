"""Components: data sets, models and metrics as plugins provide them, resolved and with checked settings."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.contracts.checks import problem_of_dataset, problem_of_metric, problem_of_model
from harness.contracts.content import Content
from harness.data.loading import dataset_config_type
from harness.data.source import DataSource
from harness.errors import DataError, UsageError, no_exit
from harness.planning.identity import canonical, hash_of
from harness.registry import Provided
from harness.settings import build, config_type, describe, flatten, missing, name_with_settings


@dataclass(frozen=True)
class Component:
    """A data set, model or metric with its settings.

    Args:
        provided: what a plugin provides.
        config: the settings.
        weights: a file with those of a model, or None.
        source: where the files of a data set are, or None if they are taken for the published ones.
    """

    provided: Provided
    config: Any
    weights: Path | None = None
    source: DataSource | None = field(default=None, compare=False, repr=False)

    @property
    def name(self) -> str:
        """The name users type."""
        return self.provided.spec.name

    @cached_property
    def full_name(self) -> str:
        """The name, with the settings that are not at their defaults."""
        return name_with_settings(self.name, self.settings, self.changed)

    @cached_property
    def factory(self) -> Any:
        """The class behind the name."""
        return self.provided.spec.resolve()

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Every setting, as JSON values."""
        return flatten(self.config)

    @cached_property
    def changed(self) -> list[str]:
        """The names of the settings that are not at their defaults."""
        defaults = flatten(type(self.config)())
        return [name for name, value in self.settings.items() if value != defaults[name]]

    @cached_property
    def content(self) -> Content | None:
        """What is in files that identify the component; None if there are none.

        These are files that the settings name, a file of weights, and files of a data set that are not the published
        ones.

        Raises:
            UsageError: a file is missing, cannot be read or is damaged.
        """
        if self.weights is not None:
            return Content(_digest_of_file(self.weights), f"weights from {self.weights}")
        if self.files:
            return self._content_from("content", lambda: self.factory.content(self.config))
        if self.differs_from_published:
            return self._content_in_source()
        return None

    @cached_property
    def differs_from_published(self) -> bool:
        """Whether a data set is read from files of the data folder that are not the published ones."""
        return not self.files and self._content_in_source() is not None

    def require_same_content(self) -> None:
        """Check that the files of a data set, which was loaded, are those that it had when the run was planned.

        Raises:
            DataError: they have changed.
        """
        if not self.files and self._content_in_source() != self.content:
            raise DataError(f"the files of {self.name} have changed since the run was planned; run the command again")

    def _content_in_source(self) -> Content | None:
        if self.source is None or not hasattr(self.factory, "content_in"):
            return None
        source = self.source
        return self._content_from("content_in", lambda: self.factory(self.config).content_in(source))

    def _content_from(self, method: str, read: Callable[[], Any]) -> Content | None:
        try:
            with no_exit():
                found = read()
        except UsageError:
            raise
        except Exception as error:
            raise UsageError(f"{self.provided.title}: {method}() failed: {type(error).__name__}: {error}") from error
        if found is not None and not isinstance(found, Content):
            raise UsageError(
                f"{self.provided.title}: {method}() returned {type(found).__name__}; return harness.Content"
            )
        return found

    @cached_property
    def files(self) -> dict[str, Any]:
        """The settings that name files or folders, as JSON values."""
        return {name: self.settings[name] for name in _named_by_content(self.config)}

    @cached_property
    def _digest_of_named_files(self) -> str | None:
        """A digest of the files that settings of a plugin name without ``by_content``; None if there are none.

        The project's own plugins declare their files, so a text is never taken for the name of one there.
        """
        if self.provided.plugin.is_own:
            return None
        named = {name: value for name, value in self.settings.items() if name not in self.files and _names_file(value)}
        if not named:
            return None
        digests = {
            name: _digest_of_file(Path(value), f"the file of the setting {name}") for name, value in named.items()
        }
        return f"files:{hash_of(digests)[:12]}"

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What distinguishes this component from any other, as JSON values."""
        return {
            "name": self.name,
            "distribution": self.provided.plugin.distribution,
            "version": "+".join(filter(None, [self.provided.version, self._digest_of_named_files])),
            "settings": {name: value for name, value in self.settings.items() if name not in self.files},
            **({"content": self.content.digest} if self.content else {}),
        }

    @cached_property
    def canonical_identity(self) -> str:
        """The identity in its canonical form, which the keys of many fits and cells contain."""
        return canonical(self.identity)


def resolve_component(
    provided: Provided, values: Mapping[str, Any], weights: Path | None = None, source: DataSource | None = None
) -> Component:
    """Give a data set, model or metric its settings, and a model its weights if any; check it against its contract.

    ``source`` is where the files of a data set are.

    Raises:
        UsageError: a setting is unknown, missing, of the wrong type or out of range; the plugin cannot be imported; or
            what it provides does not keep the contract.
    """
    config_of = config_type_of(provided)
    component = Component(provided, build(provided.spec.name, config_of, values), weights, source)
    for setting in missing(config_of, values):
        raise UsageError(f"{provided.spec.name}.{setting.name} has no default: give it a value ({setting.help})")
    provided.require(_problem_of(component))
    return component


def config_type_of(provided: Provided) -> type:
    """Return the ``Config`` of a data set, model or metric.

    Raises:
        UsageError: what the plugin names cannot be imported, or its ``Config`` is not a dataclass.
    """
    spec = provided.spec
    with provided.loading():
        return dataset_config_type(spec) if spec.kind == "dataset" else config_type(spec.resolve())


def _named_by_content(config: Any) -> list[str]:
    return [each.name for each in describe(type(config)) if each.by_content]


def _names_file(value: Any) -> bool:
    """Return whether a text is the path of a file; a word without a folder or an ending is not taken for one."""
    if not isinstance(value, str) or not (Path(value).suffix or os.sep in value):
        return False
    try:
        return Path(value).is_file()
    except (OSError, ValueError):  # no path can be so long, or contain a null
        return False


def _digest_of_file(path: Path, what: str = "weights file") -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{what} {str(path)!r} cannot be read: {error.strerror}") from None


def _problem_of(component: Component) -> str | None:
    kind = component.provided.spec.kind
    if kind == "model":
        return problem_of_model(component.factory)
    if kind == "dataset":
        return problem_of_dataset(component.factory)
    if not isinstance(component.factory, type):
        return f"it is {component.factory!r}; name a class, whose attributes are read before it is built"
    try:
        with no_exit():
            metric = component.factory(component.config)
    except Exception as error:
        return f"it cannot be built from its settings: {type(error).__name__}: {error}"
    return problem_of_metric(metric, component.settings)
