"""The registry of checks: each is one function with a stable id, and a failure names the rule and a remedy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, NoReturn, TypeVar

suite_version = "3"  # raise it when a check is added, removed or made stricter

Status = Literal["passed", "failed", "skipped", "expected-failure"]
Function = TypeVar("Function", bound=Callable[..., None])


class Failed(AssertionError):  # noqa: N818 -- an outcome
    """A check failed: what was seen."""


class Skipped(Exception):  # noqa: N818 -- an outcome, not a failure
    """A check does not apply: why."""


@dataclass(frozen=True)
class Check:
    """A check of one kind of plugin.

    Args:
        id: stable, such as ``model-samples-finite``.
        rule: what must hold, in one sentence.
        mend: what to do if it does not, in one sentence.
        cost: 0 without a fit, 1 for one fit, 2 for several; cheap checks run first.
        function: takes the subject; raises ``Failed`` or ``Skipped``.
    """

    id: str
    rule: str
    mend: str
    cost: int
    function: Callable[[Any], None]

    @property
    def kind(self) -> str:
        """The kind of plugin that it checks."""
        return self.id.partition("-")[0]


@dataclass(frozen=True)
class Result:
    """The outcome of a check of a target, the name of a model, metric, data set or figure."""

    check: str
    target: str
    status: Status
    message: str


_modules = (
    "contract",
    "training",
    "evaluation",
    "output",
    "metric",
    "dataset",
    "figure",
    "surroundings",
    "mathematics",
)
_registered: dict[str, Check] = {}


def check(
    kinds: str | Sequence[str], name: str, rule: str, mend: str, *, cost: int = 1
) -> Callable[[Function], Function]:
    """Register a function as the check ``KIND-name`` of one or several kinds of plugins."""

    def register(function: Function) -> Function:
        for kind in (kinds,) if isinstance(kinds, str) else kinds:
            found = Check(f"{kind}-{name}", rule, mend, cost, function)
            assert found.id not in _registered, found.id
            _registered[found.id] = found
        return function

    return register


def all_checks() -> list[Check]:
    """Return every check, those of a kind together, cheap ones first."""
    names = [f"harness.conformance.{each}_checks" for each in _modules]
    for name in names:
        import_module(name)  # which registers its checks
    kinds = ("model", "metric", "dataset", "figure")

    def order(each: Check) -> tuple[int, int, int]:
        return kinds.index(each.kind), each.cost, names.index(each.function.__module__)

    return sorted(_registered.values(), key=order)


def require(holds: object, seen: str) -> None:
    """Fail the check, with what was seen, unless a condition holds.

    Raises:
        Failed: it does not.
    """
    if not holds:
        raise Failed(seen)


def skip(reason: str) -> NoReturn:
    """End the check, which does not apply.

    Raises:
        Skipped: always.
    """
    raise Skipped(reason)
