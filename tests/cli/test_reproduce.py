"""Stored results are computed again from their records, and what differs is named."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import harness
from harness.contracts.events import Record, Values
from harness.planning.identity import hash_of
from harness.results.reproduction import Reproduction, compare
from harness.results.store import Store

if TYPE_CHECKING:
    from tests.conftest import Call


@pytest.fixture
def runs(results: Path, tmp_path: Path) -> Path:
    """Return a copy of a store in which PCA and a linear autoencoder were measured."""
    return Path(shutil.copytree(results / "runs", tmp_path / "runs"))


@pytest.fixture
def again(runs: Path, tmp_path: Path) -> Store:
    """Return another copy, which stands for what was computed again."""
    return Store(Path(shutil.copytree(runs, tmp_path / "again")))


def one(runs: Path, model: str, metric: str, seed: int = 0) -> Record:
    (found,) = (
        each
        for each in Store(runs).records()
        if (each.model["name"], each.metric["name"], each.seed) == (model, metric, seed)
    )
    return found


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_results_on_the_same_machine_are_identical_and_the_store_stays_as_it_is(
    call: Call, runs: Path, faults: str
) -> None:
    before = contents(runs)
    done = call("reproduce", "--dataset", "tiny", "--metric", "reconstruction-mse,elbo", "--plugin", faults)
    assert done.code == 0, done.err
    assert "8 of 8 identical" in done.out
    assert "\n" + one(runs, "linear-ae", "reconstruction-mse", 1).cell_key[:12] in done.out.replace("\n ", "\n")
    assert contents(runs) == before


def test_one_seed_is_computed_again_without_the_others(call: Call, runs: Path, faults: str) -> None:
    record = one(runs, "linear-ae", "reconstruction-mse", seed=1)
    done = call("reproduce", record.cell_key[:10], "--plugin", faults, "--format", "json")
    (row,) = json.loads(done.out)
    assert (done.code, row["verdict"], row["key"]) == (0, "identical", record.cell_key)
    assert row["stored"] == row["again"] == record.value
    assert done.err.count("fitting ") == 1


def test_seeds_that_were_trained_as_one_are_trained_as_one_again(call: Call, faults: str) -> None:
    chosen = ("--models", "linear-ae", "--metric", "reconstruction-mse", "--dataset", "tiny", "--seeds", "3")
    assert call("run", *chosen, "--epochs", "2", "--vectorize", "--no-figures", "--plugin", faults).code == 0
    record = one(Path("runs"), "linear-ae", "reconstruction-mse", seed=1)
    done = call("reproduce", record.cell_key, "--plugin", faults)
    assert (done.code, "1 of 1 identical" in done.out) == (0, True), done.out
    assert "fitting linear-ae on tiny, seeds 0, 1, 2" in done.err


def test_a_timing_may_differ_within_its_error(call: Call, runs: Path, faults: str) -> None:
    record = one(runs, "linear-ae", "training-throughput")
    assert record.value is not None
    Store(runs).append(dataclasses.replace(record, stderr=100 * record.value))
    done = call("reproduce", record.cell_key, "--plugin", faults)
    assert (done.code, "equal within its error" in done.out) == (0, True), done.out + done.err
    assert "0 of 1 identical, 1 equal within their error, as timings can be" in done.out


def test_a_value_that_is_not_what_the_record_says_is_different(call: Call, runs: Path, faults: str) -> None:
    record = one(runs, "pca", "reconstruction-mse")
    assert record.value is not None
    store = Store(runs)
    store.append(dataclasses.replace(record, value=record.value + 1), store.values(record))
    done = call("reproduce", record.cell_key, "--plugin", faults)
    assert done.code == 1
    assert f"value: {record.value!r}, was {record.value + 1!r}, by -1" in done.out
    assert "0 of 1 identical" in done.out


def changed(store: Store, record: Record, **fields: object) -> Record:
    return store.append(dataclasses.replace(record, **fields), store.values(record))  # type: ignore[arg-type]


def test_a_difference_smaller_than_the_error_is_said_to_be(runs: Path, again: Store) -> None:
    record = one(runs, "pca", "reconstruction-mse")
    assert record.value is not None
    assert record.stderr
    for errors, verdict in ((1.0, "equal within its error"), (4.0, "different")):
        changed(again, record, value=record.value + errors * record.stderr)
        found = compare(record, Store(runs), again)
        assert (found.verdict, found.holds) == (verdict, False)
        assert found.differences[0].startswith("value: ")


def test_a_timing_that_differs_by_more_than_its_error_is_different(runs: Path, again: Store) -> None:
    record = one(runs, "linear-ae", "training-throughput")
    assert record.value is not None
    changed(again, record, value=record.value + 1, stderr=1e9)
    assert compare(record, Store(runs), again).holds
    changed(again, record, value=2 * record.value, stderr=0.0)
    assert not compare(dataclasses.replace(record, stderr=1.0), Store(runs), again).holds


def test_the_first_tensor_that_differs_is_named(runs: Path, again: Store) -> None:
    record = one(runs, "linear-ae", "reconstruction-mse")
    weights, described = again.weights(record.fit_key), again.fit(record.fit_key)
    assert described is not None
    name = sorted(weights)[1]
    weights[name].view(-1)[0] += 0.5
    described.pop("digests")
    again.write_fit(record.fit_key, described, weights)
    found = compare(record, Store(runs), again)
    assert found.verdict == "equal within its error"
    (line,) = found.differences
    assert line.startswith(f"weights: 1 of {len(weights)} tensors differ, the first is {name}: by up to 0.5,")


def test_values_of_examples_are_compared_one_by_one(runs: Path, again: Store) -> None:
    record = one(runs, "pca", "reconstruction-mse")
    values = again.values(record)
    assert values is not None
    other = values.values.copy()
    other[3:5] += 0.25
    again.append(record, Values(values.ids, other))
    (line,) = compare(record, Store(runs), again).differences
    assert line == (f"per-example values: 2 of 60 differ, by up to 0.25; the first is that of example {values.ids[3]}")
    again.append(record, Values(values.ids + 1, values.values))
    (line,) = compare(record, Store(runs), again).differences
    assert "were of 60 other examples" in line
    assert np.array_equal(values.ids, np.arange(60))


def test_what_is_not_stored_is_said_not_to_be_compared(runs: Path, again: Store) -> None:
    record = one(runs, "linear-ae", "reconstruction-mse")
    shutil.rmtree(runs / "fits" / record.fit_key)
    Store(runs).values_file(record.cell_key).unlink()
    found = compare(record, Store(runs), again)
    assert found.verdict == "identical"
    assert found.not_compared == (
        f"per-example values: {Store(runs).values_file(record.cell_key)} is missing",
        "weights: the fit is not stored",
    )


def test_many_missing_weights_are_a_few_lines(call: Call, tmp_path: Path, faults: str) -> None:
    named = ("--plugin", faults, "--models", "pca", "--metric", "reconstruction-mse", "--dataset", "tiny")
    assert call("run", *named, "--seeds", "7", "--no-figures").code == 0
    for path in tmp_path.glob("runs/fits/*/weights.safetensors"):
        path.unlink()
    done = call("reproduce", *named, "--quiet")
    assert done.code == 0
    lines = [line for line in done.out.splitlines() if line.startswith("not compared: ")]
    assert len(lines) == 6
    assert lines[-1] == "not compared: 2 more, which --format json lists"


def test_another_torch_machine_or_commit_is_named(runs: Path, again: Store) -> None:
    record = one(runs, "pca", "reconstruction-mse")
    environment = again.environment(record.environment or "")
    assert environment is not None
    now = environment["distributions"]["torch"]
    older = {**environment, "distributions": {**environment["distributions"], "torch": "1.0"}, "cores": 999}
    store = Store(runs)
    store.write_environment(hash_of(older), older)
    record = changed(store, record, environment=hash_of(older), commit="a" * 40, dirty=True)
    found = compare(record, store, again)
    assert found.verdict == "identical"
    assert f"torch {now}, was 1.0" in found.environment
    assert f"cores {environment['cores']}, was 999" in found.environment
    assert any(line.endswith("was aaaaaaaaaa with changes") for line in found.environment)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "name results"),
        (("zz",), "no result in runs has a key that begins with 'zz'"),
        (("",), "no result in runs has a key that begins with ''"),
        (("a", "--models", "pca"), "not both"),
        (("--models", "pcb"), "unknown model in runs 'pcb'. Did you mean 'pca'?"),
        (("--runs", "nowhere", "a"), "no results in nowhere yet"),
    ],
)
def test_wrong_arguments_are_refused(
    refused: Callable[..., str], runs: Path, words: tuple[str, ...], message: str
) -> None:
    assert message in refused("reproduce", *words)


def test_a_beginning_of_several_keys_lists_them(refused: Callable[..., str], runs: Path) -> None:
    store = Store(runs)
    record = one(runs, "pca", "reconstruction-mse")
    store.append(dataclasses.replace(record, cell_key=record.cell_key[:12] + "0" * 12, values_digest=None))
    message = refused("reproduce", record.cell_key[:6])
    assert f"2 results in runs have keys that begin with {record.cell_key[:6]!r}" in message
    assert "pca on tiny, seed 0, reconstruction-mse" in message


def test_a_failure_is_no_result(refused: Callable[..., str], runs: Path) -> None:
    record = one(runs, "pca", "reconstruction-mse")
    failed = dataclasses.replace(record, cell_key="f" * 24, status="error", reason="it broke", value=None)
    Store(runs).append(failed)
    assert "failed (it broke): there is no result to compare with" in refused("reproduce", "ffff")


def test_a_plugin_that_is_not_there_or_another_is_named(refused: Callable[..., str], runs: Path, faults: str) -> None:
    key = one(runs, "pca", "reconstruction-mse").cell_key
    message = refused("reproduce", key)
    assert "dataset 'tiny' is that of faults.py, which is not there: load the file faults.py" in message
    edited = runs / "faults.py"
    edited.write_text(Path(faults).read_text() + "\n# edited\n")
    message = refused("reproduce", key, "--plugin", str(edited))
    assert "dataset 'tiny' of faults.py was measured with version sha256:" in message
    assert "here it has version sha256:" in message


def test_a_setting_that_the_version_here_does_not_have_is_named(
    refused: Callable[..., str], runs: Path, faults: str
) -> None:
    record = one(runs, "pca", "reconstruction-mse")
    settings = {**record.model["settings"], "tilt": 3}
    Store(runs).append(dataclasses.replace(record, cell_key="e" * 24, model={**record.model, "settings": settings}))
    message = refused("reproduce", "eeee", "--plugin", faults)
    assert "unknown setting of pca 'tilt'" in message
    Store(runs).append(dataclasses.replace(record, cell_key="d" * 24))
    assert "this version gives the cell another key" in refused("reproduce", "dddd", "--plugin", faults)


def test_a_notebook_gets_the_comparison(call: Call, runs: Path, faults: str) -> None:
    record = one(runs, "linear-ae", "reconstruction-mse", seed=1)
    found = harness.open(runs, plugins=[faults]).reproduce(record.cell_key[:12])
    assert isinstance(found, Reproduction)
    assert (found.verdict, found.differences, found.again.value) == ("identical", (), record.value)
