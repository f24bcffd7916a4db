"""How a model is trained, as far as it changes the numbers. Importing this module does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal, get_args

from harness.words import counted

Precision = Literal["float32", "tf32", "bf16", "bf16-products"]
precisions: tuple[Precision, ...] = get_args(Precision)
StepMode = Literal["eager", "compiled", "captured"]
step_modes: tuple[StepMode, ...] = get_args(StepMode)


@dataclass(frozen=True)
class Engine:
    """What the identity of a fit says about how it is computed.

    Args:
        device: type of the device, ``cpu`` or ``cuda``.
        threads: CPU threads of one fit.
        precision: of training; see ``harness.machine.precision``.
        path: each seed on its own (``single``), or all seeds of a model as one (``vectorized``).
        deterministic: whether only operations are used that repeat bit for bit.
        step_mode: operation by operation (``eager``), with losses fused by ``torch.compile`` (``compiled``), or whole
            steps replayed as a CUDA graph (``captured``).
    """

    device: str = "cpu"
    threads: int = 1
    precision: Precision = "float32"
    path: str = "single"
    deterministic: bool = True
    step_mode: StepMode = "eager"

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The engine as JSON values. ``execution`` is the step mode; without it steps are eager."""
        found = asdict(self)
        mode = found.pop("step_mode")
        return found if mode == "eager" else {**found, "execution": mode}

    @classmethod
    def from_identity(cls, identity: Mapping[str, Any]) -> Engine:
        """Return the engine that has this identity."""
        found = dict(identity)
        return cls(step_mode=found.pop("execution", "eager"), **found)

    @cached_property
    def without_steps(self) -> Engine:
        """The engine of a closed-form fit, which takes no steps."""
        return replace(self, precision="float32", path="single", step_mode="eager")

    @property
    def in_words(self) -> str:
        """The engine in a few words."""
        threads = f", {counted(self.threads, 'thread')}" if self.device == "cpu" else ""
        mode = "" if self.step_mode == "eager" else f", {self.step_mode}"
        return f"{self.device}{threads}, {self.precision}{mode}"
