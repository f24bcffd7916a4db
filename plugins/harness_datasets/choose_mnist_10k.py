"""Selects and writes the embedded subset of MNIST: ``python -m harness_datasets.choose_mnist_10k DATA_DIR OUT``.

DATA_DIR contains MNIST in torchvision's layout. The selection depends only on the positions and labels of the images:
within each class, images are sorted by a hash of their position, and the first ones are selected.
"""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor
from torchvision.datasets import MNIST

from harness import Examples
from harness_datasets.mnist_10k import pack, sizes


def choose(data_dir: Path) -> dict[str, Examples]:
    """Return the three splits, each in the order of the full set."""
    training, held_out = (MNIST(data_dir, train=train) for train in (True, False))
    train, rest = stratified(training.targets, "train", torch.arange(60_000), sizes["train"])
    validation, _ = stratified(training.targets, "validation", rest, sizes["validation"])
    test, _ = stratified(held_out.targets, "test", torch.arange(10_000), sizes["test"])
    chosen = {"train": (training, train), "validation": (training, validation), "test": (held_out, test)}
    return {
        name: Examples(source.data[ids].unsqueeze(1), source.targets[ids], ids)
        for name, (source, ids) in chosen.items()
    }


def stratified(labels: Tensor, purpose: str, available: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Select ``n`` of the available positions, stratified by class; return them and the rest, sorted.

    Class sizes are rounded by the largest-remainder method.
    """
    by_class = {int(label): available[labels[available] == label].tolist() for label in labels.unique()}
    exact = {label: n * len(ids) / len(available) for label, ids in by_class.items()}
    shares = {label: int(share) for label, share in exact.items()}
    by_remainder = sorted(exact, key=lambda label: (shares[label] - exact[label], label))
    for label in by_remainder[: n - sum(shares.values())]:
        shares[label] += 1
    chosen, rest = [], []
    for label, ids in by_class.items():
        shuffled = sorted(ids, key=lambda i: sha256(f"mnist-10k/{purpose}/{i}".encode()).digest())
        chosen += shuffled[: shares[label]]
        rest += shuffled[shares[label] :]
    return torch.tensor(sorted(chosen)), torch.tensor(sorted(rest))


if __name__ == "__main__":
    data_dir, out = sys.argv[1:]
    Path(out).write_bytes(pack(choose(Path(data_dir))))
