"""KMNIST, EMNIST and CIFAR-10 are read from files in the formats they come in.

The tests write small files, and read them with subclasses that expect as many images.
"""

import hashlib
import pickle
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from harness import Data, DataError, DataSource, Noise, NoSettings
from harness.data.transforms import Binarize, Dequantize
from harness.registry import Registry
from harness_datasets.cifar10 import CIFAR10
from harness_datasets.idx import EMNIST, KMNIST, Part

registry = Registry.load()
training, test, validation = 40, 20, 10


def write_idx(path: Path, values: torch.Tensor) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = b"".join(n.to_bytes(4, "big") for n in values.shape)
    path.write_bytes(bytes([0, 0, 8, values.dim()]) + sizes + values.to(torch.uint8).numpy().tobytes())


def random_images(n: int, *shape: int, seed: int) -> torch.Tensor:
    return torch.randint(256, (n, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


class SmallKMNIST(KMNIST):
    training_images, validation_images, test_images = training, validation, test


class SmallEMNIST(EMNIST):
    validation_images = validation
    parts: ClassVar = {name: Part(part.classes, training, test) for name, part in EMNIST.parts.items()}


class SmallCIFAR10(CIFAR10):
    training_images, validation_images, test_images = training, validation, test


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def source(folder: Path | None, tmp_path: Path) -> DataSource:
    return DataSource(folder, tmp_path / "cache", lambda line: None)


def assert_split(data: Data, images: torch.Tensor, test_images: torch.Tensor, labels: torch.Tensor) -> None:
    assert torch.equal(data.train.stored, images[:-validation])
    assert torch.equal(data.validation.stored, images[-validation:])
    assert torch.equal(data.test.stored, test_images)
    assert data.validation.labels is not None
    assert torch.equal(data.validation.labels, labels[-validation:])
    assert data.validation.ids.tolist() == list(range(training - validation, training))


def test_kmnist_is_read_like_mnist(folder: Path, tmp_path: Path) -> None:
    images, test_images = random_images(training, 28, 28, seed=0), random_images(test, 28, 28, seed=1)
    labels = torch.arange(training) % 10
    raw = folder / "KMNIST" / "raw"
    write_idx(raw / "train-images-idx3-ubyte", images)
    write_idx(raw / "train-labels-idx1-ubyte", labels)
    write_idx(raw / "t10k-images-idx3-ubyte", test_images)
    write_idx(raw / "t10k-labels-idx1-ubyte", torch.arange(test) % 10)
    data = SmallKMNIST(KMNIST.Config(train_images=training - validation)).load(source(folder, tmp_path))
    assert_split(data, images.unsqueeze(1), test_images.unsqueeze(1), labels)


def write_emnist(folder: Path, split: str, first: int, classes: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Write a split of EMNIST with labels from ``first`` on; return images, test images and labels."""
    images, test_images = random_images(training, 28, 28, seed=0), random_images(test, 28, 28, seed=1)
    labels = torch.arange(training) % classes + first
    raw = folder / "EMNIST" / "raw"
    write_idx(raw / f"emnist-{split}-train-images-idx3-ubyte", images)
    write_idx(raw / f"emnist-{split}-train-labels-idx1-ubyte", labels)
    write_idx(raw / f"emnist-{split}-test-images-idx3-ubyte", test_images)
    write_idx(raw / f"emnist-{split}-test-labels-idx1-ubyte", torch.arange(test) % classes + first)
    return images, test_images, labels


@pytest.mark.parametrize("split", EMNIST.parts)
def test_emnist_is_upright_and_its_letters_are_labelled_from_zero(split, folder: Path, tmp_path: Path) -> None:
    first = 1 if split == "letters" else 0
    images, test_images, labels = write_emnist(folder, split, first, EMNIST.parts[split].classes)
    data = SmallEMNIST(EMNIST.Config(split=split)).load(source(folder, tmp_path))
    assert_split(data, images.mT.unsqueeze(1), test_images.mT.unsqueeze(1), labels - first)
    assert data.info.classes == EMNIST.parts[split].classes
    assert data.train.labels is not None
    assert int(data.train.labels.min()) == 0


def test_the_splits_of_emnist_have_separate_copies_in_the_cache(folder: Path, tmp_path: Path) -> None:
    write_emnist(folder, "letters", 1, 26)
    write_emnist(folder, "digits", 0, 10)
    letters, digits = (
        SmallEMNIST(EMNIST.Config(split=s)).load(source(folder, tmp_path)) for s in ("letters", "digits")
    )
    assert (letters.info.classes, digits.info.classes) == (26, 10)
    assert len(list((tmp_path / "cache" / "decoded").iterdir())) == 2


@pytest.mark.parametrize("label", [0, 27])
def test_a_label_outside_the_letters_is_refused(label: int, folder: Path, tmp_path: Path) -> None:
    write_emnist(folder, "letters", 1, 26)
    labels = torch.full((test,), label)
    write_idx(folder / "EMNIST" / "raw" / "emnist-letters-test-labels-idx1-ubyte", labels)
    with pytest.raises(DataError, match=r"emnist-letters-test-labels-idx1-ubyte.*labels outside 0 to 25"):
        SmallEMNIST(EMNIST.Config()).load(source(folder, tmp_path))


def test_a_missing_file_is_named_with_the_command_that_downloads_it(folder: Path, tmp_path: Path) -> None:
    folder.mkdir()
    with pytest.raises(DataError, match=r"emnist-digits-train-.* does not exist.*EMNIST/raw.*, split='digits'"):
        EMNIST(EMNIST.Config(split="digits")).load(source(folder, tmp_path))
    with pytest.raises(DataError, match=r"data_batch_1 does not exist.*cifar-10-batches-py/\.\.\.\).*CIFAR10 as d"):
        CIFAR10(NoSettings()).load(source(folder, tmp_path))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte does not exist.*KMNIST/raw"):
        KMNIST(KMNIST.Config()).load(source(folder, tmp_path))
    assert list(folder.iterdir()) == []


def test_a_download_that_was_interrupted_between_two_parts_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The EMNIST of torchvision checks only for the files of one part before it downloads."""
    from torchvision import datasets

    root, emnist = tmp_path / "cache" / "data" / "EMNIST" / "raw", SmallEMNIST(EMNIST.Config(split="digits"))
    files = emnist.files(tmp_path / "cache" / "data")
    write_idx(root / "emnist-digits-train-images-idx3-ubyte", random_images(training, 28, 28, seed=0))
    write_idx(root / "emnist-digits-train-labels-idx1-ubyte", torch.zeros(training))
    asked = []

    class Interrupted(datasets.EMNIST):
        def download(self) -> None:
            asked.append(self.train)
            if not self._check_exists():
                write_idx(root / "emnist-digits-test-images-idx3-ubyte", random_images(test, 28, 28, seed=1))
                write_idx(root / "emnist-digits-test-labels-idx1-ubyte", torch.zeros(test))

    Interrupted.__name__ = "EMNIST"  # which names the folder
    monkeypatch.setattr(datasets, "EMNIST", Interrupted)
    assert not all(path.is_file() for path in files)
    assert len(emnist.load(source(None, tmp_path)).test) == test
    assert asked == [True, False]


@pytest.fixture
def cifar(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write files in CIFAR-10's format, and make torchvision expect their digests."""
    from torchvision import datasets

    batches = folder / "cifar-10-batches-py"
    batches.mkdir(parents=True)
    digests = {}

    def write(name: str, content: dict[str, object]) -> None:
        (batches / name).write_bytes(pickle.dumps(content, protocol=2))
        digests[name] = hashlib.md5((batches / name).read_bytes()).hexdigest()

    for i in range(5):
        write(f"data_batch_{i + 1}", cifar_batch(training // 5, seed=i))
    write("test_batch", cifar_batch(test, seed=5))
    write("batches.meta", {"label_names": [f"class {i}" for i in range(10)]})
    monkeypatch.setattr(datasets.CIFAR10, "train_list", [[n, digests[n]] for n in digests if "data" in n])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", digests["test_batch"]]])
    monkeypatch.setattr(datasets.CIFAR10, "meta", datasets.CIFAR10.meta | {"md5": digests["batches.meta"]})
    return folder


def cifar_batch(n: int, seed: int) -> dict[str, object]:
    return {
        "data": random_images(n, 3072, seed=seed).numpy(),
        "labels": (np.arange(n) % 10).tolist(),
    }


def assert_is_cifar(data: Data) -> None:
    images = torch.cat([random_images(training // 5, 3, 32, 32, seed=i) for i in range(5)])
    labels = (torch.arange(training // 5) % 10).repeat(5)
    assert_split(data, images, random_images(test, 3, 32, 32, seed=5), labels)
    assert (data.info.shape, data.info.classes, len(data.train)) == ((3, 32, 32), 10, training - validation)


def test_cifar_keeps_its_channels_rows_and_columns(cifar: Path, tmp_path: Path) -> None:
    assert_is_cifar(SmallCIFAR10(NoSettings()).load(source(cifar, tmp_path)))


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
def test_a_damaged_file_of_cifar_is_named(name: str, cifar: Path, tmp_path: Path) -> None:
    path = cifar / "cifar-10-batches-py" / name
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DataError, match=rf"data_batch_1 or .*{name}.* corrupt"):
        SmallCIFAR10(NoSettings()).load(source(cifar, tmp_path))


@pytest.fixture
def mirror(cifar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Serve CIFAR-10's archive from a local server, and return its log of requests."""
    from torchvision import datasets

    served = tmp_path / "served"
    served.mkdir()
    with tarfile.open(served / "cifar.tar.gz", "w:gz") as archive:
        archive.add(cifar / "cifar-10-batches-py", "cifar-10-batches-py")
    requests: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            requests.append(str(args[0]))

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=served))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setattr(datasets.CIFAR10, "url", f"http://127.0.0.1:{server.server_port}/cifar.tar.gz")
    digest = hashlib.md5((served / "cifar.tar.gz").read_bytes()).hexdigest()
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", digest)
    yield requests
    server.shutdown()
    server.server_close()
    thread.join()


def test_cifar_is_downloaded_into_the_cache_once(mirror: list[str], tmp_path: Path) -> None:
    assert_is_cifar(SmallCIFAR10(NoSettings()).load(source(None, tmp_path)))
    requests = len(mirror)
    assert requests > 0
    assert_is_cifar(SmallCIFAR10(NoSettings()).load(source(None, tmp_path)))
    assert len(mirror) == requests
    assert (tmp_path / "cache" / "data" / "cifar-10-batches-py" / "test_batch").is_file()


def test_a_failed_download_of_cifar_says_how_to_use_existing_files(
    mirror: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision import datasets

    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", "0" * 32)
    with pytest.raises(DataError, match=r"CIFAR10 could not be downloaded .*cifar-10-batches-py.*HARNESS_DATA_DIR"):
        CIFAR10(NoSettings()).load(source(None, tmp_path))


def test_colour_images_can_be_binarised_and_dequantised(cifar: Path, tmp_path: Path) -> None:
    data = SmallCIFAR10(NoSettings()).load(source(cifar, tmp_path))
    forms = [data, Binarize(Binarize.Config()).apply(data), Dequantize(Dequantize.Config()).apply(data)]
    for form in forms:
        assert form.train.batch(torch.arange(4), Noise(0)).shape == (4, 3, 32, 32)
    seen = [(form.info.support, form.info.dequantized) for form in forms]
    assert seen == [("unit", False), ("binary", False), ("unit", True)]


@pytest.mark.parametrize("name", ["kmnist", "emnist", "cifar10"])
def test_image_sets_have_three_forms(name: str) -> None:
    base, *forms = (registry.get("dataset", f"{form}{name}").spec for form in ("", "binarized-", "dequantized-"))
    assert [form.factory for form in forms] == [base.factory] * 2
