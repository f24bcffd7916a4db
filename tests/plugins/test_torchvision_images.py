"""KMNIST, EMNIST and CIFAR-10 are read from files in the formats they come in.

The files are written by the tests, with few images where a class is told to expect few.
"""

import hashlib
import pickle
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from harness import Data, DataError, DataSource, Noise, NoSettings
from harness.data.loading import dataset_config_type, load_dataset
from harness.registry import Registry
from harness_datasets import idx
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


@pytest.fixture(autouse=True)
def _few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness_datasets.torchvision_images.validation_images", validation)
    for dataset in (KMNIST, CIFAR10):
        monkeypatch.setattr(dataset, "training_images", training)
        monkeypatch.setattr(dataset, "test_images", test)
    for name, part in idx.parts.items():
        monkeypatch.setitem(idx.parts, name, Part(part.classes, training, test))


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


def test_kmnist_is_read_as_mnist_is(folder: Path, tmp_path: Path) -> None:
    images, test_images = random_images(training, 28, 28, seed=0), random_images(test, 28, 28, seed=1)
    labels = torch.arange(training) % 10
    raw = folder / "KMNIST" / "raw"
    write_idx(raw / "train-images-idx3-ubyte", images)
    write_idx(raw / "train-labels-idx1-ubyte", labels)
    write_idx(raw / "t10k-images-idx3-ubyte", test_images)
    write_idx(raw / "t10k-labels-idx1-ubyte", torch.arange(test) % 10)
    data = KMNIST(KMNIST.Config(train_images=training - validation)).load(source(folder, tmp_path))
    assert_split(data, images.unsqueeze(1), test_images.unsqueeze(1), labels)


def write_emnist(folder: Path, split: str, first: int, classes: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Write a split of EMNIST, its labels from ``first`` on; return images, test images and labels."""
    images, test_images = random_images(training, 28, 28, seed=0), random_images(test, 28, 28, seed=1)
    labels = torch.arange(training) % classes + first
    raw = folder / "EMNIST" / "raw"
    write_idx(raw / f"emnist-{split}-train-images-idx3-ubyte", images)
    write_idx(raw / f"emnist-{split}-train-labels-idx1-ubyte", labels)
    write_idx(raw / f"emnist-{split}-test-images-idx3-ubyte", test_images)
    write_idx(raw / f"emnist-{split}-test-labels-idx1-ubyte", torch.arange(test) % classes + first)
    return images, test_images, labels


@pytest.mark.parametrize("split", idx.parts)
def test_emnist_is_turned_upright_and_its_letters_are_counted_from_zero(split, folder: Path, tmp_path: Path) -> None:
    first = 1 if split == "letters" else 0
    images, test_images, labels = write_emnist(folder, split, first, idx.parts[split].classes)
    data = EMNIST(EMNIST.Config(split=split)).load(source(folder, tmp_path))
    assert_split(data, images.mT.unsqueeze(1), test_images.mT.unsqueeze(1), labels - first)
    assert data.info.classes == idx.parts[split].classes
    assert data.train.labels is not None
    assert int(data.train.labels.min()) == 0


def test_emnists_splits_do_not_meet_in_the_cache(folder: Path, tmp_path: Path) -> None:
    write_emnist(folder, "letters", 1, 26)
    write_emnist(folder, "digits", 0, 10)
    letters, digits = (EMNIST(EMNIST.Config(split=s)).load(source(folder, tmp_path)) for s in ("letters", "digits"))
    assert (letters.info.classes, digits.info.classes) == (26, 10)
    assert len(list((tmp_path / "cache" / "decoded").iterdir())) == 2


@pytest.mark.parametrize("label", [0, 27])
def test_a_label_that_is_no_letter_is_refused(label: int, folder: Path, tmp_path: Path) -> None:
    write_emnist(folder, "letters", 1, 26)
    labels = torch.full((test,), label)
    write_idx(folder / "EMNIST" / "raw" / "emnist-letters-test-labels-idx1-ubyte", labels)
    with pytest.raises(DataError, match=r"emnist-letters-test-labels-idx1-ubyte.*labels outside 0 to 25"):
        EMNIST(EMNIST.Config()).load(source(folder, tmp_path))


def test_what_is_missing_is_named_with_the_words_that_get_it(folder: Path, tmp_path: Path) -> None:
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
    """As torchvision's EMNIST, which looks for the files of one part alone before it downloads."""
    from torchvision import datasets

    root, emnist = tmp_path / "cache" / "data" / "EMNIST" / "raw", EMNIST(EMNIST.Config(split="digits"))
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
    """Write CIFAR-10's files, and put their digests in place of those that torchvision knows of the real ones."""
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
    assert_is_cifar(CIFAR10(NoSettings()).load(source(cifar, tmp_path)))


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
def test_a_damaged_file_of_cifar_is_among_those_that_are_named(name: str, cifar: Path, tmp_path: Path) -> None:
    path = cifar / "cifar-10-batches-py" / name
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DataError, match=rf"data_batch_1 or .*{name}.* corrupt"):
        CIFAR10(NoSettings()).load(source(cifar, tmp_path))


@pytest.fixture
def mirror(cifar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Serve CIFAR-10's archive in place of its own server, and return what was asked for."""
    from torchvision import datasets

    served = tmp_path / "served"
    served.mkdir()
    with tarfile.open(served / "cifar.tar.gz", "w:gz") as archive:
        archive.add(cifar / "cifar-10-batches-py", "cifar-10-batches-py")
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            asked.append(str(args[0]))

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=served))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setattr(datasets.CIFAR10, "url", f"http://127.0.0.1:{server.server_port}/cifar.tar.gz")
    digest = hashlib.md5((served / "cifar.tar.gz").read_bytes()).hexdigest()
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", digest)
    yield asked
    server.shutdown()
    server.server_close()
    thread.join()


def test_cifar_is_downloaded_into_the_cache_once(mirror: list[str], tmp_path: Path) -> None:
    assert_is_cifar(CIFAR10(NoSettings()).load(source(None, tmp_path)))
    requests = len(mirror)
    assert requests > 0
    assert_is_cifar(CIFAR10(NoSettings()).load(source(None, tmp_path)))
    assert len(mirror) == requests
    assert (tmp_path / "cache" / "data" / "cifar-10-batches-py" / "test_batch").is_file()


def test_a_download_of_cifar_that_fails_says_where_to_put_the_files(
    mirror: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision import datasets

    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", "0" * 32)
    with pytest.raises(DataError, match=r"CIFAR10 could not be downloaded .*cifar-10-batches-py.*--data-dir DIR"):
        CIFAR10(NoSettings()).load(source(None, tmp_path))


def test_colour_images_are_binarised_and_dequantised_as_grey_ones_are(cifar: Path, tmp_path: Path) -> None:
    seen = {}
    for name in ("cifar10", "binarized-cifar10", "dequantized-cifar10"):
        spec = registry.get("dataset", name).spec
        data = load_dataset(spec, dataset_config_type(spec)(), source(cifar, tmp_path))
        assert data.train.batch(torch.arange(4), Noise(0)).shape == (4, 3, 32, 32)
        seen[name] = (data.info.support, data.info.dequantized)
    assert list(seen.values()) == [("unit", False), ("binary", False), ("unit", True)]


@pytest.mark.parametrize("name", ["kmnist", "emnist"])
def test_grey_sets_have_three_forms_too(name: str) -> None:
    base, *forms = (registry.get("dataset", f"{form}{name}").spec for form in ("", "binarized-", "dequantized-"))
    assert [form.factory for form in forms] == [base.factory] * 2
