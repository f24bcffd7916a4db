"""The random choice of examples that metrics with a limited number of them measure."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from harness import Data, DataSource, Examples, Noise
from harness.data.transforms import Dequantize
from harness_datasets.mnist_10k import MNIST10k
from harness_linear.ppca import PPCA


def in_order(n: int) -> Data:
    splits = [Examples(torch.arange(n * 4).view(n, 4).float(), torch.arange(n), 1000 + torch.arange(n))] * 3
    return Data.from_tensors(*splits)


def test_a_subset_is_a_fixed_random_choice_whose_examples_labels_and_ids_belong_together() -> None:
    split = in_order(500).test
    some, more = split.subset(20), split.subset(100)
    assert torch.equal(more.ids[:20], some.ids)
    assert len(set(some.ids.tolist())) == 20
    assert torch.equal(some.stored[:, 0], 4.0 * some.labels)
    assert torch.equal(some.ids, 1000 + some.labels)
    assert some.ids.max() > 1250  # not the first
    assert torch.equal(split.subset(20).ids, some.ids)


def test_a_subset_of_all_examples_is_the_split_and_a_subset_of_a_subset_is_itself() -> None:
    split = in_order(50).test
    assert split.subset(50) is split
    assert split.subset(60) is split
    some = split.subset(10)
    assert some.subset(10) is some


def test_the_former_name_warns_and_chooses_in_the_same_way() -> None:
    split = in_order(50).test
    with pytest.warns(DeprecationWarning, match=r"Split\.first is now Split\.subset"):
        assert torch.equal(split.first(5).ids, split.subset(5).ids)


def deviation(values: Tensor, some: Tensor) -> float:
    """Return by how many standard errors the mean of some values differs from the mean of all."""
    share = len(some) / len(values)
    return float((some.mean() - values.mean()) / (values.std() * math.sqrt((1 - share) / len(some))))


def test_the_ink_of_a_subset_of_mnist_10k_is_that_of_all() -> None:
    test = MNIST10k(MNIST10k.Config()).load(DataSource(None, Path(), print)).test
    ink = test.stored.double().flatten(1).mean(1)
    assert abs(deviation(ink, test.subset(500).stored.double().flatten(1).mean(1))) < 3


@pytest.mark.full_mnist
def test_the_ink_of_a_subset_of_mnist_is_that_of_all_and_that_of_the_first_images_is_not(
    full_mnist: Data,
) -> None:
    ink = full_mnist.test.stored.double().flatten(1).mean(1)
    assert deviation(ink, ink[:1000]) < -7
    assert abs(deviation(ink, full_mnist.test.subset(1000).stored.double().flatten(1).mean(1))) < 3


@pytest.mark.full_mnist
def test_the_exact_likelihood_of_a_subset_is_that_of_the_test_split(full_mnist: Data) -> None:
    data = Dequantize(Dequantize.Config()).apply(full_mnist)
    model = PPCA(data.info, PPCA.Config(latent_dim=10))
    model.fit(data.train, Noise(0))
    found = model.log_prob(data.test.all(Noise(0)))
    assert abs(deviation(found, model.log_prob(data.test.subset(1000).all(Noise(0))))) < 3


def test_stored_values_have_the_ids_of_the_examples_that_were_measured(call, tmp_path: Path) -> None:
    chosen = ("--models", "ppca", "--dataset", "ppca-toy", "--set", "ppca.latent_dim=2", "--seeds", "1")
    done = call("run", *chosen, "--metric", "log-likelihood-exact", "--no-figures",
                "--set", "log-likelihood-exact.examples=50,10000")  # fmt: skip
    assert done.code == 0
    records = [json.loads(line) for line in (tmp_path / "runs" / "records.jsonl").read_text().splitlines()]
    stored = {}
    for each in records:
        with np.load(tmp_path / "runs" / "values" / f"{each['cell_key']}.npz") as arrays:
            stored[each["n"]] = dict(arrays)
    some, every = (
        dict(zip(each["ids"].tolist(), each["values"].tolist(), strict=True)) for _, each in sorted(stored.items())
    )
    assert len(some) == 50 < len(every)
    assert sorted(some) != sorted(every)[:50]
    assert {key: every[key] for key in some} == pytest.approx(some)
