"""A web server that gives out a folder, or stands before another server, and misbehaves as it is told."""

import http.client
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

STALL, PAUSE, CUT, LONGER, SHORTER = "stall", "pause", "cut", "longer", "shorter"
"""Say nothing; say nothing any more from the middle on; end there; state too long or too short a length."""
FLIP, WHOLE, ELSEWHERE, TRICKLE = "flip", "whole", "elsewhere", "trickle"
"""Change a byte; ignore the range that was asked for; answer with another one; one byte now and then."""
Fault = str | int | None
"""One of these, a status to answer with, or an address to redirect to."""


@dataclass
class Hostile:
    """What a server does next, and what it was asked for."""

    backend: Callable[[str, str, dict[str, str]], tuple[int, dict[str, str], bytes]]
    faults: Iterator[Fault] = field(default_factory=lambda: iter(()))
    """One for each GET; none where there are no more."""
    only: str = ""
    """Faults are for paths that hold this."""
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path and range of every request."""
    done: list[Fault] = field(default_factory=list)
    """The faults that were committed."""
    port: int = 0
    released: threading.Event = field(default_factory=threading.Event)

    def gets(self, ending: str) -> list[str]:
        """The ranges that were asked for of files whose path ends so."""
        return [span for method, path, span in self.asked if method == "GET" and urlsplit(path).path.endswith(ending)]

    def misbehave(self, faults: Iterable[Fault], only: str = "") -> None:
        """Commit these faults from now on, and forget what was asked before."""
        self.faults, self.only = iter(faults), only
        self.asked.clear()
        self.done.clear()


def folder(root: Path) -> Callable[[str, str, dict[str, str]], tuple[int, dict[str, str], bytes]]:
    """Give out the files of a folder as a web server does, and as the JSON interface of Google's buckets does."""

    def answer(method: str, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        name = unquote(urlsplit(path).path.partition("/storage/v1/b/")[2].replace("/o/", "/", 1)) or urlsplit(path).path
        file = root / name.lstrip("/")
        if not file.is_file():
            return 404, {}, b"no such file"
        data = file.read_bytes()
        span = headers.get("range", "").removeprefix("bytes=")
        if not span:
            return 200, {}, data
        first, _, last = span.partition("-")
        start, end = int(first), min(int(last or len(data)) + 1, len(data))
        if start >= len(data):
            return 416, {"Content-Range": f"bytes */{len(data)}"}, b""
        return 206, {"Content-Range": f"bytes {start}-{end - 1}/{len(data)}"}, data[start:end]

    return answer


def before(port: int) -> Callable[[str, str, dict[str, str]], tuple[int, dict[str, str], bytes]]:
    """Hand every request on to a server of this machine."""

    def answer(method: str, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request(method, path, headers={k: v for k, v in headers.items() if k != "connection"})
            found = connection.getresponse()
            data = found.read()
            dropped = {"content-length", "transfer-encoding", "connection", "date", "server"}
            kept = {k: v for k, v in found.getheaders() if k.lower() not in dropped}
            if method == "HEAD":
                kept["Content-Length"] = found.headers["Content-Length"] or "0"
            return found.status, kept, data
        finally:
            connection.close()

    return answer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hostile: Hostile
    lock: threading.Lock

    def do_HEAD(self) -> None:
        self._answer(None)

    def do_GET(self) -> None:
        with self.lock:
            fault = next(self.hostile.faults, None) if self.hostile.only in self.path else None
            self.hostile.done += [fault] if fault is not None else []
        self._answer(fault)

    def _answer(self, fault: Fault) -> None:
        headers = {k.lower(): v for k, v in self.headers.items()}
        with self.lock:
            self.hostile.asked.append((self.command, self.path, headers.get("range", "")))
        if fault == WHOLE:
            headers.pop("range", None)
        if fault == ELSEWHERE and "range" in headers:
            headers["range"] = "bytes=1-"
        status, extra, data = self.hostile.backend(self.command, self.path, headers)
        if isinstance(fault, int):
            status, extra, data = fault, {}, b"<Error><Code>SlowDown</Code></Error>"
        elif fault is not None and "://" in fault:
            status, extra, data = 302, {"Location": fault}, b""
        if fault == FLIP and data:
            middle = len(data) // 2
            data = data[:middle] + bytes([data[middle] ^ 16]) + data[middle + 1 :]
        length = len(data) + {LONGER: 1000, SHORTER: -(len(data) // 3)}.get(str(fault), 0)
        if fault == STALL:
            self.hostile.released.wait(20)
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in {"Content-Length": str(length), **extra}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault == TRICKLE:
            for byte in data[:400]:
                self.wfile.write(bytes([byte]))
                if self.hostile.released.wait(0.05):
                    break
            self.close_connection = True
            return
        self.wfile.write(data[: len(data) // 2] if fault in {CUT, PAUSE} else data[:length])
        if fault == PAUSE:
            self.hostile.released.wait(20)
        self.close_connection = fault in {CUT, PAUSE, LONGER, SHORTER}

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Print nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing where a client hung up."""


@contextmanager
def hostile(backend: Callable[[str, str, dict[str, str]], tuple[int, dict[str, str], bytes]]) -> Iterator[Hostile]:
    """Run such a server on this machine."""
    state = Hostile(backend)
    handler = type("_Bound", (_Handler,), {"hostile": state, "lock": threading.Lock()})
    server = _Server(("127.0.0.1", 0), handler)
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.released.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
