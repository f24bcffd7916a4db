"""Training losses and results for MLflow, in the store that ``HARNESS_MLFLOW`` names as a tracking URI.

There is one experiment a data set and one run a fit, found again by its tag ``harness.fit``. Settings are parameters,
losses are metrics whose step is the epoch, and so are results.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any

from harness import Cell, Fit, Record, UsageError, hookimpl
from harness_tracking.titles import title_of, title_of_loss, without

_variable = "HARNESS_MLFLOW"
_tag = "harness.fit"
_illegal = r"[^\w\-. :/]"  # in the names of metrics
_runs: dict[tuple[str, str], str] = {}  # by tracking URI and key of the fit


@hookimpl
def harness_epoch_ended(fits: Sequence[Fit], epoch: int, losses: Mapping[str, float]) -> None:
    """Log the mean losses of an epoch."""
    if _variable not in os.environ:
        return
    for fit in fits:
        for name, value in losses.items():
            _client().log_metric(_run_of(fit), without(_illegal, title_of_loss(fits, name)), value, step=epoch)


@hookimpl
def harness_fit_ended(fits: Sequence[Fit], status: str, seconds: float) -> None:
    """Log how long the fits took, and end their runs."""
    if _variable not in os.environ:
        return
    for fit in fits:
        _client().log_metric(_run_of(fit), "training/seconds", seconds)
        _client().set_terminated(_run_of(fit), "FINISHED" if status == "ok" else "FAILED")


@hookimpl
def harness_cell_finished(cell: Cell, record: Record) -> None:
    """Log a value and its standard error, or why there is none."""
    if _variable not in os.environ:
        return
    run, client = _run_of(cell.fit), _client()
    metric = without(_illegal, title_of(cell.metric.name, cell.metric.settings, cell.metric.changed))
    if record.value is None:
        client.set_tag(run, f"results/{metric}", f"{record.status}: {record.reason}")
        return
    client.log_metric(run, f"results/{metric}", record.value)
    if record.stderr is not None:
        client.log_metric(run, f"standard errors/{metric}", record.stderr)


def _client() -> Any:
    return _client_of(os.environ[_variable])


@functools.cache
def _client_of(uri: str) -> Any:
    """Return a client of a tracking URI.

    Raises:
        UsageError: MLflow is not installed.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # a run reports to nobody but its user
    if uri.startswith("file:"):
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # without it MLflow 3 wants a database
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        raise UsageError(
            f"{_variable} is set, but MLflow is not installed: pip install 'generative-harness[mlflow]'"
        ) from error
    return MlflowClient(uri)


def _run_of(fit: Fit) -> str:
    """Return the run of a fit, which is created if there is none."""
    place = (os.environ[_variable], fit.key)
    if place not in _runs:
        client = _client()
        dataset, model = (title_of(each.name, each.settings, each.changed) for each in (fit.dataset, fit.model))
        found = client.get_experiment_by_name(dataset)
        experiment = found.experiment_id if found else client.create_experiment(dataset)
        known = client.search_runs([experiment], f"tags.`{_tag}` = '{fit.key}'", max_results=1)
        _runs[place] = known[0].info.run_id if known else _created(client, experiment, f"{model}, seed {fit.seed}", fit)
    return _runs[place]


def _created(client: Any, experiment: str, title: str, fit: Fit) -> str:
    run: str = client.create_run(experiment, tags={_tag: fit.key}, run_name=title).info.run_id
    parameters = {"model": fit.model.name, "seed": fit.seed}
    parameters |= {f"model.{name}": value for name, value in fit.model.settings.items()}
    parameters |= {f"dataset.{name}": value for name, value in fit.dataset.settings.items()}
    for name, value in parameters.items():
        client.log_param(run, name, value)
    return run
