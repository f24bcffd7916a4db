"""``harness new``: a package with a plugin of one's own, ready to be installed."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import PathType
from harness.errors import UsageError
from harness.registry import Registry

# A command that uses the new plugin.
_runs = {
    "model": "harness run --models {name},ppca --dataset dequantized-mnist-10k --metric elbo --epochs 2",
    "metric": "harness run --models pca --dataset mnist-10k --metric {name}",
    "dataset": "harness run --models gaussian-mixture --dataset {name} --metric log-likelihood-exact",
    "figure": "harness run --models ppca --dataset mnist-10k --metric reconstruction-mse",
}


@click.command(epilog="Example:  harness new model my-model")
@click.argument("kind", type=click.Choice(list(_runs)))
@click.argument("name")
@click.option("--output", type=PathType(file_okay=False), default=Path(), show_default=True, metavar="DIR",
              help="Folder in which the folder NAME is made.")  # fmt: skip
def new(kind: str, name: str, output: Path) -> None:
    """Write a package with a new model, metric, data set or figure, which installs and passes its checks at once."""
    from harness.new_package.write import files_of, write_package

    taken = {each.spec.name: each for each in Registry.load().all(kind)}
    if name in taken:
        raise UsageError(f"{taken[name].title} has that name already; choose another")
    command = _runs[kind].format(name=name)
    files = files_of(kind, name, command)  # type: ignore[arg-type]
    folder = output / name
    write_package(folder, files)
    for path in files:
        print(f"wrote {folder / path}")
    print(f"\nNext:\n  pip install --editable {folder}\n  harness check {name}\n  {command}")
