"""Results of a plugin whose code or files have changed are not taken for those that it gives now."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from small_models import tiny_data_set

from harness.planning.component import resolve_component
from harness.registry import Plugin, Provided, Registry

if TYPE_CHECKING:
    from tests.conftest import Call

source = """
import harness

@harness.hookimpl
def harness_models():
    return [harness.ModelSpec("guest-model", "guest_package.models:Model", "a model", version="1")]
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a package in editable mode; return the folder of its source."""
    package = tmp_path / "source" / "guest_package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(source)
    (package / "models.py").write_text("class Model: pass\n")
    info = tmp_path / "site" / "guest-1.5.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: guest\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text("[harness]\nguest = guest_package\n")
    origin = {"url": package.parent.as_uri(), "dir_info": {"editable": True}}
    (info / "direct_url.json").write_text(json.dumps(origin))
    monkeypatch.setattr(sys, "path", [str(info.parent), str(package.parent), *sys.path])
    monkeypatch.delitem(sys.modules, "guest_package", raising=False)
    return package


def version() -> str:
    return Registry.load().get("model", "guest-model").version


def test_a_change_of_the_source_of_an_editable_package_is_another_version(installed: Path) -> None:
    before = version()
    assert before.startswith("1+source:")
    assert version() == before
    (installed / "models.py").write_text("class Model: changed = True\n")
    changed = version()
    assert changed != before
    (installed / "layers").mkdir()
    (installed / "layers" / "more.py").write_text("")
    assert version() not in (before, changed)


@pytest.mark.parametrize("origin", [None, "{}", '{"url": "x", "dir_info": {}}', "not JSON", "[]"])
def test_the_version_of_a_package_that_is_not_editable_is_its_own(installed: Path, origin: str | None) -> None:
    file = installed.parents[1] / "site" / "guest-1.5.dist-info" / "direct_url.json"
    file.unlink() if origin is None else file.write_text(origin)
    assert version() == "1"


def test_the_versions_of_the_projects_own_plugins_have_no_digest() -> None:
    registry = Registry.load()
    assert {each.source for each in registry.plugins if each.is_own} == {None}
    assert registry.get("model", "vae").plugin.is_own


plugin = (
    tiny_data_set
    + """
from dataclasses import dataclass
from pathlib import Path

class Reads(torch.nn.Module):
    @dataclass(frozen=True)
    class Config:
        table: str = harness.setting("", "a file with the factor")
        word: str = harness.setting("plain", "no file")

    def __init__(self, info, config):
        super().__init__()
        self.register_buffer("factor", torch.tensor(float(Path(config.table).read_text())))
    def fit(self, train, noise): pass
    def reconstruct(self, x):
        return x * self.factor

@harness.hookimpl
def harness_datasets():
    return [harness.DatasetSpec("tiny", Tiny, "small")]

@harness.hookimpl
def harness_models():
    return [harness.ModelSpec("reads", Reads, "reads a file", version="1")]
"""
)


def test_a_change_of_a_file_that_a_setting_names_gives_another_result(call: Call, tmp_path: Path) -> None:
    (tmp_path / "reads.py").write_text(plugin)
    chosen = ["--models", "reads", "--metric", "reconstruction-mse", "--dataset", "tiny", "--set", "reads.table=f.txt"]
    words = ["run", "--plugin", "reads.py", *chosen, "--jobs", "1", "--no-figures"]
    values = []
    for text in ("0.5", "0.25", "0.25"):
        (tmp_path / "f.txt").write_text(text)
        assert call(*words).code == 0
        lines = (tmp_path / "runs" / "records.jsonl").read_text().splitlines()
        values.append([json.loads(line)["value"] for line in lines])
    assert [len(each) for each in values] == [1, 2, 2]
    assert values[1][0] < values[1][1]


def test_only_what_looks_like_a_path_is_taken_for_the_name_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reads.py").write_text(plugin)
    for name in ("plain", "table.txt"):
        (tmp_path / name).write_text("1")
    provided = Registry.load([tmp_path / "reads.py"]).get("model", "reads")

    def identity(**values: Any) -> str:
        return str(resolve_component(provided, values).identity["version"])

    assert identity() == "1"
    assert identity(table="missing.txt") == "1"
    assert identity(table="a" * 5000 + ".txt") == "1"
    assert identity(table="table.txt").startswith("1+files:")
    own = Provided(provided.spec, Plugin("own", "generative-harness", "1"))
    assert resolve_component(own, {"table": "table.txt"}).identity["version"] == "1"
