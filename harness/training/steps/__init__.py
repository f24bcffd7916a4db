"""How training steps are executed: one strategy for each step mode."""

from __future__ import annotations

from collections.abc import Callable

from harness.contracts.engine import StepMode
from harness.training.steps.captured import CapturedSteps
from harness.training.steps.compiled import CompiledSteps
from harness.training.steps.eager import EagerSteps
from harness.training.steps.step import Steps, TrainingStep

__all__ = ["EagerSteps", "Steps", "TrainingStep", "strategies"]

strategies: dict[StepMode, Callable[[TrainingStep], Steps]] = {
    "eager": EagerSteps,
    "compiled": CompiledSteps,
    "captured": CapturedSteps,
}
