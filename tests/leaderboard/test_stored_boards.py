"""A store written by version 0.1.0 still gives the same boards and the same keys."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.contracts.engine import Engine
from harness.planning.budget import Budget
from harness.planning.plan import Plan, Request, build_plan
from harness.registry import Registry

if TYPE_CHECKING:
    from tests.conftest import Call

fixtures = Path(__file__).parents[1] / "fixtures"
known = json.loads((fixtures / "keys.json").read_text())
from_files = ("samples", "folder")  # whose keys depend on what is in the files


@pytest.mark.parametrize("format_", ["terminal", "markdown", "latex", "svg", "json", "csv"])
def test_boards_of_a_stored_run_are_byte_identical(call: Call, tmp_path: Path, format_: str) -> None:
    shutil.copytree(fixtures / "store", tmp_path / "runs")
    shown = call("leaderboard", "--format", format_)
    assert (shown.code, shown.err) == (0, "")
    assert shown.out == (fixtures / "boards" / f"leaderboard.{format_}").read_text(encoding="utf-8")


def plan_of(models: list[str], metrics: list[str], datasets: list[str]) -> Plan:
    settings = {("time-to-quality", "target"): ["elbo=-100"]} if "time-to-quality" in metrics else {}
    return build_plan(Request(models, metrics, datasets, settings=settings), Registry.load(), Engine(), "a machine")


def test_every_model_metric_and_data_set_has_the_key_that_it_had() -> None:
    registry = Registry.load()
    models, metrics, datasets = (
        [each.spec.name for each in registry.all(kind) if not each.spec.name.endswith(from_files)]
        for kind in ("model", "metric", "dataset")
    )
    plan = plan_of(models, metrics, ["binarized-mnist-10k"])
    fits = {fit.model.name: fit.key for fit in plan.fits}
    cells = {cell.metric.name: cell.key for cell in plan.cells if cell.fit.model.name == "vae"}
    of_data = {cell.fit.dataset.name: cell.key for cell in plan_of(["pca"], ["reconstruction-mse"], datasets).cells}
    assert fits.items() >= known["fits"].items()
    assert cells.items() >= known["cells"].items()
    assert of_data.items() >= known["datasets"].items()


@pytest.mark.parametrize(("name", "engine", "budget"), [
    ("bf16", Engine(precision="bf16"), Budget(steps=10)),
    ("compiled", Engine(step_mode="compiled"), Budget(epochs=3, weights="best")),
    ("vectorized", Engine("cuda", 1, "tf32", "vectorized", False), Budget(seconds=60.0, batch_size=32)),
    ("threads", Engine(threads=4), Budget(epochs=2)),
])  # fmt: skip
def test_engines_budgets_and_settings_have_the_keys_that_they_had(name: str, engine: Engine, budget: Budget) -> None:
    settings = {("vae", "latent_dim"): ["2", "10"], ("dequantized-mnist-10k", "dequantization_seed"): [3]}
    request = Request(["vae", "ppca"], ["elbo"], ["dequantized-mnist-10k"], 2, budget, settings)
    plan = build_plan(request, Registry.load(), engine, "a machine")
    assert [cell.key for cell in plan.cells] == known["variants"][name]


def test_fits_of_the_store_are_used_by_a_new_run(call: Call, tmp_path: Path) -> None:
    shutil.copytree(fixtures / "store", tmp_path / "runs")
    sizes = ("--set", "pca.latent_dim=2", "--set", "linear-ae.latent_dim=2")
    done = call(
        "run", "--models", "pca,linear-ae", *sizes, "--dataset", "ppca-toy", "--metric", "sparsity", "--steps", "20"
    )
    assert done.code == 0
    assert "2 to compute from 2 fits" in done.err
    assert "fitting" not in done.err
