"""Checks of plugins: ``harness check``, and the same checks in the tests of a plugin's package.

    from harness.conformance import parametrize

    @parametrize("my-model")
    def test_it_is_right(check):
        check()

A class may have two attributes for the checks, which both ways of running them read:

- ``check_settings``: settings for the checks, by name, such as small widths.
- ``expected_failures``: a reason for each check that is known to fail, by its id. Such a failure is shown with its
  reason. The check must then fail: one that passes is reported.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.conformance.checks import Check, Result, all_checks, suite_version

if TYPE_CHECKING:
    import pytest

    from harness.conformance.suite import Target
    from harness.data.source import DataSource

__all__ = ["BoundCheck", "Check", "Result", "all_checks", "parametrize", "suite_version"]


@dataclass(frozen=True)
class BoundCheck:
    """A check of a target, to be called in a test."""

    check: Check
    target: Target

    def __call__(self) -> None:
        """Carry out the check; skip, xfail or fail the test by its result."""
        __tracebackhide__ = True
        import pytest

        result = self.target.run(self.check)
        if result.status == "skipped":
            pytest.skip(result.message)
        if result.status == "expected-failure":
            pytest.xfail(result.message)
        if result.status == "failed":
            pytest.fail(f"{result.check} of {result.target}: {result.message}", pytrace=False)

    def __str__(self) -> str:
        return f"{self.target.name}-{self.check.id}"


def parametrize(
    *names: str, plugin_files: Sequence[Path] = (), source: DataSource | None = None
) -> pytest.MarkDecorator | Callable[..., Any]:
    """Return the decorator that gives a test each check of some plugins, as its argument ``check``.

    Args:
        names: of models, metrics, data sets and figures, or of packages, as ``harness check`` takes them.
        plugin_files: plugins that are not installed.
        source: where data sets are read from; by default the folder in ``HARNESS_DATA_DIR``, and an empty cache.

    Raises:
        UsageError: there is nothing of a name.
    """
    import pytest

    from harness.conformance.suite import find, target_of
    from harness.conformance.surroundings import cache_folder
    from harness.data.source import DataSource
    from harness.registry import Registry

    if source is None:
        folder = os.environ.get("HARNESS_DATA_DIR")
        source = DataSource(Path(folder) if folder else None, cache_folder(), print)
    registry = Registry.load(plugin_files)
    targets = [target_of(each, registry, source) for each in find(registry, names)]
    bound = [BoundCheck(check, target) for target in targets for check in target.checks]
    return pytest.mark.parametrize("check", bound, ids=str)
