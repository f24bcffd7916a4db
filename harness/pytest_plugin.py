"""A plugin of pytest, with which the tests of a project show that its models have become neither worse nor slower.

    @pytest.mark.harness(models="my-vae", metrics="elbo", epochs=2)
    def test_it_is_neither_worse_nor_slower(compared_with_base):
        compared_with_base.require_no_regression()

Every pytest in an environment with harness imports this file. So all but pytest is imported by the fixture.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import pytest

if TYPE_CHECKING:
    from harness.regression.compare import Comparison
    from harness.regression.findings import Finding

_Inconclusive = Literal["fail", "pass"]
_of_a_model = ("step", "evaluation", "start-up")
_fixed = ("head", "cache", "announce", "chosen")
_names = ("models", "metrics", "kinds", "works")


class ComparedWithBase:
    """How the project compares with the base.

    Args:
        base: as the user named it.
        findings: the verdicts on all cells, benchmarks and counts.
        notes: about what was left out.
    """

    def __init__(self, base: str, findings: Sequence[Finding], notes: Sequence[str]) -> None:
        self.base = base
        self.notes = notes
        self.is_used = False  # whether somebody has looked at the findings
        self._findings = findings

    @property
    def findings(self) -> Sequence[Finding]:
        """The verdicts on all cells, benchmarks and counts."""
        self.is_used = True
        return self._findings

    def __bool__(self) -> bool:
        """Refuse to be taken for the result, as by ``assert compared_with_base``.

        Raises:
            TypeError: always.
        """
        self.is_used = True
        raise TypeError("a comparison is neither true nor false: call compared_with_base.require_no_regression()")

    def require_no_regression(self, inconclusive: _Inconclusive = "fail") -> None:
        """Fail the test, with the table of all findings, if there is a regression or nothing was compared.

        Args:
            inconclusive: whether what could not be decided also fails the test.
        """
        __tracebackhide__ = True
        if inconclusive not in get_args(_Inconclusive):
            raise ValueError(f"inconclusive={inconclusive!r}: write 'fail' or 'pass'")
        from harness.regression import report
        from harness.regression.findings import outcome

        accepted = ("passed", "inconclusive") if inconclusive == "pass" else ("passed",)
        if outcome(self.findings) not in accepted:
            pytest.fail(f"compared with {self.base}:\n{report.plain(self.findings, self.notes)}", pytrace=False)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the fixture."""
    group = parser.getgroup("harness", "comparison with a base version by harness")
    group.addoption(
        "--harness-base",
        metavar="BASE",
        help="version that tests with the fixture compared_with_base compare with, as 'harness compare' takes it",
    )
    group.addoption("--harness-budget", type=_seconds, metavar="TIME", help="time for each comparison, such as 5m")
    parser.addini("harness_base", "the same as --harness-base")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        "harness(models, metrics, base=None, dataset=..., epochs=2, seeds=3, ...): what the fixture compared_with_base "
        "compares; the arguments are the fields of harness.regression.compare.Comparison",
    )


@pytest.fixture
def compared_with_base(request: pytest.FixtureRequest) -> Iterator[ComparedWithBase]:
    """Compare the project under test with the base: train, measure, time and count what the marker says.

    The base is that of the command line, of the ini file or of the marker, in this order; or else the newest git tag.
    A test that looks at no finding is an error.
    """
    compared = _compared(request)
    yield compared
    if not compared.is_used:
        pytest.fail(
            "harness: the test used neither compared_with_base.require_no_regression() nor its findings", pytrace=False
        )


def _compared(request: pytest.FixtureRequest) -> ComparedWithBase:
    from harness.errors import HarnessError

    project = _project(request.config.rootpath)
    given: dict[str, Any] = {}
    for mark in request.node.iter_markers("harness"):  # the closest first
        if mark.args:
            pytest.fail(f"@pytest.mark.harness{mark.args}: name the arguments, as in models='vae'", pytrace=False)
        given = {**mark.kwargs, **given}
    try:
        # A revision is one of the project, wherever pytest was started.
        with contextlib.chdir(project):
            base = _base(given, request.config)
            print(f"comparing {project} with {base}")
            return ComparedWithBase(base, *_comparison(base, given, request.config).carry_out())
    except HarnessError as error:
        problem = str(error)
    pytest.fail(f"harness: {problem}", pytrace=False)  # outside of the block, whose exception would be shown too


def _comparison(base: str, given: Mapping[str, Any], config: pytest.Config) -> Comparison:
    """Return what the marker and the options ask for; what they leave open is as in the base if that is stored.

    Raises:
        UsageError: the marker has an unknown or a wrong argument, or lacks one.
    """
    from harness.cli.compare import cell
    from harness.cli.data import cache_dir, default_dataset
    from harness.errors import UsageError, unknown
    from harness.regression.compare import Comparison, request_of, stored_results

    known = [each.name for each in dataclasses.fields(Comparison) if each.name not in _fixed]
    for name in given:
        if name not in known:
            raise unknown("argument of the marker 'harness'", name, known)
    stored = stored_results(base, print)
    data = os.environ.get("HARNESS_DATA_DIR")
    asked: dict[str, Any] = {"dataset": default_dataset, "works": _of_a_model, "data": data, "cell": cell}
    given = {name: _as_names(value) if name in _names else value for name, value in given.items()}
    chosen = {kind: names for kind in ("model", "metric") if isinstance(names := given.get(f"{kind}s"), Sequence)}
    chosen["dataset"] = (given["dataset"],) if "dataset" in given else ()
    if stored is not None:
        asked |= request_of(stored, chosen, given.get("epochs"))
    asked |= given | {"base": stored or base}
    if config.getoption("harness_budget") is not None:
        asked["seconds"] = config.getoption("harness_budget")
    for name in ("models", "metrics"):
        if not asked.get(name):
            raise UsageError(f"say which {name} are compared: @pytest.mark.harness(models='my-vae', metrics='elbo')")
    if isinstance(asked.get("settings"), Mapping):
        asked["settings"] = {owner: _shown(values) for owner, values in asked["settings"].items()}
    asked["data"] = _as_path(asked["data"]) if asked["data"] else None
    files = asked.get("plugin_files", ())
    files = [files] if isinstance(files, str | Path) else files
    asked["plugin_files"] = [*map(_as_path, files)] if isinstance(files, Sequence) else files
    return Comparison(head=".", cache=cache_dir(), announce=print, chosen=chosen, **asked)


def _as_names(value: Any) -> Any:
    return tuple(each.strip() for each in value.split(",")) if isinstance(value, str) else value


def _as_path(value: Any) -> Any:
    return Path(value) if isinstance(value, str) else value


def _shown(values: Any) -> Any:
    from harness.settings import show

    return {name: show(value) for name, value in values.items()} if isinstance(values, Mapping) else values


def _base(given: Mapping[str, Any], config: pytest.Config) -> str:
    """Return the version to compare with, seen from the project.

    Raises:
        UsageError: there is none.
    """
    from harness.errors import UsageError

    on_command_line: str | None = config.getoption("harness_base")
    if on_command_line is not None:
        if not on_command_line.strip():
            raise UsageError("--harness-base is empty; name a version or stored results")
        path = config.invocation_params.dir / on_command_line
        return str(path) if path.exists() else on_command_line
    base: Any = config.getini("harness_base") or given.get("base") or _released()
    if base is not None and not isinstance(base, str | Path):
        raise UsageError(f"base={base!r} of the marker 'harness': name a version or stored results")
    if base is None:
        raise UsageError(
            "there is no base to compare with: write --harness-base=REVISION on the command line, harness_base = "
            "REVISION in the ini file, or base='REVISION' in the marker, or tag the released version in git (a shallow "
            "clone has no tags)"
        )
    return str(base)


def _released() -> str | None:
    """Return the newest git tag before the files under test, which may themselves be those of a tag."""
    from harness.git import git_line

    changes = git_line("status", "--porcelain", "--untracked-files=no")  # tests and builds leave files of their own
    is_released = git_line("describe", "--tags", "--exact-match") and changes == ""
    return git_line("describe", "--tags", "--abbrev=0", "HEAD^" if is_released else "HEAD") or None


def _project(root: Path) -> Path:
    """Return the nearest folder with ``pyproject.toml``, from the root of the tests upwards."""
    return next((each for each in (root, *root.parents) if (each / "pyproject.toml").is_file()), root)


def _seconds(text: str) -> float:
    """Parse a length of time.

    Raises:
        ArgumentTypeError: it is none.
    """
    import click

    from harness.cli.engine import Seconds

    try:
        return Seconds().convert(text, None, None)
    except click.BadParameter as error:
        raise argparse.ArgumentTypeError(error.message) from None
