"""Commands that only read must not pay for torch, nor a second run for torchvision."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("words", [["--help"], ["list"], ["plugins"], ["leaderboard", "--format", "json"]])
def test_reading_commands_never_import_torch(words: list[str], tmp_path) -> None:
    code = (
        "import sys, harness.cli\n"
        f"try: harness.cli.main({words!r})\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'torchvision', 'scipy', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "print(heavy or 'light', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "light"


@pytest.mark.full_mnist
def test_only_the_first_run_on_mnist_imports_torchvision(data_dir: Path, tmp_path: Path) -> None:
    words = ["run", "--models", "pca", "--metric", "reconstruction-mse", "--dataset", "mnist", "--fresh"]
    code = (
        "import sys, harness.cli\n"
        f"try: harness.cli.main({words!r})\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print('torchvision' in sys.modules)"
    )
    folders = {"HARNESS_DATA_DIR": str(data_dir), "HARNESS_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-c", code]
    first, second = (
        subprocess.run(command, cwd=tmp_path, env=os.environ | folders, capture_output=True, text=True, check=True)
        for _ in range(2)
    )
    assert first.stdout.splitlines()[-1] == "True"
    assert second.stdout.splitlines()[-1] == "False"
    assert first.stdout.splitlines()[:-1] == second.stdout.splitlines()[:-1]


def test_every_name_that_plugin_authors_are_promised_is_there() -> None:
    import harness

    for name in harness.__all__:
        assert getattr(harness, name) is not None
    assert {"ModelSpec", "hookimpl", "Estimate", "Noise"} <= set(harness.__all__)


def test_the_list_for_programs_says_what_and_whose_each_thing_is(harness) -> None:
    listed = json.loads(harness("list", "--format", "json").out)
    assert {"name": "vae", "kind": "model"}.items() <= next(each for each in listed if each["name"] == "vae").items()
    assert all(set(each) == {"name", "kind", "summary", "distribution"} for each in listed)
    assert {each["kind"] for each in listed} == {"model", "metric", "dataset"}
