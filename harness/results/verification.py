"""Whether everything in a store is what was written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import is_zipfile

from harness.errors import StoreError
from harness.results.checksums import DamagedError, has_checksum, stamped_content
from harness.results.curation import hidden_file, read_hidden, read_titles, titles_file, unknown_keys, unknown_titles
from harness.results.store import Store, latest, no_records, problem_of_environment, problem_of_figure

if TYPE_CHECKING:
    from harness.contracts.events import Record
    from harness.data.source import Track

_again = "run the command that wrote it again"


@dataclass(frozen=True)
class Damage:
    """Something in a store that is not what was written.

    Args:
        problem: the file, and what is wrong with it.
        meaning: what the harness does without it.
        remedy: what the user can do.
    """

    problem: str
    meaning: str
    remedy: str


@dataclass
class Verification:
    """What was found in a store.

    Args:
        damage: in the order of the files.
        checked: how many records, fits and other files were checked.
        without_digest: how many of them were written before there were digests, so that only their form was checked.
    """

    damage: list[Damage] = field(default_factory=list)
    checked: int = 0
    without_digest: int = 0


def verify(store: Store, track: Track) -> Verification:
    """Compare everything in a store with the digests that were kept when it was written.

    Args:
        store: of any size; it is only read.
        track: shows the progress.

    Raises:
        StoreError: the records exist but cannot be read.
    """
    found = Verification()
    records = latest(list(_verify_lines(store, found, track)))
    if not records and not found.damage and store.has_lost_records():
        remedy = f"restore it from a copy, or {_again}"
        found.damage.append(Damage(f"{store.records_file} {no_records}", "all cells count as not measured", remedy))
    _verify_values(store, records, found, track)
    _verify_fits(store, found, track)
    _verify_other_files(store, records, found)
    _verify_choices(store, records, found)
    return found


def problem_of_fit(store: Store, fit_key: str) -> str | None:
    """Return what is wrong with a stored fit apart from its figures, with the file, or None."""
    try:
        described = store.read_fit(fit_key)
        if described is None:
            return f"{store.fit_folder(fit_key) / 'fit.json'} is missing"
        names = set(described.get("digests", {}))
        names |= {"weights.safetensors"} if described["status"] == "ok" else set()
        for name in sorted(names):
            store.check_tensors(fit_key, name)
    except StoreError as error:
        return str(error)
    return None


def _verify_lines(store: Store, found: Verification, track: Track) -> Iterator[Record]:
    lines = list(store.lines())
    for line in track(lines, "checking records", len(lines)):
        found.checked += 1
        if line.record is not None:
            found.without_digest += not has_checksum(line.content)
            yield line.record
        elif line.is_damaged:
            problem = f"{store.records_file}, line {line.number}: {line.problem}"
            remedy = f"{_again}; 'harness store gc' can then drop the line"
            found.damage.append(Damage(problem, "its cell counts as not measured", remedy))


def _verify_values(store: Store, records: list[Record], found: Verification, track: Track) -> None:
    for record in track(records, "checking values", len(records)):
        try:
            store.check_values(record)
        except StoreError as error:
            meaning = "its row is compared without these values, and the next run measures the cell again"
            found.damage.append(Damage(str(error), meaning, _again))
        if record.values_digest is not None or store.values_file(record.cell_key).exists():
            found.checked += 1
            found.without_digest += record.values_digest is None


def _verify_fits(store: Store, found: Verification, track: Track) -> None:
    keys = sorted(path.name for path in store.root.glob("fits/[!.]*") if path.is_dir())
    for key in track(keys, "checking fits", len(keys)):
        found.checked += 1
        problem = problem_of_fit(store, key)
        if problem is not None:
            meaning = "the fit is not used; a run that needs it trains the model"
            remedy = f"{_again} as a fresh run, or merge a store that has the fit"
            found.damage.append(Damage(problem, meaning, remedy))
        elif "digests" not in (store.read_fit(key) or {}):
            found.without_digest += 1
        for figure in sorted({*store.figures_folder(key).glob("*.png"), *_figures_with_digest(store, key)}):
            found.checked += 1
            problem = problem_of_figure(figure) if figure.exists() else "is missing"
            if problem is not None:
                remedy = "'harness figures' draws it again"
                found.damage.append(Damage(f"{figure} {problem}", "pages leave the figure out", remedy))


def _figures_with_digest(store: Store, fit_key: str) -> Iterator[Path]:
    return (path.with_suffix("") for path in store.figures_folder(fit_key).glob("*.png.sha256"))


def _verify_other_files(store: Store, records: list[Record], found: Verification) -> None:
    used = {store.environment_file(record.environment) for record in records if record.environment}
    for path in sorted({*store.root.glob("environments/[!.]*.json"), *used}):
        found.checked += 1
        problem = problem_of_environment(path) if path.exists() else "is missing"
        if problem is not None:
            remedy = "a run on the same machine with the same software writes it again, once the file is deleted"
            found.damage.append(Damage(f"{path} {problem}", "pages do not show the environment", remedy))
    for path in sorted(store.root.glob("checkpoints/[!.]*.pt")):
        found.checked += 1
        try:
            content = stamped_content(path, path.name)
            if not is_zipfile(BytesIO(content)):  # as torch writes it; one without a digest may be cut short
                raise DamagedError("it is not a file of torch")
        except (OSError, DamagedError) as error:
            meaning = "the work starts from the beginning"
            found.damage.append(Damage(f"{path} cannot be used: {error}", meaning, "nothing: it is replaced"))
    for rounds in store.all_rounds():
        for line in rounds.lines():
            found.checked += 1
            if line.is_damaged:
                problem = f"{rounds.records_file}, line {line.number}: {line.problem}"
                found.damage.append(Damage(problem, "the timing is taken in one more round", "nothing: it is replaced"))


def _verify_choices(store: Store, records: list[Record], found: Verification) -> None:
    """Verify what the user has chosen for boards: hidden cells, and titles of models."""
    _verify_choice(
        hidden_file(store),
        lambda: unknown_keys(read_hidden(store), records),
        "a result that was hidden is shown",
        "hide the results again with 'harness results hide', which writes the file again",
        found,
    )
    _verify_choice(
        titles_file(store),
        lambda: unknown_titles(read_titles(store), records),
        "a model has its own name on boards",
        "rename the models again with 'harness results rename', which writes the file again",
        found,
    )


def _verify_choice(
    path: Path, problem_of: Callable[[], str | None], meaning: str, remedy: str, found: Verification
) -> None:
    if not path.exists():
        return
    found.checked += 1
    try:
        problem = problem_of()
    except (OSError, ValueError):
        problem = "cannot be read"
    if problem is not None:
        found.damage.append(Damage(f"{path} {problem}", meaning, remedy))
