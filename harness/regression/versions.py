"""Versions of the software side by side: each in a folder of its own, with processes of its own.

A version is a git revision or the working tree of a checkout, a distribution, or a plugin file. Its package is built
and installed without its dependencies, so both versions use those of this environment.
"""

from __future__ import annotations

import atexit
import hashlib
import importlib.metadata
import io
import json
import math
import os
import secrets
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from harness.errors import HarnessError, UsageError
from harness.execution.interruption import held_back
from harness.execution.processes import Leader, Watchdog
from harness.git import git, git_line

_build_seconds = 600
_unused_seconds = 7 * 24 * 3600.0  # after which an installed version is removed
_grace = 5.0  # seconds between SIGTERM and SIGKILL, in which a run ends its workers


@dataclass(frozen=True)
class Version:
    """An installed version of the software.

    Args:
        name: as the user gave it.
        folder: where its package is installed; None for the one of this environment.
        plugin_files: plugins that it is used with.
    """

    name: str
    folder: Path | None = None
    plugin_files: tuple[Path, ...] = ()

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of its processes."""
        # Not the current folder, in which a checkout may have a package of the same name.
        found = {**os.environ, "PYTHONSAFEPATH": "1"}
        if self.folder is not None:
            found["PYTHONPATH"] = os.pathsep.join(filter(None, [str(self.folder), os.environ.get("PYTHONPATH")]))
        return found


def installed(name: str, cache: Path, plugin_files: Sequence[Path], announce: Callable[[str], None]) -> Version:
    """Return the version that a user named, built and installed if need be.

    Args:
        name: a git revision of the checkout in the current folder; a folder with ``pyproject.toml``, whose files are
            taken as they are; ``NAME==VERSION``; or a plugin file ``FILE.py``.
        cache: where built revisions are kept.
        plugin_files: plugins that both versions are used with.
        announce: shows the user a line.

    Raises:
        UsageError: there is no such version.
        HarnessError: it cannot be built.
    """
    path, files = Path(name), tuple(each.resolve() for each in plugin_files)
    if path.suffix == ".py":
        if not path.is_file():
            raise UsageError(f"{name}: there is no such file")
        return Version(name, None, (*files, path.resolve()))
    if path.is_dir():
        if not (path / "pyproject.toml").is_file():
            raise UsageError(f"{name}: neither records.jsonl nor pyproject.toml is in this folder")
        return Version(name, _of_folder(path, cache, announce), files)
    if "==" in name:
        folder = cache / "versions" / hashlib.sha256(f"{name} {sys.version}".encode()).hexdigest()[:24]
        return Version(name, _install(name, folder, announce, name), files)
    return Version(name, _of_commit(_commit(name), name, cache, announce), files)


def commit_of(revision: str) -> str | None:
    """Return the commit that a revision of the current checkout names; None if there is none."""
    return git_line("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")


def _commit(revision: str) -> str:
    found = commit_of(revision)
    if found is None:
        raise UsageError(
            f"{revision!r} is no git revision of the current folder, no folder, and no file. "
            "Give a revision, a folder with records.jsonl or pyproject.toml, a baseline, NAME==VERSION or FILE.py."
            f"{_advice()}"
        )
    return found


def _advice() -> str:
    """Say what is special about the current checkout, if it explains why a revision is not there."""
    shallow = git_line("rev-parse", "--is-shallow-repository")
    if shallow is None:
        return " Git does not work in this folder: 'git status' says why."
    return " This clone is shallow: 'git fetch --unshallow --tags' fetches the rest." if shallow == "true" else ""


def _of_commit(commit: str, name: str, cache: Path, announce: Callable[[str], None]) -> Path:
    project = _project()
    folder = cache / "versions" / hashlib.sha256(f"{commit} {project} {sys.version}".encode()).hexdigest()[:24]
    if _is_here(folder):
        return folder
    archive = git("archive", "--format=tar", commit, folder=project)  # of the files under this folder
    if archive is None:
        raise HarnessError(f"git cannot read the files of {name}")
    with tempfile.TemporaryDirectory(prefix="harness-") as source:
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            if hasattr(tarfile, "data_filter"):  # from Python 3.11.4 on
                files.extraction_filter = tarfile.data_filter
            files.extractall(source)
        if not (Path(source) / "pyproject.toml").is_file():
            raise HarnessError(f"{name} has no pyproject.toml, so it cannot be installed")
        return _install(source, folder, announce, name)


def _project() -> Path:
    """Return the folder of the package of the current folder: the nearest one that has a ``pyproject.toml``."""
    top = Path(git_line("rev-parse", "--show-toplevel") or ".").resolve()
    here = Path.cwd().resolve()
    above = [each for each in (here, *here.parents) if each.is_relative_to(top)]
    return next((each for each in above if (each / "pyproject.toml").is_file()), top)


def _of_folder(path: Path, cache: Path, announce: Callable[[str], None]) -> Path:
    """Install a working tree; by its content if git lists all of its files, so that an unchanged one is installed once.

    Git lists nothing of a folder that it ignores, and no file in a submodule or behind a link to a folder.
    """
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", folder=path) or b""
    files = sorted(filter(None, listed.decode().split("\0")))
    if "pyproject.toml" not in files or any((path / file).is_dir() for file in files):
        folder = Path(tempfile.mkdtemp(prefix="harness-version-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return _install(str(path.resolve()), folder / "installed", announce, str(path))
    digest = hashlib.sha256(sys.version.encode())
    for file in files:
        if (path / file).is_file():
            digest.update(f"{file}\0".encode() + hashlib.sha256((path / file).read_bytes()).digest())
    folder = cache / "versions" / digest.hexdigest()[:24]
    return _install(str(path.resolve()), folder, announce, str(path))


def _install(what: str, folder: Path, announce: Callable[[str], None], name: str) -> Path:
    """Install a package without its dependencies into a folder of its own, unless it is there."""
    if _is_here(folder):
        return folder
    announce(f"building and installing {name}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".installing-", dir=folder.parent))
    try:
        _pip("install", "--no-deps", "--target", str(temporary), what, name=name)
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.is_dir():  # unless another process was faster
                raise
            shutil.rmtree(temporary)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _remove_unused(folder.parent)
    return folder


def _is_here(folder: Path) -> bool:
    """Whether a version is installed; if so, note that it was used."""
    with suppress(OSError):  # also of a cache that can only be read
        os.utime(folder)
    return folder.is_dir()


def _remove_unused(versions: Path) -> None:
    """Remove the installed versions that were not used for a week."""
    for each in versions.iterdir():
        with suppress(OSError):
            if time.time() - each.stat().st_mtime > _unused_seconds:
                shutil.rmtree(each)


def _pip(*words: str, name: str) -> None:
    if not _is_installed("pip"):
        raise HarnessError(f"to install {name}, pip is needed in this environment: python -m ensurepip")
    # What builds the package may be installed here; pip would otherwise have to download it.
    shared = ["--no-build-isolation"] if _is_installed("hatchling") else []
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    failure = ""
    for isolation in [shared, []] if shared else [[]]:
        command = [sys.executable, "-m", "pip", words[0], *quiet, *isolation, *words[1:]]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_build_seconds, check=False)
        except subprocess.TimeoutExpired:
            raise HarnessError(f"{name} does not build: pip took longer than {_build_seconds} seconds") from None
        if done.returncode == 0:
            return
        failure = failure or done.stderr.strip()
    raise HarnessError(f"{name} does not build:\n{_last_lines(failure)}")


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _last_lines(text: str) -> str:
    return "\n".join(text.splitlines()[-12:])


def options_of_run(
    models: Sequence[str],
    metrics: Sequence[str],
    dataset: str,
    seeds: int,
    epochs: int,
    batch_size: int | None,
    device: str,
    data: Path | None,
    settings: Mapping[str, Mapping[str, str]],
) -> list[str]:
    """Return the options of ``harness run`` for a request; settings of what is not asked for are left out."""
    settings = {owner: values for owner, values in settings.items() if owner in {*models, *metrics, dataset}}
    words = ["--models", ",".join(models), "--metric", ",".join(metrics), "--dataset", dataset]
    words += ["--seeds", str(seeds), "--epochs", str(epochs), "--device", device]
    words += [f"--batch-size={batch_size}"] * (batch_size is not None)
    words += [f"--data-dir={data}"] * (data is not None)
    for owner, values in settings.items():
        words += [word for name, value in values.items() for word in ("--set", f"{owner}.{name}={value}")]
    return words


class Ran(NamedTuple):
    """How a run of a version ended: whether all was done before the deadline, and its last lines of standard error."""

    is_finished: bool
    last_lines: str = ""


def run_models(version: Version, words: Sequence[str], store: Path, deadline: float = math.inf) -> Ran:
    """Train and measure with a version: ``harness run`` with these options, whose results go to ``store``.

    Args:
        version: to run.
        words: the options.
        store: its folder.
        deadline: on the clock of ``time.monotonic``, when the run is interrupted; what was measured stays.

    Returns:
        Whether all was done before the deadline, and what the run said last.

    Raises:
        HarnessError: the version does not run at all; models that fail have a record instead.
    """
    folders = ["--runs", str(store), "--leaderboards", str(store / "leaderboards")]
    try:
        done = _harness(version, "run", *words, "--no-figures", *folders, deadline=deadline)
    except subprocess.TimeoutExpired:
        return Ran(is_finished=False)
    if done.returncode not in (0, 3, 4):
        raise HarnessError(f"{version.name} cannot run:\n{_last_lines(done.stderr)}")
    return Ran(is_finished=True, last_lines=_last_lines(done.stderr))


def provided_by(version: Version, deadline: float = math.inf) -> dict[str, set[str]]:
    """Return the names of what a version has, by kind: ``model``, ``metric``, ...

    Raises:
        HarnessError: it does not run at all, is too old to say, or has not said it by the ``deadline``.
    """
    try:
        done = _harness(version, "list", "--format", "json", deadline=deadline)
    except subprocess.TimeoutExpired:
        raise HarnessError(f"{version.name} cannot list what it has: time was up") from None
    if done.returncode != 0:
        raise HarnessError(f"{version.name} cannot list what it has:\n{_last_lines(done.stderr)}")
    found: dict[str, set[str]] = {}
    for each in json.loads(done.stdout):
        found.setdefault(each["kind"], set()).add(each["name"])
    return found


def _harness(version: Version, *words: str, deadline: float) -> subprocess.CompletedProcess[str]:
    """Run a command of the harness with a version and its plugin files; what it has started ends with this function.

    Raises:
        TimeoutExpired: it has not ended by the deadline, and was interrupted.
    """
    plugins = [word for file in version.plugin_files for word in ("--plugin", str(file))]
    command = [sys.executable, "-m", "harness", *words, *plugins]
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise subprocess.TimeoutExpired(command, 0)
    with ExitStack() as stack:
        with held_back():
            process = stack.enter_context(
                subprocess.Popen(
                    command,
                    env=version.environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    start_new_session=True,
                )
            )
            watchdog = stack.enter_context(closing(Watchdog()))  # ends the command even if this process is killed
            watchdog.watch(Leader(process.pid, secrets.token_hex()))
        try:
            out, errors = process.communicate(timeout=None if seconds == math.inf else seconds)
        except BaseException:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=_grace)
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, errors)
