"""The leaderboards of past runs: a row for every cell, narrowed on demand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from versions import cell, component, store_of

if TYPE_CHECKING:
    from tests.conftest import Call

Board = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def board(call: Call, results: Path) -> Board:
    """Return the rows that ``harness leaderboard`` tells of the results."""

    def board(*words: str) -> list[dict[str, Any]]:
        done = call("leaderboard", "--runs", str(results / "runs"), "--format", "json", *words)
        assert done.code == 0, done.err
        rows: list[dict[str, Any]] = json.loads(done.out)
        return rows

    return board


def test_every_pair_of_a_model_and_a_metric_has_a_row(board: Board) -> None:
    rows = {(row["model"], row["metric"]): row for row in board()}
    status = {pair: row["status"] for pair, row in rows.items()}
    assert status == {
        ("pca", "reconstruction-mse"): "ok",
        ("pca", "elbo"): "n/a",
        ("pca", "training-throughput"): "n/a",
        ("linear-ae", "reconstruction-mse"): "ok",
        ("linear-ae", "elbo"): "n/a",
        ("linear-ae", "training-throughput"): "ok",
    }
    for pair, row in rows.items():
        is_ok = status[pair] == "ok"
        assert row["rank"] == row["rank_low"]
        assert (row["value"] is not None) is is_ok
        assert row["reason"] if not is_ok else row["reason"] is None or "competing load" in row["reason"]
        assert row["dataset"] == "tiny"
    ranges = {model: (row["rank_low"], row["rank_high"]) for (model, metric), row in rows.items() if "mse" in metric}
    assert ranges == {"pca": (1, 1), "linear-ae": (2, 2)}
    assert rows["pca", "reconstruction-mse"]["n"] == 60
    assert rows["linear-ae", "training-throughput"]["machine"]


def test_a_leaderboard_can_be_narrowed_to_metrics_and_data_sets(board: Board) -> None:
    assert {row["metric"] for row in board("--metric", "elbo")} == {"elbo"}
    two = {"elbo", "reconstruction-mse"}
    assert {row["metric"] for row in board("--metric", "elbo,reconstruction-mse")} == two
    assert {row["metric"] for row in board("--metric", "elbo", "--metric", "reconstruction-mse")} == two
    assert board("--dataset", "tiny") == board()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--dataset", "tinny"), "unknown dataset in runs 'tinny'. Did you mean 'tiny'?"),
        (("--metric", "reconstruction"), "unknown metric in runs 'reconstruction'. Did you mean 'reconstruction-mse'?"),
    ],
)
def test_a_leaderboard_of_what_was_never_run_names_what_was(
    call: Call, results: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], expected: str
) -> None:
    monkeypatch.chdir(results)
    done = call("leaderboard", *words)
    assert done.code == 2
    assert expected in done.err


def test_names_that_no_result_has_together_are_not_called_unknown(call: Call, tmp_path: Path) -> None:
    on_cats = {"dataset": component("cats"), "metric": component("mse")}
    store_of(tmp_path / "runs", [cell(), cell(metric=component("fid")), cell(**on_cats)])
    done = call("leaderboard", "--dataset", "digits", "--metric", "mse")
    assert done.code == 2
    assert "no results in runs have these names together: dataset digits, metric mse" in done.err
    done = call("report", "--dataset", "cats", "--model", "vae", "--metric", "mse,fid")
    assert "have these names together: dataset cats, model vae, metric fid" in done.err
    assert call("leaderboard", "--dataset", "digits,cats", "--metric", "mse").code == 0


@pytest.mark.parametrize("narrowed", [(), ("--dataset", "mnist"), ("--metric", "elbo"), ("--metric", "ebo")])
def test_where_nothing_was_run_a_leaderboard_says_how_to_start(
    refused: Callable[..., str], narrowed: tuple[str, ...]
) -> None:
    message = refused("leaderboard", *narrowed)
    assert "no results in runs yet" in message
    assert "harness run --models" in message


@pytest.mark.parametrize("format_", ["json", "csv", "markdown", "latex", "svg"])
def test_where_nothing_was_run_other_formats_have_no_rows_and_a_warning(
    call: Call, tmp_path: Path, format_: str
) -> None:
    done = call("leaderboard", "--format", format_)
    assert done.code == 0
    assert "warning: no results in runs yet. Start with: harness run" in done.err
    assert list(tmp_path.iterdir()) == []
    if format_ == "json":
        assert json.loads(done.out) == []
    if format_ == "csv":
        store_of(tmp_path / "runs", [cell()])
        assert done.out.splitlines() == call("leaderboard", "--format", "csv").out.splitlines()[:1]


def test_the_difference_between_two_rows_is_explained(call: Call, results: Path) -> None:
    words = ("leaderboard", "--runs", str(results / "runs"), "--metric", "reconstruction-mse", "--explain")
    done = call(*words, "pca", "linear-ae")
    assert done.code == 0
    assert "pca is better" in done.out
    assert "paired on 60 test examples" in done.out
    (found,) = json.loads(call(*words, "pca", "linear-ae", "--format", "json").out)
    assert found["difference"] < found["simultaneous_interval"][1] < 0
    assert "Did you mean 'pca'?" in call(*words, "pac", "linear-ae").err
    assert "not 'markdown'" in call(*words, "pca", "linear-ae", "--format", "markdown").err
