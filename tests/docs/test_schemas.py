"""The published JSON Schemas describe what the harness writes."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from jsonschema import Draft202012Validator
from versions import cell, store_of

from harness.contracts.engine import Engine, precisions, step_modes
from harness.contracts.events import Record, evaluation_splits, failed, finished, schema
from harness.planning.budget import Budget
from harness.regression.findings import Finding, as_json, kinds, verdicts
from harness.regression.speed import compare_counts
from harness.results.store import line_of

if TYPE_CHECKING:
    from tests.conftest import Call

folder = Path(__file__).parents[2] / "docs" / "schemas"
store = Path(__file__).parents[1] / "fixtures" / "store"
names = ("record", "leaderboard", "findings")
schemas = {name: json.loads((folder / f"{name}.schema.json").read_text()) for name in names}
record, row, finding = (  # the objects that the schemas describe
    schemas["record"],
    schemas["leaderboard"]["$defs"]["row"],
    schemas["findings"]["$defs"]["finding"],
)
described = dict(zip(names, (record, row, finding), strict=True))
defs = schemas["record"]["$defs"]


def problems(name: str, value: Any) -> list[str]:
    return [f"{each.json_path}: {each.message}" for each in Draft202012Validator(schemas[name]).iter_errors(value)]


def parts(value: Any) -> Iterator[dict[str, Any]]:
    """Return all JSON objects within a JSON value."""
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from parts(each)


def types_of(property_: dict[str, Any]) -> set[str]:
    """Return the JSON types that a property may have."""
    if "$ref" in property_:
        return types_of(defs[property_["$ref"].removeprefix("#/$defs/")])
    if "anyOf" in property_:
        return set().union(*(types_of(each) for each in property_["anyOf"]))
    found = property_["type"]
    return {found} if isinstance(found, str) else set(found)


def json_types(annotation: Any) -> set[str]:
    """Return the JSON types of a type annotation."""
    origin = typing.get_origin(annotation)
    if origin in (types.UnionType, typing.Union):
        return set().union(*map(json_types, typing.get_args(annotation)))
    if origin is Literal:
        return set().union(*(json_types(type(each)) for each in typing.get_args(annotation)))
    names = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null", tuple: "array"}
    return {names.get(origin or annotation, "object")}


def test_each_schema_is_valid_and_describes_every_property() -> None:
    for name, each in schemas.items():
        Draft202012Validator.check_schema(each)
        assert each["$id"].endswith(f":{name}")
        properties = [value for part in parts(each) for value in part.get("properties", {}).values()]
        assert len(properties) > 10
        assert all(value["description"].endswith(".") for value in properties)


@pytest.mark.parametrize(("name", "of"), [("record", Record), ("findings", Finding)])
def test_a_schema_has_the_fields_of_its_dataclass_with_their_types(name: str, of: type) -> None:
    properties, hints = described[name]["properties"], typing.get_type_hints(of)
    of_the_line = ["checksum"] * (of is Record)
    assert list(properties) == [*(field.name for field in fields(of)), *of_the_line]
    assert {name: types_of(properties[name]) for name in hints} == {name: json_types(hints[name]) for name in hints}


def test_the_values_that_schemas_list_are_those_of_the_code() -> None:
    of_record, of_row, of_finding = (each["properties"] for each in (record, row, finding))
    for properties in (of_record, of_row):
        assert set(properties["status"]["enum"]) == {*finished, *failed}
        assert properties["split"]["enum"] == list(evaluation_splits)
    assert of_record["schema"]["maximum"] == schema
    assert (of_finding["kind"]["enum"], of_finding["verdict"]["enum"]) == (list(kinds), list(verdicts))
    assert {name: defs[name] for name in ("budget", "engine")} == {
        name: each for name, each in schemas["leaderboard"]["$defs"].items() if name != "row"
    }
    assert list(defs["budget"]["properties"]) == [field.name for field in fields(Budget)]
    assert list(defs["engine"]["properties"]) == list(Engine(step_mode="compiled").identity)
    assert defs["engine"]["properties"]["precision"]["enum"] == list(precisions)
    assert ["eager", *defs["engine"]["properties"]["execution"]["enum"]] == list(step_modes)


def test_required_properties_are_those_that_are_always_written() -> None:
    without_default = [field.name for field in fields(Record) if field.default is field.default_factory is MISSING]
    assert record["required"] == [*without_default, "schema"]
    later = list(row["properties"])[list(row["properties"]).index("label") :]  # rows written before have none of these
    assert row["required"] + later == list(row["properties"])
    assert finding["required"] == list(finding["properties"])


def test_stored_records_are_valid() -> None:
    lines = (store / "records.jsonl").read_text().splitlines()
    assert [found for line in lines if (found := problems("record", json.loads(line)))] == []


def test_records_that_are_written_now_are_valid(call: Call, tmp_path: Path) -> None:
    words = ("run", "--models", "pca", "--set", "pca.latent_dim=2", "--dataset", "ppca-toy", "--no-figures")
    assert call(*words, "--metric", "reconstruction-mse,elbo").code == 0
    lines = (tmp_path / "runs" / "records.jsonl").read_text().splitlines()
    assert {json.loads(line)["status"] for line in lines} == {"ok", "n/a"}
    assert [found for line in lines if (found := problems("record", json.loads(line)))] == []
    assert all(list(json.loads(line)) == list(record["properties"]) for line in lines)


def test_rows_of_the_leaderboard_are_valid(call: Call) -> None:
    rows = json.loads(call("leaderboard", "--runs", str(store), "--format", "json").out)
    assert problems("leaderboard", rows) == []
    assert all(list(each) == list(row["properties"]) for each in rows)


def test_findings_of_a_comparison_are_valid(call: Call, tmp_path: Path) -> None:
    for name, values in (("base", (-100.0, -101.0, -102.0)), ("head", (-120.0, -121.0))):
        store_of(tmp_path / name, [cell(seed, value) for seed, value in enumerate(values)])
    found = json.loads(call("compare", "base", "head", "--format", "json").out)
    assert len(found) > 0
    assert problems("findings", found) == []
    assert list(found[0]) == list(finding["properties"])


def test_a_count_that_was_0_has_no_ratio_in_json() -> None:
    text = as_json(compare_counts({"step": {"copies": 0}}, {"step": {"copies": 3}}, 0.02))
    (found,) = json.loads(text, parse_constant=pytest.fail)
    assert (found["verdict"], found["ratio"], found["low"], found["high"]) == ("worse", None, None, None)
    assert problems("findings", [found]) == []


def valid(name: str) -> tuple[Any, dict[str, Any]]:
    """Return a value that a schema accepts, and the object within it that has all properties."""
    if name == "record":
        record = json.loads(line_of(cell()[0]))
        return record, record
    if name == "leaderboard":
        rows = json.loads((store.parent / "boards" / "leaderboard.json").read_text())[:1]
    else:
        rows = json.loads(as_json([Finding("step", "speed", "worse", 0.03, 0.039, 1.3)]))
    return rows, rows[0]


planted = [(name, field) for name in names for field in described[name]["properties"]]


@pytest.mark.parametrize(("name", "field"), planted)
def test_a_wrong_type_is_rejected(name: str, field: str) -> None:
    whole, within = valid(name)
    assert problems(name, whole) == []
    allowed = types_of(described[name]["properties"][field])
    wrong = {"object": {"a": 1}, "array": [1], "string": "text", "number": 1.5, "boolean": True, "null": None}
    values = [value for kind, value in wrong.items() if kind not in allowed]
    assert len(values) > 0
    for value in values:
        within[field] = value
        assert problems(name, whole) != []


@pytest.mark.parametrize(("name", "change"), [
    ("record", {"parts": {"kl": "25"}}),
    ("record", {"samples": ["1"]}),
    ("record", {"status": "fine"}),
    ("record", {"budget": {"epochs": 1, "steps": 1, "batch_size": 128}}),
    ("record", {"engine": {"device": "cpu"}}),
    ("record", {"dataset": "digits"}),
    ("record", {"unknown": 1}),
    ("leaderboard", {"by_seed": {"first": -100.0}}),
    ("leaderboard", {"by_seed": {"0": None}}),
    ("leaderboard", {"rank": 0}),
    ("leaderboard", {"unknown": 1}),
    ("findings", {"verdict": "slower"}),
    ("findings", {"unknown": 1}),
])  # fmt: skip
def test_what_is_never_written_is_rejected(name: str, change: dict[str, Any]) -> None:
    whole, within = valid(name)
    within |= change
    assert problems(name, whole) != []
