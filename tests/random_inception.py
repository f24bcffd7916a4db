"""A file like that of the published Inception, with random weights."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torchvision.models import Inception3


def save_random_inception(path: Path) -> None:
    """Save weights under which features of different images differ, and every statistic of a batch norm counts."""
    generator = torch.Generator().manual_seed(0)
    network = Inception3(num_classes=1008, aux_logits=False, init_weights=False)
    for each in network.modules():
        if isinstance(each, nn.Conv2d):
            nn.init.kaiming_normal_(each.weight, nonlinearity="relu", generator=generator)
        elif isinstance(each, nn.BatchNorm2d):
            each.running_mean.normal_(0, 0.1, generator=generator)
            each.running_var.uniform_(0.5, 1.5, generator=generator)
    torch.save(network.state_dict(), path)
