"""Runs the checks on what plugins provide."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.conformance.checks import Check, Failed, Result, Skipped, Status, all_checks
from harness.conformance.dataset_checks import DatasetSubject
from harness.conformance.figure_checks import FigureSubject
from harness.conformance.metric_checks import MetricSubject
from harness.conformance.model_subject import ModelSubject
from harness.conformance.surroundings import quiet
from harness.data.source import DataSource
from harness.errors import NotApplicable, UsageError, no_exit, unknown
from harness.execution.failure import described
from harness.execution.surroundings import restored
from harness.planning.component import Component, config_type_of
from harness.registry import Provided, Registry
from harness.settings import build, describe

kinds = ("model", "metric", "dataset", "figure")


@dataclass
class Target:
    """A model, metric, data set or figure that is checked.

    Args:
        provided: the spec and its plugin.
        subject: what the checks work on.
        expected: reasons why checks are expected to fail, by id.
    """

    provided: Provided
    subject: Any
    expected: dict[str, str]

    @property
    def name(self) -> str:
        """Its name."""
        return self.provided.spec.name

    @property
    def checks(self) -> list[Check]:
        """The checks of its kind, cheap ones first."""
        return [each for each in all_checks() if each.kind == self.provided.spec.kind]

    def run(self, check: Check) -> Result:
        """Carry out one check; what the plugin changes around it is restored."""
        return self.attempt(check)[0]

    def attempt(self, check: Check) -> tuple[Result, str | None]:
        """Carry out one check as ``run`` does; also return the exception that made it fail, if any."""
        status, message, raised = _outcome(check, self.subject)
        reason = self.expected.get(check.id)
        if reason is not None and status == "failed":
            return Result(check.id, self.name, "expected-failure", f"{reason} ({message})"), None
        if reason is not None and status == "passed":
            text = f"It is expected to fail ({reason}), and passes. Remedy: remove it from expected_failures."
            return Result(check.id, self.name, "failed", text), None
        return Result(check.id, self.name, status, message), raised


def _outcome(check: Check, subject: Any) -> tuple[Status, str, str | None]:
    try:
        with restored(), quiet(), no_exit():
            check.function(subject)
    except Skipped as reason:
        return "skipped", str(reason), None
    except NotApplicable as reason:
        return "skipped", f"it does not apply: {reason}", None
    except Failed as seen:
        cause = seen.__cause__ or seen.__context__
        raised = None if cause is None else described(cause)
        return "failed", f"{check.rule} Seen: {seen}. Remedy: {check.mend}", raised
    except Exception as error:
        raised = described(error)
        return "failed", f"{check.rule} Seen: it raised {raised}. Remedy: {check.mend}", raised
    return "passed", "", None


def find(registry: Registry, names: Sequence[str]) -> list[Provided]:
    """Return everything that can be checked and has one of the names, or is in a distribution of that name.

    Raises:
        UsageError: there is nothing of a name.
    """
    known = [each for kind in kinds for each in registry.all(kind)]
    found: list[Provided] = []
    for name in names:
        chosen = [each for each in known if name in (each.spec.name, each.plugin.distribution)]
        if not chosen:
            raise unknown("model, metric, data set, figure or package", name, {each.spec.name for each in known})
        found += [each for each in chosen if each not in found]
    return found


def target_of(provided: Provided, registry: Registry, source: DataSource) -> Target:
    """Return what is checked, with the settings that its class names in ``check_settings``.

    A class may have two attributes for the checks: ``check_settings``, settings that make it small or suited to tiny
    data, by name; and ``expected_failures``, a reason for each check that it is known to fail, by id.

    Raises:
        UsageError: the plugin cannot be imported, or one of the two attributes is wrong.
    """
    with provided.loading():
        factory = provided.spec.resolve()
    expected = _expected(provided, getattr(factory, "expected_failures", {}))
    if provided.spec.kind == "figure":
        return Target(provided, FigureSubject(provided), expected)
    required = {each.name: each.default for each in describe(config_type_of(provided)) if each.required}
    values = {**required, **getattr(factory, "check_settings", {})}
    component = Component(provided, build(provided.spec.name, config_type_of(provided), values))
    subjects: dict[str, Callable[[], Any]] = {
        "model": lambda: ModelSubject(component),
        "metric": lambda: MetricSubject(component, registry),
        "dataset": lambda: DatasetSubject(component, source),
    }
    return Target(provided, subjects[provided.spec.kind](), expected)


def _expected(provided: Provided, given: Any) -> dict[str, str]:
    known = [each.id for each in all_checks() if each.kind == provided.spec.kind]
    what = f"expected_failures of {provided.title}"
    if not isinstance(given, dict):
        raise UsageError(f"{what}: it is {given!r}; write a dictionary from ids of checks to reasons")
    for name, reason in given.items():
        if name not in known:
            raise unknown(f"check in the {what}", str(name), known)
        if not isinstance(reason, str) or not reason.strip():
            raise UsageError(f"{what}: {name} has no reason; write a sentence")
    return dict(given)


def results_of(target: Target, checks: Iterable[Check] | None = None) -> Iterator[Result]:
    """Carry out the checks of a target, in order; the first is that of its contract.

    If it does not keep its contract, or reads a file that only a user can name, the others are skipped. So is a check
    in which it raises the exception that another check reports.
    """
    files = ", ".join(getattr(getattr(target.subject, "component", None), "files", ()))
    skipped = f"it reads {files}, which only a user can name" if files else None
    reported: dict[str, str] = {}
    for check in target.checks if checks is None else checks:
        of_contract = check.id.endswith("-keeps-its-contract")
        if skipped and not of_contract:
            yield Result(check.id, target.name, "skipped", skipped)
            continue
        result, raised = target.attempt(check)
        if result.status == "failed" and of_contract:
            skipped = "it does not keep its contract"
        if raised in reported:
            result = Result(check.id, target.name, "skipped", f"it raised what {reported[raised]} reports: {raised}")
        elif raised is not None:
            reported[raised] = check.id
        yield result
