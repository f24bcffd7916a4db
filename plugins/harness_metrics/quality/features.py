"""Feature spaces: pixels, or features of a classifier, of Inception or of DINOv2."""

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
from harness_metrics.points import require_points
from harness_metrics.quality.classifier import Announcer, classifier_of, silent, width
from harness_metrics.quality.pretrained import dinov2, fid_inception

FeatureName = Literal["classifier", "pixels", "inception", "inception-fid", "dinov2"]
by_file = {"inception-fid": fid_inception, "dinov2": dinov2}
timeout = 10  # seconds, of a connection


@dataclass(frozen=True)
class FeatureSpace:
    """A map from examples ``(B, *shape)`` to features ``(B, dim)``; ``name`` is shown with the results."""

    name: str
    dim: int
    of_batch: Callable[[Tensor], Tensor]
    accuracy: float | None = None
    batch: int = 250

    def __call__(self, x: Tensor) -> Tensor:
        """Return the features of examples ``(N, *shape)``, ``(N, dim)`` float64."""
        return torch.cat([self.of_batch(each).double() for each in x.split(self.batch)])


def feature_space(
    data: Data,
    name: FeatureName | Literal["classes", "points"],
    cache: Path | None,
    weights: str | None = None,
    announcer: Announcer = silent,
) -> FeatureSpace:
    """Return a feature space for the data; ``classes`` are the logits of the classifier, ``points`` those of sets.

    ``weights`` is the path of the weights, which ``inception-fid`` and ``dinov2`` need. ``announcer`` says if the
    classifier is trained.

    Raises:
        NotApplicable: the data has no such features, or the weights of a pretrained network cannot be loaded.
    """
    if name == "points":
        require_points(data.info)
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
    if name in by_file:
        _require_images(data.info)
        assert weights is not None
        network = by_file[name](Path(weights), data.info.mean.device)
        return FeatureSpace(network.name, network.dim, network.of_batch, batch=50)
    classifier = classifier_of(data, cache, announcer)
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
    _require_images(info)
    from torchvision.models import Inception_V3_Weights, inception_v3

    weights = Inception_V3_Weights.IMAGENET1K_V1
    try:
        with _short_timeout():
            network = inception_v3(weights=weights, progress=False, transform_input=False)
    except OSError as error:
        raise NotApplicable(f"the weights of Inception cannot be loaded from {weights.url} ({error})") from error
    network.fc = torch.nn.Identity()
    return network.to(info.mean.device).eval()


def _require_images(info: DataInfo) -> None:
    channels, _, _ = info.as_image()
    if info.support not in ("binary", "unit") or channels not in (1, 3):
        raise NotApplicable(
            f"pretrained networks take images in [0, 1] with one or three channels, not {info.support} {info.shape}"
        )


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
