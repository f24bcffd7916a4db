"""Checks of the training of a model: gradients, losses, seeds, and the data that it sees."""

from __future__ import annotations

import copy
import dataclasses
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from harness.conformance.checks import Failed, check, require, skip
from harness.conformance.model_subject import ModelSubject, batch_size, in_words, state_of
from harness.conformance.surroundings import differing, disturb
from harness.conformance.tiny_data import copied, kinds
from harness.contracts.objectives import objectives_of
from harness.contracts.outputs import (
    attempted,
    attempted_codes,
    codes,
    different,
    draws,
    everything,
    far_apart,
    latent_size,
    outputs,
)
from harness.data.dataset import Data, Split
from harness.errors import NotApplicable
from harness.execution.failure import described
from harness.noise import Noise, global_seed


@check(
    "model",
    "explains-refusals",
    "A model that cannot be built for some data raises harness.NotApplicable with the reason.",
    "Start the constructor with info.as_image(), info.as_vector() or info.as_points(), or raise NotApplicable.",
    cost=0,
)
def explains_refusals(subject: ModelSubject) -> None:
    """Build the model for each kind of data."""
    for kind, data in kinds().items():
        try:
            subject.build(data)
        except NotApplicable as reason:
            require(len(str(reason).split()) > 3, f"for {kind} the reason is {str(reason)!r}")
        except Exception as error:
            require(False, f"for {kind} it raised {described(error)}")


@check(
    "model",
    "takes-some-data",
    "A model can be built for some kind of data.",
    "Build the layers from info.shape, so that images of any size can be modelled.",
    cost=0,
)
def takes_some_data(subject: ModelSubject) -> None:
    """Look at the kinds of data that it takes."""
    require(subject.suited, f"it takes none of: {', '.join(kinds())}")


@check(
    "model",
    "trains",
    "A model can be fitted to each kind of data that it can be built for, and its weights are finite.",
    "Correct what raises it, or raise NotApplicable in the constructor for data that it cannot be trained on.",
)
def trains(subject: ModelSubject) -> None:
    """Fit it to each kind."""
    for kind, data in subject.suited.items():
        try:
            model = subject.fit(data, epochs=1)
        except NotApplicable as reason:
            require(len(str(reason).split()) > 3, f"for {kind} the reason is {str(reason)!r}")
            continue
        except Exception as error:
            require(False, f"on {kind} it raised {described(error)}")
        wrong = [name for name, each in state_of(model).items() if not each.isfinite().all()]
        require(not wrong, f"on {kind} {', '.join(wrong)} is not finite")


@check(
    "model",
    "methods-return-tensors",
    "Each method of a fitted model that a metric may call returns a tensor, or a distribution with its densities.",
    "Correct what raises it, or return the one tensor or distribution.",
)
def methods_return_tensors(subject: ModelSubject) -> None:
    """Call all that it offers, on each kind of data."""
    for kind, data, model in subject.on_each_kind():
        x = subject.examples(8, data)
        z = attempted_codes(model, x)
        for name, found in attempted(model, x, z).items():
            lacks_codes = z is None and (name == "decode" or "log-density" in name)
            if isinstance(found, Tensor | NotApplicable) or lacks_codes:
                continue
            if isinstance(found, Exception):
                raise Failed(f"on {kind} {name} raised {described(found)}") from found
            require(False, f"on {kind} {name} returned {in_words(found)}")


def _gradients(subject: ModelSubject, model: Any) -> dict[str, tuple[nn.Parameter, Tensor | None]]:
    """Return each parameter of an objective by its name, with its gradient."""
    model.train()
    x = subject.data.train.all(Noise(0))[:batch_size]
    names = {id(each): name for name, each in model.named_parameters()}
    found: dict[str, tuple[nn.Parameter, Tensor | None]] = {}
    for objective in objectives_of(model, subject.config):
        gradients = torch.autograd.grad(objective.of_batch(x, Noise(1)), objective.parameters, allow_unused=True)
        for parameter, gradient in zip(objective.parameters, gradients, strict=True):
            found[names.get(id(parameter), "a parameter outside the module")] = parameter, gradient
    return found


def _require_gradient(subject: ModelSubject) -> None:
    if not subject.trains_by_gradient:
        skip("it fits itself, without gradients")


@check(
    "model",
    "loss-is-a-scalar",
    "A loss is a finite scalar tensor.",
    "Return the mean over the batch, such as loss.mean().",
)
def loss_is_a_scalar(subject: ModelSubject) -> None:
    """Compute each loss of a new model."""
    _require_gradient(subject)
    model = subject.build(subject.data)
    for name, loss in subject.losses(model, subject.data.train.all(Noise(0))[:batch_size], 1).items():
        require(isinstance(loss, Tensor) and loss.shape == (), f"{name} is {in_words(loss)}")
        require(loss.isfinite(), f"{name} is {float(loss)}")


@check(
    "model",
    "gradients-are-finite",
    "The gradient of each parameter is finite, and not all gradients are zero.",
    "Look for logarithms and divisions near zero, and for a loss that does not depend on the parameters.",
)
def gradients_are_finite(subject: ModelSubject) -> None:
    """Differentiate each objective of a new model."""
    _require_gradient(subject)
    found = _gradients(subject, subject.build(subject.data))
    wrong = [name for name, (_, gradient) in found.items() if gradient is not None and not gradient.isfinite().all()]
    require(not wrong, f"the gradient of {', '.join(wrong)} is not finite")
    require(any(gradient is not None and bool(gradient.any()) for _, gradient in found.values()), "all are zero")


@check(
    "model",
    "gradients-reach-all-parameters",
    "Each parameter that is trained gets a gradient.",
    "Remove a detach() or no_grad() on the way, register constants as buffers, or name the parameter in an objective.",
)
def gradients_reach_all_parameters(subject: ModelSubject) -> None:
    """Look for parameters without a gradient, or with a gradient of zero ."""
    _require_gradient(subject)
    found = _gradients(subject, subject.fitted())
    lost = [name for name, (_, gradient) in found.items() if gradient is None or not gradient.any()]
    unnamed = [name for name, each in subject.fitted().named_parameters() if each.requires_grad and name not in found]
    require(not lost, f"{', '.join(lost)} got none")
    require(not unnamed, f"{', '.join(unnamed)} is in no objective")


@check(
    "model",
    "loss-is-a-mean",
    "A loss is a mean over the batch, so that the learning rate does not depend on the batch size.",
    "Divide by len(x), or use .mean() over examples.",
)
def loss_is_a_mean(subject: ModelSubject) -> None:
    """Compare the loss of a batch with that of the same batch twice."""
    _require_gradient(subject)
    model = subject.fitted().train()
    x = subject.data.train.all(Noise(0))[:batch_size]
    repeats = 16

    def mean(x: Tensor) -> dict[str, tuple[float, float]]:
        every: dict[str, list[float]] = {}
        for seed in range(repeats):
            for name, loss in subject.losses(copy.deepcopy(model), x, seed).items():
                every.setdefault(name, []).append(float(loss))
        return {
            name: (float(values.mean()), float(values.std() / repeats**0.5))
            for name, each in every.items()
            if (values := torch.tensor(each, dtype=torch.float64)) is not None
        }

    once, twice = mean(x), mean(torch.cat([x, x]))
    for name, (one, error) in once.items():
        two, other_error = twice[name]
        significant = abs(two - one) > 5 * (error + other_error) + 1e-3 * abs(one)
        doubled = abs(two - 2 * one) < 0.5 * abs(two - one)
        require(not (significant and doubled), f"{name} is {one:.4g} for {len(x)} examples, {two:.4g} for them twice")


@check(
    "model",
    "same-seed-same-weights",
    "Models that are built from the same seed have the same weights.",
    "Draw initial weights from torch's generator, which is seeded for each fit; numpy.random.default_rng() is not.",
    cost=0,
)
def same_seed_same_weights(subject: ModelSubject) -> None:
    """Build it twice for each kind of data, in other states of the global generators."""
    for kind, data in subject.suited.items():
        names = differing(partial(_weights, subject, data))
        require(not names, f"for {kind} {', '.join(names)} differ")


def _weights(subject: ModelSubject, data: Data) -> dict[str, Tensor]:
    return state_of(subject.build(data))


@check(
    "model",
    "loss-follows-the-noise",
    "The same batch and noise give the same losses.",
    "Draw from the noise that is passed in; numpy.random.default_rng() without a seed draws other numbers each time.",
)
def loss_follows_the_noise(subject: ModelSubject) -> None:
    """Compute each loss twice, in other states of the global generators of random and numpy."""
    _require_gradient(subject)
    x = subject.data.train.all(Noise(0))[:batch_size]

    def losses() -> dict[str, Tensor]:
        model = subject.fitted().train()
        with global_seed(0):  # which the engine seeds too: dropout draws from torch's generator
            return subject.losses(model, x, 7)

    names = differing(losses)
    require(not names, f"{', '.join(names)} from the same noise differ")


@check(
    "model",
    "same-seed-same-numbers",
    "Fits from the same seed are equal bit for bit, and so are their samples.",
    "Draw from the noise that is passed in; random, numpy.random and the time differ from run to run.",
    cost=2,
)
def same_seed_same_numbers(subject: ModelSubject) -> None:
    """Fit twice, in other states of the global generators."""
    found = []
    for state in (1, 2):
        disturb(state)
        model = subject.fit(subject.data)
        disturb(state)
        found.append((state_of(model), everything(model, subject.examples())))
    names = different(found[0][0], found[1][0])
    require(not names, f"{', '.join(names)} of two fits differ")
    names = different(found[0][1], found[1][1])
    require(not names, f"{', '.join(names)} of two equal fits differ")


@check(
    "model",
    "other-seed-other-numbers",
    "Fits from another seed are others: the spread over seeds is a part of each result.",
    "Do not seed generators; draw initial weights from torch's generator, which is seeded for each fit.",
    cost=2,
)
def other_seed_other_numbers(subject: ModelSubject) -> None:
    """Fit from two seeds."""
    _require_gradient(subject)
    models = [subject.build(subject.data, seed) for seed in (0, 1)]
    if list(models[0].parameters()):
        require(different(*map(state_of, models)), "the initial weights from two seeds are equal")
    one, other = (state_of(subject.fit(subject.data, seed)) for seed in (0, 1))
    require(different(one, other), "the weights from two seeds are equal")


class _Watched(Split):
    """A split that notes that it is read."""

    reads: list[str]

    def __getattribute__(self, name: str) -> Any:
        if name in ("stored", "labels", "ids"):
            object.__getattribute__(self, "reads").append(name)
        return object.__getattribute__(self, name)


def _watched(split: Split, reads: list[str]) -> Split:
    watched = object.__new__(_Watched)
    object.__setattr__(watched, "reads", reads)
    for each in dataclasses.fields(Split):
        object.__setattr__(watched, each.name, getattr(split, each.name))
    return watched


@check(
    "model",
    "never-sees-the-test-split",
    "A model does not read the test split while it is trained.",
    "Use only what loss, fit and calibrate receive.",
)
def never_sees_the_test_split(subject: ModelSubject) -> None:
    """Fit it to data whose test split notes that it is read."""
    reads: list[str] = []
    data = copied(subject.data)
    subject.fit_to(dataclasses.replace(data, test=_watched(data.test, reads)), epochs=1)
    require(not reads, "the test split was read during the fit")


@check(
    "model",
    "leaves-data-unchanged",
    "Training does not change the data, which later models are trained on.",
    "Replace in-place operations, such as x.mul_(2), by x = x * 2.",
)
def leaves_data_unchanged(subject: ModelSubject) -> None:
    """Compare the splits before and after a fit."""
    data = copied(subject.data)
    subject.fit_to(data, epochs=1)
    for name, split in data.splits.items():
        equal = torch.equal(split.stored, subject.data.splits[name].stored)
        require(equal, f"the {name} split was another after the fit")


@check(
    "model",
    "leaves-inputs-unchanged",
    "No method changes the tensors that it receives.",
    "Replace in-place operations, such as x.clamp_(0, 1), by ones that return a new tensor.",
)
def leaves_inputs_unchanged(subject: ModelSubject) -> None:
    """Compare examples and codes before and after each call."""
    model, x = subject.fitted(), subject.examples()
    z = codes(model, x) if latent_size(model, x) else None
    before = x.clone(), None if z is None else z.clone()
    names = [*outputs(model, x, z, copies=False), *draws(model, x, 0, copies=False)]
    require(torch.equal(x, before[0]), f"x was another after {', '.join(names)}")
    require(z is None or before[1] is None or torch.equal(z, before[1]), "z was another after decoding")
    if subject.trains_by_gradient:
        subject.losses(model.train(), x, 0)
        require(torch.equal(x, before[0]), "x was another after the loss")


@check(
    "model",
    "vectorizes-faithfully",
    "Several seeds trained as one model give what each gives alone, or the model is trained seed by seed.",
    "Do not keep noise, losses or batches on self, and do not branch on values of tensors in the loss.",
    cost=2,
)
def vectorizes_faithfully(subject: ModelSubject) -> None:
    """Train two seeds as one, and one of them alone."""
    _require_gradient(subject)
    together = subject.fit_together(subject.data, [0, 1])
    for fitted in together:
        if fitted.error is not None:
            raise Failed(f"together it raised {described(fitted.error)}") from fitted.error
    if any(fitted.path != "vectorized" for fitted in together):
        skip(f"it is trained seed by seed: {together[0].fallback}")
    alone = state_of(subject.fitted())
    assert together[0].model is not None
    # Adam divides by small gradients, which enlarges rounding errors.
    names = far_apart(alone, state_of(together[0].model), tolerance=1e-3)
    require(not names, f"{', '.join(names)} differ from those of the same seed trained alone")
