"""The README's plugin works as it is printed: from a file, and as a pip package."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", readme, re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def test_the_plugin_has_at_most_15_lines() -> None:
    assert len([line for line in block("python").splitlines() if line.strip()]) <= 15


def test_the_plugin_runs_from_a_file(harness, tmp_path: Path) -> None:
    (tmp_path / "tied_ae.py").write_text(block("python"), encoding="utf-8")
    line = next(line for line in readme.splitlines() if "--plugin tied_ae.py" in line)
    done = harness(*line.split()[1:], "--epochs", "4")
    assert done.code == 0, done.err
    board = json.loads(harness("leaderboard", "--format", "json").out)
    values = {row["model"]: row["value"] for row in board}
    assert values["pca"] < values["tied-ae"] < 1.1 * values["pca"]


def test_the_plugin_installs_as_a_package(tmp_path: Path) -> None:
    (tmp_path / "tied_ae.py").write_text(block("python"), encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(block("toml"), encoding="utf-8")
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(site), str(tmp_path)], check=True, timeout=300)
    listed = subprocess.run(
        [sys.executable, "-m", "harness", "list", "models", "--format", "json"],
        env={**os.environ, "PYTHONPATH": str(site)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found = {each["name"]: each["distribution"] for each in json.loads(listed.stdout)}
    assert found["tied-ae"] == "tied-ae"
    assert found["vae"] == "generative-harness"


def test_every_command_in_the_readme_is_understood(harness, tmp_path: Path) -> None:
    shutil.copytree(Path(__file__).parents[2] / "studies", tmp_path / "studies")
    lines = [line.split("#")[0].split()[1:] for line in readme.splitlines() if line.startswith("harness ")]
    for words in lines:
        if words[0] == "run" and "--plugin" not in words and "mnist" not in words:
            dry = words if "--dry-run" in words else [*words, "--dry-run"]
            assert harness(*dry).code == 0, words
