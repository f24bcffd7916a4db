"""MNIST and other sets in its idx format, read with torchvision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from torch import Tensor

from harness import Content, DataSource, setting
from harness_datasets.torchvision_images import TorchvisionImages

kinds = ("images-idx3-ubyte", "labels-idx1-ubyte")


class IdxImages(TorchvisionImages):
    """A set in files of the idx format, which torchvision does not compare with a checksum when it reads them."""

    published: ClassVar[str | None] = None  # the digest of the published files, if it is known

    def content_in(self, source: DataSource) -> Content | None:
        """Return the content of the files in the data folder, if they cannot be taken for the published ones."""
        folder = self.folder(source)
        files = self.files(folder)
        if not all(path.is_file() for path in files):
            return None
        if self.published is None and source.data_dir is None:
            return None  # torchvision checked them when it downloaded them
        digest = source.digest(files)
        if digest == self.published:
            return None
        which = "are not the published ones" if self.published else "cannot be compared with the published ones"
        return Content(digest, f"the files of {self.name} in {folder} {which}")


class TorchvisionDigits(IdxImages):
    """A set of 60,000 training and 10,000 test images of 28 × 28 bytes in ten classes.

    The last 5,000 training images are the validation split. The first ``train_images``, 55,000 by default, are trained
    on.
    """

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        train_images: int = setting(
            55_000,
            "number of images trained on, the first ones; above 55,000 they include validation images",
            minimum=1,
            maximum=60_000,
        )

    def __init__(self, config: Config) -> None:
        self.config = config

    @property
    def _trained_on(self) -> int:
        return self.config.train_images

    def _files(self, root: Path, *, train: bool) -> list[Path]:
        return [root / self.name / "raw" / f"{'train' if train else 't10k'}-{kind}" for kind in kinds]

    def _tensors(self, part: Any) -> tuple[Tensor, Tensor]:
        return part.data.unsqueeze(1), part.targets


class MNIST(TorchvisionDigits):
    """Handwritten digits (LeCun, Cortes and Burges, 1998), 28 × 28 grey pixels, ten classes."""

    name = "MNIST"
    published = "c65580678af93f1ea48c2c0d01d543ec89307c6b8a0eb7ca542d7c18c5f4c681"


class FashionMNIST(TorchvisionDigits):
    """Pictures of clothing (Xiao, Rasul and Vollgraf, 2017), 28 × 28 grey pixels, ten classes."""

    name = "FashionMNIST"
    published = "d1fd84a877f3b78fa9a171b3de73f93e7b6f69ed94bada3feae9d96821401f5c"


class KMNIST(TorchvisionDigits):
    """Cursive Japanese characters (Clanuwat et al., 2018), 28 × 28 grey pixels, ten classes."""

    name = "KMNIST"


class Part(NamedTuple):
    """The numbers of classes, training images and test images in one of EMNIST's splits."""

    classes: int
    training_images: int
    test_images: int


class EMNIST(IdxImages):
    """Handwritten letters and digits (Cohen, Afshar, Tapson and van Schaik, 2017), 28 × 28 grey pixels.

    The last 5,000 training images are the validation split. The files store images transposed; here they are upright.
    Letters are labelled from 0; in the files, from 1.
    """

    name = "EMNIST"
    parts: ClassVar[Mapping[str, Part]] = {
        "letters": Part(26, 124_800, 20_800),
        "balanced": Part(47, 112_800, 18_800),
        "digits": Part(10, 240_000, 40_000),
        "mnist": Part(10, 60_000, 10_000),
        "byclass": Part(62, 697_932, 116_323),
        "bymerge": Part(47, 697_932, 116_323),
    }

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        split: Literal["letters", "balanced", "digits", "mnist", "byclass", "bymerge"] = setting(
            "letters", "which characters: 26 letters, 47 balanced classes, 10 digits, or 62 or 47 unbalanced classes"
        )

    def __init__(self, config: Config) -> None:
        self.config = config
        self.classes, self.training_images, self.test_images = self.parts[config.split]
        self.arguments = {"split": config.split}

    def _files(self, root: Path, *, train: bool) -> list[Path]:
        prefix = f"emnist-{self.config.split}-{'train' if train else 'test'}"
        return [root / self.name / "raw" / f"{prefix}-{kind}" for kind in kinds]

    def _tensors(self, part: Any) -> tuple[Tensor, Tensor]:
        first_label = 1 if self.config.split == "letters" else 0
        return part.data.transpose(1, 2).contiguous().unsqueeze(1), part.targets - first_label
