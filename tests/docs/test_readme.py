"""Everything that the README prints works: every command, and its plugins from files and as a pip package."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Call

root = Path(__file__).parents[2]
readme = (root / "README.md").read_text(encoding="utf-8")
commands = [line.partition("#")[0].strip() for line in readme.splitlines() if line.startswith("harness ")]

# What makes each command short: appended options, and settings of what it names.
short = {
    "run": "--steps 2 --no-figures --timing-rounds 2",
    "calibrate": "--latent-sizes 2 --replications 1 --examples 2",
    "profile": "--steps 10",
}
settings = {
    "log-likelihood-iw": ["k=50"],
    "log-likelihood-ais": ["examples=2", "chains=2", "temperatures=3", "leapfrog=1", "variance_images=2"],
    "training-throughput": ["batch_sizes=8", "repeats=7", "load_limit=1"],
    "latency": ["calls=20", "load_limit=1"],
    "gan": ["collapse_fraction=0"],
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", readme, re.DOTALL)


script, model, metric = blocks("python")


def shortened(command: str) -> list[str]:
    words = shlex.split(command.replace("elbo=-120", "elbo=-1000"))[1:]
    named = {name for word in words for name in word.split(",")}
    given = [
        f"{name}.{setting}" for name, its_settings in settings.items() if name in named for setting in its_settings
    ]
    return [*words, *short.get(words[0], "").split(), *(word for each in given for word in ("--set", each))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the README's plugins and the studies, and with a few results."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(root / "studies", folder / "studies")
    (folder / "tied_ae.py").write_text(model, encoding="utf-8")
    (folder / "largest_error.py").write_text(metric, encoding="utf-8")
    first = next(command for command in commands if "--seeds 5" in command)
    command = [sys.executable, "-m", "harness", *shortened(first), "--jobs", "1"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("command", commands)
def test_every_command_works(
    call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, command: str
) -> None:
    words = shortened(command)
    monkeypatch.chdir(folder)
    if "--dataset mnist " in command:
        words += ["--data-dir", str(request.getfixturevalue("data_dir"))]
    done = call(*words)
    assert done.code == 0, done.err
    assert done.out


def test_the_script_works(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True, timeout=120)
    assert (tmp_path / "runs" / "records.jsonl").exists()


def test_the_plugins_are_short() -> None:
    lines = [len([line for line in plugin.splitlines() if line.strip()]) for plugin in (model, metric)]
    assert lines[0] <= 15
    assert lines[1] <= 12


def test_the_model_comes_close_to_pca(call: Call, folder: Path, tmp_path: Path) -> None:
    command = next(command for command in commands if "--plugin tied_ae.py --models" in command)
    (tmp_path / "tied_ae.py").write_text(model, encoding="utf-8")
    assert call(*command.split()[1:], "--epochs", "4", "--no-figures").code == 0
    board = json.loads(call("leaderboard", "--format", "json").out)
    values = {row["model"]: row["value"] for row in board}
    assert values["pca"] < values["tied-ae"] < 1.1 * values["pca"]


def test_a_metric_without_its_unit_is_refused_before_any_training(call: Call, tmp_path: Path) -> None:
    wrong = metric.replace('unit, direction, needs = "grey levels", "lower", (', 'direction, needs = "lower", (')
    assert wrong != metric
    (tmp_path / "largest_error.py").write_text(wrong, encoding="utf-8")
    words = ["--plugin", "largest_error.py", "--models", "pca", "--metric", "largest-error", "--dataset", "mnist-10k"]
    done = call("run", *words)
    assert done.code == 2
    assert "metric 'largest-error' of plugin 'largest_error' (largest_error.py) does not keep its contract" in done.err
    assert "it has no 'unit'; add one to the class, such as unit = \"nats\"" in done.err
    assert not (tmp_path / "runs").exists()


def test_the_plugins_install_and_run_as_packages(tmp_path: Path) -> None:
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    project = blocks("toml")[0]
    for module, source in (("tied_ae", model), ("largest_error", metric)):
        package = tmp_path / module
        package.mkdir()
        (package / f"{module}.py").write_text(source, encoding="utf-8")
        its_project = project.replace("tied-ae", module.replace("_", "-")).replace("tied_ae", module)
        (package / "pyproject.toml").write_text(its_project, encoding="utf-8")
        subprocess.run([*pip, "--target", str(site), str(package)], check=True, timeout=300)

    def harness(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "harness", *words],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout

    found = {each["name"]: each["distribution"] for each in json.loads(harness("list", "models", "--format", "json"))}
    assert found["tied-ae"] == "tied-ae"
    assert found["vae"] == "generative-harness"
    command = next(command for command in commands if "--plugin largest_error.py" in command)
    harness(*shortened(re.sub(r"--plugin \S+ ", "", command)))
    board = json.loads(harness("leaderboard", "--format", "json"))
    assert {row["model"]: row["status"] for row in board} == {"tied-ae": "ok", "pca": "ok"}
