"""Pretrained networks whose weights come from a file: the Inception of published FIDs, and DINOv2."""

from __future__ import annotations

import hashlib
import math
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness import NotApplicable

inception_size, dino_size = 299, 224  # pixels
dino_variants = {384: "vit_small_patch14_dinov2", 768: "vit_base_patch14_dinov2", 1024: "vit_large_patch14_dinov2"}
padded_blocks = tuple(f"Mixed_{name}" for name in ("5b", "5c", "5d", "6b", "6c", "6d", "6e", "7b"))


@dataclass(frozen=True)
class Pretrained:
    """A network from images ``(B, 1 or 3, H, W)`` in [0, 1] to features ``(B, dim)``; ``name`` identifies its weights.

    ``name`` contains the first 12 hexadecimal digits of the SHA-256 of the file.
    """

    name: str
    dim: int
    of_batch: Callable[[Tensor], Tensor]


def fid_inception(path: Path, device: torch.device) -> Pretrained:
    """Return the Inception that published FIDs use: TensorFlow's of 2015, as converted by pytorch-fid.

    It differs from torchvision's Inception v3 in its weights. Its average pools do not count padding, the pool of its
    last block is a maximum, and it has 1008 classes. The features are those of its last average pool.

    Images are resized and scaled as in TensorFlow and torch-fidelity, so that an 8-bit value v becomes (v − 128) / 128.
    pytorch-fid resizes with another alignment and scales to v / 127.5 − 1.

    Raises:
        NotApplicable: the file does not contain these weights.
    """
    from torchvision.models import Inception3

    weights, digest = _read(path)
    network = Inception3(num_classes=1008, aux_logits=False, init_weights=False)
    _load(network, weights, path, "the Inception of published FIDs")
    network.fc = nn.Identity()
    for name in padded_blocks:
        getattr(network, name).register_forward_hook(_with_average_pool)
    network.Mixed_7c.register_forward_hook(_with_maximum_pool)
    network.to(device).eval().requires_grad_(False)

    def of_batch(x: Tensor) -> Tensor:
        resized = tensorflow_resize(255 * x.expand(-1, 3, -1, -1), inception_size)
        return network((resized - 128) / 128)  # type: ignore[no-any-return]

    return Pretrained(f"Inception of published FIDs, weights {digest}", 2048, of_batch)


def dinov2(path: Path, device: torch.device) -> Pretrained:
    """Return DINOv2 (Oquab et al., 2023), ViT-S/14, B/14 or L/14 without registers; the features are its class token.

    The variant follows from the file. As in Stein et al. (2023), images are resized to 224 × 224 pixels by an
    antialiased bicubic filter, and normalised as ImageNet. Position embeddings are interpolated as in DINOv2's code.

    Raises:
        NotApplicable: timm is not installed, or the file does not contain weights of DINOv2.
    """
    try:
        import timm
    except ImportError as error:
        raise NotApplicable(f"features=dinov2 needs timm: pip install timm ({error})") from error
    found, digest = _read(path)
    weights = {name: value for name, value in found.items() if name != "mask_token"}  # only used in training
    _require(["cls_token", "pos_embed"], weights, path, "DINOv2")
    dim = weights["cls_token"].shape[-1]
    if dim not in dino_variants:
        raise NotApplicable(f"{path} has {dim} features; DINOv2 can have {', '.join(map(str, dino_variants))}")
    shape = tuple(weights["pos_embed"].shape)
    if len(shape) != 3 or math.isqrt(shape[1] - 1) ** 2 != shape[1] - 1:
        raise NotApplicable(f"pos_embed in {path} has shape {shape}, not 1 + n² positions of a square grid")
    network = timm.create_model(dino_variants[dim], pretrained=False, num_classes=0, img_size=dino_size)
    weights["pos_embed"] = interpolated_positions(weights["pos_embed"], dino_size // 14)
    _load(network, weights, path, "DINOv2")
    network.to(device).eval().requires_grad_(False)
    mean, std = (
        torch.tensor(each, device=device).view(3, 1, 1) for each in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    )

    def of_batch(x: Tensor) -> Tensor:
        size = dino_size, dino_size
        resized = F.interpolate(x.expand(-1, 3, -1, -1), size=size, mode="bicubic", antialias=True).clamp(0, 1)
        return network((resized - mean) / std)  # type: ignore[no-any-return]

    return Pretrained(f"DINOv2 {dino_variants[dim]}, weights {digest}", dim, of_batch)


def tensorflow_resize(x: Tensor, size: int) -> Tensor:
    """Resize images ``(B, C, H, W)`` to ``(B, C, size, size)`` as ``resize_bilinear`` of TensorFlow 1.

    Pixel i of the result is read at i · H / size, without half-pixel centres and without antialiasing.
    """
    for dim in (3, 2):
        n = x.shape[dim]
        at = torch.arange(size, device=x.device, dtype=x.dtype) * (n / size)
        low = at.long()
        low_value, high_value = (x.index_select(dim, index) for index in (low, (low + 1).clamp(max=n - 1)))
        x = low_value + (high_value - low_value) * (at - low).view([-1 if each == dim else 1 for each in range(4)])
    return x


def _with_average_pool(block: Any, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    """Return the output of a block of torchvision's Inception, with a pool branch that does not count padding."""
    return _with_pool(block, F.avg_pool2d(inputs[0], 3, 1, 1, count_include_pad=False), output)


def _with_maximum_pool(block: Any, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    return _with_pool(block, F.max_pool2d(inputs[0], 3, 1, 1), output)


def _with_pool(block: Any, pooled: Tensor, output: Tensor) -> Tensor:
    branch = block.branch_pool(pooled)  # the last channels of the output
    return torch.cat([output[:, : -branch.shape[1]], branch], 1)


def interpolated_positions(embedding: Tensor, side: int) -> Tensor:
    """Interpolate position embeddings ``(1, 1 + n², dim)`` to ``(1, 1 + side², dim)``, as in DINOv2's code.

    Its scale is (side + 0.1) / n, which shifts positions a little; the networks are used with this shift.
    """
    n = math.isqrt(embedding.shape[1] - 1)
    if n == side:
        return embedding
    grid = embedding[:, 1:].reshape(1, n, n, -1).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, scale_factor=(side + 0.1) / n, mode="bicubic")
    return torch.cat([embedding[:, :1], grid.flatten(2).transpose(1, 2)], 1)


def _read(path: Path) -> tuple[Mapping[str, Tensor], str]:
    """Return the state dict in a file of PyTorch or safetensors, and 12 digits of the SHA-256 of the file.

    Raises:
        NotApplicable: the file cannot be read or is not a state dict.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:12]
        if path.suffix == ".safetensors":
            return load_file(path), digest
        found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise NotApplicable(f"weights cannot be read ({error})") from error
    except (EOFError, RuntimeError, pickle.UnpicklingError, SafetensorError) as error:
        raise NotApplicable(f"{path} is not a file of PyTorch or safetensors with tensors only") from error
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise NotApplicable(f"{path} is not a state dict: it does not map names to tensors")
    return found, digest


def _load(network: nn.Module, weights: Mapping[str, Tensor], path: Path, name: str) -> None:
    """Load weights, all of them and no others; counts of batches, which no feature depends on, may be missing."""
    shapes = {key: value.shape for key, value in network.state_dict().items()}
    _require([key for key in shapes if not key.endswith(".num_batches_tracked")], weights, path, name)
    for key, value in weights.items():
        if key not in shapes:
            raise NotApplicable(f"{path} has weights that {name} does not have: {key}")
        if value.shape != shapes[key]:
            raise NotApplicable(
                f"{key} in {path} has shape {tuple(value.shape)}; in {name} it has {tuple(shapes[key])}"
            )
    network.load_state_dict(weights, strict=False)


def _require(keys: Sequence[str], weights: Mapping[str, Tensor], path: Path, name: str) -> None:
    missing = [key for key in keys if key not in weights]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise NotApplicable(f"{path} lacks weights of {name}: {', '.join(missing[:3])}{more}")
