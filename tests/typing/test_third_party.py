"""The installed wheel is typed: mypy --strict accepts a third party's model and metric, and finds their mistakes."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

root = Path(__file__).parents[2]

plugin = '''
"""A model and a metric of a third party."""

import torch
from torch import Tensor

import harness


class Mean(torch.nn.Module):
    def __init__(self, info: harness.DataInfo, config: harness.NoSettings) -> None:
        super().__init__()
        self.mean = torch.nn.Parameter(torch.zeros(info.dim))

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.mean.expand_as(x)

    def loss(self, x: Tensor, noise: harness.Noise) -> Tensor:
        return (x + noise.normal(*x.shape) - self.mean).square().mean()


class Error:
    unit = "grey levels"
    direction = "lower"
    needs = (harness.Reconstructs,)

    def __init__(self, config: harness.NoSettings) -> None:
        pass

    def measure(self, model: harness.Reconstructs, data: harness.Data, context: harness.Context) -> harness.Estimate:
        x = data.test.all(context.noise)
        return harness.Estimate.over_examples((model.reconstruct(x) - x).abs().flatten(1).mean(1))


reconstructs: type[harness.Reconstructs] = Mean
trains: type[harness.TrainsByGradient] = Mean
metric: harness.Metric = Error(harness.NoSettings())
wheel: int = harness.only_in_this_wheel


@harness.hookimpl
def harness_models() -> list[harness.ModelSpec]:
    return [harness.ModelSpec("mean", Mean, "a mean")]


@harness.hookimpl
def harness_cell_finished(cell: harness.Cell, record: harness.Record) -> None:
    print(cell.fit.model.name, record.value)
'''

notebook = '''
"""A notebook of a third party."""

import torch

import harness

plan: harness.Preview = harness.plan(["vae"], ["elbo"], seeds=1)
actions: list[str] = [cell.action for cell in plan]
results: harness.Results = harness.run(
    models=["vae", "gan"],
    metrics="elbo",
    settings={"vae.latent_dim": [2, 10], "vae.hidden": (256, 128)},
    epochs=1,
    device="cpu",
    jobs=2,
    runs="runs",
    quiet=True,
)
values: list[float | None] = [record.value for record in results]
names: list[str] = [row.name for board in results.boards for row in board.rows]
failures: list[harness.Record] = results.failed
stored: harness.StoredRuns = harness.open("runs", device="cpu")
fit: harness.StoredFit = stored.fits()[0]
model: torch.nn.Module = stored.load(fit.key)
samples: torch.Tensor = stored.sample(fit.key, 10, seed=0)
curves: harness.Curves = stored.curves(fit.key)
board: harness.Board = stored.boards(dataset="mnist", metric=["elbo"])[0]
evaluated: harness.Results = harness.evaluate(model, "mnist", ["elbo"], split="validation")
frame = results.to_dataframe()
try:
    harness.open("none")
except harness.UsageError as error:
    print(error)
'''


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which the wheel is installed, with one name that no other copy of the package has."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, root], check=True)
    (wheel,) = folder.glob("*.whl")
    assert {"harness/py.typed", "harness/__init__.pyi"} <= set(zipfile.ZipFile(wheel).namelist())
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "site", wheel], check=True)
    with (folder / "site" / "harness" / "__init__.pyi").open("a", encoding="utf-8") as stub:
        stub.write("\nonly_in_this_wheel: int\n")
    return folder / "site"


def mypy(site: Path, folder: Path, **sources: str) -> dict[str, str]:
    """Check plugins against the installed wheel; return the errors of each by its name."""
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", *(f"{name}.py" for name in sources)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(site), "MYPYPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = (done.stdout + done.stderr).splitlines()
    assert all(line.startswith((*(f"{name}.py:" for name in sources), "Found ")) for line in lines), lines
    return {name: "\n".join(line for line in lines if line.startswith(f"{name}.py:")) for name in sources}


def test_plugins_and_notebooks_of_third_parties_are_checked(site: Path, tmp_path: Path) -> None:
    errors = mypy(
        site,
        tmp_path,
        right=plugin,
        wrong=plugin.replace("harness.Estimate.over_examples(", "float("),
        without_unit=plugin.replace('    unit = "grey levels"\n', ""),
        notebook=notebook,
        misspelt=notebook.replace("jobs=2", "job=2"),
        mistyped=notebook.replace('device="cpu",\n    jobs', 'device="tpu",\n    jobs'),
        without_metrics=notebook.replace('    metrics="elbo",\n', ""),
    )
    assert errors["right"] == ""
    assert 'Incompatible return value type (got "float", expected "Estimate")' in errors["wrong"]
    assert '"Error" is missing following "Metric" protocol member' in errors["without_unit"]
    assert "    unit" in errors["without_unit"]
    assert errors["notebook"] == ""
    assert 'Unexpected keyword argument "job" for "run"' in errors["misspelt"]
    assert 'Argument "device" to "run" has incompatible type' in errors["mistyped"]
    assert 'Missing positional argument "metrics" in call to "run"' in errors["without_metrics"]
