"""Stored results are listed, hidden from leaderboards, renamed there, and removed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from safetensors.torch import load_file, save_file
from versions import cell, component, store_of

if TYPE_CHECKING:
    from tests.conftest import Call

plugin = """
import torch, harness

class Mine(torch.nn.Module):
    def __init__(self, info, config):
        super().__init__()
    def fit(self, train, noise):
        pass
    def reconstruct(self, x):
        return {factor} * x

@harness.hookimpl
def harness_models():
    return [harness.ModelSpec("mine", Mine, "for tests")]
"""


@pytest.fixture
def edited(call: Call, faults: str) -> Path:
    """Return a store with results of two versions of a plugin file, and of PCA."""
    for factor in ("0.5", "0.9"):
        Path("mine.py").write_text(plugin.format(factor=factor))
        metrics = ("--metric", "reconstruction-mse,parameters", "--dataset", "tiny")
        done = call(
            "run",
            "--plugin",
            faults,
            "--plugin",
            "mine.py",
            "--models",
            "mine,pca",
            *metrics,
            "--no-figures",
            "--quiet",
        )
        assert done.code == 0, done.err
    return Path("runs")


def listed(call: Call, *words: str) -> list[dict[str, Any]]:
    done = call("results", "list", "--format", "json", *words)
    assert done.code == 0, done.err
    rows: list[dict[str, Any]] = json.loads(done.out)
    return rows


def models_of(call: Call) -> list[str]:
    rows = json.loads(call("leaderboard", "--metric", "reconstruction-mse", "--format", "json").out)
    return sorted(row["model"] for row in rows)


def test_results_of_earlier_versions_are_listed_and_can_be_chosen(call: Call, edited: Path) -> None:
    rows = listed(call)
    assert [(row["model"], row["metric"], row["note"]) for row in rows] == [
        ("mine", "reconstruction-mse", "older"),
        ("mine", "parameters", "older"),
        ("pca", "reconstruction-mse", ""),
        ("pca", "parameters", ""),
        ("mine", "reconstruction-mse", ""),
        ("mine", "parameters", ""),
    ]
    assert rows[0]["version"] != rows[4]["version"]
    assert len(listed(call, "--older")) == 2
    assert len(listed(call, "--models", "mine", "--metric", "parameters")) == 2
    shown = call("results", "list").out
    assert all(word in shown for word in ("mine", "older", "reconstruction-mse"))
    kind, digits = rows[0]["version"].split(":")
    assert kind == "sha256"
    assert re.search(rf"sha256:{digits[:8]}(?!\w)", shown)


@pytest.mark.parametrize("width", [25, 40, 80])
def test_words_of_the_list_are_whole_on_a_terminal_of_any_width(
    call: Call, edited: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    call("results", "hide", "--older")
    words = call("results", "list").out.replace(":", " ").split()
    assert {"mine", "pca", "hidden,", "older", "version", "seeds", "last", "ended"} <= set(words)
    assert max(map(len, call("results", "list").out.splitlines())) <= max(width, len("tiny · reconstruction-mse"))


def test_results_that_differ_in_what_was_asked_for_have_lines_of_their_own(call: Call, faults: str) -> None:
    run = ("run", "--plugin", faults, "--models", "scaled", "--metric", "reconstruction-mse", "--dataset", "tiny",
           "--no-figures", "--seeds", "2")  # fmt: skip
    for words in (["--epochs", "1"], ["--steps", "3"], ["--epochs", "1", "--split", "validation"],
                  ["--epochs", "1", "--evaluation-seed", "5"]):  # fmt: skip
        assert call(*run, *words).code == 0
    asked = [(row["training"].split(",")[0], row["split"], row["evaluation seed"]) for row in listed(call)]
    assert asked == [
        ("1 epoch", "test", 0),
        ("3 steps", "test", 0),
        ("1 epoch", "validation", 0),
        ("1 epoch", "test", 5),
    ]
    assert [row["seeds"] for row in listed(call)] == [[0, 1]] * 4
    assert "3 steps" in call("results", "list").out


def test_results_of_other_engines_and_of_other_files_of_weights_have_lines_of_their_own(
    call: Call, faults: str, tmp_path: Path
) -> None:
    run = ("run", "--plugin", faults, "--models", "scaled", "--metric", "reconstruction-mse", "--dataset", "tiny",
           "--no-figures", "--seeds", "1", "--epochs", "1")  # fmt: skip
    assert call(*run).code == call(*run, "--threads", "2").code == 0
    shown = call("results", "list").out
    assert "engine" in shown
    assert shown.count("threads=1") == shown.count("threads=2") == 1
    assert "float32" not in shown  # all have it
    for number, path in enumerate(sorted(tmp_path.glob("runs/fits/*/weights.safetensors"))):
        weights = {name: value + number for name, value in load_file(path).items()}
        save_file(weights, tmp_path / f"{number}.safetensors")
        assert call(*run, "--weights", f"scaled={number}.safetensors").code == 0
    assert [row["weights"] for row in listed(call)] == ["", "", "0.safetensors", "1.safetensors"]
    assert "1.safetensors" in call("results", "list").out


def test_other_weights_are_not_another_version_but_a_file_of_the_same_name_is(
    call: Call, faults: str, tmp_path: Path
) -> None:
    run = ("run", "--plugin", faults, "--models", "pca", "--metric", "reconstruction-mse", "--dataset", "tiny",
           "--no-figures", "--seeds", "1")  # fmt: skip
    assert call(*run).code == 0
    (trained,) = tmp_path.glob("runs/fits/*/weights.safetensors")
    weights = load_file(trained)
    for number, name in enumerate(("a", "b")):
        save_file({key: value + number for key, value in weights.items()}, tmp_path / f"{name}.safetensors")
        assert call(*run, "--weights", f"pca={name}.safetensors").code == 0
    assert [row["note"] for row in listed(call)] == ["", "", ""]
    save_file({key: value + 2 for key, value in weights.items()}, tmp_path / "b.safetensors")
    assert call(*run, "--weights", "pca=b.safetensors").code == 0
    assert [(row["weights"], row["note"]) for row in listed(call)] == [
        ("", ""),
        ("a.safetensors", ""),
        ("b.safetensors", "older"),
        ("b.safetensors", ""),
    ]


@pytest.mark.parametrize("kind", ["model", "metric", "dataset"])
@pytest.mark.parametrize(("what", "other"), [("version", "2"), ("distribution", "mine.py"), ("content", "c" * 64)])
def test_results_of_other_origins_have_lines_of_their_own(
    call: Call, tmp_path: Path, kind: str, what: str, other: str
) -> None:
    same = component("vae", x=1)
    store_of(tmp_path / "runs", [cell(**{kind: same}), cell(**{kind: {**same, what: other}})])
    prefix = {"model": "", "metric": "metric ", "dataset": "data set "}[kind]
    assert [row[f"{prefix}{what}"] for row in listed(call)] == [same.get(what, ""), other]
    first, second = (line for line in call("results", "list").out.splitlines() if "2026-11-25" in line)
    assert first != second
    assert other[:8] in second.split()


def test_hidden_results_are_not_on_boards_and_are_stored_all_the_same(call: Call, edited: Path) -> None:
    assert models_of(call) == ["mine", "mine", "pca"]
    before = (edited / "records.jsonl").read_bytes()
    assert "hidden: 2 results" in call("results", "hide", "--older").err
    assert models_of(call) == ["mine", "pca"]
    assert (edited / "records.jsonl").read_bytes() == before
    assert [row["note"] for row in listed(call, "--models", "mine")] == ["hidden, older"] * 2 + [""] * 2
    assert "shown again: 1 result" in call("results", "unhide", "--metric", "parameters").err
    assert models_of(call) == ["mine", "pca"]
    assert "shown again: 1 result" in call("results", "unhide").err
    assert models_of(call) == ["mine", "mine", "pca"]


def test_whoever_changes_what_is_shown_hears_that_files_of_leaderboards_do_not_change_yet(
    call: Call, edited: Path
) -> None:
    sentence = "files of leaderboards change when a run on their data set writes them again"
    for words in (
        *(("hide", "--older"), ("unhide",)),
        *(("rename", "pca", "PCA"), ("rename", "pca")),
        ("remove", "--older", "--yes"),
    ):
        assert sentence in call("results", *words).err, words
    assert call("results", "unhide").err == "shown again: 0 results\n"


def test_pages_leave_out_what_is_hidden(call: Call, edited: Path, faults: str) -> None:
    call("results", "hide", "--models", "mine")
    done = call(
        "run", "--plugin", faults, "--models", "pca", "--metric", "reconstruction-mse,parameters", "--dataset", "tiny"
    )
    assert "2 cells, all stored already" in done.err
    page = Path("leaderboards", "tiny.md").read_text()
    assert "pca" in page
    assert "mine" not in page


def test_results_that_are_all_hidden_are_not_said_to_be_missing(
    refused: Callable[..., str], call: Call, edited: Path
) -> None:
    call("results", "hide", "--dataset", "tiny")
    for words in (("leaderboard",), ("report",), ("reproduce", "--models", "pca")):
        assert refused(*words) == "harness: all results in runs are hidden; 'harness results unhide' shows them again"


def test_removed_results_are_gone_and_the_records_before_are_kept(call: Call, edited: Path) -> None:
    before = (edited / "records.jsonl").read_bytes()
    call("results", "hide", "--older")
    assert "removed: 2 results" in call("results", "remove", "--older", "--yes").err
    assert models_of(call) == ["mine", "pca"]
    assert [row["note"] for row in listed(call)] == [""] * 4
    assert (edited / "records.jsonl.bak").read_bytes() == before
    assert json.loads((edited / "hidden.json").read_text()) == []


def test_nothing_is_removed_without_a_yes_or_while_a_run_uses_the_store(
    refused: Callable[..., str], edited: Path
) -> None:
    assert "this would remove 2 results; add --yes" in refused("results", "remove", "--older")
    code = (
        "import sys; from pathlib import Path; from harness.results.curation import in_use\n"
        "from harness.results.store import Store\n"
        "with in_use(Store(Path('runs'))): print('ready', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        assert "a run is using runs" in refused("results", "remove", "--older", "--yes")


def test_a_title_stands_for_the_name_and_the_settings_on_boards_only(call: Call, faults: str) -> None:
    settings = ("--set", "ppca.latent_dim=2,3")
    run = ("run", "--plugin", faults, "--models", "ppca,pca", "--metric", "reconstruction-mse", "--dataset", "tiny")
    assert call(*run, *settings, "--no-figures", "--quiet").code == 0
    before = Path("runs", "records.jsonl").read_bytes()
    done = call("results", "rename", "ppca latent_dim=2", "[b]PPCA[/b] | k = 2")
    assert (done.code, done.err.split(";")[0]) == (0, "ppca latent_dim=2 is now [b]PPCA[/b] | k = 2")
    names = ("[b]PPCA[/b] | k = 2", "ppca latent_dim=3")
    rows = {row["title"]: row for row in json.loads(call("leaderboard", "--format", "json").out)}
    assert rows["[b]PPCA[/b] | k = 2"]["model"] == "ppca"
    assert rows["[b]PPCA[/b] | k = 2"]["settings"]["latent_dim"] == 2
    assert all(name in call("leaderboard").out for name in names)
    assert "PPCA" in call("leaderboard", "--explain", names[0], names[1]).out
    assert r"PPCA\[/b] \| k = 2" in call("leaderboard", "--format", "markdown").out
    again = call(*run, *settings, "--no-figures")
    assert names[0] in again.out
    assert "ppca latent_dim=2" not in again.out
    assert Path("runs", "records.jsonl").read_bytes() == before
    assert "1 of 1 identical" in call("reproduce", "--models", "ppca", "--plugin", faults).out.replace(
        "2 of 2", "1 of 1"
    )

    assert call("results", "rename", names[0], "k = 2").code == 0  # by its title, too
    assert "k = 2" in call("leaderboard").out
    assert call("results", "rename", "ppca latent_dim=2").code == 0
    assert "ppca latent_dim=2" in call("leaderboard").out


@pytest.mark.parametrize(("words", "message"), [
    (("hide",), "name the results, with --models"),
    (("remove", "--yes"), "name the results, with --models"),
    (("hide", "--models", "minne"), "unknown model in runs 'minne'. Did you mean 'mine'?"),
    (("rename", "pcb", "P"), "unknown model in runs 'pcb'. Did you mean 'pca'?"),
    (("rename", "pca", "mine"), "title 'mine': another model of runs has this name"),
    (("rename", "pca", "two\nlines"), "write one line of at most 60 characters"),
    (("rename", "pca", "p" * 61), "write one line of at most 60 characters"),
    (("rename", "pca", " "), "write one line of at most 60 characters"),
    (("rename", "pca", "P", "--runs", "elsewhere"), "no results in elsewhere yet"),
    (("list", "--models", "pca", "--older"), "no result of these names in runs is older"),
    (("list", "--runs", "elsewhere"), "no results in elsewhere yet"),
    (("rename", "pca", " x"), "title ' x' begins or ends with a space; write 'x'"),
    (("rename", "pca", " "), "title ' ': write one line of at most 60 characters"),
])  # fmt: skip
def test_results_that_are_not_there_are_refused(
    refused: Callable[..., str], edited: Path, words: tuple[str, ...], message: str
) -> None:
    assert message in refused("results", *words)


def test_a_damaged_list_of_hidden_cells_hides_nothing_with_a_warning(call: Call, edited: Path) -> None:
    (edited / "hidden.json").write_text("[")
    done = call("leaderboard", "--metric", "parameters")
    assert done.code == 0
    assert "hidden.json cannot be read; nothing is hidden" in done.err
