"""What tests of the command line share: words that must be refused, and a plugin with small data and faults."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Call


@pytest.fixture(scope="session")
def faults() -> str:
    """Return the path of a plugin with a tiny data set and with models and metrics that fail, each in its way."""
    return str(Path(__file__).with_name("faults.py"))


@pytest.fixture
def refused(call: Call, tmp_path: Path) -> Callable[..., str]:
    """Call ``harness`` with arguments that it must refuse without changing the folder; return its message."""

    def files() -> list[Path]:
        return sorted(path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts)

    def refused(*words: str) -> str:
        before = files()
        done = call(*words)
        assert (done.code, done.out) == (2, "")
        assert "Traceback" not in done.err
        assert files() == before
        return " ".join(done.err.split())

    return refused


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory, faults: str) -> Path:
    """Return a folder in which PCA and a linear autoencoder were measured."""
    folder = tmp_path_factory.mktemp("results")
    metrics = "reconstruction-mse,elbo,training-throughput"
    chosen = ("--models", "pca,linear-ae", "--metric", metrics, "--dataset", "tiny")
    quick = ("--seeds", "2", "--epochs", "1", "--timing-rounds", "2", "--no-figures")
    timing = ("--set", "training-throughput.batch_sizes=8", "--set", "training-throughput.load_limit=1")
    command = [sys.executable, "-m", "harness", "run", "--plugin", faults, *chosen, *quick, *timing]
    clean = {name: value for name, value in os.environ.items() if name != "HARNESS_DATA_DIR"}
    subprocess.run(command, cwd=folder, env=clean, capture_output=True, check=True)
    return folder
