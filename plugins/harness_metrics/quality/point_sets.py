"""Quality of samples that are sets of points: Chamfer-based metrics, and distributions of intensity and position."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from harness import Data, NotApplicable, Reconstructs, Samples, setting
from harness_metrics.quality.distances import by_rows
from harness_metrics.quality.resampling import Resampled, by_half_samples
from harness_metrics.quality.sample_quality import Reference, SampleQuality, SampleSize
from harness_metrics.quality.transport import quantile_gaps

_directions = 32  # of positions
_rows = 8  # sets at a time: the distances of all their points to those of all other sets are in memory


class _OfSets(SampleQuality):
    """A metric of the Chamfer distances between samples and test sets, and within either.

    The distance of two sets is the mean squared distance of a point to the nearest point of the other set, added over
    both directions (Yang et al., 2019).
    """

    aspect: ClassVar = None
    check_settings: ClassVar = {}

    @dataclass(frozen=True)
    class Config(SampleSize):
        """Settings."""

        features: ClassVar = "points"
        weights: ClassVar = None

    def __init__(self, config: Config) -> None:
        self.config = config

    @abstractmethod
    def of_distances(self, across: Tensor, among_samples: Tensor, among_test: Tensor) -> float:
        """Return the value from distances ``(m, n)``, ``(m, m)`` and ``(n, n)``."""

    def compare(self, samples: Tensor, test: Tensor, train: Tensor) -> float:
        """Return the value for sets of points, flattened to ``(m, 3 points)`` and ``(n, 3 points)``."""
        return self.resample(samples, test, train).value

    def resample(self, samples: Tensor, test: Tensor, train: Tensor) -> Resampled:
        """Return the value with its error; each distance is computed once."""
        across = chamfer_distances(samples, test)
        among_samples, among_test = chamfer_distances(samples, samples), chamfer_distances(test, test)

        def of(some: Tensor, other: Tensor) -> float:
            return self.of_distances(across[some][:, other], among_samples[some][:, some], among_test[other][:, other])

        return by_half_samples(torch.arange(len(samples)), torch.arange(len(test)), of)


class MinimumMatchingDistance(_OfSets):
    """The mean over test sets of the Chamfer distance to the nearest sample (Achlioptas et al., 2018)."""

    unit: ClassVar = "squared distance"
    direction: ClassVar = "lower"
    limits: ClassVar = "Cannot see bad samples, as long as each test set has a good one."

    def of_distances(self, across: Tensor, among_samples: Tensor, among_test: Tensor) -> float:
        """Return the mean of the smallest distances."""
        return float(across.amin(0).mean())


class SetCoverage(_OfSets):
    """The share of test sets that are the nearest one to some sample (Achlioptas et al., 2018).

    As many samples from the distribution of the test sets have 0.6 at most, and less in many dimensions, where a few
    sets are the nearest ones to many samples (Radovanović, Nanopoulos and Ivanović, 2010): 1,000 draws from a Gaussian
    in 75 dimensions cover 0.38 of 1,000 others. Compare with the part ``real images``.
    """

    unit: ClassVar = "share of test sets"
    sure_at: ClassVar = (0, 1)
    limits: ClassVar = "Cannot see how far samples are from the test sets that they cover."

    def of_distances(self, across: Tensor, among_samples: Tensor, among_test: Tensor) -> float:
        """Return the share."""
        return len(across.argmin(1).unique()) / across.shape[1]


class OneNearestNeighbourAccuracy(_OfSets):
    """How often the nearest neighbour of a sample is a sample, and that of a test set a test set (Yang et al., 2019).

    It is the accuracy of a leave-one-out classifier. 0.5 is best: samples and test sets cannot be told apart. Below
    0.5, samples are closer to test sets than test sets are to one another, so that neither direction is better.
    """

    unit: ClassVar = "share of sets"
    direction: ClassVar = None
    sure_at: ClassVar = (0, 1)
    limits: ClassVar = "Cannot see which of fidelity and diversity is lacking; 0.5 is best, not 0."

    def of_distances(self, across: Tensor, among_samples: Tensor, among_test: Tensor) -> float:
        """Return the accuracy; a set at the same distance from both kinds counts as the other kind."""
        samples, test = (_nearest_other(each) for each in (among_samples, among_test))
        right = torch.cat([samples < across.amin(1), test < across.amin(0)])
        return float(right.double().mean())


def _nearest_other(distances: Tensor) -> Tensor:
    return distances.clone().fill_diagonal_(torch.inf).amin(1)


def chamfer_distances(a: Tensor, b: Tensor) -> Tensor:
    """Return the Chamfer distances of all pairs of sets, flattened to ``(N, 3 n)`` and ``(M, 3 m)``: ``(N, M)``."""
    first, second = (each.view(len(each), 3, -1).mT for each in (a, b))  # (N, n, 3)

    def of_rows(rows: Tensor, place: slice) -> Tensor:
        squares = torch.cdist(rows.unsqueeze(1), second.unsqueeze(0)).square()  # (rows, M, n, m)
        return squares.amin(3).mean(2) + squares.amin(2).mean(2)

    return by_rows(first, of_rows, _rows)


class _OfDistributions(SampleQuality):
    """A metric of the distribution of points, all sets taken together."""

    direction: ClassVar = "lower"
    aspect: ClassVar = None
    check_settings: ClassVar = {}
    needs: ClassVar[tuple[Any, ...]] = (Samples | Reconstructs,)

    @dataclass(frozen=True)
    class Config(SampleSize):
        """Settings."""

        compared: Literal["samples", "reconstructions"] = setting(
            "samples", "what is compared with test sets: samples, or the reconstructions of these sets"
        )
        features: ClassVar = "points"
        weights: ClassVar = None

    def __init__(self, config: Config) -> None:
        self.config = config

    def draw(self, model: Any, data: Data, reference: Reference, seed: int) -> Tensor:
        """Return samples or reconstructions, ``(n, *shape)``.

        Raises:
            NotApplicable: the model lacks what is compared.
        """
        if self.config.compared == "samples":
            if not isinstance(model, Samples):
                raise NotApplicable("it has no sampler; set compared=reconstructions")
            return super().draw(model, data, reference, seed)
        if not isinstance(model, Reconstructs):
            raise NotApplicable("it has no reconstruction; set compared=samples")
        return model.reconstruct(reference.test.view(-1, *data.info.shape).float())


class IntensityDistance(_OfDistributions):
    """The 1-Wasserstein distance between the intensities of the points of samples and of test sets."""

    unit: ClassVar = "intensity"
    limits: ClassVar = "Cannot see where the points are, or which of them are in one set."

    def compare(self, samples: Tensor, test: Tensor, train: Tensor) -> float:
        """Return the distance for sets of points, flattened to ``(m, 3 points)`` and ``(n, 3 points)``."""
        intensities = [each.view(len(each), 3, -1)[:, 2].reshape(-1, 1) for each in (samples, test)]
        return float(quantile_gaps(*intensities).abs().mean())


class PositionDistance(_OfDistributions):
    """The 1-Wasserstein distance between positions (x, y) of points, averaged over 32 directions in the plane."""

    unit: ClassVar = "distance"
    limits: ClassVar = "Cannot see intensities, or which points are in one set."

    def compare(self, samples: Tensor, test: Tensor, train: Tensor) -> float:
        """Return the distance for sets of points, flattened to ``(m, 3 points)`` and ``(n, 3 points)``."""
        angles = torch.arange(_directions, dtype=torch.float64, device=samples.device) * torch.pi / _directions
        directions = torch.stack([angles.cos(), angles.sin()])
        first, second = (each.view(len(each), 3, -1)[:, :2].mT.reshape(-1, 2) @ directions for each in (samples, test))
        return float(quantile_gaps(first, second).abs().mean())
