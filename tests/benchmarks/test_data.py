"""How long a data set takes to load when its decoded copy is in the cache.

Run with ``pytest tests/benchmarks --benchmark-only``.
"""

from pathlib import Path

import pytest

from harness import DataSource
from harness.data.loading import dataset_config_type, load_dataset
from harness.machine.device import prepare_torch
from harness_datasets import harness_datasets

specs = {spec.name: spec for spec in harness_datasets()}


@pytest.mark.full_mnist
@pytest.mark.parametrize("name", ["mnist", "binarized-mnist", "dequantized-mnist"])
def test_loading_a_decoded_data_set(benchmark, data_dir: Path, tmp_path: Path, name: str) -> None:
    prepare_torch("cpu")
    spec, source = specs[name], DataSource(data_dir, tmp_path, print)
    config = dataset_config_type(spec)()
    first = load_dataset(spec, config, source)
    again = benchmark.pedantic(load_dataset, (spec, config, source), rounds=10)
    assert len(again.test) == len(first.test)
