"""Checks of a fitted model: its state, what it says of examples, and what it draws from noise."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from harness.conformance.checks import check, require, skip
from harness.conformance.model_subject import ModelSubject, snapshot, state_of
from harness.conformance.surroundings import differing
from harness.contracts.models import (
    Calibrates,
    Corrupts,
    HasBound,
    HasObservationModel,
    Reconstructs,
    Samples,
    offers,
)
from harness.contracts.outputs import codes, different, draws, everything, far_apart, latent_size, outputs
from harness.noise import Noise

# State


@check(
    "model",
    "state-is-tensors",
    "The state dict, which is what is stored, has only tensors.",
    'Store numbers as buffers: self.register_buffer("name", torch.tensor(value)).',
)
def state_is_tensors(subject: ModelSubject) -> None:
    """Look at the state dict of a fitted model."""
    others = [name for name, each in subject.fitted().state_dict().items() if not isinstance(each, Tensor)]
    require(not others, f"{', '.join(others)} is not a tensor")


@check(
    "model",
    "state-is-complete",
    "A model that is loaded from its state dict gives the same numbers, bit for bit.",
    "Keep what a fit finds in parameters or buffers; plain attributes are lost when a model is stored.",
)
def state_is_complete(subject: ModelSubject) -> None:
    """Load the state into a model that was built from another seed."""
    model, x = subject.fitted(), subject.examples()
    loaded = subject.build(subject.data, seed=5)
    loaded.load_state_dict(state_of(model))
    names = different(everything(model, x), everything(loaded.eval(), x))
    require(not names, f"{', '.join(names)} differ after loading")


@check(
    "model",
    "can-be-copied",
    "A fitted model can be deep-copied and pickled, and the copies give the same numbers.",
    "Keep no tensors with gradients, generators, lambdas or open files on self.",
)
def can_be_copied(subject: ModelSubject) -> None:
    """Copy and pickle it."""
    subject.fitted()
    (fitted, *_) = subject._fits.values()
    model, x = fitted.model, subject.examples()
    assert model is not None
    expected = everything(model, x)
    ways: dict[str, Callable[[Any], Any]] = {
        "deepcopy": copy.deepcopy,
        "pickle": lambda each: pickle.loads(pickle.dumps(each)),
    }
    for how, copied_by in ways.items():
        try:
            other = copied_by(model)
        except Exception as error:
            require(False, f"{how} raised {type(error).__name__}: {error}")
        names = different(expected, everything(other, x))
        require(not names, f"{', '.join(names)} of the copy by {how} differ")


# Evaluation


@check(
    "model",
    "stays-in-evaluation-mode",
    "A fitted model is in evaluation mode, and stays in it.",
    "Do not call self.train() or override eval(), train() or training.",
)
def stays_in_evaluation_mode(subject: ModelSubject) -> None:
    """Look at all modules before and after evaluation."""
    model = subject.fitted()
    for when in ("after the fit", "after evaluation"):
        training = [name or "the model" for name, each in model.named_modules() if each.training]
        require(not training, f"{', '.join(training)} is in training mode {when}")
        everything(model, subject.examples())


@check(
    "model",
    "evaluates-without-chance",
    "Methods without noise give the same numbers twice, in any state of the global generators.",
    "Use nn.Dropout, which is off in evaluation, instead of F.dropout; take randomness from noise.",
)
def evaluates_without_chance(subject: ModelSubject) -> None:
    """Evaluate the same examples twice."""
    model, x = subject.fitted(), subject.examples()
    names = differing(lambda: snapshot(outputs(model, x)))
    require(not names, f"{', '.join(names)} differ from call to call")


@check(
    "model",
    "evaluates-each-example-alone",
    "What a model says of an example does not depend on the other examples of its batch.",
    "Use running statistics in evaluation (nn.BatchNorm does), and take no mean over the batch.",
)
def evaluates_each_example_alone(subject: ModelSubject) -> None:
    """Evaluate a batch as a whole, in parts, and in another order."""
    model, x = subject.fitted(), subject.examples()
    z = codes(model, x) if latent_size(model, x) else None
    whole = snapshot(outputs(model, x, z))
    sizes = [5, 1, len(x) - 6]
    pieces = [
        snapshot(outputs(model, part, of_codes))
        for part, of_codes in zip(x.split(sizes), [None] * 3 if z is None else z.split(sizes), strict=True)
    ]
    parts = {name: torch.cat([_rows(each[name], n) for each, n in zip(pieces, sizes, strict=True)]) for name in whole}
    whole = {name: _rows(each, len(x)) for name, each in whole.items()}
    names = far_apart(whole, parts)
    require(not names, f"{', '.join(names)} of the same examples in batches of {sizes} differ")
    order = torch.arange(len(x)).flip(0)
    turned = outputs(model, x[order], None if z is None else z[order])
    names = far_apart(whole, {name: _rows(each, len(x))[order] for name, each in turned.items()})
    require(not names, f"{', '.join(names)} of the same examples in reverse order differ")


def _rows(value: Tensor, n: int) -> Tensor:
    """Return a value for each of ``n`` examples; one that is the same for all is repeated."""
    return value if value.shape[:1] == (n,) else value.expand(n, *value.shape)


@check(
    "model",
    "evaluates-without-memory",
    "What a model says does not depend on what it was asked before, and a later call does not change it.",
    "Cache nothing between calls, and return new tensors instead of a buffer that is used again.",
)
def evaluates_without_memory(subject: ModelSubject) -> None:
    """Evaluate other examples in between, and examples in memory that was used before."""
    model, fresh, x = subject.fitted(), subject.fitted(), subject.examples(48)
    first, second = x[:24].clone(), x[24:]
    answers = outputs(model, first, copies=False)
    kept = snapshot(answers)
    outputs(model, second)
    names = different(kept, answers)
    require(not names, f"{', '.join(names)} changed when other examples were evaluated")
    first.copy_(second)
    names = different(snapshot(outputs(fresh, second.clone())), outputs(model, first, copies=False))
    require(not names, f"{', '.join(names)} of examples in memory that held others before are wrong")


@check(
    "model",
    "evaluation-changes-nothing",
    "Evaluation changes neither weights nor buffers.",
    "Use nn.BatchNorm in evaluation mode, and update counts and averages only where self.training is true.",
)
def evaluation_changes_nothing(subject: ModelSubject) -> None:
    """Compare the state before and after evaluation."""
    model, x = subject.fitted(), subject.examples()
    before = state_of(model)
    everything(model, x)
    names = different(before, state_of(model))
    require(not names, f"{', '.join(names)} changed")


@check(
    "model",
    "prior-is-fixed",
    "The prior does not depend on the examples that were evaluated.",
    "Let prior() depend on parameters and buffers only, which training alone changes.",
)
def prior_is_fixed(subject: ModelSubject) -> None:
    """Compare the prior before and after evaluation."""
    subject.needs(HasObservationModel)
    model, x = subject.fitted(), subject.examples()
    z = codes(model, x)
    with torch.no_grad():
        before = model.prior().log_prob(z).clone()
    everything(model, 2 * x)
    with torch.no_grad():
        require(torch.equal(before, model.prior().log_prob(z)), "p(z) was another after evaluation")


@check(
    "model",
    "calibrates-repeatably",
    "Calibration depends on the validation split and its noise only: twice gives the same state.",
    "Compute from the split, and set buffers instead of adding to them.",
)
def calibrates_repeatably(subject: ModelSubject) -> None:
    """Calibrate again, twice."""
    subject.needs(Calibrates)
    found = []
    model = subject.fitted()
    with torch.no_grad():
        for _ in range(2):
            model.calibrate(subject.data.validation, Noise(3))
            found.append(state_of(model))
    names = far_apart(*found)
    require(not names, f"{', '.join(names)} differ after calibrating again")


@check(
    "model",
    "reconstructions-are-computed",
    "A reconstruction is computed from a code: it is not the example itself.",
    "Do not return x, nor look it up.",
)
def reconstructions_are_computed(subject: ModelSubject) -> None:
    """Reconstruct test examples and training examples."""
    subject.needs(Reconstructs)
    for kind, data, model in subject.on_each_kind():
        for name in ("train", "test"):
            x = data.splits[name].all(Noise(0))
            with torch.no_grad():
                same = int((model.reconstruct(x.clone()) == x).flatten(1).all(1).sum())
            require(not same, f"on {kind} {same} of {len(x)} reconstructions of {name} examples equal them bit for bit")


# Noise


@check(
    "model",
    "follows-the-noise",
    "The same noise gives the same draws, in any state of the global generators.",
    "Draw from noise: noise.normal(n, d), noise.uniform(…), harness.draw(distribution, noise).",
)
def follows_the_noise(subject: ModelSubject) -> None:
    """Draw twice from the same noise."""
    model, x = subject.fitted(), subject.examples()
    _require_draws(model)
    names = differing(lambda: snapshot(draws(model, x, seed=7)))
    require(not names, f"{', '.join(names)} from the same noise differ")


def _require_draws(model: Any) -> None:
    if not any(offers(model, each) for each in (Samples, Corrupts, HasBound)):
        skip("it draws nothing outside training")


@check(
    "model",
    "other-noise-other-samples",
    "Other noise gives other samples, and no two samples of a batch or of successive batches are equal.",
    "Draw all n samples from noise, and do not seed a generator of your own.",
)
def other_noise_other_samples(subject: ModelSubject) -> None:
    """Draw from two streams, and twice from one."""
    subject.needs(Samples)
    model = subject.fitted()
    with torch.no_grad():
        noise = Noise(1)
        one, next_, other = model.sample(6, noise).clone(), model.sample(6, noise).clone(), model.sample(6, Noise(2))
    if subject.data.info.is_discrete and subject.data.info.dim < 8:
        skip("there are too few different examples")
    require(not torch.equal(one, other), "samples from two streams of noise are equal")
    require(not torch.equal(one, next_), "the next samples from the same stream equal the ones before")
