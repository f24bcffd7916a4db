"""Checks of plugins against the contracts: each returns what is wrong and how to mend it, or None."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import click

from harness.contracts.models import FitsItself, TrainsByGradient, TrainsByObjectives, methods, offers

_training_methods = {TrainsByGradient: ("loss", "x", "noise"), TrainsByObjectives: ("objectives",),
                     FitsItself: ("fit", "train", "noise")}  # fmt: skip


def problem_of_metric(metric: Any, settings: Mapping[str, Any]) -> str | None:
    """Check a metric, built with its settings."""
    if not hasattr(metric, "unit"):
        return "it has no 'unit'; add one to the class, such as unit = \"nats\""
    if not isinstance(metric.unit, str):
        return f"its 'unit' is {metric.unit!r}; use a string, such as unit = \"nats\""
    if not hasattr(metric, "direction"):
        return 'it has no \'direction\'; set it to "higher", "lower" or None, whichever values are better'
    if metric.direction not in ("higher", "lower", None):
        return f'its \'direction\' is {metric.direction!r}; set it to "higher", "lower" or None'
    for name in ("needs", "times_the_machine", "depends_on_seed", "bound", "at_least", "effort", "aspect", "limits"):
        if getattr(metric, name, None) is not getattr(type(metric), name, None):
            return f"its {name!r} is set on the object; set it on the class, which is read before the metric is built"
    for name in ("times_the_machine", "depends_on_seed"):
        if not isinstance(value := getattr(metric, name, False), bool):
            return f"its {name!r} is {value!r}; set it to True or False"
    if (bound := getattr(metric, "bound", None)) not in ("lower", "upper", None):
        return f'its \'bound\' is {bound!r}; set it to "lower", "upper" or None'
    names = getattr(metric, "at_least", ())
    if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
        return f"its 'at_least' is {names!r}; use a tuple of names of metrics, such as (\"elbo\",)"
    from harness.contracts.metrics import aspects  # imports torch, as the metric has by now

    if getattr(metric, "aspect", None) not in (*aspects, None):
        return f"its 'aspect' is {metric.aspect!r}; set it to {', '.join(map(repr, aspects))} or None"
    if not isinstance(limits := getattr(metric, "limits", ""), str):
        return f"its 'limits' are {limits!r}; write a sentence"
    return (
        _problem_of_needs(getattr(metric, "needs", ()))
        or _problem_of_effort(getattr(metric, "effort", None), settings)
        or _problem_of_method(metric, "measure", "model", "data", "context")
        or _problem_of_compare(metric)
    )


def problem_of_estimate(estimate: Any, examples: int) -> str | None:
    """Check what a metric returned for a split of so many examples."""
    from harness.contracts.metrics import Estimate

    if not isinstance(estimate, Estimate):
        return f"it is a {type(estimate).__name__}; return a harness.Estimate"
    for name in ("value", "stderr", "estimator_stderr", "effective_sample_size", "degrees_of_freedom"):
        number = getattr(estimate, name)
        if number is None and name != "value":
            continue
        if isinstance(number, bool) or not isinstance(number, int | float):
            return f"{name} is of the type {type(number).__name__}; use float(...)"
        if name in ("value", "stderr") and not math.isfinite(number):
            return f"{name} is {number}; use a finite number" + " or None" * (name == "stderr")
        if number < 0 and name != "value":
            return f"{name} is {number:g}; it must be at least 0"
    for name in ("warning", "contradiction", "measure"):
        if not isinstance(text := getattr(estimate, name), str | None):
            return f"{name} is {text!r}; use a text or None"
    if isinstance(estimate.n, bool) or not isinstance(estimate.n, int) or estimate.n < 0:
        return f"n is {estimate.n!r}; use the number of examples that the value is computed from"
    return _problem_of_per_example(estimate.per_example, estimate.n, examples)


def _problem_of_per_example(values: Any, n: int, examples: int) -> str | None:
    if values is None:
        return None
    if not hasattr(values, "isfinite"):
        return f"per_example is of the type {type(values).__name__}; use a tensor"
    if tuple(values.shape) != (n,) or n > examples:
        return (
            f"per_example has the shape {tuple(values.shape)}, and n is {n}; it must be one value for each of n "
            f"examples, of which the split has {examples}"
        )
    if not bool(values.isfinite().all()):
        return "per_example has values that are not finite"
    return None


def problem_of_model(model: Any) -> str | None:
    """Check a model's class."""
    if not inspect.isclass(model) or not hasattr(model, "state_dict"):
        return f"it is {model!r}; name a class derived from torch.nn.Module"
    ways = [each for each in _training_methods if offers(model, each)]
    if not ways:
        return "it cannot be trained; add loss(x, noise), objectives() or fit(train, noise)"
    return _problem_of_signature(model, "its constructor", "info", "config") or next(
        (problem for way in ways if (problem := _problem_of_class_method(model, *_training_methods[way]))), None
    )


def problem_of_dataset(dataset: Any) -> str | None:
    """Check a data set's class."""
    if not inspect.isclass(dataset):
        return f"it is {dataset!r}; name a class"
    if not hasattr(dataset, "load"):
        return "it has no 'load'; add load(source), which returns harness.Data"
    return (
        _problem_of_signature(dataset, "its constructor", "config")
        or _problem_of_class_method(dataset, "load", "source")
        or (_problem_of_class_method(dataset, "content_in", "source") if hasattr(dataset, "content_in") else None)
    )


def problem_of_figure(figure: Any) -> str | None:
    """Check a figure, an instance of its class."""
    return _problem_of_needs(getattr(figure, "needs", ())) or _problem_of_method(
        figure, "draw", "model", "data", "context"
    )


def problem_of_board_figure(figure: Any) -> str | None:
    """Check a figure of boards."""
    if not callable(figure):
        return f"it is {figure!r}; name a function from a list of boards to a picture"
    return _problem_of_signature(figure, "it", "boards")


def problem_of_renderer(renderer: Any) -> str | None:
    """Check a renderer."""
    if not callable(renderer):
        return f"it is {renderer!r}; name a function from a list of boards to text"
    return _problem_of_signature(renderer, "it", "boards")


def problem_of_command(command: Any) -> str | None:
    """Check a command."""
    return None if isinstance(command, click.Command) else f"it is {command!r}; name a click.Command"


def _problem_of_needs(needs: Any) -> str | None:
    if isinstance(needs, str) or not isinstance(needs, Sequence):
        name = getattr(needs, "__name__", repr(needs))
        return f"its 'needs' is {name}; use a tuple, such as needs = (harness.Samples,)"
    for need in needs:
        try:
            for capability in get_args(need) or (need,):
                methods(capability)
        except TypeError as error:
            return f"its 'needs' is wrong: {error}, such as harness.HasPosterior"
    return None


def _problem_of_effort(effort: Any, settings: Mapping[str, Any]) -> str | None:
    if effort is None:
        return None
    for name in (effort, "examples"):
        value = settings.get(name) if isinstance(name, str) else None
        if not isinstance(value, int) or isinstance(value, bool):
            return (
                f"its 'effort' is {effort!r}, but its Config has no integer setting {name!r}; 'effort' names the "
                "setting that buys accuracy, and 'examples' is the number of test images"
            )
    return None


def problem_of_executor(executor: Any) -> str | None:
    """Return why a class is no executor, or None if it is one."""
    if not isinstance(executor, type):
        return f"it is {executor!r}; name a class, which is built with its settings"
    for name in ("__enter__", "__exit__"):
        if not hasattr(executor, name):
            return f"it has no '{name}'; it is used in a with block"
    return _problem_of_method(executor, "submit", "self", "work")


def _problem_of_compare(metric: Any) -> str | None:
    if not hasattr(metric, "compare"):
        return None
    return _problem_of_method(metric, "compare", "samples", "test", "train")


def _problem_of_method(thing: Any, name: str, *parameters: str) -> str | None:
    method = getattr(thing, name, None)
    if not callable(method):
        return f"it has no '{name}'; add {name}({', '.join(parameters)})"
    return _problem_of_signature(method, f"its '{name}'", *parameters)


def _problem_of_class_method(thing: type, name: str, *parameters: str) -> str | None:
    """Check a method of a class that is not built."""
    method = inspect.getattr_static(thing, name)
    if inspect.isfunction(method):
        return _problem_of_signature(method, f"its '{name}'", "self", *parameters)
    return _problem_of_method(thing, name, *parameters)


def _problem_of_signature(function: Any, what: str, *parameters: str) -> str | None:
    try:
        signature = inspect.signature(function)
    except ValueError:  # some built-in functions have no signature
        return None
    try:
        signature.bind(*parameters)
    except TypeError:
        return f"{what} takes {_shown(signature)}; it is called with ({', '.join(parameters).removeprefix('self, ')})"
    return None


def _shown(signature: inspect.Signature) -> str:
    """Return the parameters of a signature as text, without ``self`` and annotations."""
    shown = [
        each.replace(annotation=inspect.Parameter.empty)
        for each in signature.parameters.values()
        if each.name != "self"
    ]
    return str(inspect.Signature(shown))
