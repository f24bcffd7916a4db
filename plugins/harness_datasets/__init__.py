"""MNIST and Fashion-MNIST, each as grey pixels, binarised and dequantised."""

from __future__ import annotations

from harness import DatasetSpec, binarized, dequantized, hookimpl

_plain = [
    DatasetSpec(
        "mnist-10k",
        "harness_datasets.mnist_10k:MNIST10k",
        "handwritten digits, 10,000 for training, shipped with the harness",
        version="1",
    ),
    DatasetSpec("mnist", "harness_datasets.idx:MNIST", "handwritten digits, the full set", version="1"),
    DatasetSpec(
        "fashion-mnist",
        "harness_datasets.idx:FashionMNIST",
        "pictures of clothing, the full set",
        version="1",
    ),
]


@hookimpl
def harness_datasets() -> list[DatasetSpec]:
    """Provide each data set in its three forms."""
    return [variant for spec in _plain for variant in (spec, binarized(spec), dequantized(spec))]
