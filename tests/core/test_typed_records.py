"""Whatever stands in a line of records or in a description of a fit, no command ends with a traceback."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hostile import json_values, nested, tried
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from stored_results import described_fit
from versions import cell

from harness.cli.run_commands import commands_of
from harness.execution.durations import Durations
from harness.leaderboard.board import build_boards
from harness.planning.identity import hash_of
from harness.registry import Registry
from harness.report.page import render
from harness.results.curation import older, shown_records
from harness.results.store import Store, line_of

root = Path(__file__).parents[2]
validator = Draft202012Validator(json.loads((root / "docs" / "schemas" / "record.schema.json").read_text()))
old = [json.loads(line) for line in (root / "tests/fixtures/store/records.jsonl").read_text().splitlines()]
new = [json.loads(line_of(cell(seed)[0])) for seed in range(2)]
renderers = [each.spec.resolve() for each in Registry.load().all("renderer")]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the paths of all values within a JSON value, apart from itself."""
    within = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in within:
        yield (*path, key)
        yield from places(each, (*path, key))


def mutated(draw: st.DrawFn, whole: dict[str, Any], times: int) -> dict[str, Any]:
    """Replace, remove or add values, wherever they are. What is drawn is copied, since the next change may be in it."""
    changed = copy.deepcopy(whole)
    for _ in range(times):
        path = draw(st.sampled_from(sorted(places(changed), key=str)))
        parent = changed
        for key in path[:-1]:
            parent = parent[key]
        action = draw(st.sampled_from(["replace", "replace", "remove", "add"]))
        if action == "replace":
            parent[path[-1]] = copy.deepcopy(draw(json_values))
        elif action == "remove":
            del parent[path[-1]]
        elif isinstance(parent, dict):
            parent[draw(st.text(max_size=5))] = copy.deepcopy(draw(json_values))
    return changed


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    without_checksum = [{name: each for name, each in line.items() if name != "checksum"} for line in new]
    return mutated(draw, draw(st.sampled_from([*old, *without_checksum])), draw(st.integers(1, 2)))


@st.composite
def fits(draw: st.DrawFn) -> dict[str, Any]:
    curves = {"train": {"loss": [3.5, 2.0]}, "validation": {"loss": [3.0, 2.0]}, "seconds": [1.0, 2.0], "steps": 2}
    budget = {"epochs": 2, "batch_size": 128, "weights": "last"}
    whole = described_fit(curves=curves, group=[0], environment=None, fallback=None, parameters=5, digests={})
    whole["identity"]["budget"] = budget
    return mutated(draw, whole, draw(st.integers(1, 2)))


def show_all(store: Store) -> None:
    """Do with a store what the commands that read it do."""
    found = shown_records(store)
    boards = build_boards(found, store)
    for renderer in renderers:
        assert renderer(boards).encode()
    assert render(found, store, commands_of, {}).encode()
    older(found)
    Durations.of(store, "a machine")


@tried(60)
@given(fields=records())
def test_a_record_with_any_value_anywhere_is_left_out_or_is_a_valid_one(fields: dict[str, Any], tmp_path: Path) -> None:
    seen: list[str] = []
    store = Store(tmp_path, seen.append)
    store.records_file.write_text("\n".join(json.dumps(each) for each in (old[0], fields, old[1])) + "\n")
    found = [line for line in store.lines() if line.record is not None]
    if fields in [json.loads(line.content) for line in found]:
        assert list(validator.iter_errors(fields)) == []
        show_all(store)
    else:
        store.records()
        assert [line.split(", line 2: ")[0] for line in seen] == [str(store.records_file)]


@tried(60)
@given(line=st.sampled_from([line_of(cell(seed)[0]) for seed in range(3)]), data=st.data())
def test_a_line_with_changed_bytes_is_left_out_or_is_the_same_record(
    line: bytes, data: st.DataObject, tmp_path: Path
) -> None:
    start = data.draw(st.integers(0, len(line)))
    end = data.draw(st.integers(start, min(len(line), start + 4)))
    changed = line[:start] + data.draw(st.binary(max_size=4)) + line[end:]
    store = Store(tmp_path, lambda line: None)
    store.records_file.write_bytes(changed + b"\n")
    found = store.records()
    store.records_file.write_bytes(line + b"\n")
    assert found in ([], store.records())


@tried(60)
@given(described=fits())
def test_a_description_of_a_fit_with_any_value_anywhere_is_named_or_is_of_use(
    described: dict[str, Any], tmp_path: Path
) -> None:
    seen: list[str] = []
    store = Store(tmp_path, seen.append)
    (record,) = [store.append(cell(0, fit_key="fit")[0])] if not store.records_file.exists() else store.records()
    path = tmp_path / "fits" / "fit" / "fit.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(described))
    found = store.fit(record.fit_key)
    if found:
        assert found == described
        show_all(store)
    else:
        assert [str(path) in line for line in seen] == [True]


@pytest.mark.parametrize(("name", "value"), [
    ("value", "1.5"), ("value", None), ("value", True), ("value", float("nan")), ("value", 1e300), ("stderr", -0.1),
    ("stderr", float("inf")), ("dataset", ["digits"]), ("model", {"name": "../../../x"}), ("engine", None),
    ("status", "fine"),
    ("direction", "sideways"), ("n", 1.5), ("seed", "0"), ("degrees_of_freedom", 0), ("diagnostics", nested),
    ("cell_key", "../../x"), ("fit_key", "a/b"), ("environment", "../secret"), ("ended", "yesterday"),
    ("unit", "\ud800"),
    ("schema", True), ("colour", "red"),
])  # fmt: skip
def test_a_wrong_value_is_named_with_its_line(name: str, value: Any, tmp_path: Path) -> None:
    seen: list[str] = []
    store = Store(tmp_path, seen.append)
    store.records_file.write_text(f"{json.dumps(old[0])}\n{json.dumps({**old[1], name: value})}\n")
    assert [record.cell_key for record in store.records()] == [old[0]["cell_key"]]
    (line,) = seen
    assert line.startswith(f"{store.records_file}, line 2: ")
    assert name in line or "not JSON" in line
    assert "\n" not in line


def test_records_of_hashes_and_dates_as_they_are_written_are_accepted() -> None:
    assert hash_of(old[0]).isalnum()
    assert Store(root / "tests/fixtures/store").records()
