"""Mode coverage: how many of the data's classes are among the samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from harness import setting
from harness_metrics.quality.sample_quality import Reference, SampleQuality, SampleSize, Score


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

    unit: ClassVar = "classes"

    def __init__(self, config: Config) -> None:
        self.config = config

    def score(self, samples: Tensor, reference: Reference) -> Score:
        """Score logits of samples, ``(m, classes)`` float64."""
        counts = torch.bincount(samples.argmax(1).cpu(), minlength=samples.shape[1]).double()
        shares = counts / counts.sum()
        found = (counts > 0) & (shares >= self.config.threshold / len(shares))
        return Score(float(found.sum()), parts={"entropy (nats)": float(torch.special.entr(shares).sum())})
