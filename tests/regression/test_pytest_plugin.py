"""The tests of a third party's package say in three lines that its model is neither worse nor slower than released."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.cli.compare import cell
from harness.errors import UsageError
from harness.pytest_plugin import _comparison, _released
from harness.regression.versions import installed, run_models

_root = Path(__file__).parents[2]
_pyproject = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "tiny"
version = "1"
[project.entry-points.harness]
tiny = "tiny"
"""
_hooks = """
import harness

@harness.hookimpl
def harness_models():
    return [harness.ModelSpec("tiny", "tiny.model:Tiny", "a tiny autoencoder")]
"""
_model = """
import torch
from torch import nn

class Tiny(nn.Module):
    def __init__(self, info, config):
        super().__init__()
        self.shape = info.shape
        size = info.shape.numel() if hasattr(info.shape, "numel") else torch.Size(info.shape).numel()
        self.net = nn.Sequential(nn.Linear(size, 4), nn.Linear(4, size))

    def reconstruct(self, x):
        return self.net(x.flatten(1)).view_as(x)

    def loss(self, x, noise):
        return ((self.reconstruct(x) - x) ** 2).mean()
"""
_test = """
import pytest

@pytest.mark.harness(
    models="tiny", metrics="reconstruction-mse", dataset="ppca-toy", {more}
)
def test_it_is_neither_worse_nor_slower(compared_with_base):
    compared_with_base.require_no_regression()
"""
_misuses = """
import pytest

from harness.regression.compare import Comparison
from harness.regression.findings import Finding

Comparison.carry_out = lambda self: ([Finding("step", "count", "worse", 1.0, 2.0)], [])
pytestmark = pytest.mark.harness(models="tiny", metrics="reconstruction-mse")

def test_a_truth_value(compared_with_base):
    assert compared_with_base

def test_a_forgotten_call(compared_with_base):
    compared_with_base.require_no_regression

def test_the_findings(compared_with_base):
    assert compared_with_base.findings
"""
_counts = "kinds='count', works='step'"


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return the checkout of a package with a model: version v1, and a commit after it."""
    folder = tmp_path / "project"
    (folder / "tiny").mkdir(parents=True)
    (folder / "tests").mkdir()
    (folder / "pyproject.toml").write_text(_pyproject)
    (folder / "tiny" / "__init__.py").write_text(_hooks)
    (folder / "tiny" / "model.py").write_text(_model)
    (folder / "tests" / "test_released.py").write_text(_test.format(more=_counts))
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "Release")
    git(folder, "tag", "v1")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", "Go on")
    return folder


def run_tests(project: Path, *words: str, more: str = _counts) -> tuple[int, str]:
    """Run the tests of the project as its author would; return the exit code and the output."""
    (project / "tests" / "test_released.py").write_text(_test.format(more=more))
    command = [sys.executable, "-m", "pytest", "-p", "harness.pytest_plugin", "--strict-markers", "-q", *words]
    paths = [str(_root), str(_root / "plugins"), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        command,
        cwd=project,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": os.pathsep.join(filter(None, paths)),
                          "HARNESS_CACHE_DIR": str(project.parent / "cache")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def plant(project: Path, old: str, new: str) -> None:
    """Change the model in the working tree."""
    model = project / "tiny" / "model.py"
    assert old in model.read_text()
    model.write_text(model.read_text().replace(old, new))


def test_more_work_in_the_loss_fails_the_test_and_names_the_benchmark(project: Path) -> None:
    code, output = run_tests(project)
    assert (code, "1 passed" in output) == (0, True), output
    plant(
        project,
        "    def loss(self, x, noise):\n",
        "    def loss(self, x, noise):\n        for _ in range(20): x = x + 0\n",
    )
    code, output = run_tests(project)
    assert code == 1, output
    assert "compared with v1:" in output
    assert "worse" in output
    assert "training step of tiny: operator calls" in output


def test_a_test_that_does_not_look_at_the_comparison_is_red(project: Path) -> None:
    (project / "tests" / "test_misuses.py").write_text(_misuses)
    code, output = run_tests(project, "tests/test_misuses.py")
    assert code == 1
    assert "1 failed, 2 passed, 1 error" in output
    assert "TypeError: a comparison is neither true nor false: call compared_with_base.require_no_reg" in output
    assert "ERROR tests/test_misuses.py::test_a_forgotten_call" in output
    assert "the test used neither compared_with_base.require_no_regression() nor its findings" in output


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("epoch=1", "unknown argument of the marker 'harness' 'epoch'. Did you mean 'epochs'?"),
        ("base='v0'", "'v0' is no git revision"),
        ("base=7", "base=7 of the marker 'harness': name a version"),
        ("seeds='2'", "seeds is '2'; give a whole number"),
        ("settings='tiny.x=3'", "settings is 'tiny.x=3'; give values by owner and name"),
        ("slowdown=3", "slowdown is 3; give a share that is more than 0 and at most 1"),
        ("more=-0.1", "more is -0.1; give a share that is at least 0"),
        ("seconds='5m'", "seconds is '5m'; give a number"),
        ("tolerances={'elbo': -1}", "the tolerance of elbo is -1; give a number that is at least 0"),
        ("plugin_files='mine.py', kinds='quality'", "plugin file 'mine.py' does not exist"),
    ],
)
def test_a_wrong_argument_is_red(project: Path, more: str, message: str) -> None:
    code, output = run_tests(project, more=more)
    assert code == 1
    assert message in " ".join(output.split())
    assert "During handling of the above exception" not in output


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("models", 3, "models is 3; give a name or a list of names"),
        ("metrics", ["elbo", 3], "metrics is ['elbo', 3]; give a name or a list of names"),
        ("models", [""], "models is ['']; give a name or a list of names"),
        ("kinds", None, "kinds is None; give a name or a list of names"),
        ("works", {"step": 1}, "works is {'step': 1}; give a name or a list of names"),
        ("kinds", "sped", "unknown kind 'sped'. Did you mean 'speed'?"),
        ("works", "steps", "unknown benchmark 'steps'. Did you mean 'step'?"),
        ("dataset", ["digits"], "dataset is ['digits']; give a name"),
        ("device", "gpu", "unknown device 'gpu'."),
        ("device", 0, "device is 0; give a name"),
        (
            "settings",
            {"tiny": 3},
            "settings is {'tiny': 3}; give values by owner and name, as in {'vae': {'latent_dim'",
        ),
        ("settings", "tiny.x=3", "settings is 'tiny.x=3'; give values by owner and name"),
        ("settings", {"tiny": {3: 3}}, "settings is {'tiny': {3: "),
        ("tolerances", "elbo=0.5", "tolerances is 'elbo=0.5'; give numbers by metric, as in {'elbo': 0.5}"),
        ("tolerances", {3: 0.5}, "tolerances is {3: 0.5}; give numbers by metric"),
        ("cell", {"model": "x"}, "cell is {'model': 'x'}; give a model and a metric, as in {'model': 'pca', 'metric'"),
        ("cell", "pca", "cell is 'pca'; give a model and a metric"),
        ("data", 3, "data is 3; give a folder"),
        ("plugin_files", 3, "plugin_files is 3; give files"),
        ("plugin_files", [3], "plugin_files is [3]; give files"),
    ],
)
def test_an_argument_of_a_wrong_type_or_choice_has_a_clear_message(name: str, value: object, message: str) -> None:
    config: Any = SimpleNamespace(getoption=lambda option: None)
    given = {"models": "tiny", "metrics": "elbo", name: value}
    with pytest.raises(UsageError) as error:
        _comparison(".", given, config)
    assert str(error.value).startswith(message)


def test_arguments_may_be_one_name_or_path_or_several() -> None:
    config: Any = SimpleNamespace(getoption=lambda option: None)
    several = {"models": ["a", "b"], "metrics": "elbo, kl", "plugin_files": "mine.py", "data": "folder"}
    found = _comparison(".", {**several, "settings": {"a": {"size": 3}}, "cell": cell}, config)
    assert [*found.models, *found.metrics] == ["a", "b", "elbo", "kl"]
    assert (found.plugin_files, found.data, found.settings) == ([Path("mine.py")], Path("folder"), {"a": {"size": "3"}})


def test_without_a_base_the_test_is_red_and_says_what_to_write(project: Path) -> None:
    git(project, "tag", "-d", "v1")
    code, output = run_tests(project)
    assert code == 1
    assert "write --harness-base=REVISION on the command line" in " ".join(output.split())


def test_the_command_line_comes_before_the_ini_file_and_that_before_the_marker(project: Path) -> None:
    (project / "pytest.ini").write_text("[pytest]\nharness_base = of-the-ini\n")
    more = _counts + ", base='of-the-marker'"
    assert "'of-the-ini' is no git revision" in " ".join(run_tests(project, more=more)[1].split())
    output = run_tests(project, "--harness-base=of-the-line", more=more)[1]
    assert "'of-the-line' is no git revision" in " ".join(output.split())


def test_an_empty_base_on_the_command_line_is_red(project: Path) -> None:
    code, output = run_tests(project, "--harness-base=")
    assert (code, "--harness-base is empty" in output) == (1, True), output


def test_a_worse_model_fails_the_test_and_the_marker_chooses_among_the_results_of_a_stored_base(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    words = ["--models", "tiny,pca", "--metric", "reconstruction-mse,parameters", "--epochs", "1", "--seeds", "2"]
    words += ["--dataset", "ppca-toy"]
    run_models(installed(".", project.parent / "cache", (), print), words, project / "before")
    more = "base='before', kinds='quality'"
    code, output = run_tests(project, more=more)
    assert (code, "1 passed" in output) == (0, True), output
    plant(project, "return self.net(x.flatten(1)).view_as(x)", "return self.net(x.flatten(1)).view_as(x) * 0 + 100")
    code, output = run_tests(project, more=more)
    assert code == 1, output
    assert "reconstruction-mse of tiny" in output
    assert "regression: 1 worse" in output


def test_a_budget_that_is_no_time_is_refused(project: Path) -> None:
    code, output = run_tests(project, "--harness-budget=soon")
    assert code == 4
    assert "'soon' is not a length of time" in output


def test_it_is_installed_as_a_plugin_and_imports_nothing_of_the_harness_but_itself() -> None:
    entries = tomllib.loads((_root / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    assert entries == {"harness": "harness.pytest_plugin"}
    code = (
        "import sys, harness.pytest_plugin; print([m for m in sys.modules if m.startswith('harness') or m == 'torch'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=_root)
    assert done.stdout.strip() == "['harness', 'harness.pytest_plugin']"


def test_the_version_before_a_release_is_its_base(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of tests and builds, which git does not know, make no other version of a release."""
    monkeypatch.chdir(project)
    assert _released() == "v1"
    git(project, "tag", "v2")
    assert _released() == "v1"
    (project / "junit.xml").write_text("")
    assert _released() == "v1"
    plant(project, "import", "import  ")
    assert _released() == "v2"


def test_a_marker_may_name_the_cell(project: Path) -> None:
    code, out = run_tests(project, more="kinds='count', works='step,cell', seeds=1")
    assert code == 0, out
