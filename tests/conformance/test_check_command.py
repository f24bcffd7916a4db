"""``harness check``, and the same checks in a third party's tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness import conformance
from harness.errors import UsageError

if TYPE_CHECKING:
    from tests.conftest import Call

plugin = '''
import torch
import harness

class Scale(torch.nn.Module):
    """Reconstructs x as w x."""
    {attributes}

    def __init__(self, info, config):
        super().__init__()
        self.w = torch.nn.Parameter(0.1 * torch.randn(info.shape[-1]))

    def reconstruct(self, x):
        return {reconstruction}

    def loss(self, x, noise):
        return (x * self.w - x).square().mean()

class Count:
    unit, direction = "examples", None
    def __init__(self, config): pass
    def measure(self, model, data, context):
        return harness.Estimate(float(len(data.test)), 0.0, len(data.test))

@harness.hookimpl
def harness_models():
    return [harness.ModelSpec("scale", Scale, "scales the values")]

@harness.hookimpl
def harness_metrics():
    return [harness.MetricSpec("count", Count, "number of test examples")]
'''
right, wrong = "x * self.w", "x.mul_(self.w.detach()) if not torch.is_grad_enabled() else x * self.w"
caught = "model-leaves-inputs-unchanged"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(reconstruction: str = right, attributes: str = "") -> Path:
        file = tmp_path / "mine.py"
        file.write_text(plugin.format(reconstruction=reconstruction, attributes=attributes))
        return file

    return write


def test_everything_in_a_file_is_checked_and_passes(call: Call, write: Callable[..., Path]) -> None:
    write()
    done = call("check", "--plugin", "mine.py")
    assert done.code == 0, done.out
    assert "model scale" in done.out
    assert "metric count" in done.out
    assert "failed" not in done.out


def test_a_failure_names_the_rule_what_was_seen_and_the_remedy(call: Call, write: Callable[..., Path]) -> None:
    write(wrong)
    done = call("check", "scale", "--plugin", "mine.py")
    assert done.code == 1
    rule = (
        "No method changes the tensors that it receives. Seen: x was another after reconstruct. Remedy: Replace in-pl"
    )
    assert f"failed {caught}: {rule}" in done.out
    assert "metric count" not in done.out


def test_json_lists_every_check_with_its_status(call: Call, write: Callable[..., Path]) -> None:
    write(wrong)
    done = call("check", "scale,count", "--plugin", "mine.py", "--format", "json")
    assert done.code == 1
    rows = json.loads(done.out)
    assert {tuple(row) for row in rows} == {("check", "target", "status", "message")}
    known = [each.id for each in conformance.all_checks()]
    assert [row["check"] for row in rows] == [name for name in known if name.startswith(("model-", "metric-"))]
    assert {row["target"] for row in rows} == {"scale", "count"}
    status = {row["check"]: row["status"] for row in rows}
    assert status[caught] == "failed"
    assert status["model-samples-are-finite"] == "skipped"
    assert status["metric-returns-an-estimate"] == "passed"
    assert all(bool(row["message"]) == (row["status"] != "passed") for row in rows)


def test_a_failure_may_be_expected_with_a_reason(call: Call, write: Callable[..., Path]) -> None:
    write(wrong, f'expected_failures = {{"{caught}": "It saves memory."}}')
    done = call("check", "scale", "--plugin", "mine.py")
    assert done.code == 0
    assert f"expected failure {caught}: It saves memory." in done.out


def test_an_expected_failure_that_passes_is_a_failure(call: Call, write: Callable[..., Path]) -> None:
    write(right, f'expected_failures = {{"{caught}": "It saves memory."}}')
    done = call("check", "scale", "--plugin", "mine.py")
    assert done.code == 1
    assert f"failed {caught}: It is expected to fail (It saves memory.), and passes." in done.out


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ('expected_failures = {"model-leaves-input-unchanged": "why"}', f"Did you mean '{caught}'?"),
        (f'expected_failures = {{"{caught}": " "}}', f"{caught} has no reason; write a sentence"),
        (f'expected_failures = ["{caught}"]', "write a dictionary from ids of checks to reasons"),
        ('check_settings = {"widht": 3}', "unknown setting of scale 'widht'"),
    ],
)
def test_a_wrong_attribute_is_refused(call: Call, write: Callable[..., Path], attributes: str, message: str) -> None:
    write(right, attributes)
    done = call("check", "scale", "--plugin", "mine.py")
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "say what to check: NAME, or --plugin FILE.py for everything in a file"),
        (["vea"], "unknown model, metric, data set, figure or package 'vea'. Did you mean 'vae'?"),
        (["vae,"], "'vae,' has an empty item"),
        (["--plugin", "none.py"], "plugin file 'none.py' does not exist"),
    ],
)
def test_bad_input_is_refused(call: Call, words: list[str], message: str) -> None:
    done = call("check", *words)
    assert done.code == 2
    assert message in done.err


def test_a_plugin_that_does_not_keep_its_contract_fails_one_check(call: Call, tmp_path: Path) -> None:
    text = plugin.format(reconstruction=right, attributes="").replace("def loss", "def los")
    (tmp_path / "mine.py").write_text(text)
    done = call("check", "scale", "--plugin", "mine.py", "--format", "json")
    assert done.code == 1
    rows = json.loads(done.out)
    failed = [row for row in rows if row["status"] == "failed"]
    assert [row["check"] for row in failed] == ["model-keeps-its-contract"]
    assert "it cannot be trained; add loss(x, noise)" in failed[0]["message"]
    assert rows[0] == failed[0]


def test_the_checks_of_a_plugin_are_the_parameters_of_a_test(write: Callable[..., Path]) -> None:
    file = write(wrong, 'expected_failures = {"model-takes-some-data": "It is only a test."}')
    mark = conformance.parametrize("scale", plugin_files=[file]).mark
    name, bound = mark.args
    assert name == "check"
    assert mark.kwargs["ids"] is str
    by_id = {str(each): each for each in bound}
    by_id["scale-model-explains-refusals"]()
    with pytest.raises(pytest.fail.Exception, match="x was another after reconstruct"):
        by_id[f"scale-{caught}"]()
    with pytest.raises(pytest.skip.Exception, match="it has no sampler"):
        by_id["scale-model-samples-are-finite"]()
    with pytest.raises(pytest.fail.Exception, match="It is expected to fail"):
        by_id["scale-model-takes-some-data"]()


def test_an_expected_failure_is_an_xfail(write: Callable[..., Path]) -> None:
    file = write(wrong, f'expected_failures = {{"{caught}": "It saves memory."}}')
    (found,) = (
        each for each in conformance.parametrize("scale", plugin_files=[file]).mark.args[1] if each.check.id == caught
    )
    with pytest.raises(pytest.xfail.Exception, match=r"It saves memory\."):
        found()


def test_parametrizing_by_an_unknown_name_is_refused() -> None:
    with pytest.raises(UsageError, match="Did you mean 'vae'"):
        conformance.parametrize("vea")
