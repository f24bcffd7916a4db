"""Components: data sets, models and metrics as plugins provide them, resolved and with checked settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from harness.contracts.checks import problem_of_dataset, problem_of_metric, problem_of_model
from harness.data.loading import dataset_config_type
from harness.errors import UsageError, no_exit
from harness.registry import Provided
from harness.settings import build, config_type, flatten, missing


@dataclass(frozen=True)
class Component:
    """A data set, model or metric with its settings."""

    provided: Provided
    config: Any

    @property
    def name(self) -> str:
        """The name users type."""
        return self.provided.spec.name

    @cached_property
    def factory(self) -> Any:
        """The class behind the name."""
        return self.provided.spec.resolve()

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting, as JSON values."""
        return flatten(self.config)

    @property
    def changed(self) -> list[str]:
        """The names of the settings that are not at their defaults."""
        defaults = flatten(type(self.config)())
        return [name for name, value in self.settings.items() if value != defaults[name]]

    @property
    def identity(self) -> dict[str, Any]:
        """What distinguishes this component from any other, as JSON values."""
        return {
            "name": self.name,
            "distribution": self.provided.plugin.distribution,
            "version": self.provided.version,
            "settings": self.settings,
        }


def resolve_component(provided: Provided, values: Mapping[str, Any]) -> Component:
    """Give a data set, model or metric its settings, and check it against its contract.

    Raises:
        UsageError: a setting is unknown, missing, of the wrong type or out of range; the plugin cannot be imported; or
            what it provides does not keep the contract.
    """
    config_of = config_type_of(provided)
    component = Component(provided, build(provided.spec.name, config_of, values))
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
