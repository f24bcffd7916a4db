"""The ledger: published numbers and relations, each with our own value and whether it agrees.

    PYTHONPATH=.:plugins python tests/published/ledger.py --data-dir DIR   # compute all, and write docs/published.md

``DIR`` has MNIST in torchvision's layout. What takes long trainings is run once, and kept in ``records``.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness import Context, Data, DataSource, Noise
from harness.calibration.proposals import DistortedPosterior
from harness.data.transforms import Dequantize
from harness_datasets.idx import MNIST
from harness_datasets.mnist_10k import MNIST10k
from harness_linear.pca import PCA
from harness_linear.ppca import PPCA
from harness_metrics.likelihood.ais import AISGap, AnnealingSettings, LogLikelihoodAIS
from harness_metrics.likelihood.elbo import ELBO, BoundSettings, Distortion, Rate
from harness_metrics.likelihood.iw_bound import ImportanceWeightedBound
from harness_metrics.likelihood.parzen import Parzen
from harness_metrics.quality.clipped import ClippedCoverage, ClippedDensity
from harness_metrics.quality.frechet import FrechetDistance, Moments, frechet_distance, square_root
from harness_metrics.quality.kernel import KernelDistance
from harness_metrics.quality.neighbours import Coverage, Density, Precision, Recall
from harness_vae.vae import VAE

here = Path(__file__).parent
records, page = here / "records", here.parents[1] / "docs" / "published.md"
Value = Callable[[Path | None], float]  # of the folder of full MNIST, or None


@dataclass(frozen=True)
class Entry:
    """A published number or relation.

    Args:
        paper: authors and year.
        where: in the paper.
        what: the quantity.
        published: the number, or the relation in words.
        ours: computes our number; for a relation, what it says.
        number: the published number, or the bound of a relation.
        tolerance: how far ours may be from ``number``; None for a relation, which holds if ours is above ``number``.
        needs_mnist: whether full MNIST is needed.
        note: what differs from the paper.
    """

    paper: str
    where: str
    what: str
    published: str
    ours: Value
    number: float
    tolerance: float | None
    needs_mnist: bool = False
    note: str = ""

    def agrees(self, value: float) -> bool:
        """Return whether our value agrees."""
        return value > self.number if self.tolerance is None else abs(value - self.number) <= self.tolerance


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Draw from N(0, I), float64."""
    return Noise(seed).normal(*shape).double()


def compared(metric: Any, samples: Tensor, test: Tensor, **values: Any) -> float:
    """Return the value of a metric of samples on features."""
    return float(metric(metric.Config(**values)).compare(samples, test, test[:0]))


def mean_of(metric: Any, draws: int, points: int, dimensions: int, scale: float = 1.0) -> float:
    """Return the mean value for samples N(0, scale² I) and test data N(0, I) over several draws."""
    sets = [
        (scale * normal(points, dimensions, seed=2 * i), normal(points, dimensions, seed=2 * i + 1))
        for i in range(draws)
    ]
    return sum(compared(metric, *each) for each in sets) / draws


@torch.no_grad()
def measured(metric: Any, model: Any, data: Data) -> Any:
    """Return the estimate of a metric."""
    return metric.measure(model, data, Context(Noise(0), None, None, 0))


@cache
def mnist(folder: Path) -> Data:
    """Return full MNIST."""
    return MNIST(MNIST.Config()).load(DataSource(folder, Path(tempfile.mkdtemp()), print))


@cache
def dequantized(folder: Path | None) -> Data:
    """Return dequantised MNIST: full, or the 10,000 images of the package."""
    grey = MNIST10k(MNIST10k.Config()).load(DataSource(None, Path(), print)) if folder is None else mnist(folder)
    return Dequantize(Dequantize.Config()).apply(grey)


@cache
def ppca(folder: Path | None, latent: int) -> PPCA:
    """Return probabilistic PCA of dequantised MNIST."""
    data = dequantized(folder)
    model = PPCA(data.info, PPCA.Config(latent_dim=latent))
    model.fit(data.train, Noise(0))
    return model


def squared_error_of_pca(folder: Path | None, latent: int) -> float:
    """Return the squared error of PCA per test image of full MNIST."""
    assert folder is not None
    data = mnist(folder)
    model = PCA(data.info, PCA.Config(latent_dim=latent))
    model.fit(data.train, Noise(0))
    x = data.test.all(Noise(0))
    return float((model.reconstruct(x) - x).double().square().flatten(1).sum(1).mean())


class Resamples(nn.Module):
    """A sampler of given examples, in order."""

    def __init__(self, examples: Tensor) -> None:
        super().__init__()
        self.examples, self.shown = examples, 0

    def sample(self, n: int, noise: Noise) -> Tensor:
        """Return the next ``n`` examples."""
        self.shown += n
        return self.examples[self.shown - n : self.shown]


def parzen_of_training_images(folder: Path | None) -> float:
    """Return the kernel density estimate from 10,000 training images of full MNIST."""
    assert folder is not None
    data = mnist(folder)
    images = data.train.subset(10_000).all(Noise(0))
    return float(measured(Parzen(Parzen.Config(examples=2000, validation=200)), Resamples(images), data).value)


def parzen_of_centroids_less_images(folder: Path | None) -> float:
    """Return by how much 1,000 k-means centroids exceed 1,000 training images."""
    assert folder is not None
    from sklearn.cluster import MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    data = mnist(folder)
    train = data.train.subset(10_000).all(Noise(0))
    with threadpool_limits(1):  # several threads wait for one another where other work uses the cores
        found = MiniBatchKMeans(1000, random_state=0, n_init=1, max_iter=10).fit(train.flatten(1).numpy())
    metric = Parzen(Parzen.Config(samples=1000, examples=1000, validation=200))
    centroids = torch.from_numpy(found.cluster_centers_).float().view(-1, *data.info.shape)
    means, images = (measured(metric, Resamples(each), data).value for each in (centroids, train[:1000]))
    return float(means - images)


def bias_ratio() -> float:
    """Return the bias of the uncorrected Fréchet distance at 500 samples over that at 1,000, in 16 dimensions."""
    metric = FrechetDistance(FrechetDistance.Config())
    biases = [
        sum(metric.parts(normal(n, 16, seed=2 * i), normal(n, 16, seed=2 * i + 1))["uncorrected"] for i in range(20))
        for n in (500, 1000)
    ]
    return biases[0] / biases[1]


def closed_form_of_gaussians() -> float:
    """Return our distance of N(μ, 4 I) and N(0, I) in three dimensions with ‖μ‖² = 9."""
    one = torch.eye(3, dtype=torch.float64)
    mean = torch.tensor([1.0, 2, 2], dtype=torch.float64)
    return frechet_distance(Moments(mean, 4 * one), Moments(0 * mean, one), square_root(one))


def kl_gap() -> float:
    """Return closed form − Monte Carlo of KL(N(μ, σ²) ‖ N(0, 1)), over its standard error."""
    mean, deviation = 0.7, 0.4
    exact = 0.5 * (mean**2 + deviation**2 - 1 - 2 * math.log(deviation))
    q, p = torch.distributions.Normal(mean, deviation), torch.distributions.Normal(0.0, 1.0)
    z = mean + deviation * normal(200_000)
    found = q.log_prob(z) - p.log_prob(z)
    return float(exact - found.mean()) / float(found.std() / len(found) ** 0.5)


def iw_step(low: int, high: int) -> float:
    """Return by how much the importance-weighted bound of PPCA rises from ``low`` to ``high`` samples."""
    data, view = dequantized(None), DistortedPosterior(ppca(None, 10))
    bounds = [
        measured(ImportanceWeightedBound(ImportanceWeightedBound.Config(k=k, examples=200)), view, data).value
        for k in (low, high)
    ]
    return float(bounds[1] - bounds[0])


def ais_error(latent: int, temperatures: int) -> float:
    """Return the estimate of annealing from the prior less the exact log-likelihood of PPCA, in nats."""
    data, model = dequantized(None), ppca(None, latent)
    config = AnnealingSettings(examples=20, temperatures=temperatures, start="prior")
    found = measured(LogLikelihoodAIS(config), model, data)
    exact = model.log_prob(data.test.subset(20).all(Noise(0))).double().mean()
    return float(found.value - exact)


def bdmc_gap() -> float:
    """Return the gap of the two bounds of annealing on images simulated from PPCA, in nats."""
    config = AnnealingSettings(examples=20, temperatures=500, start="prior")
    return float(measured(AISGap(config), ppca(None, 5), dequantized(None)).value)


def bound_gap_of_the_exact_posterior() -> float:
    """Return log p(x) − ELBO of PPCA, whose encoder is the exact posterior, in nats."""
    data, model = dequantized(None), ppca(None, 10)
    bound = measured(ELBO(BoundSettings(samples=5)), model, data).value
    return float(model.log_prob(data.test.all(Noise(0))).double().mean() - bound)


def rate_and_distortion() -> float:
    """Return rate + distortion + ELBO of an untrained VAE, in nats."""
    torch.manual_seed(0)
    data = MNIST10k(MNIST10k.Config()).load(DataSource(None, Path(), print))
    model = VAE(data.info, VAE.Config()).eval()
    return float(sum(measured(kind(BoundSettings()), model, data).value for kind in (Rate, Distortion, ELBO)))


def share_of_the_truth_table() -> float:
    """Return the share of the cells of Räisä et al. that are reproduced."""
    from truth_table import cells

    found = list(cells())
    return sum(theirs == ours for _, _, theirs, ours, _ in found) / len(found)


def kept(name: str) -> Mapping[str, float]:
    """Return a kept record: values by name."""
    return dict(json.loads((records / f"{name}.json").read_text(encoding="utf-8"))["values"])


def record(name: str, value: str) -> Value:
    """Return a value of a kept record."""
    return lambda folder: kept(name)[value]


def negative(name: str, value: str) -> Value:
    """Return a value of a kept record, with the other sign."""
    return lambda folder: -kept(name)[value]


def difference(name: str, better: str, worse: str) -> Value:
    """Return the difference of two values of a kept record."""
    return lambda folder: kept(name)[better] - kept(name)[worse]


def quick(compute: Callable[[], float]) -> Value:
    """Return a value that needs no data."""
    return lambda folder: compute()


wu = "full MNIST, 60 epochs, 10,000 temperatures, 40 test images"
kde = "full MNIST, 60 epochs; ours around draws from p(x∣z), noise included"
short_burda = "MNIST-10k, 20 epochs, three seeds; theirs: full MNIST, 3,280 epochs"
burda = "full MNIST, 100 epochs, three seeds; theirs: 3,280 epochs"

entries = [
    Entry("Naeem et al. 2020", "closed form", "coverage of equal distributions, k = 5", "1 − 2⁻⁵ = 0.969",
          quick(lambda: mean_of(Coverage, 10, 1000, 8)), 1 - 2**-5, 0.006),
    Entry("Naeem et al. 2020", "closed form", "density of equal distributions", "1",
          quick(lambda: mean_of(Density, 10, 1000, 8)), 1, 0.04),
    Entry("Kynkäänniemi et al. 2019", "definition", "precision of a set with itself", "1",
          quick(lambda: compared(Precision, normal(300, 4), normal(300, 4))), 1, 0),
    Entry("Kynkäänniemi et al. 2019", "definition", "recall of a set with itself", "1",
          quick(lambda: compared(Recall, normal(300, 4), normal(300, 4))), 1, 0),
    Entry("Dowson and Landau 1982", "closed form", "distance of N(μ, 4 I) and N(0, I), ‖μ‖² = 9, d = 3", "9 + 3 = 12",
          quick(closed_form_of_gaussians), 12, 1e-9),
    Entry("Chong and Forsyth 2020", "order of the bias", "bias of the Fréchet distance at N over that at 2 N", "2",
          quick(bias_ratio), 2, 0.1),
    Entry("Bińkowski et al. 2018", "unbiased estimate", "mean kernel distance of equal distributions", "0",
          quick(lambda: mean_of(KernelDistance, 40, 200, 4)), 0, 0.03),
    Entry("Salvy et al. 2025", "calibration", "clipped density with half of the samples bad", "0.5",
          quick(lambda: compared(ClippedDensity, *_half_bad())), 0.5, 0.03),
    Entry("Salvy et al. 2025", "calibration", "clipped coverage with half of the samples bad", "0.5",
          quick(lambda: compared(ClippedCoverage, *_half_bad())), 0.5, 0.03),
    Entry("Räisä et al. 2025", "tables of checks", "share of 360 pass or fail cells reproduced", "at least 0.95",
          quick(share_of_the_truth_table), 0.95, None, note="[sample-quality.md](sample-quality.md)"),
    Entry("Kingma and Welling 2014", "appendix B", "closed form of the KL divergence less Monte Carlo, in errors", "0",
          quick(kl_gap), 0, 3),
    Entry("Alemi et al. 2018", "definition", "rate + distortion + ELBO (nats)", "0", quick(rate_and_distortion), 0,
    1e-3), Entry("Burda et al. 2016", "theorem 1", "bound of 5 samples less bound of 1 (nats)", "above 0",
          quick(lambda: iw_step(1, 5)), 0, None),
    Entry("Burda et al. 2016", "theorem 1", "bound of 50 samples less bound of 5 (nats)", "above 0",
          quick(lambda: iw_step(5, 50)), 0, None),
    Entry("Lucas et al. 2019", "optimum", "log p(x) − ELBO of a linear VAE at the optimum (nats)", "0",
          quick(bound_gap_of_the_exact_posterior), 0, 0.05),
    Entry("Huang et al. 2020", "linear VAE", "annealing less exact log p(x) of a linear VAE, 5 latents (nats)", "0",
          quick(lambda: ais_error(5, 1000)), 0, 0.1),
    Entry("Grosse et al. 2015", "bounds", "gap of the bounds of bidirectional Monte Carlo (nats)", "at least 0",
          quick(bdmc_gap), 0, None),
    Entry("Goodfellow et al. 2014", "theorem 1", "loss of the discriminator at equilibrium", "log 4 = 1.386",
          quick(lambda: 2 * float(nn.functional.softplus(torch.zeros(())))), math.log(4), 1e-6),
    Entry("Hinton and Salakhutdinov 2006", "figure 2", "squared error of PCA, 30 components, MNIST", "13.87",
          lambda folder: squared_error_of_pca(folder, 30), 13.87, 0.15, needs_mnist=True,
          note="ours is fitted to 55,000 images"),
    Entry("Tipping and Bishop 1999", "equation 8", "PPCA's noise variance less the mean of the other eigenvalues", "0",
          lambda folder: _noise_variance_gap(folder), 0, 1e-6, needs_mnist=True, note="10 latents"),
    Entry("Theis et al. 2016", "table 1", "Parzen estimate of 10,000 training images (nats)", "243 ± 2.7",
          parzen_of_training_images, 243, 6, needs_mnist=True),
    Entry("Theis et al. 2016", "table 1", "k-means less training images (nats)", "313 − 243, above 0",
          parzen_of_centroids_less_images, 0, None, needs_mnist=True, note="1,000 centroids and images; theirs 10,000"),
    Entry("Theis et al. 2016", "table 1", "Parzen estimate of 10,000 k-means centroids (nats)", "313 ± 2",
          record("parzen", "k-means"), 313, 6, note="two iterations of k-means, 1,000 test images"),
    Entry("Wu et al. 2017", "table 2", "AIS: VAE-50 less GAN-50 (nats)", "991 − 627, above 0",
          difference("wu-gpu", "log-likelihood-ais gaussian-vae 50", "log-likelihood-ais gan 50"), 0, None, note=wu),
    Entry("Wu et al. 2017", "table 2", "AIS: VAE-10 less GAN-10 (nats)", "705 − 329, above 0",
          difference("wu-gpu", "log-likelihood-ais gaussian-vae 10", "log-likelihood-ais gan 10"), 0, None, note=wu),
    Entry("Wu et al. 2017", "table 2", "AIS: VAE-50 less VAE-10 (nats)", "991 − 705, above 0",
          difference("wu-gpu", "log-likelihood-ais gaussian-vae 50", "log-likelihood-ais gaussian-vae 10"), 0, None,
          note=wu),
    Entry("Wu et al. 2017", "table 2", "AIS of VAE-50 (nats)", "991.4",
          record("wu-gpu", "log-likelihood-ais gaussian-vae 50"), 991.4, 15, note=f"{wu}, ± 24"),
    Entry("Wu et al. 2017", "table 2", "AIS of VAE-10 (nats)", "705.4",
          record("wu-gpu", "log-likelihood-ais gaussian-vae 10"), 705.4, 15, note=f"{wu}, ± 26"),
    Entry("Wu et al. 2017", "table 2", "AIS of GAN-50 (nats)", "627.3",
          record("wu-gpu", "log-likelihood-ais gan 50"), 627.3, 15, note=f"{wu}, ± 27; our generator has batch norm"),
    Entry("Wu et al. 2017", "table 2", "AIS of GAN-10 (nats)", "328.8",
          record("wu-gpu", "log-likelihood-ais gan 10"), 328.8, 15, note=f"{wu}, ± 33; our generator has batch norm"),
    Entry("Wu et al. 2017", "table 2", "KDE: VAE-10 less VAE-50 (nats)", "409 − 351, above 0",
          difference("wu-gpu", "parzen gaussian-vae 10", "parzen gaussian-vae 50"), 0, None, note=kde),
    Entry("Wu et al. 2017", "table 2", "KDE: VAE-50 less GAN-50 (nats)", "351 − 300, above 0",
          difference("wu-gpu", "parzen gaussian-vae 50", "parzen gan 50"), 0, None, note=kde),
    Entry("Wu et al. 2017", "table 2", "KDE: VAE-10 less GAN-10 (nats)", "409 − 260, above 0",
          difference("wu-gpu", "parzen gaussian-vae 10", "parzen gan 10"), 0, None, note=kde),
    Entry("Goodfellow et al. 2014", "table 1", "Parzen estimate of a GAN (nats)", "225 ± 2",
          record("wu-gpu", "parzen gan 50"), 225, 6, note="our network with 50 latents, 60 epochs"),
    Entry("Burda et al. 2016", "table 1", "bound: IWAE k = 5 less k = 1 (nats)", "86.76 − 85.54, above 0",
          difference("iwae", "iw-bound k=5", "iw-bound k=1"), 0, None, note=short_burda),
    Entry("Burda et al. 2016", "table 1", "bound: IWAE k = 50 less k = 5 (nats)", "85.54 − 84.78, above 0",
          difference("iwae", "iw-bound k=50", "iw-bound k=5"), 0, None, note=short_burda),
    Entry("Burda et al. 2016", "table 1", "bound: IWAE k = 5 less k = 1, full MNIST (nats)", "86.76 − 85.54, above 0",
          difference("iwae-gpu", "iw-bound k=5", "iw-bound k=1"), 0, None, note=burda),
    Entry("Burda et al. 2016", "table 1", "bound: IWAE k = 50 less k = 5, full MNIST (nats)", "85.54 − 84.78, above 0",
          difference("iwae-gpu", "iw-bound k=50", "iw-bound k=5"), 0, None, note=burda),
    *(Entry("Burda et al. 2016", "table 1", f"NLL of IWAE k = {k} (nats)", str(value),
            negative("iwae-gpu", f"iw-bound k={k}"), value, 0.5, note=burda)
      for k, value in ((1, 86.76), (5, 85.54), (50, 84.78))),
]  # fmt: skip

not_run = [
    "Burda et al. 2016, table 1, with their schedule of 3,280 epochs: `harness run studies/iwae-table.toml`, on a GPU",
    "Wu et al. 2017, table 2, the moment matching networks",
]


def _half_bad() -> tuple[Tensor, Tensor]:
    samples, test = normal(1000, 16, seed=1), normal(1000, 16, seed=2)
    samples[:500] += 100
    return samples, test


def _noise_variance_gap(folder: Path | None) -> float:
    x = dequantized(folder).train.all(Noise(0)).double().flatten(1)
    eigenvalues = torch.linalg.eigvalsh(x.T.cov(correction=0))
    return float(ppca(folder, 10).noise_variance.double().mean() - eigenvalues[:-10].mean())


def table(values: Iterable[tuple[Entry, float]]) -> str:
    """Return the ledger as Markdown."""
    lines = ["| paper | where | quantity | published | ours | tolerance | |", "|---|---|---|---|---|---|---|"]
    for entry, value in values:
        allowed = "relation" if entry.tolerance is None else f"± {entry.tolerance:g}"
        outcome = "pass" if entry.agrees(value) else "**miss**"
        what = f"{entry.what} ({entry.note})" if entry.note else entry.what
        ours = f"{0.0 if abs(value) < 5e-13 else value:.4g}".replace("-", "−")
        lines.append(f"| {entry.paper} | {entry.where} | {what} | {entry.published} | {ours} | {allowed} | {outcome} |")
    return "\n".join(lines)


def main() -> None:
    """Compute everything, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    folder = parser.parse_args().data_dir
    torch.set_num_threads(1)
    found = []
    for entry in entries:
        found.append((entry, entry.ours(folder)))
        print(f"{entry.paper}, {entry.what}: {found[-1][1]:.5g}", flush=True)
    papers = len({entry.paper for entry in entries})
    missed = sum(not entry.agrees(value) for entry, value in found)
    lines = [
        "# Published numbers",
        "",
        f"{len(found)} numbers and relations from {papers} papers beside ours; {missed} of them are missed.",
        "`tests/published/ledger.py` computes them and writes this page; `tests/published/test_ledger.py` checks it.",
        "What takes long trainings is run once, and kept in `tests/published/records`, with the command.",
        "Rows without a table, a figure or a theorem are formulas and definitions, evaluated on examples of our own.",
        "",
        table(found),
        "",
        "Not run:",
        "",
        *(f"- {each}." for each in not_run),
        "",
    ]
    page.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
