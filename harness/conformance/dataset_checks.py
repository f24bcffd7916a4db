"""Checks of a data set: its splits, what it says of itself, and its density if it states one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from harness.conformance.checks import Skipped, check, require, skip
from harness.data.dataset import Data, Split
from harness.data.loading import load_dataset
from harness.data.source import DataSource
from harness.data.suspicions import rows_and_duplicates, share_within
from harness.errors import DataError
from harness.noise import Noise
from harness.planning.component import Component

_examples = 500  # of a split, looked at


@dataclass
class DatasetSubject:
    """A data set under check.

    Args:
        component: the data set with its settings.
        source: where data come from.
    """

    component: Component
    source: DataSource

    @property
    def data(self) -> Data:
        """The data.

        Raises:
            Skipped: it is not there, such as without a network.
        """
        if isinstance(self._data, Skipped):
            raise Skipped(str(self._data))
        return self._data

    @cached_property
    def _data(self) -> Data | Skipped:
        try:
            return self.load()
        except DataError as error:
            return Skipped(f"it could not be loaded: {error}")

    def load(self, config: Any = None) -> Data:
        """Load the data."""
        spec, config = self.component.provided.spec, self.component.config if config is None else config
        return load_dataset(spec, config, self.source)  # type: ignore[arg-type]

    def uses(self, config: Any) -> Iterator[None]:
        """Load with given settings."""
        self.data  # noqa: B018 -- skips the check of data that are not there
        self.load(config)
        yield

    def work_by_hand(self) -> None:
        """Load, and convert a batch."""
        self.data  # noqa: B018 -- skips the check of data that are not there
        for split in self.load().splits.values():
            split.subset(_examples).all(Noise(0))


def _splits(subject: DatasetSubject) -> Iterator[tuple[str, Split, Tensor]]:
    """Yield the splits with some of their inputs."""
    for name, split in subject.data.splits.items():
        yield name, split, split.subset(_examples).all(Noise(0))


@check(
    "dataset",
    "loads",
    "load(source) returns harness.Data whose splits have examples, or raises harness.DataError.",
    "Return harness.Data.from_tensors(train, validation, test), each a harness.Examples.",
)
def loads(subject: DatasetSubject) -> None:
    """Load it."""
    for name, split in subject.data.splits.items():
        require(len(split) > 0, f"the {name} split is empty")
        require(len(split.ids) == len(split), f"the {name} split has {len(split.ids)} ids for {len(split)} examples")


@check(
    "dataset",
    "loads-repeatably",
    "Loading twice gives the same data.",
    "Draw from harness.Noise(harness.derive_seed(name, split, seed)), with a seed that is a setting.",
)
def loads_repeatably(subject: DatasetSubject) -> None:
    """Load it again."""
    again = subject.load()
    for name, split in subject.data.splits.items():
        other = again.splits[name]
        equal = torch.equal(split.stored, other.stored) and torch.equal(split.ids, other.ids)
        require(equal, f"the {name} split is another the second time")
    require(torch.equal(subject.data.info.mean, again.info.mean), "the mean is another the second time")


@check(
    "dataset",
    "inputs-follow-the-noise",
    "The same noise gives the same inputs, and validation and test inputs are always the same.",
    "Draw from the noise that inputs receives, in the training split only.",
)
def inputs_follow_the_noise(subject: DatasetSubject) -> None:
    """Convert examples twice."""
    for name, split, x in _splits(subject):
        part = split.subset(_examples)
        require(torch.equal(x, part.all(Noise(0))), f"inputs of the {name} split from the same noise differ")
        if name != "train":
            require(torch.equal(x, part.all(Noise(1))), f"inputs of the {name} split depend on the noise")


@check(
    "dataset",
    "splits-are-disjoint",
    "No test or validation example is also a training example.",
    "Split once, by position or by a seeded permutation, and check for duplicates.",
)
def splits_are_disjoint(subject: DatasetSubject) -> None:
    """Compare the stored values, and allow for as many duplicates as there are within the training split."""
    splits = subject.data.splits
    known, natural = rows_and_duplicates(splits["train"].stored)
    for name in ("validation", "test"):
        share = share_within(known, splits[name].stored)
        seen = f"{share:.1%} of the {name} examples are training examples; {natural:.1%} of these are duplicates"
        require(share <= 0.01 + 2 * natural, seen)
    both = share_within(rows_and_duplicates(splits["validation"].stored)[0], splits["test"].stored)
    require(both <= 0.01 + 2 * natural, f"{both:.1%} of the test examples are validation examples")


@check(
    "dataset",
    "ids-are-unique",
    "Each example of a split has an id of its own, on which comparisons are paired.",
    "Use the position of the example in its source.",
)
def ids_are_unique(subject: DatasetSubject) -> None:
    """Count the ids of each split."""
    for name, split in subject.data.splits.items():
        require(split.ids.dtype == torch.int64, f"the ids of the {name} split are {split.ids.dtype}")
        distinct = len(split.ids.unique())
        require(distinct == len(split), f"the {name} split has {distinct:,} ids for {len(split):,} examples")


@check(
    "dataset",
    "inputs-have-the-shape",
    "Inputs are float32 tensors of the shape that info states.",
    "State shape=tuple(values.shape[1:]), as Data.from_tensors does.",
)
def inputs_have_the_shape(subject: DatasetSubject) -> None:
    """Look at some inputs of each split."""
    shape = subject.data.info.shape
    for name, _, x in _splits(subject):
        require(tuple(x.shape[1:]) == shape, f"{name} inputs have the shape {tuple(x.shape[1:])}, and info {shape}")
        require(x.dtype == torch.float32, f"{name} inputs are {x.dtype}")


@check(
    "dataset",
    "inputs-are-in-the-support",
    "Inputs are finite and lie in the support that info states.",
    "Divide bytes by 255, or state another support.",
)
def inputs_are_in_the_support(subject: DatasetSubject) -> None:
    """Look at some inputs of each split."""
    support = subject.data.info.support
    for name, _, x in _splits(subject):
        require(x.isfinite().all(), f"{name} inputs are not finite")
        span = f"{name} inputs lie in [{float(x.min()):.3g}, {float(x.max()):.3g}], and the support is {support!r}"
        if support == "binary":
            require(((x == 0) | (x == 1)).all(), span)
        elif support != "real":
            require(x.min() >= 0 and x.max() <= 1, span)


@check(
    "dataset",
    "mean-is-that-of-the-inputs",
    "info.mean is the mean training example, on the scale of inputs.",
    "Compute it after scaling, as Data.from_tensors does.",
)
def mean_is_that_of_the_inputs(subject: DatasetSubject) -> None:
    """Average the training inputs."""
    info, train = subject.data.info, subject.data.train
    require(tuple(info.mean.shape) == info.shape, f"it has the shape {tuple(info.mean.shape)}, and info {info.shape}")
    part = train.subset(20_000)
    x = part.all(Noise(0)).double()
    error = 6 * x.std(0) / len(x) ** 0.5 + 1e-3 * (1 + x.abs().amax(0))
    gap = float(((x.mean(0) - info.mean.double()).abs() - error).max())
    require(gap < 0, f"values differ by up to {float((x.mean(0) - info.mean.double()).abs().max()):.3g}")


@check(
    "dataset",
    "labels-are-classes",
    "Labels are whole numbers from 0 to info.classes − 1.",
    "Pass classes=number, and int64 labels.",
)
def labels_are_classes(subject: DatasetSubject) -> None:
    """Look at the labels of each split."""
    classes = subject.data.info.classes
    for name, split in subject.data.splits.items():
        if classes is None:
            continue
        require(split.labels is not None, f"the {name} split has no labels, and info {classes} classes")
        assert split.labels is not None
        lowest, highest = int(split.labels.min()), int(split.labels.max())
        seen = f"labels of the {name} split go from {lowest} to {highest}, and info has {classes} classes"
        require(lowest >= 0 and highest < classes, seen)
        require(len(split.labels) == len(split), f"the {name} split has {len(split.labels)} labels")


@check(
    "dataset",
    "splits-are-alike",
    "The splits are from one distribution.",
    "Shuffle before splitting; files are often sorted by class or by writer.",
)
def splits_are_alike(subject: DatasetSubject) -> None:
    """Compare the mean brightness, or the mean of all values, of the splits."""
    means = {}
    for name, split in subject.data.splits.items():
        values = split.subset(2000).all(Noise(0)).double().flatten(1).mean(1)
        means[name] = values.mean(), values.std(), len(values)
    mean, deviation, n = means["train"]
    for name in ("validation", "test"):
        other, _, m = means[name]
        # Test images are often from other sources, so that small differences are common.
        limit = deviation * (0.3 + 6 * (1 / n + 1 / m) ** 0.5)
        require(abs(other - mean) <= limit, f"the mean value is {mean:.3g} in train, and {other:.3g} in {name}")


@check(
    "dataset",
    "density-fits-the-data",
    "A known density gives finite float64 values, (N,), and fits the data: no shifted or scaled copy is likelier.",
    "Evaluate the density on the scale of inputs.",
)
def density_fits_the_data(subject: DatasetSubject) -> None:
    """Compare the likelihood of test data with that of shifted and scaled copies."""
    data = subject.data
    if data.log_prob is None:
        skip("it has no density")
    x = data.test.subset(_examples).all(Noise(0))
    exact = data.log_prob(x)
    require(exact.shape == (len(x),) and exact.dtype == torch.float64, f"it is {exact.dtype}, {tuple(exact.shape)}")
    require(exact.isfinite().all(), "it is not finite")
    scale, centre = x.std(0), x.mean(0)
    for what, other in (
        ("shifted by half a standard deviation", x + 0.5 * scale),
        ("shrunk by a fifth", centre + 0.8 * (x - centre)),
        ("stretched by a quarter", centre + 1.25 * (x - centre)),
    ):
        jacobian = {"shrunk by a fifth": 0.8, "stretched by a quarter": 1.25}.get(what, 1.0)
        # The density of the copies is p(other) · jacobian^d; the data cannot be likelier under another density.
        gain = data.log_prob(other) + x[0].numel() * float(torch.tensor(jacobian).log()) - exact
        mean, error = float(gain.mean()), float(gain.std() / len(x) ** 0.5)
        require(mean < 5 * error + 1e-3, f"data {what} is likelier, by {mean:.3g} nats")
