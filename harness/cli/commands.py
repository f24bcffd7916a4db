"""The built-in commands, provided through the same hook as those of plugins."""

from __future__ import annotations

from harness.hookspecs import hookimpl
from harness.specs import CommandSpec


@hookimpl
def harness_commands() -> list[CommandSpec]:
    """Provide the built-in commands."""
    return [
        CommandSpec("run", "harness.cli.run:run", "Train, measure and rank models."),
        CommandSpec("score", "harness.cli.score:score", "Measure and rank samples that you already have."),
        CommandSpec("profile", "harness.cli.profile:profile", "Show how the time of training is spent."),
        CommandSpec("calibrate", "harness.cli.calibrate:calibrate", "Compare likelihood estimators with exact values."),
        CommandSpec("compare", "harness.cli.compare:compare", "Compare two versions: worse models, slower code?"),
        CommandSpec("list", "harness.cli.list:list_", "List models, metrics, data sets and figures."),
        CommandSpec("show", "harness.cli.show:show", "Show a model, metric or data set with its settings."),
        CommandSpec("new", "harness.cli.new:new", "Write a package with a plugin of your own."),
        CommandSpec("check", "harness.cli.check:check", "Check that plugins are right."),
        CommandSpec("plugins", "harness.cli.plugins:plugins", "Show the plugins and their problems."),
        CommandSpec("figures", "harness.cli.figures:figures", "Draw the figures of stored fits again."),
        CommandSpec("baseline", "harness.cli.baseline:baseline", "Keep the results of a version in one small file."),
        CommandSpec("history", "harness.cli.history:history", "Show what comparisons found over time."),
        CommandSpec("results", "harness.cli.results:results", "List, hide or remove stored results."),
        CommandSpec("reproduce", "harness.cli.reproduce:reproduce", "Compute stored results again and compare them."),
        CommandSpec("env", "harness.cli.env:env", "Show versions, machine and folders, as a bug report needs them."),
        CommandSpec("store", "harness.cli.store:store", "Check, clean or unite stores of results."),
        CommandSpec("report", "harness.cli.report:report", "Write past runs as one HTML page, or serve it."),
        CommandSpec("leaderboard", "harness.cli.leaderboard:leaderboard", "Show the leaderboards of past runs."),
    ]
