"""A plugin file that is missing or broken is refused, with line and cause."""

from __future__ import annotations

import json
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


hook = "import harness\n@harness.hookimpl\ndef {}():\n    {}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\ndef (:\n", "plugin file mine.py: line 2: failed to import: SyntaxError"),
        ("import os\nimport no_such_module\n", "line 2: failed to import: ModuleNotFoundError: No module named 'no_su"),
        ("import sys\nsys.exit(0)\n", "line 2: failed to import: RuntimeError: sys.exit(0) was called"),
        (hook.format("harness_models", "return 1 / 0"), "line 4: harness_models() failed: ZeroDivisionError"),
        (hook.format("harness_modles", "return []"), "unknown hook 'harness_modles'; did you mean 'harness_models'?"),
        ("def harness_models():\n    return []\n", "line 1: harness_models() is never called; mark it with"),
        (
            hook.format("harness_models", "return [harness.ModelSpec('vae', 'm:M', '')]"),
            "line 2: model 'vae' is already provided by plugin 'vae' (generative-harness)",
        ),
        ("x = 1\n", "it has no hooks"),
    ],
)
def test_a_plugin_file_with_a_problem_is_refused_with_line_and_cause(
    refused: Callable[..., str], tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "mine.py").write_text(text)
    refusal = refused(*run, "vae", "--plugin", "mine.py")
    assert "plugin file mine.py: " in refusal
    assert message in refusal
    assert message in refused("list", "--plugin", "mine.py")


def test_the_table_of_plugins_shows_a_broken_one_and_the_exit_code_says_so(call: Call, tmp_path: Path) -> None:
    assert call("plugins").code == 0
    (tmp_path / "mine.py").write_text("import no_such_module\n")
    done = call("plugins", "--plugin", "mine.py")
    assert done.code == 3
    assert "mine of mine.py: line 1: failed to import: ModuleNotFoundError" in done.out
    assert "generative-harness" in done.out


def test_what_a_plugin_prints_does_not_spoil_the_output(call: Call, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("print('hello')\n" + hook.format("harness_models", "print('models'); return []"))
    done = call("list", "--format", "json", "--plugin", "mine.py")
    assert done.code == 0
    assert json.loads(done.out)
    assert done.err.split() == ["hello", "models"]


def test_a_renderer_that_is_no_function_is_refused(refused: Callable[..., str], tmp_path: Path) -> None:
    spec = "return [harness.RendererSpec('mine', 'math:pi', '')]"
    (tmp_path / "mine.py").write_text(hook.format("harness_renderers", spec))
    message = refused("leaderboard", "--format", "mine", "--plugin", "mine.py")
    assert "renderer 'mine' of plugin 'mine' (mine.py) does not keep its contract: it is 3.14" in message


@pytest.mark.parametrize(("model", "reason"), [("late", "no_such_module"), ("later", "NoSuchModel")])
def test_a_model_that_cannot_be_loaded_is_refused_before_anything_is_trained(
    refused: Callable[..., str], tmp_path: Path, model: str, reason: str
) -> None:
    (tmp_path / "late.py").write_text(
        "import harness\n"
        "@harness.hookimpl\n"
        "def harness_models():\n"
        "    return [harness.ModelSpec('late', 'no_such_module:Model', 'cannot be imported'),\n"
        "            harness.ModelSpec('later', 'json:NoSuchModel', 'is not there')]\n"
    )
    message = refused(*run, f"pca,{model}", "--plugin", "late.py")
    assert f"model '{model}' of plugin 'late' (late.py) cannot be loaded" in message
    assert reason in message
