"""The full MNIST and Fashion-MNIST through torchvision, from the user's folder or downloaded once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from harness import Data, DataError, DataSource, Examples, setting

validation_images = 5000


class TorchvisionDigits:
    """A data set of torchvision's MNIST family: 60,000 training and 10,000 test images of 28 × 28 bytes.

    The last 5,000 training images are the validation split, and the first 55,000 are trained on, unless
    ``train_images`` says otherwise.
    """

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        train_images: int = setting(
            60_000 - validation_images,
            "images trained on, the first ones; beyond 55,000 they include the validation images",
            minimum=1,
            maximum=60_000,
        )

    name: ClassVar[str]

    def __init__(self, config: Config) -> None:
        self.config = config

    def load(self, source: DataSource) -> Data:
        """Read the data from ``data_dir``, or from the cache, into which it is downloaded on first use.

        Raises:
            DataError: files are missing, damaged or cannot be downloaded.
        """
        root = source.data_dir or source.cache_dir / "data"
        if not self._is_in(root):
            if source.data_dir is not None:
                raise DataError(self._not_found(root))
            self._download(root, source)
        decoded = source.decoded(self.name, self._files(root), lambda: self._decode(root))
        images, labels = decoded["images"], decoded["labels"]
        first, last = slice(0, self.config.train_images), slice(-validation_images, None)
        ids = torch.arange(len(images))
        return Data.from_tensors(
            train=Examples(images[first], labels[first], ids[first]),
            validation=Examples(images[last], labels[last], ids[last]),
            test=Examples(decoded["test_images"], decoded["test_labels"]),
            classes=10,
        )

    @property
    def _torchvision(self) -> Any:
        from torchvision import datasets

        return getattr(datasets, self.name)

    def _files(self, root: Path) -> list[Path]:
        kinds = ("images-idx3-ubyte", "labels-idx1-ubyte")
        return [root / self.name / "raw" / f"{part}-{kind}" for part in ("train", "t10k") for kind in kinds]

    def _is_in(self, root: Path) -> bool:
        return all(path.is_file() for path in self._files(root))

    def _not_found(self, root: Path) -> str:
        missing = next(path for path in self._files(root) if not path.is_file())
        return (
            f"no {self.name} in the data folder {root}: {missing} does not exist. The folder must have torchvision's "
            f"layout ({self.name}/raw/...). Leave out --data-dir and HARNESS_DATA_DIR to download it, or fill the "
            f"folder with: python -c \"from torchvision.datasets import {self.name} as d; d('{root}', download=True)\""
        )

    def _download(self, root: Path, source: DataSource) -> None:
        source.announce(f"{self.name} is not in {root} yet: downloading it with torchvision")
        try:
            self._torchvision(root, train=True, download=True)
        except (OSError, RuntimeError) as error:
            said = " ".join(str(error).split())
            raise DataError(
                f"{self.name} could not be downloaded into {root}: {said}. If you have the files in torchvision's "
                f"layout ({self.name}/raw/...), name their folder with --data-dir DIR or HARNESS_DATA_DIR."
            ) from error

    def _decode(self, root: Path) -> dict[str, Tensor]:
        images, labels = self._read(root, train=True)
        test_images, test_labels = self._read(root, train=False)
        return {"images": images, "labels": labels, "test_images": test_images, "test_labels": test_labels}

    def _read(self, root: Path, *, train: bool) -> tuple[Tensor, Tensor]:
        count = 60000 if train else 10000
        images_file, labels_file = self._files(root)[:2] if train else self._files(root)[2:]
        try:
            data = self._torchvision(root, train=train, download=False)
            images, labels = data.data, data.targets
        except Exception as error:
            raise DataError(self._damaged(images_file, labels_file, str(error) or "wrong length")) from error
        if images.shape != (count, 28, 28) or len(labels) != count:
            raise DataError(
                self._damaged(images_file, labels_file, f"{len(images)} images and {len(labels)} labels, not {count}")
            )
        if not bool(((labels >= 0) & (labels < 10)).all()):
            raise DataError(self._damaged(images_file, labels_file, "labels outside 0 to 9"))
        return images.unsqueeze(1), labels

    def _damaged(self, images: Path, labels: Path, why: str) -> str:
        return f"{images} or {labels.name} beside it is corrupt ({why}). Delete both and get them again."


class MNIST(TorchvisionDigits):
    """Handwritten digits (LeCun, Cortes and Burges, 1998), 28 × 28 grey pixels, ten classes."""

    name = "MNIST"


class FashionMNIST(TorchvisionDigits):
    """Pictures of clothing (Xiao, Rasul and Vollgraf, 2017), 28 × 28 grey pixels, ten classes."""

    name = "FashionMNIST"
