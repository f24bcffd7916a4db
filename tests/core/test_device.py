"""How torch is set up."""

import pytest
import torch

from harness.machine.device import prepare_torch


def test_convolutions_are_not_rounded_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)  # torch's default
    prepare_torch("cpu")
    assert not torch.backends.cudnn.allow_tf32
    assert torch.get_float32_matmul_precision() == "highest"
