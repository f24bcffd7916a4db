"""Integrated α-precision and β-recall: the shares of points in the densest parts of a distribution, over all parts."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from harness import setting
from harness_metrics.quality.distances import by_rows, distances, radii
from harness_metrics.quality.one_class import one_class
from harness_metrics.quality.sample_quality import QualitySettings, Reference, SampleQuality

steps = 29  # of α from 0 to 1, as in the authors' code


@dataclass(frozen=True)
class IntegratedSettings(QualitySettings):
    """Settings of integrated α-precision and β-recall."""

    embedding: Literal["none", "one-class"] = setting(
        "none", "one-class: first map the features with a network that is trained on those of the test images"
    )


class _Integrated(SampleQuality):
    Config = IntegratedSettings
    unit: ClassVar = "1 − twice the deviation"
    sure_at: ClassVar = (-1 / steps,)  # where no row is near any other

    def __init__(self, config: IntegratedSettings) -> None:
        self.config = config

    def compare(self, samples: Tensor, test: Tensor, train: Tensor) -> float:
        """Return the value for features of samples ``(m, d)`` and of test images ``(n, d)``."""
        if self.config.embedding == "none":
            return integrated(self.shares(samples, test, test.mean(0)))
        network = one_class(test)
        samples, test = (network(each.float()).double() for each in (samples, test))
        return integrated(self.shares(samples, test, torch.ones_like(test[0])))

    @abstractmethod
    def shares(self, samples: Tensor, real: Tensor, centre: Tensor) -> Tensor:
        """Return the shares of points, ``(30,)``."""

    def _measure_of(self, reference: Reference) -> str:
        plain = super()._measure_of(reference)
        return plain if self.config.embedding == "none" else f"{plain}, one-class network"


class IntegratedAlphaPrecision(_Integrated):
    """1 − 2 ∫ |α − P(α)| dα, with P(α) the share of samples among the share α of real points (Alaa et al., 2022).

    The share α of real points is the ball around their mean that contains so many of them. The value of equal
    distributions tends to 1. It is at least −1/29: the integral is a sum of 30 terms.

    With ``embedding=one-class`` the features are first mapped by the authors' network, as in their evaluation and in
    Räisä et al. (2025); the ball is then around the network's centre. The network overfits: in 64 dimensions, 1,000
    test images from one Gaussian and 1,000 samples from the same have a value of about 0.5.
    """

    aspect: ClassVar = "fidelity"
    limits: ClassVar = "Cannot see modes, only the distance from the centre; misses memorised training images."

    def shares(self, samples: Tensor, real: Tensor, centre: Tensor) -> Tensor:
        """Return P(α), ``(30,)``."""
        return alpha_precision(samples, real, centre)


class IntegratedBetaRecall(_Integrated):
    """1 − 2 ∫ |β − R(β)| dβ, with R(β) the share of real points near the share β of samples (Alaa et al., 2022).

    The value of equal distributions is about ½: a real point is covered if its nearest sample is nearer than its
    nearest other real point. Samples that are too close to the mean may have a higher value. ``embedding`` is that of
    integrated α-precision.
    """

    aspect: ClassVar = "diversity"
    limits: ClassVar = (
        "Cannot see memorised training images; real images have about ½, and wide or narrow samples less."
    )

    def shares(self, samples: Tensor, real: Tensor, centre: Tensor) -> Tensor:
        """Return R(β), ``(30,)``."""
        return beta_recall(samples, real)


def alpha_precision(samples: Tensor, real: Tensor, centre: Tensor) -> Tensor:
    """Return the share of samples no farther from the centre ``(d,)`` than a share α of real points, ``(30,)``."""
    reach = quantiles((real - centre).norm(dim=1))
    share: Tensor = ((samples - centre).norm(dim=1)[:, None] <= reach).double().mean(0)
    return share


def beta_recall(samples: Tensor, real: Tensor) -> Tensor:
    """Return the share of real points that are covered by a share β of samples, ``(30,)``.

    A real point is covered if its nearest sample is no farther than its nearest other real point, and that sample no
    farther from the mean sample than a share β of these nearest samples.
    """

    def nearest(rows: Tensor, place: slice) -> Tensor:
        distance, index = distances(rows, samples).min(1)
        return torch.stack([distance, index.double()], 1)

    distance, index = by_rows(real, nearest).unbind(1)
    found = (samples[index.long()] - samples.mean(0)).norm(dim=1)
    near = distance <= radii(real, 1)
    share: Tensor = (near[:, None] & (found[:, None] <= quantiles(found))).double().mean(0)
    return share


def quantiles(x: Tensor) -> Tensor:
    """Return the quantiles of ``(N,)`` at 0, 1/29, … 1, ``(30,)``, interpolated linearly; exact at points of ``x``."""
    ordered, place = x.sort().values, torch.arange(steps + 1, device=x.device) * (len(x) - 1)
    below, weight = place // steps, (place % steps).double() / steps
    return ordered[below] + weight * (ordered[(below + 1).clamp(max=len(x) - 1)] - ordered[below])


def integrated(shares: Tensor) -> float:
    """Return 1 − 2 Σₖ |αₖ − P(αₖ)| Δα of shares P at αₖ = 0, 1/29, … 1, ``(30,)``, as in the authors' code."""
    levels = torch.arange(steps + 1, dtype=shares.dtype, device=shares.device) / steps
    return max(-1 / steps, float(1 - 2 * (levels - shares).abs().sum() / steps))
