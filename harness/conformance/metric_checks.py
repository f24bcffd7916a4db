"""Checks of a metric: what it returns, what it leaves alone, and whether it prefers the better model."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import math
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

import torch
from torch import Tensor, nn

from harness.conformance.checks import Skipped, check, require, skip
from harness.conformance.model_subject import state_of
from harness.conformance.reference_model import ReferenceModel, faults
from harness.conformance.surroundings import cache_folder
from harness.conformance.tiny_data import copied, metric_data
from harness.contracts.curves import Curves
from harness.contracts.metrics import AfterEpoch, Context, Estimate
from harness.contracts.models import all_capabilities, lacking, methods, offers
from harness.contracts.outputs import different
from harness.data.dataset import Data
from harness.errors import NotApplicable
from harness.noise import Noise, derive_seed, global_seed
from harness.planning.budget import Budget
from harness.planning.component import Component, resolve_component
from harness.planning.plan import needs_of
from harness.registry import Registry
from harness.settings import NoSettings
from harness.training.fit import fit_seed
from harness.training.recipe import Callbacks, Recipe

_batch_size = 32
_slow = 1.0  # seconds of one measurement, above which it is not repeated many times


@dataclass
class MetricSubject:
    """A metric under check, measured on a model that is known exactly."""

    component: Component
    registry: Registry

    @property
    def is_timing(self) -> bool:
        """Whether the result is a timing, which no two measurements agree in."""
        return bool(getattr(self.component.factory, "times_the_machine", False))

    @property
    def kind(self) -> str:
        """The first kind of tiny data that it applies to.

        Raises:
            Skipped: there is none.
        """
        if isinstance(self._kind, Skipped):
            raise Skipped(str(self._kind))
        return self._kind

    @cached_property
    def _kind(self) -> str | Skipped:
        reason = lacking(ReferenceModel, needs_of(self.component.factory))
        if reason is not None:
            return Skipped(f"the model that metrics are checked on does not suit: {reason}")
        reasons = {}
        for kind, data in metric_data().items():
            try:
                self.measure(ReferenceModel.fitted(data), data)
                return kind
            except NotApplicable as error:
                reasons[kind] = str(error)
            except Exception:
                return kind  # the check of its estimate fails
        return Skipped(f"it applies to none of the tiny data sets: {reasons}")

    @property
    def data(self) -> Data:
        """The tiny data that it is measured on."""
        return metric_data()[self.kind]

    @cached_property
    def estimate(self) -> Estimate:
        """The first estimate, of the reference model."""
        start = time.perf_counter()
        found = self.measure(ReferenceModel.fitted(self.data), self.data)
        self.seconds = time.perf_counter() - start
        return found

    def measure(self, model: Any, data: Data, seed: int = 0, config: Any = None) -> Estimate:
        """Measure a model on a copy of the data, as a run would."""
        return self.measure_on(model, copied(data), seed, config)

    def measure_on(self, model: Any, data: Data, seed: int = 0, config: Any = None) -> Estimate:
        """Measure a model; the data is given to the metric without a copy."""
        seed = derive_seed("evaluation", seed)
        metric = self.component.factory(self.component.config if config is None else config)
        with global_seed(seed), torch.no_grad():
            return metric.measure(model.eval(), data, self.context(data, seed))  # type: ignore[no-any-return]

    def context(self, data: Data, seed: int) -> Context:
        """Return the context of a measurement."""

        def metric(name: str) -> Any:
            component = resolve_component(self.registry.get("metric", name), {})
            return component.factory(component.config)

        def refit(after_epoch: AfterEpoch) -> Curves:
            recipe = Recipe(ReferenceModel, NoSettings(), data, Budget(epochs=2, batch_size=_batch_size))
            with torch.enable_grad():
                fitted = fit_seed(recipe, 0, Callbacks(after_epoch=after_epoch))
            if fitted.error is not None:
                raise fitted.error
            return fitted.curves

        return Context(Noise(seed), NoSettings(), _batch_size, 0, metric=metric, refit=refit, cache=cache_folder())

    def uses(self, config: Any) -> Iterator[None]:
        """Measure the reference model in turn, on several kinds of tiny data, whole and with fewer methods."""
        needs = needs_of(self.component.factory)
        for kind in dict.fromkeys((self.kind, "binary images", "sets of points")):
            data = metric_data()[kind]
            model = ReferenceModel.fitted(data)
            offered = _offered(needs, model)
            # A metric may choose an observation model for a decoder, with a prior or an encoder.
            more = [names - {"observation"} | {"decode", other} for names in offered for other in ("encode", "prior")]
            for view in (model, *(_Only(model, names) for names in (*offered, *more))):
                with contextlib.suppress(NotApplicable, AttributeError):
                    self.measure(view, data, config=config)
                yield

    def work_by_hand(self) -> None:
        """Measure without the engine, which protects the surroundings."""
        metric = self.component.factory(self.component.config)
        model, data = ReferenceModel.fitted(self.data), copied(self.data)
        with torch.no_grad():
            metric.measure(model, data, self.context(data, 0))


@check(
    "metric",
    "returns-an-estimate",
    "measure returns a harness.Estimate with a finite number, or raises harness.NotApplicable.",
    "Return harness.Estimate(float(value), stderr, n), or Estimate.over_examples(values).",
)
def returns_an_estimate(subject: MetricSubject) -> None:
    """Measure the reference model."""
    found = subject.estimate
    require(isinstance(found, Estimate), f"it returned a {type(found).__name__}")
    for name in ("value", "stderr"):
        number = getattr(found, name)
        kinds = (int, float, type(None)) if name == "stderr" else (int, float)
        require(isinstance(number, kinds) and not isinstance(number, bool), f"{name} is a {type(number).__name__}")
    require(math.isfinite(found.value), f"the value is {found.value}")
    require(isinstance(found.n, int) and found.n > 0, f"n is {found.n!r}")


@check(
    "metric",
    "standard-error-is-not-negative",
    "A standard error is finite and at least 0, or None if it is not known.",
    "Use the standard deviation over examples, divided by √n.",
)
def standard_error_is_not_negative(subject: MetricSubject) -> None:
    """Look at both standard errors."""
    for name in ("stderr", "estimator_stderr"):
        value = getattr(subject.estimate, name)
        require(value is None or (math.isfinite(value) and value >= 0), f"{name} is {value}")


@check(
    "metric",
    "results-are-storable",
    "Parts and diagnostics are JSON values: numbers, text, lists and dictionaries.",
    "Convert tensors: float(x), x.tolist().",
)
def results_are_storable(subject: MetricSubject) -> None:
    """Write them as JSON."""
    found = subject.estimate
    for name in ("parts", "diagnostics", "samples", "group_values"):
        value = getattr(found, name)
        try:
            json.dumps(dict(value) if name in ("parts", "diagnostics") else list(value))
        except (TypeError, ValueError) as error:
            require(False, f"{name}: {error}")


def _per_example(subject: MetricSubject) -> Tensor:
    values = subject.estimate.per_example
    return skip("it returns no per-example values") if values is None else values


@check(
    "metric",
    "has-a-value-for-each-example",
    "There are as many per-example values as n says, at most one for each test example.",
    "Return one value for each example of data.test.subset(n), in its order.",
)
def has_a_value_for_each_example(subject: MetricSubject) -> None:
    """Count them."""
    values, n = _per_example(subject), subject.estimate.n
    require(tuple(values.shape) == (n,), f"they have the shape {tuple(values.shape)}, and n is {n}")
    require(n <= len(subject.data.test), f"there are {n} for {len(subject.data.test)} test examples")


@check(
    "metric",
    "value-is-the-mean-over-examples",
    "The value is the mean of the per-example values, on which comparisons are paired.",
    "Use harness.Estimate.over_examples(values), or return no per-example values.",
)
def value_is_the_mean_over_examples(subject: MetricSubject) -> None:
    """Average them."""
    mean, value = float(_per_example(subject).double().mean()), subject.estimate.value
    require(abs(mean - value) <= 1e-4 * (1 + abs(value)), f"the value is {value:.6g}, and their mean {mean:.6g}")


@check(
    "metric",
    "values-belong-to-their-examples",
    "The per-example values are in the order of data.test.subset(n).",
    "Keep the order of data.test.batches(…), and do not sort or shuffle.",
)
def values_belong_to_their_examples(subject: MetricSubject) -> None:
    """Measure on the test split in reverse order."""
    values = _per_example(subject)
    model, data = ReferenceModel.fitted(subject.data), subject.data
    again = subject.measure(model, data, seed=1).per_example
    if again is None or not torch.allclose(values, again):
        skip("its values depend on the noise")
    order = torch.arange(len(data.test)).flip(0)
    reverse = dataclasses.replace(data.test, stored=data.test.stored[order], ids=data.test.ids[order])
    turned = subject.measure(model, dataclasses.replace(data, test=reverse)).per_example
    assert turned is not None
    before, after = data.test.subset(len(values)).ids, reverse.subset(len(values)).ids
    by_id = dict(zip(after.tolist(), turned.tolist(), strict=True))
    pairs = [(value, by_id[key]) for key, value in zip(before.tolist(), values.tolist(), strict=True) if key in by_id]
    wrong = sum(abs(one - other) > 1e-4 * (1 + abs(one)) for one, other in pairs)
    require(wrong <= len(pairs) // 20, f"{wrong} of {len(pairs)} examples have another value if the split is reversed")


@check(
    "metric",
    "leaves-data-unchanged",
    "A measurement does not change the data, on which later models are measured.",
    "Replace in-place operations, such as x.clamp_(0, 1), by ones that return a new tensor.",
)
def leaves_data_unchanged(subject: MetricSubject) -> None:
    """Compare the splits before and after."""
    data, given = subject.data, copied(subject.data)
    subject.measure_on(ReferenceModel.fitted(data), given)
    for name, split in given.splits.items():
        before = data.splits[name]
        equal = torch.equal(split.stored, before.stored) and torch.equal(split.ids, before.ids)
        require(equal, f"the {name} split was another afterwards")


@check(
    "metric",
    "leaves-the-model-unchanged",
    "A measurement changes neither the weights of the model, nor its mode, nor what is trained.",
    "Work on copy.deepcopy(model), and do not call train() or requires_grad_().",
)
def leaves_the_model_unchanged(subject: MetricSubject) -> None:
    """Compare the model before and after."""
    model = ReferenceModel.fitted(subject.data)
    before, attributes = state_of(model), set(vars(model))
    subject.measure(model, subject.data)
    names = different(before, state_of(model))
    require(not names, f"{', '.join(names)} changed")
    require(not model.training, "the model was left in training mode")
    require(all(each.requires_grad for each in model.parameters()), "a parameter is no longer trained")
    require(all(each.grad is None for each in model.parameters()), "it left gradients on the parameters")
    added = sorted(set(vars(model)) - attributes)
    require(not added, f"it added {', '.join(added)} to the model")


def _skip_timing(subject: MetricSubject) -> None:
    if subject.is_timing:
        skip("it is a timing")


@check(
    "metric",
    "same-noise-same-value",
    "The same model, data and noise give the same value.",
    "Draw from context.noise; random, numpy.random and the time differ from run to run.",
)
def same_noise_same_value(subject: MetricSubject) -> None:
    """Measure again, on a copy of the model."""
    _skip_timing(subject)
    again = subject.measure(copy.deepcopy(ReferenceModel.fitted(subject.data)), subject.data)
    one, other = subject.estimate.value, again.value
    require(one == other, f"it was {one!r}, then {other!r}")


@check(
    "metric",
    "prefers-the-better-model",
    "The direction is right: a model that was made worse does not have the better value.",
    'Set direction = "lower" for errors and distances, "higher" for likelihoods and scores.',
    cost=2,
)
def prefers_the_better_model(subject: MetricSubject) -> None:
    """Measure models with six faults. One of them must be worse, if any of them differs clearly."""
    _skip_timing(subject)
    direction = subject.component.factory(subject.component.config).direction
    if direction is None:
        skip("neither direction is better")
    sign = 1 if direction == "higher" else -1
    good = subject.estimate
    better: dict[str, float] = {}
    worse: dict[str, float] = {}
    for fault in faults:
        try:
            bad = subject.measure(ReferenceModel.fitted(subject.data, fault), subject.data)
        except Exception:  # such as samples that are not finite
            continue
        gap = sign * (bad.value - good.value)
        clear = 2 * ((good.stderr or 0) + (bad.stderr or 0)) + 1e-6 * abs(good.value)
        if abs(gap) > clear:
            (better if gap > 0 else worse)[fault] = gap
    if not better and not worse:
        skip("no fault changes its value clearly")
    # Some faults, such as samples that vary too much, are better by a metric of variety.
    right, wrong = max((-gap for gap in worse.values()), default=0), max(better.values(), default=0)
    shown = ", ".join(f"{good.value + sign * gap:.4g} ({fault})" for fault, gap in better.items())
    require(right > 0.02 * wrong, f"{direction} is better; a right model has {good.value:.4g}, and worse ones {shown}")


@check(
    "metric",
    "standard-error-fits-the-spread",
    "The standard error is about the standard deviation of the value over test sets.",
    "Divide the standard deviation over examples by √n, once; give None if the error is not known, 0 if there is none.",
    cost=2,
)
def standard_error_fits_the_spread(subject: MetricSubject) -> None:
    """Measure on twelve other test sets, each with other noise."""
    _skip_timing(subject)
    if subject.estimate.stderr is None:
        skip("its error is not known")
    if subject.seconds > _slow:
        skip(f"a measurement takes {subject.seconds:.1f} s")
    model = ReferenceModel.fitted(subject.data)
    found = [subject.measure(model, metric_data(seed)[subject.kind], seed) for seed in range(1, 13)]
    spread = statistics.stdev(each.value for each in found)
    error = statistics.median(float(each.stderr or 0) for each in found)
    small = 1e-6 * abs(subject.estimate.value)
    seen = f"it is {error:.3g}, and the values of twelve test sets spread by {spread:.3g}"
    require(spread <= 5 * error + small and error <= 5 * spread + small, seen)


class _Only(nn.Module):
    """A view of a model that has only some methods."""

    def __init__(self, model: nn.Module, names: set[str]) -> None:
        super().__init__()
        self.model = model
        for name in names:
            setattr(self, name, getattr(model, name))


@check(
    "metric",
    "declares-its-needs",
    "A metric calls only the methods that it declares in needs.",
    "Add the capability to needs, such as needs = (harness.Samples,).",
)
def declares_its_needs(subject: MetricSubject) -> None:
    """Measure a model that has only what is declared, for each member of a union."""
    _skip_timing(subject)
    subject.estimate  # noqa: B018 -- skips the check of a metric that does not apply
    model = ReferenceModel.fitted(subject.data)
    for names in _offered(needs_of(subject.component.factory), model):
        try:
            subject.measure(_Only(model, names), subject.data)
        except NotApplicable:
            continue
        except AttributeError as error:
            require(error.name in _all_methods() and error.name not in names, f"it raised {error}")
            require(False, f"it calls {error.name}, and declares {', '.join(sorted(names)) or 'nothing'}")


def _all_methods() -> set[str]:
    return {name for each in all_capabilities for name in methods(each)}


def _offered(needs: Any, model: Any) -> list[set[str]]:
    """Return the methods of the first and of the last member of each union that the reference model has."""
    choices = [[each for each in (get_args(need) or (need,)) if offers(model, each)] for need in needs]
    found = [{name for each in choices for name in methods(each[pick])} for pick in (0, -1)]
    return found if found[0] != found[1] else found[:1]
