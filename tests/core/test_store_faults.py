"""Nothing that was finished is lost, whatever happens to the disk."""

import dataclasses
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from stored_results import described_fit, engine
from versions import component

from harness.atomic import require_writable
from harness.contracts.events import Record, Values
from harness.errors import HarnessWarning, StoreError, UsageError
from harness.results.store import Store

record = Record(
    cell_key="a",
    fit_key="f",
    dataset=component("digits"),
    model=component("vae"),
    metric=component("elbo"),
    seed=0,
    budget=None,
    engine=engine,
    machine=None,
    split="test",
    evaluation_seed=0,
    status="ok",
    value=1.5,
)


def another(key: str, **changes: object) -> Record:
    return dataclasses.replace(record, cell_key=key, **changes)  # type: ignore[arg-type]


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, warnings: list[str]) -> Store:
    return Store(tmp_path / "runs", warnings.append)


def test_records_and_values_come_back_as_they_were_written(store: Store) -> None:
    values = Values(np.array([4, 7]), np.array([0.1, -2.0]))
    written = store.append(another("a", diagnostics={"gap": float("nan"), "rate": [1.0, float("inf")]}), values)
    assert store.records() == [dataclasses.replace(written, diagnostics={"gap": None, "rate": [1.0, None]})]
    found = store.values(written)
    assert found is not None
    assert (found.ids.tolist(), found.values.tolist()) == ([4, 7], [0.1, -2.0])
    assert store.values(store.append(another("b"))) is None


@pytest.mark.parametrize("size", [0, 100])
def test_values_cut_short_are_an_error(store: Store, size: int) -> None:
    written = store.append(another("a"), Values(np.arange(50), np.ones(50)))
    file = store.root / "values" / "a.npz"
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(StoreError, match=r"a\.npz differs from what was written"):
        store.values(written)
    with pytest.raises(StoreError, match=r"a\.npz cannot be read"):
        store.values(dataclasses.replace(written, values_digest=None, schema=3))


def test_two_runs_can_write_the_same_fit_at_once(store: Store) -> None:
    def work(number: int) -> None:
        for _ in range(40):
            store.write_fit("f", described_fit(parameters=number), {"w": torch.full((3,), float(number))})
            for name in ("a", "b"):
                store.write_figure("f", name, b"a picture")

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(work, range(2))) == [None, None]
    fit = store.fit("f")
    assert fit is not None
    assert store.weights("f")["w"].tolist() == [fit["parameters"]] * 3
    assert [path.name for path in (store.root / "fits").iterdir()] == ["f"]


def test_a_torn_last_line_costs_only_itself(store: Store, warnings: list[str]) -> None:
    store.append(another("a"))
    store.append(another("b"))
    whole = store.records_file.read_bytes()
    store.records_file.write_bytes(whole[:-20])
    assert [each.cell_key for each in store.records()] == ["a"]
    assert len(warnings) == 1
    assert "line 2: not a readable record" in warnings[0]
    store.append(another("c"))
    assert [each.cell_key for each in store.records()] == ["a", "c"]


def test_a_corrupt_line_costs_only_itself(store: Store, warnings: list[str]) -> None:
    for key in "abc":
        store.append(another(key))
    lines = store.records_file.read_bytes().splitlines()
    lines[1] = b"\x00\xff not json"
    store.records_file.write_bytes(b"\n".join([*lines, b'{"schema": 1}', b'{"schema": 99}']) + b"\n")
    assert [each.cell_key for each in store.records()] == ["a", "c"]
    assert [warning.split(", ")[1].split(":")[0] for warning in warnings] == ["line 2", "line 4", "line 5"]


def test_a_failure_never_displaces_a_finished_record_and_is_never_finished(store: Store) -> None:
    store.append(another("a", status="error", value=None))
    assert not store.records()[0].is_finished
    store.append(another("a", value=2.0))
    store.append(another("a", status="out-of-memory", value=None))
    assert [each.value for each in store.records()] == [2.0]
    store.append(another("a", value=3.0))
    assert [each.value for each in store.records()] == [3.0]


def test_a_full_disk_is_reported_and_loses_nothing_stored(store: Store) -> None:
    store.append(another("a"))
    script = f"""
import dataclasses, json, resource, sys, torch
from pathlib import Path
from harness.errors import StoreError
from harness.results.store import Store
store = Store(Path({str(store.root)!r}))
kept = store.records()[0]
limit = store.records_file.stat().st_size + 50
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
messages = []
for write in (
    lambda: store.append(dataclasses.replace(kept, cell_key="b")),
    lambda: store.write_fit("f", {{"status": "ok"}}, {{"w": torch.zeros(100_000)}}),
):
    try:
        write()
    except StoreError as error:
        messages.append(str(error))
print(json.dumps(messages))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    messages = json.loads(done.stdout)
    assert len(messages) == 2
    assert all("cannot write" in each and "is stored" in each for each in messages)
    assert [each.cell_key for each in store.records()] == ["a"]
    assert store.fit("f") is None
    assert list((store.root / "fits").iterdir()) == []
    store.append(another("c"))
    assert [each.cell_key for each in store.records()] == ["a", "c"]


def test_a_folder_below_a_file_is_refused_by_the_name_the_user_gave_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"--runs .*: this folder cannot be written to"):
        require_writable(tmp_path / "file" / "runs", "--runs")


def test_a_problem_that_nobody_receives_is_a_python_warning(tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").write_text("torn\n")
    with pytest.warns(HarnessWarning, match="line 1: not a readable record"):
        assert Store(tmp_path).records() == []


def test_records_of_schema_1_have_their_typed_fields_among_the_diagnostics(store: Store) -> None:
    diagnostics = {
        "marked": "loose",
        "flattering": True,
        "threads": 2,
        "estimator_stderr": 0.1,
        "effective_sample_size_median": 7.5,
    }
    old = dataclasses.asdict(another("a", diagnostics=diagnostics, schema=1))
    for name in ("warning", "biased_in_favour", "threads", "estimator_stderr", "effective_sample_size"):
        del old[name]
    del old["degrees_of_freedom"], old["values_digest"]
    store.root.mkdir()
    store.records_file.write_text(json.dumps(old) + "\n")
    (found,) = store.records()
    assert (found.warning, found.biased_in_favour, found.threads) == ("loose", True, 2)
    assert (found.estimator_stderr, found.effective_sample_size, found.degrees_of_freedom) == (0.1, 7.5, None)
    assert found.diagnostics == diagnostics


def test_a_fit_is_replaced_whole_and_tied_weights_are_kept(store: Store) -> None:
    w = torch.arange(3.0)
    store.write_fit("f", described_fit(), {"encoder": w, "decoder": w})
    assert {name: each.tolist() for name, each in store.weights("f").items()} == {
        "encoder": [0, 1, 2],
        "decoder": [0, 1, 2],
    }
    store.write_fit("f", described_fit(status="diverged"), None)
    assert store.fit("f") == {**described_fit(status="diverged"), "digests": {}}
    with pytest.raises(StoreError, match="is missing"):
        store.weights("f")


def test_damaged_weights_are_an_error(store: Store) -> None:
    store.write_fit("f", described_fit(), {"w": torch.zeros(10)})
    path = store.root / "fits" / "f" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(StoreError, match="differs from what was written"):
        store.weights("f")
