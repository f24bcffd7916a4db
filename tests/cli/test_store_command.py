"""A store is verified, cleaned and united with others by ``harness store``, and damage is repaired by the next run."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from stored_results import described_fit
from versions import Cell, cell, component, store_of

from harness.atomic import replacing
from harness.contracts.events import Record
from harness.planning.identity import hash_of
from harness.results.checkpoint import FileCheckpoint
from harness.results.curation import alone, hide, in_use, title_key, titles, write_titles
from harness.results.garbage import drop_leftovers, find_garbage
from harness.results.store import Store

if TYPE_CHECKING:
    from tests.conftest import Call

fixture = Path(__file__).parents[1] / "fixtures" / "store"
environment = {"python": "3.11"}


def flip(path: Path, place: int = -20) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def result(seed: int, model: str = "vae", **changes: object) -> Cell:
    values = np.random.default_rng(seed).normal(size=20)
    return cell(seed, values=values, model=component(model), fit_key=f"{model}-{seed}", **changes)


def filled(folder: Path, model: str = "vae", seeds: int = 2) -> Store:
    cells = [result(seed, model, environment=hash_of(environment)) for seed in range(seeds)]
    store = store_of(folder, cells)
    for record, _ in cells:
        described = described_fit(environment=hash_of(environment))
        store.write_fit(record.fit_key, described, {"w": torch.full((4,), float(record.seed))})
        store.write_figure(record.fit_key, "a", b"a picture")
    store.write_environment(hash_of(environment), environment)
    return store


def stored(runs: Path) -> list[Record]:
    return Store(runs, pytest.fail).records()


def test_a_damaged_result_is_named_and_the_same_command_repairs_it(call: Call, faults: str, tmp_path: Path) -> None:
    metrics = ("--metric", "reconstruction-mse", "--dataset", "tiny")
    words = (
        "run",
        "--plugin",
        faults,
        "--models",
        "pca,scaled",
        *metrics,
        "--steps",
        "3",
        "--no-figures",
        "--seeds",
        "2",
    )
    assert call(*words).code == 0
    runs = tmp_path / "runs"
    before = sorted((record.cell_key, record.value) for record in stored(runs))
    assert "nothing is damaged; checked: 13" in call("store", "verify").out
    value_files = sorted((runs / "values").iterdir())
    (weights,) = [
        path for path in runs.glob("fits/*/weights.safetensors") if path.parent.name == stored(runs)[0].fit_key
    ]
    flip(value_files[0])
    flip(weights)
    flip(runs / "records.jsonl", 300)
    done = call("store", "verify")
    assert (done.code, done.err) == (1, "")
    assert done.out.count("what it means") == done.out.count("what to do") == 3
    for name in (
        f"{value_files[0]} differs",
        f"{weights} differs",
        f"{runs / 'records.jsonl'}, line 1: not a readable",
    ):
        assert str(name).replace(f"{tmp_path}/", "") in done.out
    done = call(*words)
    assert done.code == 0
    assert "line 1: not a readable record: it differs from what was written; left out" in done.err
    assert (
        done.err.count(f"values/{value_files[0].name} differs from what was written; the cell is measured again") == 1
    )
    assert done.err.count("weights.safetensors differs from what was written); the model is trained again") == 1
    assert call("store", "gc", "--yes").code == 0
    assert sorted((record.cell_key, record.value) for record in stored(runs)) == before
    assert "nothing is damaged" in call("store", "verify").out


def test_weights_that_are_missing_are_trained_again_as_verify_says(call: Call, tmp_path: Path) -> None:
    words = ("run", "--models", "pca", "--metric", "reconstruction-mse", "--dataset", "mnist-10k", "--seeds", "1")
    assert call(*words, "--no-figures").code == 0
    (weights,) = tmp_path.glob("runs/fits/*/weights.safetensors")
    weights.unlink()
    assert "what to do: run the command that wrote it again as a fresh run" in call("store", "verify").out
    assert call(*words, "--no-figures").code == 0  # its result is stored, so that nothing needs the weights
    assert call("store", "verify").code == 1
    assert call(*words, "--no-figures", "--fresh").code == 0
    assert call("store", "verify").code == 0


def test_a_board_says_that_values_are_damaged(call: Call, tmp_path: Path) -> None:
    store_of(tmp_path / "runs", [result(0, "vae"), result(0, "iwae"), result(1, "vae"), result(1, "iwae")])
    flip(sorted((tmp_path / "runs" / "values").iterdir())[0])
    done = call("leaderboard")
    assert done.code == 0
    assert "Not paired, since per-example values cannot be read" in done.out
    assert done.err.count("differs from what was written; the 'harness run' that wrote it") == 1


@pytest.mark.parametrize(("pattern", "problem"), [
    ("fits/vae-0/fit.json", "it differs from what was written"),
    ("fits/vae-0/weights.safetensors", "differs from what was written"),
    ("fits/vae-0/figures/a.png", "differs from what was written"),
    ("values/*.npz", "differs from what was written"),
    ("environments/*.json", ""),
    ("checkpoints/*.pt", "it differs from what was written"),
    ("hidden.json", "which no result has"),
    ("titles.json", "cannot be read"),
])  # fmt: skip
def test_every_kind_of_file_is_verified(call: Call, tmp_path: Path, pattern: str, problem: str) -> None:
    store = filled(tmp_path / "runs")
    FileCheckpoint(store.checkpoint_file(["later"]), print).save({"w": torch.zeros(3)}, "epoch 1")
    hide(store, {store.records()[0].cell_key})
    write_titles(store, {title_key(store.records()[0].model): "My model"})
    assert call("store", "verify").code == 0
    path = sorted(store.root.glob(pattern))[0]
    flip(path, {"hidden.json": 5, "fits/vae-0/fit.json": path.read_bytes().find(b"1.0")}.get(pattern, -3))
    done = call("store", "verify")
    assert done.code == 1
    assert f"{path.relative_to(tmp_path)}" in done.out
    assert problem in done.out
    assert "damaged: 1;" in done.out
    path.write_bytes(b"")
    assert call("store", "verify").code == 1


def test_a_store_of_an_older_version_is_verified_as_far_as_possible(call: Call, tmp_path: Path) -> None:
    shutil.copytree(fixture, tmp_path / "runs")
    done = call("store", "verify")
    assert done.code == 0
    assert "only their form was checked: 156" in done.err
    path = next((tmp_path / "runs" / "values").iterdir())
    path.write_bytes(path.read_bytes()[:100])
    done = call("store", "verify")
    assert (done.code, f"{path.name} cannot be read" in done.out) == (1, True)


def test_what_no_record_needs_is_shown_and_dropped_with_a_yes(call: Call, tmp_path: Path) -> None:
    store = filled(tmp_path / "runs")
    needed = {path for path in store.root.rglob("*") if path.name != "in-use.lock"}
    first = store.records()[0]
    store.write_fit("unused", described_fit(), {"w": torch.zeros(3)})
    store._write_values("unused", result(0)[1])
    for key in (first.fit_key, first.cell_key, "unfinished"):
        FileCheckpoint(store.checkpoint_file([key]), print).save({"w": torch.zeros(3)}, "epoch 1")
    needed.add(store.checkpoint_file(["unfinished"]))
    (store.root / "fits" / ".writing-abc").mkdir()
    (store.root / "values" / ".a.npz-abc").write_bytes(b"half")
    (store.root / "environments" / f"{'0' * 24}.json").write_text("{}")
    done = call("store", "gc")
    assert done.code == 0
    assert all(word in done.out for word in ("no record has this fit", "its work is finished", "not needed: 7"))
    assert (store.root / "fits" / "unused").exists()
    assert "dropped: 7" in call("store", "gc", "--yes").out
    kept = {path for path in store.root.rglob("*") if path.name != "in-use.lock"}
    assert kept == {*needed, store.root / "checkpoints"}
    assert "every file is needed" in call("store", "gc").out


@pytest.mark.parametrize(
    "name",
    ["records.jsonl", "records.jsonl.bak", "hidden.json", "titles.json", "values/a.npz", "checkpoints/a.pt",
     "environments/a.json", "fits/vae-0/figures/a.png"],
)  # fmt: skip
def test_what_a_killed_process_leaves_of_any_file_is_dropped(tmp_path: Path, name: str) -> None:
    store = filled(tmp_path / "runs")
    path = store.root / name
    path.parent.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt), replacing(path):
        patch.setattr(Path, "unlink", lambda self, missing_ok: None)  # as if the process were killed
        raise KeyboardInterrupt
    (left,) = path.parent.glob(f".{path.name}-*")
    assert [each.path for each in find_garbage(store)[0]] == [left]
    drop_leftovers(store)
    assert not left.exists()


def test_a_run_that_begins_to_write_is_not_disturbed_by_another_that_drops_what_is_left(
    call: Call, faults: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Store.write_environment

    def beside_another_run(self: Store, identifier: str, description: Mapping[str, Any]) -> None:
        temporary = self.environment_file(".being-written")
        temporary.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        drop_leftovers(Store(self.root))
        assert temporary.exists()
        temporary.unlink()
        write(self, identifier, description)

    monkeypatch.setattr(Store, "write_environment", beside_another_run)
    words = ["--models", "pca", "--metric", "reconstruction-mse", "--dataset", "tiny", "--plugin", faults]
    assert call("run", *words).code == 0


def test_a_run_waits_while_another_process_has_the_store_alone(tmp_path: Path) -> None:
    store = filled(tmp_path / "runs")
    order = []

    def use() -> None:
        with in_use(store):
            order.append("used")

    with alone(store):
        run = threading.Thread(target=use)
        run.start()
        time.sleep(0.2)
        order.append("alone")
    run.join(10)
    assert order == ["alone", "used"]


def test_damaged_lines_are_dropped_with_a_copy_and_what_they_may_need_is_kept(call: Call, tmp_path: Path) -> None:
    store = filled(tmp_path / "runs")
    newer = json.dumps({"schema": 99, "cell_key": "later", "fit_key": "later"})
    with store.records_file.open("a") as file:
        file.write(f"{newer}\ntorn")
    store.write_fit("later", described_fit(), None)
    store.write_fit("unused", described_fit(), None)
    before = store.records_file.read_bytes()
    done = call("store", "gc", "--yes")
    assert "records.jsonl, line 4  not a readable record" in done.out
    assert "fits and values without a record were kept" in done.err
    assert store.records_file.read_bytes() == before.removesuffix(b"torn")
    assert (store.root / "records.jsonl.bak").read_bytes() == before
    assert call("store", "gc", "--yes").out.count("no record has this fit") == 1
    assert sorted(store.fit_keys()) == ["later", "vae-0", "vae-1"]


def test_nothing_is_dropped_while_a_run_uses_the_store(refused: Callable[..., str], tmp_path: Path) -> None:
    with in_use(filled(tmp_path / "runs")):
        assert "a run is using runs" in refused("store", "gc", "--yes")


def test_stores_are_united_without_losing_or_doubling_a_record(call: Call, tmp_path: Path) -> None:
    for folder, model in (("a", "vae"), ("b", "iwae"), ("runs", "pca")):
        filled(tmp_path / folder, model)
    shared = result(5, "pca")
    for folder in ("a", "runs"):
        store_of(tmp_path / folder, [shared])
    hide(Store(tmp_path / "b"), {stored(tmp_path / "b")[0].cell_key})
    write_titles(Store(tmp_path / "a"), {title_key(stored(tmp_path / "a")[0].model): "My VAE"})
    sources = {folder: sorted((tmp_path / folder).rglob("*")) for folder in ("a", "b")}
    done = call("store", "merge", "a", "b")
    assert (done.code, done.err) == (0, "")
    assert "added: 4 records and 4 fits; there already: 1 records" in done.out
    records = stored(tmp_path / "runs")
    assert sorted(record.model["name"] for record in records) == ["iwae"] * 2 + ["pca"] * 3 + ["vae"] * 2
    assert len(Store(tmp_path / "runs").records_file.read_bytes().splitlines()) == 7
    assert all(Store(tmp_path / "runs").values(record) is not None for record in records)
    assert {folder: sorted((tmp_path / folder).rglob("*")) for folder in sources} == sources
    assert json.loads((tmp_path / "runs" / "hidden.json").read_text()) == [stored(tmp_path / "b")[0].cell_key]
    assert list(titles(Store(tmp_path / "runs")).values()) == ["My VAE"]
    assert "nothing is damaged" in call("store", "verify").out
    after = (tmp_path / "runs" / "records.jsonl").read_bytes()
    assert "added: 0 records and 0 fits; there already: 5 records" in call("store", "merge", "a", "b").out
    assert (tmp_path / "runs" / "records.jsonl").read_bytes() == after


@pytest.mark.parametrize("order", [("early", "late"), ("late", "early")])
def test_of_two_records_of_a_cell_the_latest_counts_with_its_values(
    call: Call, tmp_path: Path, order: tuple[str, str]
) -> None:
    for day, folder in enumerate(("early", "late"), start=1):
        values = np.random.default_rng(day).normal(size=20)
        store_of(tmp_path / folder, [cell(0, values=values, ended=f"2026-11-0{day}T00:00:00+00:00")])
    assert call("store", "merge", *order, "--runs", "both").code == 0
    (record,) = stored(tmp_path / "both")
    assert record == stored(tmp_path / "late")[0]
    assert Store(tmp_path / "both").values(record) is not None
    assert len((tmp_path / "both" / "records.jsonl").read_bytes().splitlines()) == 2


def test_what_is_damaged_is_not_merged_and_named_line_by_line(call: Call, tmp_path: Path) -> None:
    store = filled(tmp_path / "a", seeds=4)
    records = store.records()
    flip(store.records_file, 300)
    flip(store.values_file(records[1].cell_key))
    flip(store.fit_folder(records[2].fit_key) / "weights.safetensors")
    flip(store.figures_folder(records[3].fit_key) / "a.png", -1)
    done = call("store", "merge", "a")
    assert done.code == 1
    assert done.err.count("warning: not merged: ") == 4
    assert "a/records.jsonl, line 1: not a readable record" in done.err
    assert [record.seed for record in stored(tmp_path / "runs")] == [2, 3]
    assert Store(tmp_path / "runs").fit_keys() == ["vae-0", "vae-1", "vae-3"]
    assert "nothing is damaged" in call("store", "verify").out


@pytest.mark.parametrize("title", ["Ours", "pca"])
def test_a_title_that_another_model_has_is_not_merged(call: Call, tmp_path: Path, title: str) -> None:
    for folder, model, name in (("runs", "pca", "Ours"), ("a", "vae", title)):
        store = filled(tmp_path / folder, model)
        write_titles(store, {title_key(store.records()[0].model): name})
    done = call("store", "merge", "a")
    assert done.code == 1
    assert f"not merged: the title {title!r} of vae: another model of runs has this name" in done.err
    assert list(titles(Store(tmp_path / "runs")).values()) == ["Ours"]
    assert len(stored(tmp_path / "runs")) == 4


def test_a_cell_measured_twice_whose_values_are_damaged_costs_only_itself(call: Call, tmp_path: Path) -> None:
    twice = [result(0, ended=f"2026-11-0{day}T00:00:00+00:00") for day in (1, 2)]
    store = store_of(tmp_path / "a", [*twice, result(1)])
    flip(store.values_file(twice[0][0].cell_key))
    done = call("store", "merge", "a")
    assert (done.code, done.err.count("warning: not merged: ")) == (1, 1)
    assert [record.seed for record in stored(tmp_path / "runs")] == [1]
    assert "nothing is damaged" in call("store", "verify").out


def test_many_fits_without_their_weights_are_a_few_lines(call: Call, tmp_path: Path) -> None:
    store = filled(tmp_path / "a", seeds=9)
    for path in store.root.glob("fits/*/weights.safetensors"):
        path.unlink()
    flip(store.records_file, 300)
    done = call("store", "merge", "a")
    assert done.code == 1
    assert "added: 8 records and 0 fits" in done.out
    named = [line for line in done.err.splitlines() if "weights.safetensors is missing" in line]
    assert named[0] == "warning: not merged: a/fits/vae-0/weights.safetensors is missing"
    assert len(named) == 5
    assert "warning: not merged: 4 more fits; 'harness store verify --runs a' names all" in done.err
    assert len(done.err.splitlines()) == 7
    assert "Errno" not in done.err

    verified = call("store", "verify", "--runs", "a").out
    assert verified.count("weights.safetensors is missing") == 9
    assert verified.count("what it means: the fit is not used") == 1


def test_a_damaged_fit_is_replaced_by_that_of_another_store(call: Call, tmp_path: Path) -> None:
    store = filled(tmp_path / "runs")
    shutil.copytree(store.root, tmp_path / "a")
    flip(store.fit_folder("vae-0") / "weights.safetensors")
    flip(store.values_file(store.records()[1].cell_key))
    assert "added: 0 records and 1 fits" in call("store", "merge", "a").out
    assert "nothing is damaged" in call("store", "verify").out


@pytest.mark.parametrize(("words", "message"), [
    (("verify",), "no results in runs yet"),
    (("gc", "--runs", "elsewhere"), "no results in elsewhere yet"),
    (("merge", "elsewhere"), "no results in elsewhere yet"),
    (("merge", "runs"), "runs is the folder of --runs itself"),
    (("merge",), "Missing argument"),
])  # fmt: skip
def test_folders_that_cannot_be_meant_are_refused(
    refused: Callable[..., str], words: tuple[str, ...], message: str
) -> None:
    assert message in refused("store", *words)
