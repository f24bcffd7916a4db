"""MNIST as sets of points: the brightest superpixels of each image."""

from __future__ import annotations

import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness import Data, DataSource, Examples, Track, setting
from harness_datasets.idx import MNIST
from harness_datasets.torchvision_images import validation_images

images_at_a_time = 100
most_processes = 8


class MNISTSuperpixels:
    """The n brightest superpixels of each digit of MNIST, ``(1, 3, n)``: rows x, y and intensity, all in [0, 1].

    SLIC (Achanta et al., 2012) as scikit-image has it, on the grey image in [0, 1], finds about 75 superpixels, 61 to
    83, as sparse as those of Monti et al. (2017). Each becomes a point: the mean column and row of its pixels over 27,
    rows counted from the top, and their mean intensity. Points are in the order of their intensity, the brightest
    first, those of equal intensity from the top of the image. One without ink is no point; where fewer than n have ink,
    as with 41% of the images at n = 25 and nearly every 1, the points are repeated from the brightest on, which adds
    nothing to the set. Splits, labels and ids are those of ``mnist``.
    """

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        points: int = setting(25, "points an image is reduced to, the brightest", minimum=1)
        digit: int | None = setting(None, "the only digit that is kept; none keeps all", minimum=0, maximum=9)
        segments: int = setting(75, "superpixels asked of SLIC, which makes about as many", minimum=1, maximum=784)
        compactness: float = setting(
            0.25,
            "weight of nearness against likeness in SLIC, in units of intensity; large values give squares",
            above=0,
        )

    def __init__(self, config: Config) -> None:
        self.config = config

    def load(self, source: DataSource) -> Data:
        """Find the superpixels of all of MNIST on first use, which takes a minute or so, and keep them in the cache.

        Raises:
            DataError: MNIST is missing, damaged or cannot be downloaded.
        """
        mnist = MNIST(MNIST.Config())
        of_slic = f"MNIST-slic-{self.config.segments}-{self.config.compactness!r}-of-{version('scikit-image')}"
        files = mnist.files(mnist.root(source))
        found = source.decoded(of_slic, files, lambda: self._build(mnist.decoded(source), source))
        ids = torch.arange(len(found["sets"]))
        train, held_out = slice(0, -validation_images), slice(-validation_images, None)
        return Data.from_tensors(
            train=self._examples(found["sets"][train], found["labels"][train], ids[train]),
            validation=self._examples(found["sets"][held_out], found["labels"][held_out], ids[held_out]),
            test=self._examples(found["test_sets"], found["test_labels"], torch.arange(len(found["test_sets"]))),
            support="points",
            classes=10,
        )

    def _build(self, decoded: dict[str, Tensor], source: DataSource) -> dict[str, Tensor]:
        images = torch.cat([decoded["images"], decoded["test_images"]])
        source.announce(f"finding the superpixels of {len(images):,} images, once")
        sets = superpixels(images, self.config.segments, self.config.compactness, source.track)
        training, test = sets.tensor_split([len(decoded["images"])])
        return {
            "sets": training,
            "labels": decoded["labels"],
            "test_sets": test,
            "test_labels": decoded["test_labels"],
        }

    def _examples(self, sets: Tensor, labels: Tensor, ids: Tensor) -> Examples:
        kept = slice(None) if self.config.digit is None else labels == self.config.digit
        return Examples(brightest(sets[kept], self.config.points).unsqueeze(1), labels[kept], ids[kept])


def brightest(sets: Tensor, n: int) -> Tensor:
    """Cut sets to ``n`` points with ink each, ``(N, 3, n)``, repeating them in turn where there are fewer.

    Args:
        sets: ``(N, 3, most)``, the brightest point first. Of a set without any ink the first point is kept.
        n: how many points.
    """
    inked = (sets[:, 2] > 0).sum(1, keepdim=True).clamp(min=1)
    index = torch.arange(n) % inked  # (N, n)
    return sets.gather(2, index.unsqueeze(1).expand(-1, 3, -1))


def superpixels(images: Tensor, segments: int, compactness: float, track: Track) -> Tensor:
    """Return the superpixels of images ``(N, 1, H, W)`` as points, the brightest first, ``(N, 3, most)`` float32.

    Sets of fewer points than the largest end in zeros. The work is shared by as many processes as there are
    processors, up to eight.
    """
    chunks = [each.squeeze(1).numpy() for each in images.split(images_at_a_time)]
    work = partial(_points_of_images, segments=segments, compactness=compactness)
    processes = ProcessPoolExecutor(
        min(most_processes, os.cpu_count() or 1, len(chunks)),
        multiprocessing.get_context("spawn"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),  # an interruption is the parent's to handle
    )
    try:
        done = track(processes.map(work, chunks), "superpixels", len(chunks))
        sets = [torch.from_numpy(points) for chunk in done for points in chunk]
    finally:
        processes.shutdown(cancel_futures=True)
    return torch.nn.utils.rnn.pad_sequence([points.T for points in sets], batch_first=True).transpose(1, 2)


def _points_of_images(images: NDArray[np.uint8], segments: int, compactness: float) -> list[NDArray[np.float32]]:
    return [points_of(image / 255, segments, compactness) for image in images]


def points_of(image: NDArray[np.float64], segments: int, compactness: float) -> NDArray[np.float32]:
    """Return the superpixels of a grey image in [0, 1] as points ``(3, S)``, the brightest first."""
    from skimage.segmentation import slic

    segment = slic(image, segments, compactness, channel_axis=None, start_label=0).ravel()
    height, width = image.shape
    rows, columns = np.indices(image.shape)
    values = (columns / (width - 1), rows / (height - 1), image)
    sums = np.stack([np.bincount(segment, value.ravel()) for value in values])
    means = sums / np.bincount(segment)
    return means[:, np.argsort(-means[2], kind="stable")].astype(np.float32)
