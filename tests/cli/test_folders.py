"""Folders that cannot be what they are named for are refused before anything is computed, made or downloaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

good = ("run", "--models", "pca", "--metric", "reconstruction-mse")
raw_files = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]


@pytest.mark.parametrize("option", ["--runs", "--leaderboards"])
@pytest.mark.parametrize("where", ["file/below", "file/far/below", "nowhere", "nowhere/below"])
def test_results_are_not_kept_below_a_file_or_behind_a_link_to_nothing(
    refused: Callable[..., str], tmp_path: Path, option: str, where: str
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "nowhere").symlink_to("there is no such thing")
    assert f"{option} {where}: this folder cannot be written to" in refused(*good, option, where)


@pytest.mark.parametrize("option", ["--runs", "--leaderboards"])
def test_results_are_not_kept_in_a_file(refused: Callable[..., str], tmp_path: Path, option: str) -> None:
    (tmp_path / "file").write_text("")
    assert f"'{option}': Directory 'file' is a file" in refused(*good, option, "file")


def test_a_data_folder_must_be_a_folder_however_it_was_named(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    assert "--data-dir file: there is no such folder" in refused(*good, "--data-dir", "file")
    monkeypatch.setenv("HARNESS_DATA_DIR", "elsewhere")
    assert "HARNESS_DATA_DIR=elsewhere: there is no such folder" in refused(*good)


@pytest.mark.parametrize("missing", raw_files)
@pytest.mark.parametrize(("dataset", "folder"), [("mnist", "MNIST"), ("dequantized-fashion-mnist", "FashionMNIST")])
def test_the_one_data_file_that_is_missing_is_named_with_the_command_that_fetches_it(
    refused: Callable[..., str], tmp_path: Path, dataset: str, folder: str, missing: str
) -> None:
    raw = tmp_path / "data" / folder / "raw"
    raw.mkdir(parents=True)
    for name in raw_files:
        if name != missing:
            (raw / name).touch()
    message = refused(*good, "--dataset", dataset, "--data-dir", "data")
    assert f"data/{folder}/raw/{missing} does not exist" in message
    assert f"from torchvision.datasets import {folder} as d; d('data', download=True)" in message


@pytest.mark.parametrize("folder", ["MNIST", "MNIST/raw"])
def test_the_folder_of_the_data_set_itself_is_recognised(
    refused: Callable[..., str], tmp_path: Path, folder: str
) -> None:
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in raw_files:
        (raw / name).touch()
    message = refused(*good, "--dataset", "mnist", "--data-dir", f"data/{folder}")
    assert "is the folder of MNIST itself" in message
    assert message.endswith(f"name its parent: {tmp_path / 'data'}")


@pytest.mark.parametrize("content", [b"\x1f\x8b\x08 still compressed", b"<html>404</html>"])
def test_a_data_file_that_holds_something_else_is_called_corrupt(
    refused: Callable[..., str], tmp_path: Path, content: bytes
) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in raw_files:
        (raw / name).write_bytes(content)
    message = refused(*good, "--dataset", "binarized-mnist", "--data-dir", ".")
    assert "MNIST/raw/train-images-idx3-ubyte or train-labels-idx1-ubyte beside it is corrupt" in message


def test_where_no_mirror_answers_a_folder_of_ones_own_is_suggested(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import MNIST

    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/"])
    message = refused(*good, "--dataset", "mnist")
    assert "could not be downloaded" in message
    assert "as the data folder (HARNESS_DATA_DIR)" in message
