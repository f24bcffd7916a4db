"""Some built-in plugins of each kind pass all checks; ``harness check generative-harness`` checks every one."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.conformance.suite import find, results_of, target_of
from harness.data.source import DataSource
from harness.registry import Registry

registry = Registry.load()
names = ["ppca", "gaussian-vae", "wgan-gp", "elbo", "precision", "codebook-perplexity", "mixture-toy", "interpolation"]


@pytest.mark.parametrize("name", names)
def test_a_built_in_plugin_passes_every_check(name: str, tmp_path: Path) -> None:
    (provided,) = find(registry, [name])
    results = list(results_of(target_of(provided, registry, DataSource(None, tmp_path, print))))
    assert [each for each in results if each.status == "failed"] == []
    assert sum(each.status == "passed" for each in results) >= 13
    expected = {"model-gradients-reach-all-parameters"} if name == "wgan-gp" else set()
    assert {each.check for each in results if each.status == "expected-failure"} == expected


def test_a_plugin_that_reads_a_file_of_the_user_is_only_checked_against_its_contract(tmp_path: Path) -> None:
    (provided,) = (each for each in find(registry, ["samples"]) if each.spec.kind == "model")
    results = list(results_of(target_of(provided, registry, DataSource(None, tmp_path, print))))
    assert [each.check for each in results if each.status == "passed"] == ["model-keeps-its-contract"]
    assert {each.message for each in results if each.status != "passed"} == {
        "it reads path, which only a user can name"
    }
