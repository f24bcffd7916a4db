"""A wrong plugin spoils no numbers but its own: what it changes is restored, and it is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from small_models import tiny_data_set

from harness import Data, Examples, Noise
from harness.execution.integrity import ChangedError, Fingerprint, Weights, sums_of, watched

if TYPE_CHECKING:
    from tests.conftest import Call, Result

plugin = (
    tiny_data_set
    + """
import os, random
import numpy as np
from torch.distributions import Independent, Normal

class NotFinite(Tiny):
    def load(self, source):
        x = torch.full((60, 30), float("nan"))
        return harness.Data.from_tensors(*(harness.Examples(x) for _ in range(3)))

class SetsFolder(Tiny):
    def load(self, source):
        os.chdir("..")
        return super().load(source)

class Sound(torch.nn.Module):
    def __init__(self, info, config):
        super().__init__()
        self.w = torch.nn.Parameter(torch.zeros(info.dim))
    def reconstruct(self, x):
        return x * self.w
    def loss(self, x, noise):
        return (self.reconstruct(x) - x).square().mean()

class InPlace(Sound):
    def reconstruct(self, x):
        return x * self.w if torch.is_grad_enabled() else x.mul_(0)

class InPlaceByNumpy(Sound):
    def reconstruct(self, x):
        if not torch.is_grad_enabled():
            x.numpy()[:] = 0
        return x * self.w

class ZeroesTrain(Sound):
    def fit(self, train, noise):
        train.stored.numpy()[:] = 0

class ZeroesAll(Sound):
    def fit(self, train, noise):
        train.all(noise).mul_(0)

class SetsDtype(Sound):
    def loss(self, x, noise):
        torch.set_default_dtype(torch.float64)
        return super().loss(x, noise)

class Unstored(Sound):
    scale = 1.0
    def fit(self, train, noise):
        self.scale = float(train.all(noise).mean())
    def reconstruct(self, x):
        return torch.full_like(x, self.scale)

class Diverging(Sound):
    def loss(self, x, noise):
        loc = torch.where(self.w == 0, self.w, self.w * float("nan"))
        return -Independent(Normal(loc, 1.0, validate_args=True), 1).log_prob(x).mean()

class Unreadable(Sound):
    def loss(self, x, noise):
        raise ValueError(f"a long message\\n{torch.zeros(40, 40).tolist()}")

class Exits(Sound):
    def sample(self, n, noise):
        raise SystemExit(0)

class KeepsNoise(Sound):
    def loss(self, x, noise):
        self.noise = noise
        return super().loss(x, noise) + 0 * self.noise.normal(2).sum()

class Metric:
    unit, direction = "things", "lower"
    def __init__(self, config): pass
    def measure(self, model, data, context):
        self.spoil(model, data)
        return harness.Estimate(1.0, 0.1, 60)
    def spoil(self, model, data): pass

class Zeroes(Metric):
    def spoil(self, model, data):
        data.test.stored.mul_(0)

class ZeroesByNumpy(Metric):
    def spoil(self, model, data):
        data.test.stored.numpy()[:] = 0

class Shuffles(Metric):
    def spoil(self, model, data):
        stored = data.test.stored.numpy()
        stored[:] = stored[::-1].copy()

class ZeroesWeights(Metric):
    def spoil(self, model, data):
        for each in model.parameters():
            each.data.zero_()

class ReplacesMethod(Metric):
    def spoil(self, model, data):
        model.reconstruct = lambda x: x
        model.train()

class SetsAll(Metric):
    def spoil(self, model, data):
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(2)
        torch.set_grad_enabled(True)
        random.seed(3); np.random.seed(3)
        os.environ["SPOILT"] = "1"
        os.chdir("..")

class Surroundings(Metric):
    def measure(self, model, data, context):
        found = {"dtype": str(torch.get_default_dtype()), "threads": torch.get_num_threads(),
                 "grad": torch.is_grad_enabled(), "folder": os.getcwd(), "spoilt": "SPOILT" in os.environ,
                 "numbers": [random.random(), float(np.random.rand())]}
        return harness.Estimate(1.0, 0.1, 60, diagnostics=found)

class Returns(Metric):
    def measure(self, model, data, context):
        return self.estimate

class Negative(Returns):
    estimate = harness.Estimate(1.0, -0.1, 60)
class NaNError(Returns):
    estimate = harness.Estimate(1.0, float("nan"), 60)
class TooFew(Returns):
    estimate = harness.Estimate(1.0, 0.1, 60, per_example=torch.ones(37))
class TooMany(Returns):
    estimate = harness.Estimate(1.0, 0.1, 61, per_example=torch.ones(61))
class NotANumber(Returns):
    estimate = harness.Estimate(torch.tensor(1.0), 0.1, 60)
class OneIsNaN(Returns):
    estimate = harness.Estimate(1.0, 0.1, 60, per_example=torch.full((60,), float("nan")))

class Up(Metric):
    direction = "up"
class Needs(Metric):
    needs = ("posterior",)

class Spoils:
    def draw(self, model, data, context):
        from matplotlib.figure import Figure
        data.test.stored.zero_()
        for each in model.parameters():
            each.data.fill_(1.0)
        return Figure()

def specs(kind, *classes):
    return [kind(each.__name__.lower(), each, "a plugin") for each in classes]

@harness.hookimpl
def harness_datasets():
    return specs(harness.DatasetSpec, Tiny, NotFinite, SetsFolder)

@harness.hookimpl
def harness_models():
    return specs(harness.ModelSpec, Sound, InPlace, InPlaceByNumpy, ZeroesTrain, ZeroesAll, SetsDtype, Unstored,
                 Diverging, Unreadable, Exits, KeepsNoise)

@harness.hookimpl
def harness_metrics():
    return specs(harness.MetricSpec, Zeroes, ZeroesByNumpy, Shuffles, ZeroesWeights, ReplacesMethod, SetsAll,
                 Surroundings, Negative, NaNError, TooFew, TooMany, NotANumber, OneIsNaN, Up, Needs)
"""
)
figure = """
@harness.hookimpl
def harness_figures():
    return [harness.FigureSpec("spoils", Spoils, "a figure")]
"""
mse = "reconstruction-mse"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "wrong.py").write_text(plugin)
    return tmp_path


def run(call: Call, models: str, metrics: str, *more: str, dataset: str = "tiny") -> Result:
    chosen = ["--models", models, "--metric", metrics, "--dataset", dataset, "--steps", "3", "--jobs", "1"]
    return call("run", "--plugin", "wrong.py", *chosen, *(more or ["--no-figures"]))


def records(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    lines = map(json.loads, (folder / "runs" / "records.jsonl").read_text().splitlines())
    return {(each["model"]["name"], each["metric"]["name"]): each for each in lines}


@pytest.fixture
def truth(call: Call, folder: Path) -> dict[str, float]:
    """Return the errors that models have if nothing spoils them."""
    assert run(call, "sound,pca", mse, "--runs", "alone", "--no-figures").code == 0
    lines = map(json.loads, (folder / "alone" / "records.jsonl").read_text().splitlines())
    return {each["model"]["name"]: each["value"] for each in lines}


@pytest.mark.parametrize("metric", ["zeroes", "zeroesbynumpy", "shuffles", "zeroesweights"])
def test_what_a_metric_changes_is_an_error_of_it_and_no_other_value_changes(
    call: Call, folder: Path, truth: dict[str, float], metric: str
) -> None:
    run(call, "sound,pca", f"{metric},{mse}")
    found = records(folder)
    changed = {"zeroesweights": "w of the model"}.get(metric, "the test split")
    named = f"metric '{metric}' of plugin 'wrong' (wrong.py)"
    assert found["sound", metric]["status"] == "error"
    assert found["sound", metric]["reason"].startswith(f"{named} or model 'sound' of plugin 'wrong' (wrong.py) changed")
    assert f"changed {changed} in place" in found["sound", metric]["reason"]
    if metric != "zeroesweights":  # pca has buffers only
        assert found["pca", metric]["reason"].startswith(f"{named} changed {changed} in place")
    assert {model: found[model, mse]["value"] for model in truth} == truth


def test_a_metric_that_replaces_a_method_of_the_model_changes_no_other_value(
    call: Call, folder: Path, truth: dict[str, float]
) -> None:
    assert run(call, "sound,pca", f"replacesmethod,{mse}").code == 0
    found = records(folder)
    assert {model: found[model, mse]["value"] for model in truth} == truth


@pytest.mark.parametrize("model", ["inplace", "inplacebynumpy"])
def test_a_model_that_changes_its_input_has_no_value_and_later_models_have_the_right_ones(
    call: Call, folder: Path, truth: dict[str, float], model: str
) -> None:
    assert run(call, f"{model},sound,pca", mse).code == 3
    found = records(folder)
    reason = f"model '{model}' of plugin 'wrong' (wrong.py) changed a batch of examples in place"
    assert found[model, mse]["reason"].startswith(reason)
    assert {name: found[name, mse]["value"] for name in truth} == truth


def test_a_model_that_changes_the_training_split_has_no_fit(call: Call, folder: Path, truth: dict[str, float]) -> None:
    assert run(call, "zeroestrain,zeroesall,sound,pca", mse).code == 3
    found = records(folder)
    reason = "model 'zeroestrain' of plugin 'wrong' (wrong.py) changed the train split in place"
    assert found["zeroestrain", mse]["reason"].startswith(reason)
    assert found["zeroesall", mse]["status"] == "ok"  # it has changed a copy
    assert {name: found[name, mse]["value"] for name in truth} == truth
    assert len(list((folder / "runs" / "fits").iterdir())) == 3


def test_a_figure_that_changes_data_and_weights_is_named_and_changes_no_value(
    call: Call, folder: Path, truth: dict[str, float]
) -> None:
    (folder / "wrong.py").write_text(plugin + figure)
    done = run(call, "sound,pca", mse, "--figures")
    assert done.code == 0
    assert "warning: the figure spoils of pca: figure 'spoils' of plugin 'wrong' (wrong.py) changed the" in done.err
    assert {model: records(folder)[model, mse]["value"] for model in truth} == truth


def test_surroundings_are_restored_and_the_plugin_is_named_once_by_each_process(call: Call, folder: Path) -> None:
    done = run(call, "sound,pca", "setsall,surroundings")
    assert done.code == 0
    seen = [records(folder)[model, "surroundings"]["diagnostics"] for model in ("sound", "pca")]
    for each in seen:
        numbers = each.pop("numbers")
        assert len(numbers) == 2
        assert each == {"dtype": "torch.float32", "threads": 1, "grad": False, "folder": str(folder), "spoilt": False}
    lines = [line for line in done.err.splitlines() if "SPOILT" in line]
    assert len(lines) == 2  # each model has a process of its own
    for line in lines:
        assert "metric 'setsall' of plugin 'wrong' (wrong.py)" in line
        for part in ("the default dtype, from torch.float32 to torch.float64", "threads, from 1 to 2", "numpy.random"):
            assert part in line


def test_a_model_that_sets_the_default_dtype_changes_no_later_model(
    call: Call, folder: Path, truth: dict[str, float]
) -> None:
    done = run(call, "setsdtype,sound,pca", mse)
    assert "model 'setsdtype' of plugin 'wrong' (wrong.py) changed the default dtype" in done.err
    assert {name: records(folder)[name, mse]["value"] for name in truth} == truth


@pytest.mark.parametrize(
    ("metric", "rule"),
    [
        ("negative", "stderr is -0.1; it must be at least 0"),
        ("nanerror", "stderr is nan; use a finite number or None"),
        ("toofew", "per_example has the shape (37,), and n is 60"),
        ("toomany", "of which the split has 60"),
        ("notanumber", "value is of the type Tensor; use float(...)"),
        ("oneisnan", "per_example has values that are not finite"),
    ],
)
def test_a_wrong_estimate_is_an_error_that_names_the_metric_and_the_rule(
    call: Call, folder: Path, metric: str, rule: str
) -> None:
    assert run(call, "pca", metric).code == 3
    found = records(folder)["pca", metric]
    assert found["status"] == "error"
    assert found["reason"].startswith(f"metric '{metric}' of plugin 'wrong' (wrong.py) returned a wrong estimate: ")
    assert rule in found["reason"]


@pytest.mark.parametrize("metric", ["up", "needs"])
def test_wrong_attributes_of_a_metric_end_the_run_before_any_training(call: Call, folder: Path, metric: str) -> None:
    done = run(call, "pca", metric)
    assert (done.code, len(done.err.strip().splitlines())) == (2, 1)
    assert f"metric '{metric}' of plugin 'wrong' (wrong.py) does not keep its contract" in done.err


def test_a_distribution_that_gets_nan_is_a_divergence(call: Call, folder: Path) -> None:
    assert run(call, "diverging", mse).code == 3
    found = records(folder)["diverging", mse]
    assert found["status"] == "diverged"
    assert found["reason"] == "loc of a Normal distribution became not finite in epoch 1"


def test_a_message_with_a_tensor_is_cut_to_one_line(call: Call, folder: Path) -> None:
    assert run(call, "unreadable", mse).code == 3
    reason = records(folder)["unreadable", mse]["reason"]
    assert reason.startswith("ValueError: a long message [[0.0, 0.0")
    assert "\n" not in reason
    assert len(reason) < 320


def test_a_data_set_that_is_not_finite_is_named_and_the_others_go_on(
    call: Call, folder: Path, truth: dict[str, float]
) -> None:
    done = run(call, "pca", mse, dataset="notfinite,tiny")
    assert done.code == 3
    reason = "data set notfinite: the train split has values that are not finite"
    assert f"warning: {reason}; the run goes on with the other data sets" in done.err
    lines = [json.loads(line) for line in (folder / "runs" / "records.jsonl").read_text().splitlines()]
    assert [(each["dataset"]["name"], each["status"], each["reason"]) for each in lines] == [
        ("notfinite", "error", reason),
        ("tiny", "ok", None),
    ]
    assert lines[1]["value"] == truth["pca"]


def test_a_data_set_that_changes_the_folder_is_named_and_the_results_are_where_they_belong(
    call: Call, folder: Path, truth: dict[str, float]
) -> None:
    done = run(call, "pca", mse, dataset="setsfolder")
    assert "dataset 'setsfolder' of plugin 'wrong' (wrong.py) changed the current folder" in done.err
    assert records(folder)["pca", mse]["value"] == truth["pca"]


def test_a_run_of_nothing_but_data_sets_that_are_not_finite_ends_at_once(call: Call, folder: Path) -> None:
    done = run(call, "pca", mse, dataset="notfinite")
    assert done.code == 2
    assert "data set notfinite: the train split has values that are not finite" in done.err


def test_a_fit_whose_state_is_not_in_its_state_dict_is_an_error(call: Call, folder: Path) -> None:
    assert run(call, "unstored", mse).code == 3
    found = records(folder)["unstored", mse]
    assert found["status"] == "error"
    assert found["reason"].startswith(
        "a copy that is loaded from its state_dict has another reconstruct: keep what a fit"
    )
    assert not (folder / "runs" / "fits").exists()


def test_a_method_that_calls_exit_costs_no_metric_of_another_method(
    call: Call, folder: Path, truth: dict[str, float]
) -> None:
    assert run(call, "exits,sound", mse).code == 0
    assert records(folder)["exits", mse]["value"] == truth["sound"]


def test_a_model_that_keeps_noise_is_trained_seed_by_seed(call: Call, folder: Path) -> None:
    # The last batch of an epoch is smaller, for which what the loss draws is recorded while training goes on.
    more = ("--vectorize", "--seeds", "2", "--batch-size", "25", "--no-figures")
    done = run(call, "keepsnoise", mse, *more)
    assert done.code == 0
    assert "trained seed by seed, since the model cannot be vectorized" in done.err


# What finds what


def small() -> Data:
    generator = torch.Generator().manual_seed(0)
    return Data.from_tensors(*(Examples(torch.rand(50, 7, generator=generator)) for _ in range(3)))


@pytest.mark.parametrize("content", [False, True])
@pytest.mark.parametrize(
    ("how", "by_count"),
    [
        (lambda x: x.mul_(0.5), True),
        (lambda x: x.data.mul_(0.5), False),
        (lambda x: x.numpy().__setitem__((3, 2), 9.0), False),
        (lambda x: x.numpy().__setitem__(slice(None), x.numpy()[::-1].copy()), False),
    ],
)
def test_counts_find_changes_by_torch_and_sums_all_others(how: Any, by_count: bool, content: bool) -> None:
    data = small()
    fingerprint = Fingerprint(data)
    if content:
        assert fingerprint.sums
    assert fingerprint.changed() == []
    how(data.validation.stored)
    assert fingerprint.changed() == (["the validation split"] if by_count or content else [])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.int64, torch.float32, torch.float64])
@pytest.mark.parametrize("n", [1, 511, 4096, 9001])
def test_the_sums_of_a_tensor_differ_after_one_value_of_any_type_is_changed(dtype: torch.dtype, n: int) -> None:
    values = (torch.arange(n) % 2).to(dtype)
    for part in (values, values[n // 3 :]):  # which need not begin at a whole word
        before = sums_of(part)
        assert sums_of(part.clone()) == before
        changed = part.clone()
        changed[-1] = 1 - changed[-1].to(torch.int64)
        assert sums_of(changed) != before


def test_a_watched_batch_may_not_change_while_it_is_used() -> None:
    data = watched(small())
    assert len(list(data.test.batches(20, Noise(0)))) == 3
    assert len(list(data.test.subset(30).batches(20, Noise(0)))) == 2
    for spoil in (lambda x: x.clamp_(0, 0.5), lambda x: x.numpy().fill(0)):
        with pytest.raises(ChangedError):
            for x in data.test.batches(20, Noise(0)):
                spoil(x)


def test_weights_are_restored_also_if_they_were_replaced() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3)).eval()
    model[0].weight.data[0, 0] = float("nan")
    before = {name: each.clone() for name, each in model.state_dict().items()}
    weights = Weights(model)
    assert weights.restore() == []
    model.train()
    model[0].weight = torch.nn.Parameter(torch.zeros(2, 2))
    model[1].running_mean.add_(1)
    model.extra = torch.nn.Parameter(torch.zeros(1))
    model.note = "spoilt"
    assert sorted(weights.restore()) == ["0.weight", "1.running_mean", "extra"]
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name].nan_to_num(), each.nan_to_num()) for name, each in before.items())
    assert not model.training
    assert not hasattr(model, "note")
