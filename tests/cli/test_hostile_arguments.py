"""Whatever stands on a command line, a command ends with a documented exit code, and never with a traceback."""

from __future__ import annotations

import itertools
import shutil
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import hostile
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cli.main import cli

if TYPE_CHECKING:
    from tests.conftest import Call

records = Path(__file__).parents[1] / "fixtures" / "store" / "records.jsonl"
documented = {0, 1, 2, 3, 4, 5, 130}
sound = st.sampled_from([
    "pca", "vae", "gan", "pca,vae", "reconstruction-mse", "elbo", "kernel-distance", "mnist-10k", "binarized-mnist-10k",
    "pca.latent_dim=3", "pca.latent_dim=2,3", "elbo=-100", "runs", "3",
])  # fmt: skip
# What makes a command one that can do something.
starts = {
    "run": ["--dry-run", "--models", "pca,vae", "--metric", "reconstruction-mse,elbo"],
    "score": ["--dry-run", "--against", "mnist-10k", "--metric", "kernel-distance"],
}


def commands(command: click.Command, *names: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield a command and those within it, with their names."""
    if isinstance(command, click.Group):
        with click.Context(command) as context:
            for name in command.list_commands(context):
                found = command.get_command(context, name)
                assert found is not None
                yield from commands(found, *names, name)
    else:
        yield names, command


every = dict(commands(cli))


@st.composite
def arguments(draw: st.DrawFn, names: tuple[str, ...]) -> list[str]:
    """Draw arguments of a command: of its own options, with sound and with hostile values."""
    options = [each for each in every[names].params if isinstance(each, click.Option)]
    found = list(starts.get(names[0], []))
    count = sum(isinstance(each, click.Argument) for each in every[names].params)
    found += draw(st.lists(sound | hostile.values, max_size=count + 1))
    for option in draw(st.lists(st.sampled_from(options), max_size=3)) if options else ():
        found.append(draw(st.sampled_from([*option.opts, *option.secondary_opts])))
        if not option.is_flag:
            choices = option.type.choices if isinstance(option.type, click.Choice) else []
            known = st.sampled_from([str(each) for each in choices]) if choices else sound
            found.append(draw(known | hostile.values))
    return found


@pytest.fixture
def computes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what takes long or does not end."""

    def nothing(*arguments: Any, **named: Any) -> list[Any]:
        return []

    for name in ("calibrate._calibrate_estimators", "calibrate._check_metrics_of_samples", "reproduce.reproduced",
                 "report._serve"):  # fmt: skip
        monkeypatch.setattr(f"harness.cli.{name}", nothing)
    monkeypatch.setattr("harness.cli.baseline._counted", lambda *arguments: {})
    monkeypatch.setattr("harness.conformance.suite.results_of", nothing)
    monkeypatch.setattr("harness.regression.compare.Comparison.carry_out", lambda comparison: ([], []))
    monkeypatch.setattr("harness.cli.profile._show", nothing)
    monkeypatch.setattr("harness.training.profile.profile_steps", nothing)


folders = itertools.count()


@pytest.mark.parametrize("names", every, ids=" ".join)
def test_no_argument_ends_a_command_with_a_traceback(
    names: tuple[str, ...], call: Call, computes_nothing: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @hostile.tried(8)
    @given(arguments(names))
    def try_(drawn: list[str]) -> None:
        folder = tmp_path / str(next(folders)) / "a" / "b"  # above it is room for ../..
        (folder / "runs").mkdir(parents=True)
        shutil.copy(records, folder / "runs")
        monkeypatch.chdir(folder)
        done = call(*names, *drawn)
        assert done.code in documented
        assert "Traceback" not in done.err
        if done.code == 2:
            assert done.out == ""
            assert done.err.strip()
            assert [each for each in done.err if unicodedata.category(each) == "Cc" and each not in "\n\t"] == []

    try_()
