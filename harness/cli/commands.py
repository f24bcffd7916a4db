"""The built-in commands, through the same hook as anyone's."""

from __future__ import annotations

from harness.hookspecs import hookimpl
from harness.specs import CommandSpec


@hookimpl
def harness_commands() -> list[CommandSpec]:
    """Provide the built-in commands."""
    return [
        CommandSpec("run", "harness.cli.run:run", "Train, measure and rank models."),
        CommandSpec("profile", "harness.cli.profile:profile", "Show where the time of training goes."),
        CommandSpec(
            "calibrate", "harness.cli.calibrate:calibrate", "Hold likelihood estimators against exact answers."
        ),
        CommandSpec("list", "harness.cli.list:list_", "List models, metrics, datasets and figures."),
        CommandSpec("show", "harness.cli.show:show", "Show a model, metric or dataset with its settings."),
        CommandSpec("plugins", "harness.cli.plugins:plugins", "Show what is installed, and what is wrong with it."),
        CommandSpec("figures", "harness.cli.figures:figures", "Draw the pictures of stored fits again."),
        CommandSpec("leaderboard", "harness.cli.leaderboard:leaderboard", "Show the leaderboards of past runs."),
    ]
