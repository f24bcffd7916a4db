"""Serves the page on the loopback interface, built again whenever the store has changed."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from harness.errors import HarnessError, UsageError
from harness.results.curation import hidden_file, titles_file
from harness.results.store import Store

loopback = "127.0.0.1"
_names = (loopback, "localhost")


class Pages:
    """The page of a store as it is now.

    Args:
        build: returns the page.
        store: its files decide when the page is built again.
    """

    def __init__(self, build: Callable[[], str], store: Store) -> None:
        self._build = build
        self._store = store
        self._lock = threading.Lock()
        self._state: object = None
        self._page = b""
        self._version = ""

    def current(self) -> tuple[bytes, str]:
        """Return the page and its version, a hash of it.

        Raises:
            StoreError: the store cannot be read.
        """
        with self._lock:
            state = self._state_of_store()
            if state != self._state:
                self._page = self._build().encode()
                self._version = hashlib.sha256(self._page).hexdigest()[:32]
                self._state = state
            return self._page, self._version

    def _state_of_store(self) -> object:
        """Return what changes when a record, a fit or a figure is written, or a result is hidden or renamed."""
        root = self._store.root
        files = [self._store.records_file, hidden_file(self._store), titles_file(self._store)]
        files += [*root.glob("fits/[!.]*/fit.json"), *root.glob("fits/[!.]*/figures/*.png")]
        found = {}
        for path in files:
            try:
                status = path.stat()
            except OSError:  # it has just been replaced, or does not exist yet
                continue
            found[path] = status.st_mtime_ns, status.st_size
        return found


def serve(pages: Pages, port: int, announce: Callable[[str], None]) -> None:
    """Serve the page on this computer only, until the process is interrupted.

    Args:
        pages: gives the page.
        port: 0 for a free one.
        announce: is called with the address when the page is built.

    Raises:
        StoreError: the store cannot be read.
        UsageError: the port is taken or may not be used.
    """
    try:
        server = _Server((loopback, port), _Handler)
    except OSError as error:
        raise UsageError(f"port {port}: {error.strerror}; name another port, or 0 for a free one") from error
    server.pages = pages
    with server:
        pages.current()
        announce(f"http://{loopback}:{server.server_port}/")
        server.serve_forever(poll_interval=0.1)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    pages: Pages

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report an error, but not that a browser has closed its connection."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Answers GET requests for the page and its version; nothing is read from disk by name."""

    server: _Server
    server_version, sys_version = "harness", ""
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        """Answer with the page, its version, or an error."""
        hosts = {f"{name}:{self.server.server_port}" for name in _names}
        # A page of another site can name this address as its own (DNS rebinding); its requests then have its host.
        if self.headers.get("Host", "") not in hosts | (set(_names) if self.server.server_port == 80 else set()):
            self._answer(HTTPStatus.FORBIDDEN, b"this server answers requests for localhost only\n")
            return
        path = self.path.partition("?")[0]
        if path not in ("/", "/version"):
            self._answer(HTTPStatus.NOT_FOUND, b"there is only /\n")
            return
        try:
            page, version = self.server.pages.current()
        except HarnessError as error:
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, f"{error}\n".encode())
            return
        if path == "/version":
            self._answer(HTTPStatus.OK, version.encode())
        elif self.headers.get("If-None-Match") == f'"{version}"':
            self._answer(HTTPStatus.NOT_MODIFIED, b"", version)
        else:
            self._answer(HTTPStatus.OK, page, version)

    def _answer(self, status: HTTPStatus, body: bytes, version: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"text/{'html' if version else 'plain'}; charset=utf-8")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("X-Frame-Options", "DENY")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Referrer-Policy", "no-referrer")
        if version:
            self.send_header("ETag", f'"{version}"')
        if status is not HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the name of the base class
        """Write no line for each request."""
