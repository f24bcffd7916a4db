"""The engine: models say what to minimise, this says how."""

from harness.training.fit import Curves, fit_model
from harness.training.loop import Trainer
from harness.training.objectives import AdamSettings, Objective, objectives_of

__all__ = ["AdamSettings", "Curves", "Objective", "Trainer", "fit_model", "objectives_of"]
