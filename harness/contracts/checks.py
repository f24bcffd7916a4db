"""Checks of plugins against the contracts: each returns what is wrong and how to mend it, or None."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import click

from harness.contracts.models import FitsItself, TrainsByGradient, TrainsByObjectives, methods, offers


def problem_of_metric(metric: Any, settings: Mapping[str, Any]) -> str | None:
    """Check a metric, built with its settings."""
    if not hasattr(metric, "unit"):
        return "it has no 'unit'; add one to the class, such as unit = \"nats\""
    if not isinstance(metric.unit, str):
        return f"its 'unit' is {metric.unit!r}; write it as text, such as unit = \"nats\""
    if not hasattr(metric, "direction"):
        return 'it has no \'direction\'; set it to "higher", "lower" or None, whichever values are better'
    if metric.direction not in ("higher", "lower", None):
        return f'its \'direction\' is {metric.direction!r}; set it to "higher", "lower" or None'
    if not isinstance(timing := getattr(metric, "times_the_machine", False), bool):
        return f"its 'times_the_machine' is {timing!r}; set it to True or False"
    return (
        _problem_of_needs(getattr(metric, "needs", ()))
        or _problem_of_effort(getattr(metric, "effort", None), settings)
        or _problem_of_method(metric, "measure", "model", "data", "context")
    )


def problem_of_model(model: Any) -> str | None:
    """Check a model's class."""
    ways = TrainsByGradient | TrainsByObjectives | FitsItself
    if not callable(model):
        return f"it is {model!r}; name a torch.nn.Module"
    if inspect.isclass(model) and not offers(model, ways):
        return "it cannot be trained; add loss(x, noise), objectives() or fit(train, noise)"
    return None


def problem_of_dataset(dataset: Any) -> str | None:
    """Check a data set's class."""
    return None if hasattr(dataset, "load") else "it has no 'load'; add load(source), which returns harness.Data"


def problem_of_figure(figure: Any) -> str | None:
    """Check a figure, an instance of its class."""
    return _problem_of_needs(getattr(figure, "needs", ())) or _problem_of_method(
        figure, "draw", "model", "data", "context"
    )


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
        return f"its 'needs' is {name}; write a tuple, such as needs = (harness.Samples,)"
    for need in needs:
        try:
            offers(object(), need)
            methods(need) if inspect.isclass(need) else None
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
                f"its 'effort' is {effort!r}, but its Config has no whole number {name!r}; 'effort' names the setting "
                "that buys accuracy, and 'examples' is the number of test images"
            )
    return None


def _problem_of_method(thing: Any, name: str, *parameters: str) -> str | None:
    method = getattr(thing, name, None)
    if not callable(method):
        return f"it has no '{name}'; add {name}({', '.join(parameters)})"
    return _problem_of_signature(method, f"its '{name}'", *parameters)


def _problem_of_signature(function: Any, what: str, *parameters: str) -> str | None:
    try:
        inspect.signature(function).bind(*parameters)
    except TypeError:
        taken = inspect.signature(function)
        return f"{what} takes {taken}; it is called with ({', '.join(parameters)})"
    except ValueError:  # without a signature, as some built-in functions are
        return None
    return None
