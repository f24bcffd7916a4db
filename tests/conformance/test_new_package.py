"""``harness new`` writes packages that install, pass their own tests and the checks, and give rows on boards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Call

kinds = ("model", "metric", "dataset", "figure")


@pytest.mark.parametrize("kind", kinds)
def test_a_new_plugin_passes_every_check(call: Call, kind: str) -> None:
    done = call("new", kind, "my-own")
    assert done.code == 0, done.err
    written = sorted(str(path) for path in Path("my-own").rglob("*") if path.is_file())
    assert written == ["my-own/README.md", "my-own/my_own.py", "my-own/pyproject.toml", "my-own/tests/test_my_own.py"]
    assert all(f"wrote {path}" in done.out for path in written)
    assert "harness check my-own" in done.out
    checked = call("check", "--plugin", "my-own/my_own.py")
    assert checked.code == 0, checked.out
    assert "failed" not in checked.out


@pytest.mark.parametrize("kind", kinds)
def test_a_new_plugin_is_used_by_the_command_that_is_shown(call: Call, kind: str) -> None:
    shown = call("new", kind, "my-own").out.splitlines()[-1].split()
    assert shown[:2] == ["harness", "run"]
    epochs = [] if kind in ("figure", "dataset", "metric") else ["--epochs", "1"]
    done = call(*shown[1:], *epochs, "--plugin", "my-own/my_own.py", "--jobs", "1")
    assert done.code == 0, done.err
    records = [json.loads(line) for line in Path("runs/records.jsonl").read_text().splitlines()]
    assert {each["status"] for each in records} == {"ok"}
    drawn = [path.stem for path in Path("runs/fits").glob("*/figures/*.png")]
    named = {each[part]["name"] for each in records for part in ("dataset", "model", "metric")}
    assert "my-own" in {*named, *drawn}


def test_a_new_package_installs_and_passes_its_own_tests(tmp_path: Path, call: Call) -> None:
    call("new", "metric", "my-own", "--output", str(tmp_path))
    package, site = tmp_path / "my-own", tmp_path / "site"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        str(site),
    ]
    subprocess.run([*pip, str(package)], check=True, timeout=300)
    paths = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))

    def python(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=package / "tests",
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert " passed" in python("-m", "pytest", "-q", "-p", "no:cacheprovider")
    rows = json.loads(python("-m", "harness", "check", "my-own", "--format", "json"))
    assert {row["status"] for row in rows} == {"passed"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("My Model", "name 'My Model': use lower-case letters, digits and single dashes"),
        ("3d-vae", "start with a letter"),
        ("torch", "'torch' is the name of a module that is installed; choose another, such as my-torch"),
        ("class", "'class' is a word of Python"),
        ("vae", "has that name already; choose another"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(call: Call, name: str, message: str) -> None:
    done = call("new", "model", name)
    assert done.code == 2
    assert message in done.err
    assert list(Path().iterdir()) == []


def test_an_existing_folder_is_not_overwritten(call: Call) -> None:
    Path("my-own").mkdir()
    Path("my-own", "notes.txt").touch()
    done = call("new", "model", "my-own")
    assert done.code == 2
    assert "my-own exists already; choose another name or another folder" in done.err


def test_a_folder_that_cannot_be_written_is_refused(call: Call) -> None:
    Path("file").touch()
    done = call("new", "model", "my-own", "--output", "file/below")
    assert done.code == 2
    assert "file/below/my-own cannot be written" in done.err or "is a file" in done.err
