"""How long a data set takes to load when its decoded copy is in the cache, beside the work that this needs.

Run with ``pytest tests/benchmarks --benchmark-only``.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from torch import Tensor

from harness import DataSource
from harness.data.loading import dataset_config_type, load_dataset
from harness_datasets import harness_datasets

specs = {spec.name: spec for spec in harness_datasets()}


def binarized(grey: Tensor) -> Tensor:
    return (torch.rand(grey.shape) < grey.float() / 255).to(torch.uint8)


def dequantized(grey: Tensor) -> Tensor:
    return (grey.float() + torch.rand(grey.shape)) / 256


@pytest.mark.full_mnist
@pytest.mark.parametrize(
    ("name", "drawn", "at_most"),
    [
        ("mnist", None, 1.3),  # measured 0.79
        ("binarized-mnist", binarized, 1.3),  # measured 0.74
        ("dequantized-mnist", dequantized, 1.3),  # measured 0.53
    ],
    ids=["mnist", "binarized-mnist", "dequantized-mnist"],
)
def test_loading_a_decoded_data_set(
    in_turns, data_dir: Path, tmp_path: Path, name: str, drawn: Callable[[Tensor], Tensor] | None, at_most: float
) -> None:
    """The copy is hashed, to check it; validation and test images are then drawn."""
    spec, source = specs[name], DataSource(data_dir, tmp_path, print)
    config = dataset_config_type(spec)()
    load_dataset(spec, config, source)
    (copy,) = tmp_path.glob("**/*.safetensors")
    grey = torch.randint(256, (15_000, 784), dtype=torch.uint8)

    def theirs() -> None:
        sha256(copy.read_bytes()).digest()
        if drawn is not None:
            drawn(grey)

    in_turns(f"loading {name} / its work by hand", lambda: load_dataset(spec, config, source), theirs, at_most=at_most)
