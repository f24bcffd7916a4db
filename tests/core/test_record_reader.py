"""Lines of records that are read part by part give what the decoder of JSON gives for the whole line."""

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
def test_a_line_read_by_parts_is_the_same_as_read_whole(line: bytes) -> None:
    assert isinstance(read(line), Record)
    assert read(line) == read_whole(line)


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
