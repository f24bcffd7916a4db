"""Decoded data is mapped from the cache after it is checked."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from harness import DataSource


class Decoding:
    """A file of bytes decoded through a cache, with the number of decodings and the announced lines."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.file = folder / "bytes"
        self.file.write_bytes(bytes(range(256)))
        self.times = 0
        self.announced: list[str] = []
        self.source = DataSource(folder, cache, self.announced.append)

    def decode(self) -> dict[str, Tensor]:
        self.times += 1
        values = torch.tensor(list(self.file.read_bytes()), dtype=torch.uint8)
        return {"values": values[:200].view(-1, 2), "rest": values[200:], "sum": values.sum()}

    def __call__(self) -> dict[str, Tensor]:
        return self.source.decoded("bytes", [self.file], self.decode)

    @property
    def copy(self) -> Path:
        (copy,) = (self.source.cache_dir / "decoded").iterdir()
        return copy


@pytest.fixture
def decoding(tmp_path: Path) -> Decoding:
    return Decoding(tmp_path, tmp_path / "cache")


def assert_equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    for name, each in a.items():
        assert each.dtype == b[name].dtype
        assert torch.equal(each, b[name])


def kept(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return copies, since a change of the file that tensors are mapped from changes the tensors."""
    return {name: each.clone() for name, each in tensors.items()}


def test_data_is_decoded_only_once(decoding: Decoding) -> None:
    assert_equal(decoding(), decoding())
    assert decoding.times == 1
    assert decoding.announced == []


def test_writing_to_the_tensors_does_not_change_the_copy(decoding: Decoding) -> None:
    first = decoding()
    mapped = decoding()
    mapped["values"].zero_()
    assert_equal(first, decoding())
    assert decoding.times == 1


@pytest.mark.parametrize("part", ["the header's length", "a name", "the digest", "the first value", "the last value"])
def test_a_flipped_bit_is_detected_announced_and_repaired(decoding: Decoding, part: str) -> None:
    first, copy = kept(decoding()), decoding.copy
    content = bytearray(copy.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    place = {
        "the header's length": 0,
        "a name": content.index(b'"values"') + 1,
        "the digest": content.index(b'"digest":"') + 10,
        "the first value": header,
        "the last value": len(content) - 1,
    }[part]
    content[place] ^= 1
    copy.write_bytes(content)
    assert_equal(first, decoding())
    assert decoding.times == 2
    assert decoding.announced == [f"{copy} is damaged: decoding the data again"]
    assert_equal(first, decoding())
    assert decoding.times == 2


@pytest.mark.parametrize("length", [0, 5, -1])
def test_a_truncated_copy_is_detected_announced_and_repaired(decoding: Decoding, length: int) -> None:
    first, copy = kept(decoding()), decoding.copy
    copy.write_bytes(copy.read_bytes()[:length])
    assert_equal(first, decoding())
    assert decoding.announced == [f"{copy} is damaged: decoding the data again"]
    assert_equal(first, decoding())
    assert decoding.times == 2


def test_a_file_that_changed_is_decoded_again(decoding: Decoding) -> None:
    decoding()
    status = decoding.file.stat()
    decoding.file.write_bytes(bytes(256))
    os.utime(decoding.file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert int(decoding()["sum"]) == 0
    decoding.file.write_bytes(bytes([1] * 257))
    os.utime(decoding.file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert int(decoding()["sum"]) == 257
    assert decoding.times == 3
    assert decoding.announced == []


def test_folders_with_files_of_the_same_name_have_separate_copies(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    a, b = (Decoding(tmp_path / name, tmp_path / "cache") for name in "ab")
    for _ in range(2):
        a()
        b()
    assert (a.times, b.times) == (1, 1)


def test_a_file_that_is_reached_through_links_is_not_decoded_again(decoding: Decoding, tmp_path: Path) -> None:
    decoding()
    (tmp_path / "folder").symlink_to(tmp_path)
    (tmp_path / "file").symlink_to("bytes")
    for path in (tmp_path / "folder" / "bytes", tmp_path / "file", tmp_path / "folder" / "file"):
        decoding.source.decoded("bytes", [path], decoding.decode)
    assert decoding.times == 1


def test_with_an_unwritable_cache_the_data_is_still_decoded(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    decoding = Decoding(tmp_path, tmp_path / "file" / "below")
    assert_equal(decoding(), decoding())
    assert decoding.times == 2
    assert len(decoding.announced) == 2
    assert "cannot be kept" in decoding.announced[0]
    assert "Not a directory" in decoding.announced[0]


def test_the_copy_of_many_files_has_a_short_header(tmp_path: Path) -> None:
    files = [tmp_path / f"{number:04}" for number in range(1000)]
    for file in files:
        file.touch()
    for _ in range(2):
        found = DataSource(None, tmp_path / "cache", print).decoded("many", files, lambda: {"zero": torch.zeros(1)})
    assert found["zero"].item() == 0
    (copy,) = (tmp_path / "cache" / "decoded").iterdir()
    assert copy.stat().st_size < 1000


decodes_much = """
import re, sys
import torch
from pathlib import Path
from harness import DataSource

def mib():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

before = mib()
file, cache = map(Path, sys.argv[1:])
decode = lambda: {"ones": torch.ones(200 * 2**20, dtype=torch.uint8)}
found = DataSource(None, cache, print).decoded("ones", [file], decode)
assert found["ones"][-1] == 1
print(mib() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_data_that_were_just_decoded_take_no_memory_either(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    command = [sys.executable, "-c", decodes_much, str(tmp_path / "file"), str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 100  # MiB, of 200


full_disk = """
import resource, signal, sys
import torch
from pathlib import Path
from harness import DataSource

file, cache = map(Path, sys.argv[1:])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
big = DataSource(None, cache, print).decoded("big", [file], lambda: {"zeros": torch.zeros(10_000)})
assert len(big["zeros"]) == 10_000
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
def test_with_a_full_disk_the_data_is_still_decoded_and_no_files_are_left(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    command = [sys.executable, "-c", full_disk, str(tmp_path / "file"), str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1
    assert "cannot be kept" in done.stdout
    assert list((tmp_path / "cache" / "decoded").iterdir()) == []


writes_often = """
import os, sys
import torch
from pathlib import Path
from harness import DataSource

file, cache = map(Path, sys.argv[1:])
zeros = torch.zeros(100_000)
for _ in range(100):
    os.utime(file)
    decoded = DataSource(None, cache, print).decoded("zeros", [file], lambda: {"zeros": zeros})
    assert torch.equal(decoded["zeros"], zeros)
"""


def test_two_processes_can_write_the_same_copy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    command = [sys.executable, "-c", writes_often, str(tmp_path / "file"), str(tmp_path / "cache")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    assert [(process.communicate()[0], process.returncode) for process in both] == [("", 0), ("", 0)]
    assert len(list((tmp_path / "cache" / "decoded").iterdir())) == 1
