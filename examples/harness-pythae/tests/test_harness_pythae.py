"""The checks of harness, and agreement with pythae on the same weights."""

import pytest
import torch
from harness_pythae.models import PythaeBetaTC, PythaeIWAE, PythaeVAE, PythaeVAMP

import harness
from harness.conformance import BoundCheck, parametrize

classes = (PythaeVAE, PythaeIWAE, PythaeVAMP, PythaeBetaTC)


@parametrize("pythae-vae", "pythae-iwae", "pythae-vamp", "pythae-beta-tc")
def test_it_passes(check: BoundCheck) -> None:
    check()


@pytest.fixture(params=["binary", "unit"])
def data(request: pytest.FixtureRequest) -> harness.Data:
    """Return ten images of 4 × 4 pixels in each split, binary or grey."""
    generator = torch.Generator().manual_seed(1)
    images = [torch.rand(10, 1, 4, 4, generator=generator) for _ in range(3)]
    if request.param == "binary":
        images = [(each > 0.5).float() for each in images]
    return harness.Data.from_tensors(*map(harness.Examples, images), support=request.param)


def built(factory, data: harness.Data):
    torch.manual_seed(0)
    return factory(data.info, factory.Config(latent_dim=2)).eval()


@pytest.mark.parametrize("factory", classes)
def test_the_loss_is_that_of_pythae(factory, data: harness.Data) -> None:
    model, x = built(factory, data), data.test.all(harness.Noise(0, torch.device("cpu")))
    ours = model.loss(x, harness.Noise(7, x.device))
    noise = harness.Noise(7, x.device)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "randn_like", lambda deviation: noise.normal(*deviation.shape))
        theirs = model.pythae({"data": x}).loss
    assert ours.item() == theirs.item()


@pytest.mark.parametrize("factory", [PythaeVAE, PythaeVAMP])
def test_the_bound_is_the_loss_of_pythae_without_its_constant(factory, data: harness.Data) -> None:
    model, x = built(factory, data), data.test.all(harness.Noise(0, torch.device("cpu")))
    constant = 0 if model.is_binary else 0.5 * x[0].numel() * torch.log(torch.tensor(2 * torch.pi))
    terms = harness.toolkit.elbo_terms(model, x, harness.Noise(7, x.device))
    expected = model.loss(x, harness.Noise(7, x.device)) + constant
    torch.testing.assert_close((terms.kl - terms.reconstruction).mean(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("factory", classes)
def test_the_likelihood_is_that_of_pythae(factory, data: harness.Data) -> None:
    model = built(factory, data)
    x = data.test.all(harness.Noise(0, torch.device("cpu")))
    torch.manual_seed(5)
    with torch.no_grad():
        # In spite of its name, it returns the mean log-likelihood.
        theirs = model.pythae.get_nll(x, n_samples=4000, batch_size=2000)
    settings = {"log-likelihood-iw.k": 4000}
    (record,) = harness.evaluate(model, data, ["log-likelihood-iw"], settings=settings, quiet=True).records
    assert record.value == pytest.approx(theirs, abs=0.02)
