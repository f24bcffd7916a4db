"""The code of the Python page works from top to bottom, in one namespace, as in a notebook."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

import harness

root = Path(__file__).parents[2]
page = (root / "docs" / "python.md").read_text(encoding="utf-8")


def test_the_code_works_in_order_as_the_cells_of_a_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    notebook = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", notebook)
    shown = [_shown(block, vars(notebook)) for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL)]
    of_plan, of_run, boards, own = (each for each in shown if each is not None)
    assert isinstance(of_plan, harness.Preview)
    assert len(of_plan) == 6
    assert isinstance(of_run, harness.Results)
    assert of_run._repr_html_().count("<table>") == 1
    assert [board.metric for board in boards] == ["elbo"]  # type: ignore[attr-defined]
    assert isinstance(own, harness.Results)
    assert {record.model["name"] for record in own} == {"tied-autoencoder", "pca"}
    assert not own.failed
    assert (tmp_path / "runs" / "records.jsonl").exists()


def _shown(block: str, namespace: dict[str, object]) -> object:
    """Run a cell, and return the value of its last line if it is an expression, which a notebook shows."""
    cell = ast.parse(block)
    last = cell.body.pop() if isinstance(cell.body[-1], ast.Expr) else None
    exec(compile(cell, "cell", "exec"), namespace)
    if not isinstance(last, ast.Expr):
        return None
    return eval(compile(ast.Expression(last.value), "cell", "eval"), namespace)
