"""What the server of worker processes imports once for all of them: torch, its optimizers, and matplotlib."""

import gc

import matplotlib.backends.backend_agg
import matplotlib.figure  # noqa: F401
import torch

import harness.execution.workers  # noqa: F401

torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # the first optimizer imports much
gc.collect()
gc.freeze()  # else each worker looks through all of this, and so copies the memory that it shares with the server
