"""Checks of the shape and the scale of what a model returns."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from harness.conformance.checks import check, require, skip
from harness.conformance.model_subject import ModelSubject, in_words
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
from harness.contracts.outputs import codes, far_apart, latent_size
from harness.data.dataset import Data
from harness.noise import Noise

_outside = 0.25  # share of values far from [0, 1]
_long = 40  # epochs, for a model that is still far from the data after two


@check(
    "model",
    "samples-have-the-shape",
    "sample(n, noise) returns n samples of the shape of the data, for any n.",
    "Return a tensor of shape (n, *info.shape), also for n = 1.",
)
def samples_have_the_shape(subject: ModelSubject) -> None:
    """Draw one, seven and 40 samples of each kind of data."""
    subject.needs(Samples)
    for kind, data, model in subject.on_each_kind():
        for n in (1, 7, 40):
            with torch.no_grad():
                samples = model.sample(n, Noise(0))
            expected = (n, *data.info.shape)
            require(
                getattr(samples, "shape", None) == expected, f"on {kind} they are {in_words(samples)}, not {expected}"
            )


@check(
    "model",
    "samples-are-finite",
    "Samples are finite.",
    "Look for divisions by zero and logarithms of zero in sample, and for steps that explode.",
)
def samples_are_finite(subject: ModelSubject) -> None:
    """Draw samples of each kind of data."""
    subject.needs(Samples)
    for kind, _, model in subject.on_each_kind():
        with torch.no_grad():
            finite = model.sample(40, Noise(0)).isfinite()
        require(finite.all(), f"on {kind} {int((~finite).sum())} values are not")


@check(
    "model",
    "samples-are-on-the-scale-of-the-data",
    "Samples are on the scale of the data, such as [0, 1] for pixels.",
    "Undo the model's own scaling in sample: (y + 1) / 2 for [−1, 1], y / 255 for bytes.",
)
def samples_are_on_the_scale_of_the_data(subject: ModelSubject) -> None:
    """Count the values far from [0, 1]."""
    subject.needs(Samples)
    if offers(subject.factory, HasDensity):
        skip("its samples are compared with its density")
    _require_scale(subject, lambda model, data: model.sample(60, Noise(0)))


def _require_scale(subject: ModelSubject, values: Callable[[Any, Data], Tensor]) -> None:
    """Require that most values lie in or near [0, 1], if need be after a longer fit."""
    for kind, data, model in subject.on_each_kind():
        if data.info.support == "real":
            continue
        share = _share_outside(values, model, data)
        if share > _outside and subject.trains_by_gradient:
            share = _share_outside(values, subject.fitted(data, epochs=_long), data)
        require(share < _outside, f"on {kind} {share:.0%} of the values are below −0.25 or above 1.25")


@torch.no_grad()
def _share_outside(values: Callable[[Any, Data], Tensor], model: Any, data: Data) -> float:
    found = values(model, data)
    return float(((found < -0.25) | (found > 1.25)).double().mean())


@check(
    "model",
    "samples-do-not-depend-on-their-number",
    "Samples of a large batch are like those of several small batches: metrics draw samples in batches.",
    "Do not normalise over the batch, and do not spread the samples over n.",
)
def samples_do_not_depend_on_their_number(subject: ModelSubject) -> None:
    """Compare the mean and the spread of samples drawn at once and in batches of two."""
    subject.needs(Samples)
    model = subject.fitted()
    with torch.no_grad():
        large = model.sample(512, Noise(1)).double().flatten(1)
        noise = Noise(2)
        small = torch.cat([model.sample(2, noise) for _ in range(96)]).double().flatten(1)
    error = (large.var(0) / len(large) + small.var(0) / len(small)).sqrt() + 1e-9
    gap = float(((large.mean(0) - small.mean(0)).abs() / (error + 1e-3 * large.mean(0).abs())).max())
    require(gap < 7, f"a mean differs by {gap:.0f} standard errors")
    ratio = float((small.var(0).mean() + 1e-12) / (large.var(0).mean() + 1e-12))
    require(0.65 < ratio < 1.5, f"the variance in batches of two is {ratio:.2g} of that at once")


@check(
    "model",
    "reconstructions-have-the-shape",
    "reconstruct(x) returns a finite tensor of the shape and type of x.",
    "End with .view_as(x), and keep float32.",
)
def reconstructions_have_the_shape(subject: ModelSubject) -> None:
    """Reconstruct examples of each kind of data."""
    subject.needs(Reconstructs)
    for kind, data, model in subject.on_each_kind():
        x = subject.examples(8, data)
        with torch.no_grad():
            found = model.reconstruct(x)
        require(getattr(found, "shape", None) == x.shape, f"on {kind} they are {in_words(found)}, not {tuple(x.shape)}")
        require(found.dtype == x.dtype, f"on {kind} they are {found.dtype}, not {x.dtype}")
        require(found.isfinite().all(), f"on {kind} they are not finite")


@check(
    "model",
    "reconstructions-are-on-the-scale-of-the-data",
    "Reconstructions are on the scale of the examples.",
    "Undo the model's own scaling in reconstruct.",
)
def reconstructions_are_on_the_scale_of_the_data(subject: ModelSubject) -> None:
    """Count the values far from [0, 1]."""
    subject.needs(Reconstructs)
    _require_scale(subject, lambda model, data: model.reconstruct(subject.examples(40, data)))


@check(
    "model",
    "codes-have-the-shape",
    "encode(x) returns finite codes (N, code), and decode(z) returns examples (N, *shape).",
    "Flatten codes to two dimensions, and unflatten examples to info.shape.",
)
def codes_have_the_shape(subject: ModelSubject) -> None:
    """Encode and decode examples."""
    model, x = subject.fitted(), subject.examples()
    if not offers(model, HasEncoder) and not offers(model, HasDecoder):
        skip("it has no encoder and no decoder")
    with torch.no_grad():
        if offers(model, HasEncoder):
            z = model.encode(x)
            require(z.dim() == 2 and len(z) == len(x), f"codes of {len(x)} examples are {in_words(z)}")
            require(z.isfinite().all(), "codes are not finite")
        if offers(model, HasDecoder) and latent_size(model, x):
            found = model.decode(codes(model, x))
            require(found.shape == x.shape, f"decoded examples are {in_words(found)}, not {tuple(x.shape)}")


@check(
    "model",
    "reconstructs-by-its-codes",
    "For a model with encode and decode, reconstruct(x) is decode(encode(x)).",
    "Write reconstruct as self.decode(self.encode(x)).",
)
def reconstructs_by_its_codes(subject: ModelSubject) -> None:
    """Compare the two."""
    subject.needs(HasEncoder, HasDecoder, Reconstructs)
    model, x = subject.fitted(), subject.examples()
    with torch.no_grad():
        names = far_apart({"it": model.decode(model.encode(x))}, {"it": model.reconstruct(x)})
    require(not names, "they differ")


@check(
    "model",
    "codebook-entries-are-whole-numbers",
    "codes(x) returns indices of entries, int64, at least 0.",
    "Return the result of argmin or argmax over the codebook.",
)
def codebook_entries_are_whole_numbers(subject: ModelSubject) -> None:
    """Look at the entries of examples."""
    subject.needs(Quantizes)
    model, x = subject.fitted(), subject.examples()
    with torch.no_grad():
        found = model.codes(x)
    require(found.dtype == torch.int64, f"they are {found.dtype}")
    require(
        len(found) == len(x) and bool((found >= 0).all()), f"they are {in_words(found)}, the least {int(found.min())}"
    )


@check(
    "model",
    "distributions-have-their-shapes",
    "posterior(x) has the batch shape (N,) and the event shape of prior(); observation(z) has that of the data.",
    "Wrap the distribution: torch.distributions.Independent(base, number of dimensions of an event).",
)
def distributions_have_their_shapes(subject: ModelSubject) -> None:
    """Look at the distributions of examples."""
    model, x = subject.build(subject.data).eval(), subject.examples()
    if not offers(model, HasPosterior) and not offers(model, HasObservationModel):
        skip("it has no distributions")
    with torch.no_grad():
        if offers(model, HasPosterior):
            _require_shapes("posterior(x)", model.posterior(x), (len(x),), None)
        if offers(model, HasObservationModel):
            prior = model.prior()
            _require_shapes("prior()", prior, (), None)
            observation = model.observation(codes(model, x))
            _require_shapes("observation(z)", observation, (len(x),), tuple(x.shape[1:]))
            if offers(model, HasPosterior):
                _require_shapes("posterior(x)", model.posterior(x), (len(x),), tuple(prior.event_shape))


def _require_shapes(what: str, found: Any, batch: tuple[int, ...], event: tuple[int, ...] | None) -> None:
    require(tuple(found.batch_shape) == batch, f"{what} has the batch shape {tuple(found.batch_shape)}, not {batch}")
    if event is None:
        require(len(found.event_shape) == 1, f"{what} has the event shape {tuple(found.event_shape)}")
    else:
        require(
            tuple(found.event_shape) == event, f"{what} has the event shape {tuple(found.event_shape)}, not {event}"
        )


@check(
    "model",
    "likelihoods-have-the-shape",
    "log_prob(x) and the parts of elbo_terms(x, noise) have one finite value for each example, (N,).",
    "Sum over the values of an example, not over the batch.",
)
def likelihoods_have_the_shape(subject: ModelSubject) -> None:
    """Look at the values of examples."""
    model, x = subject.fitted(), subject.examples()
    found: dict[str, Tensor] = {}
    with torch.no_grad():
        if offers(model, HasDensity):
            found["log_prob"] = model.log_prob(x)
        if offers(model, HasBound):
            found |= model.elbo_terms(x, Noise(0))
    if not found:
        skip("it has no log_prob and no elbo_terms")
    for name, each in found.items():
        require(each.shape == (len(x),), f"{name} is {in_words(each)}, not {(len(x),)}")
        require(each.isfinite().all(), f"{name} is not finite")


@check(
    "model",
    "corruptions-have-the-shape",
    "corrupt(x, noise) returns other examples of the same shape.",
    "Add noise to a copy of x.",
)
def corruptions_have_the_shape(subject: ModelSubject) -> None:
    """Corrupt examples."""
    subject.needs(Corrupts)
    model, x = subject.fitted(), subject.examples()
    with torch.no_grad():
        found = model.corrupt(x.clone(), Noise(0))
    require(found.shape == x.shape, f"they are {in_words(found)}, not {tuple(x.shape)}")
    require(not torch.equal(found, x), "they equal x")


@check(
    "model",
    "rescaling-has-its-log-determinant",
    "rescale(x) returns log |det ∂y/∂x| of its map from x to y.",
    "For y = a x + b of d values, it is d log |a|.",
)
def rescaling_has_its_log_determinant(subject: ModelSubject) -> None:
    """Differentiate the map numerically, in double precision."""
    subject.needs(Transports)
    model = subject.fitted().double()
    x = subject.examples(3).double().clamp(0.1, 0.9)
    with contextlib.nullcontext():
        _, stated = model.rescale(x)
        for i in range(len(x)):
            jacobian = torch.autograd.functional.jacobian(lambda each: model.rescale(each)[0].flatten(), x[i : i + 1])
            size = x[0].numel()
            exact = float(torch.linalg.slogdet(jacobian.reshape(size, size)).logabsdet)
            value = float(stated.expand(len(x))[i])
            require(abs(value - exact) < 1e-3 * (1 + abs(exact)), f"it is {value:.6g}, and should be {exact:.6g}")
