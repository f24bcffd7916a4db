"""Invalid arguments end with exit code 2 and one clear message, before any work and without a trace on disk."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

good = ("run", "--models", "vae", "--metric", "elbo")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("rnu",), "Did you mean 'run'?"),
        (("run", "--models", "vea", "--metric", "elbo"), "unknown model 'vea'. Did you mean 'vae'?"),
        (("run", "--models", "vae", "--metric", "ebo"), "unknown metric 'ebo'. Did you mean 'elbo'?"),
        (("run", "--models", "vae"), "Missing option '--metric'"),
        (("run", "--models", "vae"), "Write names, as in --metric elbo for likelihoods"),
        (("run", "--metric", "elbo"), "Write names, as in --models vae,gan. 'harness list models' lists all."),
        (("score", "a.npy", "--against", "mnist-10k"), "as in --metric frechet-distance,precision,recall"),
        (("run", "--models", "vae,,gan", "--metric", "elbo"), "has an empty item"),
        (("run", "--models", "", "--metric", "elbo"), "has an empty item"),
        ((*good, "--modles", "vae"), "--models"),
        ((*good, "gan"), "joined by commas: --metric elbo,gan"),
        ((*good, "--dataset", "mnits"), "unknown dataset 'mnits'. Did you mean 'mnist'?"),
        ((*good, "--set", "vae.latent=3"), "unknown setting of vae 'latent'. Did you mean 'latent_dim'?"),
        ((*good, "--set", "elbo.epsilon=1"), "unknown setting of elbo 'epsilon'"),
        ((*good, "--dataset", "mnist-10k", "--set", "mnist-10k.size=5"), "unknown setting of mnist-10k 'size'"),
        ((*good, "--set", "vea.latent_dim=3"), "unknown name in vea.latent_dim 'vea'. Did you mean 'vae'?"),
        ((*good, "--set", "gan.latent_dim=3"), "'gan' is not part of this run"),
        ((*good, "--set", "vae.latent_dim=two"), "wrong type; expected a whole number, at least 1"),
        ((*good, "--set", "vae.latent_dim=2,0"), "0 is out of range; expected a whole number, at least 1"),
        ((*good, "--set", "vae.learning_rate=nan"), "not a finite number"),
        ((*good, "--set", "binarized-mnist-10k.binarization=sttic"), "expected dynamic or static or threshold"),
        ((*good, "--set", "vae.latent_dim=2,,3"), "an empty value"),
        ((*good, "--set", "vae.latent_dim="), "an empty value"),
        ((*good, "--set", "vae.latent_dim"), "write NAME.PARAM=VALUE"),
        ((*good, "--set", "vae.=3"), "write NAME.PARAM=VALUE"),
        ((*good, "--set", "=3"), "write NAME.PARAM=VALUE"),
        ((*good, "--set", "vae.latent_dim=2", "--set", "vae.latent_dim=3"), "given twice"),
        ((*good, "--seeds", "0"), "'--seeds': '0' is not a whole number that is at least"),
        ((*good, "--epochs", "-1"), "'--epochs': '-1' is not a whole number that is at least"),
        ((*good, "--epochs", "1.5"), "'1.5' is not a whole number that is at least 1"),
        ((*good, "--batch-size", "0"), "'--batch-size': '0' is not a whole number that is at least"),
        ((*good, "--device", "tpu"), "'tpu' is not one of 'auto', 'cpu', 'cuda'"),
        (("leaderboard", "--format", "makrdown"), "Did you mean 'markdown'?"),
        (("leaderboard", "--metric", "elbo,"), "has an empty item"),
        (("show", "vea"), "Did you mean 'vae'?"),
        (("show", "VAE"), "Did you mean 'vae'?"),
        (("run", "--models", "VAE", "--metric", "elbo"), "unknown model 'VAE'. Did you mean 'vae'?"),
        (("run", "--models", "pca", "linear-ae", "--metric", "elbo"), "joined by commas: --models pca,linear-ae"),
        (("run", "--models", "pca,", "linear-ae", "gan"), "joined by commas: --models pca,linear-ae,gan"),
        (("run", "missing.toml"), "there is no study file 'missing.toml'"),
        ((*good, "--runs", ""), "'--runs': the path is empty"),
        ((*good, "--leaderboards", ""), "'--leaderboards': the path is empty"),
        ((*good, "--target", "elbo=-100"), "none of the metrics elbo has a setting 'target'"),
        (("list", "modles"), "'models'"),
        ((*good, "--set", f"vae.latent_dim={'9' * 400}"), "out of range; expected a whole number, at least 1"),
        ((*good, "--budget", "9" * 400), "is not a length of time"),
        ((*good, "--timeout", f"{'9' * 308}h"), "is not a length of time"),
        ((*good, "--memory", f"{'9' * 308}G"), "is not an amount of memory"),
        ((*good, "--seeds", "9" * 25), "is not a whole number that is at least 1 and at most 1000000"),
        ((*good, "--threads", "9" * 25), "is not a whole number that is at least 1 and at most 4096"),
        ((*good, "--models", "pca", "--seeds", "1000000"), "the run would have 2,000,000 cells; at most 1,000,000"),
        ((*good, "--data-dir", "9" * 400), "File name too long"),
        ((*good, "--runs", "9" * 400), "File name too long"),
        (("calibrate", "--latent-sizes", "9" * 5000), "write whole numbers above 0, as in 2,10"),
        (("calibrate", "--out", "9" * 400), "File name too long"),
        (("show", "\x1b[2J\rvae"), r"unknown name '\x1b[2J\rvae'"),
        (("list", "\x1b[2J\rmodels"), r"\x1b[2J\rmodels"),
        ((*good, "--data-dir", "\x1b[2J"), r"--data-dir \x1b[2J: there is no such folder"),
    ],
)
def test_invalid_arguments_are_refused(refused: Callable[..., str], words: tuple[str, ...], expected: str) -> None:
    assert expected in refused(*words)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_is_refused_where_there_is_none(refused: Callable[..., str]) -> None:
    assert "no CUDA device" in refused(*good, "--device", "cuda")
