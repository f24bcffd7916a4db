"""Data sets in memory: their description (``DataInfo``) and their splits as tensors on the device (``Data``)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from harness.errors import DataError, NotApplicable
from harness.noise import Noise, derive_seed

Support = Literal["binary", "unit", "real", "points"]
SplitName = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class DataInfo:
    """The properties of a data set that a model is built from.

    Args:
        shape: shape of one example, channels first: ``(1, 28, 28)``.
        support: ``binary`` {0, 1}; ``unit`` [0, 1]; ``real``; ``points``, a set of points as ``(1, features, points)``
            with features in [0, 1].
        mean: mean training example, ``(*shape)``, on the scale of model inputs. When a model is built it is on the CPU,
            whatever the device of the run; the model is moved to the device afterwards.
        scale: how stored values become inputs, such as ``pixel / 255``; a density depends on it.
        dequantized: whether uniform noise was added to discrete values, which makes densities proper.
        classes: number of label classes, or None without labels.
    """

    shape: tuple[int, ...]
    support: Support
    mean: Tensor
    scale: str = ""
    dequantized: bool = False
    classes: int | None = None

    @property
    def dim(self) -> int:
        """Number of values in one example."""
        return math.prod(self.shape)

    @property
    def is_discrete(self) -> bool:
        """Whether values are discrete; a density of them can grow without bound."""
        return self.support == "binary" or (bool(self.scale) and not self.dequantized)

    def to(self, device: torch.device | str) -> DataInfo:
        """Return the same with its mean on ``device``."""
        return replace(self, mean=self.mean.to(device))

    def as_vector(self) -> int:
        """Return the number of values of an example, for a model in which each value has a fixed position.

        Raises:
            NotApplicable: the examples are sets of points, which have no order.
        """
        if self.support == "points":
            raise NotApplicable("it models values at fixed positions, and the examples are sets of points")
        return self.dim

    def as_image(self) -> tuple[int, int, int]:
        """Return channels, height and width.

        Raises:
            NotApplicable: the examples are not images.
        """
        if self.support == "points" or len(self.shape) != 3:
            kind = "sets of points" if self.support == "points" else f"of shape {self.shape}"
            raise NotApplicable(f"it is a model of images, and the examples are {kind}")
        channels, height, width = self.shape
        return channels, height, width

    def as_points(self) -> tuple[int, int]:
        """Return the number of features of a point, and of points in an example ``(1, features, points)``.

        Raises:
            NotApplicable: the examples are not sets of points.
        """
        if self.support != "points":
            raise NotApplicable(f"it is a model of point sets, and the data is {self.support} of shape {self.shape}")
        _, features, points = self.shape
        return features, points


@dataclass(frozen=True)
class Split:
    """Examples in their stored form, converted to model inputs batch by batch on the device.

    Args:
        stored: ``(N, *shape)``, bytes or floats.
        labels: ``(N,)`` int64, or None.
        ids: ``(N,)`` int64, the position of each example in its source, which identifies it in paired comparisons.
        inputs: converts stored values ``(B, *shape)`` to float32 inputs; it may draw from the noise.
    """

    stored: Tensor
    labels: Tensor | None
    ids: Tensor
    inputs: Callable[[Tensor, Noise], Tensor]

    def __len__(self) -> int:
        return len(self.stored)

    def batch(self, index: Tensor, noise: Noise) -> Tensor:
        """Return the inputs of the examples at ``index``, ``(B, *shape)`` float32."""
        return self.inputs(self.stored.index_select(0, index), noise)  # copies rows, as stored[index] does not

    def batches(self, size: int, noise: Noise) -> Iterator[Tensor]:
        """Yield the inputs in order in batches of ``size``; the last may be shorter."""
        for stored in self.stored.split(size):
            yield self._new_inputs(stored, noise)

    def all(self, noise: Noise) -> Tensor:
        """Return the inputs of the whole split, ``(N, *shape)`` float32."""
        return self._new_inputs(self.stored, noise)

    def _new_inputs(self, stored: Tensor, noise: Noise) -> Tensor:
        """Return inputs that share no memory with what is stored, so that a change in place is not one of the data."""
        found = self.inputs(stored, noise)
        return found.clone() if found.untyped_storage().data_ptr() == stored.untyped_storage().data_ptr() else found

    def subset(self, n: int) -> Split:
        """Return ``n`` examples chosen at random, or all in order if there are no more.

        The choice depends only on the size of the split: it is the start of a fixed permutation. The first examples of
        a file are no random sample; MNIST's test images, for one, are ordered by their writers.
        """
        if n >= len(self):
            return self
        chosen = Noise(derive_seed("subset", len(self))).permutation(len(self))[:n].to(self.stored.device)
        labels = None if self.labels is None else self.labels[chosen]
        return replace(self, stored=self.stored[chosen], labels=labels, ids=self.ids[chosen])

    def first(self, n: int) -> Split:
        """Return ``subset(n)``, whose former name this is."""
        warnings.warn("Split.first is now Split.subset, which chooses at random", DeprecationWarning, stacklevel=2)
        return self.subset(n)

    def to(self, device: torch.device | str) -> Split:
        """Return the split with its tensors on ``device``."""
        labels = None if self.labels is None else self.labels.to(device)
        return replace(self, stored=self.stored.to(device), labels=labels, ids=self.ids.to(device))


@dataclass(frozen=True)
class Data:
    """A data set: models are trained on ``train``, monitored on ``validation``, and never see ``test``.

    ``log_prob`` is set if the distribution of the examples is known. It maps examples ``(N, *shape)`` on any device to
    their exact log-density in nats, ``(N,)`` float64 on the CPU. No model can have a higher expected log-density.
    Transforms of the examples drop it.
    """

    info: DataInfo
    train: Split
    validation: Split
    test: Split
    log_prob: Callable[[Tensor], Tensor] | None = None

    def to(self, device: torch.device | str) -> Data:
        """Return the data set with its splits on ``device``."""
        splits: dict[str, Any] = {name: split.to(device) for name, split in self.splits.items()}
        return replace(self, info=self.info.to(device), **splits)

    @property
    def splits(self) -> dict[SplitName, Split]:
        """The splits by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @classmethod
    def from_tensors(
        cls,
        train: Examples,
        validation: Examples,
        test: Examples,
        *,
        support: Support = "real",
        classes: int | None = None,
        log_prob: Callable[[Tensor], Tensor] | None = None,
    ) -> Data:
        """Build a data set from tensors ``(N, *shape)``: bytes are 8-bit pixels, floats are used unchanged.

        Raises:
            DataError: a split is empty; shapes, types or lengths disagree; values are outside of the support; or labels
                are no whole numbers from 0 to ``classes`` − 1.
        """
        if support not in get_args(Support):
            raise DataError(f"the support is {support!r}; use one of {', '.join(map(repr, get_args(Support)))}")
        if classes is not None and (isinstance(classes, bool) or not isinstance(classes, int) or classes < 1):
            raise DataError(f"classes is {classes!r}; use an int of at least 1, or None without labels")
        given = {"train": train, "validation": validation, "test": test}
        for name, examples in given.items():
            _check(name, examples, train)
            _check_labels(name, examples.labels, classes)
        pixels = train.values.dtype == torch.uint8
        if not pixels:
            for name, examples in given.items():
                _check_support(name, examples.values, support)
        inputs = pixels_to_unit if pixels else floats
        info = DataInfo(
            shape=tuple(train.values.shape[1:]),
            support="unit" if pixels else support,
            mean=mean_of(train.values) / 255 if pixels else mean_of(train.values),
            scale="pixel / 255" if pixels else "",
            classes=classes,
        )
        splits = {name: Split(each.values, _labels(each), _ids(each), inputs) for name, each in given.items()}
        return cls(info, **splits, log_prob=log_prob)


@dataclass(frozen=True)
class Examples:
    """The raw values of a split, ``(N, *shape)``, with labels ``(N,)`` and source ids ``(N,)``."""

    values: Tensor
    labels: Tensor | None = None
    ids: Tensor | None = None


def pixels_to_unit(stored: Tensor, noise: Noise) -> Tensor:
    """Map bytes to [0, 1]."""
    return stored.to(torch.float32) / 255


def floats(stored: Tensor, noise: Noise) -> Tensor:
    """Convert values to float32."""
    return stored.to(torch.float32)


def mean_of(values: Tensor) -> Tensor:
    """Return the mean over examples, ``(*shape)`` float32: bytes are summed exactly, floats in float64."""
    if values.dtype == torch.uint8:
        # numpy sums bytes in one pass; 2^24 of them stay below 2^32.
        total = sum(part.cpu().numpy().sum(0, dtype=np.uint32).astype(np.float64) for part in values.split(2**24))
    else:
        total = sum(part.to(torch.float64).sum(0) for part in values.split(8192))
    return torch.as_tensor(total / len(values), dtype=torch.float32, device=values.device)


def _ids(examples: Examples) -> Tensor:
    return torch.arange(len(examples.values)) if examples.ids is None else examples.ids


def _labels(examples: Examples) -> Tensor | None:
    return None if examples.labels is None else examples.labels.to(torch.int64)


def _check(name: str, examples: Examples, train: Examples) -> None:
    if not isinstance(examples, Examples):
        raise DataError(f"the {name} split is a {type(examples).__name__}; pass harness.Examples(values, labels)")
    values = examples.values
    for kind, each in (("values", values), ("labels", examples.labels), ("ids", examples.ids)):
        if each is not None and not isinstance(each, Tensor):
            raise DataError(
                f"the {kind} of the {name} split are a {type(each).__name__}; pass a tensor, as of torch.as_tensor"
            )
    if values.dim() < 2:
        raise DataError(f"the values of the {name} split have the shape {tuple(values.shape)}; pass (N, *shape)")
    if len(values) == 0:
        raise DataError(f"the {name} split is empty")
    if values.shape[1:] != train.values.shape[1:] or values.dtype != train.values.dtype:
        raise DataError(f"the {name} split is {_described(values)}, the train split {_described(train.values)}")
    for kind, each in (("labels", examples.labels), ("ids", examples.ids)):
        if each is not None and len(each) != len(values):
            raise DataError(f"the {name} split has {len(values)} examples but {len(each)} {kind}")
    if values.is_complex():
        raise DataError(f"the {name} split has complex values; pass real ones, such as those of torch.view_as_real")
    if values.requires_grad:
        raise DataError(f"the values of the {name} split require a gradient; pass values.detach()")
    if values.is_floating_point():
        ends = torch.stack(torch.aminmax(values))  # both are NaN if any value is
        if not bool(ends.isfinite().all()):
            raise DataError(f"the {name} split has values that are not finite")
        if not bool(ends.to(torch.float32).isfinite().all()):
            raise DataError(f"the {name} split has values that are too large for float32; rescale them")
    ids = examples.ids
    if ids is not None and (ids.dtype != torch.int64 or ids.dim() != 1 or len(ids.unique()) < len(ids)):
        raise DataError(f"the ids of the {name} split are {_kind(ids)}; pass int64 of shape (N,), each different")


def _check_labels(name: str, labels: Tensor | None, classes: int | None) -> None:
    if labels is None:
        return
    if labels.dim() != 1 or labels.is_floating_point() or labels.is_complex():
        advice = "; of one-hot vectors, pass labels.argmax(1)" if labels.dim() == 2 else ""
        raise DataError(
            f"the labels of the {name} split are {_kind(labels)}; pass whole numbers of shape (N,), as int64{advice}"
        )
    lowest, highest = int(labels.min()), int(labels.max())
    if classes is not None and not 0 <= lowest <= highest < classes:
        raise DataError(
            f"the labels of the {name} split go from {lowest} to {highest}, but with classes={classes} they must be "
            f"from 0 to {classes - 1}"
        )


def _check_support(name: str, values: Tensor, support: Support) -> None:
    """Check that all values lie in the support.

    Raises:
        DataError: some do not.
    """
    if support == "real":
        return
    low, high = (float(each) for each in torch.aminmax(values))
    if not 0 <= low <= high <= 1:
        hint = "; pass pixels as bytes (torch.uint8), or divide them by 255" if low >= 0 and high <= 255 else ""
        raise DataError(
            f"the {name} split has values in [{low:.9g}, {high:.9g}], outside of [0, 1], "
            f"the range of support={support!r}{hint}"
        )
    if support == "binary" and not bool(((values == 0) | (values == 1)).all()):
        raise DataError(f"the {name} split has values between 0 and 1, but its support is 'binary'")


def _described(values: Tensor) -> str:
    return f"{values.dtype} of shape {tuple(values.shape[1:])}"


def _kind(values: Tensor) -> str:
    return f"{str(values.dtype).removeprefix('torch.')} of shape {tuple(values.shape)}"
