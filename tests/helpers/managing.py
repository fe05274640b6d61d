"""Management APIs that answer what a test wants."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.helpers.servers import HOST


@contextmanager
def answering(status: int, body: bytes) -> Iterator[tuple[str, list[str]]]:
    """A server that gives every question the same answer, and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with serving(Handler) as port:
        yield f"http://{HOST}:{port}", asked


@contextmanager
def telling(pages: dict[str, Any], states: dict[str, int] | None = None) -> Iterator[tuple[str, list[str]]]:
    """A server that answers by the first word behind ``/api``, or that of an exchange, and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            words = self.path.partition("?")[0].split("/")[2:]
            key = words[2] if words[0] == "exchanges" else words[0]
            missing: Any = [] if words[0] == "exchanges" else None
            body = pages.get(key, missing)
            self.send_response(404 if body is None else (states or {}).get(key, 200))
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None: ...

    with serving(Handler) as port:
        yield f"http://{HOST}:{port}", asked


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    server = ThreadingHTTPServer((HOST, 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
