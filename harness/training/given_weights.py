"""Weights that a user gives instead of training a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from harness.errors import UsageError


def load_weights(model: nn.Module, path: Path) -> None:
    """Give a model the weights in a file: a ``state_dict`` of its class, saved by torch or as safetensors.

    Nothing is unpickled but tensors and containers of them.

    Raises:
        UsageError: the file cannot be read, or does not have the parameters of the model with their shapes.
    """
    weights = _read(path)
    expected = model.state_dict()
    missing, unknown = ([name for name in these if name not in those] for these, those in
                        ((expected, weights), (weights, expected)))  # fmt: skip
    shapes = [
        f"{name} has the shape {tuple(weights[name].shape)} instead of {tuple(each.shape)}"
        for name, each in expected.items()
        if name in weights and weights[name].shape != each.shape
    ]
    problems = [f"{what}: {', '.join(names)}" for what, names in (("missing", missing), ("unknown", unknown)) if names]
    if problems or shapes:
        raise UsageError(f"weights file {str(path)!r} does not fit the model: {'; '.join(problems + shapes)}")
    model.load_state_dict(weights)


def _read(path: Path) -> Mapping[str, Tensor]:
    try:
        found = load_file(path) if path.suffix == ".safetensors" else _loaded(path)
    except Exception as error:  # readers raise exceptions of many kinds
        objects = "it is damaged, or holds Python objects, which are not loaded; save model.state_dict()"
        reason = getattr(error, "strerror", None) or objects
        raise UsageError(f"weights file {str(path)!r} cannot be read: {reason}") from error
    if not isinstance(found, Mapping):
        raise UsageError(f"weights file {str(path)!r} holds a {type(found).__name__}; save model.state_dict()")
    others = [str(name) for name, each in found.items() if not isinstance(each, Tensor)]
    if others:
        raise UsageError(
            f"weights file {str(path)!r} holds more than tensors ({', '.join(others)}); save model.state_dict() alone"
        )
    return found


def _loaded(path: Path) -> object:
    found: object = torch.load(path, map_location="cpu", weights_only=True)
    return found
