"""Learning-rate schedules, as factors of the learning rate over the course of a fit."""

from __future__ import annotations

import math
from typing import Literal

Schedule = Literal["constant", "cosine", "staged"]

stages = 8
_passes = sum(3**i for i in range(stages))  # 3,280


def learning_rate_factor(schedule: Schedule, progress: float) -> float:
    """Return what the learning rate is multiplied by when a share ``progress`` of the budget is spent.

    ``cosine`` falls from 1 to 0 along half a cosine (Loshchilov and Hutter, 2017). ``staged`` is 10^(−i/7) in stage
    i = 0, …, 7, which lasts 3^i of 3,280 parts of the budget (Burda, Grosse and Salakhutdinov, 2016).
    """
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    if schedule == "staged":
        stage = sum(progress >= (3**i - 1) / 2 / _passes for i in range(1, stages))
        return float(10 ** (-stage / 7))
    return 1.0
