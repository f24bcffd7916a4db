"""What metrics of sample quality share: settings, reference images, and two trivial samplers."""

from __future__ import annotations

import functools
import itertools
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from harness import (
    Context,
    Data,
    Diverged,
    Estimate,
    HasObservationModel,
    Noise,
    NotApplicable,
    Samples,
    Split,
    derive_seed,
    draw,
    setting,
)
from harness.toolkit import digest_of
from harness_metrics.quality.classifier import Announcer, silent
from harness_metrics.quality.features import FeatureName, FeatureSpace, by_file, feature_space
from harness_metrics.quality.resampling import Resampled, by_half_samples, error_of_a_sure_share, smallest_half

batch = 500


@dataclass(frozen=True)
class SampleSize:
    """The number of samples, and how they are drawn."""

    samples: int = setting(1000, "number of samples, and of test images; at most the size of the test split", minimum=2)
    draws: Literal["observations", "means"] = setting(
        "observations", "samples of a model with p(x | z): draws from it, or its means"
    )


@dataclass(frozen=True)
class QualitySettings(SampleSize):
    """Settings of every metric of sample quality that compares features."""

    features: FeatureName = setting(
        "classifier",
        "features to compare: of a classifier of the data's labels; pixels; of torchvision's Inception, which is not "
        "the network of published FIDs; of the Inception of published FIDs (inception-fid); or of DINOv2",
    )
    weights: str | None = setting(None, "path of a file with the weights of inception-fid or dinov2")

    def __post_init__(self) -> None:
        if self.features in by_file and self.weights is None:
            raise ValueError(f"features={self.features} needs weights=PATH, a file with the weights of the network")
        if self.weights is None:
            return
        if self.features not in by_file:
            raise ValueError(f"weights are for features={' or '.join(by_file)}, not for features={self.features}")
        if not Path(self.weights).is_file():
            raise ValueError(f"weights={self.weights}: there is no such file")


@dataclass(frozen=True, eq=False)
class Reference:
    """Features of the real images that samples are compared with, ``(n, dim)`` float64.

    ``test`` are ``n`` test images, chosen from a fixed seed. ``held_out`` are up to ``n`` other images that no model
    was fitted on: first the other test images, then validation images. ``mean`` is the mean training image, repeated.
    """

    data: Data
    space: FeatureSpace
    test: Tensor
    held_out: Tensor
    mean: Tensor
    scores: dict[Hashable, Mapping[str, float]] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """The number of test images, which is also the number of samples."""
        return len(self.test)

    @cached_property
    def train(self) -> Tensor:
        """The features of all training images; if they are binarized or dequantized per batch, of one draw."""
        noise = Noise(derive_seed("quality", "train"), self.test.device)
        features = self.test.new_empty(len(self.data.train), self.test.shape[1])
        for place, x in zip(features.split(batch), self.data.train.batches(batch, noise), strict=True):
            place.copy_(self.space(x))
        return features


@functools.lru_cache(maxsize=4)
def reference_of(
    data: Data,
    features: FeatureName | Literal["classes", "points"],
    samples: int,
    cache: Path | None,
    weights: str | None = None,
    announcer: Announcer = silent,
) -> Reference:
    """Return what samples are compared with, computed once per process for each data set and its settings.

    Raises:
        NotApplicable: the data has no such features.
    """
    space = feature_space(data, features, cache, weights, announcer)
    noise = Noise(0, data.test.stored.device)
    n = min(samples, len(data.test))
    order = Noise(derive_seed("quality", "test images")).permutation(len(data.test))
    test = _features_at(order[: 2 * n], data.test, space)
    others = torch.arange(min(2 * n - len(test), len(data.validation)))
    rest = torch.cat([test[n:], _features_at(others, data.validation, space)]) if len(others) else test[n:]
    middle = data.info.mean.round() if data.info.support == "binary" else data.info.mean
    mean = space(_on_scale(middle.unsqueeze(0), data, noise)).expand(n, -1)
    return Reference(data, space, test[:n], rest, mean)


def _features_at(positions: Tensor, split: Split, space: FeatureSpace) -> Tensor:
    """Return the features of the examples at some positions; those of the others are not kept."""
    noise = Noise(0, split.stored.device)
    features, places = [], []
    for start, x in zip(range(0, len(split), batch), split.batches(batch, noise), strict=True):
        here = ((positions >= start) & (positions < start + len(x))).nonzero().flatten()
        if len(here):
            features.append(space(x)[(positions[here] - start).to(x.device)])
            places.append(here)
    return torch.cat(features)[torch.cat(places).argsort().to(features[0].device)]


class SampleQuality(ABC):
    """A metric of the model's samples that compares features, shown with the values of two trivial samplers.

    A subclass defines the value as a function of features. The standard error is over samples and over test images, by
    balanced half-samples of both.

    The part ``real images`` is the value of held-out real images, as many as samples if the data has so many: about the
    best possible value. ``mean image`` is the value of the mean training image, repeated; on binary data its pixels are
    rounded.

    A model with an observation model gives draws from it: z from p(z), then x from p(x | z). Its means, which are
    smoother than any draw, are another measure. Other models give their own samples.

    Samples are first put on the scale of the data, so that rounding does not distinguish them from real images: they
    are clipped to [0, 1] and, for 8-bit pixels, rounded to 8 bits. On binary data values between 0 and 1 are
    probabilities, from which pixels are sampled.
    """

    direction: ClassVar[str | None] = "higher"
    needs: ClassVar[tuple[Any, ...]] = (Samples,)
    uses_train: ClassVar = False
    has_error: ClassVar = True
    sure_at: ClassVar[tuple[float, ...]] = ()  # of a share: values for which all rows must agree, so that halves do
    own_rate: ClassVar = False  # whether the variance may fall more slowly than with 1 / n; see by_half_samples
    check_settings: ClassVar[Mapping[str, Any]] = {"features": "pixels"}

    config: Any  # settings derived from QualitySettings

    @abstractmethod
    def compare(self, samples: Tensor, test: Tensor, train: Tensor) -> float:
        """Return the value for features of samples ``(m, d)``, test images ``(n, d)`` and training images ``(N, d)``.

        All are float64. ``train`` is empty unless ``uses_train`` is True.
        """

    def resample(self, samples: Tensor, test: Tensor, train: Tensor) -> Resampled:
        """Return the value with its error; arguments as in ``compare``."""
        return by_half_samples(
            samples, test, lambda some, some_test: self.compare(some, some_test, train), own_rate=self.own_rate
        )

    def draw(self, model: Any, data: Data, reference: Reference, seed: int) -> Tensor:
        """Return as many samples as there are test images, ``(n, *shape)``."""
        return draw_samples(model, reference.n, data, seed, self.config.draws)

    def parts(self, samples: Tensor, test: Tensor) -> Mapping[str, float]:
        """Return further values of the features of samples ``(m, d)`` and of test images ``(n, d)``, by name."""
        return {}

    def least(self, dim: int) -> int:
        """Return how many samples, and as many test images, a value needs at least in ``dim`` dimensions."""
        return 2

    def least_with_error(self, dim: int) -> int:
        """Return how many of both a value with an error needs at least in ``dim`` dimensions."""
        least = self.least(dim) * (2 if self.own_rate else 1)
        return next(n for n in itertools.count(2 * least) if smallest_half(n) >= least)

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Compare samples with as many test images.

        Raises:
            NotApplicable: there are too few test images, or the data has no such features.
            Diverged: a sample is not finite.
        """
        try:
            config = self.config
            place = context.cache, config.weights, Announcer(context.announce, context.progress)
            reference = reference_of(data, config.features, config.samples, *place)
        except NotApplicable as error:
            if self.config.features != "classifier" or data.info.support == "points":
                raise
            raise NotApplicable(f"{error}; features=pixels needs no classifier") from error
        dim = reference.space.dim
        least = self.least_with_error(dim) if self.has_error else self.least(dim)
        if reference.n < least:
            raise NotApplicable(
                f"in {dim} dimensions it needs {least:,} samples and as many test images, but there are {reference.n:,}"
            )
        seed = context.noise.generator.initial_seed()
        samples = reference.space(self.draw(model, data, reference, seed))
        train = reference.train if self.uses_train else reference.test[:0]
        if self.has_error:
            estimate = self._with_error(self.resample(samples, reference.test, train), reference.n)
        else:
            estimate = Estimate(self.compare(samples, reference.test, train), None, reference.n)
        return replace(
            estimate,
            counted="samples and as many test images",
            parts={**self.parts(samples, reference.test), **self._trivial(reference, train, least)},
            diagnostics={
                "test_images": reference.n,
                "real_images": len(reference.held_out),
                "classifier_accuracy": reference.space.accuracy,
            },
            measure=self._measure_of(reference),
        )

    def _with_error(self, found: Resampled, n: int) -> Estimate:
        if self.sure_at and (found.value in self.sure_at or not found.stderr):  # halves may also agree by chance
            found = found._replace(rest=error_of_a_sure_share(n))
        return Estimate(
            value=found.value,
            stderr=found.stderr,
            n=n,
            estimator_stderr=found.rest,
            group_values=found.pseudo_values,
            degrees_of_freedom=found.degrees_of_freedom,
        )

    def _measure_of(self, reference: Reference) -> str:
        """Return the feature space, the number and kind of samples, and k: values are comparable if all are equal."""
        k = getattr(self.config, "k", None)
        terms = [reference.space.name, f"{reference.n:,} samples", *([f"k = {k}"] if k else [])]
        if self.config.draws == "means":
            terms.append("means of p(x∣z)")
        if len(reference.held_out) < reference.n:
            terms.append(f"{len(reference.held_out):,} real images")
        return ", ".join(terms)

    def _trivial(self, reference: Reference, train: Tensor, least: int) -> Mapping[str, float]:
        key = type(self), self.config
        if key not in reference.scores:
            samplers = {"real images": reference.held_out, "mean image": reference.mean}
            reference.scores[key] = {
                name: self.compare(each, reference.test, train) for name, each in samplers.items() if len(each) >= least
            }
        return reference.scores[key]


def draw_samples(
    model: Samples, n: int, data: Data, seed: int, draws: Literal["observations", "means"] = "observations"
) -> Tensor:
    """Sample ``n`` examples, ``(n, *shape)``, on the scale of the data; metrics of the same weights share them.

    If the model has an observation model, they are draws from p(x | z), or its means.

    Raises:
        NotApplicable: the model has only so many samples, and they are fewer.
        Diverged: a sample is not finite.
        TypeError: the samples are no tensor.
        ValueError: the samples do not have the shape ``(n, *shape)``.
    """
    weights = digest_of(model.state_dict()) if isinstance(model, nn.Module) else None  # a model may train further
    key = (model, weights, n, data, seed, draws)
    if key not in _last_samples:
        noise = Noise(derive_seed("quality", "samples", seed), data.test.stored.device)
        at_once = batch
        if (count := getattr(model, "count", None)) is not None:
            if count < n:
                raise NotApplicable(
                    f"it needs {n:,} samples, and there are {count:,}; set samples={count} to use fewer"
                )
            at_once = n
        sizes = [min(at_once, n - start) for start in range(0, n, at_once)]
        drawn = [_drawn(model, size, noise, draws) for size in sizes]
        if not isinstance(drawn[0], Tensor):
            raise TypeError(f"sample() returned a {type(drawn[0]).__name__}; return a tensor (n, *shape)")
        samples = torch.cat(drawn)
        if samples.shape != (n, *data.info.shape):
            raise ValueError(f"{n} samples have the shape {tuple(samples.shape)}, not {(n, *data.info.shape)}")
        if not samples.isfinite().all():
            raise Diverged("a sample is not finite")
        _last_samples.clear()
        _last_samples[key] = _on_scale(samples, data, noise)
    return _last_samples[key]


_last_samples: dict[Hashable, Tensor] = {}


def _drawn(model: Samples, n: int, noise: Noise, draws: Literal["observations", "means"]) -> Tensor:
    if not isinstance(model, HasObservationModel):
        return model.sample(n, noise)
    observation = model.observation(draw(model.prior().expand((n,)), noise))
    return draw(observation, noise) if draws == "observations" else observation.mean


def _on_scale(samples: Tensor, data: Data, noise: Noise) -> Tensor:
    if data.info.support == "real":
        return samples
    samples = samples.clamp(0, 1)
    if data.info.support == "binary":
        return noise.bernoulli(samples)
    return (samples * 255).round() / 255 if data.info.is_discrete else samples
