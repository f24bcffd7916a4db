"""Feature spaces: pixels, or features of a classifier or of Inception."""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from harness import Data, DataInfo, NotApplicable
from harness_metrics.quality.classifier import classifier_of, width

FeatureName = Literal["classifier", "pixels", "inception"]
batch = 250
timeout = 10  # seconds, of a connection


@dataclass(frozen=True)
class FeatureSpace:
    """A map from examples ``(B, *shape)`` to features ``(B, dim)``; ``name`` is shown with the results."""

    name: str
    dim: int
    of_batch: Callable[[Tensor], Tensor]
    accuracy: float | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """Return the features of examples ``(N, *shape)``, ``(N, dim)`` float64."""
        return torch.cat([self.of_batch(each).double() for each in x.split(batch)])


def feature_space(data: Data, name: FeatureName | Literal["classes", "points"], cache: Path | None) -> FeatureSpace:
    """Return a feature space for the data; ``classes`` are the logits of the classifier, ``points`` those of sets.

    Raises:
        NotApplicable: the data has no such features, or the weights of Inception are missing.
    """
    if name == "points":
        data.info.as_points()
        return FeatureSpace("sets of points", data.info.dim, lambda x: x.flatten(1))
    data.info.as_vector()
    if name == "pixels":
        return FeatureSpace("pixels", data.info.dim, lambda x: x.flatten(1))
    if name == "inception":
        return FeatureSpace(
            "torchvision's inception_v3 of inputs in [−1, 1]",
            2048,
            functools.partial(_inception_features, inception(data.info)),
        )
    classifier = classifier_of(data, cache)
    if name == "classes":
        classes = data.info.classes or 0
        return FeatureSpace(f"classes by {classifier}", classes, classifier.network, classifier.accuracy)
    return FeatureSpace(f"features of {classifier}", width, classifier.network.features, classifier.accuracy)


def inception(info: DataInfo) -> Any:
    """Return torchvision's Inception v3 with ImageNet weights, for inputs in [−1, 1], without its last layer.

    The weights are loaded from torch's cache or downloaded.

    Raises:
        NotApplicable: the examples are not images in [0, 1] with one or three channels, or the weights cannot be
        loaded.
    """
    channels, _, _ = info.as_image()
    if info.support not in ("binary", "unit") or channels not in (1, 3):
        raise NotApplicable(
            f"Inception takes images in [0, 1] with one or three channels, not {info.support} {info.shape}"
        )
    from torchvision.models import Inception_V3_Weights, inception_v3

    weights = Inception_V3_Weights.IMAGENET1K_V1
    try:
        with _short_timeout():
            network = inception_v3(weights=weights, progress=False, transform_input=False)
    except OSError as error:
        raise NotApplicable(f"the weights of Inception cannot be loaded from {weights.url} ({error})") from error
    network.fc = torch.nn.Identity()
    return network.to(info.mean.device).eval()


def _inception_features(network: Any, x: Tensor) -> Tensor:
    resized = F.interpolate(x.expand(-1, 3, -1, -1), size=(299, 299), mode="bilinear", antialias=True)
    return network((resized - 0.5) / 0.5)  # type: ignore[no-any-return]


@contextmanager
def _short_timeout() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(timeout)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
