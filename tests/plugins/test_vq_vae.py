"""Vector quantisation agrees with known exact results."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from harness import Context, Data, DataInfo, Estimate, Noise, NotApplicable
from harness.contracts.objectives import objectives_of
from harness.data.transforms import Binarize, Dequantize
from harness_metrics.codes.codebook import CodebookPerplexity
from harness_metrics.likelihood.elbo import ELBO
from harness_vae.vq_vae import VQVAE, CodePrior, straight_through

tiny = VQVAE.Config(codebook_size=5, channels=4, halvings=2, prior_width=8)


def context() -> Context:
    return Context(Noise(0), None, 128, 0)


def binary(*shape: int) -> DataInfo:
    return DataInfo(shape=shape, support="binary", mean=torch.zeros(shape))


@pytest.fixture
def model(small_data: Data) -> VQVAE:
    torch.manual_seed(0)
    return VQVAE(Binarize(Binarize.Config()).apply(small_data).info, tiny)


def test_each_vector_gets_its_nearest_codebook_entry(model: VQVAE) -> None:
    z = torch.randn(50, 2, 3, 4, generator=torch.Generator().manual_seed(0))
    entries = model.codebook.detach()
    distances = torch.stack([(z - entry).square().sum(-1) for entry in entries])  # (K, 50, 2, 3)
    assert torch.equal(model.nearest(z), distances.argmin(0))


def test_gradients_pass_through_the_quantisation_unchanged() -> None:
    z, entries = torch.randn(2, 7, 4, generator=torch.Generator().manual_seed(0))
    z.requires_grad_()
    weights = torch.arange(28.0).view(7, 4)
    passed = straight_through(z, entries)
    torch.testing.assert_close(passed, entries)
    (weights * passed).sum().backward()
    assert torch.equal(z.grad, weights)


def test_the_codebook_learns_only_from_its_penalty_and_the_prior_only_from_the_codes(
    model: VQVAE, small_data: Data
) -> None:
    x = Binarize(Binarize.Config()).apply(small_data).test.all(Noise(0))
    z = model._encoded(x).detach()
    codes = model.nearest(z)
    (z - model.codebook[codes]).square().flatten(1).sum(1).mean().backward()
    expected = model.unnormalized.grad.clone()
    model.zero_grad()
    autoencoder, prior = objectives_of(model, tiny)
    autoencoder.loss(x, Noise(0)).backward()
    torch.testing.assert_close(model.unnormalized.grad, expected)
    assert all(each.grad is None for each in prior.parameters)
    model.zero_grad()
    prior.loss(x, Noise(0)).backward()
    assert all(each.grad is None for each in autoencoder.parameters)
    assert {id(each) for each in model.parameters()} == {
        id(each) for objective in (autoencoder, prior) for each in objective.parameters
    }


def shaken(module: nn.Module) -> None:
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5, generator=torch.Generator().manual_seed(parameter.numel()))


def test_a_code_depends_only_on_those_before_it() -> None:
    prior = CodePrior(6, 8, 3)
    shaken(prior)
    codes = torch.randint(6, (1, 4, 5), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = prior(codes).flatten(2)
        for place in range(20):
            changed = codes.clone()
            changed.view(-1)[place] = (changed.view(-1)[place] + 1) % 6
            moved = (prior(changed).flatten(2) != before).any(1).squeeze(0)  # (20,)
            assert not bool(moved[: place + 1].any())
            assert place % 5 == 4 or bool(moved[place + 1])  # the next in its row


def every_code(size: int, grid: tuple[int, int]) -> Tensor:
    cells = grid[0] * grid[1]
    return torch.tensor(list(itertools.product(range(size), repeat=cells))).view(-1, *grid)


def test_the_probabilities_of_all_codes_sum_to_one_and_match_the_samples() -> None:
    prior = CodePrior(3, 8, 2)
    shaken(prior)
    codes = every_code(3, (1, 3))
    with torch.no_grad():
        probabilities = prior.log_prob(codes).exp()
        drawn = prior.sample(20_000, (1, 3), Noise(0))
    torch.testing.assert_close(probabilities.sum(), torch.tensor(1.0))
    index = (drawn.flatten(1) * torch.tensor([9, 3, 1])).sum(1)
    frequencies = index.bincount(minlength=27) / 20_000
    assert bool(((frequencies - probabilities).abs() < 5 * (probabilities / 20_000).sqrt() + 1e-4).all())


def test_the_bound_is_below_the_log_likelihood_summed_over_all_codes() -> None:
    torch.manual_seed(0)
    model = VQVAE(binary(1, 4, 8), VQVAE.Config(codebook_size=2, channels=4, halvings=2, prior_width=8))
    shaken(model.code_prior)
    assert model.grid == (1, 2)
    x = (torch.rand(40, 1, 4, 8, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    with torch.no_grad():
        bound = sum(model.elbo_terms(x, Noise(0)).values())
        joint = [
            model.code_prior.log_prob(codes) + model.likelihood(model.codebook[codes]).log_prob(x)
            for codes in every_code(2, (1, 2))[:, None]
        ]
        exact = torch.stack(joint).logsumexp(0)
        assert bool((bound < exact).all())
        own = (model.codes(x).flatten(1) * torch.tensor([2, 1])).sum(1)
        torch.testing.assert_close(bound, torch.stack(joint)[own, torch.arange(40)])


def test_a_decoder_of_zeros_gives_each_pixel_probability_one_half() -> None:
    torch.manual_seed(0)
    model = VQVAE(binary(1, 4, 8), VQVAE.Config(codebook_size=2, channels=4, halvings=2, prior_width=8))
    for parameter in model.decoder.parameters():
        nn.init.zeros_(parameter)
    x = (torch.rand(5, 1, 4, 8, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    with torch.no_grad():
        terms = model.elbo_terms(x, Noise(0))
    torch.testing.assert_close(terms["reconstruction"], torch.full((5,), 32 * torch.tensor(0.5).log().item()))


def test_the_bound_names_its_reference_measure(small_data: Data) -> None:
    measures = {
        "probability mass on binary pixels": Binarize(Binarize.Config()).apply(small_data),
        "density on (pixel + u) / 256": Dequantize(Dequantize.Config()).apply(small_data),
    }
    for measure, data in measures.items():
        with torch.no_grad():
            estimate = ELBO(ELBO.Config()).measure(VQVAE(data.info, tiny), data, context())
        assert estimate.measure == measure
        assert estimate.value == pytest.approx(sum(estimate.parts.values()))


def test_vectors_are_refused() -> None:
    with pytest.raises(NotApplicable, match="image"):
        VQVAE(DataInfo(shape=(7,), support="real", mean=torch.zeros(7)), tiny)


class Quantizer:
    """Codes known beforehand."""

    def __init__(self, codes: Tensor) -> None:
        self.given = codes

    def codes(self, x: Tensor) -> Tensor:
        return self.given


@pytest.mark.parametrize(("codes", "perplexity"), [([3, 3, 3, 3], 1), ([0, 1, 2, 7], 4), ([0, 0, 1, 1], 2)])
def test_perplexity_is_the_number_of_equally_used_entries(small_data: Data, codes, perplexity: float) -> None:
    estimate = CodebookPerplexity(None).measure(Quantizer(torch.tensor(codes)), small_data, context())
    assert estimate.value == pytest.approx(perplexity)


def test_the_error_of_a_perplexity_matches_its_spread_over_examples(small_data: Data) -> None:
    generator = torch.Generator().manual_seed(0)
    shares = torch.tensor([0.5, 0.25, 0.15, 0.1])

    def measured() -> Estimate:
        of_example = torch.multinomial(shares, 400, replacement=True, generator=generator)
        codes = of_example.unsqueeze(1).repeat(1, 3)  # codes of one example are not independent
        return CodebookPerplexity(None).measure(Quantizer(codes), small_data, context())

    found = [measured() for _ in range(200)]
    spread = float(torch.tensor([each.value for each in found]).std())
    assert found[0].stderr == pytest.approx(spread, rel=0.2)
