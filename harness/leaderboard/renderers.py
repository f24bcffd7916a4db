"""The built-in formats of leaderboards, provided through the same hook as those of other plugins."""

from __future__ import annotations

from harness.hookspecs import hookimpl
from harness.specs import RendererSpec


@hookimpl
def harness_renderers() -> list[RendererSpec]:
    """Provide the built-in formats."""
    return [
        RendererSpec("terminal", "harness.leaderboard.terminal:render", "tables for people at a terminal"),
        RendererSpec("svg", "harness.leaderboard.terminal:render_svg", "the same tables as a picture"),
        RendererSpec("markdown", "harness.leaderboard.markdown:render", "tables for a README or a web page"),
        RendererSpec("latex", "harness.leaderboard.latex:render", "tables for a paper, with booktabs"),
        RendererSpec("json", "harness.leaderboard.machine:render_json", "one list of rows, for programs"),
        RendererSpec("csv", "harness.leaderboard.machine:render_csv", "the same rows, for spreadsheets"),
    ]
