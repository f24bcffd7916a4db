"""Feature spaces of sample quality whose weights come from a file."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from random_inception import save_random_inception
from safetensors.torch import save_file
from torch import Tensor

from harness import Context, Data, Estimate, Examples, Noise, NotApplicable
from harness.errors import UsageError
from harness.settings import build
from harness_metrics.quality.features import feature_space
from harness_metrics.quality.frechet import FrechetDistance
from harness_metrics.quality.kernel import KernelDistance
from harness_metrics.quality.pretrained import interpolated_positions, tensorflow_resize


class Shows:
    """A sampler of given examples."""

    def __init__(self, examples: Tensor) -> None:
        self.examples = examples

    def sample(self, n: int, noise: Noise) -> Tensor:
        return self.examples[:n]


def settings_of(features: str, path: Path) -> Any:
    return build("kernel-distance", KernelDistance.Config, {"features": features, "weights": str(path)})


def measured(data: Data, features: str, path: Path) -> Estimate:
    with torch.no_grad():
        metric = KernelDistance(settings_of(features, path))
        return metric.measure(Shows(data.train.all(Noise(0))), data, Context(Noise(0), None, None, 0))


@pytest.fixture(scope="module")
def images() -> Data:
    """Return four images of 6 × 5 grey pixels in each split."""
    generator = torch.Generator().manual_seed(1)
    splits = [(255 * torch.rand(4, 1, 6, 5, generator=generator)).to(torch.uint8) for _ in range(3)]
    return Data.from_tensors(*map(Examples, splits))


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    save_random_inception(path)
    return path


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return tmp_path / "weights.pth"


def test_images_are_resized_as_by_tensorflow_1() -> None:
    # The example of a row of three pixels: read at 0, 0.5, 1, …, and beyond the last pixel at the last pixel.
    assert tensorflow_resize(torch.tensor([[[[0.0, 10, 30]]]]), 6)[0, 0, 0].tolist() == [0, 5, 10, 20, 30, 30]
    x = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    found = tensorflow_resize(x, 4)
    for i, j in [(1, 2), (3, 1), (3, 3)]:
        (top, down), (left, right) = divmod(i * 5 / 4, 1), divmod(j * 7 / 4, 1)
        corner = x[..., int(top) : int(top) + 2, int(left) : int(left) + 2]
        row = corner[..., 0, :] * (1 - down) + corner[..., -1, :] * down
        torch.testing.assert_close(found[..., i, j], row[..., 0] * (1 - right) + row[..., -1] * right)


def test_inception_has_the_pools_and_the_scale_of_published_fids(
    images: Data, inception_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pool(x: Tensor, **more: int) -> Tensor:
        last = x.shape[1] == 2048
        return F.max_pool2d(x, **more) if last else F.avg_pool2d(x, **more, count_include_pad=False)

    x = images.test.all(Noise(0))
    with torch.no_grad():
        found = feature_space(images, "inception-fid", None, str(inception_file))(x)
        network = torchvision.models.Inception3(1008, aux_logits=False, init_weights=False)
        network.load_state_dict(torch.load(inception_file))
        network.fc = torch.nn.Identity()
        patched = SimpleNamespace(**{**vars(F), "avg_pool2d": pool})
        monkeypatch.setattr("torchvision.models.inception.F", patched)
        inputs = tensorflow_resize(255 * x, 299).expand(-1, 3, -1, -1) / 128 - 1
        expected = network.eval()(inputs).double()
    assert found.shape == (4, 2048)
    assert (expected.std(0) > 0.01).double().mean() > 0.5
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_metric_loads_inception_from_a_file_and_names_its_hash(images: Data, inception_file: Path) -> None:
    found = measured(images, "inception-fid", inception_file)
    digest = hashlib.sha256(inception_file.read_bytes()).hexdigest()[:12]
    assert f"Inception of published FIDs, weights {digest}, 4 samples" in found.measure
    assert found.parts["mean image"] > found.value


def test_weights_without_counts_of_batches_and_in_the_old_format_are_loaded(inception_file: Path, saved: Path) -> None:
    weights = torch.load(inception_file)
    fewer = {name: value for name, value in weights.items() if not name.endswith("num_batches_tracked")}
    torch.save(fewer, saved, _use_new_zipfile_serialization=False)
    x = torch.full((1, 3, 8, 8), 0.3)
    data = Data.from_tensors(*[Examples((255 * x).to(torch.uint8))] * 3)
    with torch.no_grad():
        old, new = (feature_space(data, "inception-fid", None, str(each))(x) for each in (saved, inception_file))
    assert torch.equal(old, new)


@pytest.mark.parametrize("features", ["inception-fid", "dinov2"])
def test_a_network_by_file_needs_an_existing_file(features: str, saved: Path) -> None:
    with pytest.raises(UsageError, match=f"features={features} needs weights=PATH"):
        build("frechet-distance", FrechetDistance.Config, {"features": features})
    with pytest.raises(UsageError, match=r"weights=.*weights\.pth: there is no such file"):
        settings_of(features, saved)


def test_weights_for_features_without_a_file_are_refused(inception_file: Path) -> None:
    with pytest.raises(UsageError, match="weights are for features=inception-fid or dinov2, not for features=pixels"):
        settings_of("pixels", inception_file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not weights", "weights.pth is not a file of PyTorch or safetensors with tensors only"),
        ([torch.ones(2)], "weights.pth is not a state dict: it does not map names to tensors"),
        ({"state_dict": {}}, "weights.pth is not a state dict: it does not map names to tensors"),
        (
            {"fc.bias": torch.ones(1008)},
            r"lacks weights of the Inception of published FIDs: Conv2d_1a_3x3.conv.weight, Conv2d_1a_3x3.bn.weight, "
            r"Conv2d_1a_3x3.bn.bias and 468 more",
        ),
    ],
)
def test_files_without_the_weights_of_inception_are_not_applicable(
    images: Data, saved: Path, content: Any, message: str
) -> None:
    saved.write_bytes(content) if isinstance(content, bytes) else torch.save(content, saved)
    with pytest.raises(NotApplicable, match=message):
        measured(images, "inception-fid", saved)


def test_weights_of_another_inception_are_not_applicable(images: Data, inception_file: Path, saved: Path) -> None:
    weights = torch.load(inception_file)
    torch.save({**weights, "AuxLogits.fc.bias": torch.ones(1000)}, saved)
    with pytest.raises(NotApplicable, match=r"published FIDs does not have: AuxLogits\.fc\.bias"):
        measured(images, "inception-fid", saved)
    torch.save({**weights, "fc.bias": torch.ones(1000)}, saved)
    with pytest.raises(NotApplicable, match=r"fc\.bias .* has shape \(1000,\); in the Inception .* it has \(1008,\)"):
        measured(images, "inception-fid", saved)


def test_images_with_two_channels_are_not_applicable(inception_file: Path) -> None:
    data = Data.from_tensors(*[Examples(torch.zeros(4, 2, 6, 5, dtype=torch.uint8))] * 3)
    with pytest.raises(NotApplicable, match=r"images in \[0, 1\] with one or three channels, not unit \(2, 6, 5\)"):
        measured(data, "inception-fid", inception_file)


def test_dinov2_without_timm_is_not_applicable(images: Data, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({}, saved)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(NotApplicable, match="features=dinov2 needs timm: pip install timm"):
        measured(images, "dinov2", saved)


def test_positions_are_interpolated_at_the_scale_of_dinov2() -> None:
    n, side = 37, 16
    line = torch.arange(n).double()
    grid = torch.stack([line.view(n, 1).expand(n, n), line.expand(n, n)], -1).reshape(1, n * n, 2)
    first = torch.tensor([[[-1.0, -2.0]]], dtype=torch.float64)
    found = interpolated_positions(torch.cat([first, grid], 1), side)
    assert torch.equal(found[:, :1], first)
    at = (torch.arange(side).double() + 0.5) * n / (side + 0.1) - 0.5
    inner = found[0, 1:].view(side, side, 2)[1:-1, 1:-1]  # the filter keeps lines to a twentieth of a step
    assert float((inner[..., 0] - at[1:-1].view(-1, 1)).abs().max()) < 0.05
    assert float((inner[..., 1] - at[1:-1]).abs().max()) < 0.05


@pytest.fixture(scope="module")
def dino_weights() -> dict[str, Tensor]:
    """Return random weights as of DINOv2 ViT-S/14, for 518 × 518 pixels."""
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    network = timm.create_model("vit_small_patch14_dinov2", pretrained=False, num_classes=0)
    for name, each in network.named_parameters():
        if name.endswith(("gamma", "cls_token")):
            torch.nn.init.normal_(each)  # at first nearly zero
    return {**network.state_dict(), "mask_token": torch.zeros(1, 384)}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_metric_loads_dinov2_from_a_file(
    images: Data, dino_weights: dict[str, Tensor], saved: Path, suffix: str
) -> None:
    path = saved.with_suffix(suffix)
    save_file(dino_weights, path) if suffix == ".safetensors" else torch.save(dino_weights, path)
    found = measured(images, "dinov2", path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    assert f"DINOv2 vit_small_patch14_dinov2, weights {digest}, 4 samples" in found.measure
    assert found.parts["mean image"] > found.value


def test_dinov2_gets_normalised_images_resized_as_by_pillow(
    images: Data, dino_weights: dict[str, Tensor], saved: Path
) -> None:
    import timm

    torch.save(dino_weights, saved)
    weights = {**dino_weights, "pos_embed": interpolated_positions(dino_weights["pos_embed"], 16)}
    del weights["mask_token"]
    network = timm.create_model("vit_small_patch14_dinov2", pretrained=False, num_classes=0, img_size=224)
    network.load_state_dict(weights)
    x = images.test.all(Noise(0))
    resized = [Image.fromarray(each.numpy()).resize((224, 224), Image.Resampling.BICUBIC) for each in x[:, 0]]
    grey = torch.stack([torch.from_numpy(np.array(each)) for each in resized]).clamp(0, 1)
    constants = ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))  # means and standard deviations of ImageNet
    with torch.no_grad():
        expected = network.eval()(torch.stack([(grey - mean) / std for mean, std in constants], 1)).double()
        found = feature_space(images, "dinov2", None, str(saved))(x)
    assert float(expected.std(0).mean()) > 0.01
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_files_without_the_weights_of_dinov2_are_not_applicable(
    images: Data, inception_file: Path, dino_weights: dict[str, Tensor], saved: Path
) -> None:
    with pytest.raises(NotApplicable, match="lacks weights of DINOv2: cls_token, pos_embed"):
        measured(images, "dinov2", inception_file)
    torch.save({**dino_weights, "register_tokens": torch.zeros(1, 4, 384)}, saved)
    with pytest.raises(NotApplicable, match="DINOv2 does not have: register_tokens"):
        measured(images, "dinov2", saved)
    torch.save({**dino_weights, "cls_token": torch.zeros(1, 1, 1536)}, saved)
    with pytest.raises(NotApplicable, match="has 1536 features; DINOv2 can have 384, 768, 1024"):
        measured(images, "dinov2", saved)
    torch.save({**dino_weights, "pos_embed": torch.zeros(1, 1374, 384)}, saved)
    with pytest.raises(NotApplicable, match=r"pos_embed in .* has shape \(1, 1374, 384\), not 1 \+ n² positions"):
        measured(images, "dinov2", saved)
