"""Running the server: its socket, its name, and its end."""

import contextlib
import signal
import socket
from urllib.parse import urlsplit

import uvicorn

from valenza.annotate.guard import App
from valenza.errors import UsageError
from valenza.terminal import say

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - names to recognise
_GRACE = 5  # seconds for requests under way when the server is told to end
_CROWD = 512  # connections at once; each holds a bounded piece of memory


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; raises `UsageError` where the address cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # Only where the protocol is named does asyncio send answers at once, instead of 40 ms later.
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UsageError(f"--host {host}: {error.strerror or error}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_CROWD)
    except OSError as error:
        listener.close()
        raise UsageError(f"--host {host} --port {port}: cannot listen there: {error.strerror or error}") from None
    return listener


def local_url(host: str, port: int) -> str:
    """Return where this machine finds the server."""
    name = "localhost" if host in EVERYWHERE else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}"


def read_public_url(url: str) -> str:
    """Return where annotators find the server, without a slash at the end; raises `UsageError` where it is no such."""
    try:
        parts = urlsplit(url)
        well = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        well = None
    if not well or parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None:
        raise UsageError(f"--public-url {url}: give http(s)://name or http(s)://name:port, with no path")
    return f"{parts.scheme}://{parts.netloc}"


def known_hosts(host: str, public_url: str | None) -> frozenset[str]:
    """Return the names that the server answers under."""
    public = urlsplit(public_url).hostname if public_url else None
    return frozenset({host, "localhost", "127.0.0.1", "::1"} | ({public} if public else set()))


def run(app: App, listener: socket.socket) -> None:
    """Serve until the process is told to end; requests under way are finished first."""
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="off",
        limit_concurrency=_CROWD,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=_GRACE,
    )
    # uvicorn raises the signal again once it has ended well; that end is not a failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    with contextlib.closing(listener):
        uvicorn.Server(config).run(sockets=[listener])
    say("stopped; every vote that was accepted is stored")
