"""What metrics of sample quality share: settings, the images to compare with, and the two trivial samplers."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from harness import Context, Data, Diverged, Estimate, Noise, NotApplicable, Samples, derive_seed, setting
from harness.toolkit import digest_of
from harness_metrics.quality.distances import nearest
from harness_metrics.quality.features import FeatureName, FeatureSpace, feature_space

batch = 500


@dataclass(frozen=True)
class SampleSize:
    """How many samples are drawn."""

    samples: int = setting(
        1000, "generated, and as many test images to compare them with, or as many as there are", minimum=2
    )


@dataclass(frozen=True)
class QualitySettings(SampleSize):
    """Settings of every metric of sample quality that compares features."""

    features: FeatureName = setting(
        "classifier", "that are compared: of a classifier of the data's labels, the pixels, or of Inception"
    )


@dataclass(frozen=True)
class Score:
    """A figure, its standard error where it has one, and further parts."""

    value: float
    stderr: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Reference:
    """The real images that samples are compared with, as features.

    ``test`` are ``n`` test images, chosen once from a fixed seed. ``held_out`` are up to as many other real images that
    no model was fitted on: test images that were not chosen, then validation images.
    """

    data: Data
    space: FeatureSpace
    test: Tensor
    held_out: Tensor
    mean: Tensor
    scores: dict[Hashable, Mapping[str, float]] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """How many test images there are, and so how many samples are drawn."""
        return len(self.test)

    @cached_property
    def train(self) -> Tensor:
        """The features of all training images; what is drawn anew for each batch is drawn once."""
        noise = Noise(derive_seed("quality", "train"), self.test.device)
        return torch.cat([self.space(x) for x in self.data.train.batches(batch, noise)])

    @cached_property
    def test_to_train(self) -> float:
        """The median distance of a test image to the nearest training image."""
        return float(nearest(self.test, self.train).median())


@functools.lru_cache(maxsize=4)
def reference_of(data: Data, features: FeatureName | Literal["classes"], samples: int, cache: Path | None) -> Reference:
    """Return what samples are compared with, computed once in a process for each data set and its settings.

    Raises:
        NotApplicable: the data has no such features.
    """
    space = feature_space(data, features, cache)
    noise = Noise(0, data.test.stored.device)
    test, validation = (
        torch.cat([space(x) for x in each.batches(batch, noise)]) for each in (data.test, data.validation)
    )
    n = min(samples, len(test))
    order = Noise(derive_seed("quality", "test images")).permutation(len(test)).to(test.device)
    rest = torch.cat([test[order[n:]], validation])
    middle = data.info.mean.round() if data.info.support == "binary" else data.info.mean
    mean = space(_on_scale(middle.unsqueeze(0), data, noise)).expand(n, -1)
    return Reference(data, space, test[order[:n]], rest[:n], mean)


class SampleQuality(ABC):
    """A metric of the model's samples, beside which two trivial samplers are measured.

    ``real images`` among the parts is what held-out real images reach, of which there are as many as samples where the
    data has so many: about the best there is. ``mean image`` is what the mean training image reaches, repeated;
    on binary data its pixels are rounded.

    Samples are put on the data's own scale first, so that no rounding tells them from real images: clipped to [0, 1]
    and, for 8-bit pixels, rounded to them. On binary data a value in between is a probability, and drawn.
    """

    direction: ClassVar[str | None] = "higher"
    error_is_over: ClassVar = "samples"
    needs: ClassVar = (Samples,)

    config: Any  # settings derived from QualitySettings

    @abstractmethod
    def score(self, samples: Tensor, reference: Reference) -> Score:
        """Score features of samples, ``(m, d)`` float64."""

    def least(self, reference: Reference) -> int:
        """Return how many samples and test images the estimate needs."""
        return 2

    def measure(self, model: Samples, data: Data, context: Context) -> Estimate:
        """Measure as many samples as there are test images to compare them with.

        Raises:
            NotApplicable: there are too few of them, or the data has no such features.
            Diverged: a sample is not finite.
        """
        try:
            reference = reference_of(data, self.config.features, self.config.samples, context.cache)
        except NotApplicable as error:
            if self.config.features != "classifier" or data.info.support == "points":
                raise
            raise NotApplicable(f"{error}; features=pixels needs none") from error
        least = self.least(reference)
        if reference.n < least:
            raise NotApplicable(
                f"in {reference.space.dim} dimensions it needs {least:,} samples and as many test images, "
                f"and has {reference.n:,}"
            )
        samples = draw_samples(model, reference.n, data, context.noise.generator.initial_seed())
        score = self.score(reference.space(samples), reference)
        return Estimate(
            value=score.value,
            stderr=score.stderr,
            n=reference.n,
            counted=self.error_is_over,
            parts={**score.parts, **self._trivial(reference, least)},
            diagnostics={
                "test_images": reference.n,
                "real_images": len(reference.held_out),
                "classifier_accuracy": reference.space.accuracy,
            },
            measure=self.described(reference),
        )

    def described(self, reference: Reference) -> str:
        """Say in which space, of how many samples and of which k the figure is one."""
        k = getattr(self.config, "k", None)
        said = [reference.space.name, f"{reference.n:,} samples", *([f"k = {k}"] if k else [])]
        if len(reference.held_out) < reference.n:
            said.append(f"{len(reference.held_out):,} real images")
        return ", ".join(said)

    def _trivial(self, reference: Reference, least: int) -> Mapping[str, float]:
        key = type(self), self.config
        if key not in reference.scores:
            samplers = {"real images": reference.held_out, "mean image": reference.mean}
            reference.scores[key] = {
                name: self.score(each, reference).value for name, each in samplers.items() if len(each) >= least
            }
        return reference.scores[key]


def draw_samples(model: Samples, n: int, data: Data, seed: int) -> Tensor:
    """Draw ``n`` samples, ``(n, *shape)``, on the scale of the data; once for all metrics of the same weights.

    Raises:
        Diverged: one is not finite.
        ValueError: there are not ``n`` of them, or they are not shaped as the data.
    """
    weights = digest_of(model.state_dict()) if isinstance(model, nn.Module) else None  # of one that trains on, others
    key = (model, weights, n, data, seed)
    if key not in _drawn:
        noise = Noise(derive_seed("quality", "samples", seed), data.test.stored.device)
        samples = torch.cat([model.sample(min(batch, n - start), noise) for start in range(0, n, batch)])
        if samples.shape != (n, *data.info.shape):
            raise ValueError(f"{n} samples have the shape {tuple(samples.shape)}, not {(n, *data.info.shape)}")
        if not samples.isfinite().all():
            raise Diverged("a sample is not finite")
        _drawn.clear()
        _drawn[key] = _on_scale(samples, data, noise)
    return _drawn[key]


_drawn: dict[Hashable, Tensor] = {}  # the last samples


def _on_scale(samples: Tensor, data: Data, noise: Noise) -> Tensor:
    if data.info.support == "real":
        return samples
    samples = samples.clamp(0, 1)
    if data.info.support == "binary":
        return noise.bernoulli(samples)
    return (samples * 255).round() / 255 if data.info.is_discrete else samples
