"""What TensorBoard and MLflow read back is what the run computed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.results.store import Store
from harness_tracking import mlflow, tensorboard

if TYPE_CHECKING:
    from tests.conftest import Call

small = ("--set", "ppca-toy.train=200", "--set", "ppca-toy.validation=50", "--set", "ppca-toy.test=50")
models = ("--models", "gaussian-vae,ppca", "--set", "gaussian-vae.hidden=8", "--set", "gaussian-vae.latent_dim=2")
words = ("run", *models, "--metric", "elbo,log-likelihood-exact", "--dataset", "ppca-toy", *small, "--seeds", "2")
quick = ("--set", "ppca.latent_dim=2", "--epochs", "3", "--jobs", "1", "--no-figures")


def curves(store: Store, key: str) -> dict[str, list[float]]:
    described = store.fit(key)
    assert described is not None
    found: dict[str, list[float]] = described["curves"]["train"]
    return found


def test_nothing_is_written_unless_it_is_asked_for(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_TENSORBOARD", raising=False)
    monkeypatch.delenv("HARNESS_MLFLOW", raising=False)
    before = {name for name in sys.modules if name.startswith(("mlflow", "tensorboard"))}
    assert call(*words, *quick).code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"runs", "leaderboards"}
    assert {name for name in sys.modules if name.startswith(("mlflow", "tensorboard"))} == before


@pytest.mark.parametrize("together", ["--no-vectorize", "--vectorize"])
def test_tensorboard_reads_losses_and_values(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: str
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("HARNESS_TENSORBOARD", "board")
    done = call(*words, *quick, together)
    assert (done.code, "warning" in done.err) == (0, False), done.err
    store = Store(Path("runs"))
    folders = {path.parent for path in Path("board").rglob("events.*")}
    assert {str(path.relative_to("board").parent) for path in folders} == {
        f"ppca-toy train=200 validation=50 test=50/{model}"
        for model in ("ppca latent_dim=2", "gaussian-vae latent_dim=2 hidden=8")
    }
    read = {}
    for folder in folders:
        read[folder.name] = EventAccumulator(str(folder))
        read[folder.name].Reload()
    for record in store.records():
        found = read[f"seed {record.seed}, {record.fit_key[:8]}"]
        tag = f"results/{record.metric['name']}"
        if record.value is None:
            assert f"{tag}/text_summary" in found.Tags()["tensors"]
            continue
        (value,), (error,) = (found.Scalars(tag), found.Scalars(tag.replace("results", "standard_errors")))
        assert (value.value, error.value) == pytest.approx((record.value, record.stderr), rel=1e-6)
        if record.model["name"] == "gaussian-vae":
            alone = together == "--no-vectorize"
            tag = "training/negative_ELBO" if alone else "training_mean_of_2_seeds/negative_ELBO"
            losses = found.Scalars(tag)
            assert [each.step for each in losses] == [1, 2, 3]
            if alone:
                expected = curves(store, record.fit_key)["negative ELBO"]
                assert [each.value for each in losses] == pytest.approx(expected, rel=1e-6)
    assert tensorboard._writers == {}


def test_mlflow_reads_settings_losses_and_values(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    client = pytest.importorskip("mlflow").MlflowClient((tmp_path / "store").as_uri())
    monkeypatch.setenv("HARNESS_MLFLOW", (tmp_path / "store").as_uri())
    for metrics in ("elbo", "elbo,log-likelihood-exact"):
        done = call(*[metrics if each == "elbo,log-likelihood-exact" else each for each in words], *quick)
        assert (done.code, "warning" in done.err) == (0, False), done.err
        mlflow._runs.clear()  # as in another process
    store = Store(Path("runs"))
    experiment = client.get_experiment_by_name("ppca-toy train=200 validation=50 test=50")
    runs = {run.data.tags["harness.fit"]: run for run in client.search_runs([experiment.experiment_id])}
    assert runs.keys() == {record.fit_key for record in store.records()}
    for record in store.records():
        run: Any = runs[record.fit_key]
        name = record.metric["name"]
        if record.value is None:
            assert run.data.tags[f"results/{name}"] == f"n/a: {record.reason}"
            continue
        assert run.data.metrics[f"results/{name}"] == record.value
        assert run.data.metrics[f"standard errors/{name}"] == record.stderr
        assert run.data.params["model.latent_dim"] == "2"
        assert run.data.params["dataset.train"] == "200"
        assert run.data.params["seed"] == str(record.seed)
        assert run.info.status == "FINISHED"
        if record.model["name"] == "gaussian-vae":
            losses = client.get_metric_history(run.info.run_id, "training/negative ELBO")
            expected = curves(store, record.fit_key)["negative ELBO"]
            assert [(each.step, each.value) for each in losses] == list(enumerate(expected, start=1))


@pytest.mark.parametrize(
    ("variable", "package", "name"),
    [("HARNESS_TENSORBOARD", "tensorboard", "TensorBoard"), ("HARNESS_MLFLOW", "mlflow", "MLflow")],
)
def test_a_package_that_is_missing_is_named_once_and_the_run_continues(
    call: Call, monkeypatch: pytest.MonkeyPatch, variable: str, package: str, name: str
) -> None:
    for module in [each for each in sys.modules if each.split(".")[0] == package or "utils.tensorboard" in each]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setenv(variable, "somewhere")
    mlflow._client_of.cache_clear()
    done = call(*words, *quick)
    assert done.code == 0
    message = f"{variable} is set, but {name} is not installed: pip install 'generative-harness[{package}]'"
    assert message in done.err
    assert done.err.count(f"harness_epoch_ended() failed: UsageError: {message}") == 1
    assert [json.loads(line)["status"] for line in Path("runs/records.jsonl").read_text().splitlines()].count("ok") == 6
    assert not Path("somewhere").exists()
