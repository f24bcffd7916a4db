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

    def results(names: list[str], files: Any) -> list[dict[str, str]]:
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
    assert checked == [["guest"]]
    (tmp_path / "guest.py").write_text(f"{plugin}\n# changed\n")
    assert run().code == 0
    assert checked == [["guest"], ["guest"]]


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
        ("harness.cli.new_plugins._longest", 0.0),
        ("harness.cli.new_plugins._check", print),
        ("harness.execution.workers.start_process", start_no_check),
    ],
    ids=["slow", "without results", "not started"],
)
def test_a_check_that_does_not_end_is_a_warning(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, place: str, value: Any
) -> None:
    monkeypatch.setattr(place, value)
    done = run()
    assert done.code == 0
    assert "warning: guest could not be checked; 'harness check' says why" in done.err
