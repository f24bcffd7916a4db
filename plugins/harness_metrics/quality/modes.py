"""Mode coverage: how many of the data's classes are among the samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from harness import setting
from harness_metrics.quality.sample_quality import SampleQuality, SampleSize


class ModeCoverage(SampleQuality):
    """The number of the data's classes that a classifier finds among the samples, and the entropy of their shares.

    A class is found if it has at least a tenth of an even share of the samples, so that a few misclassified samples do
    not count. The threshold is our choice; at 0 a single sample is enough.
    """

    @dataclass(frozen=True)
    class Config(SampleSize):
        """Settings."""

        threshold: float = setting(
            0.1,
            "share of samples at which a class counts as found, relative to an even share (1 / classes)",
            minimum=0,
            maximum=1,
        )
        features: ClassVar = "classes"
        weights: ClassVar = None

    unit: ClassVar = "classes"
    check_settings: ClassVar = {}
    aspect: ClassVar = None  # it compares no features
    limits: ClassVar = "Cannot see how good the samples are, or whether they vary within a class."
    has_error: ClassVar = False  # a jackknife fails for a count that few samples can change

    def __init__(self, config: Config) -> None:
        self.config = config

    def compare(self, samples: Tensor, test: Tensor, train: Tensor) -> float:
        """Return the number of classes found, from logits of samples ``(m, classes)``."""
        shares = _shares(samples)
        return float(((shares > 0) & (shares >= self.config.threshold / len(shares))).sum())

    def parts(self, samples: Tensor, test: Tensor) -> Mapping[str, float]:
        """Return the entropy of the shares, from logits of samples ``(m, classes)``."""
        return {"entropy (nats)": float(torch.special.entr(_shares(samples)).sum())}


def _shares(logits: Tensor) -> Tensor:
    """Return the share of samples in each class, ``(classes,)``."""
    counts = torch.bincount(logits.argmax(1).cpu(), minlength=logits.shape[1]).double()
    return counts / counts.sum()
