"""What tests share: the command line as a function, small data, and the folder of full MNIST."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from harness import Data, DataSource, Examples, NotApplicable
from harness.cli import main
from harness.cli.run import run
from harness.data.transforms import Binarize, Dequantize
from harness.execution import workers
from harness.planning.budget import Budget
from harness.planning.component import Component
from harness.training.fit import fit_seed
from harness.training.recipe import Recipe
from harness_datasets.idx import MNIST

_data_dir = os.environ.get("HARNESS_DATA_DIR")  # before tests of the command line remove it


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str


Call = Callable[..., Result]


@pytest.fixture
def harness(tmp_path: Path) -> Call:
    """Run ``harness`` in a process of its own, in an empty folder, as a user would."""

    def call(*words: str, cwd: Path = tmp_path, timeout: float = 300, **environment: str) -> Result:
        clean = {name: value for name, value in os.environ.items() if name != "HARNESS_DATA_DIR"}
        done = subprocess.run(
            [sys.executable, "-m", "harness", *words],
            cwd=cwd,
            env={**clean, "COLUMNS": "120", **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the cache of the tests of this process: data sets decoded once, and classifiers trained once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def call(
    tmp_path: Path,
    shared_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Call:
    """Run ``harness`` in this process, in an empty folder, which saves starting Python and importing torch.

    To save time, ``harness run`` has one seed by default, and the server of workers, which outlives the command,
    imports all that workers may need.
    """
    monkeypatch.setattr(workers, "expect_work", lambda **expected: None)
    (seeds,) = (option for option in run.params if option.name == "seeds")
    monkeypatch.setattr(seeds, "default", 1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HARNESS_DATA_DIR", raising=False)
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(shared_cache))
    monkeypatch.setenv("COLUMNS", "120")

    def call(*words: str) -> Result:
        with pytest.raises(SystemExit) as end:
            main(words)
        assert isinstance(end.value.code, int)
        return Result(end.value.code, *capsys.readouterr())

    return call


@pytest.fixture(scope="session")
def fit() -> Callable[..., nn.Module]:
    """Return a function that fits a model and returns it, or raises what made the fit fail."""

    def fit(factory: Any, config: Any, data: Data, *, epochs: int, batch_size: int = 128, seed: int = 0) -> nn.Module:
        fitted = fit_seed(Recipe(factory, config, data, Budget(epochs=epochs, batch_size=batch_size)), seed)
        if fitted.error is not None:
            raise fitted.error
        assert fitted.model is not None
        return fitted.model

    return fit


@pytest.fixture
def float64() -> Iterator[None]:
    """Compute in float64 by default."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def small_data() -> Data:
    """Return 300 training, 60 validation and 60 test images of 6 × 5 grey pixels with two classes."""
    generator = torch.Generator().manual_seed(1)

    def examples(n: int) -> Examples:
        labels = torch.arange(n) % 2
        bright = torch.rand(n, 1, 6, 5, generator=generator) * (0.4 + 0.6 * labels.view(n, 1, 1, 1))
        return Examples((bright * 255).to(torch.uint8), labels)

    return Data.from_tensors(examples(300), examples(60), examples(60), classes=2)


@pytest.fixture
def small_points() -> Data:
    """Return 300 training, 60 validation and 60 test sets of 25 random points (x, y, intensity) in [0, 1]."""
    generator = torch.Generator().manual_seed(1)
    train, validation, test = (Examples(torch.rand(n, 1, 3, 25, generator=generator)) for n in (300, 60, 60))
    return Data.from_tensors(train, validation, test, support="points")


@pytest.fixture
def small_kinds(small_data: Data, small_points: Data) -> dict[str, Data]:
    """Return small data of every kind, each of a different shape."""
    generator = torch.Generator().manual_seed(1)
    sizes = (300, 60, 60)
    colour = [(torch.rand(n, 3, 7, 9, generator=generator) * 255).to(torch.uint8) for n in sizes]
    vectors = [torch.randn(n, 5, generator=generator) * torch.tensor([3.0, 2, 1, 1, 1]) for n in sizes]
    return {
        "binarized": Binarize(Binarize.Config()).apply(small_data),
        "dequantized": Dequantize(Dequantize.Config()).apply(small_data),
        "grey": small_data,
        "colour": Data.from_tensors(*(Examples(each) for each in colour)),
        "points": small_points,
        "vectors": Data.from_tensors(*(Examples(each) for each in vectors)),
    }


@pytest.fixture
def suited(small_kinds: dict[str, Data]) -> Callable[[Component], Data]:
    """Return a function from a model to small data that it can be built for."""

    def suited(chosen: Component) -> Data:
        for data in small_kinds.values():
            try:
                chosen.factory(data.info, chosen.config)
            except NotApplicable:
                continue
            return data
        raise AssertionError(f"{chosen.name} serves no kind of data")

    return suited


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder with full MNIST in torchvision's layout, or skip the test if there is none."""
    folder = _data_dir
    if not folder or not (Path(folder) / "MNIST" / "raw" / "train-images-idx3-ubyte").is_file():
        pytest.skip("needs MNIST in torchvision's layout: set HARNESS_DATA_DIR to its folder")
    return Path(folder)


@pytest.fixture(scope="session")
def full_mnist(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Data:
    """Return full MNIST, in grey levels."""
    return MNIST(MNIST.Config()).load(DataSource(data_dir, tmp_path_factory.mktemp("full-mnist"), print))


@pytest.fixture(autouse=True)
def _new_plugins_are_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save the time in which a run checks each plugin that it has not met before."""
    monkeypatch.setattr("harness.cli.run.check_new_plugins", lambda run: None)


@pytest.fixture(autouse=True)
def _same_torch_everywhere() -> Iterator[None]:
    """Give torch one thread, as a fit has, and restore its global state after the test."""
    torch.set_num_threads(1)
    deterministic = torch.get_deterministic_debug_mode()
    yield
    torch.set_deterministic_debug_mode(deterministic)
    torch.set_flush_denormal(False)
