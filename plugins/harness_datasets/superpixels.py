"""MNIST as sets of points: the brightest superpixels of each image."""

from __future__ import annotations

import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness import Content, Data, DataError, DataSource, Examples, Track, setting
from harness_datasets.idx import MNIST

most_processes = 8


class MNISTSuperpixels:
    """The n brightest superpixels of each digit of MNIST, ``(1, 3, n)``: rows x, y and intensity, all in [0, 1].

    scikit-image's SLIC (Achanta et al., 2012) on the grey image in [0, 1] finds about 75 superpixels (61 to 83), as
    sparse as those of Monti et al. (2017). Each becomes a point: the mean column and row of its pixels divided by 27,
    with rows counted from the top, and their mean intensity. Points are sorted by intensity, brightest first, and
    points of equal intensity from the top of the image. Superpixels without ink are dropped. If fewer than n have ink,
    as in 41% of the images at n = 25 and in nearly every 1, points are repeated from the brightest on, which leaves the
    set unchanged. Splits, labels and ids are those of ``mnist``.
    """

    images: ClassVar[type[MNIST]] = MNIST

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        points: int = setting(25, "number of points per image, the brightest", minimum=1)
        digit: int | None = setting(None, "digit to keep; none keeps all", minimum=0, maximum=9)
        segments: int = setting(
            75, "number of superpixels requested from SLIC, which returns about as many", minimum=1, maximum=784
        )
        compactness: float = setting(
            0.25,
            "weight of proximity against similarity in SLIC, in units of intensity; large values give squares",
            above=0,
        )

    def __init__(self, config: Config) -> None:
        self.config = config

    def content_in(self, source: DataSource) -> Content | None:
        """Return the content of MNIST's files, if they are not the published ones."""
        return self.images(self.images.Config()).content_in(source)

    def load(self, source: DataSource) -> Data:
        """Find the superpixels of all of MNIST on first use, which takes about a minute, and keep them in the cache.

        Raises:
            DataError: MNIST is missing, damaged or cannot be downloaded.
        """
        mnist = self.images(self.images.Config())
        of_slic = f"MNIST-slic-{self.config.segments}-{self.config.compactness!r}-of-{version('scikit-image')}"
        files = mnist.files(mnist.root(source))
        found = source.decoded(of_slic, files, lambda: self._build(mnist.decoded(source), source))
        ids = torch.arange(len(found["sets"]))
        train, held_out = slice(0, -mnist.validation_images), slice(-mnist.validation_images, None)
        return Data.from_tensors(
            train=self._examples(found["sets"][train], found["labels"][train], ids[train]),
            validation=self._examples(found["sets"][held_out], found["labels"][held_out], ids[held_out]),
            test=self._examples(found["test_sets"], found["test_labels"], torch.arange(len(found["test_sets"]))),
            support="points",
            classes=10,
        )

    def _build(self, decoded: dict[str, Tensor], source: DataSource) -> dict[str, Tensor]:
        if source.only_at_hand:
            raise DataError("the superpixels have not been found yet")
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
    """Return the ``n`` brightest points with ink of each set, ``(N, 3, n)``, repeated in turn if there are fewer.

    Args:
        sets: ``(N, 3, most)``, brightest point first. The first point of a set without any ink is kept.
        n: number of points.
    """
    inked = (sets[:, 2] > 0).sum(1, keepdim=True).clamp(min=1)
    index = torch.arange(n) % inked  # (N, n)
    return sets.gather(2, index.unsqueeze(1).expand(-1, 3, -1))


def superpixels(images: Tensor, segments: int, compactness: float, track: Track, chunk: int = 100) -> Tensor:
    """Return the superpixels of images ``(N, 1, H, W)`` as points, brightest first, ``(N, 3, most)`` float32.

    Sets with fewer points than the largest are padded with zeros. One process per processor, at most eight, take
    ``chunk`` images at a time.
    """
    chunks = [each.squeeze(1).numpy() for each in images.split(chunk)]
    work = partial(_points_of_images, segments=segments, compactness=compactness)
    processes = ProcessPoolExecutor(
        min(most_processes, os.cpu_count() or 1, len(chunks)),
        multiprocessing.get_context("spawn"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),  # the parent handles interrupts
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
    """Return the superpixels of a grey image in [0, 1] as points ``(3, S)``, brightest first."""
    from skimage.segmentation import slic

    segment = slic(image, segments, compactness, channel_axis=None, start_label=0).ravel()
    height, width = image.shape
    rows, columns = np.indices(image.shape)
    values = (columns / (width - 1), rows / (height - 1), image)
    sums = np.stack([np.bincount(segment, value.ravel()) for value in values])
    means = sums / np.bincount(segment)
    return means[:, np.argsort(-means[2], kind="stable")].astype(np.float32)
