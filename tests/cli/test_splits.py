"""Another split or another evaluation seed is another cell, and says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

if TYPE_CHECKING:
    from tests.conftest import Call

pca = ("run", "--models", "pca", "--metric", "reconstruction-mse", "--dataset", "mnist-10k", "--no-figures")


def records() -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path("runs", "records.jsonl").read_text().splitlines()]


def test_the_validation_split_is_measured_on_the_validation_images(call: Call, tmp_path: Path) -> None:
    from harness.data.loading import dataset_config_type, load_dataset
    from harness.data.source import DataSource
    from harness.registry import Registry

    assert call(*pca).code == 0
    done = call(*pca, "--split", "validation")
    assert done.code == 0
    assert "mnist-10k · reconstruction-mse · validation split" in done.out
    test, validation = records()
    assert test["cell_key"] != validation["cell_key"]
    assert test["fit_key"] == validation["fit_key"]
    assert (test["counted"], validation["counted"]) == ("test examples", "validation examples")

    spec = Registry.load().get("dataset", "mnist-10k").spec
    data = load_dataset(spec, dataset_config_type(spec)(), DataSource(None, tmp_path, print))  # type: ignore[arg-type]
    for record, split in ((test, data.test), (validation, data.validation)):
        x = split.stored.flatten(1).double() / 255
        train = data.train.stored.flatten(1).double() / 255
        mean = train.mean(0)
        axes = torch.linalg.svd(train - mean, full_matrices=False).Vh[: record["model"]["settings"]["latent_dim"]]
        left = (x - mean) - (x - mean) @ axes.T @ axes
        assert record["n"] == len(x)
        assert record["value"] == pytest.approx(left.square().mean().item(), rel=1e-3)


def test_another_evaluation_seed_measures_the_same_fit_again(call: Call, faults: str) -> None:
    words = ("run", "--plugin", faults, "--models", "scaled", "--metric", "reconstruction-mse", "--dataset", "tiny")
    assert call(*words, "--epochs", "1").code == 0
    done = call(*words, "--epochs", "1", "--evaluation-seed", "3")
    assert done.code == 0
    assert "fitting" not in done.err
    first, second = records()
    assert (first["evaluation_seed"], second["evaluation_seed"]) == (0, 3)
    assert first["fit_key"] == second["fit_key"]
    assert first["cell_key"] != second["cell_key"]


def test_a_target_is_given_to_every_metric_that_has_such_a_setting(call: Call, tmp_path: Path, faults: str) -> None:
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\n"
        "import harness\n"
        "class Patient:\n"
        "    unit, direction, needs = 's', 'lower', ()\n"
        "    @dataclass(frozen=True)\n"
        "    class Config:\n"
        "        target: str = 'elbo=0'\n"
        "    def __init__(self, config):\n"
        "        self.config = config\n"
        "    def measure(self, model, data, context):\n"
        "        return harness.Estimate(float(self.config.target.split('=')[1]), None, 1)\n"
        "@harness.hookimpl\n"
        "def harness_metrics():\n"
        "    return [harness.MetricSpec('patient', Patient, 'waits', aliases=('wait',))]\n"
    )
    words = ("run", "--plugin", "mine.py", "--plugin", faults, "--models", "pca", "--dataset", "tiny")
    done = call(*words, "--metric", "patient,reconstruction-mse", "--target", "elbo=7")
    assert done.code == 0, done.err
    assert {each["metric"]["name"]: each["value"] for each in records()}["patient"] == 7
    twice = call(*words, "--metric", "patient", "--target", "elbo=7", "--set", "patient.target=elbo=8")
    assert (twice.code, "patient.target is set too" in twice.err) == (2, True)
    assert "Did you mean 'patient'?" in call(*words, "--metric", "wait").err
    assert "waits (also: wait)" in call("list", "metrics", "--plugin", "mine.py").out
    assert "Also called: wait" in call("show", "patient", "--plugin", "mine.py").out
