"""Image sets, each also binarised and dequantised; point sets; vectors with a known density; and ready-made samples."""

from __future__ import annotations

from harness import DatasetSpec, ModelSpec, binarized, dequantized, hookimpl

_images = [
    DatasetSpec(
        "mnist-10k",
        "harness_datasets.mnist_10k:MNIST10k",
        "10,000 training images of handwritten digits, shipped with the harness",
        version="1",
    ),
    DatasetSpec("mnist", "harness_datasets.idx:MNIST", "handwritten digits, the full set", version="1"),
    DatasetSpec(
        "fashion-mnist",
        "harness_datasets.idx:FashionMNIST",
        "pictures of clothing, the full set",
        version="1",
    ),
    DatasetSpec("kmnist", "harness_datasets.idx:KMNIST", "cursive Japanese characters", version="1"),
    DatasetSpec("emnist", "harness_datasets.idx:EMNIST", "handwritten letters and digits", version="1"),
    DatasetSpec("cifar10", "harness_datasets.cifar10:CIFAR10", "small colour photographs", version="1"),
    DatasetSpec("folder", "harness_datasets.folder:Folder", "images of your own, given as folder:PATH", version="1"),
]
_others = [
    DatasetSpec(
        "mnist-superpixels",
        "harness_datasets.superpixels:MNISTSuperpixels",
        "handwritten digits as sets of points: their brightest superpixels",
        version="1",
    ),
    DatasetSpec(
        "ppca-toy",
        "harness_datasets.toys:PPCAToy",
        "vectors from probabilistic PCA, with a known density",
        version="1",
    ),
    DatasetSpec(
        "mixture-toy",
        "harness_datasets.toys:MixtureToy",
        "vectors from a mixture of Gaussians, with a known density",
        version="1",
    ),
]


@hookimpl
def harness_datasets() -> list[DatasetSpec]:
    """Provide each image set in three forms, and the other sets."""
    return [*(variant for spec in _images for variant in (spec, binarized(spec), dequantized(spec))), *_others]


@hookimpl
def harness_models() -> list[ModelSpec]:
    """Provide samples that were made elsewhere, as a model."""
    summary = "samples that you already have: harness score"
    return [ModelSpec("samples", "harness_datasets.samples:ReadySamples", summary, version="1")]
