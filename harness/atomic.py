"""Files and folders written whole or not at all, also if the power fails."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

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


def require_writable_file(path: Path, name: str) -> None:
    """Check that a file can be written to, or created with its folder, and leave nothing behind.

    Args:
        path: of the file.
        name: how the user named it, such as an option, for the message.

    Raises:
        UsageError: it cannot, or it is a folder.
    """
    if not path.exists():
        require_writable(path.parent, name)
    elif path.is_dir():
        raise UsageError(f"{name} {path} is a folder; name a file")
    elif not os.access(path, os.W_OK):
        raise UsageError(f"{name} {path}: this file cannot be written to")


def require_replaceable(path: Path, name: str) -> None:
    """Check that ``replacing`` can write a file, which is created with its folder unless it exists.

    Args:
        path: of the file.
        name: how the user named it, such as an option, for the message.

    Raises:
        UsageError: nothing can be written in its folder, or it is no regular file, such as a folder or a device.
    """
    try:
        file = replaced_by(path)
    except (IsADirectoryError, FileExistsError) as error:
        raise UsageError(f"{name} {path} is {error.strerror}; name a file") from error
    except OSError as error:
        raise UsageError(f"{name} {path}: this file cannot be written to: {error.strerror}") from error
    require_writable(file.parent, name)


def replaced_by(path: Path) -> Path:
    """Return the file that ``replacing`` writes: ``path``, or what it is a link to, which need not exist.

    Raises:
        OSError: it is no regular file. A device or a FIFO has readers, which would never see what replaces it.
    """
    file = Path(os.path.realpath(path)) if path.is_symlink() else path
    if file.is_dir():
        raise IsADirectoryError(errno.EISDIR, "a folder", str(path))
    if os.path.lexists(file) and not file.is_file():
        raise FileExistsError(errno.EEXIST, "not a regular file", str(path))
    return file


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file that replaces ``path`` if the block ends without an error.

    The content is on disk before the file gets its name, so a power failure leaves the file before or the new one.
    If ``path`` is a link, its target is replaced. Who may read the file is up to the user's umask.

    Raises:
        OSError: something exists that is no regular file, or the folder cannot be written to.
    """
    path = replaced_by(path)
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    temporary.touch(exist_ok=False)
    mode = stat.S_IMODE(temporary.stat().st_mode)
    try:
        yield temporary
        temporary.chmod(mode)  # safetensors puts a private file in its place
        sync_file(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def append_lines(path: Path, lines: Sequence[bytes]) -> None:
    """Append lines, without their ends, to a file, and sync them to disk; all of them, or none if this fails.

    Other processes that append to the file wait. The folder and the file are created unless they exist.
    """
    create_folder(path.parent)
    is_new = not path.exists()
    with path.open("a+b", buffering=0) as file, alone_with(file):
        size = file.seek(0, os.SEEK_END)
        # These lines must not be appended to one that an earlier crash has cut short.
        file.seek(max(0, size - 1))
        is_torn = file.read(1) not in (b"", b"\n")
        left = memoryview(b"\n" * is_torn + b"".join(line + b"\n" for line in lines))
        try:
            while left:
                left = left[file.write(left) :]
            os.fsync(file.fileno())
        except BaseException:
            with suppress(OSError):
                file.truncate(size)
            raise
    if is_new:
        sync_folder(path.parent)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes that call this for the same folder, which exists, waiting while the block runs.

    Where the system or the file system cannot lock folders, nobody waits.
    """
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        yield
        return
    try:
        with alone_with(handle):
            yield
    finally:
        os.close(handle)


@contextmanager
def alone_with(file: int | IO[bytes]) -> Iterator[None]:
    """Keep other processes that call this for the same file waiting while the block runs.

    Where the system or the file system has no such locks, nobody waits.
    """
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)
    except (ImportError, OSError):
        yield
        return
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def temporary_folder(parent: Path) -> Path:
    """Create a folder for what is to get its name when it is whole; who may read it is up to the user's umask."""
    path = parent / f".writing-{secrets.token_hex(8)}"
    path.mkdir()
    return path


def create_folder(path: Path) -> None:
    """Create a folder and its parents, unless they exist; their names are then on disk."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for each in missing:
        sync_folder(each.parent)


def sync_file(path: Path) -> None:
    """Wait until the content of a file is on disk."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on disk; systems and file systems that cannot sync folders do nothing."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:  # Windows opens no folders
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(handle)
