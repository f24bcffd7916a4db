"""Specs: what a plugin provides, by name, with a reference to its factory and a one-line summary.

A spec refers to its factory as ``"package.module:Attribute"``, which is imported only when it is needed, so that
``harness list`` does not import torch. The class or function itself is accepted too.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, ClassVar

_name_pattern = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_reference_pattern = re.compile(r"[\w.]+:\w+")


def is_name(text: str) -> bool:
    """Return whether a text can be a name: lower-case letters, digits and single dashes between them."""
    return _name_pattern.fullmatch(text) is not None


@dataclass(frozen=True)
class Spec:
    """Something that a plugin provides; each subclass is one kind.

    Args:
        name: what a user types: lower-case letters, digits and dashes.
        factory: ``"package.module:Attribute"``, or the class or function itself.
        summary: one line for ``harness list``.
        version: raise it whenever the results change; None stands for the distribution's version.
        aliases: other names that users may type; a message then suggests ``name``.
    """

    name: str
    factory: str | Callable[..., Any]
    summary: str
    version: str | None = None
    aliases: tuple[str, ...] = ()  # other names that users may type

    kind: ClassVar[str] = "spec"

    def __post_init__(self) -> None:
        if not is_name(self.name):
            raise ValueError(f"{self.kind} name {self.name!r}: use lower-case letters, digits and single dashes")
        if isinstance(self.factory, str) and not _reference_pattern.fullmatch(self.factory):
            raise ValueError(f"{self.name}: factory {self.factory!r} is not of the form 'package.module:Name'")
        if isinstance(self.aliases, str):
            raise ValueError(f"{self.name}: aliases is {self.aliases!r}; write a tuple, such as ({self.aliases!r},)")

    def resolve(self) -> Any:
        """Import and return the factory."""
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
    """A metric. Its factory is a class built as ``Metric(config)`` with ``measure(model, data, context)``.

    ``tolerance``, in the unit of the metric, is how much worse a value may become from one version of the software to
    the next. None stands for one percent of the value.
    """

    tolerance: float | None = None

    kind: ClassVar[str] = "metric"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tolerance is not None and not 0 <= self.tolerance < math.inf:
            raise ValueError(f"{self.name}: tolerance is {self.tolerance!r}; give a number that is at least 0")


@dataclass(frozen=True)
class FigureSpec(Spec):
    """A figure of a fitted model. Its factory is a class with ``draw`` and, if only some models serve, ``needs``."""

    kind: ClassVar[str] = "figure"


@dataclass(frozen=True)
class BoardFigureSpec(Spec):
    """A figure of the boards of a data set. Its factory is a function from a list of boards to a picture."""

    kind: ClassVar[str] = "board-figure"


@dataclass(frozen=True)
class ExecutorSpec(Spec):
    """A way to start workers on other machines. Its factory is a class built as ``Executor(config)``."""

    kind: ClassVar[str] = "executor"


@dataclass(frozen=True)
class RendererSpec(Spec):
    """A format of leaderboards. Its factory is a function from a list of boards to text."""

    kind: ClassVar[str] = "renderer"


@dataclass(frozen=True)
class CommandSpec(Spec):
    """A command of the command line. Its factory is a ``click.Command``."""

    kind: ClassVar[str] = "command"


def resolve(reference: str | Callable[..., Any]) -> Any:
    """Import and return ``"package.module:Attribute"``; return a reference that is not text unchanged.

    What the module prints while it is imported goes to standard error, since standard output is for results.
    """
    if not isinstance(reference, str):
        return reference
    module, _, attribute = reference.partition(":")
    with redirect_stdout(sys.stderr):
        return getattr(import_module(module), attribute)


def binarized(spec: DatasetSpec) -> DatasetSpec:
    """Return the data set ``binarized-NAME``: each pixel is drawn from a Bernoulli of its intensity."""
    return _variant(spec, "binarized", "harness.data.transforms:Binarize", "pixels drawn Bernoulli(intensity)")


def dequantized(spec: DatasetSpec) -> DatasetSpec:
    """Return the data set ``dequantized-NAME``: (pixel + uniform noise) / 256, which has a density."""
    return _variant(spec, "dequantized", "harness.data.transforms:Dequantize", "(pixel + U(0,1)) / 256")


def _variant(spec: DatasetSpec, prefix: str, transform: str, how: str) -> DatasetSpec:
    summary = f"{spec.summary}; {how}"
    return replace(spec, name=f"{prefix}-{spec.name}", transform=transform, summary=summary, aliases=())
