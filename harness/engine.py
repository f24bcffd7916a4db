"""How training is carried out, as far as it changes the numbers. Importing it costs no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

Precision = Literal["float32", "tf32", "bf16", "bf16-products"]
precisions: tuple[Precision, ...] = get_args(Precision)
Execution = Literal["eager", "compiled", "captured"]
executions: tuple[Execution, ...] = get_args(Execution)


@dataclass(frozen=True)
class Engine:
    """The engine's part in the identity of a fit.

    Args:
        device: type of the device.
        threads: CPU threads of one fit.
        precision: see ``harness.training.precision``.
        path: each seed by itself (``single``), or all seeds of a model as one (``vectorized``).
        deterministic: whether only operations are used that repeat bit for bit.
        execution: of steps: one operation after another (``eager``), with losses fused by ``torch.compile``
            (``compiled``), or replayed whole as a CUDA graph (``captured``).
    """

    device: str = "cpu"
    threads: int = 1
    precision: Precision = "float32"
    path: str = "single"
    deterministic: bool = True
    execution: Execution = "eager"

    @property
    def identity(self) -> dict[str, Any]:
        """The engine as JSON values; eager execution goes without saying, as it did before there was any other."""
        found = asdict(self)
        if self.execution == "eager":
            del found["execution"]
        return found

    @property
    def without_steps(self) -> Engine:
        """The engine of a fit in closed form, which takes no steps that could be taken in this way or that."""
        return replace(self, precision="float32", path="single", execution="eager")

    @property
    def in_words(self) -> str:
        """The engine in a few words."""
        threads = f", {self.threads} thread{'s' * (self.threads > 1)}" if self.device == "cpu" else ""
        execution = "" if self.execution == "eager" else f", {self.execution}"
        return f"{self.device}{threads}, {self.precision}{execution}"
