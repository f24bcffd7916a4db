"""Wrong words end with exit code 2 and one clear message, before any work and without a trace on disk."""

from pathlib import Path

import pytest
import torch

from harness.cli import main

good = ("run", "--models", "vae", "--metric", "elbo")


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HARNESS_DATA_DIR", raising=False)
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(tmp_path / "cache"))


def refused(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> str:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return " ".join(said.split())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("rnu",), "Did you mean 'run'?"),
        (("run", "--models", "vea", "--metric", "elbo"), "unknown model 'vea'. Did you mean 'vae'?"),
        (("run", "--models", "vae", "--metric", "ebo"), "unknown metric 'ebo'. Did you mean 'elbo'?"),
        ((*good, "--dataset", "mnits"), "unknown dataset 'mnits'. Did you mean 'mnist'?"),
        ((*good, "--set", "vae.latent=3"), "unknown setting of vae 'latent'. Did you mean 'latent_dim'?"),
        ((*good, "--set", "vea.latent_dim=3"), "unknown name in --set 'vea'. Did you mean 'vae'?"),
        ((*good, "--set", "gan.latent_dim=3"), "'gan' is not part of this run"),
        ((*good, "--set", "vae.latent_dim=two"), "wrong type; expected a whole number, at least 1"),
        ((*good, "--set", "vae.latent_dim=0"), "0 is out of range; expected a whole number, at least 1"),
        ((*good, "--set", "vae.latent_dim=2,,3"), "an empty value"),
        ((*good, "--set", "vae.latent_dim"), "write NAME.PARAM=VALUE"),
        ((*good, "--set", "vae.latent_dim=2", "--set", "vae.latent_dim=3"), "given twice"),
        ((*good, "--set", "vae.activation=gelu"), "expected relu or tanh or sigmoid"),
        ((*good, "--set", "vae.learning_rate=nan"), "not a finite number"),
        ((*good, "--set", "elbo.samples=-1"), "expected a whole number, at least 1"),
        (("run", "--models", "vae,,gan", "--metric", "elbo"), "has an empty item"),
        (("run", "--models", "", "--metric", "elbo"), "has an empty item"),
        ((*good, "--seeds", "0"), "'--seeds': 0 is not in the range"),
        ((*good, "--epochs", "-1"), "'--epochs': -1 is not in the range"),
        ((*good, "--batch-size", "0"), "'--batch-size': 0 is not in the range"),
        ((*good, "--plugin", "none.py"), "plugin file 'none.py' does not exist"),
        ((*good, "--data-dir", "nowhere"), "there is no such folder"),
        ((*good, "--dataset", "mnist", "--data-dir", "."), "MNIST/raw/train-images-idx3-ubyte does not exist"),
        ((*good, "--dataset", "mnist", "--data-dir", "."), "download=True"),
        (("leaderboard",), "no results in runs yet"),
        (("leaderboard", "--format", "makrdown"), "Did you mean 'markdown'?"),
        (("show", "vea"), "Did you mean 'vae'?"),
        (("list", "modles"), "'models'"),
    ],
)
def test_wrong_words_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: tuple[str, ...], expected: str
) -> None:
    assert expected in refused(capsys, words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_is_refused_where_there_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no CUDA device" in refused(capsys, (*good, "--device", "cuda"))


@pytest.mark.parametrize("option", ["--runs", "--leaderboards"])
def test_a_folder_that_cannot_be_written_to_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, option: str
) -> None:
    (tmp_path / "file").write_text("")
    assert f"{option} file/below: cannot be written to" in refused(capsys, (*good, option, "file/below"))


def test_a_corrupt_data_file_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(bytes([0, 0, 8, 3, 0, 0, 0, 9, 0, 0, 0, 28, 0, 0, 0, 28]))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(b"\x00\x00\x08\x01\x00\x00\x00\x09123")
    said = refused(capsys, (*good, "--dataset", "mnist", "--data-dir", "data"))
    assert "train-images-idx3-ubyte" in said
    assert "is corrupt" in said
    assert not (tmp_path / "runs").exists()


def test_a_data_set_that_cannot_be_downloaded_says_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import MNIST

    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/"])
    said = refused(capsys, (*good, "--dataset", "mnist"))
    assert "could not be downloaded" in said
    assert "--data-dir DIR or HARNESS_DATA_DIR" in said
