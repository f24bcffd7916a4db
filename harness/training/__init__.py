"""The engine: models say what to minimise, this says how."""

from harness.training.fit import Companions, Curves, Fitted, Recipe, fit_seed, fit_seeds, trainer_of
from harness.training.loop import Trainer
from harness.training.objectives import AdamSettings, Objective, objectives_of
from harness.training.precision import require_execution, require_precision
from harness.training.vectorized import VectorizedTrainer

__all__ = [
    "AdamSettings",
    "Companions",
    "Curves",
    "Fitted",
    "Objective",
    "Recipe",
    "Trainer",
    "VectorizedTrainer",
    "fit_seed",
    "fit_seeds",
    "objectives_of",
    "require_execution",
    "require_precision",
    "trainer_of",
]
