"""``folder``: images of one's own."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from harness import Content, Data, DataError, DataSource, Examples, Noise, derive_seed, setting
from harness_datasets.image_files import image_files, read_images

_splits = ("train", "validation", "test")


class Folder:
    """Images in a folder (png, jpg, webp), all of one size, in grey or in colour.

    If it has the subfolders ``train``, ``validation`` and ``test``, these are the splits. Otherwise the images, sorted
    by their names, are split at random from a seed. They have no labels, so metrics that compare features of a
    classifier do not apply; ``features=pixels`` does.
    """

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        path: str = setting("images", "the folder", required=True, by_content=True)
        validation: float = setting(0.1, "share of the images in the validation split", above=0, below=1)
        test: float = setting(0.2, "share of the images in the test split", above=0, below=1)
        split_seed: int = setting(0, "seed of the split", minimum=0)

        def __post_init__(self) -> None:
            if self.validation + self.test >= 1:
                raise ValueError("the shares of the validation and the test split leave no images to train on")

    def __init__(self, config: Config) -> None:
        self.config = config

    @staticmethod
    def content(config: Config) -> Content:
        """Hash the files with their names, and say how they are split.

        Raises:
            DataError: there are too few images, or a file cannot be read.
        """
        digest = hashlib.sha256()
        folder = Path(config.path)
        found = image_files(folder)
        prefix = str(folder / "_")[:-1]
        for path in found:
            digest.update(f"{str(path).removeprefix(prefix).replace(os.sep, '/')}\0".encode())
            try:
                digest.update(hashlib.sha256(path.read_bytes()).digest())
            except OSError as error:
                raise DataError(f"{path} cannot be read: {error.strerror}") from error
        how = "split by subfolder" if _has_splits(folder) else f"split from seed {config.split_seed}"
        sizes = ", ".join(f"{len(files):,} {name}" for name, files in _files_of(config, found).items())
        return Content(digest.hexdigest(), f"images of {config.path} {how}: {sizes}")

    def load(self, source: DataSource) -> Data:
        """Decode the images, or map the decoded copy from the cache.

        Raises:
            DataError: there are too few images, or one is damaged or of another size.
        """
        files = _files_of(self.config, image_files(Path(self.config.path)))
        every = [path for split in _splits for path in files[split]]

        def decode() -> Mapping[str, Tensor]:
            return {"images": read_images(every, source.track)}

        images = source.decoded("folder", every, decode)["images"]
        parts = images.split([len(files[split]) for split in _splits])
        return Data.from_tensors(*(Examples(part) for part in parts))


def _has_splits(folder: Path) -> bool:
    return all((folder / split).is_dir() for split in _splits)


def _files_of(config: Folder.Config, files: Sequence[Path]) -> dict[str, Sequence[Path]]:
    """Return the files of each split, of all files in the folder.

    Raises:
        DataError: there are too few images for three splits.
    """
    folder = Path(config.path)
    if _has_splits(folder):
        return {split: image_files(folder / split) for split in _splits}
    sizes = [round(share * len(files)) for share in (config.validation, config.test)]
    if min(sizes) < 1:
        raise DataError(
            f"{folder} has {len(files)} images, too few to split into training, validation and test; add some, "
            "or raise the shares folder.validation and folder.test"
        )
    order = Noise(derive_seed("folder", config.split_seed)).permutation(len(files)).tolist()
    validation, test, train = order[: sizes[0]], order[sizes[0] : sum(sizes)], order[sum(sizes) :]
    return {split: [files[i] for i in sorted(chosen)] for split, chosen in
            zip(_splits, (train, validation, test), strict=True)}  # fmt: skip
