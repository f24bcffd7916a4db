"""Files and folders written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import UsageError


def require_writable(folder: Path, name: str) -> None:
    """Check that a folder can be written to, or created, and leave nothing behind.

    Args:
        folder: the folder.
        name: how the user named it, such as an option, for the message.

    Raises:
        UsageError: it cannot be created, or nothing can be written in it.
    """
    try:
        # A link whose target is missing exists too, and no folder can be created in its place.
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists() or path.is_symlink())
        with tempfile.NamedTemporaryFile(dir=there):
            pass
    except OSError as error:
        raise UsageError(
            f"{name} {folder}: this folder cannot be written to ({error.strerror}); name another one."
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file that replaces ``path`` if the block ends without an error."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
