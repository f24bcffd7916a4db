"""Lines of records give what the decoder of JSON gives for them, also those that a typed decoder reads."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from versions import cell, component

from harness.contracts.events import Record
from harness.results.checksums import object_from, with_checksum
from harness.results.store import RecordReader, line_of, record_from

fixture = Path(__file__).parents[1] / "fixtures" / "store" / "records.jsonl"
record, _ = cell(0, model=component("vae"))
confusing = '}, "seed": 3, "budget": null, "status": "ok", "dataset": {'


def lines() -> list[bytes]:
    """Return lines as this version writes them, with settings that look like other fields."""
    nested = {"seed": 1, "budget": {"a": [1]}, "status": "ok", "dataset": {"b": {}}, confusing: confusing}
    models: list[dict[str, Any]] = [{**record.model, "settings": nested}, {**record.model, "settings": {"dataset": {}}}]
    changes: list[dict[str, Any]] = [
        {},
        *({"model": model} for model in models),
        {"dataset": models[0], "metric": models[1], "seed": -7},
        {"reason": confusing, "status": "n/a", "value": None},
        {"diagnostics": nested, "machine": confusing, "samples": (1.0, 2.0), "group_values": (0.5,)},
    ]
    return [line_of(dataclasses.replace(record, **each)) for each in changes]


def read(line: bytes) -> Record | str | None:
    found = RecordReader().line(1, line)
    return found.record or found.problem


def read_whole(line: bytes) -> Record | str:
    try:
        return record_from(object_from(line))
    except ValueError as error:
        return f"not a readable record: {error}"


@pytest.mark.parametrize("line", [*lines(), *fixture.read_bytes().splitlines()])
def test_a_line_is_read_as_the_decoder_of_json_reads_it(line: bytes) -> None:
    assert isinstance(read(line), Record)
    assert read(line) == read_whole(line)


hostile = [
    *(
        "null",
        "true",
        "false",
        "0",
        "-0",
        "-0.0",
        "0.0",
        "1",
        "1.0",
        "-1",
        "3",
        "1e2",
        "1E2",
        "01",
        "1.",
        "NaN",
        "Infinity",
    ),
    *("4", "5", "9223372036854775807", "9223372036854775808", "-9223372036854775809", "18446744073709551617", "1e-400"),
    *(
        "1e70",
        "1.1e70",
        "-1.1e70",
        "1e400",
        f"1{'0' * 150}",
        f"1{'0' * 151}",
        "0.1000000000000000055511151231257827",
    ),
    *(
        '""',
        '"a"',
        '"A b"',
        '"a-b"',
        '"a--b"',
        '"-a"',
        '"a\\n"',
        '"a\n"',
        '"\\u00e9"',
        '"é"',
        '"\\ud800"',
        '"\\ud83d\\ude00"',
    ),
    *(f'"{"a" * 100}"', f'"{"a" * 101}"', '"2026-11-26"', '"1969-11-26"', '"2026-13-26"', '"test"', '"ok"', '"lower"'),
    *("[]", "[1]", "[1.0, 2]", "[null]", '["a"]', '["\\ud800"]', "[1e71]", "[[]]", '[{"a": 1}]', "[1,]"),
    *(
        "{}",
        '{"a": 1}',
        '{"a": 1.0, "a": 2}',
        '{"a": null}',
        '{"a": "b"}',
        '{"a": 1e71}',
        '{"a": 18446744073709551617}',
    ),
    *('{"a": [NaN]}', '{"\\ud800": 1}', '{"a": ' * 20 + "1" + "}" * 20, '{"a": ' * 21 + "1" + "}" * 21, "[" * 5000),
    *(json.dumps({**record.model, **change}) for change in ({}, {"changed": ["x"]}, {"name": "A"}, {"content": None})),
    *(
        '{"epochs": 1, "batch_size": 1}',
        '{"epochs": 1, "steps": 1, "batch_size": 1}',
        '{"epochs": 1.0, "batch_size": 1}',
    ),
]


@pytest.mark.parametrize("name", [each.name for each in dataclasses.fields(Record)])
def test_any_value_of_a_field_is_read_and_refused_as_the_decoder_of_json_reads_it(name: str) -> None:
    written = line_of(record).decode().rpartition(', "checksum"')[0]
    before = f'"{name}": {json.dumps(json.loads(written + "}")[name])}'
    assert written.count(before) == 1
    for value in hostile:
        line = with_checksum(written.replace(before, f'"{name}": {value}') + "}").encode()
        if "newer" not in str(read(line)):
            assert repr(read(line)) == repr(read_whole(line)), value
    without = with_checksum(written.replace(f", {before}", "") + "}").encode()
    assert repr(read(without)) == repr(read_whole(without))


def test_lines_that_are_altered_are_read_as_the_decoder_reads_them() -> None:
    for line in lines():
        text = line.decode().rpartition(', "checksum"')[0] + "}"
        how = text[text.index(', "budget": ') : text.index(', "status": "')]
        nested = f', "diagnostics": {{"a": 1{how}, "status": "x"}}{how}'
        altered = [
            text[:-1] + ', "dataset": {"name": "x"}}',  # given twice: the last one counts
            text[:-1] + ', "seed": 5}',
            text.replace('"seed": ', '"seed": 1, "seed": ', 1),
            text.replace('"budget": ', '"threads": 1, "budget": ', 1),
            text.replace(', "diagnostics": {}', "").replace(
                how, nested, 1
            ),  # a field that holds what looks like others
            text.replace('"engine": {', '"engine": [{', 1),
            text.replace('"split": "test"', '"split": "holdout"', 1),
            text.replace('"schema": ', '"schema": 9', 1),
            json.dumps(json.loads(text), indent=None, separators=(",", ":")),
        ]
        for each in altered:
            for written in (each.encode(), with_checksum(each).encode(), line[:-10] + b'00000000"}'):
                if "newer" not in str(read(written)):
                    assert read(written) == read_whole(written)


def test_records_share_what_they_have_in_common() -> None:
    reader, (line, *_) = RecordReader(), lines()
    first, second = (reader.line(n, line).record for n in (1, 2))
    assert first is not None
    assert second is not None
    assert all(getattr(first, name) is getattr(second, name) for name in ("dataset", "model", "metric", "engine"))
