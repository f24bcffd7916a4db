"""Whatever stands in a file of records, commands leave out and name what is no record, and show all others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import hostile
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

if TYPE_CHECKING:
    from tests.conftest import Call

root = Path(__file__).parents[2]
validator = Draft202012Validator(json.loads((root / "docs" / "schemas" / "record.schema.json").read_text()))
lines = (root / "tests" / "fixtures" / "store" / "records.jsonl").read_text().splitlines()[:4]
fields = st.sampled_from(sorted({field for line in lines for field in json.loads(line)}))


@st.composite
def changed_lines(draw: st.DrawFn) -> str:
    """Draw a line with one field of any value."""
    return json.dumps({**json.loads(draw(st.sampled_from(lines))), draw(fields): draw(hostile.json_values)})


others = st.one_of(hostile.json_values.map(json.dumps), st.text(st.characters(exclude_characters="\n\r"), max_size=30))


@hostile.tried(40)
@given(line=changed_lines() | others, at=st.integers(0, len(lines)))
def test_a_line_of_anything_is_named_unless_it_is_a_valid_record(call: Call, line: str, at: int) -> None:
    file = Path("runs", "records.jsonl")
    file.parent.mkdir(exist_ok=True)
    file.write_bytes("\n".join([*lines[:at], line, *lines[at:]]).encode(errors="surrogatepass") + b"\n")
    boards = call("leaderboard", "--format", "json")
    verified = call("store", "verify")
    listed = call("results", "list")
    assert "Traceback" not in boards.err + verified.err + listed.err
    assert (boards.code, listed.code) == (0, 0)
    assert json.loads(boards.out)
    named = f"records.jsonl, line {at + 1}"
    is_named = named in boards.err
    assert (named in verified.out, named in listed.err) == (is_named,) * 2
    if not is_named and line.strip():
        assert list(validator.iter_errors(json.loads(line))) == []
