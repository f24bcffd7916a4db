"""Published numbers: each entry of the ledger is computed again, and agrees as its page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ledger import Entry, entries, page


def shown(entry: Entry) -> list[str]:
    """Return the cells of an entry on the page."""
    lines = page.read_text(encoding="utf-8").splitlines()
    start = f"| {entry.paper} | {entry.where} | {entry.what}"
    (line,) = (each for each in lines if each.startswith((f"{start} |", f"{start} (")))
    return [cell.strip() for cell in line.strip("|").split("|")]


def names(entry: Entry) -> str:
    return re.sub(r"\W+", "-", f"{entry.paper} {entry.what}")


def test_the_ledger_has_at_least_20_entries_of_8_papers() -> None:
    assert len(entries) >= 20
    assert len({entry.paper for entry in entries}) >= 8


@pytest.mark.parametrize("entry", [entry for entry in entries if not entry.needs_mnist], ids=names)
def test_an_entry_agrees_as_the_page_says(entry: Entry) -> None:
    *_, published, ours, _, outcome = shown(entry)
    value = entry.ours(None)
    assert published == entry.published
    assert ("pass" if entry.agrees(value) else "**miss**") == outcome
    assert value == pytest.approx(float(ours.replace("−", "-")), rel=0.02, abs=1e-6 if entry.tolerance == 0 else 0.05)


@pytest.mark.full_mnist
@pytest.mark.parametrize("entry", [entry for entry in entries if entry.needs_mnist], ids=names)
def test_an_entry_on_full_mnist_agrees_as_the_page_says(entry: Entry, data_dir: Path) -> None:
    value = entry.ours(data_dir)
    assert ("pass" if entry.agrees(value) else "**miss**") == shown(entry)[-1]
