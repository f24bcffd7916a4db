"""A plugin file that is missing or broken is told of, and costs no more than what it would have provided."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Call

run = ("run", "--metric", "reconstruction-mse", "--models")


@pytest.mark.parametrize("command", [("list",), ("plugins",), ("show", "vae"), ("leaderboard",), (*run, "pca")])
def test_a_plugin_file_that_does_not_exist_is_refused_by_every_command(
    refused: Callable[..., str], command: tuple[str, ...]
) -> None:
    assert "plugin file 'none.py' does not exist" in refused(*command, "--plugin", "none.py")


def test_a_model_whose_plugin_is_broken_is_unknown_and_the_plugin_says_why(
    refused: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text("def (:\n")
    said = refused(*run, "mine", "--plugin", "broken.py")
    assert "warning: plugin broken of broken.py: failed to import: SyntaxError" in said
    assert "unknown model 'mine'" in said


@pytest.mark.parametrize(("model", "reason"), [("late", "no_such_module"), ("later", "NoSuchModel")])
def test_a_model_that_cannot_be_loaded_is_told_of_before_anything_is_trained(
    refused: Callable[..., str], tmp_path: Path, model: str, reason: str
) -> None:
    (tmp_path / "late.py").write_text(
        "import harness\n"
        "@harness.hookimpl\n"
        "def harness_models():\n"
        "    return [harness.ModelSpec('late', 'no_such_module:Model', 'cannot be imported'),\n"
        "            harness.ModelSpec('later', 'json:NoSuchModel', 'is not there')]\n"
    )
    said = refused(*run, f"pca,{model}", "--plugin", "late.py")
    assert f"model '{model}' of late.py cannot be loaded" in said
    assert reason in said


def test_two_broken_plugins_do_not_stop_a_good_one(call: Call, tmp_path: Path, faults: str) -> None:
    (tmp_path / "unimportable.py").write_text("import a_module_that_does_not_exist\n")
    (tmp_path / "misspelt.py").write_text("import harness\n@harness.hookimpl\ndef harness_modles():\n    return []\n")
    plugins = ("--plugin", "unimportable.py", "--plugin", "misspelt.py", "--plugin", faults)
    done = call(*run, "scaled", "--dataset", "tiny", "--epochs", "1", *plugins)
    assert done.code == 0, done.err
    assert done.err.count("warning: plugin") == 2
    assert "a_module_that_does_not_exist" in done.err
    assert "did you mean 'harness_models'?" in done.err
    assert "misspelt of misspelt.py: unknown hook 'harness_modles'" in call("plugins", *plugins).out
