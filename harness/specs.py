"""What a plugin hands over: a name, where the thing is, and one line about it.

A spec names its factory as ``"package.module:Attribute"``, imported only when a run needs it, so that
``harness list`` costs no import of torch. A class or function itself will do as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, ClassVar

_name_pattern = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_reference_pattern = re.compile(r"[\w.]+:\w+")


@dataclass(frozen=True)
class Spec:
    """A named thing. The subclasses say of which kind.

    Args:
        name: lower-case letters, digits and dashes; what a user types.
        factory: ``"package.module:Attribute"``, or the class or function itself.
        summary: one line for ``harness list``.
        version: raised whenever the thing's numbers change; the distribution's version where it is None.
    """

    name: str
    factory: str | Callable[..., Any]
    summary: str
    version: str | None = None
    aliases: tuple[str, ...] = ()  # other names that users may type

    kind: ClassVar[str] = "thing"

    def __post_init__(self) -> None:
        if not _name_pattern.fullmatch(self.name):
            raise ValueError(f"{self.kind} name {self.name!r}: use lower-case letters, digits and single dashes")
        if isinstance(self.factory, str) and not _reference_pattern.fullmatch(self.factory):
            raise ValueError(f"{self.name}: factory {self.factory!r} is not of the form 'package.module:Name'")

    def resolve(self) -> Any:
        """Import and return what ``factory`` names."""
        return resolve(self.factory)


@dataclass(frozen=True)
class DatasetSpec(Spec):
    """A data set. Its factory is a class built as ``Dataset(config)`` with ``load(source) -> Data``.

    ``transform`` names a class that turns one ``Data`` into another: see ``binarized`` and ``dequantized``.
    """

    transform: str | Callable[..., Any] | None = None

    kind: ClassVar[str] = "dataset"


@dataclass(frozen=True)
class ModelSpec(Spec):
    """A generative model. Its factory is a ``torch.nn.Module`` built as ``Model(info, config)``."""

    kind: ClassVar[str] = "model"


@dataclass(frozen=True)
class MetricSpec(Spec):
    """A metric. Its factory is a class built as ``Metric(config)`` with ``measure(model, data, context)``."""

    kind: ClassVar[str] = "metric"


@dataclass(frozen=True)
class FigureSpec(Spec):
    """A picture of a fit. Its factory is a class with ``needs`` and ``draw``."""

    kind: ClassVar[str] = "figure"


@dataclass(frozen=True)
class RendererSpec(Spec):
    """A way to write leaderboards. Its factory is a function from a list of boards to text."""

    kind: ClassVar[str] = "renderer"


@dataclass(frozen=True)
class CommandSpec(Spec):
    """A command of the command line. Its factory is a ``click.Command``."""

    kind: ClassVar[str] = "command"


def resolve(reference: str | Callable[..., Any]) -> Any:
    """Import and return what ``"package.module:Attribute"`` names; anything but text is returned as it is."""
    if not isinstance(reference, str):
        return reference
    module, _, attribute = reference.partition(":")
    return getattr(import_module(module), attribute)


def binarized(spec: DatasetSpec) -> DatasetSpec:
    """Return the data set ``binarized-NAME``: every pixel drawn from a Bernoulli with its intensity."""
    return _variant(spec, "binarized", "harness.data.transforms:Binarize", "pixels drawn Bernoulli(intensity)")


def dequantized(spec: DatasetSpec) -> DatasetSpec:
    """Return the data set ``dequantized-NAME``: (pixel + uniform noise) / 256, on which densities make sense."""
    return _variant(spec, "dequantized", "harness.data.transforms:Dequantize", "(pixel + U(0,1)) / 256")


def _variant(spec: DatasetSpec, prefix: str, transform: str, how: str) -> DatasetSpec:
    return replace(spec, name=f"{prefix}-{spec.name}", transform=transform, summary=f"{spec.summary}; {how}")
