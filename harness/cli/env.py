"""``harness env``: versions, machine and folders, as a bug report needs them."""

from __future__ import annotations

import json
import os
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click

from harness.cli.data import cache_dir, data_dir_option
from harness.cli.options import plugin_option, runs_option
from harness.cli.output import output_console
from harness.git import git_line
from harness.registry import Plugin, Registry, own_distribution
from harness.words import counted

_distributions = (own_distribution, "torch", "torchvision", "numpy", "scipy", "scikit-learn", "pluggy", "click")
_variables = ("HARNESS_DATA_DIR", "HARNESS_CACHE_DIR", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@data_dir_option
@runs_option
@plugin_option
def env(as_json: bool, data_dir: Path | None, runs: Path, plugin_files: tuple[Path, ...]) -> None:
    """Show versions, machine, plugins and folders, as a bug report needs them.

    The path of the home folder is written as ~.
    """
    found = {
        "software": _software(),
        "machine": _machine(),
        "plugins": [_plugin(each) for each in Registry.load(plugin_files).plugins],
        "folders": {
            "data": str(data_dir.absolute()) if data_dir else "none given; full data sets are downloaded to the cache",
            "cache": str(cache_dir().absolute()),
            "runs": str(runs.absolute()),
        },
        "variables": {name: os.environ[name] for name in _variables if name in os.environ},
    }
    found = _without_home(found, str(Path.home()))
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        _show(found)


def _software() -> dict[str, Any]:
    import platform

    found: dict[str, Any] = {"python": f"{platform.python_implementation()} {platform.python_version()}"}
    for name in _distributions:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    found["commit of the harness"] = _commit_of_source()
    found["commit of this folder"] = _with_changes(git_line("rev-parse", "HEAD"), Path.cwd())
    return found


def _commit_of_source() -> str | None:
    """Return the commit of the harness if it is imported from a checkout, not from an installed package."""
    folder = Path(__file__).parents[1]
    if git_line("ls-files", "--error-unmatch", "__init__.py", folder=folder) is None:
        return None
    return _with_changes(git_line("rev-parse", "HEAD", folder=folder), folder)


def _with_changes(commit: str | None, folder: Path) -> str | None:
    if commit is None:
        return None
    return commit + " with changes" * bool(git_line("status", "--porcelain", "--untracked-files=no", folder=folder))


def _machine() -> dict[str, Any]:
    import torch

    from harness.results.environment import describe_environment

    described = describe_environment(torch.device("cpu"))
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    accelerators = [torch.cuda.get_device_properties(number) for number in range(count)]
    libraries = {"oneDNN": torch.backends.mkldnn, "MKL": torch.backends.mkl}
    return {
        "system": described.system,
        "processor": described.processor,
        "cores": described.cores,
        "GPU": [f"{each.name}, {each.total_memory / 2**30:.0f} GiB" for each in accelerators],
        "CUDA of torch": torch.version.cuda,
        "threads of torch": torch.get_num_threads(),
        "libraries in torch": [name for name, library in libraries.items() if library.is_available()],
        "BLAS and OpenMP": _thread_pools(),
    }


def _thread_pools() -> list[str]:
    """Return the libraries that compute in several threads; those that numpy, scipy and torch have loaded."""
    import scipy.linalg  # noqa: F401 -- loads its BLAS
    from threadpoolctl import threadpool_info

    found = []
    for each in threadpool_info():
        kind = " ".join(str(each[name]) for name in ("internal_api", "version", "architecture") if each.get(name))
        found.append(f"{kind}, {counted(each['num_threads'], 'thread')}")
    return list(dict.fromkeys(found))


def _plugin(plugin: Plugin) -> dict[str, Any]:
    named = {"name": plugin.name, "distribution": plugin.distribution, "version": plugin.version}
    return {**named, **({"problems": plugin.problems} if plugin.problems else {})}


def _without_home(value: Any, home: str) -> Any:
    if isinstance(value, dict):
        return {name: _without_home(each, home) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_home(each, home) for each in value]
    return re.sub(rf"{re.escape(home)}(?![\w.-])", "~", value) if isinstance(value, str) and home != "/" else value


def _show(found: dict[str, Any]) -> None:
    console = output_console()
    kinds = ("software", "machine", "folders", "variables")
    width = max(len(name) for kind in kinds for name in found[kind])
    for kind in kinds:
        console.print(kind, style="bold")
        for name, value in found[kind].items():
            console.print(f"  {name:<{width}}  {_text(value)}", soft_wrap=True)
    console.print("plugins", style="bold")
    for each in found["plugins"]:
        console.print(f"  {each['name']:<{width}}  {each['distribution']} {each['version']}", soft_wrap=True)
        for problem in each.get("problems", []):
            console.print(f"    {problem}", style="red", soft_wrap=True)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(value) or "none"
    return "none" if value is None else str(value)
