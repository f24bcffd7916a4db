"""``harness env`` says what a bug report needs, and nothing about the user's home folder."""

from __future__ import annotations

import json
import os
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from harness.git import git_line
from harness.registry import Registry

if TYPE_CHECKING:
    from tests.conftest import Call


def test_versions_machine_plugins_and_folders_are_those_of_this_process(call: Call, tmp_path: Path) -> None:
    found = json.loads(call("env", "--json", "--runs", "mine").out)
    for name in ("generative-harness", "torch", "numpy"):
        assert found["software"][name] == version(name)
    assert found["software"]["commit of this folder"] is None
    assert found["machine"]["cores"] == len(os.sched_getaffinity(0))
    assert found["machine"]["threads of torch"] == torch.get_num_threads()
    assert any("openblas" in each or "mkl" in each for each in found["machine"]["BLAS and OpenMP"])
    assert [each["name"] for each in found["plugins"]] == [each.name for each in Registry.load().plugins]
    assert found["folders"]["runs"] == str(tmp_path / "mine")
    assert found["folders"]["cache"] == os.environ["HARNESS_CACHE_DIR"]


def test_a_checkout_has_a_commit_with_its_changes(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "A")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "a@example.org")
    (tmp_path / "file").write_text("before")
    for words in (["init", "-q"], ["add", "file"], ["commit", "-qm", "First"]):
        assert git_line(*words) is not None
    commit = git_line("rev-parse", "HEAD")
    assert json.loads(call("env", "--json").out)["software"]["commit of this folder"] == commit
    (tmp_path / "file").write_text("after")
    assert json.loads(call("env", "--json").out)["software"]["commit of this folder"] == f"{commit} with changes"


def test_the_home_folder_is_not_named(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    for words in ((), ("--json",)):
        done = call("env", *words, "--data-dir", str(tmp_path / "data"), "--runs", f"{tmp_path}-2/runs")
        assert done.code == 0
        assert f"{tmp_path}/" not in done.out
        for folder in ("~/data", "~/cache", f"{tmp_path}-2/runs"):
            assert folder in done.out


def test_a_broken_plugin_is_shown_with_its_problem(call: Call, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import no_such_module\n")
    done = call("env", "--plugin", "broken.py")
    assert done.code == 0
    assert "no_such_module" in done.out
    (row,) = (each for each in json.loads(call("env", "--json", "--plugin", "broken.py").out)["plugins"][-1:])
    assert (row["name"], len(row["problems"])) == ("broken", 1)
