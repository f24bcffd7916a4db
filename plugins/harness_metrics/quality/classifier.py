"""The classifier whose features are compared: trained on the labels of the data, the same for every model."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness import Data, DataInfo, DataSource, Noise, NotApplicable, Split, derive_seed
from harness.toolkit import digest_of, using_threads

version = "2"  # raised when the network or its training changes
width = 64
steps, batch, learning_rate = 1500, 64, 5e-3
share_of_training = 0.9  # of a measurement, about


class Network(nn.Module):
    """Two 3 × 3 convolutions with 16 and 32 channels, and two linear layers with 64 units and one unit per class.

    Each layer but the last is followed by batch normalisation and ReLU; each convolution first by 2 × 2 max pooling.
    """

    def __init__(self, info: DataInfo, classes: int) -> None:
        super().__init__()
        channels, height, width_ = info.as_image()
        pool = nn.MaxPool2d(2, ceil_mode=True)
        self.features = nn.Sequential(
            *(nn.Conv2d(channels, 16, 3, padding=1), pool, nn.BatchNorm2d(16), nn.ReLU()),
            *(nn.Conv2d(16, 32, 3, padding=1), pool, nn.BatchNorm2d(32), nn.ReLU()),
            nn.Flatten(),
            *(nn.Linear(32 * -(-height // 4) * -(-width_ // 4), width), nn.BatchNorm1d(width), nn.ReLU()),
        )
        self.classes = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of images ``(N, C, H, W)``, ``(N, classes)``."""
        return self.classes(self.features(x))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Classifier:
    """A trained network, the hash of its weights, and its accuracy on the test images."""

    network: Network
    digest: str
    accuracy: float

    def __str__(self) -> str:
        return f"classifier {self.digest}, accuracy {self.accuracy:.1%}"


@dataclass(frozen=True)
class Announcer:
    """Shows the user a line, and which share of a measurement is done.

    All announcers are equal, so that they make no difference to a cache of results.
    """

    announce: Callable[[str], None] = field(default=lambda line: None, compare=False)
    progress: Callable[[float], None] = field(default=lambda share: None, compare=False)


silent = Announcer()


@functools.lru_cache(maxsize=4)
def classifier_of(data: Data, cache: Path | None, announcer: Announcer = silent) -> Classifier:
    """Return the classifier of a data set, loaded from the cache folder or trained (half a minute on one core).

    It is trained on the CPU from fixed seeds, so that it depends on no model, seed, evaluation or device. That it is
    trained is announced, and how far it is.

    Raises:
        NotApplicable: the examples are not images, or have no labels.
    """
    info, labels = data.info, data.train.labels
    if len(info.shape) != 3:
        raise NotApplicable(f"its classifier takes images, but the examples have shape {info.shape}")
    if info.classes is None or labels is None or data.test.labels is None:
        raise NotApplicable("the data has no labels to train its classifier on")
    network = _new(info, info.classes)

    def trained() -> dict[str, Tensor]:
        announcer.announce("trains the classifier whose features are compared, once for this data set")
        return _trained(network, data.train.to("cpu"), announcer.progress)

    if cache is None:
        weights: Mapping[str, Tensor] = trained()
    else:
        name = f"classifier-{_identity(data)}"
        source = DataSource(None, cache, announce=lambda line: None)
        weights = source.decoded(name, (), trained)
    network.load_state_dict(weights)
    network.to(labels.device).eval()
    return Classifier(network, digest_of(weights)[:12], _accuracy(network, data.test))


def _new(info: DataInfo, classes: int) -> Network:
    with torch.random.fork_rng():
        torch.manual_seed(derive_seed("classifier", "initialisation"))
        return Network(info, classes)


def _trained(network: Network, train: Split, progress: Callable[[float], None]) -> dict[str, Tensor]:
    """Train with Adam on a one-cycle schedule (Smith and Topin, 2017); return the weights.

    ``progress`` is called after each step with the share of the measurement that is done.
    """
    assert train.labels is not None
    order, noise = (Noise(derive_seed("classifier", each)) for each in ("batches", "noise"))
    optimizer = torch.optim.Adam(network.parameters(), learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps)
    epochs = -(-steps * batch // len(train))
    shown = torch.cat([order.permutation(len(train)) for _ in range(epochs)])
    with torch.enable_grad(), using_threads(1):  # the last digits depend on the threads
        for step, index in enumerate(shown[: steps * batch].split(batch), 1):
            optimizer.zero_grad()
            F.cross_entropy(network(train.batch(index, noise)), train.labels[index]).backward()
            optimizer.step()
            schedule.step()
            progress(share_of_training * step / steps)
    return {name: each.detach() for name, each in network.state_dict().items()}


def _accuracy(network: Network, test: Split) -> float:
    assert test.labels is not None
    with torch.no_grad():
        found = [network(x).argmax(1) for x in test.batches(500, Noise(0, test.stored.device))]
    return float((torch.cat(found) == test.labels).double().mean())


def _identity(data: Data) -> str:
    """Hash what the weights depend on."""
    assert data.train.labels is not None
    info = json.dumps([version, data.info.support, data.info.scale, data.info.classes, torch.__version__])
    tensors = {"values": data.train.stored, "labels": data.train.labels}
    return hashlib.sha256((info + digest_of(tensors)).encode()).hexdigest()[:16]
