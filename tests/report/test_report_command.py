"""``harness report`` writes one file, and its commands compute the same cells again."""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from stored_models import Page, component, engine, record, small_store

from harness.cli.preview import Preview, preview_of
from harness.cli.run_commands import commands_of
from harness.contracts.events import Record
from harness.report.entries import entry_key
from harness.results.store import Store

if TYPE_CHECKING:
    from conftest import Call


def test_it_writes_a_page_of_all_results(call: Call, tmp_path: Path) -> None:
    small_store(tmp_path / "runs")
    done = call("report")
    assert (done.code, done.out, done.err) == (0, "wrote report.html\n", "")
    text = Page((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert all(
        words in text for words in ("vae, iwae, pca and gan on digits and cats", "elbo", "fid", "it ran out of luck")
    )


def test_filters_leave_out_the_rest(call: Call, tmp_path: Path) -> None:
    small_store(tmp_path / "runs")
    done = call("report", "--dataset", "digits", "--model", "vae,pca", "--metric", "elbo", "--output", "new/few.html")
    assert (done.code, done.err) == (0, "")
    text = Page((tmp_path / "new" / "few.html").read_text(encoding="utf-8")).text
    assert "vae and pca on digits" in text
    assert not [name for name in ("iwae", "gan", "cats", "fid", "parameters (count)") if name in text]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "vea"], "Did you mean 'vae'?"),
        (["--output", "runs"], "--output runs is a folder; name a file"),
        (["--output", "runs/records.jsonl/a.html"], "--output runs/records.jsonl: this folder cannot be written to"),
        (["--output", ""], "the path is empty"),
        (["--port", "80"], "--port is for --serve"),
        (["--serve", "--output", "a.html"], "--serve writes no file"),
        (["--serve", "--port", "70000"], "70000 is not in the range"),
        (["--serve", "--metric", "elbow"], "Did you mean 'elbo'?"),
        (["--runs", "nowhere"], "no results in nowhere yet"),
    ],
)
def test_a_wrong_argument_is_one_clear_line(call: Call, tmp_path: Path, words: list[str], message: str) -> None:
    small_store(tmp_path / "runs")
    done = call("report", *words)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert "Traceback" not in done.err


def test_the_commands_compute_the_same_cells(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    previews: list[Preview] = []

    def kept(*arguments: Any) -> Preview:
        previews.append(preview_of(*arguments))
        return previews[-1]

    monkeypatch.setattr("harness.cli.run.preview_of", kept)
    run = "run --models pca,linear-ae --dataset ppca-toy --set linear-ae.latent_dim=2 --no-figures"
    for more in (
        "--metric reconstruction-mse,parameters --seeds 2 --steps 5",
        "--metric reconstruction-mse --steps 5 --split validation --evaluation-seed 7",
        "--metric reconstruction-mse --epochs 1 --batch-size 500 --weights best --threads 2",
    ):
        assert call(*f"{run} {more}".split()).code == 0
    by_model: dict[str, list[Record]] = {}
    for each in Store(tmp_path / "runs").records():
        by_model.setdefault(entry_key(each), []).append(each)
    assert len(by_model) == 4
    for records in by_model.values():
        cells = set()
        for command in commands_of(records):
            program, *words = shlex.split(command)
            done = call(*words, "--dry-run")
            assert (program, done.code) == ("harness", 0)
            assert {each.action for each in previews[-1]} == {"nothing: stored"}
            cells |= {each.key for each in previews[-1]}
        assert cells == {each.cell_key for each in records}


def test_a_command_has_everything_that_is_not_at_its_default() -> None:
    one = replace(
        record("vae", "elbo", 1.0, 4),
        model=component("vae", {"hidden": [256, 128], "rate": 0.12345678}, ["hidden", "rate"])
        | {"distribution": "my.py"},
        budget={"seconds": 90.5, "batch_size": 32, "weights": "best"},
        engine={
            **engine,
            "device": "cuda",
            "path": "vectorized",
            "precision": "tf32",
            "deterministic": False,
            "execution": "captured",
        },
        split="validation",
        evaluation_seed=3,
    )
    other = replace(one, metric=component("elbo", {"samples": 5}, ["samples"]))
    assert commands_of([one, other]) == [
        "harness run --models vae --dataset digits --metric elbo "
        f"--set vae.hidden=256-128 --set vae.rate=0.12345678 {more}"
        "--seeds 5 --budget 90.5 --batch-size 32 --weights best --device cuda --threads 1 --precision tf32 "
        "--step-mode captured --no-deterministic --vectorize --split validation --evaluation-seed 3 --plugin my.py"
        for more in ("", "--set elbo.samples=5 ")
    ]


def test_it_imports_neither_torch_nor_matplotlib(tmp_path: Path) -> None:
    small_store(tmp_path / "runs")
    code = (
        "import sys, harness.cli\n"
        "try: harness.cli.main(['report'])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print({'torch', 'matplotlib', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
