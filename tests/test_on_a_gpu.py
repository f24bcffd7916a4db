"""On a GPU: training takes the steps that it takes on a CPU, and every metric gives the value that it gives there.

The two devices have different generators of random numbers. So that the numbers are the same, streams draw on the CPU
here, whatever their device. Then only rounding differs.
"""

from __future__ import annotations

import copy
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import torch
from marks import needs_a_gpu
from small_models import small
from torch import nn

from harness import Context, Data, DataSource, Estimate, Noise, NotApplicable
from harness.contracts.engine import StepMode
from harness.contracts.models import lacking
from harness.data.loading import load_dataset
from harness.machine.device import prepare_torch
from harness.planning.budget import Budget
from harness.planning.component import Component, resolve_component
from harness.planning.plan import needs_of
from harness.registry import Registry
from harness.settings import show
from harness.training.fit import fit_seed, fit_seeds, trainer_of
from harness.training.loop import TrainingLoop
from harness.training.recipe import Callbacks, Fitted, Recipe
from harness.training.vectorized import VectorizedTrainer
from harness_metrics.likelihood import weights

pytestmark = needs_a_gpu

_cache_dir = os.environ.get("HARNESS_CACHE_DIR")  # before tests replace it
registry = Registry.load()


def of_the_harness(kind: Any) -> list[str]:
    found = [each.spec.name for each in registry.all(kind) if each.plugin.distribution == "generative-harness"]
    return [name for name in found if name != "samples"]  # which comes from files


quick = {
    "iw-bound": {"k": "50", "examples": "40"},
    "log-likelihood-iw": {"k": "100", "examples": "40"},
    "log-likelihood-mc": {"samples": "2000", "examples": "40"},
    "log-likelihood-ais": {"examples": "20", "temperatures": "20", "chains": "4"},
    "ais-gap": {"examples": "20", "temperatures": "20", "chains": "4"},
    "posterior-gap": {"k": "100", "examples": "40"},
    "parzen": {"samples": "300", "examples": "100", "validation": "100"},
    "log-likelihood-ode": {"examples": "4"},
    "feature-likelihood-divergence": {"samples": "100", "train_images": "100"},
}
needs_a_file_or_hours = ("inception", "inception-fid", "dinov2", "published")  # values of settings
accepts_or_rejects = ("log-likelihood-ais", "ais-gap")  # rounding may decide, and other chains follow
# A binary pixel that rounding flips may change it by a third of its error.
fits_a_bandwidth = ("feature-likelihood-divergence",)
# Ten steps of Adam turn differences of 1e-7 of the weights into ones of 8e-4.
near_zero_gradients = ("convae-flow",)


@pytest.fixture
def _same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(self: Noise, seed: int, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self: Noise, *shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=self.generator).to(self.device)

    def uniform(self: Noise, *shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=self.generator).to(self.device)

    def permutation(self: Noise, n: int) -> torch.Tensor:
        return torch.randperm(n, generator=self.generator).to(self.device)

    monkeypatch.setitem(weights._rows, "cuda", weights._rows["cpu"])  # each batch draws its own numbers

    def standard_normal(shape: torch.Size, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        return torch.randn(shape, dtype=dtype).to(device)

    monkeypatch.setattr("torch.distributions.multivariate_normal._standard_normal", standard_normal)
    for method in (init, normal, uniform, permutation):
        monkeypatch.setattr(Noise, "__init__" if method is init else method.__name__, method)


def component_of(kind: Any, name: str, settings: dict[str, str] | None = None) -> Component:
    return resolve_component(registry.get(kind, name), settings or {})


def quick_metric(name: str, settings: dict[str, str]) -> Component:
    chosen = component_of("metric", name, {**quick.get(name, {}), **settings})
    fewer = {"samples": "300"} if getattr(chosen.config, "samples", 0) == 1000 else {}
    return component_of("metric", name, {**fewer, **quick.get(name, {}), **settings})


def metrics() -> list[Component]:
    """Return every metric of the harness that times nothing, with settings that make it quick."""
    chosen = [quick_metric(name, {}) for name in of_the_harness("metric") if name != "time-to-quality"]
    return [each for each in chosen if not getattr(each.factory, "times_the_machine", False)]


def models() -> list[Component]:
    return [component_of("model", name) for name in of_the_harness("model")]


def choices(components: list[Component]) -> Iterator[tuple[str, str, str]]:
    """Yield each setting that has a choice of values, with each value that is not its default."""
    for each in components:
        for name, hint in get_type_hints(type(each.config)).items():
            values = get_args(hint) if get_origin(hint) is Literal else (False, True) if hint is bool else ()
            found = [show(value) for value in values if value != getattr(each.config, name)]
            yield from ((each.name, name, value) for value in found if value not in needs_a_file_or_hours)


def digits(name: str, cache: Path) -> Data:
    chosen = component_of("dataset", name)
    data = load_dataset(chosen.provided.spec, chosen.config, DataSource(None, cache, print))
    return dataclasses.replace(data, train=data.train.subset(900), test=data.test.subset(300))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for the classifier whose features are compared, which is trained once.

    Several processes of tests share it if ``HARNESS_CACHE_DIR`` is set.
    """
    return Path(_cache_dir) if _cache_dir else tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def pixels(cache: Path) -> list[Data]:
    """Return 900 digits to train on and 300 to test with, as binary and as dequantised pixels."""
    return [digits(name, cache) for name in ("binarized-mnist-10k", "dequantized-mnist-10k")]


@pytest.fixture
def kinds(pixels: list[Data], small_points: Data) -> list[Data]:
    return [*pixels, small_points]


def recipe_of(model: str, kinds: list[Data], steps: int = 10) -> Recipe:
    chosen = component_of("model", model, small.get(model, {}))
    for data in kinds:
        try:
            chosen.factory(data.info, chosen.config)
        except NotApplicable:
            continue
        return Recipe(chosen.factory, chosen.config, data, Budget(steps=steps, batch_size=100))
    raise AssertionError(f"{model} serves no kind of data")


def on_gpu(recipe: Recipe) -> Recipe:
    prepare_torch("cuda")
    return dataclasses.replace(recipe, data=recipe.data.to("cuda"))


def fitted(recipe: Recipe) -> Fitted:
    found = fit_seed(recipe, 0)
    if found.error is not None:
        raise found.error
    return found


@pytest.mark.usefixtures("_same_numbers")
@pytest.mark.parametrize("model", of_the_harness("model"))
def test_a_model_learns_on_a_gpu_what_it_learns_on_a_cpu(model: str, kinds: list[Data]) -> None:
    recipe = recipe_of(model, kinds)
    ours, theirs = (fitted(each).model.state_dict() for each in (on_gpu(recipe), recipe))
    atol = 1e-2 if model in near_zero_gradients else 1e-3
    for name, value in theirs.items():
        pair = ours[name].cpu(), value
        if name in ("components", "loadings"):  # their signs are arbitrary
            pair = pair[0].abs(), pair[1].abs()
        torch.testing.assert_close(*pair, rtol=1e-3, atol=atol, msg=name)


def measured(chosen: Component, model: nn.Module, recipe: Recipe, data: Data, cache: Path) -> Estimate | str:
    """Return the estimate, or the reason why there is none."""
    device = data.test.stored.device
    prepare_torch(device.type)
    announced: list[str] = []
    context = Context(
        Noise(1, device), recipe.config, recipe.budget.batch_size, 0, cache=cache, announce=announced.append
    )
    try:
        with torch.no_grad():
            estimate: Estimate = chosen.factory(chosen.config).measure(model, data, context)
    except NotApplicable as reason:
        return str(reason)
    assert [line for line in announced if "not recorded" in line] == []
    return estimate


def accepted(metric: str, estimate: Estimate) -> float:
    """Return by how much the value may differ on a GPU."""
    error = estimate.stderr or 0.0
    if metric in accepts_or_rejects:
        return 6 * error
    return 1e-3 * abs(estimate.value) + 1e-4 + (error if metric in fits_a_bandwidth else 0.0)


def differences(chosen: list[Component], recipe: Recipe, cache: Path) -> list[tuple[str, float, float, float | None]]:
    """Return the metrics that have another value on the GPU, with both values and the error."""
    trained = fitted(recipe).model
    assert trained is not None
    copied, copied_data = copy.deepcopy(trained).to("cuda"), recipe.data.to("cuda")
    differing = []
    for each in chosen:
        if lacking(recipe.factory, needs_of(each.factory)) is not None:
            continue
        theirs = measured(each, trained, recipe, recipe.data, cache)
        ours = measured(each, copied, recipe, copied_data, cache)
        if isinstance(ours, str) or isinstance(theirs, str):
            assert ours == theirs
            continue
        print(each.name, theirs.value, ours.value, theirs.stderr)
        if not abs(ours.value - theirs.value) <= accepted(each.name, theirs):
            differing.append((each.name, theirs.value, ours.value, theirs.stderr))
    return differing


@pytest.mark.usefixtures("_same_numbers")
@pytest.mark.parametrize("model", of_the_harness("model"))
def test_a_metric_has_the_same_value_on_a_gpu(model: str, kinds: list[Data], cache: Path) -> None:
    assert differences(metrics(), recipe_of(model, kinds, steps=60), cache) == []


@pytest.mark.usefixtures("_same_numbers")
@pytest.mark.parametrize(("metric", "name", "value"), [*choices(metrics())])
def test_a_metric_has_the_same_value_on_a_gpu_with_every_choice_of_a_setting(
    metric: str, name: str, value: str, kinds: list[Data], cache: Path
) -> None:
    chosen = quick_metric(metric, {name: value})
    for model in ("vae", "convae-flow"):
        assert differences([chosen], recipe_of(model, kinds, steps=60), cache) == []


@pytest.mark.parametrize("step_mode", ["eager", "captured"])
@pytest.mark.parametrize(("model", "name", "value"), [*choices(models())])
def test_every_choice_of_a_setting_can_be_trained(
    model: str, name: str, value: str, step_mode: StepMode, kinds: list[Data]
) -> None:
    config = component_of("model", model, {**small.get(model, {}), name: value}).config
    recipe = dataclasses.replace(on_gpu(recipe_of(model, kinds)), config=config, step_mode=step_mode)
    assert [each.error for each in fit_seeds(recipe, range(2), vectorized=True)] == [None, None]


def test_seeds_that_do_not_fit_into_the_memory_at_once_are_halved(kinds: list[Data]) -> None:
    recipe = on_gpu(recipe_of("vae", kinds))
    chosen = component_of("model", "vae", {"hidden": "4000-4000"})
    recipe = dataclasses.replace(recipe, config=chosen.config)
    torch.cuda.empty_cache()
    parameters = sum(each.numel() for each in chosen.factory(recipe.data.info, chosen.config).parameters())
    of_one = 4 * 4 * parameters  # bytes of the parameters, their gradients and two moments
    total = torch.cuda.get_device_properties(0).total_memory
    announced: list[str] = []
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 6 * of_one) / total)
    try:
        fits = fit_seeds(recipe, range(8), vectorized=True, callbacks=Callbacks(announce=announced.append))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert announced[0] == "8 seeds at once do not fit into memory: trying 4 and 4"
    assert [each.error for each in fits] == [None] * 8
    assert {len(each.group) for each in fits} <= {1, 2, 4}


@pytest.mark.parametrize("step_mode", ["eager", "captured"])
@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("model", ["vae", "gan"])
def test_a_fit_that_is_resumed_takes_the_same_steps(
    model: str, seeds: int, step_mode: StepMode, kinds: list[Data]
) -> None:
    recipe = on_gpu(recipe_of(model, kinds))

    def new() -> TrainingLoop:
        trainers = [trainer_of(recipe, seed) for seed in range(seeds)]
        if seeds == 1:
            found: TrainingLoop = trainers[0]
        else:
            models = [each.model for each in trainers]
            found = VectorizedTrainer(models, recipe.config, recipe.data.train, 100, range(seeds))
        found.use(step_mode, print)
        return found

    whole, before, after = new(), new(), new()
    whole.epoch()
    before.epoch()
    after.restore(before.state())
    assert whole.epoch() == after.epoch()
    for ours, theirs in zip(after.state()["tensors"], whole.state()["tensors"], strict=True):
        assert torch.equal(ours, theirs)
    assert after.step_mode == step_mode
