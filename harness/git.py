"""Asks git about a checkout."""

from __future__ import annotations

import subprocess
from pathlib import Path

_seconds = 60


def git(*arguments: str, folder: Path | None = None) -> bytes | None:
    """Return what a git command prints; None outside a repository, without git, or if the command fails.

    Args:
        arguments: of the command.
        folder: to run it in; the current one by default.
    """
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, timeout=_seconds, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def git_line(*arguments: str, folder: Path | None = None) -> str | None:
    """Return what a git command prints as text, without spaces around it."""
    printed = git(*arguments, folder=folder)
    return None if printed is None else printed.decode(errors="replace").strip()
