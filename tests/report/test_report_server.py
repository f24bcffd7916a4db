"""``harness report --serve`` answers this computer only, and follows the store."""

from __future__ import annotations

import http.client
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from stored_models import Page, picture, record, small_store

from harness.results.curation import hide
from harness.results.store import Store


class Served:
    """A running server, and requests to it."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "harness", "report", "--serve", "--port", "0", *words],
            cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.fullmatch(r"the report is at http://127\.0\.0\.1:(\d+)/ until Ctrl-C\n", line)
        assert found, line
        self.port = int(found[1])

    def get(self, path: str = "/", method: str = "GET", **headers: str) -> tuple[int, str, dict[str, str]]:
        """Return status, body and headers of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, body, {name.lower(): value for name, value in answer.getheaders()}

    def stop(self) -> tuple[int, str]:
        """Press Ctrl-C; return the exit code and what was written to standard error."""
        self.process.send_signal(signal.SIGINT)
        _, error = self.process.communicate(timeout=60)
        return self.process.returncode, error


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    small_store(tmp_path / "runs")
    server = Served(tmp_path)
    yield server
    server.process.kill()
    server.process.communicate()


def test_it_serves_the_page_and_stops_at_once(served: Served) -> None:
    status, body, headers = served.get()
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "vae, iwae, pca and gan on digits and cats" in body
    assert any("connect-src 'self'" in each.get("content", "") for each in Page(body).all("meta"))
    assert served.get(If_None_Match=headers["etag"])[:2] == (304, "")
    assert served.get("/version")[1] == headers["etag"].strip('"')
    code, error = served.stop()
    assert (code, error.strip()) == (130, "harness: interrupted")


def test_other_hosts_methods_and_paths_are_refused(served: Served) -> None:
    for host in (
        "evil.example",
        f"evil.example:{served.port}",
        "",
        f"127.0.0.1.evil.example:{served.port}",
        "127.0.0.1:1",
    ):
        status, body, _ = served.get(Host=host)
        assert (status, "digits" in body) == (403, False), host
        assert served.get("/version", Host=host)[0] == 403
    assert served.get(Host=f"localhost:{served.port}")[0] == 200
    for method in ("POST", "PUT", "DELETE", "HEAD", "OPTIONS"):
        assert served.get(method=method)[0] == 501
    for path in ("/runs/records.jsonl", "/../runs/records.jsonl", "/%2e%2e/etc/passwd", "//etc/passwd", "/report.html"):
        assert served.get(path)[0] == 404
    assert "access-control-allow-origin" not in served.get()[2]


def test_it_listens_on_the_loopback_interface_only(served: Served) -> None:
    listening = {}
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            address, port = fields[1].rsplit(":", 1)
            if fields[3] == "0A" and int(port, 16) == served.port:
                listening[name] = address
    assert listening == {"tcp": "0100007F"}


def test_the_page_follows_the_store(served: Served, tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    _, before, _ = served.get("/version")
    assert served.get("/version")[1] == before
    store.append(record("newcomer", "elbo", -77.25, n=50))
    _, after, _ = served.get("/version")
    assert after != before
    assert "−77.25" in served.get()[1]
    store.write_figure("iwae-0", "reconstructions", picture(5, 30, 20))
    assert "reconstructions of iwae" in served.get()[1]


def test_the_page_leaves_out_what_is_hidden(served: Served, tmp_path: Path) -> None:
    assert "iwae" in served.get()[1]
    store = Store(tmp_path / "runs")
    hide(store, [each.cell_key for each in store.records() if each.model["name"] == "iwae"])
    assert "iwae" not in served.get()[1]


def test_it_can_be_started_before_the_first_result(tmp_path: Path) -> None:
    server = Served(tmp_path, "--metric", "elbo")
    try:
        assert "No results yet" in server.get()[1]
        small_store(tmp_path / "runs")
        body = server.get()[1]
        assert "vae, iwae, pca and gan on digits" in body
        assert "parameters" not in re.sub(r"<dl.*?</dl>|<style.*?</style>", "", body.lower(), flags=re.DOTALL)
    finally:
        code, _ = server.stop()
    assert code == 130


def test_a_store_that_cannot_be_read_is_an_error_until_it_can(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "runs" / "records.jsonl"
    content = file.read_bytes()
    file.unlink()
    file.mkdir()
    status, body, _ = served.get()
    assert (status, "cannot read" in body) == (503, True)
    file.rmdir()
    file.write_bytes(content)
    assert served.get()[0] == 200


def test_a_line_that_cannot_be_read_is_one_warning(served: Served, tmp_path: Path) -> None:
    with (tmp_path / "runs" / "records.jsonl").open("a") as file:
        file.write("{\n")
    assert served.get()[0] == 200
    Store(tmp_path / "runs").write_figure("vae-0", "codes", picture(0, 10, 10))
    assert "codes of vae" in served.get()[1]
    _, error = served.stop()
    assert error.count("not a readable record") == 1


def test_a_port_that_is_taken_is_a_usage_error(tmp_path: Path) -> None:
    small_store(tmp_path / "runs")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "harness", "report", "--serve", "--port", port],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"harness: port {port}: Address already in use; name another port, or 0 for a free one\n"
