"""The comparison of two versions: resolves both sides, runs what has to be run, and returns all findings."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from harness.contracts.events import Record
from harness.errors import HarnessError, UsageError, on_one_line, unknown
from harness.leaderboard.text import printable
from harness.planning.budget import in_words
from harness.registry import Registry
from harness.regression import baseline
from harness.regression.findings import Finding, Kind, kinds
from harness.regression.quality import Side, compare_quality
from harness.regression.speed import (
    Benchmark,
    Failed,
    Outcome,
    TimeUp,
    compare_counts,
    compare_speed,
    outcomes_of,
    survey,
)
from harness.regression.versions import Version, installed, options_of_run, provided_by, run_models
from harness.regression.workloads import works, works_that_count
from harness.results.store import Store
from harness.settings import show
from harness.specs import MetricSpec
from harness.words import counted

Stored = Store | baseline.Baseline
_replicas = 5
_devices = ("cpu", "cuda")
_named: Sequence[tuple[str, str, Sequence[str]]] = (
    ("model", "models", ()),
    ("metric", "metrics", ()),
    ("kind", "kinds", kinds),
    ("benchmark", "works", tuple(works)),
)
_example_of_cell = {"model": "pca", "metric": "reconstruction-mse"}
_timing_seconds = 600.0  # after the start, if no time is given
_of_the_harness = {
    "start-up": "start-up",
    "append": "appending a record",
    "load": "reading 1,000 records",
    "boards": "boards of 300 records",
}


class Lacked(NamedTuple):
    """What a version lacks of what is asked for, as kinds and names, and how its run ended because of that."""

    version: str
    names: Sequence[tuple[str, str]] = ()
    error: HarnessError | None = None

    @property
    def lines(self) -> list[str]:
        """What to say about it."""
        return [self.line(kind, name) for kind, name in self.names]

    def line(self, kind: str, name: str) -> str:
        """Return what to say about one of ``names``."""
        return f"{self.version} has no {kind.replace('dataset', 'data set')} {name}"


@dataclass(frozen=True)
class Comparison:
    """What is compared, and how.

    Args:
        base: a git revision, a folder with ``pyproject.toml``, ``NAME==VERSION`` or a plugin ``FILE.py``; or stored
            results.
        head: the same, for what may have become worse.
        cache: the harness's own folder.
        models: names of models to train and to time.
        metrics: names of metrics to measure and to time.
        dataset: name of the data set.
        seeds: train each model from the seeds 0 to ``seeds`` − 1.
        epochs: passes over the training data.
        batch_size: examples in a batch of training; as many as a run takes if it is None.
        settings: of models, metrics and data sets, by owner and name. Several values are joined by commas; benchmarks
            have the last of them.
        tolerances: how much worse a metric may be, by name, in its unit.
        kinds: of findings.
        works: of benchmarks.
        cell: the model, the metric and the data set of the benchmark ``cell``.
        slowdown: how much slower is accepted, as a share.
        more: how much more of what is counted is accepted, as a share.
        seconds: for the whole comparison; None for training and counting without a limit, and benchmarks that are
            timed until ten minutes have passed.
        device: of training and benchmarks.
        data: the user's folder of data sets, or None.
        plugin_files: plugins that both versions are used with.
        announce: shows the user a line.
        chosen: the names by ``model``, ``metric`` and ``dataset`` that stored results are restricted to; all, if none
            are given.
    """

    base: str | Stored
    head: str | Stored
    cache: Path
    models: Sequence[str]
    metrics: Sequence[str]
    dataset: str
    seeds: int = 3
    epochs: int = 2
    batch_size: int | None = None
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    tolerances: Mapping[str, float] = field(default_factory=dict)
    kinds: Sequence[str] = kinds
    works: Sequence[str] = tuple(works)
    cell: Mapping[str, str] = field(default_factory=dict)
    slowdown: float = 0.03
    more: float = 0.02
    seconds: float | None = None
    device: str = "cpu"
    data: Path | None = None
    plugin_files: Sequence[Path] = ()
    announce: Callable[[str], None] = lambda line: None
    chosen: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the values that no type on the way here has checked.

        Raises:
            UsageError: one is of another type, out of range, or not among the choices.
        """
        for what, field_name, choices in _named:
            value = getattr(self, field_name)
            if isinstance(value, str) or not _are_all(str, value) or not all(value):
                raise UsageError(f"{field_name} is {value!r}; give a name or a list of names")
            for each in value if choices else ():
                if each not in choices:
                    raise unknown(what, each, choices)
        for name in ("dataset", "device"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise UsageError(f"{name} is {getattr(self, name)!r}; give a name")
        if self.device not in _devices:
            raise unknown("device", self.device, _devices)
        for name, form, is_right in (
            ("settings", "values by owner and name, as in {'vae': {'latent_dim': 2}}", _are_settings(self.settings)),
            ("tolerances", "numbers by metric, as in {'elbo': 0.5}", _are_by_name(self.tolerances)),
            ("cell", f"a model and a metric, as in {_example_of_cell}", _is_cell(self.cell)),
            ("data", "a folder", isinstance(self.data, Path | None)),
            ("plugin_files", "files", _are_all(Path, self.plugin_files)),
        ):
            if not is_right:
                raise UsageError(f"{name} is {getattr(self, name)!r}; give {form}")
        for name in ("seeds", "epochs", "batch_size"):
            value = getattr(self, name)
            if (type(value) is not int or value < 1) and (name, value) != ("batch_size", None):
                raise UsageError(f"{name} is {value!r}; give a whole number that is at least 1")
        for name, least in (("slowdown", "more than 0"), ("more", "at least 0")):
            value = getattr(self, name)
            if not _is_number(value) or not 0 <= value <= 1 or (value == 0 and name == "slowdown"):
                raise UsageError(f"{name} is {value!r}; give a share that is {least} and at most 1, such as 0.03")
        if self.seconds is not None and (not _is_number(self.seconds) or self.seconds <= 0):
            raise UsageError(f"seconds is {self.seconds!r}; give a number that is more than 0")
        owners = {*self.models, *self.metrics, self.dataset, *self.cell.values()}
        for owner in self.settings:
            if owner not in owners:
                raise unknown("model, metric or data set with a setting", owner, owners)
        for name, value in self.tolerances.items():
            if not _is_number(value) or value < 0:
                raise UsageError(f"the tolerance of {name} is {value!r}; give a number that is at least 0")

    def carry_out(self) -> tuple[list[Finding], list[str]]:
        """Return all findings, and notes about what was left out.

        Raises:
            UsageError: a side does not exist, or a plugin file has a problem.
            HarnessError: a version cannot be built, or does not run at all.
        """
        Registry.load(self.plugin_files).require_files()  # else their models would fail in both, and be left out
        started = time.monotonic()
        deadline = started + (self.seconds or math.inf)
        notes: list[str] = []
        sides = self.base, self.head
        stored = [None if isinstance(side, str) else side for side in sides]
        versions = [
            installed(side, self.cache, self.plugin_files, self.announce) if isinstance(side, str) else None
            for side in sides
        ]
        found: list[Finding] = []
        if "quality" in self.kinds:
            found += self._quality(stored, versions, deadline, notes)
        if {"speed", "count"} & {*self.kinds}:
            timed_until = started + (self.seconds or _timing_seconds)
            found += self._performance(stored, versions, deadline, timed_until, notes)
        return found, [on_one_line(printable(note)) for note in notes]

    def _quality(
        self,
        stored: Sequence[Stored | None],
        versions: Sequence[Version | None],
        deadline: float,
        notes: list[str],
    ) -> list[Finding]:
        of_stored = [None if store is None else self._chosen_of(store) for store in stored]
        if None in of_stored:
            _require_epochs([record for records in of_stored for record in records or ()])
            of_stored = [None if records is None else self._runnable(records, notes) for records in of_stored]
        tolerances = self._tolerances([record for records in of_stored for record in records or ()])
        with tempfile.TemporaryDirectory(prefix="harness-") as folder:
            results: list[Side] = []
            lacked: list[Lacked] = []
            for number, (store, version) in enumerate(zip(stored, versions, strict=True)):
                unfinished: Sequence[tuple[str, str]] = ()
                if version is not None:
                    store = Store(Path(folder) / str(number), self.announce)
                    found, unfinished = self._run(version, store.root, deadline)
                    lacked.append(found)
                    if unfinished:
                        notes.append(f"Time was up before {version.name} was trained and measured.")
                assert store is not None
                records = of_stored[number]
                results.append(Side(records_of(store) if records is None else records, store.values, unfinished))
            notes += _lines_about(lacked, [record for records in of_stored for record in records or ()])
            return compare_quality(results[0], results[1], tolerances, notes.append)

    def _run(self, version: Version, store: Path, deadline: float) -> tuple[Lacked, list[tuple[str, str]]]:
        """Train and measure with a version, as far as it has what is asked for, until time is up.

        Returns:
            What it lacks, and the models and metrics for which time was up, if it was.

        Raises:
            HarnessError: it does not run at all.
        """
        asked = {"model": [*self.models], "metric": [*self.metrics], "dataset": [self.dataset]}
        words = self._words(asked)
        self.announce(f"training and measuring with {version.name}: harness run {' '.join(words)}")
        try:
            ran = run_models(version, words, store, deadline)
        except HarnessError as error:
            lacking = self._lacking(version, deadline)
            if not lacking:
                raise
            lacked = Lacked(version.name, lacking, error)
            self.announce("; ".join(lacked.lines))
            left = {kind: [name for name in names if (kind, name) not in lacking] for kind, names in asked.items()}
            if not all(left.values()):
                return lacked, []
            ran = run_models(version, self._words(left), store, deadline)
        else:
            lacked, left = Lacked(version.name), asked
        cells = [*product(left["model"], left["metric"])]
        if ran.is_finished:
            self._require_results(version, cells, Store(store, self.announce).records(), ran.last_lines)
        return lacked, [] if ran.is_finished else cells

    def _require_results(
        self, version: Version, cells: Sequence[tuple[str, str]], records: Sequence[Record], said: str
    ) -> None:
        """Check that a run has recorded every cell, if only that it failed.

        Raises:
            HarnessError: a cell has no record of a seed, as when the disk is full.
        """
        seeds = set(range(self.seeds))
        for model, metric in cells:
            its = [each for each in records if (each.model["name"], each.metric["name"]) == (model, metric)]
            left = seeds - {each.seed for each in its}
            if left and all(each.depends_on_seed and each.status == "ok" for each in its):
                which = "" if left == seeds else f", seed {', '.join(map(str, sorted(left)))}"
                raise HarnessError(
                    f"{version.name} has run, but recorded nothing of {metric} of {model}{which}:\n{said}"
                )

    def _chosen_of(self, results: Stored) -> list[Record]:
        return [record for record in records_of(results) if _is_chosen(record, self.chosen)]

    def _runnable(self, records: Sequence[Record], notes: list[str]) -> list[Record]:
        """Return the stored records that a run of a version can have; notes get how many others there are."""
        found = [
            each
            for each in records
            if (each.split, each.evaluation_seed) == ("test", 0)
            and (each.budget is None or each.budget.get("epochs") == self.epochs)
        ]
        if len(found) < len(records):
            others = counted(len(records) - len(found), "stored result")
            epochs = counted(self.epochs, "epoch")
            notes.append(
                f"{others} left out: a version is trained for {epochs}, and measured on the test split with the "
                "evaluation seed 0."
            )
        return found

    def _words(self, asked: Mapping[str, Sequence[str]]) -> list[str]:
        (dataset,) = asked["dataset"]
        budget = self.seeds, self.epochs, self.batch_size
        return options_of_run(asked["model"], asked["metric"], dataset, *budget, self.device, self.data, self.settings)

    def _tolerances(self, records: Sequence[Record]) -> dict[str, float]:
        """Return the tolerances that metrics state, and those given instead.

        Raises:
            UsageError: one is for a metric that is neither installed nor compared nor in the stored ``records``.
        """
        specs = [
            each.spec
            for side in (self.head, self.base)  # what the base states counts
            for each in Registry.load([*self.plugin_files, *_plugin_file(side)]).all("metric")
        ]
        known = {*(spec.name for spec in specs), *self.metrics, *(record.metric["name"] for record in records)}
        for name in self.tolerances:
            if name not in known:
                raise unknown("metric with a tolerance", name, known)
        stated = {
            spec.name: spec.tolerance for spec in specs if isinstance(spec, MetricSpec) and spec.tolerance is not None
        }
        return stated | dict(self.tolerances)

    def _performance(
        self,
        stored: Sequence[Stored | None],
        versions: Sequence[Version | None],
        deadline: float,
        timed_until: float,
        notes: list[str],
    ) -> list[Finding]:
        """Count and time the benchmarks of two versions; of stored results, compare what they have counted."""
        base, head = versions
        if base is None or head is None:
            if "speed" in self.kinds:
                notes.append("Speed is not compared, since stored results have no timings: give two versions.")
            reason = self._why_not_counted(stored)
            if "count" in self.kinds and reason:
                notes.append(f"Counts are not compared, since {reason}.")
            if "count" not in self.kinds or reason:
                return []
        benchmarks = self.benchmarks()
        if base is None:
            assert isinstance(stored[0], baseline.Baseline)
            if head is None:
                benchmarks = self._of_stored(stored[0]).benchmarks()
            chosen = {each.name for each in benchmarks}
            before = {name: counts for name, counts in stored[0].counts.items() if name in chosen}
            if head is None:
                assert isinstance(stored[1], baseline.Baseline)
                return compare_counts(before, stored[1].counts, self.more)
            self.announce(f"counting: {len(benchmarks)} benchmarks")
            outcomes = outcomes_of(benchmarks, head, deadline)
            without = {name: each for name in before if not isinstance(each := outcomes[name], tuple)}
            before = {name: counts for name, counts in before.items() if name not in without}
            found = [
                Finding(
                    name, "count", "inconclusive" if isinstance(each, TimeUp) else "newly failing", reason=str(each)
                )
                for name, each in without.items()
            ]
            return found + compare_counts(before, _counts_in(outcomes), self.more)
        assert head is not None
        kind: Kind = "speed" if "speed" in self.kinds else "count"
        benchmarks, found = self._provided(benchmarks, base, head, kind, deadline, notes)
        self.announce(f"counting: {len(benchmarks)} benchmarks")
        surveyed = survey(benchmarks, base, head, kind, deadline)
        notes += surveyed.notes
        found += surveyed.findings
        if {"speed", "count"} <= {*self.kinds}:
            found += [
                Finding(each.name, "count", "inconclusive", reason=str(TimeUp()))
                for each in benchmarks
                if each.name in surveyed.late and each.request["work"] in works_that_count
            ]
        if "count" in self.kinds:
            found += compare_counts(surveyed.counts["base"], surveyed.counts["head"], self.more)
        if "speed" in self.kinds:
            found += compare_speed(
                benchmarks,
                surveyed,
                base,
                head,
                slowdown=self.slowdown,
                deadline=timed_until,
                announce=self.announce,
            )
        return found

    def _why_not_counted(self, stored: Sequence[Stored | None]) -> str | None:
        """Say why the counts of stored results are not compared with each other or with those of a version, if so."""
        without = [
            name
            for name, side in zip(("BASE", "HEAD"), stored, strict=True)
            if side is not None and not (isinstance(side, baseline.Baseline) and side.counts)
        ]
        if without:
            return f"{' and '.join(without)} {'have' if len(without) > 1 else 'has'} none"
        if stored[0] is None:
            return "a version is compared with stored counts only if these are of BASE"
        if stored[1] is None and self.device != "cpu":
            return f"those of BASE are of a CPU, not of {self.device}"
        old = request_of(stored[0], self.chosen)
        new = vars(self) if stored[1] is None else request_of(stored[1], self.chosen)
        if old["dataset"] != new["dataset"]:
            return f"BASE has {old['dataset']}, HEAD {new['dataset']}"
        for name in (*old["models"], *old["metrics"], old["dataset"]):
            is_in_both = name in (*new["models"], *new["metrics"], new["dataset"])
            if is_in_both and old["settings"].get(name, {}) != new["settings"].get(name, {}):
                return f"the settings of {name} differ"
        return None

    def _of_stored(self, results: baseline.Baseline) -> Comparison:
        """Return this comparison with the models and metrics that are chosen among stored results, or with all."""
        request = request_of(results, self.chosen)
        models, metrics = (self.chosen.get(kind) or request[f"{kind}s"] for kind in ("model", "metric"))
        return replace(self, models=models, metrics=metrics)

    def _provided(
        self,
        benchmarks: Sequence[Benchmark],
        base: Version,
        head: Version,
        kind: Kind,
        deadline: float,
        notes: list[str],
    ) -> tuple[list[Benchmark], list[Finding]]:
        """Return the benchmarks of what both versions have, and what is missing in the head; notes get the rest.

        Raises:
            HarnessError: neither version has something that is asked for.
        """
        lacked = [Lacked(version.name, self._lacking(version, deadline)) for version in (base, head)]
        notes += [line for line in _lines_about(lacked, []) if line not in notes]
        in_base, in_head = ({*each.names} for each in lacked)
        kept, missing = [], []
        for benchmark in benchmarks:
            needed = {
                (part, benchmark.request[part]) for part in ("model", "metric", "dataset") if part in benchmark.request
            }
            if not needed & (in_base | in_head) or benchmark.request["work"] in _of_the_harness:
                kept.append(benchmark)
            elif not needed & in_base:
                reason = lacked[1].line(*min(needed & in_head))
                missing.append(Finding(benchmark.name, kind, "missing", reason=reason))
        return kept, missing

    def _lacking(self, version: Version, deadline: float) -> list[tuple[str, str]]:
        """Return the kinds and names of what a version lacks of what is asked for; nothing if it does not say."""
        try:
            provided = provided_by(version, deadline)
        except HarnessError:
            return []
        asked = {"model": self.models, "metric": self.metrics, "dataset": [self.dataset]}
        return [(kind, name) for kind, names in asked.items() for name in names if name not in provided.get(kind, ())]

    def benchmarks(self) -> list[Benchmark]:
        """Return the benchmarks: of the models, of their metrics, and of the harness itself.

        If speed is not compared, these are the ones that count something.
        """
        requests: dict[str, dict[str, Any]] = {}
        for model in self.models:
            requests[f"training step of {model}"] = {"work": "step", "model": model}
        for model in self.models[:1]:
            request = {"work": "seeds", "model": model, "replicas": _replicas}
            requests[f"training step of {_replicas} seeds of {model} as one"] = request
        for model in self.models:
            for metric in self.metrics:
                requests[f"{metric} of {model}"] = {"work": "evaluation", "model": model, "metric": metric}
        requests |= {name: {"work": work} for work, name in _of_the_harness.items()}
        if self.cell:
            requests["run of one cell"] = {"work": "cell", **self.cell}
        common = {
            "dataset": self.dataset,
            "device": self.device,
            "data": str(self.data.resolve()) if self.data else None,
            "cache": str(self.cache.resolve()),
            "settings": {
                owner: {name: value.split(",")[-1] for name, value in values.items()}
                for owner, values in self.settings.items()
            },
        }
        return [
            Benchmark(name, {**common, **request})
            for name, request in requests.items()
            if request["work"] in self.works and ("speed" in self.kinds or request["work"] in works_that_count)
        ]


def _plugin_file(side: str | Stored) -> list[Path]:
    return [Path(side)] if isinstance(side, str) and side.endswith(".py") else []


def stored_results(name: str, warn: Callable[[str], None]) -> Stored | None:
    """Return the results under a folder or in a baseline file; None if ``name`` is neither.

    Damaged ones are refused: a comparison with what is left of them could pass because a cell is missing.

    Raises:
        UsageError: results are damaged, or a file with the suffix of a baseline is none.
    """
    path = Path(name)
    if (path / "records.jsonl").is_file():
        store = Store(path, warn)
        for line in store.lines():
            if line.is_damaged:
                raise UsageError(
                    f"{store.records_file}, line {line.number}: {line.problem}; 'harness store gc' can drop it, and "
                    "the same run computes its cell again"
                )
        return store
    return baseline.load(path, warn) if path.suffix == baseline.suffix else None


def request_of(
    results: Stored, chosen: Mapping[str, Sequence[str]] | None = None, epochs: int | None = None
) -> dict[str, Any]:
    """Return what was asked for to get stored results, by the names of the fields of ``Comparison``.

    Args:
        results: at least one.
        chosen: the names by ``model``, ``metric`` and ``dataset`` of those that count, if there are some; of a kind
            that is empty or not there, all.
        epochs: of those that count, if there are some; None for all.

    Raises:
        UsageError: there are no results, or those that count are of several data sets or budgets.
    """
    records = [record for record in records_of(results) if record.machine is None]
    if not records:
        raise UsageError("the stored results are empty")
    chosen = chosen or {}
    matching = [record for record in records if _is_chosen(record, chosen)]
    records = matching or records
    if epochs is not None:
        records = [
            each for each in records if not each.budget or each.budget.get("epochs") in (None, epochs)
        ] or records
    budgets = [record.budget for record in records if record.budget]
    datasets = sorted({record.dataset["name"] for record in records})
    stored_epochs = sorted({budget["epochs"] for budget in budgets if budget.get("epochs")})
    sizes = sorted({budget["batch_size"] for budget in budgets if budget.get("batch_size")})
    for what, found, remedy in (
        ("data sets", [] if chosen.get("dataset") else datasets, "name one"),
        ("epochs", [] if epochs else stored_epochs, "name one"),
        ("batch sizes", sizes, "store those of one in a folder of their own"),
    ):
        if len(found) > 1:
            raise UsageError(f"the stored results are of several {what} {', '.join(map(str, found))}: {remedy}")
    components = [component for each in records if matching for component in (each.dataset, each.model, each.metric)]
    changed = {(component["name"], name) for component in components for name in component["changed"]}
    values: dict[str, dict[str, dict[str, None]]] = {}
    for component in components:
        for name, value in component["settings"].items():
            if (component["name"], name) in changed:
                values.setdefault(component["name"], {}).setdefault(name, {})[show(value)] = None
    settings = {owner: {name: ",".join(each) for name, each in of.items()} for owner, of in values.items()}
    return {
        "models": tuple(dict.fromkeys(record.model["name"] for record in records)),
        "metrics": tuple(dict.fromkeys(record.metric["name"] for record in records)),
        "dataset": datasets[0],
        "seeds": 1 + max(record.seed for record in records),
        "settings": settings,
        **({"epochs": stored_epochs[0]} if stored_epochs else {}),
        **({"batch_size": sizes[0]} if sizes else {}),
    }


def _is_chosen(record: Record, chosen: Mapping[str, Sequence[str]]) -> bool:
    return all(getattr(record, kind)["name"] in names for kind, names in chosen.items() if names)


def _lines_about(lacked: Sequence[Lacked], stored: Sequence[Record]) -> list[str]:
    """Say which versions lack what.

    Raises:
        HarnessError: neither a version nor the stored records have something that is asked for.
    """
    found = {(kind, getattr(record, kind)["name"]) for record in stored for kind in ("model", "metric", "dataset")}
    nowhere = set.intersection(*({*each.names} for each in lacked)) - found if lacked else set()
    if nowhere:
        raise lacked[0].error or HarnessError(f"neither version has the {' '.join(min(nowhere))}")
    return [line for each in lacked for line in each.lines]


def _are_all(kind: type, values: Any) -> bool:
    return isinstance(values, Sequence) and all(isinstance(each, kind) for each in values)


def _are_by_name(values: Any) -> bool:
    return isinstance(values, Mapping) and all(isinstance(name, str) for name in values)


def _are_settings(values: Any) -> bool:
    return _are_by_name(values) and all(map(_are_by_name, values.values()))


def _is_cell(values: Any) -> bool:
    is_mapping = _are_by_name(values) and all(isinstance(each, str) for each in values.values())
    return is_mapping and (not values or {"model", "metric"} <= {*values} <= {"model", "metric", "dataset"})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _require_epochs(records: Sequence[Record]) -> None:
    """Check that fits of a version, which are trained for epochs, could be compared with any of the stored records.

    Raises:
        UsageError: all of them were trained for steps or a time.
    """
    budgets = [record.budget for record in records if record.machine is None]
    if budgets and all(budget is not None and "epochs" not in budget for budget in budgets):
        raise UsageError(
            f"the stored results were trained for {in_words(budgets[0] or {})}, but versions are trained for epochs: "
            "store results of a run for epochs"
        )


def counts_of(
    benchmarks: Sequence[Benchmark], version: Version, failed: Callable[[str], None] = lambda line: None
) -> dict[str, dict[str, int]]:
    """Return what a version counts, by benchmark and by what is counted; ``failed`` gets a line for each that fails."""
    outcomes = outcomes_of(benchmarks, version)
    for name, outcome in outcomes.items():
        if isinstance(outcome, Failed):
            failed(f"{name} fails: {outcome}")
    return _counts_in(outcomes)


def _counts_in(outcomes: Mapping[str, Outcome]) -> dict[str, dict[str, int]]:
    return {name: outcome[0] for name, outcome in outcomes.items() if isinstance(outcome, tuple) and outcome[0]}


def records_of(results: Stored) -> list[Record]:
    """Return the records of stored results."""
    return results.records() if isinstance(results, Store) else results.records
