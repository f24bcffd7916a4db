"""Finds what code of plugins has changed that is not its own, restores it, and names the plugin.

Data and weights are compared before and after each call of a plugin. Three means find different changes:

- A tensor counts its changes in place (``Tensor._version``), except those through ``.data`` or a numpy array. Counts
  cost nothing, so they are compared around all code.
- Sums over blocks of the bytes of each data tensor find every change but one that keeps the sum of each block. They are
  computed around code of plugins that are not the project's own.
- The weights of a model are copied before such code, and compared with their copies after it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from harness.data.dataset import Data, Split
from harness.errors import HarnessError
from harness.noise import Noise

_block = 512  # words of 8 bytes; with rows of another length the sums take several times as long
_stride = 97  # of the values of a batch that are compared; prime, so that they are at all positions of an example


class ChangedError(HarnessError):
    """Code of a plugin changed data or weights that others use; both have been restored."""


class Fingerprint:
    """What identifies the content of a data set in memory.

    Args:
        data: the data set.
    """

    def __init__(self, data: Data) -> None:
        self._tensors = dict(_tensors_of(data))
        self._versions = {name: _version(each) for name, each in self._tensors.items()}
        self._sums: dict[str, bytes] | None = None

    @property
    def sums(self) -> dict[str, bytes]:
        """The sums of all tensors by name, computed once."""
        if self._sums is None:
            self._sums = {name: sums_of(each) for name, each in self._tensors.items()}
        return self._sums

    def changed(self) -> list[str]:
        """Return the names of the tensors that have been changed; of those changed by numpy, if the sums are known."""
        return [
            name
            for name, each in self._tensors.items()
            if _version(each) != self._versions[name] or (self._sums and sums_of(each) != self._sums[name])
        ]

    def is_of(self, data: Data) -> bool:
        """Return whether other data have the same content, as far as the sums are known."""
        return self._sums is None or self._sums == Fingerprint(data).sums


def sums_of(tensor: Tensor) -> bytes:
    """Return the sums of the blocks of a tensor's bytes, as words of 8 bytes, and the bytes after the last block."""
    content = tensor.detach().contiguous().flatten().view(torch.uint8)
    words = len(content) // (8 * _block) * _block
    blocks = content[: 8 * words]
    if blocks.storage_offset() % 8:
        blocks = blocks.clone()
    sums = blocks.view(torch.int64).view(-1, _block).sum(1)
    return torch.cat([sums.view(torch.uint8), content[8 * words :]]).cpu().numpy().tobytes()


def _tensors_of(data: Data) -> Iterator[tuple[str, Tensor]]:
    yield "the mean of the data", data.info.mean
    for name, split in data.splits.items():
        yield f"the {name} split", split.stored
        yield f"the ids of the {name} split", split.ids
        if split.labels is not None:
            yield f"the labels of the {name} split", split.labels


def _version(tensor: Tensor) -> int | None:
    return None if tensor.is_inference() else tensor._version


class Weights:
    """The parameters and buffers of a model, and what its modules keep, as they are at one moment.

    Args:
        model: the model.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._attributes = [(module, dict(vars(module))) for module in model.modules()]
        self._entries = [
            (entries, dict(entries))
            for module in model.modules()
            for entries in (module._parameters, module._buffers, module._modules)
        ]
        tensors = (*model.named_parameters(), *model.named_buffers())
        self._tensors = {name: (each, each.detach().clone(), each.requires_grad) for name, each in tensors}

    def restore(self) -> list[str]:
        """Set everything to what it was, and return the names of the parameters and buffers that were changed."""
        now = dict((*self._model.named_parameters(), *self._model.named_buffers()))
        found = sorted(now.keys() - self._tensors.keys())
        for name, (tensor, content, _) in self._tensors.items():
            if now.get(name) is not tensor or not _equal(tensor, content):
                found.append(name)
        for module, attributes in self._attributes:
            vars(module).clear()
            vars(module).update(attributes)
        for entries, before in self._entries:
            entries.clear()
            entries.update(before)  # type: ignore[arg-type]
        for name, (tensor, content, requires_grad) in self._tensors.items():
            if name in found:
                tensor.data = content
            tensor.requires_grad_(requires_grad)
        return found


def _equal(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors are equal; NaN equals NaN."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(one, other) or bool(((one == other) | ((one != one) & (other != other))).all())


class WatchedSplit(Split):
    """A split that notes whether a batch was changed while it was in use."""

    def batches(self, size: int, noise: Noise) -> Iterator[Tensor]:
        """See ``Split.batches``.

        Raises:
            ChangedError: a batch was changed in place.
        """
        for x in super().batches(size, noise):
            before = _version(x), _sample(x)
            yield x
            if _version(x) != before[0] or not _equal(_sample(x), before[1]):
                raise ChangedError("a batch of examples")


def _sample(x: Tensor) -> Tensor:
    return x.detach().flatten()[::_stride].clone()


def watched(data: Data) -> Data:
    """Return the same data, with splits that notice that a batch is changed while it is in use."""
    splits: dict[str, Any] = {name: _watched(split) for name, split in data.splits.items()}
    return dataclasses.replace(data, **splits)


def _watched(split: Split) -> Split:
    if type(split) is not Split:  # a plugin's own class of splits
        return split
    return WatchedSplit(**{each.name: getattr(split, each.name) for each in dataclasses.fields(Split)})
