"""What each side of a comparison was: its commit and its date."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harness.git import git_line
from harness.regression.versions import commit_of

if TYPE_CHECKING:
    from harness.regression.compare import Stored


@dataclass(frozen=True)
class Origin:
    """What one side of a comparison was.

    Args:
        name: as the user gave it.
        commit: of its files, or None if it is not known.
        dirty: whether files differed from the commit; None if it is not known.
        date: of the commit, or of the newest stored result, in ISO 8601 and UTC; None if there is none.
    """

    name: str
    commit: str | None = None
    dirty: bool | None = None
    date: str | None = None

    @property
    def short(self) -> str:
        """The start of the commit, or the name."""
        return f"{self.commit[:7]}{'+' * bool(self.dirty)}" if self.commit else self.name


def origin_of(name: str, stored: Stored | None) -> Origin:
    """Return what a side of a comparison is.

    Args:
        name: as for ``versions.installed``, or of stored results.
        stored: the stored results, or None if the side is a version.
    """
    if stored is not None:
        from harness.regression.compare import records_of

        newest = max(records_of(stored), key=lambda record: record.ended or "", default=None)
        return Origin(name) if newest is None else Origin(name, newest.commit, newest.dirty, _utc(newest.ended))
    path = Path(name)
    if path.suffix == ".py":
        folder, files = path.resolve().parent, path.name
        commit = git_line("log", "-1", "--format=%H", "--", files, folder=folder) if folder.is_dir() else None
    elif path.is_dir():
        folder, files = path, "."
        commit = git_line("rev-parse", "HEAD", folder=folder)
    else:
        commit = commit_of(name)
        return Origin(name, commit, False, _date_of(commit, None)) if commit else Origin(name)
    if not commit:
        return Origin(name)
    dirty = bool(git_line("status", "--porcelain", "--untracked-files=no", "--", files, folder=folder))
    return Origin(name, commit, dirty, _date_of(commit, folder))


def _utc(date: str | None) -> str | None:
    return date and datetime.fromisoformat(date).astimezone(UTC).isoformat(timespec="seconds")


def _date_of(commit: str, folder: Path | None) -> str | None:
    return _utc(git_line("show", "--no-patch", "--format=%cI", commit, folder=folder) or None)
