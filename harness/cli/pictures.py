"""Pictures that commands draw into a file that the user names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.atomic import require_writable_file
from harness.cli.output import notice
from harness.errors import HarnessError, UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def require_picture(path: Path | None) -> None:
    """Check that a picture can be written to this path, in the format that its name says.

    Raises:
        UsageError: it cannot.
    """
    if path is None:
        return
    if path.suffix not in (".svg", ".png"):
        raise UsageError(f"--figure {path}: write a name that ends with .svg or .png")
    require_writable_file(path, "--figure")


def save_picture(figure: Figure, path: Path) -> None:
    """Write a picture to a file, and say so.

    Raises:
        HarnessError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    except OSError as error:
        raise HarnessError(f"cannot write {path}: {error.strerror}") from error
    notice(f"drew {path}")
