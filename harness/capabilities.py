"""What a model may offer and a metric may need, told by structure.

A model offers a capability by having its methods; there is no list to keep in step. Arrays are ``torch.Tensor``;
``x`` is a batch of examples ``(N, *shape)``, ``z`` a batch of codes ``(N, latent)``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol, get_args, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributions import Distribution

    from harness.data import Split
    from harness.noise import Noise
    from harness.training.objectives import Objective


@runtime_checkable
class Reconstructs(Protocol):
    """A model that can give an example back from its code."""

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the reconstruction of ``x``, of the same shape, without randomness."""


@runtime_checkable
class Samples(Protocol):
    """A model that can draw new examples."""

    def sample(self, n: int, noise: Noise) -> Tensor:
        """Return ``n`` samples, ``(n, *shape)``, on the scale of the data."""


@runtime_checkable
class HasCode(Protocol):
    """A model that encodes without randomness."""

    def encode(self, x: Tensor) -> Tensor:
        """Return the codes of ``x``, ``(N, code)``."""


@runtime_checkable
class HasDecoder(Protocol):
    """A model that turns a code into an example, without randomness."""

    def decode(self, z: Tensor) -> Tensor:
        """Return the examples of codes ``z`` ``(N, code)``, ``(N, *shape)`` on the scale of the data."""


@runtime_checkable
class Encodes(Protocol):
    """A model with an approximate posterior over codes."""

    def posterior(self, x: Tensor) -> Distribution:
        """Return q(z | x), of batch shape ``(N,)`` and event shape ``(latent,)``."""


@runtime_checkable
class Decodes(Protocol):
    """A model with a prior over codes and a distribution of examples given a code."""

    def prior(self) -> Distribution:
        """Return p(z), of event shape ``(latent,)``."""

    def observation(self, z: Tensor) -> Distribution:
        """Return p(x | z), of batch shape ``(N,)`` and event shape ``shape``."""


@runtime_checkable
class Corrupts(Protocol):
    """A model that was trained to undo a corruption of its input."""

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
        """Return ``x`` on the model's scale, ``(N, *shape)``, and log |det ∂y/∂x|, ``(N,)`` in nats."""

    def velocity(self, y: Tensor, t: Tensor) -> Tensor:
        """Return v(y, t) at points ``y`` ``(N, *shape)`` and a time ``t``, a scalar; no example affects another's."""


@runtime_checkable
class Quantizes(Protocol):
    """A model whose codes are entries of a codebook."""

    def codes(self, x: Tensor) -> Tensor:
        """Return which entries encode ``x``, ``(N, *grid)`` int64, without randomness."""


@runtime_checkable
class Bounds(Protocol):
    """A model whose bound is not E_q[log p(x | z)] − KL, as in diffusion.

    With respect to what the bound is a likelihood, it says in an attribute ``measure``, in the words of
    ``likelihood_measure``: bounds are ranked together only where these are the same.
    """

    def elbo_terms(self, x: Tensor, noise: Noise) -> dict[str, Tensor]:
        """Return the named parts, each ``(N,)`` in nats, whose sum is a lower bound on log p(x)."""


@runtime_checkable
class TrainsByGradient(Protocol):
    """A model that the engine trains on one loss, which it may name by ``loss_name``."""

    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        """Return the mean loss of a batch, a scalar."""


@runtime_checkable
class TrainsByObjectives(Protocol):
    """A model that the engine trains on several losses, as a GAN has."""

    def objectives(self) -> list[Objective]:
        """Return what to minimise, in the order of the steps, each with its own parameters."""


@runtime_checkable
class FitsInClosedForm(Protocol):
    """A model that fits itself."""

    def fit(self, train: Split, noise: Noise) -> None:
        """Set the parameters from the training split."""


_names: dict[Any, str] = {
    Reconstructs: "reconstruction",
    Samples: "sampler",
    HasCode: "code",
    HasDecoder: "decoder",
    Encodes: "encoder",
    Decodes: "observation model",
    Corrupts: "corruption to undo",
    HasDensity: "tractable density",
    Transports: "flow along a differential equation",
    Quantizes: "codebook",
    Bounds: "bound of its own",
    TrainsByGradient: "loss to train on",
    TrainsByObjectives: "objectives to train on",
    FitsInClosedForm: "closed-form fit",
}


all_capabilities = tuple(_names)


def methods(capability: type) -> list[str]:
    """Return the names of the methods that make up a capability."""
    return [name for name in vars(capability) if not name.startswith("_")]


def offers(model: Any, need: Any) -> bool:
    """Tell whether a model, or a model class, offers a capability or one of a union of them."""
    return any(all(hasattr(model, name) for name in methods(each)) for each in get_args(need) or (need,))


def in_words(need: Any) -> str:
    """Name a capability, or a union of them, with its methods."""
    members = get_args(need) or (need,)
    return " or ".join(f"{_names.get(each, each.__name__)} ({', '.join(methods(each))})" for each in members)


def lacking(model: Any, needs: Iterable[Any]) -> str | None:
    """Say which needs a model (or model class) does not meet, or None where it meets them all.

    A need is a capability, or a union such as ``Encodes | Bounds`` of which one is enough.
    """
    missing = [(get_args(need) or (need,))[0] for need in needs if not offers(model, need)]
    return "it has no " + " and no ".join(_names.get(each, each.__name__) for each in missing) if missing else None
