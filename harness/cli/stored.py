"""Stored results that the options of a command name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.contracts.events import Record
from harness.errors import UsageError, unknown
from harness.results.store import Store


def no_results(runs: Path) -> UsageError:
    """Return the error that there are no results."""
    return UsageError(f"no results in {runs} yet. Start with: harness run --models vae,gan --metric elbo")


def nothing_shown(store: Store) -> UsageError:
    """Return the error that there is no result that is not hidden."""
    if store.records():
        return UsageError(f"all results in {store.root} are hidden; 'harness results unhide' shows them again")
    return no_results(store.root)


def selected(records: Sequence[Record], wanted: Mapping[str, Sequence[str]], runs: Path) -> list[Record]:
    """Return the records with the wanted names.

    Args:
        records: of the results in ``runs``.
        wanted: names by ``dataset``, ``model`` and ``metric``; no names stand for all.
        runs: the folder, for messages.

    Raises:
        UsageError: no record has one of the names, or none has it together with those of other kinds.
    """
    found = list(records)
    before: list[str] = []
    for kind, names in wanted.items():
        recorded, left = _names(records, kind), _names(found, kind)
        for name in names:
            if name not in recorded:
                raise unknown(f"{kind} in {runs}", name, recorded)
            if name not in left:
                together = ", ".join([*before, f"{kind} {name}"])
                raise UsageError(f"no results in {runs} have these names together: {together}")
        found = [record for record in found if not names or getattr(record, kind)["name"] in names]
        before += [f"{kind} {' or '.join(names)}"] * bool(names)
    return found


def _names(records: Sequence[Record], kind: str) -> set[str]:
    return {getattr(record, kind)["name"] for record in records}
