"""How long a data set takes to load when its decoded copy is in the cache, beside the hash that checks the copy.

Run with ``pytest tests/benchmarks --benchmark-only``.
"""

from hashlib import sha256
from pathlib import Path

import pytest

from harness import DataSource
from harness.data.loading import dataset_config_type, load_dataset
from harness_datasets import harness_datasets

specs = {spec.name: spec for spec in harness_datasets()}


@pytest.mark.full_mnist
@pytest.mark.parametrize(
    ("name", "at_most"),
    [
        ("mnist", 2),
        ("binarized-mnist", 2),
        ("dequantized-mnist", 2),
    ],
    ids=["mnist", "binarized-mnist", "dequantized-mnist"],
)
def test_loading_a_decoded_data_set(in_turns, data_dir: Path, tmp_path: Path, name: str, at_most: float) -> None:
    spec, source = specs[name], DataSource(data_dir, tmp_path, print)
    config = dataset_config_type(spec)()
    load_dataset(spec, config, source)
    (copy,) = tmp_path.glob("**/*.safetensors")
    in_turns(
        f"loading {name} / hashing its decoded copy",
        lambda: load_dataset(spec, config, source),
        lambda: sha256(copy.read_bytes()).digest(),
        at_most=at_most,
    )
