"""What the server of worker processes imports besides if they train: the first optimizer imports much of torch."""

import torch

torch.optim.Adam([torch.zeros(1, requires_grad=True)])
