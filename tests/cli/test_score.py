"""Samples that the harness did not make are measured, ranked and stored as those of its models are."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file

from harness import DataSource, Noise
from harness.cli.score import _as_bytes_or_floats
from harness_datasets.mnist_10k import MNIST10k
from harness_datasets.samples import ReadySamples

if TYPE_CHECKING:
    from tests.conftest import Call, Result

Bytes = NDArray[np.uint8]
mnist = MNIST10k(MNIST10k.Config()).load(DataSource(None, Path(), print))
digits: Bytes = mnist.validation.stored[:200].numpy()  # real MNIST, which is neither trained on nor tested on
noise = np.random.default_rng(0).integers(0, 256, digits.shape).astype(np.uint8)
quick = ("--no-figures", "--set", "kernel-distance.features=pixels", "--set", "kernel-distance.samples=100")


@pytest.fixture
def score(call: Call) -> Callable[..., Result]:
    """Score samples with a quick metric, against ``mnist-10k`` unless something else is said."""

    def score(samples: str, *words: str, against: tuple[str, ...] = ("--against", "mnist-10k")) -> Result:
        return call("score", samples, *against, "--metric", "kernel-distance", *quick, *words)

    return score


def write_images(folder: Path, images: Bytes, suffix: str = "png") -> None:
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
        Image.fromarray(pixels).save(folder / f"{number:04}.{suffix}")


def rows(found: Result) -> list[dict[str, Any]]:
    assert found.code == 0, found.err
    return json.loads(found.out)  # type: ignore[no-any-return]


def test_digits_in_images_score_the_same_as_in_arrays(score: Callable[..., Result], tmp_path: Path) -> None:
    write_images(tmp_path / "pngs", digits)
    write_images(tmp_path / "webps", digits)  # lossless below
    for path in (tmp_path / "webps").iterdir():
        Image.open(path).convert("RGB").save(path.with_suffix(".webp"), lossless=True)
        path.unlink()
    np.savez(tmp_path / "last.npz", digits.transpose(0, 2, 3, 1))
    np.save(tmp_path / "without.npy", digits[:, 0])
    np.save(tmp_path / "floats.npy", digits / 255)
    np.save(tmp_path / "swapped.npy", (digits / 255).astype(">f4"))
    torch.save({"samples": torch.from_numpy(digits), "labels": torch.zeros(3)}, tmp_path / "digits.pt")
    save_file({"images": torch.from_numpy(digits) / 255}, tmp_path / "digits.safetensors")
    values = []
    for name in ("pngs", *(path.name for path in tmp_path.iterdir() if path.is_file())):
        (row,) = rows(score(name, "--json", "--runs", f"runs-{name}"))
        values.append((row["value"], row["stderr"], row["measure"]))
    assert len(values) == 7
    assert len(set(values)) == 1
    (row,) = rows(score("webps", "--json", "--convert-channels"))
    assert (row["value"], row["stderr"]) == values[0][:2]
    assert row["measure"] == f"{values[0][2]}, samples converted to grey"


def test_equal_samples_are_one_row_and_are_not_computed_again(score: Callable[..., Result], tmp_path: Path) -> None:
    write_images(tmp_path / "pngs", digits)
    np.save(tmp_path / "digits.npy", digits)
    first = score("pngs,digits.npy", "--json")
    assert [row["settings"]["path"] for row in rows(first)] == ["pngs"]
    assert "digits.npy holds the same samples as pngs: they are one row" in first.err
    (tmp_path / "pngs").rename(tmp_path / "moved")
    assert "1 cell, all stored already" in score("moved").err
    np.save(tmp_path / "digits.npy", digits[1:])
    assert "1 to compute" in score("digits.npy").err


def test_real_digits_rank_before_noise_with_ready_made_numbers(
    score: Callable[..., Result], call: Call, tmp_path: Path
) -> None:
    np.save(tmp_path / "noise.npy", noise)
    np.save(tmp_path / "digits.npy", digits)
    found = rows(score("noise.npy,digits.npy,mnist-10k", "--json"))
    assert [(Path(row["settings"]["path"]).name, row["rank_low"], row["rank_high"]) for row in found[2:]] == [
        ("noise.npy", 3, 3)
    ]
    assert {row["rank_high"] for row in found[:2]} == {2}
    assert all(row["seeds"] == 1 and row["no_rank"] is None and row["budget"] is None for row in found)
    assert [row["reason"] for row in found if row["settings"]["path"] == "digits.npy"] == [
        "200 samples, 1 × 28 × 28, bytes"
    ]
    shown = call("leaderboard").out
    assert "samples path=digits.npy" in shown
    assert "200 samples, 1 × 28 × 28, bytes" in " ".join(shown.split())
    assert call("report").code == 0
    assert "path=digits.npy" in (tmp_path / "report.html").read_text(encoding="utf-8")
    words = "run --models samples --dataset mnist-10k --metric kernel-distance --set samples.path=digits.npy --seeds 2"
    assert "1 cell, all stored already" in call(*words.split(), *quick).err


def test_samples_are_drawn_without_replacement(tmp_path: Path) -> None:
    np.save(tmp_path / "digits.npy", digits)
    model = ReadySamples(mnist.info, ReadySamples.Config(str(tmp_path / "digits.npy")))
    for n in (50, 200):
        found = model.sample(n, Noise(1)) * 255
        assert len(found.flatten(1).unique(dim=0)) == n
    assert torch.equal(found.flatten(1).sort(0).values.byte(), torch.from_numpy(digits).flatten(1).sort(0).values)


@pytest.mark.parametrize(("n", "code", "status"), [(99, 4, "n/a"), (100, 0, "ok")])
def test_too_few_samples_are_named_with_how_many_are_needed(
    score: Callable[..., Result], tmp_path: Path, n: int, code: int, status: str
) -> None:
    np.save(tmp_path / "few.npy", digits[:n])
    found = score("few.npy", "--json")
    assert found.code == code
    (row,) = json.loads(found.out)
    assert row["status"] == status
    assert ("it needs 100 samples, and there are 99; set samples=99 to use fewer" in row["reason"]) == (n == 99)


def test_converted_samples_are_not_ranked_with_others(score: Callable[..., Result], tmp_path: Path) -> None:
    np.save(tmp_path / "digits.npy", digits)
    np.save(tmp_path / "large.npy", digits.repeat(2, 2).repeat(2, 3))
    found = rows(score("digits.npy,large.npy", "--resize", "bicubic", "--json"))
    assert [(row["rank_low"], row["rank_high"]) for row in found] == [(1, 1), (1, 1)]
    assert {row["settings"]["path"]: row["measure"] for row in found} == {
        "digits.npy": "pixels, 100 samples",
        "large.npy": "pixels, 100 samples, samples resized from 56 × 56 (bicubic, antialiased)",
    }
    assert rows(score("digits.npy", "--json"))[0]["value"] in {row["value"] for row in found}


class Dangerous:
    """Writes a file when it is unpickled."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("unpickled"),)


def write_bad_files(folder: Path) -> None:
    few = digits[:3]
    (folder / "empty").mkdir()
    for name in ("corrupt", "sizes", "colours", "transparent", "deep"):
        write_images(folder / name, few)
    whole = (folder / "corrupt" / "0001.png").read_bytes()
    (folder / "corrupt" / "0001.png").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(few[1, 0, :20]).save(folder / "sizes" / "0001.png")
    Image.fromarray(few[1].repeat(3, 0).transpose(1, 2, 0)).save(folder / "colours" / "0001.png")
    Image.fromarray(few[1].repeat(4, 0).transpose(1, 2, 0)).save(folder / "transparent" / "0001.png")
    Image.fromarray(few[1, 0].astype(np.uint16) * 200).save(folder / "deep" / "0001.png")
    arrays = {
        "levels": few.astype(np.float32),
        "signed": few / 127.5 - 1,
        "nan": np.where(np.arange(28) == 3, np.nan, few / 255),
        "infinite": np.where(np.arange(28) == 3, np.inf, few / 255),
        "integers": few.astype(np.int64),
        "words": np.array(["a", "b"]),
        "complex": few.astype(np.complex64),
        "wide": np.zeros((3, 1, 32, 32), np.uint8),
        "colour": np.zeros((3, 28, 28, 3), np.uint8),
        "flat": few.reshape(3, -1),
        "one": few[0, 0, 0],
        "none": few[:0],
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    objects = np.array([few[0], "a"], dtype=object)
    np.save(folder / "objects.npy", objects, allow_pickle=True)
    np.savez(folder / "objects.npz", samples=objects)
    np.savez(folder / "several.npz", a=few, b=few)
    np.savez(folder / "nothing.npz")
    torch.save({"samples": Dangerous()}, folder / "dangerous.pt")
    (folder / "dangerous.npy").write_bytes(pickle.dumps(Dangerous()))
    torch.save([1, 2], folder / "list.pt")
    for name in ("junk.npy", "junk.npz", "junk.pt", "junk.safetensors", "junk.txt"):
        (folder / name).write_text("junk")


damaged = "cannot be read: it is damaged, or holds Python objects, which are not loaded"
bad = {
    "missing": "missing: there is no such file or folder, and no data set of this name",
    "empty": "empty has no images (.png, .jpg, .jpeg, .webp), also not in subfolders; give the folder of your images",
    "corrupt": "corrupt/0001.png cannot be read as an image: image file is truncated; save it again or remove it",
    "sizes": "sizes/0001.png is 20 × 28 grey, but sizes/0000.png is 28 × 28 grey; all must be alike: convert or remove",
    "colours": "colours/0001.png is 28 × 28 colour, but colours/0000.png is 28 × 28 grey; all must be alike",
    "transparent": "transparent/0001.png has pixels of mode RGBA; save it in 8 bits",
    "deep": "deep/0001.png has pixels of mode I;16; save it in 8 bits",
    "levels.npy": "levels.npy has floats in [0, 255], where [0, 1] is expected; save pixels in [0, 255] as bytes",
    "signed.npy": "signed.npy has floats in [-1, 1], where [0, 1] is expected",
    "nan.npy": "nan.npy has values that are not finite",
    "infinite.npy": "infinite.npy has values that are not finite",
    "integers.npy": "integers.npy has values of type int64; save bytes or floats",
    "words.npy": "words.npy has values of type <U1; save an array of bytes or floats",
    "complex.npy": "complex.npy has values of type complex64; save bytes or floats",
    "wide.npy": "wide.npy has samples of shape 1 × 32 × 32, but the data set has 1 × 28 × 28 (resize=bicubic",
    "colour.npy": "samples of shape 3 × 28 × 28, but the data set has 1 × 28 × 28 (channels=converted converts",
    "flat.npy": "flat.npy has samples of shape 784, but the data set has 1 × 28 × 28",
    "one.npy": "one.npy has the shape (28,); save samples as (n, *shape)",
    "none.npy": "none.npy has the shape (0, 1, 28, 28); save samples as (n, *shape)",
    "objects.npy": f"objects.npy {damaged}",
    "objects.npz": f"objects.npz {damaged}",
    "dangerous.pt": f"dangerous.pt {damaged}",
    "dangerous.npy": f"dangerous.npy {damaged}",
    "several.npz": "several.npz holds a, b; it must hold one array, or one that is named 'samples'",
    "nothing.npz": "nothing.npz holds no arrays; it must hold one array, or one that is named 'samples'",
    "list.pt": "list.pt has values of type list; save an array of bytes or floats",
    "junk.npy": f"junk.npy {damaged}",
    "junk.npz": f"junk.npz {damaged}",
    "junk.pt": f"junk.pt {damaged}",
    "junk.safetensors": f"junk.safetensors {damaged}",
    "junk.txt": "junk.txt is neither a folder of images nor a file that ends with .npy",
    "a,,b": "'a,,b' has an empty item; write paths joined by commas, as in a,b",
}


def test_bad_samples_are_named_and_nothing_is_run(score: Callable[..., Result], tmp_path: Path) -> None:
    write_bad_files(tmp_path)
    for samples, message in bad.items():
        found = score(samples, "--quiet")
        assert (found.code, found.out) == (2, ""), samples
        (line,) = found.err.splitlines()
        assert message in line
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "unpickled").exists()


def test_bad_samples_stop_good_ones_before_they_are_computed(score: Callable[..., Result], tmp_path: Path) -> None:
    np.save(tmp_path / "digits.npy", digits)
    np.save(tmp_path / "wide.npy", np.zeros((3, 1, 32, 32), np.uint8))
    assert score("digits.npy,wide.npy").code == 2
    assert not (tmp_path / "runs" / "records.jsonl").exists()


@pytest.mark.parametrize(("words", "message"), [
    ((), "give the data to compare with: --against DATASET or --reference FOLDER, one of them"),
    (("--against", "mnist-10k", "--reference", "."), "give the data to compare with"),
    (("--against", "mnst"), "unknown dataset 'mnst'"),
    (("--against", "mnist-10k:x"), "data set 'mnist-10k:x': mnist-10k takes no value; write mnist-10k"),
    (("--against", "folder:"), "data set 'folder:': write folder:VALUE"),
    (("--against", "folder"), "folder.path has no default"),
    (("--reference", "missing"), "missing: there is no such folder"),
])  # fmt: skip
def test_wrong_data_to_compare_with_are_named(
    score: Callable[..., Result], tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    np.save(tmp_path / "digits.npy", digits)
    found = score("digits.npy", against=words)
    assert found.code == 2
    assert message in found.err


def test_a_folder_of_ones_own_is_a_data_set(score: Callable[..., Result], call: Call, tmp_path: Path) -> None:
    write_images(tmp_path / "own", mnist.train.stored[:600].numpy())
    np.save(tmp_path / "digits.npy", digits)
    (row,) = rows(score("digits.npy", "--json", against=("--reference", "own")))
    assert row["reason"] == (
        "200 samples, 1 × 28 × 28, bytes; images of own split from seed 0: 420 train, 60 validation, 120 test"
    )
    words = ("--metric", "kernel-distance,reconstruction-mse", "--models", "pca", *quick)
    found = call("run", "--dataset", "folder:own", *words, "--json")
    assert {row["metric"]: row["status"] for row in rows(found)} == {
        "kernel-distance": "n/a", "reconstruction-mse": "ok"
    }  # fmt: skip
    assert "all stored already" in call("run", "--dataset", "folder", "--set", "folder.path=own", *words).err
    (tmp_path / "own" / "0000.png").unlink()
    assert "all stored already" not in call("run", "--dataset", "folder:own", *words).err
    assert "folder.path is given twice" in call(
        "run", "--dataset", "folder:own", "--set", "folder.path=own", *words
    ).err  # fmt: skip


def test_subfolders_are_splits(score: Callable[..., Result], call: Call, tmp_path: Path) -> None:
    for name, n in (("train", 50), ("validation", 120), ("test", 110)):
        write_images(tmp_path / "own" / name, mnist.train.stored[:n].numpy())
    np.save(tmp_path / "digits.npy", digits)
    (row,) = rows(score("digits.npy", "--json", against=("--against", "folder:own")))
    assert row["reason"].endswith("images of own split by subfolder: 50 train, 120 validation, 110 test")
    (tmp_path / "own" / "test" / "0003.png").write_bytes(b"no image")
    found = score("digits.npy", against=("--against", "folder:own"))
    assert found.code == 2
    assert "own/test/0003.png cannot be read as an image" in found.err


def test_training_images_are_bytes_if_all_are_and_floats_otherwise() -> None:
    grey = torch.arange(256).view(2, 1, 8, 16) / 255
    finer = grey + 1e-3
    found = [_as_bytes_or_floats(iter(batches), mnist.info) for batches in ((grey, grey), (grey, finer), (finer, grey))]
    assert [each.dtype for each in found] == [torch.uint8, torch.float32, torch.float32]
    assert torch.equal(found[0].flatten()[:256], torch.arange(256).byte())
    assert torch.equal(found[1], torch.cat([grey, finer]))
    assert torch.equal(found[2], torch.cat([finer, grey]))
