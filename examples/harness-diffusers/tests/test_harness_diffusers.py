"""The checks of harness, and agreement with diffusers on the same weights."""

import pytest
import torch
import torch.nn.functional as F
from diffusers import DDIMPipeline
from harness_diffusers.model import DDIM

import harness
from harness.conformance import BoundCheck, parametrize


@parametrize("diffusers-ddim")
def test_it_passes(check: BoundCheck) -> None:
    check()


@pytest.fixture
def model() -> DDIM:
    """Return an untrained model of images of 8 × 8 pixels."""
    torch.manual_seed(0)
    info = harness.DataInfo((1, 8, 8), "unit", torch.zeros(1, 8, 8))
    return DDIM(info, DDIM.Config(channels=(8, 16), timesteps=100, sampling_steps=10)).eval()


def test_samples_are_those_of_the_pipeline_of_diffusers(model: DDIM, monkeypatch: pytest.MonkeyPatch) -> None:
    noise, again = (harness.Noise(5, torch.device("cpu")) for _ in range(2))
    monkeypatch.setattr(
        "diffusers.pipelines.ddim.pipeline_ddim.randn_tensor", lambda shape, **options: noise.normal(*shape)
    )
    model.unet.register_to_config(sample_size=8)
    pipeline = DDIMPipeline(model.unet, model.sampling_schedule)
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(batch_size=3, num_inference_steps=10, output_type="np").images
    with torch.no_grad():
        ours = model.sample(3, again)
    torch.testing.assert_close(ours, torch.from_numpy(theirs).permute(0, 3, 1, 2))


def test_the_loss_is_that_of_the_training_guide_of_diffusers(model: DDIM) -> None:
    x = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    noise = harness.Noise(7, torch.device("cpu"))
    ours = model.loss(x, harness.Noise(7, torch.device("cpu")))
    t = (noise.uniform(6) * 100).long()
    error = noise.normal(6, 1, 8, 8)
    noisy = model.training_schedule.add_noise(2 * x - 1, error, t)
    theirs = F.mse_loss(model.unet(noisy, t, return_dict=False)[0], error)
    torch.testing.assert_close(ours, theirs)
