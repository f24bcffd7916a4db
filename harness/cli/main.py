"""The entry point: finds the command, and turns errors into one clear message and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from harness.errors import HarnessError, UsageError, nearest
from harness.registry import Registry

usage_exit, failure_exit, interrupted_exit = 2, 3, 130


class Commands(click.Group):
    """Commands named by plugins; only the one that is called is imported."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Name the commands."""
        return [each.spec.name for each in _registry(context).all("command")]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Import the command of that name."""
        provided = {each.spec.name: each for each in _registry(context).all("command")}
        return provided[name].spec.resolve() if name in provided else None

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the words name, or say which one is near."""
        known = self.list_commands(context)
        if args[0] not in known and not args[0].startswith("-"):
            match = nearest(args[0], known)
            hint = f" Did you mean {match!r}?" if match else ""
            raise click.UsageError(f"no such command {args[0]!r}.{hint} Known: {', '.join(known)}.", context)
        return super().resolve_command(context, args)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with the summaries of their specs, importing none."""
        with formatter.section("Commands"):
            formatter.write_dl([(e.spec.name, e.spec.summary) for e in _registry(context).all("command")])


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Start with:  harness run --models vae,gan --metric elbo",
)
@click.version_option(package_name="generative-harness", prog_name="harness")
def cli() -> None:
    """Compare generative models fairly: train them, measure them, and rank what may be compared."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    0: all well; 2: the words were wrong; 3: some cells failed; 4: nothing was measured; 130: interrupted.
    """
    try:
        sys.exit(cli.main(arguments, prog_name="harness", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(usage_exit)
    except UsageError as error:
        _fail(str(error), usage_exit)
    except HarnessError as error:
        _fail(str(error), failure_exit)
    except (KeyboardInterrupt, click.Abort):
        _fail("interrupted", interrupted_exit)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)


def load_registry(files: Sequence[Path]) -> Registry:
    """Load the plugins and warn, in one line each, of those with problems."""
    registry = Registry.load(files)
    for plugin in registry.broken:
        rest = f" (and {len(plugin.problems) - 1} more: see 'harness plugins')" if len(plugin.problems) > 1 else ""
        click.echo(f"warning: plugin {plugin.name} of {plugin.distribution}: {plugin.problems[0]}{rest}", err=True)
    return registry


def _registry(context: click.Context) -> Registry:
    root = context.find_root()
    if root.obj is None:
        root.obj = Registry.load()
    registry: Registry = root.obj
    return registry


def _fail(message: str, code: int) -> None:
    click.echo(f"harness: {message}", err=True)
    sys.exit(code)
