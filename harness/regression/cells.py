"""Cells of two versions, matched by what the user asked for: whatever the version, and over all seeds."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from harness.contracts.events import Record, identity_of, name_of_component
from harness.planning.budget import in_words
from harness.settings import show
from harness.words import counted

_components = ("dataset", "model", "metric")
_absent = object()


@dataclass(frozen=True)
class SeedRecords:
    """The records of one version of a cell, one for each seed; at least one."""

    by_seed: dict[int, Record]

    @property
    def first(self) -> Record:
        """The record of the lowest seed that has a value, or of the lowest seed."""
        return min(self.by_seed.values(), key=lambda record: (record.status != "ok", record.seed))

    @property
    def ended(self) -> str:
        """When the last of them ended, in ISO 8601."""
        return max(record.ended or "" for record in self.by_seed.values())

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the data set, the model and the metric."""
        return tuple(getattr(self.first, kind)["name"] for kind in _components)

    @cached_property
    def identity(self) -> dict[tuple[str, str], Any]:
        """All that can change the values except versions and the seed, as JSON values, by kind and name."""
        record = self.first
        found: dict[tuple[str, str], Any] = {}
        for kind in _components:
            component = getattr(record, kind)
            found |= {(kind, name): component[name] for name in ("distribution", "content") if name in component}
            if kind == "model" or component.get("distribution", "").endswith(".py"):
                found.pop((kind, "distribution"), None)  # a model is what is compared; the name of a file says nothing
            found |= {(kind, f".{name}"): value for name, value in component["settings"].items()}
        engine = {"step mode" if name == "execution" else name: value for name, value in record.engine.items()}
        found |= {("", name): value for name, value in ({"step mode": "eager"} | engine).items()}
        found |= {("", name): value for name, value in (record.budget or {}).items()}
        return found | {("", "split"): record.split, ("", "evaluation seed"): record.evaluation_seed}

    def is_default(self, kind: str, name: str) -> bool:
        """Whether a setting has its default value, or does not exist in this version."""
        return kind in _components and name.startswith(".") and name[1:] not in getattr(self.first, kind)["changed"]

    @property
    def name(self) -> str:
        """The metric, the model and the data set in words, with the settings that are not at their defaults."""
        dataset, model, metric = (name_of_component(getattr(self.first, kind)) for kind in _components)
        split = "" if self.first.split == "test" else f", {self.first.split} split"
        seed = f", evaluation seed {self.first.evaluation_seed}" if self.first.evaluation_seed else ""
        return f"{metric} of {model} on {dataset}{split}{seed}"


@dataclass(frozen=True)
class Differences:
    """In what two cells differ, each in words, such as ``vae.latent_dim 2 → 10``.

    Args:
        of_defaults: settings that the user left at their defaults, which are not the same in both versions.
        asked_for: what the user asked for.
    """

    of_defaults: tuple[str, ...]
    asked_for: tuple[str, ...]


@dataclass(frozen=True)
class Match:
    """A cell of the base with that of the head that is most like it; None if there is none."""

    base: SeedRecords
    head: SeedRecords | None = None
    differences: Differences = Differences((), ())


def differences(base: SeedRecords, head: SeedRecords) -> Differences:
    """Return in what two cells of the same names differ, apart from versions and seeds.

    The default of a model may change: it belongs to the model that is compared. So may the settings that exist, if they
    are at their defaults. The default of a data set or metric decides what is measured.
    """
    of_defaults: list[str] = []
    asked_for: list[str] = []
    for kind, name in dict.fromkeys([*base.identity, *head.identity]):
        values = [each.identity.get((kind, name), _absent) for each in (base, head)]
        if values[0] == values[1]:
            continue
        owner = f"{getattr(base.first, kind)['name']}{'' if name.startswith('.') else ' '}" if kind else ""
        text = f"{owner}{name} {' → '.join('none' if value is _absent else show(value) for value in values)}"
        may_differ = kind == "model" or _absent in values
        is_default = base.is_default(kind, name) and head.is_default(kind, name)
        (of_defaults if may_differ and is_default else asked_for).append(text)
    return Differences(tuple(of_defaults), tuple(asked_for))


def by_cell(records: Iterable[Record], note: Callable[[str], None]) -> list[SeedRecords]:
    """Group records over seeds, and keep the newest version of each cell; timings are left out.

    Args:
        records: of one side.
        note: receives a line if something was left out.
    """
    groups: dict[str, dict[int, Record]] = defaultdict(dict)
    timings = 0
    for record in records:
        if record.machine is not None:
            timings += 1
            continue
        named = [getattr(record, kind) for kind in _components]
        components = [identity_of(each) for each in named]
        identity = [components, record.budget, record.engine, record.split, record.evaluation_seed]
        groups[json.dumps(identity, sort_keys=True)][record.seed] = record
    if timings:
        note(f"{counted(timings, 'timing')} left out: stored timings were not taken in turn")
    kept: dict[tuple[str, ...], list[SeedRecords]] = defaultdict(list)
    older = 0
    found = [SeedRecords(group) for group in groups.values()]
    for cell in sorted(found, key=lambda each: each.ended, reverse=True):
        if any(not differences(cell, newer).asked_for for newer in kept[cell.names]):
            older += 1
        else:
            kept[cell.names].append(cell)
    if older:
        note(f"{counted(older, 'cell')} of older versions left out")
    newest = {id(cell) for cells in kept.values() for cell in cells}
    return [cell for cell in found if id(cell) in newest]


def match(base: Sequence[SeedRecords], head: Sequence[SeedRecords]) -> tuple[list[Match], list[SeedRecords]]:
    """Match each cell of the base with one of the head of the same names, those first that differ least.

    A cell that differs in what the user asked for is matched only if no other cell of these names is found in the head.

    Returns:
        The matches, in the order of the base, and the cells that only the head has.
    """
    candidates = []
    for i, old in enumerate(base):
        for j, new in enumerate(head):
            if old.names == new.names:
                found = differences(old, new)
                candidates.append((len(found.asked_for), len(found.of_defaults), i, j, found))
    matches = {}
    used = set()
    found_again = set()
    for differing, _, i, j, found in sorted(candidates, key=lambda each: each[:4]):
        if i not in matches and j not in used and not (differing and base[i].names in found_again):
            matches[i] = Match(base[i], head[j], found)
            used.add(j)
            if not differing:
                found_again.add(base[i].names)
    return (
        [matches.get(i, Match(cell)) for i, cell in enumerate(base)],
        [cell for j, cell in enumerate(head) if j not in used],
    )


def unique_names(cells: Sequence[SeedRecords]) -> list[str]:
    """Return the names of cells; those that share a name have in addition what distinguishes them."""
    alike: dict[str, list[SeedRecords]] = defaultdict(list)
    for cell in cells:
        alike[cell.name].append(cell)
    names = []
    for cell in cells:
        others = alike[cell.name]
        keys = dict.fromkeys(key for each in others for key in each.identity)
        differing = [key for key in keys if len({json.dumps(each.identity.get(key)) for each in others}) > 1]
        budget = cell.first.budget or {}
        extra = [in_words(budget)] if budget and any(name in budget for _, name in differing) else []
        extra += [
            f"{kind} {name.removeprefix('.')} {show(cell.identity[kind, name])}".strip()
            for kind, name in differing
            if name not in budget and (kind, name) in cell.identity
        ]
        names.append(", ".join([cell.name, *extra]))
    return names
