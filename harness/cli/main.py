"""The entry point: finds the command, and turns errors into one clear message and an exit code."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from harness.cli.output import (
    OutputClosed,
    closed_pipes,
    discard,
    flush_streams,
    notice,
    prepare_streams,
    show_error,
    warn,
)
from harness.errors import HarnessError, UsageError, nearest
from harness.registry import Provided, Registry

usage_exit, failure_exit, interrupted_exit = 2, 3, 130
_full_device = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class Commands(click.Group):
    """Commands that plugins provide; only the one that is called is imported."""

    def make_context(self, *arguments: Any, **attributes: Any) -> click.Context:
        """Parse the arguments, and print the help if they ask for it."""
        with closed_pipes():
            return super().make_context(*arguments, **attributes)

    def invoke(self, context: click.Context) -> Any:
        """Run the command."""
        with closed_pipes():
            return super().invoke(context)

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the names of the commands."""
        return [each.spec.name for each in _registry(context).all("command")]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Import the command of that name."""
        from harness.contracts.checks import problem_of_command

        provided = {each.spec.name: each for each in _registry(context).all("command")}
        return resolve_checked(provided[name], problem_of_command) if name in provided else None

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or suggest the nearest name."""
        known = self.list_commands(context)
        if args[0] not in known and not args[0].startswith("-"):
            match = nearest(args[0], known, _registry(context).aliases("command"))
            hint = f" Did you mean {match!r}?" if match else ""
            raise click.UsageError(f"unknown command {args[0]!r}.{hint} Known: {', '.join(known)}.", context)
        return super().resolve_command(context, args)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with the summaries of their specs, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(e.spec.name, e.spec.summary) for e in _registry(context).all("command")])


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Start with:  harness run --models vae,gan --metric elbo",
)
@click.version_option(package_name="generative-harness", prog_name="harness")
def cli() -> None:
    """Compare generative models fairly: train them, measure them, and rank those that are comparable."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    0: success; 1: a regression, a failed check, damage or a difference was found; 2: invalid arguments, nothing was
    run; 3: some cells failed, or a file could not be written; 4: nothing was measured or compared; 5: a comparison is
    inconclusive; 130: interrupted.
    """
    prepare_streams()
    code = _run(arguments)
    failure = flush_streams()
    if failure is not None:
        code = code or _fail(f"cannot write the output: {failure.strerror}", failure_exit)
    sys.exit(code)


def _run(arguments: Sequence[str] | None) -> int:
    try:
        return int(cli.main(arguments, prog_name="harness", standalone_mode=False) or 0)
    except click.ClickException as error:
        show_error(error)
        return usage_exit
    except UsageError as error:
        return _fail(str(error), usage_exit)
    except HarnessError as error:
        return _fail(str(error), failure_exit)
    except (KeyboardInterrupt, click.Abort):
        return _fail("interrupted", interrupted_exit)
    except OutputClosed:
        return 0
    except OSError as error:
        if error.errno not in _full_device:
            raise
        discard(sys.stdout)
        return _fail(f"cannot write the output: {error.strerror}", failure_exit)


def load_registry(files: Sequence[Path]) -> Registry:
    """Load the plugins, and warn about each installed one with problems.

    Raises:
        UsageError: one of the files, which the user named, has a problem.
    """
    registry = Registry.load(files)
    registry.require_files()
    for plugin in registry.broken:
        rest = f" (and {len(plugin.problems) - 1} more: see 'harness plugins')" if len(plugin.problems) > 1 else ""
        warn(f"plugin {plugin.name} of {plugin.distribution}: {plugin.problems[0]}{rest}")
    return registry


def resolve_checked(provided: Provided, problem_of: Callable[[Any], str | None]) -> Any:
    """Import what a plugin provides, and check it against its contract.

    Raises:
        UsageError: it cannot be imported, or does not keep the contract.
    """
    with provided.loading():
        found = provided.spec.resolve()
    provided.require(problem_of(found))
    return found


def _registry(context: click.Context) -> Registry:
    root = context.find_root()
    if root.obj is None:
        root.obj = Registry.load()
    registry: Registry = root.obj
    return registry


def _fail(message: str, code: int) -> int:
    notice(f"harness: {message}")
    return code
