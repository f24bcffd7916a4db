"""A result that cannot be stored costs only its own cells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Call

plugin = """
import harness, numpy, torch

class Sound:
    unit, direction, needs = "nats", "higher", ()
    def __init__(self, config): pass
    def measure(self, model, data, context):
        return harness.Estimate(1.0, 0.5, 2)

class OfATensor(Sound):
    def measure(self, model, data, context):
        return harness.Estimate(torch.tensor(1.0), None, 1)

class OfAnArray(Sound):
    def measure(self, model, data, context):
        return harness.Estimate(1.0, None, 1, per_example=numpy.ones(2000))

class OfTooFew(Sound):
    def measure(self, model, data, context):
        return harness.Estimate(1.0, None, 1, per_example=torch.ones(2000, 2))

class Diagnosed(Sound):
    def measure(self, model, data, context):
        return harness.Estimate(1.0, None, 1, diagnostics={"a": numpy.float32(1)})

class Negative(Sound):
    def measure(self, model, data, context):
        return harness.Estimate(1.0, -0.5, 2)

class Grouped(Sound):
    def measure(self, model, data, context):
        return harness.Estimate(1.0, 0.5, 2, group_values=(1.0, float("nan")))

class Huge(Sound):
    def measure(self, model, data, context):
        return harness.Estimate(1e200, 0.5, 2)

class Partly(Sound):
    def measure(self, model, data, context):
        return harness.Estimate(1.0, None, 1, parts={"a": float("nan"), "b": 2.0})

faulty = [OfATensor, OfAnArray, OfTooFew, Diagnosed, Negative, Grouped, Huge]

class Extra(torch.nn.Module):
    def __init__(self, info, config):
        super().__init__()
        self.w = torch.nn.Parameter(torch.zeros(1))
    def get_extra_state(self):
        return {"calls": 3}
    def set_extra_state(self, state):
        pass
    def reconstruct(self, x):
        return x * self.w
    def loss(self, x, noise):
        return (self.reconstruct(x) - x).square().mean()

@harness.hookimpl
def harness_models():
    return [harness.ModelSpec("extra", Extra, "has a state of more than tensors")]

@harness.hookimpl
def harness_metrics():
    return [harness.MetricSpec(each.__name__.lower(), each, "a metric") for each in [Sound, Partly, *faulty]]
"""


def test_an_estimate_that_cannot_be_stored_is_an_error_of_its_metric(call: Call, tmp_path: Path) -> None:
    (tmp_path / "metrics.py").write_text(plugin)
    names = "ofatensor,ofanarray,oftoofew,diagnosed,negative,grouped,huge,partly,sound"
    done = call("run", "--plugin", "metrics.py", "--models", "pca", "--metric", names)
    assert done.code == 3
    lines = (tmp_path / "runs" / "records.jsonl").read_text().splitlines()
    found = {record["metric"]["name"]: record for record in map(json.loads, lines)}
    assert {name: record["status"] for name, record in found.items()} == {
        **dict.fromkeys(["ofatensor", "ofanarray", "oftoofew", "diagnosed", "negative", "grouped", "huge"], "error"),
        **dict.fromkeys(["partly", "sound"], "ok"),
    }
    wrong = "metric 'ofatensor' of plugin 'metrics' (metrics.py) returned a wrong estimate: "
    assert found["ofatensor"]["reason"] == f"{wrong}value is of the type Tensor; use float(...)"
    assert "per_example has the shape (2000, 2), and n is" in found["oftoofew"]["reason"]
    assert "float32 is not JSON serializable" in found["diagnosed"]["reason"]
    assert "stderr is -0.5" in found["negative"]["reason"]
    assert "group_values is [1.0, None]" in found["grouped"]["reason"]
    assert "value is 1e+200" in found["huge"]["reason"]
    assert all(name in done.out for name in ("partly", "sound"))


def test_a_model_whose_state_cannot_be_stored_is_an_error(call: Call, tmp_path: Path) -> None:
    (tmp_path / "metrics.py").write_text(plugin)
    words = ("--models", "extra,pca", "--metric", "reconstruction-mse,latency", "--steps", "2", "--timing-rounds", "2")
    words += ("--dataset", "ppca-toy", "--set", "pca.latent_dim=2", "--set", "latency.load_limit=1")
    assert call("run", "--plugin", "metrics.py", *words).code == 3
    lines = (tmp_path / "runs" / "records.jsonl").read_text().splitlines()
    found = {(record["model"]["name"], record["metric"]["name"]): record for record in map(json.loads, lines)}
    for metric in ("reconstruction-mse", "latency"):
        assert found["pca", metric]["status"] == "ok"
        assert found["extra", metric]["status"] == "error"
        assert found["extra", metric]["reason"] == "its state cannot be stored: _extra_state is not a tensor"
    assert len(list((tmp_path / "runs" / "fits").iterdir())) == 1
