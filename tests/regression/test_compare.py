"""``harness compare`` on real versions: the same plugin twice, and with a fault planted in the second."""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest
from marks import needs_a_full_device
from versions import Cell, cell, component, store_of

from harness.errors import HarnessError, UsageError
from harness.regression import compare as compared
from harness.regression import decisions, speed, versions, workloads
from harness.regression.baseline import Baseline
from harness.regression.compare import Comparison, Lacked, _lines_about, request_of
from harness.regression.findings import Finding
from harness.regression.versions import Version, installed
from harness.results.store import Store
from harness.training import recipe

if TYPE_CHECKING:
    from tests.conftest import Call, Result

plugin = '''
import math
import time

import torch

import harness


class Toy(torch.nn.Module):
    """A linear autoencoder."""

    loss_name = "error"

    def __init__(self, info, config):
        super().__init__()
        size = math.prod(info.shape)
        self.inner = torch.nn.Linear(size, 8)
        self.outer = torch.nn.Linear(8, size)

    def loss(self, x, noise):
        {before}
        return (self.reconstruct(x) - x).square().flatten(1).sum(1).mean() {times}

    def reconstruct(self, x):
        return self.outer(self.inner(x.flatten(1))).view_as(x)


class Other(Toy):
    """The same, of another class."""


@harness.hookimpl
def harness_models():
    return [harness.ModelSpec("toy", Toy, "for tests"), harness.ModelSpec("other", Other, "for tests")]
'''

quick = ["--metric", "reconstruction-mse", "--dataset", "ppca-toy", "--epochs", "1"]
Write = Callable[..., str]


@pytest.fixture
def version(tmp_path: Path) -> Write:
    """Return a function that writes a version of the plugin and returns its path."""

    def version(folder: str, before: str = "pass", times: str = "") -> str:
        path = tmp_path / folder / "toy.py"
        path.parent.mkdir()
        path.write_text(plugin.format(before=before, times=times))
        return str(path)

    return version


@pytest.fixture
def compare(call: Call) -> Callable[..., Result]:
    """Run ``harness compare`` for the plugin's model."""

    def compare(*words: str) -> Result:
        chosen = ["--models", "toy", *quick, "--seeds", "2"]
        chosen += ["--benchmark", "step"] * ("quality" not in words)
        return call("compare", *chosen, "--format", "json", *words)

    return compare


def verdicts(result: Result) -> dict[str, str]:
    return {each["name"]: each["verdict"] for each in json.loads(result.out)}


def test_equal_versions_are_the_same(version: Write, compare: Callable[..., Result]) -> None:
    result = compare(version("a"), version("b"), "--only", "quality,count")
    assert result.code == 0, result.err
    found = verdicts(result)
    assert set(found.values()) == {"same"}
    assert len(found) == 5  # one metric; parameters, FLOPs, operators and bytes of a step


def test_a_worse_loss_and_a_model_that_fails_in_the_head_only_are_found(
    version: Write, compare: Callable[..., Result], call: Call
) -> None:
    words = [*quick, "--seeds", "2", "--no-figures", "--runs", "before"]
    assert call("run", "--models", "toy,other", *words, "--plugin", version("a")).code == 0
    head = version("b", before="if type(self) is Other: raise ValueError('planted')", times="* 0")
    result = compare("before", head, "--models", "toy,other", "--only", "quality")
    assert result.code == 1
    found = {each["name"].split(" of ")[1].split()[0]: each for each in json.loads(result.out)}
    assert {name: each["verdict"] for name, each in found.items()} == {"toy": "worse", "other": "newly failing"}
    assert "planted" in found["other"]["reason"]


def test_what_the_head_lacks_is_missing_and_the_rest_is_compared(
    version: Write, compare: Callable[..., Result], call: Call
) -> None:
    words = [*quick, "--seeds", "1", "--no-figures", "--runs", "before"]
    assert call("run", "--models", "toy,other", *words, "--plugin", version("a")).code == 0
    head = Path(version("b"))
    head.write_text(head.read_text().replace(', harness.ModelSpec("other", Other, "for tests")', ""))
    chosen = ("--models", "toy,other", "--seeds", "1", "--only", "quality")
    result = compare("before", str(head), *chosen)
    assert result.code == 1
    found = {each["name"].split(" of ")[1].split()[0]: each["verdict"] for each in json.loads(result.out)}
    assert found == {"toy": "same", "other": "missing"}
    assert "b/toy.py has no model other" in result.err


def test_what_no_side_has_is_an_error() -> None:
    """Else a name that is spelled wrongly would be left out, and the rest be green."""
    error = HarnessError("unknown model")
    both = [Lacked("a", [("model", "vea")], error), Lacked("b", [("model", "vea"), ("metric", "new")], error)]
    with pytest.raises(HarnessError, match="unknown model"):
        _lines_about(both, [])
    assert _lines_about([Lacked("a"), both[1]], []) == ["b has no model vea", "b has no metric new"]


def test_counts_are_compared_with_a_baseline(call: Call, version: Write) -> None:
    words = ["--models", "toy", "--metric", "reconstruction-mse"]
    assert call("run", *words, "--epochs", "1", "--no-figures", "--plugin", version("a")).code == 0
    assert call("baseline", "save", "released", "--counts", "--plugin", version("again")).code == 0
    heavier = version("b", before="torch.ones(5_000_000) * 2")
    result = call("compare", "released.jsonl", heavier, "--only", "count", "--benchmark", "step", "--format", "json")
    assert result.code == 1
    found = verdicts(result)
    assert found["training step of toy: peak bytes"] == found["training step of toy: operator calls"] == "worse"
    assert found["training step of toy: parameters"] == found["training step of toy: FLOPs"] == "same"
    other = call("compare", "released.jsonl", heavier, "--only", "count", "--dataset", "ppca-toy")
    assert other.code == 4
    assert "Counts are not compared, since BASE has binarized-mnist-10k, HEAD ppca-toy." in " ".join(other.out.split())


def test_a_slower_step_is_found_and_named(
    version: Write, compare: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "_most_seconds", 0.6)  # a process is timed for as short as one of many benchmarks
    for module in (speed, decisions):
        monkeypatch.setattr(module, "looks", (3, 6, 9))  # after fewer blocks, if the machine is quiet
    quick, slower = "time.sleep(0.005)", "time.sleep(0.02)"  # which differ far more than processes do
    result = compare(version("a", before=quick), version("b", before=slower), "--only", "speed")
    assert result.code == 1, result.err
    (finding,) = json.loads(result.out)
    assert finding["name"] == "training step of toy"
    assert finding["verdict"] == "worse"
    assert 1.03 < finding["low"] < finding["ratio"] < finding["high"]
    assert finding["head"] / finding["base"] == pytest.approx(finding["ratio"])
    assert finding["kind"] == "speed"


def test_what_fails_in_one_version_is_no_comparison(version: Write, compare: Callable[..., Result]) -> None:
    fails = "if type(self) is {}: raise ValueError('planted')"
    base, head = version("a", before=fails.format("Other")), version("b", before=fails.format("Toy"))
    result = compare(base, head, "--models", "toy,other", "--only", "count")
    assert result.code == 1
    found = {each["name"]: each for each in json.loads(result.out)}
    assert {name: each["verdict"] for name, each in found.items()} == {
        "training step of toy": "newly failing",
        "training step of other": "inconclusive",
    }
    assert {each["kind"] for each in found.values()} == {"count"}
    assert all("planted" in each["reason"] for each in found.values())
    assert found["training step of other"]["reason"].startswith("it fails in the base")


def test_a_process_that_ends_is_newly_failing(version: Write, compare: Callable[..., Result]) -> None:
    ends = "import os, sys; print('first\\nout of paper', file=sys.stderr, flush=True); os._exit(7)"
    result = compare(version("a"), version("b", before=ends), "--only", "speed")
    assert result.code == 1
    (finding,) = json.loads(result.out)
    assert finding["reason"] == "its process ended with exit code 7: out of paper"


def test_a_benchmark_that_fails_once_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[speed.Outcome] = [speed.Failed("once"), ({}, 1.0), speed.Failed("first"), speed.Failed("second")]
    monkeypatch.setattr(speed, "_outcome", lambda benchmark, worker: found.pop(0))
    benchmarks = [speed.Benchmark(name, {}) for name in ("a", "b")]
    outcomes = speed.outcomes_of(benchmarks, Version("this one"))
    assert outcomes["a"] == ({}, 1.0)
    assert str(outcomes["b"]) == "second"


def test_processes_that_are_timed_leave_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    found = speed.outcomes_of([speed.Benchmark("appending a record", {"work": "append"})], Version("this one"))
    assert isinstance(found["appending a record"], tuple)
    assert list(tmp_path.iterdir()) == []


def test_without_time_nothing_is_decided(version: Write, compare: Callable[..., Result]) -> None:
    result = compare(version("a"), version("b"), "--only", "speed", "--budget", "1s")
    (finding,) = json.loads(result.out)
    assert (result.code, finding["verdict"], finding["reason"]) == (4, "inconclusive", "time was up")
    assert [finding[each] for each in ("ratio", "low", "high", "head")] == [None] * 4


def test_what_is_inconclusive_may_pass_but_not_if_it_is_all(call: Call, tmp_path: Path) -> None:
    other = cell(metric=component("kl", samples=1))
    store_of(tmp_path / "before", [cell(), other])
    store_of(tmp_path / "after", [cell(), cell(metric=component("kl", samples=5))])
    words = ("compare", "before", "after", "--inconclusive", "pass", "--format", "json")
    result = call(*words)
    assert (result.code, sorted(verdicts(result).values())) == (0, ["inconclusive", "same"])
    assert call(*words, "--metric", "kl").code == 4


def test_a_version_that_has_no_model_of_this_name_is_never_green(
    version: Write, compare: Callable[..., Result]
) -> None:
    words = ("--models", "toyy", "--only", "count", "--inconclusive", "pass")
    result = compare(version("a"), version("b"), *words)
    assert (result.code, result.err.splitlines()[-1]) == (3, "harness: neither version has the model toyy")


def test_a_metric_that_no_longer_applies_is_newly_failing(monkeypatch: pytest.MonkeyPatch) -> None:
    works, no_encoder = ({}, 1.0), speed.Inapplicable("it has no encoder")
    outcomes: dict[str, dict[str, speed.Outcome]] = {
        "base": {"lost": works, "gained": no_encoder, "neither": no_encoder},
        "head": {"lost": no_encoder, "gained": works, "neither": no_encoder},
    }
    monkeypatch.setattr(speed, "outcomes_of", lambda benchmarks, version, *more: outcomes[version.name])
    benchmarks = [speed.Benchmark(name, {}) for name in ("lost", "gained", "neither")]
    surveyed = speed.survey(benchmarks, Version("base"), Version("head"))
    assert [(each.name, each.verdict, each.reason) for each in surveyed.findings] == [
        ("lost", "newly failing", "it no longer applies: it has no encoder")
    ]
    assert surveyed.notes == [f"{name} is left out: it has no encoder" for name in ("gained", "neither")]


def test_benchmarks_run_on_versions_that_build_models_in_another_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delattr(recipe, "new_model")
    common = {"dataset": "ppca-toy", "device": "cpu", "data": None, "cache": str(tmp_path), "plugins": []}
    request = {"model": "pca", "metric": "reconstruction-mse", "settings": {"pca": {"latent_dim": "2"}}, **common}
    workloads.evaluation(request).call()
    (answer,) = workloads._answers(iter([json.dumps({"prepare": "a step", "work": "step", **request})]))
    assert "closed form" in answer["inapplicable"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no-such-revision", "."], "is no git revision of the current folder"),
        ([".", "missing.py"], "there is no such file"),
        (["folder", "."], "neither records.jsonl nor pyproject.toml is in this folder"),
        (["a.jsonl", "."], "cannot read the baseline"),
        (["x", "y", "--only", "sped"], "Did you mean 'speed'?"),
        (["x", "y", "--benchmark", "stp"], "Did you mean 'step'?"),
        (["x", "y", "--tolerance", "elbo"], "write METRIC=V"),
        (["x", "y", "--tolerance", "elbo=-1"], "write METRIC=V"),
        (["x", "y", "--set", "vae.latent_dim=2,3"], "give one value"),
        (["x", "y", "--figure", "a.pdf"], "ends with .svg or .png"),
        (["x", "y", "--budget", "soon"], "is not a length of time"),
        (["x", "y", "--output", "a.md", "--output", "a.html"], "a.html: write a name that ends with"),
        (["x", "y", "--output", "folder", "--format", "json"], "is a folder; name a file"),
        (["x", "y", "--output", "pyproject.toml/a.md"], "--output pyproject.toml: this folder cannot be written to"),
        (["x", "y", "--figure", "pyproject.toml/a.svg"], "--figure pyproject.toml: this folder cannot be written to"),
        (["x", "y", "--output", "a.md", "--output", "b.json", "--format", "json"], "is for one --output"),
    ],
)
def test_bad_input_gets_a_clear_message(call: Call, tmp_path: Path, words: list[str], message: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\nversion = '1'\n")
    result = call("compare", *words)
    assert result.code == 2
    assert message in result.err


@pytest.fixture
def git(tmp_path: Path) -> Callable[..., None]:
    """Return a function that runs git in a new repository."""

    def git(*words: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-q")
    return git


def test_a_revision_that_is_not_in_the_checkout_says_what_may_be_wrong_with_it(
    call: Call, tmp_path: Path, git: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for message in ("one", "two"):
        git("commit", "-q", "--allow-empty", "-m", message)
    git("clone", "-q", "--depth", "1", tmp_path.as_uri(), "cut")
    whole = call("compare", "HEAD~2", "x")
    assert whole.err.endswith("NAME==VERSION or FILE.py.\n")
    monkeypatch.chdir(tmp_path / "cut")
    assert "'git fetch --unshallow --tags' fetches the rest" in call("compare", "HEAD~1", "x").err
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nothing"))
    assert "'git status' says why" in call("compare", "HEAD", "x").err


def test_a_revision_that_does_not_build_is_an_error(call: Call, tmp_path: Path, git: Callable[..., None]) -> None:
    (tmp_path / "pyproject.toml").write_text("[build-system]\nrequires = []\nbuild-backend = 'no_such_backend'\n")
    git("add", "-A")
    git("commit", "-qm", "Cannot be built")
    result = call("compare", "HEAD", "HEAD")
    assert result.code == 3
    assert "HEAD does not build" in result.err
    assert "Traceback" not in result.err.splitlines()[0]


def test_a_folder_that_git_does_not_know_is_installed_for_one_comparison(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "files").mkdir()
    build = "[build-system]\nrequires = []\nbuild-backend = 'no_such_backend'\n"
    (tmp_path / "mine" / "pyproject.toml").write_text(build)
    command = [sys.executable, "-P", "-m", "harness", "compare", "mine", "mine"]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "files")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert "mine does not build" in done.stderr
    assert list((tmp_path / "files").iterdir()) == []


def test_a_package_in_a_folder_of_its_repository_has_revisions(
    tmp_path: Path, git: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "packages" / "mine"
    (project / "mine").mkdir(parents=True)
    (project / "tests").mkdir()
    (project / "mine" / "__init__.py").write_text("version = 1\n")
    build = "requires = ['hatchling']\nbuild-backend = 'hatchling.build'\n"
    (project / "pyproject.toml").write_text(f"[build-system]\n{build}[project]\nname = 'mine'\nversion = '1'\n")
    git("add", "-A")
    git("commit", "-qm", "Add a package")
    (project / "mine" / "__init__.py").write_text("version = 2\n")
    monkeypatch.chdir(project / "tests")
    found = installed("HEAD", tmp_path / "cache", (), print).folder
    assert found is not None
    assert (found / "mine" / "__init__.py").read_text() == "version = 1\n"


def test_empty_results_are_never_green(call: Call, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "records.jsonl").touch()
    result = call("compare", "a", "b")
    assert result.code == 4
    assert "nothing was compared" in result.out


@pytest.fixture
def stored(tmp_path: Path) -> None:
    """Write equal results to the folders ``before`` and ``after``."""
    for name in ("before", "after"):
        store_of(tmp_path / name, [cell()])


def test_names_choose_among_stored_results(call: Call, tmp_path: Path) -> None:
    cells = [cell(model=component(model), metric=component(metric)) for model in "ab" for metric in ("elbo", "kl")]
    store_of(tmp_path / "before", cells)
    store_of(tmp_path / "after", cells[:1])
    assert call("compare", "before", "after").code == 1
    chosen = call("compare", "before", "after", "--models", "a", "--metric", "elbo", "--format", "json")
    assert (chosen.code, verdicts(chosen)) == (0, {"elbo of a on digits": "same"})
    assert call("compare", "before", "after", "--models", "b", "--dataset", "digits").code == 1


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("sides", [("before", "after"), ("after", "before")])
def test_stored_results_of_which_a_line_is_damaged_are_refused(
    call: Call, tmp_path: Path, sides: tuple[str, str]
) -> None:
    with (tmp_path / "before" / "records.jsonl").open("a") as file:
        file.write('{"cell_key": "12')
    result = call("compare", *sides)
    assert (result.code, result.out) == (2, "")
    assert "before/records.jsonl, line 2: not a readable record" in result.err


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--models", "vea"], "unknown model of the stored results 'vea'. Did you mean 'vae'?"),
        (["--metric", "elbow"], "unknown metric of the stored results 'elbow'. Did you mean 'elbo'?"),
        (["--dataset", "digit"], "unknown dataset of the stored results 'digit'. Did you mean 'digits'?"),
        (["--epochs", "3"], "--epochs is for versions that are run"),
        (["--seeds", "3"], "--seeds is for versions that are run"),
        (["--set", "vae.latent_dim=3"], "--set is for versions that are run"),
        (["--benchmark", "step"], "--benchmark is for versions that are run"),
        (["--slowdown", "0.1"], "--slowdown is for versions that are run"),
        (["--device", "cpu"], "--device is for versions that are run"),
        (["--only", "count", "--tolerance", "elbo=1"], "--tolerance changes findings on quality only"),
        (["--only", "quality", "--more", "0.1"], "--more changes findings on count only"),
        (["--tolerance", "elbow=1"], "unknown metric with a tolerance 'elbow'. Did you mean 'elbo'?"),
    ],
)
def test_an_option_that_would_change_nothing_is_refused(call: Call, words: list[str], message: str) -> None:
    result = call("compare", "before", "after", *words)
    assert (result.code, result.out) == (2, "")
    assert message in result.err


def test_an_empty_name_of_a_version_is_not_the_working_tree(call: Call, tmp_path: Path) -> None:
    store_of(tmp_path, [cell()])
    for sides in (["", "."], [".", " "]):
        result = call("compare", *sides)
        assert result.code == 2
        assert "is empty; name a version or stored results" in result.err


def test_a_baseline_of_several_settings_is_compared_with_all_of_them(call: Call, version: Write) -> None:
    words = ["--metric", "reconstruction-mse", "--dataset", "ppca-toy", "--epochs", "1", "--seeds", "1", "--no-figures"]
    words += ["--batch-size", "64"]
    sizes = ["--set", "pca.latent_dim=2,3", "--set", "ppca-toy.train=500"]
    assert call("run", "--models", "toy,pca", *words, *sizes, "--plugin", version("a")).code == 0
    assert call("baseline", "save", "base").code == 0
    only = ["--only", "quality", "--format", "json"]
    result = call("compare", "base.jsonl", version("b"), *only)
    assert (result.code, list(verdicts(result).values())) == (0, ["same"] * 3), result.out
    some = call("compare", "base.jsonl", version("c"), "--models", "toy", *only)
    assert (some.code, len(verdicts(some))) == (0, 1)


def test_results_after_steps_are_not_compared_with_those_after_epochs(
    call: Call, version: Write, tmp_path: Path
) -> None:
    store_of(tmp_path / "before", [cell(budget={"steps": 20, "batch_size": 128, "weights": "last"})])
    result = call("compare", "before", version("a"), "--only", "quality")
    assert (result.code, result.out) == (2, "")
    assert "trained for 20 steps, batch size 128, but versions are trained for epochs" in result.err


@pytest.mark.usefixtures("stored")
def test_one_comparison_writes_every_format_by_its_suffix(call: Call, tmp_path: Path) -> None:
    names = ("comment.md", "findings.json", "junit.xml", "table.txt")
    words = [word for name in names for word in ("--output", f"reports/{name}")]
    result = call("compare", "before", "after", *words, "--figure", "reports/changes.svg")
    assert result.code == 0, result.err
    assert result.out == "no regression: 1 same\n"
    comment, findings, junit, table = ((tmp_path / "reports" / name).read_text() for name in names)
    assert comment.startswith("### before → after\n")
    assert [each["verdict"] for each in json.loads(findings)] == ["same"]
    assert ElementTree.fromstring(junit).get("tests") == "1"
    assert "95% interval" in table
    assert "<svg" in (tmp_path / "reports" / "changes.svg").read_text()


@pytest.mark.usefixtures("stored")
@needs_a_full_device
def test_a_report_that_cannot_be_written_is_no_regression(call: Call) -> None:
    result = call("compare", "before", "after", "--format", "json", "--output", "/dev/full")
    assert result.code == 3
    assert result.err == "harness: cannot write the report /dev/full: No space left on device\n"


@pytest.mark.usefixtures("stored")
def test_a_given_format_comes_before_the_suffix(call: Call, tmp_path: Path) -> None:
    assert call("compare", "before", "after", "--format", "json", "--output", "report.md").code == 0
    assert call("compare", "before", "after", "--format", "json", "--output", "report").code == 0
    texts = [(tmp_path / name).read_text() for name in ("report.md", "report")]
    assert [json.loads(text)[0]["verdict"] for text in texts] == ["same", "same"]


def test_folders_that_git_does_not_list_are_never_taken_for_each_other(
    tmp_path: Path, git: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git lists no file of an ignored folder, of a submodule, or behind a link to a folder."""
    (tmp_path / ".gitignore").write_text("ignored/\nelsewhere/\n")
    for name in ("ignored/old", "ignored/new", "elsewhere", "linked", "listed"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "pyproject.toml").write_text("[project]\nname = 'mine'\n")
    (tmp_path / "linked" / "mine").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    git("add", "-A")
    monkeypatch.setattr(versions, "_pip", lambda *words, name: None)

    def folder(name: str) -> Path | None:
        return installed(str(tmp_path / name), tmp_path / "cache", (), lambda line: None).folder

    assert folder("listed") == folder("listed")
    assert folder("ignored/old") != folder("ignored/new")
    before = folder("linked")
    (tmp_path / "elsewhere" / "model.py").write_text("changed = True\n")
    assert folder("linked") != before


def test_two_processes_may_install_the_same_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()

    def installed_by_another(*words: str, name: str) -> None:
        (tmp_path / "cache" / "installed").mkdir()
        (tmp_path / "cache" / "installed" / "model.py").write_text("")

    monkeypatch.setattr(versions, "_pip", installed_by_another)
    folder = versions._install("mine", tmp_path / "cache" / "installed", lambda line: None, "mine")
    assert [each.name for each in folder.iterdir()] == ["model.py"]
    assert [each.name for each in folder.parent.iterdir()] == ["installed"]


def test_versions_that_were_not_used_for_a_week_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "_pip", lambda *words, name: None)

    def install(name: str) -> None:
        versions._install(name, tmp_path / "versions" / name, lambda line: None, name)

    for name in ("unused", "used", "recent"):
        install(name)
    day = 24 * 3600
    for name, days in (("unused", 8), ("used", 8), ("recent", 6)):
        os.utime(tmp_path / "versions" / name, (time.time() - days * day,) * 2)
    install("used")
    install("new")
    assert {each.name for each in (tmp_path / "versions").iterdir()} == {"used", "recent", "new"}


Runs = Callable[..., Comparison]


@pytest.fixture
def runs(version: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Runs:
    """Return a function that makes a comparison whose versions, when they are run, store the given cells."""
    sides = {"base": version("a"), "head": version("b")}

    def runs(cells: list[Cell], **fields: Any) -> Comparison:
        def store(found: Version, words: Any, store: Path, deadline: float) -> versions.Ran:
            store_of(store, cells)
            return versions.Ran(is_finished=True, last_lines="error: no space left on device")

        monkeypatch.setattr(compared, "run_models", store)
        monkeypatch.setattr(compared, "provided_by", lambda found, deadline: {})
        given = {"models": ["vae"], "metrics": ["elbo"], "dataset": "digits", "seeds": 2, "epochs": 20}
        return Comparison(cache=tmp_path / "cache", kinds=["quality"], **{**sides, **given, **fields})

    return runs


@pytest.mark.parametrize(("seeds", "lost"), [([], "elbo of vae:"), ([0], "elbo of vae, seed 1:")])
def test_a_run_that_recorded_less_than_was_asked_for_is_an_error(runs: Runs, seeds: list[int], lost: str) -> None:
    with pytest.raises(HarnessError, match=f"recorded nothing of {lost}\nerror: no space left on device"):
        runs([cell(seed) for seed in seeds]).carry_out()
    failed = [cell(0, None, status="error", reason="out of paper")]
    assert [each.verdict for each in runs(failed).carry_out()[0]] == ["same"]


def test_stored_results_that_no_run_of_a_version_has_are_left_out(runs: Runs, tmp_path: Path) -> None:
    others = [
        cell(split="validation"),
        cell(evaluation_seed=1),
        cell(budget={"steps": 9, "batch_size": 128, "weights": "last"}),
        cell(budget={"epochs": 9, "batch_size": 128, "weights": "last"}),
    ]
    both = [cell(seed) for seed in (0, 1)]
    store_of(tmp_path / "stored", [*both, *others])
    findings, notes = runs(both, base=Store(tmp_path / "stored")).carry_out()
    assert [each.verdict for each in findings] == ["same"]
    assert [line for line in notes if line.startswith("4 stored results left out: a version is trained for 20 epochs")]


def test_the_chosen_results_say_what_is_asked_for(tmp_path: Path) -> None:
    digits, other = (component(name) for name in ("digits", "other"))
    budget = {"epochs": 3, "batch_size": 128, "weights": "last"}
    store_of(tmp_path, [cell(dataset=digits), cell(1, dataset=other), cell(dataset=digits, budget=budget)])
    stored = Store(tmp_path)
    with pytest.raises(UsageError, match="several data sets digits, other: name one"):
        request_of(stored)
    with pytest.raises(UsageError, match="several epochs 3, 20: name one"):
        request_of(stored, {"dataset": ["digits"]})
    assert request_of(stored, {"dataset": ["other"]})["seeds"] == 2
    assert request_of(stored, {"dataset": ["digits"]}, 3)["epochs"] == 3
    changed = cell(model=component("vae", latent_dim=5, changed=("latent_dim",)))
    store_of(tmp_path / "changed", [changed])
    assert request_of(Store(tmp_path / "changed"), {"model": ["vae"]})["settings"] == {"vae": {"latent_dim": "5"}}
    assert request_of(Store(tmp_path / "changed"), {"model": ["gan"]})["settings"] == {}


def test_settings_of_what_is_not_compared_are_refused(call: Call, runs: Runs, version: Write) -> None:
    with pytest.raises(UsageError, match="setting 'vea'"):
        runs([], settings={"vea": {"latent_dim": "3"}})
    result = call("compare", version("c"), version("d"), "--set", "vea.latent_dim=3")
    assert result.code == 2
    assert "unknown model, metric or data set with a setting 'vea'. Did you mean 'vae'?" in result.err


def test_a_tolerance_that_a_metric_of_a_file_states_is_used(runs: Runs, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import harness\n\n\n@harness.hookimpl\ndef harness_metrics():\n"
        "    return [harness.MetricSpec('mine', lambda config: None, 'for tests', tolerance=0.001)]\n"
    )
    comparison = runs([], head=str(tmp_path / "mine.py"), metrics=["mine"])
    assert comparison._tolerances([])["mine"] == 0.001


def test_a_plugin_file_with_a_problem_is_an_error_and_not_a_benchmark_that_fails_in_both(
    runs: Runs, tmp_path: Path
) -> None:
    (tmp_path / "typo.py").write_text("import harnes\n")
    with pytest.raises(UsageError, match=r"typo\.py: line 1: failed to import"):
        runs([], plugin_files=[tmp_path / "typo.py"]).carry_out()


def test_a_missing_benchmark_has_the_reason_of_its_own(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = {"base": [], "head": [("model", "gan"), ("metric", "kl")]}
    monkeypatch.setattr(Comparison, "_lacking", lambda self, found, deadline: lacking[found.name])
    comparison = runs([], models=["vae", "gan"], metrics=["elbo", "kl"])
    _, missing = comparison._provided(comparison.benchmarks(), Version("base"), Version("head"), "speed", 1.0, [])
    assert {each.name: each.reason for each in missing if each.name in ("kl of vae", "training step of gan")} == {
        "kl of vae": "head has no metric kl",
        "training step of gan": "head has no model gan",
    }


def test_what_cannot_be_counted_any_more_is_newly_failing(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "training step of vae"
    monkeypatch.setattr(compared, "outcomes_of", lambda *given: {name: speed.Failed("out of paper")})
    stored = Baseline([cell()[0]], counts={name: {"FLOPs": 3}})
    comparison = runs([], works=["step"], seeds=1)
    (finding,) = replace(comparison, base=stored, kinds=["count"]).carry_out()[0]
    assert (finding.verdict, finding.reason) == ("newly failing", "out of paper")


def test_counts_of_a_cpu_are_not_compared_with_those_of_a_gpu(runs: Runs) -> None:
    stored = Baseline([cell()[0]], counts={"training step of vae": {"peak bytes": 3}})
    findings, notes = replace(runs([], device="cuda"), base=stored, kinds=["count"]).carry_out()
    assert (findings, notes) == ([], ["Counts are not compared, since those of BASE are of a CPU, not of cuda."])


@pytest.mark.parametrize(
    ("taken", "expected"),
    [
        (Finding(decisions.control, "speed", "newly failing", reason="it ends"), ("newly failing", "it ends")),
        (None, ("inconclusive", "time was up")),
    ],
)
def test_a_block_that_fails_or_does_not_end_leaves_no_traceback(
    taken: Finding | None, expected: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "take_block", lambda *given: taken)
    benchmark, version = speed.Benchmark("step", {}), Version("this one")
    surveyed = speed.Surveyed({"step": speed.Unit(1, 4)})
    (finding,) = speed.compare_speed([benchmark], surveyed, version, version, slowdown=0.03, deadline=math.inf)
    assert finding.verdict == expected[0]
    assert expected[1] in (finding.reason or "")


def test_a_hanging_process_is_not_waited_for_after_the_deadline() -> None:
    benchmarks, versions = [speed.Benchmark("start-up", {"work": "start-up"})], {"base": Version("this one")}
    units = {"start-up": speed.Unit(1, 4)}
    assert speed.take_block(benchmarks, units, versions, random.Random(0), time.monotonic()) is None
