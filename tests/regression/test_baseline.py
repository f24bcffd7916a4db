"""A baseline is a small file with the results of a version, which pairs with a store as well as a store does."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from versions import cell, component, failing, side_of, store_of

from harness import StoreError
from harness.contracts.events import Values
from harness.errors import UsageError
from harness.regression.baseline import Baseline, load, save
from harness.regression.condensed import condense
from harness.regression.quality import Side, compare_quality
from harness.results.store import Store

if TYPE_CHECKING:
    from tests.conftest import Call

generator = np.random.default_rng(0)
common = generator.normal(-100, 20, 2000)
stored = Path(__file__).parents[1] / "fixtures" / "store"


def results(shift: float = 0.0) -> list:
    drawn = np.random.default_rng(round(10 * abs(shift)))
    return [
        cell(seed, values=common + shift + drawn.normal(0, 0.1) + drawn.normal(0, 1, 2000), diagnostics={"a": 1})
        for seed in range(5)
    ]


def saved(folder: Path, shift: float = 0.0) -> Path:
    store = store_of(folder / f"store{shift}", results(shift))
    path = folder / "base.jsonl"
    save(store, store.records(), path)
    return path


def side(baseline: Baseline) -> Side:
    return Side(baseline.records, baseline.values)


def test_a_baseline_has_the_records_without_what_is_bulky(tmp_path: Path) -> None:
    found = load(saved(tmp_path))
    expected = [
        replace(record, diagnostics={}, values_digest=None) for record in Store(tmp_path / "store0.0").records()
    ]
    assert found.records == expected
    assert [len(found.condensed[record.cell_key].means) for record in expected] == [64] * 5


def test_a_baseline_is_small(tmp_path: Path) -> None:
    assert saved(tmp_path).stat().st_size < 5 * 3 * 1024


def test_the_stored_records_of_older_versions_survive_a_baseline(tmp_path: Path) -> None:
    store = Store(stored)
    save(store, store.records(), tmp_path / "base.jsonl")
    found = load(tmp_path / "base.jsonl")
    whole = Side(store.records(), store.values)
    findings = compare_quality(side(found), whole, {})
    assert findings
    assert {each.verdict for each in findings} == {"same"}
    assert found.environment is not None
    assert found.environment["distributions"]["torch"]


@pytest.mark.parametrize("shift", [0.0, -1.0, 1.0])
def test_a_baseline_gives_the_verdict_and_nearly_the_interval_of_its_store(tmp_path: Path, shift: float) -> None:
    path = saved(tmp_path)
    base, head = side_of(tmp_path / "again", results()), side_of(tmp_path / "head", results(shift or 0.1))
    (whole,) = compare_quality(base, head, {"elbo": 0.25})
    (condensed,) = compare_quality(side(load(path)), head, {"elbo": 0.25})
    assert condensed.verdict == whole.verdict
    assert condensed.difference == whole.difference
    assert whole.low is not None
    assert whole.high is not None
    assert (condensed.low, condensed.high) == pytest.approx((whole.low, whole.high), abs=0.1 * (whole.high - whole.low))


def test_two_baselines_are_paired(tmp_path: Path) -> None:
    sides = []
    for shift in (0.0, -1.0):
        (tmp_path / str(shift)).mkdir()
        sides.append(side(load(saved(tmp_path / str(shift), shift))))
    (finding,) = compare_quality(*sides, {"elbo": 0.25})
    assert finding.verdict == "worse"
    assert finding.reason is None


@given(st.integers(1, 500), st.integers(0, 2**32))
def test_groups_do_not_depend_on_the_order_of_examples(n: int, seed: int) -> None:
    drawn = np.random.default_rng(seed)
    ids, values = drawn.choice(10_000, n, replace=False), drawn.normal(size=n)
    order = drawn.permutation(n)
    record = cell()[0]
    one, other = condense(record, Values(ids, values)), condense(record, Values(ids[order], values[order]))
    assert one.examples == other.examples
    assert one.means.tolist() == other.means.tolist()
    assert len(one.means) == min(n, 64)


def test_groups_of_other_examples_are_not_paired() -> None:
    record = cell()[0]
    ids = np.arange(100)
    assert condense(record, Values(ids, ids * 1.0)).examples != condense(record, Values(ids + 1, ids * 1.0)).examples


def test_the_spread_of_groups_gives_the_standard_error() -> None:
    ids = np.arange(10_000)
    stderrs = []
    for seed in range(50):
        values = np.random.default_rng(seed).normal(0, 20, 10_000) + 20 * (ids > 5000)  # sorted, as data may be
        means = condense(cell()[0], Values(ids, values)).means
        assert means.mean() == pytest.approx(values.mean(), abs=0.02)
        stderrs.append(means.std(ddof=1) / 8 / (values.std(ddof=1) / 100))
    assert np.mean(np.square(stderrs)) == pytest.approx(1, abs=0.1)


def test_the_error_that_examples_do_not_show_is_kept(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=400)
    store = store_of(tmp_path / "s", [cell(values=values, stderr=float(np.hypot(values.std(ddof=1) / 20, 0.7)))])
    save(store, store.records(), tmp_path / "b.jsonl")
    (condensed,) = load(tmp_path / "b.jsonl").condensed.values()
    assert condensed.measurement_stderr == pytest.approx(0.7)


def test_failures_are_kept_and_timings_are_not(tmp_path: Path) -> None:
    notes: list[str] = []
    store = store_of(tmp_path / "s", [failing(traceback="long"), cell(1, machine="EPYC")])
    save(store, store.records(), tmp_path / "b.jsonl", notes.append)
    (record,) = load(tmp_path / "b.jsonl").records
    assert (record.status, record.reason, record.traceback) == ("error", "ZeroDivisionError: by design", None)
    assert notes == ["1 timing left out: stored timings were not taken in turn"]


def torn(content: bytes) -> bytes:
    return content[:-300]


def with_another_commit(content: bytes) -> bytes:
    return content.replace(b'"commit": ', b'"commit": "1", "former": ', 1)


def without_its_last_cell(content: bytes) -> bytes:
    return b"".join(content.splitlines(keepends=True)[:-1])


def with_another_value(content: bytes) -> bytes:
    cells = content.index(b"\n")
    place = content.index(b'"value": ', cells) + len(b'"value": -')
    return content[:place] + (b"1" if content[place : place + 1] != b"1" else b"2") + content[place + 1 :]


@pytest.mark.parametrize("damage", [torn, without_its_last_cell, with_another_value, with_another_commit])
def test_a_damaged_baseline_is_refused(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = saved(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UsageError, match="is damaged: it is not what was saved; restore the file"):
        load(path)


def test_a_baseline_with_line_ends_of_windows_is_the_same(tmp_path: Path) -> None:
    path = saved(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert len(load(path).records) == 5


def of_version_1(path: Path, *changes: tuple[str, str]) -> Path:
    """Change a baseline to one of the first version, which has no digest."""
    header, *cells = path.read_text().splitlines()
    for old, new in changes:
        cells[0] = cells[0].replace(old, new)
    first = {name: value for name, value in json.loads(header).items() if name != "digest"}
    path.write_text("\n".join([json.dumps({**first, "version": 1}), *cells]))
    return path


def test_a_line_that_cannot_be_read_is_refused_without_a_digest(tmp_path: Path) -> None:
    path = of_version_1(saved(tmp_path))
    assert len(load(path).records) == 5
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(UsageError, match="line 6: not a readable cell; restore the file"):
        load(path)


def test_lines_of_a_newer_schema_are_left_out(tmp_path: Path) -> None:
    path = of_version_1(saved(tmp_path), ('"schema": 4', '"schema": 99'))
    lines_of_warnings: list[str] = []
    assert len(load(path, lines_of_warnings.append).records) == 4
    assert lines_of_warnings == [f"{path}, line 2: written by a newer version; left out"]


@pytest.mark.parametrize(
    "counts", [3, ["step"], {"step": 3}, {"step": ["FLOPs"]}, {"step": {"FLOPs": "3"}}, {"step": {"FLOPs": True}}]
)
def test_counts_of_another_form_are_refused(tmp_path: Path, counts: object) -> None:
    path = of_version_1(saved(tmp_path))
    header, cells = path.read_text().split("\n", 1)
    path.write_text("\n".join([json.dumps({**json.loads(header), "counts": counts}), cells]))
    with pytest.raises(UsageError, match="line 1: not readable counts; restore the file"):
        load(path)


@pytest.mark.parametrize("content", ["", "{}", "[1]", "not JSON", '{"format": "harness baseline"}', '{"schema": 3}'])
def test_another_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "file.jsonl"
    path.write_text(content)
    with pytest.raises(UsageError, match="is not a baseline; 'harness baseline save' writes one"):
        load(path)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    path.write_text(path.read_text().replace('"version": 2', '"version": 3', 1))
    with pytest.raises(UsageError, match="written by a newer version of harness"):
        load(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the baseline .*: No such file or directory"):
        load(tmp_path / "none.jsonl")


def test_damaged_values_are_not_saved_silently(tmp_path: Path) -> None:
    store = store_of(tmp_path / "s", results())
    next((tmp_path / "s" / "values").glob("*.npz")).write_bytes(b"torn")
    with pytest.raises(StoreError, match="differs from what was written"):
        save(store, store.records(), tmp_path / "b.jsonl")
    assert not (tmp_path / "b.jsonl").exists()


def test_the_command_saves_what_was_chosen(call: Call, tmp_path: Path) -> None:
    done = call("baseline", "save", "main", "--runs", str(stored))
    assert done.code == 0
    assert done.out.startswith("main.jsonl: 12")
    whole = load(tmp_path / "main.jsonl").records
    chosen = ("--dataset", "binarized-mnist-10k", "--metric", "elbo", "--models", "vae")
    assert call("baseline", "save", "main", "--runs", str(stored), *chosen).code == 0
    some = load(tmp_path / "main.jsonl").records
    assert 0 < len(some) < len(whole)
    assert {(each.dataset["name"], each.metric["name"], each.model["name"]) for each in some} == {
        ("binarized-mnist-10k", "elbo", "vae")
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["main.jsonl"]


def test_the_command_adds_the_suffix_and_creates_the_folder(call: Call, tmp_path: Path) -> None:
    assert call("baseline", "save", "kept/v1.2", "--runs", str(stored)).code == 0
    assert load(tmp_path / "kept" / "v1.2.jsonl").records
    assert call("baseline", "save", "kept/v1.json", "--runs", str(stored)).code == 0
    assert load(tmp_path / "kept" / "v1.json.jsonl").records


def test_the_command_refuses_what_it_cannot_do(call: Call, tmp_path: Path) -> None:
    none = call("baseline", "save", "main")
    assert (none.code, none.out) == (2, "")
    assert "no results in runs yet. Start with: harness run" in none.err
    unknown = call("baseline", "save", "main", "--runs", str(stored), "--models", "vea")
    assert unknown.code == 2
    assert "Did you mean 'vae'?" in unknown.err
    (tmp_path / "folder.jsonl").mkdir()
    folder = call("baseline", "save", "folder.jsonl", "--runs", str(stored))
    assert (folder.code, "folder.jsonl is a folder; name a file" in folder.err) == (2, True)
    (tmp_path / "file").write_text("")
    unwritable = call("baseline", "save", "file/main", "--runs", str(stored))
    assert unwritable.code == 2
    assert "NAME file: this folder cannot be written to" in unwritable.err


def test_only_timings_are_no_baseline(tmp_path: Path) -> None:
    store = store_of(tmp_path / "s", [cell(machine="EPYC", metric=component("latency"))])
    with pytest.raises(UsageError, match="no results to save, apart from timings"):
        save(store, store.records(), tmp_path / "b.jsonl")


def test_counts_of_two_baselines_are_compared(call: Call, tmp_path: Path) -> None:
    def write(name: str, calls: int | None, *changed: str, size: int = 2) -> None:
        store = store_of(
            tmp_path / f"store of {name}", [cell(model=component("vae", changed=changed, latent_dim=size))]
        )
        counts = {"training step of vae": {"operator calls": calls}} if calls else None
        save(store, store.records(), tmp_path / f"{name}.jsonl", counts=counts)

    write("old", 100)
    write("new", 120)
    write("larger", 100, "latent_dim", size=10)
    write("uncounted", None)
    both = call("compare", "old.jsonl", "new.jsonl", "--only", "count", "--format", "json")
    assert both.code == 1, both.err
    (found,) = json.loads(both.out)
    assert (found["name"], found["verdict"]) == ("training step of vae: operator calls", "worse")
    notes = {
        ("old.jsonl", "uncounted.jsonl"): "Counts are not compared, since HEAD has none.",
        ("store of old", "uncounted.jsonl"): "Counts are not compared, since BASE and HEAD have none.",
        ("old.jsonl", "larger.jsonl"): "Counts are not compared, since the settings of vae differ.",
    }
    for sides, note in notes.items():
        result = call("compare", *sides, "--only", "count,speed")
        assert result.code == 4
        assert note in result.out
        assert "Speed is not compared, since stored results have no timings: give two versions." in result.out
