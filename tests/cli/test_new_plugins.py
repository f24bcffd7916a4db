"""A run checks each plugin that it meets for the first time, says what fails, and goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from small_models import tiny_data_set

from harness.cli import new_plugins
from harness.execution.workers import start_process

if TYPE_CHECKING:
    from tests.conftest import Call, Result

plugin = (
    tiny_data_set
    + """
class Guest(torch.nn.Module):
    def __init__(self, info, config):
        super().__init__()
        self.w = torch.nn.Parameter(torch.zeros(info.dim))
    def reconstruct(self, x):
        print("looking at", len(x))
        return x * self.w.view(x.shape[1:])
    def loss(self, x, noise):
        return (x * self.w.view(x.shape[1:]) - x).square().mean()

@harness.hookimpl
def harness_datasets():
    return [harness.DatasetSpec("tiny", Tiny, "small")]

@harness.hookimpl
def harness_models():
    return [harness.ModelSpec("guest", Guest, "prints")]
"""
)


@pytest.fixture
def shared_cache(tmp_path: Path) -> Path:
    """Return a cache of one test, since plugins that were checked are kept there."""
    return tmp_path / "cache"


@pytest.fixture
def run(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Return a function that runs the plugin, and checks it as a user's run does."""
    monkeypatch.setattr("harness.cli.run.check_new_plugins", new_plugins.check_new_plugins)
    (tmp_path / "guest.py").write_text(plugin)

    def run(*more: str) -> Result:
        chosen = ["--models", "guest,pca", "--metric", "reconstruction-mse", "--dataset", "tiny", "--steps", "2"]
        return call("run", "--plugin", "guest.py", *chosen, "--jobs", "1", "--no-figures", *more)

    return run


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Let no process be started; return the names that are checked, call by call."""
    found: list[list[str]] = []

    def results(names: list[str], specification: Any) -> list[dict[str, str]]:
        found.append(list(names))
        return []

    monkeypatch.setattr(new_plugins, "_results", results)
    return found


def test_a_plugin_that_is_used_for_the_first_time_is_checked_and_the_run_goes_on(run: Callable[..., Result]) -> None:
    done = run()
    assert done.code == 0
    assert "checking guest, used here for the first time" in done.err
    (line,) = [line for line in done.err.splitlines() if "fails the check" in line]
    assert line.startswith("warning: guest fails the check model-prints-nothing: ")
    assert "Seen: it printed 'looking at" in line


def test_a_plugin_is_checked_again_only_after_its_source_has_changed(
    run: Callable[..., Result], checked: list[list[str]], tmp_path: Path
) -> None:
    assert run().code == 0
    assert run("--fresh").code == 0
    assert run("--seeds", "2").code == 0
    assert checked == [["guest"], ["tiny"]]
    (tmp_path / "guest.py").write_text(f"{plugin}\n# changed\n")
    assert run().code == 0
    assert checked == 2 * [["guest"], ["tiny"]]


def test_nothing_is_checked_if_nothing_is_to_be_computed(
    run: Callable[..., Result], checked: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without:
        without.setattr("harness.cli.run.check_new_plugins", lambda run: None)
        assert run().code == 0
    assert run().code == 0
    assert checked == []


def start_no_check(work: Callable[..., None], *arguments: Any, **named: Any) -> Any:
    if work is new_plugins._check:
        raise OSError("no memory")
    return start_process(work, *arguments, **named)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("harness.cli.new_plugins._check", print),
        ("harness.execution.workers.start_process", start_no_check),
    ],
    ids=["without results", "not started"],
)
def test_a_check_that_breaks_off_is_a_warning(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, place: str, value: Any
) -> None:
    monkeypatch.setattr(place, value)
    done = run()
    assert done.code == 0
    assert "warning: guest could not be checked; 'harness check' says why" in done.err
    assert "warning: tiny could not be checked; 'harness check' says why" in done.err


def test_a_check_that_takes_too_long_is_a_warning_and_is_not_repeated(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.cli.new_plugins._longest", 0.0)
    done = run()
    assert done.code == 0
    for name in ("guest", "tiny"):
        assert f"warning: the checks of {name} take more than 0 s and were ended; see 'harness check'" in done.err
    assert "checking" not in run("--fresh").err


drawn = "torch.rand(60, 30, generator=g)"
faults = {
    "dataset-loads-repeatably": plugin.replace(drawn, "torch.from_numpy(numpy.random.default_rng().random((60, 30)))"),
    "dataset-inputs-are-in-the-support": plugin.replace("Data.from_tensors", "mislabelled"),
    "dataset-mean-is-that-of-the-inputs": plugin.replace("Data.from_tensors", "brighter"),
    "dataset-splits-are-disjoint": plugin.replace(drawn, "torch.rand(60, 30, generator=g.manual_seed(1))"),
}
helpers = """
import dataclasses
import numpy

def with_info(*splits, **changes):
    data = harness.Data.from_tensors(*splits)
    return dataclasses.replace(data, info=dataclasses.replace(data.info, **changes))

harness.mislabelled = lambda *splits: with_info(*splits, support="binary")
harness.brighter = lambda *splits: with_info(*splits, mean=torch.ones(30))
"""


@pytest.mark.parametrize("check", faults)
def test_a_data_set_that_is_used_for_the_first_time_is_checked(
    run: Callable[..., Result], check: str, tmp_path: Path
) -> None:
    (tmp_path / "guest.py").write_text(faults[check] + helpers)
    done = run()
    assert done.code == 0
    assert "checking tiny, used here for the first time" in done.err
    (line,) = [line for line in done.err.splitlines() if "tiny fails the check" in line]
    assert check in line


def test_a_data_set_is_checked_with_the_data_folder_of_the_run(run: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    built = "(harness.brighter if source.data_dir.name == 'mine' else harness.Data.from_tensors)("
    (tmp_path / "guest.py").write_text(plugin.replace("harness.Data.from_tensors(", built) + helpers)
    assert "tiny fails the check dataset-mean-is-that-of-the-inputs" in run("--data-dir", str(tmp_path / "mine")).err


def test_a_data_set_whose_settings_have_no_defaults_is_not_checked(
    run: Callable[..., Result], checked: list[list[str]], tmp_path: Path
) -> None:
    required = """
class Required(Tiny):
    @dataclasses.dataclass(frozen=True)
    class Config:
        place: str = harness.setting("", "a place", required=True)

Tiny = Required
"""
    (tmp_path / "guest.py").write_text(plugin + helpers + required)
    assert run("--set", "tiny.place=here").code == 0
    assert checked == [["guest"]]
