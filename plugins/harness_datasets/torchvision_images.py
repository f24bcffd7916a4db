"""Image sets read with torchvision, from the user's folder or downloaded once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from harness import Data, DataError, DataSource, Examples


class TorchvisionImages(ABC):
    """A set of 8-bit images that torchvision can download and read.

    The last 5,000 training images are the validation split; the others are trained on.
    """

    name: ClassVar[str]
    shape: tuple[int, int, int] = (1, 28, 28)
    classes: int = 10
    training_images: int = 60_000
    validation_images: int = 5_000
    test_images: int = 10_000
    arguments: Mapping[str, str] = {}  # further arguments of torchvision's class

    def load(self, source: DataSource) -> Data:
        """Read the data from ``data_dir``, or download it into the cache on first use.

        Raises:
            DataError: files are missing, damaged or cannot be downloaded.
        """
        decoded = self.decoded(source)
        images, labels = decoded["images"], decoded["labels"]
        first, last = slice(0, self._trained_on), slice(-self.validation_images, None)
        ids = torch.arange(len(images))
        return Data.from_tensors(
            train=Examples(images[first], labels[first], ids[first]),
            validation=Examples(images[last], labels[last], ids[last]),
            test=Examples(decoded["test_images"], decoded["test_labels"]),
            classes=self.classes,
        )

    def decoded(self, source: DataSource) -> dict[str, Tensor]:
        """Return ``images`` ``(N, C, H, W)`` and ``labels`` ``(N,)``, ``test_images`` and ``test_labels``.

        Raises:
            DataError: files are missing, damaged or cannot be downloaded.
        """
        root = self.root(source)
        return source.decoded(self.name, self.files(root), lambda: self._decode(root))

    def root(self, source: DataSource) -> Path:
        """Return the folder that contains the files; without a data folder, download them into the cache.

        Raises:
            DataError: files are missing or cannot be downloaded.
        """
        root = self.folder(source)
        if not all(path.is_file() for path in self.files(root)):
            if source.data_dir is not None or source.only_at_hand:
                raise DataError(self._not_found(root))
            self._download(root, source)
        return root

    @staticmethod
    def folder(source: DataSource) -> Path:
        """Return the folder that contains the files, or into which they are downloaded."""
        return source.data_dir or source.cache_dir / "data"

    def files(self, root: Path) -> list[Path]:
        """Return the files of both parts."""
        return list(dict.fromkeys([*self._files(root, train=True), *self._files(root, train=False)]))

    @property
    def _trained_on(self) -> int:
        """The number of images trained on, the first ones."""
        return self.training_images - self.validation_images

    @property
    def _torchvision(self) -> Any:
        from torchvision import datasets

        return getattr(datasets, self.name)

    @abstractmethod
    def _files(self, root: Path, *, train: bool) -> list[Path]:
        """Return the files that torchvision needs for one part."""

    @abstractmethod
    def _tensors(self, part: Any) -> tuple[Tensor, Tensor]:
        """Return the images ``(N, C, H, W)`` and labels ``(N,)`` of a torchvision data set."""

    def _not_found(self, root: Path) -> str:
        missing = next(path for path in self.files(root) if not path.is_file())
        arguments = "".join(f", {name}='{value}'" for name, value in self.arguments.items())
        for parent in root.resolve().parents[:2]:
            found = parent / self._layout(root)
            if found.is_dir() and root.resolve() in (found, found.parent):
                return f"{root} is the folder of {self.name} itself; as the data folder, name its parent: {parent}"
        return (
            f"no {self.name} in the data folder {root}: {missing} does not exist. The folder must have torchvision's "
            f"layout ({self._layout(root)}/...). Without a data folder it is downloaded; or fill the folder with: "
            f'python -c "from torchvision.datasets import {self.name} as d; '
            f"d('{root}'{arguments}, download=True)\""
        )

    def _layout(self, root: Path) -> Path:
        return self.files(root)[0].parent.relative_to(root)

    def _download(self, root: Path, source: DataSource) -> None:
        source.announce(f"{self.name} is not in {root} yet: downloading it with torchvision")
        try:
            for train in (True, False):  # some classes check for the files of one part only
                self._torchvision(root, train=train, download=True, **self.arguments)
        except Exception as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise DataError(
                f"{self.name} could not be downloaded into {root}: {reason}. If you have the files in torchvision's "
                f"layout ({self._layout(root)}/...), name their folder as the data folder (HARNESS_DATA_DIR)."
            ) from error

    def _decode(self, root: Path) -> dict[str, Tensor]:
        images, labels = self._read(root, train=True)
        test_images, test_labels = self._read(root, train=False)
        return {"images": images, "labels": labels, "test_images": test_images, "test_labels": test_labels}

    def _read(self, root: Path, *, train: bool) -> tuple[Tensor, Tensor]:
        count = self.training_images if train else self.test_images
        try:
            images, labels = self._tensors(self._torchvision(root, train=train, download=False, **self.arguments))
        except Exception as error:
            raise DataError(self._damaged(root, train, str(error) or "wrong length")) from error
        if images.shape != (count, *self.shape) or len(labels) != count:
            why = f"{len(images)} images and {len(labels)} labels, not {count}"
            raise DataError(self._damaged(root, train, why))
        if not bool(((labels >= 0) & (labels < self.classes)).all()):
            raise DataError(self._damaged(root, train, f"labels outside 0 to {self.classes - 1}"))
        return images, labels

    def _damaged(self, root: Path, train: bool, why: str) -> str:
        first, *others = self._files(root, train=train)
        names = ", ".join(path.name for path in others)
        return f"{first} or {names} beside it is corrupt ({why}). Delete these files and download them again."
