"""What a run promises about its cells: what they cost when they fail, and what is not computed again."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Call


@pytest.fixture
def run(call: Call, faults: str) -> Call:
    """Call ``harness run`` on the tiny data set, in an empty folder."""

    def run(models: str, metrics: str, *words: str) -> Any:
        chosen = ("--models", models, "--metric", metrics, "--dataset", "tiny", "--epochs", "2")
        return call("run", "--plugin", faults, *chosen, *words)

    return run


def lines(folder: str = "runs") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(folder, "records.jsonl").read_text().splitlines()]


def named(record: dict[str, Any]) -> tuple[str, str]:
    return record["model"]["name"], record["metric"]["name"]


def traces(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_command_typed_again_computes_nothing_and_shows_the_same_board(run: Call) -> None:
    first = run("scaled,pca", "reconstruction-mse,elbo")
    assert first.code == 0
    before = traces(Path("runs"))
    again = run("scaled,pca", "reconstruction-mse,elbo")
    assert again.code == 0
    assert "4 cells, all stored already" in again.err
    assert again.out == first.out
    assert traces(Path("runs")) == before


def test_a_new_metric_trains_nothing_again(run: Call) -> None:
    assert run("scaled,pca", "reconstruction-mse").code == 0
    fits = traces(Path("runs", "fits"))
    done = run("scaled,pca", "reconstruction-mse,elbo")
    assert done.code == 0
    assert "fitting" not in done.err
    assert traces(Path("runs", "fits")) == fits
    assert [named(each)[1] for each in lines()] == ["reconstruction-mse"] * 2 + ["elbo"] * 2


def test_a_fit_whose_weights_are_gone_is_trained_again_with_its_figures(run: Call) -> None:
    assert run("scaled,pca", "reconstruction-mse").code == 0
    weights = {path: path.read_bytes() for path in Path("runs").glob("fits/*/weights.safetensors")}
    figures = sorted(Path("runs").glob("fits/*/figures/*.png"))
    for path in (*weights, *figures):
        path.unlink()
    again = ("scaled,pca", "reconstruction-mse", "--split", "validation")
    assert run(*again, "--dry-run").out.count("fit, measure") == 2
    done = run(*again)
    assert done.code == 0
    assert done.err.count("weights.safetensors is missing); the model is trained again") == 2
    assert {path: path.read_bytes() for path in weights} == weights
    assert sorted(Path("runs").glob("fits/*/figures/*.png")) == figures


def test_another_seed_computes_only_itself_and_shares_a_row_with_the_first(run: Call, call: Call) -> None:
    assert run("scaled", "reconstruction-mse").code == 0
    assert run("scaled", "reconstruction-mse", "--seeds", "2").code == 0
    assert [each["seed"] for each in lines()] == [0, 1]
    (row,) = json.loads(call("leaderboard", "--format", "json").out)
    assert row["seeds"] == 2
    assert row["by_seed"] == {str(each["seed"]): each["value"] for each in lines()}


def test_a_cell_is_bit_identical_in_another_process_in_another_order_and_when_fresh(
    run: Call, harness: Call, faults: str
) -> None:
    assert run("linear-ae,mlp-ae", "reconstruction-mse").code == 0
    first = {named(each): (each["cell_key"], each["value"], each["stderr"]) for each in lines()}
    chosen = ("--models", "mlp-ae,pca,linear-ae", "--metric", "elbo,reconstruction-mse", "--dataset", "tiny")
    options = ("--plugin", faults, "--epochs", "2", "--seeds", "1", "--runs", "other")
    assert harness("run", *chosen, *options, PYTHONHASHSEED="7").code == 0
    other = {named(each): (each["cell_key"], each["value"], each["stderr"]) for each in lines("other")}
    assert len(other) == 6
    assert first.items() <= other.items()

    assert run("linear-ae,mlp-ae", "reconstruction-mse", "--fresh").code == 0
    assert len(lines()) == 4
    assert {named(each): (each["cell_key"], each["value"], each["stderr"]) for each in lines()[2:]} == first


def test_every_value_of_a_setting_has_a_row_that_names_it(run: Call) -> None:
    done = run("pca", "reconstruction-mse", "--set", "pca.latent_dim=1,2,3")
    assert done.code == 0
    values = {each["model"]["settings"]["latent_dim"]: each["value"] for each in lines()}
    assert values[1] > values[2] > values[3]
    assert all(f"pca latent_dim={k}" in done.out for k in values)
    page = Path("leaderboards", "tiny.md").read_text()
    assert page.index("latent_dim=3") < page.index("latent_dim=2") < page.index("latent_dim=1")


def test_an_option_given_again_adds_its_names(run: Call) -> None:
    joined = run("pca,scaled", "elbo,reconstruction-mse", "--dry-run")
    again = run("pca", "elbo", "--models", "scaled,pca", "--metric", "reconstruction-mse", "--dry-run")
    assert "4 cells; 4 to compute from 2 fits" in joined.out
    assert again == joined


def test_a_dry_run_counts_what_would_be_computed_and_leaves_no_trace(run: Call, tmp_path: Path) -> None:
    done = run("pca,linear-ae", "reconstruction-mse", "--set", "pca.latent_dim=2,3,4", "--seeds", "2", "--dry-run")
    assert done.code == 0
    assert "8 cells; 8 to compute from 8 fits" in done.out
    assert traces(tmp_path) == {}

    assert run("scaled", "reconstruction-mse").code == 0
    before = traces(tmp_path)
    done = run("scaled,pca", "reconstruction-mse", "--dry-run")
    assert "2 cells, 1 of them stored already; 1 to compute from 1 fit" in " ".join(done.out.split())
    assert traces(tmp_path) == before


def test_a_dry_run_has_a_line_for_what_is_done_alike(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    metrics = "reconstruction-mse,reconstruction-bce,ssim,psnr,parameters,elbo"
    models = ("--models", "denoising-cnn-ae,vae", "--set", "vae.latent_dim=2,10", "--set", "psnr.corruption=0,0.5")
    done = call("run", *models, "--metric", metrics, "--dataset", "mnist-10k,binarized-mnist-10k",
                "--seeds", "3", "--dry-run")  # fmt: skip
    lines = done.out.splitlines()
    assert lines[0] == "114 cells; 114 to compute from 18 fits"
    assert all(len(line) <= 80 for line in lines)
    assert len(lines) < 50
    for dataset in ("mnist-10k", "binarized-mnist-10k"):
        assert lines.count(dataset) == 1


@pytest.mark.parametrize("width", [30, 40, 60, 80])
def test_words_of_a_dry_run_are_whole_on_a_terminal_of_any_width(
    run: Call, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    done = run("pca,scaled", "log-likelihood-exact,reconstruction-mse", "--dry-run")
    assert {"log-likelihood-exact", "reconstruction-mse", "scaled", "pca"} <= set(done.out.replace(",", " ").split())
    assert max(map(len, done.out.splitlines())) <= width


def test_a_dry_run_names_models_seeds_metrics_and_settings(run: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert run("scaled", "reconstruction-mse", "--seeds", "1").code == 0
    settings = ("--set", "reconstruction-mse.corruption=0,0.5")
    done = run("scaled,pca", "elbo,parameters,reconstruction-mse", "--seeds", "4", *settings, "--dry-run")
    both = "reconstruction-mse, reconstruction-mse corruption=0.5"
    expected = [
        "model seeds metrics action",
        "scaled 0 reconstruction-mse nothing: stored",
        "scaled 0 parameters, reconstruction-mse corruption=0.5 measure",
        f"scaled 1–3 {both} fit, measure",
        "pca 0–3 elbo n/a: it has no posterior and no observation model",
        "pca 0 parameters fit, measure",
        f"pca 0–3 {both} fit, measure",
    ]
    text = " ".join(done.out.split())
    assert all(line in text for line in expected), done.out


def test_the_time_of_a_run_is_estimated_from_what_was_timed_before(run: Call) -> None:
    unknown = "how long it takes is not known: nothing like it was timed here before"
    assert unknown in run("pca", "reconstruction-mse", "--dry-run").out
    assert unknown in run("pca", "reconstruction-mse", "--seeds", "1").err.splitlines()
    more = run("pca", "reconstruction-mse", "--seeds", "3", "--dry-run")
    assert more.out.splitlines()[-1] == "it takes less than a minute"
    partly = run("pca,scaled", "reconstruction-mse,bare", "--seeds", "2")
    assert (
        "it takes less than a minute for 1 of 7 cells; the other 6 were never timed here. The time left is shown once "
        "the first seed of each model is measured"
    ) in partly.err.splitlines()
    assert "minute" not in run("pca", "reconstruction-mse", "--dry-run").out  # all is stored


def test_the_first_seed_of_every_model_comes_before_the_second_one_of_any(run: Call) -> None:
    assert run("pca,scaled", "reconstruction-mse", "--seeds", "2", "--no-figures").code == 0
    first = [("pca", 0), ("scaled", 0), ("pca", 1), ("scaled", 1)]
    found = [(each["model"]["name"], each["seed"]) for each in lines()]
    assert list(dict.fromkeys(found)) == first


def test_where_nothing_could_be_measured_the_exit_code_says_so(run: Call) -> None:
    done = run("pca", "elbo")
    assert done.code == 4
    assert "it has no posterior" in done.err


def test_a_model_that_no_metric_of_the_run_applies_to_is_not_fitted(run: Call) -> None:
    metrics = ("elbo", "sampling-throughput")  # the second is a timing
    planned = run("counted,pca", ",".join(metrics), "--dry-run").out
    assert "4 to compute from 0 fits" in planned
    assert planned.count("n/a: it has no") == 4
    assert "fit, " not in planned

    done = run("counted,pca", ",".join(metrics), "--seeds", "2")
    assert done.code == 4
    assert not Path("loss-calls").exists()
    assert not Path("runs", "fits").exists()
    reasons = dict(zip(metrics, ("it has no posterior and no observation model", "it has no sampler"), strict=True))
    assert [(*named(each), each["seed"], each["status"], each["reason"]) for each in lines()] == [
        (model, metric, seed, "n/a", reasons[metric])
        for model in ("counted", "pca")
        for seed, metric in ((0, "elbo"), (0, "sampling-throughput"), (1, "elbo"))
    ]
    assert done.out.count("it has no sampler") == 2

    assert run("counted", "elbo,reconstruction-mse").code == 0
    assert len(Path("loss-calls").read_text()) >= 2  # one step an epoch
    assert [named(each)[1] for each in lines()[6:]] == ["reconstruction-mse"]


def test_a_model_is_fitted_if_only_a_timing_applies_to_it(run: Call) -> None:
    done = run("counted", "elbo,ticks", "--timing-rounds", "2")
    assert done.code == 0
    assert [(*named(each), each["status"]) for each in lines()] == [
        ("counted", "elbo", "n/a"),
        ("counted", "ticks", "ok"),
    ]
    assert done.err.index("fitting counted") < done.err.index("timing round 1 of 2")


def test_the_record_of_what_does_not_apply_is_the_same_whatever_else_is_in_the_run(run: Call) -> None:
    assert run("broken", "elbo").code == 4
    assert run("broken", "elbo,reconstruction-mse", "--runs", "other").code == 3
    (alone,), (beside, failed) = lines(), lines("other")
    assert (alone["status"], failed["status"]) == ("n/a", "error")
    times = {"ended": None, "checksum": None}
    assert alone | times == beside | times


def test_a_models_fault_costs_only_its_own_cells_and_is_not_taken_for_a_result(run: Call) -> None:
    models = "broken,exploding,pca"
    assert run(models, "reconstruction-mse").code == 3
    found = {each["model"]["name"]: each for each in lines()}
    assert found["broken"]["status"] == "error"
    assert re.fullmatch(r"ZeroDivisionError: by design \(in loss, line \d+ of faults\.py\)", found["broken"]["reason"])
    assert "by design" in found["broken"]["traceback"]
    assert found["exploding"]["status"] == "diverged"
    assert found["pca"]["status"] == "ok"

    again = run(models, "reconstruction-mse")
    assert again.code == 3
    assert [line.split()[1] for line in again.err.splitlines() if line.startswith("fitting")] == ["broken"]


def test_a_fault_of_a_metric_costs_only_its_own_cells_and_is_computed_again(run: Call) -> None:
    metrics = "raises,not-a-number,bare,reconstruction-mse"
    assert run("scaled,pca", metrics).code == 3
    found = {named(each): each for each in lines()}
    for model in ("scaled", "pca"):
        assert found[model, "raises"]["status"] == "error"
        reason = found[model, "raises"]["reason"]
        assert re.fullmatch(r"LookupError: not today \(in measure, line \d+ of faults\.py\)", reason)
        assert found[model, "bare"]["status"] == "error"
        assert found[model, "bare"]["reason"].endswith("it is a float; return a harness.Estimate")
        assert found[model, "not-a-number"]["status"] == "diverged"
        assert found[model, "reconstruction-mse"]["status"] == "ok"
    assert all(each["value"] is None for each in lines() if each["status"] != "ok")

    assert run("scaled,pca", metrics).code == 3
    again = [named(each) for each in lines()[8:]]
    assert again == [(model, metric) for model in ("scaled", "pca") for metric in ("raises", "bare")]


def test_running_out_of_memory_is_told_apart_from_a_fault_and_tried_again(run: Call) -> None:
    for attempt in (1, 2):
        done = run("huge,pca", "reconstruction-mse")
        assert done.code == 3
        assert "fitting huge" in done.err
        assert [each["status"] for each in lines()] == ["out-of-memory", "ok", "out-of-memory"][: attempt + 1]
    assert "allocate" in lines()[0]["reason"]


def test_an_interrupted_fit_leaves_nothing_half_done_and_the_same_command_completes(run: Call) -> None:
    stop = Path("stop")
    stop.touch()
    done = run("pca,stoppable", "reconstruction-mse")
    assert done.code == 130
    assert "1 finished cell stored; the same command resumes the run" in done.err
    assert "stoppable on tiny, seed 0: has no checkpoint yet and starts again" in done.err
    assert "next: " not in done.err
    assert [named(each)[0] for each in lines()] == ["pca"]
    assert [path.name for path in Path("runs", "fits").iterdir()] == [lines()[0]["fit_key"]]
    assert "pca" in Path("leaderboards", "tiny.md").read_text()

    stop.unlink()
    assert run("pca,stoppable", "reconstruction-mse").code == 0
    assert [named(each)[0] for each in lines()] == ["pca", "stoppable"]
    assert run("stoppable", "reconstruction-mse", "--runs", "undisturbed").code == 0
    assert lines("undisturbed")[0]["value"] == lines()[1]["value"]


def test_boards_of_an_interrupted_run_do_not_ask_for_the_seeds_that_it_has(run: Call) -> None:
    Path("stop").touch()
    done = run("pca,stoppable", "reconstruction-mse", "--seeds", "2")
    assert done.code == 130
    assert "No ranks: one seed when the run was interrupted; the same command resumes it." in done.out
    fresh = run("pca,stoppable", "reconstruction-mse", "--seeds", "2", "--fresh")
    assert "the same command without --fresh resumes it." in " ".join(fresh.out.split())
    assert "run with 3 seeds" not in done.out + fresh.out
    one = run("pca,stoppable", "reconstruction-mse", "--seeds", "1", "--runs", "other")
    assert "No ranks: one seed; run with 3 seeds." in one.out


def test_the_next_command_names_settings_that_are_the_reason_for_no_value(run: Call) -> None:
    done = run("pca,ppca", "reconstruction-mse,log-likelihood-exact", "--set", "pca.latent_dim=200",
               "--set", "ppca.latent_dim=200", "--seeds", "2")  # fmt: skip
    assert done.code == 4
    assert done.err.splitlines()[-1] == (
        "next: the same command with --set pca.latent_dim=V --set ppca.latent_dim=V; harness show pca describes the "
        "setting"
    )


@pytest.mark.parametrize("fresh", [(), ("--fresh",)])
def test_an_interruption_says_from_where_the_fit_will_resume(run: Call, fresh: tuple[str, ...]) -> None:
    Path("stop").write_text("3")
    done = run("stoppable", "reconstruction-mse", "--epochs", "9", *fresh)
    assert done.code == 130
    place = "after epoch 3 (3 steps)"
    assert f"stoppable on tiny, seed 0: resumes {place}" in done.err
    assert ("without --fresh resumes the run" in done.err) == bool(fresh)
    Path("stop").unlink()
    assert f"resuming the fit from a checkpoint {place}" in run("stoppable", "reconstruction-mse", "--epochs", "9").err


def test_a_quiet_run_shows_only_boards_and_failures(run: Call) -> None:
    done = run("scaled,broken", "reconstruction-mse", "--quiet")
    failure, hint = done.err.splitlines()
    where = r"\(in loss, line \d+ of faults\.py\)"
    expected = f"broken on tiny, seed 0, reconstruction-mse: error, ZeroDivisionError: by design {where}"
    assert re.fullmatch(expected, failure)
    assert "with --traceback prints" in hint
    assert "tiny · reconstruction-mse" in done.out
    assert "wrote" not in done.out
    assert run("scaled", "reconstruction-mse", "--quiet", "--seeds", "2").err == ""
    assert 'ZeroDivisionError("by design")' in run("broken", "reconstruction-mse", "--quiet", "--traceback").err


def test_rows_as_json_are_all_of_the_standard_output(run: Call, call: Call) -> None:
    done = run("scaled,pca", "reconstruction-mse,elbo", "--json")
    assert json.loads(done.out) == json.loads(call("leaderboard", "--format", "json").out)
    assert len(json.loads(done.out)) == 4
    assert "fitting scaled" in done.err
    assert "wrote leaderboards/tiny.md" in done.err
    refused = run("scaled", "elbo", "--json", "--dry-run")
    assert (refused.code, refused.out) == (2, "")
    assert "give one of them" in refused.err


def test_a_finished_run_ends_with_its_files_and_the_next_command(run: Call, call: Call) -> None:
    one = run("scaled,pca", "reconstruction-mse", "--no-figures")
    assert one.out.splitlines()[-2:] == ["wrote leaderboards/tiny.md", "wrote leaderboards/tiny.svg"]
    assert one.err.splitlines()[-1].startswith("next: the same command with --seeds 3")
    three = run("scaled,pca", "reconstruction-mse", "--seeds", "3", "--runs", "my runs")
    last = three.err.splitlines()[-1]
    assert last == (
        "next: harness leaderboard --dataset tiny --metric reconstruction-mse --explain pca scaled --runs 'my runs'"
    )
    explained = call(*shlex.split(last)[2:])
    assert explained.code == 0
    assert "pca is better" in explained.out
    exact = run("pca", "parameters", "--runs", "my runs")
    assert exact.err.splitlines()[-1] == "next: harness report --runs 'my runs', which shows all results as one page"
    assert run("pca", "elbo").err.splitlines()[-1] == "next: harness show elbo, which says what it needs of a model"
    assert "next:" not in run("broken", "reconstruction-mse").err


def test_the_next_command_names_rows_as_the_board_of_all_results_does(run: Call, call: Call) -> None:
    assert run("scaled,pca", "reconstruction-mse", "--seeds", "2", "--no-figures").code == 0
    assert run("scaled", "reconstruction-mse", "--seeds", "2", "--epochs", "3", "--no-figures").code == 0
    again = run("scaled,pca", "reconstruction-mse", "--seeds", "2", "--no-figures")
    assert "epochs=" not in again.out
    last = again.err.splitlines()[-1]
    assert "--explain pca 'scaled epochs=2'" in last
    explained = call(*shlex.split(last)[2:])
    assert explained.code == 0, explained.err


@pytest.mark.parametrize("damage", ["truncated", "missing", "description", "everything"])
def test_a_damaged_fit_is_trained_again_to_the_same_value(run: Call, damage: str) -> None:
    assert run("scaled", "reconstruction-mse", "--runs", "whole").code == 0
    shutil.copytree("whole", "damaged")
    Path("damaged", "records.jsonl").unlink()
    folder = Path("damaged", "fits", lines("whole")[0]["fit_key"])
    weights, description = folder / "weights.safetensors", folder / "fit.json"
    if damage in ("truncated", "everything"):
        weights.write_bytes(weights.read_bytes()[:30])
    if damage == "missing":
        weights.unlink()
    if damage in ("description", "everything"):
        description.write_bytes(description.read_bytes()[:30])
    done = run("scaled", "reconstruction-mse", "--runs", "damaged")
    assert done.code == 0
    assert "fitting scaled" in done.err
    assert lines("damaged")[0]["value"] == lines("whole")[0]["value"]
    done = run("scaled", "reconstruction-mse,elbo", "--runs", "damaged")
    assert done.code == 0
    assert "fitting" not in done.err


def test_the_traceback_of_a_failed_cell_is_printed_on_request_and_its_place_is_named_otherwise(run: Call) -> None:
    done = run("broken,scaled", "reconstruction-mse,parameters")
    assert done.code == 3
    assert "2 cells failed; the tracebacks are in runs/records.jsonl" in done.err
    assert "Traceback" not in done.err
    done = run("broken,scaled", "reconstruction-mse,parameters", "--traceback")
    assert done.code == 3
    assert done.err.count("Traceback (most recent call last)") == 1
    assert 'raise ZeroDivisionError("by design")' in done.err
    assert "--traceback prints" not in done.err
