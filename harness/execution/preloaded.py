"""What the server of worker processes imports once for all of them: torch, also what its first optimizer imports."""

import torch

import harness.execution.workers  # noqa: F401

torch.optim.Adam([torch.zeros(1, requires_grad=True)])
