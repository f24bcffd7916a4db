"""What a fitted model says of examples: the results of all its methods, to compare two models or two calls."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from harness.contracts.models import (
    Corrupts,
    HasBound,
    HasDecoder,
    HasDensity,
    HasEncoder,
    HasObservationModel,
    HasPosterior,
    Quantizes,
    Reconstructs,
    Samples,
    Transports,
    offers,
)
from harness.errors import no_exit
from harness.noise import Noise, derive_seed, global_seed


def latent_size(model: Any, x: Tensor) -> int | None:
    """Return the size of a code, or None if the model has no codes of known size."""
    if hasattr(model, "prior"):
        return int(model.prior().event_shape[-1])
    if offers(model, HasEncoder):
        return int(model.encode(x[:1]).shape[-1])
    return int(model.posterior(x[:1]).event_shape[-1]) if offers(model, HasPosterior) else None


def codes(model: Any, x: Tensor) -> Tensor:
    """Return fixed codes from N(0, I), one for each example, ``(N, latent)``."""
    return Noise(derive_seed("codes")).normal(len(x), latent_size(model, x) or 0).to(x.device)


@torch.no_grad()
def attempted_codes(model: Any, x: Tensor) -> Tensor | None:
    """Return fixed codes as ``codes`` does, or None if the model has no codes, or raises an exception."""
    try:
        with no_exit():
            return codes(model, x) if latent_size(model, x) else None
    except Exception:
        return None


@torch.no_grad()
def outputs(model: Any, x: Tensor, z: Tensor | None = None, *, copies: bool = True) -> dict[str, Tensor]:
    """Return all that a model says of examples without randomness, by method, one row an example.

    Args:
        model: in evaluation mode.
        x: examples, ``(N, *shape)``.
        z: codes of the same number, ``(N, latent)``, for decoders and posteriors.
        copies: whether each method gets a copy of both, so that one that changes them does no harm to the others.
    """
    if z is None and latent_size(model, x):
        z = codes(model, x)
    found = {}
    for name, method in _methods(model).items():
        given = x.clone() if copies else x
        found[name] = method(given, z.clone() if copies and z is not None else z)
    return found


def _methods(model: Any) -> dict[str, Callable[[Tensor, Any], Tensor]]:
    """Return what a model says of examples and codes, by name."""
    found: dict[str, Callable[[Tensor, Any], Tensor]] = {}
    if offers(model, Reconstructs):
        found["reconstruct"] = lambda x, z: model.reconstruct(x)
    if offers(model, HasEncoder):
        found["encode"] = lambda x, z: model.encode(x)
    if offers(model, HasDensity):
        found["log_prob"] = lambda x, z: model.log_prob(x)
    if offers(model, Quantizes):
        found["codes"] = lambda x, z: model.codes(x)
    if offers(model, Transports):
        found["rescale"] = lambda x, z: model.rescale(x)[0]
        found["rescale's log-determinant"] = lambda x, z: model.rescale(x)[1].expand(len(x))
        found["velocity"] = lambda x, z: model.velocity(model.rescale(x)[0], torch.tensor(0.5))
    if offers(model, HasPosterior):
        found["posterior's log-density"] = lambda x, z: model.posterior(x).log_prob(z)
    if offers(model, HasObservationModel):
        found["prior's log-density"] = lambda x, z: model.prior().log_prob(z)
        found["observation's log-density"] = lambda x, z: model.observation(z).log_prob(x)
    if offers(model, HasDecoder) and (hasattr(model, "prior") or offers(model, HasEncoder)):
        found["decode"] = lambda x, z: model.decode(z)
    return found


@torch.no_grad()
def draws(model: Any, x: Tensor, seed: int, *, copies: bool = True) -> dict[str, Tensor]:
    """Return all that a model draws from noise, by method."""
    found: dict[str, Tensor] = {}
    for draw in _drawing_methods(model).values():
        found |= draw(x.clone() if copies else x, Noise(seed, x.device))
    return found


def _drawing_methods(model: Any) -> dict[str, Callable[[Tensor, Noise], dict[str, Tensor]]]:
    """Return what a model draws from noise, by name."""
    found: dict[str, Callable[[Tensor, Noise], dict[str, Tensor]]] = {}
    if offers(model, Samples):
        found["sample"] = lambda x, noise: {"sample": model.sample(8, noise)}
    if offers(model, Corrupts):
        found["corrupt"] = lambda x, noise: {"corrupt": model.corrupt(x, noise)}
    if offers(model, HasBound):
        found["elbo_terms"] = lambda x, noise: {
            f"elbo_terms, {name}": each for name, each in model.elbo_terms(x, noise).items()
        }
    return found


@torch.no_grad()
def attempted(model: Any, x: Tensor, z: Tensor | None, *, drawn: bool = True) -> dict[str, Tensor | Exception]:
    """Return what a model says of examples and codes and, unless not ``drawn``, what it draws; or what it raised."""
    found: dict[str, Tensor | Exception] = {}
    for name, method in _methods(model).items():
        with global_seed(0):
            try:
                with no_exit():
                    found[name] = method(x.clone(), None if z is None else z.clone())
            except Exception as error:
                found[name] = error
    for name, draw in _drawing_methods(model).items() if drawn else ():
        with global_seed(0):
            try:
                with no_exit():
                    found |= draw(x.clone(), Noise(0, x.device))
            except Exception as error:
                found[name] = error
    return found


def everything(model: Any, x: Tensor, seed: int = 0) -> dict[str, Tensor]:
    """Return both the outputs and the draws of a model."""
    return outputs(model, x) | draws(model, x, seed)


@torch.no_grad()
def wrong_outputs(model: Any, x: Tensor) -> dict[str, str]:
    """Return what is wrong with the type or the shape of what a model says of examples, by the name of the method.

    Tensors of other shapes may be broadcast against the examples, and a metric then has a value that means nothing. A
    method that raises an exception is left out: a metric that calls it fails.

    Args:
        model: in evaluation mode.
        x: examples, ``(N, *shape)``.
    """
    z, n, event = attempted_codes(model, x), len(x), tuple(x.shape[1:])
    noise = Noise(0, x.device)
    of_each = "sum over the values of an example, not over the batch"
    rules: list[tuple[Any, str, tuple[Any, ...], Callable[[Any], str | None]]] = [
        (Reconstructs, "reconstruct", (x,), lambda it: _wrong_tensor(it, (n, *event), "end with .view_as(x)")),
        (HasEncoder, "encode", (x,), lambda it: _wrong_tensor(it, (n, ...), "flatten codes to (N, code)")),
        (Quantizes, "codes", (x,), lambda it: _wrong_tensor(it, (n, ...), "return the entries of each example")),
        (HasDensity, "log_prob", (x,), lambda it: _wrong_tensor(it, (n,), of_each)),
        (HasBound, "elbo_terms", (x, noise), lambda it: _wrong_terms(it, n, of_each)),
        (HasPosterior, "posterior", (x,), lambda it: _wrong_distribution(it, (n,), None)),
        (HasObservationModel, "prior", (), lambda it: _wrong_distribution(it, (), None)),
    ]
    if z is not None:
        unflatten = "end with .view(len(z), *info.shape)"
        rules += [
            (HasDecoder, "decode", (z,), lambda it: _wrong_tensor(it, (n, *event), unflatten)),
            (HasObservationModel, "observation", (z,), lambda it: _wrong_distribution(it, (n,), event)),
        ]
    found = {}
    for capability, name, arguments, problem_of in rules:
        if not offers(model, capability):
            continue
        given = [each.clone() if isinstance(each, Tensor) else each for each in arguments]
        with suppress(Exception), no_exit(), global_seed(0):
            problem = problem_of(getattr(model, name)(*given))
            if problem is not None:
                found[name] = problem
    return found


def _wrong_tensor(given: Any, shape: tuple[Any, ...], remedy: str) -> str | None:
    """Compare the shape of a tensor; ``...`` at its end stands for at least one dimension of any size."""
    if not isinstance(given, Tensor):
        return f"returns a {type(given).__name__}, not a tensor; {remedy}"
    its_shape = tuple(given.shape)
    if shape[-1] is ...:
        right = len(its_shape) >= len(shape) and its_shape[: len(shape) - 1] == shape[:-1]
        expected = f"a tensor with {shape[0]} rows"
    else:
        right, expected = its_shape == shape, str(shape)
    return None if right else f"returns a tensor of shape {its_shape}, not {expected}; {remedy}"


def _wrong_terms(given: Any, n: int, remedy: str) -> str | None:
    if not isinstance(given, dict):
        return f"returns a {type(given).__name__}; return a dictionary from the names of the parts to tensors"
    problems = (_wrong_tensor(each, (n,), remedy) for each in given.values())
    return next((each for each in problems if each), None)


def _wrong_distribution(given: Any, batch: tuple[int, ...], event: tuple[int, ...] | None) -> str | None:
    """Compare the batch shape and the event shape of a distribution; without ``event``, of a code of any size."""
    if not hasattr(given, "batch_shape") or not hasattr(given, "event_shape"):
        return f"returns a {type(given).__name__}; return a torch.distributions.Distribution"
    its_batch, its_event = tuple(given.batch_shape), tuple(given.event_shape)
    if its_batch == batch and (len(its_event) == 1 if event is None else its_event == event):
        return None
    return (
        f"has the batch shape {its_batch} and the event shape {its_event}, not {batch} and "
        f"{'(latent,)' if event is None else event}; wrap it as torch.distributions.Independent(base, number of "
        "dimensions of an event)"
    )


def different(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    """Return the names whose tensors are not equal bit for bit; NaN equals NaN."""
    return [
        name
        for name in one
        if name not in other
        or one[name].shape != other[name].shape
        or not torch.equal(one[name].nan_to_num(), other[name].nan_to_num())
    ]


def far_apart(one: dict[str, Tensor], other: dict[str, Tensor], *, tolerance: float = 1e-4) -> list[str]:
    """Return the names whose tensors differ by more than rounding, relative to their largest value."""
    found = []
    for name, value in one.items():
        before, after = value.detach().double(), other[name].detach().double()
        limit = tolerance * (1 + float(before.abs().max()))
        if before.shape != after.shape or float((before - after).abs().max()) > limit:
            found.append(name)
    return found


def unequal(one: dict[str, Tensor | Exception], other: dict[str, Tensor | Exception]) -> list[str]:
    """Return the names of what both ``attempted`` whose results differ by more than rounding.

    A method that raises in both cases differs in neither.
    """
    found = []
    for name, value in one.items():
        its_other = other.get(name)
        if isinstance(value, Tensor) and isinstance(its_other, Tensor):
            if value.shape != its_other.shape or far_apart({name: value}, {name: its_other}):
                found.append(name)
        elif isinstance(value, Tensor) != isinstance(its_other, Tensor):
            found.append(name)
    return found
