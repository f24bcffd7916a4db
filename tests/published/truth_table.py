"""The truth table of all metrics of samples, and the published one that it is compared with.

    PYTHONPATH=.:plugins python tests/published/truth_table.py                # what is missing, and the docs
    PYTHONPATH=.:plugins python tests/published/truth_table.py precision IAP  # these again

``raisa_2025.csv`` has the published cells: T pass, F fail, ``low`` and ``high`` a pass in one of two conventions. They
are in the notebook of Räisä, van Breugel and van der Schaar (2025, arXiv:2505.22450) that prints their tables,
github.com/DPBayes/position-fidelity-diversity-metrics-flawed. Results are kept in ``truth_table.json``.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from textwrap import wrap
from typing import Any

import torch

from harness.calibration.sample_checks import checks
from harness.calibration.selection import selected
from harness.calibration.truth_table import TruthRow, aspect_of, truth_rows
from harness.contracts.metrics import Aspect, aspects
from harness.planning.component import Component, resolve_component
from harness.registry import Provided, Registry

here = Path(__file__).parent
results = here / "truth_table.json"
page = here.parents[1] / "docs" / "sample-quality.md"
registry = Registry.load()
replications = 3  # the default of harness calibrate
begin, end = "<!-- made by tests/published/truth_table.py -->", "<!-- end -->"


@dataclass(frozen=True)
class Column:
    """A metric of the published table: our metric with its settings, and the aspect that it was judged by."""

    metric: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    aspect: str | None = None


one_class = {"embedding": "one-class"}
published = {
    "I-Prec": Column("precision"),
    "I-Rec": Column("recall"),
    "Density": Column("density"),
    "Coverage": Column("coverage"),
    "IAP": Column("integrated-alpha-precision", one_class),
    "IBR": Column("integrated-beta-recall", one_class),
    # The published code has the two covers the other way round, so what it judges as fidelity is our recall cover.
    "C-Prec": Column("recall-cover", aspect="fidelity"),
    "C-Rec": Column("precision-cover", aspect="diversity"),
    "symPrec": Column("symmetric-precision"),
    "symRec": Column("symmetric-recall"),
    "P-Prec": Column("probabilistic-precision"),
    "P-Rec": Column("probabilistic-recall"),
}
marks = {"pass": "✓", "fail": "✗", "n/a": "–"}


def metrics() -> list[str]:
    """Return the names of all metrics of samples, by what they judge."""
    of_samples = selected(registry, [each.spec.name for each in registry.all("metric") if compares(each)]).of_samples
    return sorted((each.spec.name for each in of_samples), key=lambda name: (aspects.index(aspect(name)), name))


def compares(metric: Provided) -> bool:
    """Return whether a metric compares samples with data, and the checks suit it."""
    factory = metric.spec.resolve()
    return hasattr(factory, "compare") and getattr(factory, "aspect", "overall") is not None


def aspect(metric: str) -> Aspect:
    """Return what a metric judges."""
    return aspect_of(registry.get("metric", metric).spec.resolve())


def columns() -> dict[str, Column]:
    """Return everything to compute, by name: all metrics as they are, and published ones that differ from them."""
    ours = {name: Column(name) for name in metrics()}
    return ours | {name: column for name, column in published.items() if column != ours.get(column.metric)}


def component_of(column: Column) -> Component:
    """Return a metric with its settings and, if given, another aspect."""
    (provided,) = selected(registry, [column.metric]).of_samples
    if column.aspect:
        factory = provided.spec.resolve()
        judged = type(factory.__name__, (factory,), {"aspect": column.aspect})
        provided = replace(provided, spec=replace(provided.spec, factory=judged))
    return resolve_component(provided, column.settings)


def compute(name: str, check: str) -> list[TruthRow]:
    """Run a check on a column."""
    torch.set_num_threads(1)
    (found,) = (each for each in checks if each.name == check)
    return truth_rows(component_of(columns()[name]), found, replications)


def stored() -> dict[str, dict[str, list[Any]]]:
    """Return the outcome, the convention and the reasons by column and ``check: topic``."""
    found: dict[str, dict[str, list[Any]]] = json.loads(results.read_text()) if results.exists() else {}
    return found


def fill(names: list[str]) -> None:
    """Compute columns, two checks at a time, and store each column as soon as it is complete."""
    with ProcessPoolExecutor(2) as pool:
        for name in names:
            rows = [
                row
                for found in pool.map(compute, [name] * len(checks), [check.name for check in checks])
                for row in found
            ]
            cells = {f"{row.check}: {row.topic}": [row.outcome, row.convention, row.reasons] for row in rows}
            results.write_text(json.dumps(stored() | {name: cells}, indent=1, ensure_ascii=False) + "\n")
            print(name, "done", flush=True)


def cells() -> Iterator[tuple[str, str, str, str, list[str]]]:
    """Return each published cell: its column, check and topic, what is published, what we found, and our reasons."""
    known = stored()
    with (here / "raisa_2025.csv").open(encoding="utf-8") as file:
        for line in csv.DictReader(file):
            place = f"{line.pop('check')}: {line.pop('topic')}"
            for name, letter in line.items():
                column = name if name in known else published[name].metric
                outcome, convention, reasons = known[column][place]
                yield name, place, letter, convention or {"pass": "T", "fail": "F"}[outcome], reasons


def text() -> str:
    """Return the generated part of the docs."""
    known, names = stored(), metrics()
    places = list(known[names[0]])
    lines: list[str] = []
    for i, name in enumerate(names, 1):
        lines += wrap(f"{i}. `{name}`, {aspect(name)}. {registry.get('metric', name).spec.resolve().limits}", 120)
    lines += ["", f"| check: topic | {' | '.join(str(i + 1) for i in range(len(names)))} |"]
    lines += ["|---|" + ":-:|" * len(names)]
    lines += [f"| {place} | " + " | ".join(marks[known[name][place][0]] for name in names) + " |" for place in places]
    lines += ["", "What a right metric shows:", "", *(f"- **{check.name}**: {check.shows}" for check in checks)]
    found = list(cells())
    equal = sum(theirs == ours for _, _, theirs, ours, _ in found)
    lines += [
        "",
        f"Of {len(found)} cells that Räisä et al. published, {equal} ({equal / len(found):.1%}) are reproduced.",
    ]
    return "\n".join(lines)


def main() -> None:
    """Compute columns, print the cells that differ from the published ones, and write the docs."""
    known = stored()
    fill(sys.argv[1:] or [name for name in columns() if name not in known])
    for name, place, theirs, ours, reasons in cells():
        if theirs != ours:
            print(f"{name}, {place}: published {theirs}, here {ours}. {'; '.join(reasons)}")
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    page.write_text(f"{before}{begin}\n\n{text()}\n\n{end}{rest.partition(end)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
