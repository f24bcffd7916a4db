"""What the command line says of budgets and of the engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from marks import needs_a_compiler

from harness.contracts.engine import Engine

if TYPE_CHECKING:
    from tests.conftest import Call

tiny = ("--models", "linear-ae", "--metric", "reconstruction-mse", "--dataset", "tiny")


def record(folder: Path) -> dict:
    return json.loads((folder / "runs" / "records.jsonl").read_text().splitlines()[-1])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--epochs", "2", "--steps", "3"), "--epochs and --steps each set how long to train"),
        (("--steps", "2", "--budget", "3s"), "--steps and --budget each set how long to train"),
        (("--budget", "0"), "'0' is not a length of time"),
        (("--budget", "soon"), "write 90, 90s, 1.5m or 2h"),
        (("--weights", "worst"), "'worst' is not one of 'last', 'best'"),
        (("--precision", "float16"), "'float16' is not one of"),
        (("--device", "cpu", "--precision", "tf32"), "precision tf32 is available on CUDA only"),
        (("--device", "cpu", "--execution", "captured"), "step mode captured is available on CUDA only"),
        (("--threads", "0"), "'0' is not a whole number that is at least"),
        (("--jobs", "0"), "'0' is not a whole number that is at least"),
        (("--target", "elbow=3"), "Did you mean 'elbo'?"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    words: tuple[str, ...], message: str, refused: Callable[..., str], faults: str
) -> None:
    assert message in refused("run", "--plugin", faults, *tiny, *words)


def test_a_record_states_its_budget_and_its_engine(call: Call, faults: str, tmp_path: Path) -> None:
    words = ("--steps", "3", "--batch-size", "20", "--weights", "best", "--precision", "bf16")
    assert call("run", "--plugin", faults, *tiny, *words, "--device", "cpu").code == 0
    found = record(tmp_path)
    assert found["budget"] == {"steps": 3, "batch_size": 20, "weights": "best"}
    expected = {"device": "cpu", "threads": 1, "precision": "bf16", "path": "single", "deterministic": True}
    assert found["engine"] == expected
    fit = json.loads((tmp_path / "runs" / "fits" / found["fit_key"] / "fit.json").read_text())
    assert fit["curves"]["steps"] == 3
    assert fit["group"] == [0]


def test_a_budget_in_time_is_kept_and_belongs_to_the_machine(call: Call, faults: str, tmp_path: Path) -> None:
    assert call("run", "--plugin", faults, *tiny, "--budget", "0.3s").code == 0
    found = record(tmp_path)
    assert found["budget"]["seconds"] == 0.3
    fit = json.loads((tmp_path / "runs" / "fits" / found["fit_key"] / "fit.json").read_text())
    assert fit["identity"]["machine"]
    assert sum(fit["curves"]["seconds"]) < 0.6


def test_seeds_trained_as_one_say_so_and_give_what_each_gives_alone(call: Call, faults: str, tmp_path: Path) -> None:
    words = ("run", "--plugin", faults, *tiny, "--seeds", "3", "--epochs", "2")
    for flag in ("--vectorize", "--no-vectorize"):
        assert call(*words, flag).code == 0
    lines = (tmp_path / "runs" / "records.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    assert [each["engine"]["path"] for each in found] == ["vectorized"] * 3 + ["single"] * 3
    values = [each["value"] for each in found]
    assert values[:3] == pytest.approx(values[3:], rel=1e-5)
    assert len({each["fit_key"] for each in found}) == 6
    fit = json.loads((tmp_path / "runs" / "fits" / found[1]["fit_key"] / "fit.json").read_text())
    assert (fit["path"], fit["group"]) == ("vectorized", [0, 1, 2])


def test_a_profile_divides_a_step_into_its_parts(call: Call, faults: str) -> None:
    done = call("profile", "linear-ae", "--plugin", faults, "--dataset", "tiny", "--batch-size", "20", "--steps", "10")
    assert done.code == 0
    shares = {line.split()[0]: line.split()[2] for line in done.out.splitlines() if line.startswith(" ")}
    assert {"data", "forward", "backward", "optimizer", "overhead", "step"} <= set(shares)
    assert shares["step"] == "100%"
    assert "times the" in done.out
    assert "of the roofline" in done.out


def test_what_takes_no_steps_has_no_profile(refused: Callable[..., str], faults: str) -> None:
    assert "fitted in closed form" in refused("profile", "pca", "--plugin", faults, "--dataset", "tiny")
    words = ("profile", "linear-ae", "--plugin", faults, "--dataset", "tiny")
    assert "not part of this profile" in refused(*words, "--set", "vae.latent_dim=3")
    assert "takes one value, not 2" in refused(*words, "--set", "linear-ae.latent_dim=3,4")


@needs_a_compiler
def test_the_execution_is_part_of_a_fit_unless_it_is_the_usual_one(call: Call, faults: str, tmp_path: Path) -> None:
    quick = ("--epochs", "1", "--batch-size", "16", "--jobs", "1", "--no-figures")
    timed = "training-throughput"
    settings = ("--set", f"{timed}.batch_sizes=16", "--set", f"{timed}.load_limit=1")
    timing = ("--metric", timed, "--timing-rounds", "2", *settings)
    for execution, more in (("eager", ()), ("compiled", timing)):
        done = call("run", "--plugin", faults, *tiny, *quick, "--execution", execution, *more)
        assert done.code == 0, done.err
        assert "eagerly" not in done.out + done.err  # neither the fit nor the timing fell back
    lines = (tmp_path / "runs" / "records.jsonl").read_text().splitlines()
    found = {json.loads(line)["engine"].get("execution"): json.loads(line) for line in lines}
    assert found.keys() == {None, "compiled"}
    assert all(each["status"] == "ok" for each in found.values())
    fit = json.loads((tmp_path / "runs" / "fits" / found["compiled"]["fit_key"] / "fit.json").read_text())
    assert (fit["execution"], fit["fallback"]) == ("compiled", None)
    assert "compiled" in Engine(step_mode="compiled").in_words


@needs_a_compiler
def test_a_profile_of_compiled_steps_counts_the_same_operations(call: Call, faults: str) -> None:
    words = ("profile", "linear-ae", "--plugin", faults, "--dataset", "tiny", "--steps", "10")
    eager, compiled = (call(*words, "--execution", each).out for each in ("eager", "compiled"))
    assert "compiled" in compiled
    assert (
        eager.split("Matrix multiplication: ")[1].split(",")[0]
        == compiled.split("Matrix multiplication: ")[1].split(",")[0]
    )
