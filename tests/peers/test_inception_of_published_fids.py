"""Features of the Inception of published FIDs, compared with torch-fidelity. ``-s`` shows the largest difference."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from random_inception import save_random_inception

from harness_metrics.quality.pretrained import fid_inception

theirs = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (3, 320, 300)])
def test_features_agree_with_torch_fidelity(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    path = tmp_path / "weights.pth"
    save_random_inception(path)
    x = torch.randint(0, 256, (3, *shape), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    with torch.no_grad():
        ours = fid_inception(path, x.device).of_batch(x / 255)
        network = theirs.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(path))
        (expected,) = network(x.expand(-1, 3, -1, -1))
    print(f"largest difference {float((ours - expected).abs().max()):.2g}, of values up to {float(expected.max()):.3g}")
    assert float(expected.std(0).mean()) > 1e-2
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)
