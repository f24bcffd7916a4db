"""Tiny data of every kind, on which a check takes a fraction of a second."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, MixtureSameFamily, MultivariateNormal

from harness.data.dataset import Data, Examples, Support
from harness.data.transforms import Binarize, Dequantize
from harness.noise import Noise, derive_seed

sizes = {"train": 160, "validation": 40, "test": 60}
_classes = 3


def _images(channels: int, height: int, width: int) -> Callable[[int, Noise], Examples]:
    """Return a function that draws grey or colour images: one of three bright bands, with noise."""

    def draw(n: int, noise: Noise) -> Examples:
        labels = (noise.uniform(n) * _classes).long()
        rows = torch.arange(height) * _classes // height
        band = (rows == labels[:, None]).float()[:, None, :, None]
        values = 0.15 + 0.6 * band + 0.25 * noise.uniform(n, channels, height, width)
        values = values * (0.7 + 0.3 * noise.uniform(n, 1, 1, 1))
        return Examples((values.clamp(0, 1) * 255).to(torch.uint8), labels)

    return draw


def _vectors(n: int, noise: Noise) -> Examples:
    scales = torch.tensor([3.0, 2, 1, 1, 1])
    return Examples(noise.normal(n, 5) * scales + torch.tensor([1.0, -2, 0, 0, 4]))


def _points(n: int, noise: Noise) -> Examples:
    labels = (noise.uniform(n) * _classes).long()
    centre = (labels[:, None, None, None] + 1) / 4
    return Examples((centre + 0.2 * noise.normal(n, 1, 3, 25)).clamp(0, 1), labels)


_plane_means = ((1.0, -1.0), (-1.5, 1.0))
_plane_skew = ((1.0, 0.5), (0.0, 0.7))


def plane_density(widened: float = 1.0) -> Distribution:
    """Return the density of the points on the plane: two correlated Gaussians, their deviations multiplied."""
    factor = torch.tensor(_plane_skew, dtype=torch.float64) * widened
    parts = MultivariateNormal(torch.tensor(_plane_means, dtype=torch.float64), factor.T @ factor)
    return MixtureSameFamily(Categorical(torch.tensor([0.6, 0.4], dtype=torch.float64)), parts)


def _plane_examples(n: int, noise: Noise) -> Examples:
    labels = (noise.uniform(n) < 0.4).long()
    return Examples(torch.tensor(_plane_means)[labels] + noise.normal(n, 2) @ torch.tensor(_plane_skew))


def _drawn(name: str, draw: Callable[[int, Noise], Examples], support: Support = "real", factor: int = 1) -> Data:
    examples = [draw(n * factor, Noise(derive_seed("tiny", name, split))) for split, n in sizes.items()]
    return Data.from_tensors(*examples, support=support, classes=None if examples[0].labels is None else _classes)


def _bits(n: int, noise: Noise) -> Examples:
    """Draw ``n`` images of 2 × 2 pixels, black or white, whose rows are alike."""
    first = noise.bernoulli(torch.full((n, 1, 1, 2), 0.7))
    second = torch.where(noise.uniform(n, 1, 1, 2) < 0.8, first, 1 - first)
    return Examples((torch.cat([first, second], 2) * 255).to(torch.uint8))


def copied(data: Data) -> Data:
    """Return a copy, which a plugin may damage without harm to the next."""
    splits: dict[str, Any] = {
        name: replace(
            each,
            stored=each.stored.clone(),
            ids=each.ids.clone(),
            labels=None if each.labels is None else each.labels.clone(),
        )
        for name, each in data.splits.items()
    }
    return replace(data, info=replace(data.info, mean=data.info.mean.clone()), **splits)


@lru_cache(maxsize=1)
def kinds() -> Mapping[str, Data]:
    """Return tiny data by the name of its kind, in the order in which a model is offered them."""
    grey, large = _drawn("grey", _images(1, 6, 5)), _drawn("large", _images(1, 28, 28))
    binarize, dequantize = Binarize(Binarize.Config()), Dequantize(Dequantize.Config())
    return {
        "binary images": binarize.apply(grey),
        "dequantized images": dequantize.apply(grey),
        "grey images": grey,
        "colour images": _drawn("colour", _images(3, 7, 9)),
        "vectors": _drawn("vectors", _vectors),
        "sets of points": _drawn("points", _points, "points"),
        "large binary images": binarize.apply(large),
        "large dequantized images": dequantize.apply(large),
    }


@lru_cache(maxsize=1)
def plane() -> Data:
    """Return points on the plane, ``(N, 2)``, from a smooth density that is known."""
    data = _drawn("plane", _plane_examples, factor=4)
    return replace(data, log_prob=lambda x: plane_density().log_prob(x.double().cpu()))


@lru_cache(maxsize=1)
def two_pixels() -> Data:
    """Return dequantised images of one row of two pixels."""
    return Dequantize(Dequantize.Config()).apply(_drawn("two pixels", _two_pixels, factor=4))


def _two_pixels(n: int, noise: Noise) -> Examples:
    first = 0.2 + 0.6 * noise.uniform(n, 1, 1, 1)
    second = (first + 0.15 * noise.normal(n, 1, 1, 1)).clamp(0, 1)
    return Examples((torch.cat([first, second], 3) * 255).to(torch.uint8))


@lru_cache(maxsize=1)
def bits() -> Data:
    """Return binary images of 2 × 2 pixels, of which there are only 16."""
    return Binarize(Binarize.Config(binarization="threshold")).apply(_drawn("bits", _bits, factor=2))


def all_bits() -> Tensor:
    """Return all images of 2 × 2 binary pixels, ``(16, 1, 2, 2)``."""
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=4))).view(16, 1, 2, 2)


_metric_sizes = {"train": 480, "validation": 200, "test": 240}


@lru_cache(maxsize=16)
def metric_data(seed: int = 0) -> Mapping[str, Data]:
    """Return data for metrics by kind, in the order in which they are tried; the seed is of the test split."""

    def drawn(name: str, draw: Callable[[int, Noise], Examples], support: Support = "real", shrink: int = 1) -> Data:
        examples = [
            draw(n // shrink, Noise(derive_seed("for metrics", name, split, seed if split == "test" else 0)))
            for split, n in _metric_sizes.items()
        ]
        classes = None if examples[0].labels is None else _classes
        return Data.from_tensors(*examples, support=support, classes=classes)

    dequantize, binarize = Dequantize(Dequantize.Config(dequantization_seed=seed)), Binarize(Binarize.Config())
    small = drawn("small", _images(1, 4, 4))
    return {
        "vectors": drawn("vectors", _vectors),
        "dequantized images": dequantize.apply(small),
        "binary images": binarize.apply(small),
        "sets of points": drawn("points", _points, "points", 3),
        "large images": drawn("large", _images(1, 28, 28), shrink=4),
    }
