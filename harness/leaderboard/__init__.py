"""Leaderboards: records that may be compared, ranked with their uncertainty, and written in several formats."""

from harness.leaderboard.board import Board, Row, build_boards
from harness.leaderboard.files import rewrite, write_leaderboards

__all__ = ["Board", "Row", "build_boards", "rewrite", "write_leaderboards"]
