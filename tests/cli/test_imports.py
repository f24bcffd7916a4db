"""What is imported, and when: commands that only read must not pay for torch, nor a second run for torchvision."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.registry import Registry

renderers = [each.spec.name for each in Registry.load().all("renderer")]


def imported(folder: Path, *commands: tuple[str, ...]) -> dict[str, list[str]]:
    """Return the heavy packages that each of some commands imports, one after another in one process."""
    code = (
        "import json, sys, harness.cli\n"
        "found = {}\n"
        f"for words in {commands!r}:\n"
        "    before = set(sys.modules)\n"
        "    try: harness.cli.main(words)\n"
        "    except SystemExit as end: assert not end.code, end.code\n"
        "    heavy = {'torch', 'torchvision', 'scipy', 'sklearn', 'matplotlib'} & set(sys.modules) - before\n"
        "    found[' '.join(words)] = sorted(heavy)\n"
        "print(json.dumps(found), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout
    found: dict[str, list[str]] = json.loads(done.stderr.splitlines()[-1])
    return found


def test_telling_what_there_is_imports_nothing_heavy(tmp_path: Path) -> None:
    found = imported(tmp_path, ("--help",), ("list",), ("plugins",))
    assert found == {"--help": [], "list": [], "plugins": []}


def test_no_format_of_a_leaderboard_with_results_imports_torch(results: Path) -> None:
    found = imported(results, *(("leaderboard", "--format", format_) for format_ in renderers))
    assert len(found) == len(renderers)
    assert {package for packages in found.values() for package in packages} == {"scipy"}, found


@pytest.mark.full_mnist
def test_only_the_first_run_on_mnist_imports_torchvision(data_dir: Path, tmp_path: Path) -> None:
    chosen = ["--models", "linear-ae", "--metric", "parameters", "--dataset", "mnist", "--steps", "1", "--seeds", "1"]
    words = ["run", *chosen, "--no-figures", "--fresh"]
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
