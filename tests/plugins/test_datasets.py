"""The data sets contain what their descriptions say."""

import gzip
import hashlib
import http.server
import lzma
import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from harness import Data, DataError, DataSource, Noise, NoSettings, NotApplicable, derive_seed
from harness.data.dataset import Examples, mean_of
from harness.data.suspicions import suspicions
from harness.data.transforms import Binarize, Dequantize, bernoulli_of_pixels, dequantize_pixels
from harness_datasets.idx import MNIST, FashionMNIST
from harness_datasets.mnist_10k import MNIST10k, unpack

training_counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
test_counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@pytest.fixture
def nowhere(tmp_path: Path) -> DataSource:
    return DataSource(None, tmp_path / "cache", lambda line: None)


def header(*shape: int) -> bytes:
    return bytes([0, 0, 8, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)


@pytest.fixture(scope="session")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with files of MNIST's full size; every image is black, except for its number in two pixels."""
    folder = tmp_path_factory.mktemp("blank")
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, n in (("train", 60_000), ("t10k", 10_000)):
        images = torch.zeros(n, 28 * 28, dtype=torch.uint8)
        images[:, 0], images[:, 1] = torch.arange(n) // 256, torch.arange(n) % 256
        labels = torch.arange(n) % 10
        (raw / f"{part}-images-idx3-ubyte").write_bytes(header(n, 28, 28) + images.numpy().tobytes())
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(header(n) + labels.to(torch.uint8).numpy().tobytes())
    return folder


@pytest.fixture
def damaged(blank: Path, tmp_path: Path) -> Path:
    """Return a folder with links to the files of ``blank``, for a test to replace one of them."""
    raw = tmp_path / "damaged" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in (blank / "MNIST" / "raw").iterdir():
        (raw / path.name).symlink_to(path)
    return tmp_path / "damaged"


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


def test_a_damaged_embedded_file_is_reported(nowhere: DataSource, tmp_path: Path) -> None:
    class Damaged(MNIST10k):
        file = tmp_path / "mnist-10k.xz"

    Damaged.file.write_bytes(b"\xfd7zXZ\x00 damaged")
    with pytest.raises(DataError, match="install generative-harness again"):
        Damaged(NoSettings()).load(nowhere)
    with pytest.raises(ValueError, match="bytes unpacked"):
        unpack(lzma.compress(b"short"))


@pytest.mark.full_mnist
@pytest.mark.parametrize("dataset", [MNIST, FashionMNIST])
def test_the_full_sets_hold_out_the_last_5000_training_images(dataset, data_dir: Path, tmp_path: Path) -> None:
    data = dataset(dataset.Config()).load(DataSource(data_dir, tmp_path, print))
    assert [len(split) for split in data.splits.values()] == [55_000, 5_000, 10_000]
    assert data.validation.ids.tolist() == list(range(55_000, 60_000))
    assert data.train.stored.dtype == torch.uint8


@pytest.mark.full_mnist
def test_all_training_images_can_be_used(data_dir: Path, tmp_path: Path) -> None:
    source = DataSource(data_dir, tmp_path, print)
    everything, usual = (MNIST(MNIST.Config(train_images=n)).load(source) for n in (60_000, 55_000))
    assert [len(split) for split in everything.splits.values()] == [60_000, 5_000, 10_000]
    assert torch.equal(everything.train.stored[:55_000], usual.train.stored)
    assert torch.equal(everything.train.stored[55_000:], usual.validation.stored)
    assert torch.equal(everything.validation.ids, usual.validation.ids)


def test_a_full_set_is_split_by_position_and_keeps_its_order(blank: Path, tmp_path: Path) -> None:
    data = MNIST(MNIST.Config()).load(DataSource(blank, tmp_path, print))
    for split, start, n in ((data.train, 0, 55_000), (data.validation, 55_000, 5_000), (data.test, 0, 10_000)):
        numbers = torch.arange(start, start + n)
        stored = split.stored.flatten(1)
        assert torch.equal(stored[:, 0].long() * 256 + stored[:, 1], numbers)
        assert split.labels is not None
        assert torch.equal(split.labels, numbers % 10)
        assert torch.equal(split.ids, numbers)


def test_a_full_set_is_decoded_once(blank: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = DataSource(blank, tmp_path, print)
    first = MNIST(MNIST.Config()).load(source)
    monkeypatch.setattr(MNIST, "_decode", None)
    again = MNIST(MNIST.Config()).load(source)
    assert torch.equal(first.info.mean, again.info.mean)
    for name, split in first.splits.items():
        kept = again.splits[name]
        assert torch.equal(split.stored, kept.stored)
        assert torch.equal(split.ids, kept.ids)
        assert split.labels is not None
        assert kept.labels is not None
        assert torch.equal(split.labels, kept.labels)


files = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]


@pytest.mark.parametrize("name", files)
@pytest.mark.parametrize("damage", ["truncated", "too short but whole", "empty"])
def test_a_damaged_file_is_named(damaged: Path, tmp_path: Path, name: str, damage: str) -> None:
    path = damaged / "MNIST" / "raw" / name
    whole = path.read_bytes()
    shape = (9, 28, 28) if "images" in name else (9,)
    contents = {"truncated": whole[:-1], "too short but whole": header(*shape) + bytes(math.prod(shape)), "empty": b""}
    path.unlink()
    path.write_bytes(contents[damage])
    with pytest.raises(DataError, match=f"{name}.* corrupt"):
        MNIST(MNIST.Config()).load(DataSource(damaged, tmp_path, print))


def test_a_file_damaged_after_decoding_is_named(damaged: Path, tmp_path: Path) -> None:
    path = damaged / "MNIST" / "raw" / files[0]
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(whole)
    source = DataSource(damaged, tmp_path, print)
    MNIST(MNIST.Config()).load(source)
    path.write_bytes(whole[:-1])
    with pytest.raises(DataError, match=f"{files[0]}.* corrupt"):
        MNIST(MNIST.Config()).load(source)


def test_a_label_outside_the_digits_is_refused(damaged: Path, tmp_path: Path) -> None:
    path = damaged / "MNIST" / "raw" / "t10k-labels-idx1-ubyte"
    labels = path.read_bytes()
    path.unlink()
    path.write_bytes(labels[:-1] + b"\x0a")
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte.*labels outside 0 to 9"):
        MNIST(MNIST.Config()).load(DataSource(damaged, tmp_path, print))


def test_dynamic_binarisation_redraws_with_the_probability_of_the_intensity(embedded: Data) -> None:
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


def test_test_images_are_binarised_once_from_the_seed_setting(embedded: Data) -> None:
    def drawn(**settings) -> torch.Tensor:
        return Binarize(Binarize.Config(**settings)).apply(embedded).test.all(Noise(99))

    assert torch.equal(drawn(), drawn())
    assert not torch.equal(drawn(), drawn(binarization_seed=1))
    assert torch.equal(drawn(), drawn(binarization="static"))
    assert torch.equal(drawn(binarization="threshold"), (embedded.test.stored >= 128).float())


def test_drawing_in_parts_gives_the_same_images_as_drawing_at_once(embedded: Data) -> None:
    for name, split in embedded.splits.items():
        binary = Binarize(Binarize.Config(binarization="static", binarization_seed=3)).apply(embedded).splits[name]
        at_once = bernoulli_of_pixels(split.stored, Noise(derive_seed("data", name, 3)))
        assert torch.equal(binary.stored, at_once.to(torch.uint8))
    real = Dequantize(Dequantize.Config(dequantization_seed=3)).apply(embedded)
    at_once = dequantize_pixels(embedded.test.stored, Noise(derive_seed("data", "test", 3)))
    assert torch.equal(real.test.stored, at_once)


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


def test_the_mean_of_bytes_is_exact_to_the_last_bit(embedded: Data) -> None:
    all_white = torch.full((70_000, 2), 255, dtype=torch.uint8)
    for values in (embedded.train.stored, embedded.test.stored, all_white, torch.arange(200, dtype=torch.uint8)):
        exact = (values.to(torch.float64).sum(0) / len(values)).to(torch.float32)
        assert torch.equal(mean_of(values), exact)


def test_only_pixels_are_binarised() -> None:
    points = Examples(torch.rand(4, 3))
    data = Data.from_tensors(points, points, points)
    with pytest.raises(NotApplicable, match="8-bit"):
        Binarize(Binarize.Config()).apply(data)


def test_inconsistent_data_is_refused() -> None:
    good, bad = Examples(torch.rand(4, 3)), Examples(torch.rand(4, 2))
    with pytest.raises(DataError, match="test split"):
        Data.from_tensors(good, good, bad)
    with pytest.raises(DataError, match="4 examples but 3 labels"):
        Data.from_tensors(good, Examples(torch.rand(4, 3), torch.zeros(3)), good)
    with pytest.raises(DataError, match="not finite"):
        Data.from_tensors(good, Examples(torch.full((4, 3), torch.nan)), good)
    with pytest.raises(DataError, match=r"the train split is a Tensor; pass harness\.Examples\(values, labels\)"):
        Data.from_tensors(good.values, good.values, good.values)  # type: ignore[arg-type]
    array: Any = good.values.numpy()
    with pytest.raises(DataError, match="the values of the test split are a ndarray; pass a tensor"):
        Data.from_tensors(good, good, Examples(array))
    with pytest.raises(DataError, match="the labels of the test split are a list; pass a tensor"):
        Data.from_tensors(good, good, Examples(good.values, [0, 1, 2, 3]))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="empty"):
        Data.from_tensors(good, Examples(torch.rand(0, 3)), good)


@pytest.mark.parametrize(
    ("values", "labels", "options", "expected"),
    [
        (
            torch.rand(4, 3),
            torch.tensor([0, 1, 2, 3]),
            {"classes": 3},
            "go from 0 to 3, but with classes=3 they must be",
        ),
        (torch.rand(4, 3), torch.tensor([-1, 0, 1, 2]), {"classes": 3}, "labels of the train split go from -1 to 2"),
        (torch.rand(4, 3), torch.rand(4), {}, r"are float32 of shape \(4,\); pass whole numbers"),
        (torch.rand(4, 3), torch.eye(4), {"classes": 4}, r"of one-hot vectors, pass labels\.argmax\(1\)"),
        (torch.rand(4, 3), None, {"classes": "3"}, "classes is '3'; use an int"),
        (torch.rand(4, 3), None, {"support": "pixels"}, "the support is 'pixels'; use one of 'binary', 'unit'"),
        (torch.rand(4, 3) + 100, None, {"support": "unit"}, r"outside of \[0, 1\].*pass pixels as bytes"),
        (torch.rand(4, 3) - 9, None, {"support": "unit"}, r"outside of \[0, 1\], the range of support='unit'$"),
        (torch.rand(4, 3), None, {"support": "binary"}, "values between 0 and 1"),
        (torch.rand(4), None, {}, r"have the shape \(4,\); pass \(N, \*shape\)"),
        (torch.rand(4, 3).double() * 1e300, None, {}, "too large for float32"),
        (torch.rand(4, 3) * 1j, None, {}, "complex values"),
        (torch.rand(4, 3).requires_grad_(), None, {}, r"pass values\.detach\(\)"),
    ],
)
def test_data_that_no_model_could_use_are_refused(
    values: Tensor, labels: Tensor | None, options: dict[str, Any], expected: str
) -> None:
    split = Examples(values, labels)
    with pytest.raises(DataError, match=expected):
        Data.from_tensors(split, split, split, **options)


def test_ids_that_are_not_unique_whole_numbers_are_refused() -> None:
    for ids in (torch.zeros(4, dtype=torch.int64), torch.arange(4).float()):
        split = Examples(torch.rand(4, 3), ids=ids)
        with pytest.raises(DataError, match="pass int64 of shape"):
            Data.from_tensors(split, split, split)


def test_labels_of_any_integer_type_become_int64() -> None:
    for kind in (torch.uint8, torch.int32, torch.bool):
        split = Examples(torch.rand(4, 3), torch.tensor([0, 1, 1, 0]).to(kind))
        assert Data.from_tensors(split, split, split, classes=2).train.labels.dtype == torch.int64  # type: ignore[union-attr]


def test_pixels_that_are_floats_up_to_255_are_suspected_and_other_real_data_are_not() -> None:
    def found(scale: float, offset: float = 0.0) -> list[str]:
        return list(
            suspicions(Data.from_tensors(*(Examples(torch.rand(9, 1, 4, 4) * scale + offset) for _ in range(3))))
        )

    (line,) = found(255.0)
    assert "if they are pixels, pass them as bytes (torch.uint8), or divide them by 255" in line
    assert found(1.0) == found(255.0, -128.0) == found(1e4) == []


def test_examples_of_the_training_split_in_others_are_suspected_beyond_natural_duplicates() -> None:
    train, test = torch.rand(100, 3), torch.rand(100, 3)
    test[:30] = train[:30]
    (line,) = suspicions(Data.from_tensors(Examples(train), Examples(torch.rand(9, 3)), Examples(test)))
    assert line.startswith("30% of the test examples are also training examples")
    few = torch.randint(0, 2, (100, 3)).float()  # each of the eight possible examples occurs in every split
    assert list(suspicions(Data.from_tensors(*[Examples(few)] * 3))) == []


@dataclass
class Mirror:
    """A server of a data set's files: its folder, and the log of requests."""

    folder: Path
    requests: list[str]


@pytest.fixture
def mirror(blank: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """Serve ``blank`` instead of MNIST's own mirrors."""
    from torchvision import datasets

    served = Mirror(tmp_path / "served", [])
    served.folder.mkdir()
    resources = []
    for name in files:
        content = gzip.compress((blank / "MNIST" / "raw" / name).read_bytes(), 1)
        (served.folder / f"{name}.gz").write_bytes(content)
        resources.append((f"{name}.gz", hashlib.md5(content).hexdigest()))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            served.requests.append(str(args[0]))

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=served.folder))
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setattr(datasets.MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    yield served
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_download_lands_in_the_cache_and_happens_once(mirror: Mirror, blank: Path, tmp_path: Path) -> None:
    announced: list[str] = []
    source = DataSource(None, tmp_path / "cache", announced.append)
    first = MNIST(MNIST.Config()).load(source)
    requests = len(mirror.requests)
    assert requests >= len(files)
    assert len(announced) == 1
    assert "downloading" in announced[0]
    for name in files:
        landed = tmp_path / "cache" / "data" / "MNIST" / "raw" / name
        assert landed.read_bytes() == (blank / "MNIST" / "raw" / name).read_bytes()

    again = MNIST(MNIST.Config()).load(source)
    assert len(mirror.requests) == requests
    assert len(announced) == 1
    assert torch.equal(first.test.stored, again.test.stored)


@pytest.mark.parametrize("received", [0, 10, -10])
def test_an_interrupted_download_says_what_to_do_and_can_be_repeated(
    mirror: Mirror, tmp_path: Path, received: int
) -> None:
    source = DataSource(None, tmp_path / "cache", lambda line: None)
    last = mirror.folder / f"{files[-1]}.gz"
    content = last.read_bytes()
    last.write_bytes(content[:received])
    with pytest.raises(DataError, match=r"could not be downloaded into .* as the data folder \(HARNESS_DATA_DIR\)"):
        MNIST(MNIST.Config()).load(source)
    last.write_bytes(content)
    assert len(MNIST(MNIST.Config()).load(source).test) == 10_000


def test_nothing_is_downloaded_into_the_users_folder(mirror: Mirror, damaged: Path, tmp_path: Path) -> None:
    (damaged / "MNIST" / "raw" / files[0]).unlink()
    with pytest.raises(DataError, match=f"{files[0]} does not exist"):
        MNIST(MNIST.Config()).load(DataSource(damaged, tmp_path / "cache", print))
    assert mirror.requests == []
    assert not (tmp_path / "cache").exists()
