"""The leaderboards of the repository are complete and readable by programs, and no link leads nowhere."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from harness.registry import Registry

root = Path(__file__).parents[2]
boards = sorted((root / "leaderboards").rglob("*.json"))
pages = sorted([root / "README.md", *(root / "docs").glob("*.md"), *(root / "leaderboards").rglob("*.md")])
schema = json.loads((root / "docs" / "schemas" / "leaderboard.schema.json").read_text())
from_files = {"samples"}  # a model of no values of its own


def rows(board: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(board.read_text())
    return found


def test_every_model_that_comes_with_the_harness_has_a_value_on_a_board() -> None:
    builtin = {each.spec.name for each in Registry.load().all("model")}
    measured = {row["model"] for board in boards for row in rows(board) if row["status"] == "ok"}
    assert builtin - from_files <= measured


@pytest.mark.parametrize("board", boards, ids=lambda path: str(path.relative_to(root)))
def test_a_board_as_json_follows_the_published_schema(board: Path) -> None:
    found = [f"{each.json_path}: {each.message}" for each in Draft202012Validator(schema).iter_errors(rows(board))]
    assert found == []


@pytest.mark.parametrize("page", pages, ids=lambda path: str(path.relative_to(root)))
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    assert [each for each in targets if "://" not in each and not (page.parent / each).exists()] == []
