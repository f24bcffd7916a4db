"""A run from the first cell to the board: what it computes, what it keeps, and how it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

quick = ("--epochs", "1", "--dataset", "mnist-10k")


def records(folder: Path) -> dict[tuple[str, str, int], dict[str, Any]]:
    lines = (folder / "records.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return {(each["model"]["name"], each["metric"]["name"], each["seed"]): each for each in found}


def test_a_run_ends_with_a_board_and_typing_it_again_computes_nothing(harness, tmp_path: Path) -> None:
    words = ("run", "--models", "vae,gan", "--metric", "elbo", "--epochs", "1")
    first = harness(*words)
    assert first.code == 0, first.err
    assert "rank" in first.out
    assert "n/a" in first.out
    assert "no encoder" in " ".join(first.out.split())
    for suffix in ("md", "svg"):
        assert (tmp_path / "leaderboards" / f"binarized-mnist-10k.{suffix}").stat().st_size > 500
    lines = (tmp_path / "runs" / "records.jsonl").read_bytes()
    fits = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs" / "fits").rglob("*")}

    again = harness(*words)
    assert again.code == 0
    assert "stored already" in again.err
    assert again.out == first.out
    assert (tmp_path / "runs" / "records.jsonl").read_bytes() == lines

    another = harness("run", "--models", "vae,gan", "--metric", "elbo,reconstruction-bce", "--epochs", "1")
    assert another.code == 0
    assert "fitting" not in another.err
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs" / "fits").rglob("*")} == fits

    rows = json.loads(harness("leaderboard", "--metric", "elbo", "--format", "json").out)
    gan = next(row for row in rows if row["model"] == "gan")
    assert (gan["value"], gan["rank"], gan["status"]) == (None, None, "n/a")
    vae = next(row for row in rows if row["model"] == "vae")
    assert vae["rank"] == 1
    assert vae["n"] == 2000
    assert vae["settings"]["latent_dim"] == 20
    assert vae["measure"] == "probability mass on binary pixels"


def test_a_cell_is_bit_identical_in_another_store_in_another_order_and_when_fresh(harness, tmp_path: Path) -> None:
    metrics = ("--metric", "reconstruction-mse,reconstruction-bce", *quick)
    assert harness("run", "--models", "linear-ae,mlp-ae", *metrics, "--runs", "a").code == 0
    assert harness("run", "--models", "mlp-ae,pca,linear-ae", *metrics, "--runs", "b").code == 0
    a, b = records(tmp_path / "a"), records(tmp_path / "b")
    assert len(a) == 4
    assert len(b) == 6
    for name, record in a.items():
        assert b[name]["cell_key"] == record["cell_key"]
        assert b[name]["value"] == record["value"]
        assert b[name]["stderr"] == record["stderr"]
    assert harness("run", "--models", "linear-ae,mlp-ae", *metrics, "--runs", "a", "--fresh").code == 0
    assert len((tmp_path / "a" / "records.jsonl").read_text().splitlines()) == 8
    fresh = records(tmp_path / "a")
    assert {name: each["value"] for name, each in fresh.items()} == {name: each["value"] for name, each in a.items()}


faulty = """
import torch, harness

class Broken(torch.nn.Module):
    def __init__(self, info, config):
        super().__init__()
        self.w = torch.nn.Parameter(torch.ones(1))
    def reconstruct(self, x):
        return x * self.w
    def loss(self, x, noise):
        raise ZeroDivisionError("by design")

class Exploding(Broken):
    def loss(self, x, noise):
        return self.w.sum() / 0

@harness.hookimpl
def harness_models():
    return [harness.ModelSpec("broken", Broken, "raises"), harness.ModelSpec("exploding", Exploding, "diverges")]
"""


def test_a_fault_costs_only_its_own_cell_and_is_not_taken_for_a_result(harness, tmp_path: Path) -> None:
    (tmp_path / "faulty.py").write_text(faulty)
    words = (
        "run",
        "--plugin",
        "faulty.py",
        "--models",
        "broken,exploding,pca",
        "--metric",
        "reconstruction-mse",
        *quick,
    )
    first = harness(*words)
    assert first.code == 3, first.err
    found = records(tmp_path / "runs")
    by_model = {model: each for (model, _, _), each in found.items()}
    assert by_model["broken"]["status"] == "error"
    assert by_model["broken"]["reason"] == "ZeroDivisionError: by design"
    assert "by design" in by_model["broken"]["traceback"]
    assert by_model["exploding"]["status"] == "diverged"
    assert by_model["pca"]["status"] == "ok"

    again = harness(*words)
    assert again.code == 3
    assert "fitting broken" in again.err
    assert "fitting exploding" not in again.err
    assert "fitting pca" not in again.err


def test_where_nothing_could_be_measured_the_exit_code_says_so(harness) -> None:
    done = harness("run", "--models", "pca", "--metric", "elbo", *quick)
    assert done.code == 4
    assert "it has no encoder" in done.err


def test_an_interrupted_run_keeps_its_finished_cells_and_goes_on(harness, tmp_path: Path) -> None:
    words = ["run", "--models", "pca,mlp-ae", "--metric", "reconstruction-mse", "--dataset", "mnist-10k"]
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", *words, "--epochs", "1000"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "HARNESS_DATA_DIR"},
    )
    assert process.stderr is not None
    deadline = time.monotonic() + 120
    for line in process.stderr:
        if "fitting mlp-ae" in line:
            break
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "1 finished cell kept" in err
    assert list(records(tmp_path / "runs")) == [("pca", "reconstruction-mse", 0)]
    after = harness(*words, "--epochs", "1")
    assert after.code == 0
    assert "1 of them stored already" in after.err


def test_every_value_of_a_setting_is_a_cell_and_a_dry_run_leaves_no_trace(harness, tmp_path: Path) -> None:
    words = ("run", "--models", "pca,linear-ae", "--metric", "reconstruction-mse", "--set", "pca.latent_dim=2,3,4")
    dry = harness(*words, "--seeds", "2", "--dry-run")
    assert dry.code == 0
    assert "8 cells; 8 to compute from 8 fits" in dry.out
    assert list(tmp_path.iterdir()) == []


def test_two_broken_plugins_do_not_stop_a_good_one(harness, tmp_path: Path) -> None:
    (tmp_path / "unimportable.py").write_text("import a_module_that_does_not_exist\n")
    (tmp_path / "misspelt.py").write_text("import harness\n@harness.hookimpl\ndef harness_modles():\n    return []\n")
    (tmp_path / "good.py").write_text(faulty.replace('raise ZeroDivisionError("by design")', "return self.w.sum()"))
    plugins = [word for name in ("unimportable", "misspelt", "good") for word in ("--plugin", f"{name}.py")]
    done = harness("run", *plugins, "--models", "broken", "--metric", "reconstruction-mse", *quick)
    assert done.code == 0, done.err
    assert done.err.count("warning: plugin") == 2
    assert "a_module_that_does_not_exist" in done.err
    assert "did you mean 'harness_models'?" in done.err
    told = harness("plugins", *plugins).out
    assert "misspelt of misspelt.py: unknown hook 'harness_modles'" in told
