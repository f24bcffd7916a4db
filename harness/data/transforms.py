"""Transforms of 8-bit images that make a likelihood well defined: binarisation and dequantisation.

Training batches are redrawn on the device. The validation and test splits are drawn once, on the CPU, from a seed that
is a setting, so every model is measured on the same images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from harness.data.dataset import Data, Split, floats, mean_of, pixels_to_unit
from harness.errors import NotApplicable
from harness.noise import Noise, derive_seed
from harness.settings import setting


class Binarize:
    """Sets pixels to 0 or 1, so a Bernoulli likelihood is a probability.

    ``dynamic`` redraws every training batch from Bernoulli(intensity), as in Burda, Grosse and Salakhutdinov (2016).
    ``static`` draws the training images once. ``threshold`` sets a pixel to 1 if its intensity is at least one half, in
    every split.
    """

    @dataclass(frozen=True)
    class Config:
        """How pixels are binarised."""

        binarization: Literal["dynamic", "static", "threshold"] = setting(
            "dynamic", "training pixels redrawn for every batch, drawn once, or thresholded at one half"
        )
        binarization_seed: int = setting(0, "seed of the images that are drawn once", minimum=0)

    def __init__(self, config: Config) -> None:
        self.config = config

    def apply(self, data: Data) -> Data:
        """Return the binarised data set."""
        _require_pixels(data, "binarized")
        mode = self.config.binarization
        once = _threshold if mode == "threshold" else bernoulli_of_pixels
        seed = self.config.binarization_seed
        train = (
            replace(data.train, inputs=bernoulli_of_pixels)
            if mode == "dynamic"
            else _drawn_once(data.train, once, "train", seed, torch.uint8)
        )
        mean = mean_of(data.train.stored) / 255 if mode == "dynamic" else mean_of(train.stored)
        return Data(
            info=replace(data.info, support="binary", scale=f"{mode} binarization", mean=mean),
            train=train,
            validation=_drawn_once(data.validation, once, "validation", seed, torch.uint8),
            test=_drawn_once(data.test, once, "test", seed, torch.uint8),
        )


class Dequantize:
    """(pixel + u) / 256 with u from U(0, 1): a density on it bounds the log-probability of the pixels.

    Source: Theis, van den Oord and Bethge (2016), section 3.1.
    """

    @dataclass(frozen=True)
    class Config:
        """How pixels are dequantised."""

        dequantization_seed: int = setting(0, "seed of the noise on validation and test images", minimum=0)

    def __init__(self, config: Config) -> None:
        self.config = config

    def apply(self, data: Data) -> Data:
        """Return the dequantised data set."""
        _require_pixels(data, "dequantized")
        seed = self.config.dequantization_seed
        mean = (mean_of(data.train.stored) + 0.5) / 256
        return Data(
            info=replace(data.info, scale="(pixel + u) / 256", dequantized=True, mean=mean),
            train=replace(data.train, inputs=dequantize_pixels),
            validation=_drawn_once(data.validation, dequantize_pixels, "validation", seed, torch.float32),
            test=_drawn_once(data.test, dequantize_pixels, "test", seed, torch.float32),
        )


def bernoulli_of_pixels(stored: Tensor, noise: Noise) -> Tensor:
    """Draw 1 with probability pixel / 255, else 0: 0 always stays 0, and 255 always becomes 1."""
    return noise.bernoulli(pixels_to_unit(stored, noise))


def dequantize_pixels(stored: Tensor, noise: Noise) -> Tensor:
    """Map bytes to (pixel + u) / 256.

    u has 16 bits, as many as float32 can add to a byte. With more, a pixel could round up to the next one.
    """
    u = noise.uniform(*stored.shape).mul_(2**16).to(torch.int32) / 2**16
    return (stored.to(torch.float32) + u) / 256


def _threshold(stored: Tensor, noise: Noise) -> Tensor:
    return (stored >= 128).to(torch.float32)


def _drawn_once(
    split: Split, inputs: Callable[[Tensor, Noise], Tensor], name: str, seed: int, dtype: torch.dtype
) -> Split:
    noise = Noise(derive_seed("data", name, seed))
    # On the CPU, drawing in parts gives the same numbers as drawing at once. Small parts stay in the processor's cache,
    # and below the size at which torch uses several threads, which is slower when these are busy.
    size = max(1, 2**15 // split.stored[0].numel())
    values = torch.empty(split.stored.shape, dtype=dtype)
    for part, place in zip(split.stored.split(size), values.split(size), strict=True):
        place.copy_(inputs(part, noise))
    return replace(split, stored=values, inputs=floats)


def _require_pixels(data: Data, what: str) -> None:
    if data.train.stored.dtype != torch.uint8:
        raise NotApplicable(f"only 8-bit images can be {what}")
