"""CIFAR-10 through torchvision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness import NoSettings
from harness_datasets.torchvision_images import TorchvisionImages


class CIFAR10(TorchvisionImages):
    """Photographs of objects and animals (Krizhevsky, 2009), 3 × 32 × 32 pixels, ten classes.

    There are 50,000 training images, the last 5,000 of which are the validation split, and 10,000 test images.
    """

    Config = NoSettings
    name = "CIFAR10"
    shape = (3, 32, 32)
    training_images = 50_000

    def __init__(self, config: NoSettings) -> None:
        self.config = config

    def _files(self, root: Path, *, train: bool) -> list[Path]:
        names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]
        return [root / "cifar-10-batches-py" / name for name in names]  # torchvision checks all of them for both parts

    def _tensors(self, part: Any) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(part.targets)
