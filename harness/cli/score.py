"""``harness score``: measure and rank samples that were made elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.data import cache_dir, data_dir_option, show_bar
from harness.cli.main import load_registry
from harness.cli.options import (
    PathType,
    WholeNumber,
    leaderboards_option,
    most_threads,
    names_option,
    outcome_options,
    plugin_option,
    require_rows,
    runs_option,
)
from harness.cli.output import notice
from harness.cli.run import carry_out, merged, named_with_values, run
from harness.cli.settings import parse_assignments, set_option
from harness.contracts.events import evaluation_splits
from harness.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from harness.data.dataset import DataInfo
    from harness.planning.component import Component
    from harness.registry import Registry

_model, _folder = "samples", "folder"  # how plugins name samples, and images of one's own
_batch = 1000  # images


@click.command(
    epilog="""\b
Examples:
  harness score generated --against mnist --metric frechet-distance,precision,recall
  harness score a.npz,b.npz,mnist --against mnist --metric frechet-distance
  harness score generated --reference photos --metric coverage --set coverage.features=pixels""",
)
@click.argument("samples", metavar="SAMPLES[,SAMPLES]")
@click.option("--against", metavar="DATASET", help="Data set to compare with; its test images are the reference.")
@click.option(
    "--reference", type=PathType(), metavar="FOLDER", help="Folder of your own images to compare with instead."
)
@names_option("--metric", "--metrics", "metrics", required=True, metavar="M[,N]", help="Metrics to measure.",
              hint="Write names, as in --metric frechet-distance,precision,recall. 'harness list metrics' lists "
              "all.")  # fmt: skip
@set_option("a metric or of the data set; each of several values gives its own result")
@click.option("--resize", type=click.Choice(["bilinear", "bicubic"]),
              help="Resize images to the size of the data set with this filter, without aliasing.")  # fmt: skip
@click.option("--convert-channels", is_flag=True, help="Convert colour to grey, or grey to colour, if the data set "
              "needs it.")  # fmt: skip
@click.option("--split", type=click.Choice(evaluation_splits), default="test", show_default=True,
              help="Split to compare with.")  # fmt: skip
@click.option("--evaluation-seed", type=WholeNumber(min=0), default=0, show_default=True, metavar="N",
              help="Seed of the metrics' random numbers.")  # fmt: skip
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True,
              help="Device to compute on.")  # fmt: skip
@click.option("--threads", type=WholeNumber(min=1, max=most_threads), default=1, show_default=True, metavar="N",
              help="CPU threads; their number affects the last digits of results.")  # fmt: skip
@data_dir_option
@runs_option
@leaderboards_option
@plugin_option
@click.option("--figures/--no-figures", default=True, show_default=True, help="Draw some of the samples.")
@outcome_options
def score(samples: str, against: str | None, reference: Path | None, **values: Any) -> int:
    """Measure samples that you already have, and rank them.

    SAMPLES is a folder of images (png, jpg, webp), a file with an array (npy, npz, pt, safetensors), or the name of a
    data set, whose training images are then the samples. Several are joined by commas. Results are stored and ranked
    as those of 'harness run' are.
    """
    require_rows(values)
    if (against is None) == (reference is None):
        raise UsageError("give the data to compare with: --against DATASET or --reference FOLDER, one of them")
    registry = load_registry(values["plugin_files"])
    datasets, settings = named_with_values([against or f"{_folder}:{reference}"], registry)
    for kind, names in (("dataset", datasets), ("metric", values["metrics"])):
        for name in names:
            registry.get(kind, name)
    settings = merged(settings, parse_assignments(values["assignments"]))
    paths = _distinct([_path_of(each, registry, values) for each in _split(samples)], registry)
    settings[_model, "path"] = paths
    if values["resize"]:
        settings[_model, "resize"] = [values["resize"]]
    if values["convert_channels"]:
        settings[_model, "channels"] = ["converted"]

    from harness.planning.plan import Request

    request = Request(
        (_model,),
        values["metrics"],
        datasets,
        settings=settings,
        split=values["split"],
        evaluation_seed=values["evaluation_seed"],
    )
    return carry_out(request, registry, {**_defaults_of_run(), **values})


def _defaults_of_run() -> dict[str, Any]:
    """Return the values of all options of ``harness run`` that are not given, by name."""
    required = [f"--models={_model}", "--metric=any"]
    return {**run.make_context("harness run", required).params, "step_mode": "eager", "jobs": 1}


def _split(samples: str) -> list[str]:
    """Return the items of SAMPLES, each once."""
    items = [each.strip() for each in samples.split(",")]
    if not all(items):
        raise UsageError(f"{samples!r} has an empty item; write paths joined by commas, as in a,b")
    return list(dict.fromkeys(items))


def _distinct(paths: Sequence[str], registry: Registry) -> list[str]:
    """Return the paths without those that hold the same samples as one before, which is said.

    Raises:
        UsageError: samples cannot be read.
    """
    from harness.planning.component import resolve_component

    found: dict[str, str] = {}
    for path in paths:
        content = resolve_component(registry.get("model", _model), {"path": path}).content
        assert content is not None
        if (same := found.setdefault(content.digest, path)) != path:
            notice(f"{path} holds the same samples as {same}: they are one row")
    return list(found.values())


def _path_of(given: str, registry: Registry, values: Mapping[str, Any]) -> str:
    """Return the path of samples; the training images of a data set are written beside the results first.

    Raises:
        UsageError: there is neither such a path nor such a data set.
    """
    with suppress(OSError):  # a name that is too long
        if Path(given).exists():
            return given
    names = [each.spec.name for each in registry.all("dataset")]
    if given.partition(":")[0] not in names:
        raise UsageError(f"{given}: there is no such file or folder, and no data set of this name")
    from harness.planning.component import resolve_component

    (name,), settings = named_with_values([given], registry)
    only = {parameter: each for (_, parameter), (each,) in settings.items()}
    return str(_written(resolve_component(registry.get("dataset", name), only), values))


def _written(dataset: Component, values: Mapping[str, Any]) -> Path:
    """Write the training images of a data set to a file, as bytes if they are 8-bit pixels, and return its path."""
    from safetensors.torch import save_file

    from harness.atomic import replacing, require_writable
    from harness.data.loading import load_dataset
    from harness.data.source import DataSource
    from harness.noise import Noise, derive_seed

    source = DataSource(values["data_dir"], cache_dir(), notice, show_bar)
    data = load_dataset(dataset.provided.spec, dataset.config, source)  # type: ignore[arg-type]
    images = _as_bytes_or_floats(data.train.batches(_batch, Noise(derive_seed("samples", dataset.name))), data.info)
    require_writable(values["runs"], "--runs")
    path: Path = values["runs"] / "samples" / f"{dataset.name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        save_file({"samples": images}, temporary)
    return path


def _as_bytes_or_floats(batches: Iterable[Tensor], info: DataInfo) -> Tensor:
    """Return all images, as bytes if each value is a whole number of 255ths."""
    import torch

    parts: list[Tensor] = []
    are_bytes = info.support in ("unit", "binary")
    for x in batches:
        pixels = (x * 255).round()
        if are_bytes and not bool((pixels / 255 == x).all()):
            are_bytes, parts = False, [part / 255 for part in parts]
        parts.append(pixels.byte() if are_bytes else x)
    return torch.cat(parts)
