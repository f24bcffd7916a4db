"""The contract of a model: its capabilities, each a protocol.

A model has a capability if it has the methods of the protocol; it need not declare them anywhere. Arrays are
``torch.Tensor``; ``x`` is a batch of examples ``(N, *shape)``, ``z`` a batch of codes ``(N, latent)``.

What is kept of a fit is the ``state_dict`` of the model, so all that a fit finds must be in parameters or buffers. A
later run builds a new model and loads the state into it. A plugin's model is loaded in this way once after its fit, and
the fit is an error if the loaded model differs. No method may change the tensors that it receives, or what it says of
an example with the other examples of the batch.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, get_args, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributions import Distribution

    from harness.contracts.objectives import Objective
    from harness.data.dataset import Split
    from harness.noise import Noise


@runtime_checkable
class Reconstructs(Protocol):
    """A model that reconstructs examples."""

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the reconstruction of ``x``, of the same shape, without randomness."""


@runtime_checkable
class Samples(Protocol):
    """A model that can draw new examples.

    It may have an attribute ``count: int`` if it has only so many. A metric then asks for all that it needs at once, so
    that none is drawn twice. If samples are converted to the shape of the data, as by resizing, an attribute
    ``conversion: str`` says how; values of samples that were converted are ranked only with others of the same kind.
    """

    def sample(self, n: int, noise: Noise) -> Tensor:
        """Return ``n`` samples, ``(n, *shape)``, on the scale of the data.

        Metrics call it several times with the same noise, for 500 samples at a time unless the model has a ``count``.
        So samples must be independent across calls, and not depend on ``n``.
        """


@runtime_checkable
class HasEncoder(Protocol):
    """A model with a deterministic encoder."""

    def encode(self, x: Tensor) -> Tensor:
        """Return the codes of ``x``, ``(N, code)``."""


@runtime_checkable
class HasDecoder(Protocol):
    """A model with a deterministic decoder."""

    def decode(self, z: Tensor) -> Tensor:
        """Return the examples of codes ``z`` ``(N, code)``, ``(N, *shape)`` on the scale of the data."""


@runtime_checkable
class HasPosterior(Protocol):
    """A model with an approximate posterior over codes."""

    def posterior(self, x: Tensor) -> Distribution:
        """Return q(z | x), of batch shape ``(N,)`` and event shape ``(latent,)``."""


@runtime_checkable
class HasObservationModel(Protocol):
    """A model with a prior over codes and a distribution of examples given a code."""

    def prior(self) -> Distribution:
        """Return p(z), of event shape ``(latent,)``."""

    def observation(self, z: Tensor) -> Distribution:
        """Return p(x | z), of batch shape ``(N,)`` and event shape ``shape``.

        Annealed importance sampling calls it with codes that require gradients, and differentiates the log-density with
        respect to them. So it must not detach ``z`` or switch gradients off.
        """


@runtime_checkable
class Corrupts(Protocol):
    """A model that is trained to undo a corruption of its input."""

    def corrupt(self, x: Tensor, noise: Noise) -> Tensor:
        """Return ``x`` corrupted as in training."""


@runtime_checkable
class HasDensity(Protocol):
    """A model whose likelihood can be evaluated exactly."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the exact log p(x) in nats, ``(N,)``."""


@runtime_checkable
class Transports(Protocol):
    """A model that carries N(0, I) to the data along dy/dt = v(y, t), from t = 0 to t = 1, one example at a time.

    It works on a scale of its own, ``y``, such as [−1, 1] for pixels.
    """

    def rescale(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``x`` on the model's scale, ``(N, *shape)``, and ``log |det ∂y/∂x|``, ``(N,)`` in nats."""

    def velocity(self, y: Tensor, t: Tensor) -> Tensor:
        """Return v(y, t) at points ``y`` ``(N, *shape)`` and a time ``t``, a scalar; no example affects another's."""


@runtime_checkable
class Quantizes(Protocol):
    """A model whose codes are entries of a codebook."""

    def codes(self, x: Tensor) -> Tensor:
        """Return which entries encode ``x``, ``(N, *grid)`` int64, without randomness."""


@runtime_checkable
class HasBound(Protocol):
    """A model with a lower bound on log p(x) that is not E_q[log p(x | z)] − KL, such as a diffusion model.

    It may have an attribute ``measure: str``, the reference measure of the bound as ``likelihood_measure`` returns it.
    Bounds are ranked together only if their measures are equal.
    """

    def elbo_terms(self, x: Tensor, noise: Noise) -> dict[str, Tensor]:
        """Return the named parts, each ``(N,)`` in nats, whose sum is a lower bound on log p(x)."""


@runtime_checkable
class TrainsByGradient(Protocol):
    """A model that the harness trains on one loss, by Adam over all its parameters.

    It may have an attribute ``loss_name: str``, the name of the loss's curve. A model whose loss is the negative
    evidence lower bound calls it ``negative ELBO``.
    """

    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        """Return the mean loss of a batch, a scalar."""


@runtime_checkable
class TrainsByObjectives(Protocol):
    """A model that the harness trains on several losses, such as a GAN."""

    def objectives(self) -> list[Objective]:
        """Return what to minimise, in the order of the steps, each with its own parameters."""


@runtime_checkable
class FitsItself(Protocol):
    """A model that fits itself."""

    def fit(self, train: Split, noise: Noise) -> None:
        """Set the parameters from the training split."""


@runtime_checkable
class Calibrates(Protocol):
    """A model with quantities that are estimated once after training, such as an observation variance."""

    def calibrate(self, validation: Split, noise: Noise) -> None:
        """Estimate them on the validation split, without gradients and in evaluation mode.

        Raises:
            Diverged: training has failed in a way that its losses do not show, such as a collapsed generator.
        """


_names: dict[Any, str] = {
    Reconstructs: "reconstruction",
    Samples: "sampler",
    HasEncoder: "encoder",
    HasDecoder: "decoder",
    HasPosterior: "posterior",
    HasObservationModel: "observation model",
    Corrupts: "corruption",
    HasDensity: "tractable density",
    Transports: "flow along a differential equation",
    Quantizes: "codebook",
    HasBound: "bound of its own",
    TrainsByGradient: "loss to train on",
    TrainsByObjectives: "objectives to train on",
    FitsItself: "fit of its own",
    Calibrates: "calibration after training",
}


all_capabilities = tuple(_names)


def methods(capability: Any) -> list[str]:
    """Return the names of the methods and attributes that make up a capability, inherited ones included.

    Raises:
        TypeError: it is not a protocol with at least one member.
    """
    members = _members(capability) if isinstance(capability, type) else ()
    if not members:
        raise TypeError(f"{capability!r} is not a capability: a protocol with at least one method")
    return list(members)


@cache
def _members(capability: type) -> tuple[str, ...]:
    bases = [each for each in capability.__mro__ if getattr(each, "_is_protocol", False)]
    members = (
        name for each in bases for name in (*vars(each), *vars(each).get("__annotations__", {})) if name[0] != "_"
    )
    return tuple(dict.fromkeys(members))


def offers(model: Any, need: Any) -> bool:
    """Return whether a model, or a model class, has a capability or at least one of a union of capabilities.

    Raises:
        TypeError: ``need`` is not a protocol with at least one member, nor a union of such protocols.
    """
    return any(all(hasattr(model, name) for name in methods(each)) for each in get_args(need) or (need,))


def in_words(need: Any) -> str:
    """Name a capability, or a union of them, with its methods."""
    members = get_args(need) or (need,)
    return " or ".join(f"{_names.get(each, each.__name__)} ({', '.join(methods(each))})" for each in members)


def lacking(model: Any, needs: Iterable[Any]) -> str | None:
    """Return which needs a model (or model class) does not meet, in words, or None if it meets them all.

    A need is a capability, or a union such as ``HasPosterior | HasBound``, one of which is enough.
    """
    missing = [(get_args(need) or (need,))[0] for need in needs if not offers(model, need)]
    return "it has no " + " and no ".join(_names.get(each, each.__name__) for each in missing) if missing else None
