"""The data is what it says it is."""

import gzip
import hashlib
import http.server
import threading
from functools import partial
from pathlib import Path

import pytest
import torch

from harness import Data, DataError, DataSource, Noise, NoSettings, NotApplicable
from harness.data import Examples
from harness.transforms import Binarize, Dequantize
from harness_datasets import mnist_10k
from harness_datasets.idx import MNIST, FashionMNIST
from harness_datasets.mnist_10k import MNIST10k, unpack

training_counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
test_counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@pytest.fixture
def nowhere(tmp_path: Path) -> DataSource:
    return DataSource(None, tmp_path / "cache", lambda line: None)


@pytest.fixture
def embedded(nowhere: DataSource) -> Data:
    return MNIST10k(NoSettings()).load(nowhere)


def test_the_embedded_set_is_stratified_and_its_splits_share_no_image(embedded: Data) -> None:
    for split, n, counts in (
        (embedded.train, 10_000, training_counts),
        (embedded.validation, 1_000, training_counts),
        (embedded.test, 2_000, test_counts),
    ):
        assert split.stored.shape == (n, 1, 28, 28)
        assert split.labels is not None
        exact = torch.tensor(counts) * n / sum(counts)
        assert bool(((split.labels.bincount() - exact).abs() < 1).all())
    assert not set(embedded.train.ids.tolist()) & set(embedded.validation.ids.tolist())
    assert embedded.info.shape == (1, 28, 28)
    assert embedded.info.classes == 10


@pytest.mark.full_mnist
def test_the_embedded_set_is_what_the_script_chooses(embedded: Data, data_dir: Path) -> None:
    from harness_datasets.choose_mnist_10k import choose

    for name, chosen in choose(data_dir).items():
        split = getattr(embedded, name)
        assert torch.equal(split.ids, chosen.ids)
        assert torch.equal(split.labels, chosen.labels)
        assert torch.equal(split.stored, chosen.values)


def test_a_damaged_embedded_file_is_told_of(nowhere: DataSource, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    (tmp_path / "embedded").mkdir()
    (tmp_path / "embedded" / "mnist-10k.xz").write_bytes(b"\xfd7zXZ\x00 damaged")
    monkeypatch.setattr(mnist_10k, "files", lambda package: tmp_path)
    with pytest.raises(DataError, match="install generative-harness again"):
        MNIST10k(NoSettings()).load(nowhere)
    import lzma

    with pytest.raises(ValueError, match="bytes unpacked"):
        unpack(lzma.compress(b"short"))


@pytest.mark.full_mnist
@pytest.mark.parametrize("dataset", [MNIST, FashionMNIST])
def test_the_full_sets_hold_out_the_last_5000_training_images(dataset, data_dir: Path, tmp_path: Path) -> None:
    data = dataset(NoSettings()).load(DataSource(data_dir, tmp_path, print))
    assert [len(split) for split in data.splits.values()] == [55_000, 5_000, 10_000]
    assert data.validation.ids.tolist() == list(range(55_000, 60_000))
    assert data.train.stored.dtype == torch.uint8


def test_dynamic_binarisation_draws_anew_with_the_pixels_intensity(embedded: Data) -> None:
    data = Binarize(Binarize.Config()).apply(embedded)
    index = torch.arange(200)
    noise = Noise(0)
    draws = torch.stack([data.train.batch(index, noise) for _ in range(100)])
    grey = embedded.train.batch(index, noise)
    assert set(draws.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(draws[0], draws[1])
    assert bool((draws[:, grey == 0] == 0).all())
    assert bool((draws[:, grey == 1] == 1).all())
    error = (grey * (1 - grey) / 100).sqrt()
    assert bool(((draws.mean(0) - grey).abs() <= 6 * error + 1e-6).all())
    assert data.info.support == "binary"


def test_test_images_are_binarised_once_by_a_seed_that_is_a_setting(embedded: Data) -> None:
    def test_images(**settings) -> torch.Tensor:
        return Binarize(Binarize.Config(**settings)).apply(embedded).test.all(Noise(99))

    assert torch.equal(test_images(), test_images())
    assert not torch.equal(test_images(), test_images(binarization_seed=1))
    assert torch.equal(test_images(), test_images(binarization="static"))
    assert torch.equal(test_images(binarization="threshold"), (embedded.test.stored >= 128).float())


@pytest.mark.parametrize("mode", ["static", "threshold"])
def test_fixed_binarisation_gives_the_same_training_images_every_time(embedded: Data, mode) -> None:
    train = Binarize(Binarize.Config(binarization=mode)).apply(embedded).train
    assert torch.equal(train.all(Noise(0)), train.all(Noise(1)))


def test_a_dequantised_pixel_keeps_its_byte_and_stays_below_one(embedded: Data) -> None:
    data = Dequantize(Dequantize.Config()).apply(embedded)
    for split, bytes_ in ((data.test, embedded.test.stored), (data.train, embedded.train.stored)):
        x = split.all(Noise(3))
        assert torch.equal((x * 256).floor().to(torch.uint8), bytes_)
        assert float(x.max()) < 1
    assert torch.equal(data.test.all(Noise(0)), data.test.all(Noise(1)))
    assert not torch.equal(data.train.all(Noise(0)), data.train.all(Noise(1)))
    torch.testing.assert_close(data.info.mean, data.train.all(Noise(3)).mean(0), atol=1e-3, rtol=0)


def test_the_mean_is_that_of_the_training_images(embedded: Data) -> None:
    torch.testing.assert_close(embedded.info.mean, embedded.train.all(Noise(0)).mean(0), atol=1e-6, rtol=0)


def test_only_pixels_are_binarised() -> None:
    points = Examples(torch.rand(4, 3))
    data = Data.from_tensors(points, points, points)
    with pytest.raises(NotApplicable, match="8-bit"):
        Binarize(Binarize.Config()).apply(data)


def test_data_that_disagrees_with_itself_is_refused() -> None:
    good, bad = Examples(torch.rand(4, 3)), Examples(torch.rand(4, 2))
    with pytest.raises(DataError, match="test split"):
        Data.from_tensors(good, good, bad)
    with pytest.raises(DataError, match="4 examples but 3 labels"):
        Data.from_tensors(good, Examples(torch.rand(4, 3), torch.zeros(3)), good)
    with pytest.raises(DataError, match="not finite"):
        Data.from_tensors(good, Examples(torch.full((4, 3), torch.nan)), good)
    with pytest.raises(DataError, match="empty"):
        Data.from_tensors(good, Examples(torch.rand(0, 3)), good)


@pytest.mark.full_mnist
def test_a_download_lands_in_the_cache_and_happens_once(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision import datasets

    served = tmp_path / "served"
    served.mkdir()
    resources = []
    for name, _ in datasets.MNIST.resources:
        content = gzip.compress((data_dir / "MNIST" / "raw" / name.removesuffix(".gz")).read_bytes(), 1)
        (served / name).write_bytes(content)
        resources.append((name, hashlib.md5(content).hexdigest()))

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            asked.append(args[0])

    asked: list[object] = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=served))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(datasets.MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    said: list[str] = []
    source = DataSource(None, tmp_path / "cache", said.append)
    try:
        first = MNIST(NoSettings()).load(source)
        requests = len(asked)
        assert requests >= 4
        assert "downloading" in said[0]
        again = MNIST(NoSettings()).load(source)
    finally:
        server.shutdown()
        server.server_close()
    assert len(asked) == requests
    assert torch.equal(first.test.stored, again.test.stored)
    assert (tmp_path / "cache" / "data" / "MNIST" / "raw" / "train-images-idx3-ubyte").is_file()
