"""The packages under ``examples/`` pass their own tests with the libraries that are installed here."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Call

examples = Path(__file__).parents[2] / "examples"
packages = sorted(path.parent for path in examples.glob("*/pyproject.toml"))
libraries = {
    "harness-pythae": "pythae",
    "harness-sklearn": "sklearn",
    "harness-diffusers": "diffusers",
    "harness-mine": "harness",
}


def provided_as_if_installed(package: Path, site: Path) -> None:
    """Write what an installer writes about a package, so that its entry points are found."""
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    folder = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = "".join(f"{name} = {module}\n" for name, module in project["entry-points"]["harness"].items())
    (folder / "entry_points.txt").write_text(f"[harness]\n{points}")


def test_there_is_a_library_for_each_example() -> None:
    assert [path.name for path in packages] == sorted(libraries)


@pytest.mark.parametrize("package", packages, ids=lambda path: path.name)
def test_an_example_passes_its_own_tests(tmp_path: Path, package: Path) -> None:
    if package.name != "harness-mine" and "HARNESS_EXAMPLES" not in os.environ:
        pytest.skip("takes minutes; tox -e peers runs it")
    library = libraries[package.name]
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"needs {library}")
    provided_as_if_installed(package, tmp_path / "site")
    path = [str(package), str(tmp_path / "site"), *filter(None, sys.path)]
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={package}", str(package / "tests")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "HARNESS_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


def test_the_package_of_the_tutorial_is_what_the_command_writes(call: Call) -> None:
    assert call("new", "model", "mine").code == 0
    written, kept = Path("mine"), examples / "harness-mine"
    files = sorted(path.relative_to(written) for path in written.rglob("*") if path.is_file())
    assert files == sorted(
        path.relative_to(kept) for path in kept.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    )
    for file in files:
        assert (written / file).read_text() == (kept / file).read_text()
