"""Titles of data sets, models, metrics and losses in programs that follow experiments."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from harness import Fit


def title_of(name: str, settings: Mapping[str, Any], changed: Sequence[str]) -> str:
    """Return a name with the settings that are not at their defaults, such as ``vae latent_dim=3``."""
    return " ".join([name, *(f"{each}={_written(settings[each])}" for each in changed)])


def title_of_loss(fits: Sequence[Fit], loss: str) -> str:
    """Return the title of a mean training loss; that of models trained together is a mean over them too."""
    return f"training/{loss}" if len(fits) == 1 else f"training, mean of {len(fits)} seeds/{loss}"


def without(illegal: str, title: str) -> str:
    """Return a title with an underscore for each run of characters that the regular expression matches."""
    return re.sub(f"(?:{illegal})+", "_", title)


def _written(value: Any) -> str:
    return "-".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
