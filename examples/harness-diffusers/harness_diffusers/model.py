"""The model: diffusers has the network and the noise schedules, harness trains and measures it."""

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel
from torch import Tensor, nn

import harness


class DDIM(nn.Module):
    """A small UNet, trained to predict noise (Ho, Jain and Abbeel, 2020), and sampled by DDIM (Song et al., 2021).

    Pixels in [0, 1] are scaled to [−1, 1]. Images are padded at their right and lower edges to sizes that the UNet can
    halve.
    """

    @dataclass(frozen=True)
    class Config(harness.AdamSettings):
        """Settings."""

        channels: tuple[int, ...] = harness.setting((16, 32), "channels, multiples of 8, by level", minimum=8)
        timesteps: int = harness.setting(1000, "steps from data to noise", minimum=2)
        sampling_steps: int = harness.setting(50, "steps of a sample, at most timesteps", minimum=1)

    check_settings: ClassVar = {"channels": (8, 8), "timesteps": 20, "sampling_steps": 5}
    loss_name = "squared error of the noise"

    def __init__(self, info: harness.DataInfo, config: Config) -> None:
        super().__init__()
        colours, height, width = info.as_image()
        if info.support not in ("binary", "unit"):
            raise harness.NotApplicable(f"it scales values in [0, 1], and this data is {info.support}")
        self.config, self.shape = config, info.shape
        depth = len(config.channels)
        factor = 2 ** (depth - 1)
        self.padding = (0, -width % factor, 0, -height % factor)
        self.unet = UNet2DModel(
            in_channels=colours,
            out_channels=colours,
            layers_per_block=1,
            block_out_channels=config.channels,
            down_block_types=("DownBlock2D",) * depth,
            up_block_types=("UpBlock2D",) * depth,
            norm_num_groups=4,
        )
        schedule = {"num_train_timesteps": config.timesteps, "beta_schedule": "squaredcos_cap_v2"}
        self.training_schedule = DDPMScheduler(**schedule)
        self.sampling_schedule = DDIMScheduler(**schedule)

    def loss(self, x: Tensor, noise: harness.Noise) -> Tensor:
        """Return the mean squared error of the predicted noise at random times."""
        data = F.pad(2 * x - 1, self.padding, value=-1)
        t = (noise.uniform(len(x)) * self.config.timesteps).long()
        error = noise.normal(*data.shape)
        predicted = self.unet(self.training_schedule.add_noise(data, error, t), t).sample
        return (predicted - error).square().mean()

    def sample(self, n: int, noise: harness.Noise) -> Tensor:
        """Return n samples, (n, *shape), by the deterministic steps of DDIM from normal noise."""
        colours, height, width = self.shape
        _, right, _, lower = self.padding
        y = noise.normal(n, colours, height + lower, width + right)
        self.sampling_schedule.set_timesteps(self.config.sampling_steps)
        for t in self.sampling_schedule.timesteps:
            y = self.sampling_schedule.step(self.unet(y, t.to(y.device)).sample, t, y).prev_sample
        return ((y[:, :, :height, :width] + 1) / 2).clamp(0, 1)
