"""``samples``: samples that were made elsewhere, as a model that draws from them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from harness import Content, DataError, DataInfo, Noise, NotApplicable, Split, setting
from harness.toolkit import digest_of
from harness_datasets.image_files import image_files, read_images

_arrays = (".npy", ".npz", ".pt", ".pth", ".safetensors")
_names = ("samples", "arr_0")  # of the array that is meant if a file has several
_rounding = 1e-5  # by which a float may lie outside [0, 1]
_luma = (0.299, 0.587, 0.114)  # of red, green and blue in grey, by ITU-R BT.601


class ReadySamples(nn.Module):
    """Samples that were made elsewhere: a folder of images, or an array in a file.

    Images are bytes. An array has the shape ``(n, *shape)``; channels of images may also come last, and a single
    channel may be left out. Its values are bytes for pixels, or floats: in [0, 1] for pixels, on the scale of the data
    otherwise. A file with several arrays has one that is named ``samples`` or ``arr_0``.

    Metrics draw from them at random without replacement. Resizing, and turning colour into grey or grey into colour,
    are done only if they are asked for. Values are then ranked only with those of samples that were converted in the
    same way.
    """

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        path: str = setting("samples.npz", "folder of images, or file with an array", required=True, by_content=True)
        resize: Literal["none", "bilinear", "bicubic"] = setting(
            "none", "filter that images are resized with, without aliasing, to the size of the data"
        )
        channels: Literal["unchanged", "converted"] = setting(
            "unchanged", "whether colour is converted to grey, or grey to colour, if the data needs it"
        )

    def __init__(self, info: DataInfo, config: Config) -> None:
        super().__init__()
        samples, done = _converted(_read(config.path), info, config)
        _check_values(samples, info, config.path)
        self.count = len(samples)
        self.conversion = f"samples {', '.join(done)}" if done else None
        self.stored: Tensor
        self.register_buffer("stored", samples, persistent=False)  # the file has them

    @staticmethod
    def content(config: Config) -> Content:
        """Read and hash the samples, and describe them.

        Raises:
            DataError: there are none, they cannot be read, or some are not finite.
        """
        samples = _read(config.path)
        values = "bytes" if samples.dtype == torch.uint8 else f"floats in [{samples.min():.3g}, {samples.max():.3g}]"
        return Content(digest_of({"samples": samples}), f"{len(samples):,} samples, {_shape(samples)}, {values}")

    def fit(self, train: Split, noise: Noise) -> None:
        """Do nothing, since the samples are there."""

    def sample(self, n: int, noise: Noise) -> Tensor:
        """Return ``n`` of the samples, chosen at random without replacement.

        Raises:
            NotApplicable: there are fewer.
        """
        if n > self.count:
            raise NotApplicable(f"it needs {n:,} samples, and there are {self.count:,}")
        chosen = self.stored[noise.permutation(self.count)[:n].to(self.stored.device)].to(torch.float32)
        return chosen / 255 if self.stored.dtype == torch.uint8 else chosen


def _read(path: str) -> Tensor:
    """Return the samples at a path as bytes or floats, ``(N, *shape)``, those of images with channels first.

    Raises:
        DataError: there are none, they cannot be read, or some are not finite.
    """
    place = Path(path)
    if not place.exists():
        raise DataError(f"{path}: there is no such file or folder")
    files = image_files(place) if place.is_dir() else [place]
    try:
        return _read_files(path, tuple((str(each), each.stat().st_size, each.stat().st_mtime_ns) for each in files))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


@functools.lru_cache(maxsize=4)
def _read_files(path: str, files: tuple[tuple[str, int, int], ...]) -> Tensor:
    """Read files, which are given with their sizes and times, so that files that have changed are read again."""
    place = Path(path)
    if place.is_dir():
        return read_images([Path(name) for name, _, _ in files])
    if place.suffix not in _arrays:
        raise DataError(f"{path} is neither a folder of images nor a file that ends with {', '.join(_arrays)}")
    samples = _read_array(place)
    if samples.dtype != torch.uint8 and not samples.is_floating_point():
        raise DataError(f"{path} has values of type {str(samples.dtype).removeprefix('torch.')}; save bytes or floats")
    if samples.dim() < 2 or not samples.numel():
        raise DataError(f"{path} has the shape {tuple(samples.shape)}; save samples as (n, *shape)")
    if samples.dtype != torch.uint8:
        samples = samples.to(torch.float32)
        if not bool(samples.isfinite().all()):
            raise DataError(f"{path} has values that are not finite")
    return _channels_first(samples).contiguous()


def _read_array(path: Path) -> Tensor:
    try:
        if path.suffix == ".safetensors":
            found: Any = load_file(path)
        elif path.suffix in (".pt", ".pth"):
            found = torch.load(path, map_location="cpu", weights_only=True)
        else:
            with path.open("rb") as file:  # numpy leaves a damaged file open
                found = np.load(file, allow_pickle=False)
                if isinstance(found, np.lib.npyio.NpzFile):
                    with found:
                        found = dict(found)
    except Exception as error:  # readers raise exceptions of many kinds
        reason = getattr(error, "strerror", None) or "it is damaged, or holds Python objects, which are not loaded"
        raise DataError(f"{path} cannot be read: {reason}") from error
    if isinstance(found, Mapping):
        found = _only(found, path)
    if isinstance(found, Tensor):
        return found.detach()
    try:  # torch takes arrays only in the byte order of this machine
        return torch.from_numpy(np.ascontiguousarray(found, dtype=found.dtype.newbyteorder("=")))
    except (AttributeError, TypeError) as error:
        kind = getattr(found, "dtype", type(found).__name__)
        raise DataError(f"{path} has values of type {kind}; save an array of bytes or floats") from error


def _only(arrays: Mapping[str, Any], path: Path) -> Any:
    name = next((name for name in _names if name in arrays), None) or (next(iter(arrays)) if len(arrays) == 1 else None)
    if name is None:
        names = ", ".join(map(str, arrays)) or "no arrays"
        raise DataError(f"{path} holds {names}; it must hold one array, or one that is named {_names[0]!r}")
    return arrays[name]


def _channels_first(samples: Tensor) -> Tensor:
    """Return images ``(N, C, H, W)`` from ``(N, H, W)`` or ``(N, H, W, C)``; anything else unchanged."""
    if samples.dim() == 3:
        return samples.unsqueeze(1)
    if samples.dim() == 4 and samples.shape[1] not in (1, 3) and samples.shape[3] in (1, 3):
        return samples.permute(0, 3, 1, 2)
    return samples


def _converted(samples: Tensor, info: DataInfo, config: ReadySamples.Config) -> tuple[Tensor, list[str]]:
    """Return samples in the shape of the data, and what was done to them.

    Raises:
        DataError: they have another shape, and it was not asked to convert them.
    """
    done: list[str] = []
    is_image = info.support != "points" and len(info.shape) == 3 and samples.dim() == 4
    if is_image and config.channels == "converted" and {samples.shape[1], info.shape[0]} == {1, 3}:
        done.append("converted to grey" if info.shape[0] == 1 else "converted to colour")
        samples = _grey(samples) if info.shape[0] == 1 else samples.expand(-1, 3, -1, -1)
    size = info.shape[-2:]
    if is_image and config.resize != "none" and samples.shape[2:] != size:
        before = " × ".join(map(str, samples.shape[2:]))
        done.append(f"resized from {before} ({config.resize}, antialiased)")
        samples = _resized(samples, size, config.resize)
    if samples.shape[1:] != info.shape:
        raise DataError(_of_shape(samples, info, config.path, is_image))
    return samples, done


def _of_shape(samples: Tensor, info: DataInfo, path: str, is_image: bool) -> str:
    expected = " × ".join(map(str, info.shape))
    hints = []
    if is_image and {samples.shape[1], info.shape[0]} == {1, 3}:
        hints.append("channels=converted converts grey and colour")
    if is_image and samples.shape[2:] != info.shape[1:]:
        hints.append("resize=bicubic resizes them")
    hint = f" ({'; '.join(hints)})" if hints else ""
    return f"{path} has samples of shape {_shape(samples)}, but the data set has {expected}{hint}"


def _shape(samples: Tensor) -> str:
    return " × ".join(map(str, samples.shape[1:]))


def _grey(samples: Tensor) -> Tensor:
    weights = torch.tensor(_luma).view(1, 3, 1, 1)
    parts = [_as(samples, (part * weights).sum(1, keepdim=True)) for part in samples.split(1000)]
    return torch.cat(parts)


def _resized(samples: Tensor, size: torch.Size | tuple[int, ...], mode: str) -> Tensor:
    parts = [
        _as(samples, F.interpolate(part.to(torch.float32), size=tuple(size), mode=mode, antialias=True))
        for part in samples.split(1000)
    ]
    return torch.cat(parts)


def _as(samples: Tensor, converted: Tensor) -> Tensor:
    """Return converted samples in the type and the range of the original ones."""
    if samples.dtype == torch.uint8:
        return converted.round().clamp(0, 255).to(torch.uint8)
    return converted.clamp(float(samples.min()), float(samples.max()))


def _check_values(samples: Tensor, info: DataInfo, path: str) -> None:
    """Check that values are on the scale of the data.

    Raises:
        DataError: they are not.
    """
    if info.support == "real":
        if samples.dtype == torch.uint8:
            raise DataError(f"{path} has bytes, but the data set has real values; save floats")
        return
    if samples.dtype == torch.uint8:
        return
    low, high = float(samples.min()), float(samples.max())
    if low < -_rounding or high > 1 + _rounding:
        hint = "; save pixels in [0, 255] as bytes, or divide them by 255" if low >= 0 and high <= 255 else ""
        raise DataError(f"{path} has floats in [{low:.3g}, {high:.3g}], where [0, 1] is expected{hint}")
