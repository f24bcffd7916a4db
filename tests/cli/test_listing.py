"""What ``list``, ``show`` and ``--help`` tell is what is installed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from harness.planning.component import config_type_of
from harness.registry import Provided, Registry
from harness.settings import describe, show

if TYPE_CHECKING:
    from tests.conftest import Call

installed = Registry.load()
kinds = ("model", "metric", "dataset")


@pytest.mark.parametrize("kind", kinds)
def test_the_list_names_all_that_is_installed_under_its_kind_and_whose_it_is(call: Call, kind: str) -> None:
    rows = json.loads(call("list", f"{kind}s", "--format", "json").out)
    assert [(row["name"], row["kind"], row["summary"], row["distribution"]) for row in rows] == [
        (each.spec.name, kind, each.spec.summary, each.plugin.distribution) for each in installed.all(kind)
    ]
    shown = call("list", f"{kind}s").out
    assert all(row["name"] in shown for row in rows)


@pytest.mark.parametrize("thing", [each for kind in kinds for each in installed.all(kind)], ids=lambda e: e.spec.name)
def test_showing_a_thing_names_every_setting_with_its_default(
    call: Call, monkeypatch: pytest.MonkeyPatch, thing: Provided
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    shown = call("show", thing.spec.name).out
    assert shown.startswith(thing.spec.name)
    assert thing.spec.summary in shown
    settings = describe(config_type_of(thing))
    _, _, table = shown.partition("takes")
    for each in settings:
        assert each.help
        (line,) = [line for line in table.splitlines() if line.split()[:1] == [each.name]]
        default = f"required, such as {show(each.default)}" if each.required else show(each.default)
        assert line.split()[1 : 1 + len(default.split())] == default.split()
        assert each.help in line
        assert each.expected() in line
    assert ("It has no settings." in shown) is not bool(settings)


def test_help_lists_every_command_and_each_explains_itself(call: Call) -> None:
    shown = call("--help").out
    for each in installed.all("command"):
        assert each.spec.summary.split()[0] in shown
        assert f"harness {each.spec.name}" in call(each.spec.name, "--help").out


@pytest.mark.parametrize("kind", ["figure", "board-figure", "renderer", "command"])
def test_figures_renderers_and_commands_can_be_shown(call: Call, kind: str) -> None:
    for each in installed.all(kind):
        done = call("show", each.spec.name)
        assert done.code == 0
        assert each.spec.summary in " ".join(done.out.split())
        assert f"{kind}, version" in done.out
