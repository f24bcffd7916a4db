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
        UsageError: no record has one of the names.
    """
    found = list(records)
    for kind, names in wanted.items():
        recorded: set[str] = {getattr(record, kind)["name"] for record in found}
        for name in names:
            if name not in recorded:
                raise unknown(f"{kind} in {runs}", name, recorded)
        found = [record for record in found if not names or getattr(record, kind)["name"] in names]
    return found
