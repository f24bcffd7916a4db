"""The one-class network of Alaa et al. (2022), which maps real points close to one centre."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness import derive_seed
from harness.toolkit import digest_of, using_threads

units, steps, learning_rate, weight_decay = 200, 100, 1e-3, 1e-2
outliers = 0.01  # ν of the loss
kept = 32  # networks: those of test images and of their 30 halves are used again for each model
_trained: dict[str, nn.Sequential] = {}


def one_class(real: Tensor) -> nn.Sequential:
    """Return a network from ``(N, d)`` to ``(N, d)``, trained to map real points ``(n, d)`` to the vector of ones.

    Two hidden layers of 200 ReLU units without biases, and 100 steps of AdamW over all points, as in the authors' code;
    their loss is mean ‖f(x) − 1‖² / ν. The network is trained on the CPU from a fixed seed.
    """
    key = digest_of({"real": real})
    if key not in _trained:
        while len(_trained) >= kept:
            _trained.pop(next(iter(_trained)))
        _trained[key] = _train(real.float().cpu())
    return _trained[key].to(real.device)


def _train(x: Tensor) -> nn.Sequential:
    with torch.random.fork_rng(), torch.enable_grad(), using_threads(1):
        torch.manual_seed(derive_seed("quality", "one-class"))
        layers = [nn.Linear(a, b, bias=False) for a, b in ((x.shape[1], units), (units, units), (units, x.shape[1]))]
        network = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
        optimizer = torch.optim.AdamW(network.parameters(), learning_rate, weight_decay=weight_decay)
        for _ in range(steps):
            optimizer.zero_grad()
            ((network(x) - 1).square().sum(1).mean() / outliers).backward()
            optimizer.step()
    return network.requires_grad_(False)
