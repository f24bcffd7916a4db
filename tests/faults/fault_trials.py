"""How often the whole form injects every fault, and the table of what was seen."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

trials = int(os.environ.get("HARNESS_FAULT_TRIALS", "0"))


@dataclass
class Seen:
    """What was seen of one fault at one place."""

    trials: int = 0
    right: int = 0
    statuses: set[str] = field(default_factory=set)

    def note(self, is_right: bool, statuses: set[str]) -> None:
        self.trials += 1
        self.right += is_right
        self.statuses |= statuses

    @property
    def in_words(self) -> str:
        return f"{self.right} of {self.trials}" if self.trials else ""


class Table:
    """What was seen of all faults, by fault and place."""

    def __init__(self) -> None:
        self.seen: dict[str, dict[str, Seen]] = defaultdict(lambda: defaultdict(Seen))

    def lines(self) -> Iterator[str]:
        """Yield the lines of a table in Markdown."""
        places = list(dict.fromkeys(place for each in self.seen.values() for place in each))
        yield _row("fault", "recorded", *places)
        yield _row(*["---"] * (len(places) + 2))
        for fault, by_place in self.seen.items():
            statuses = sorted(set[str]().union(*(each.statuses for each in by_place.values())))
            yield _row(fault, ", ".join(statuses), *(by_place[place].in_words for place in places))
        injected = [each for fault, by_place in self.seen.items() if fault != "none" for each in by_place.values()]
        yield f"faults: {sum(each.trials for each in injected):,}, right: {sum(each.right for each in injected):,}"


@dataclass
class Kills:
    """What was seen of runs that were killed at random moments."""

    killed: int = 0
    left_nothing: int = 0
    completed: int = 0
    right: int = 0

    @property
    def in_words(self) -> str:
        seen = f"runs killed: {self.killed}, no process left: {self.left_nothing}"
        return f"{seen}; completed afterwards: {self.completed}, right: {self.right}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
