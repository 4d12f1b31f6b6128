"""Where a server is found: its socket, its names and its address."""

import socket
from urllib.parse import urlsplit

from valenza.errors import UsageError

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - names to recognise
CROWD = 256
"""Connections that wait for a request, and requests that are answered, at once; WebSockets are counted by themselves.

All together stay below the 1,024 files that a process may usually have open.
"""


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
        listener.listen(2 * CROWD)
    except OSError as error:
        listener.close()
        raise UsageError(f"--host {host} --port {port}: cannot listen there: {error.strerror or error}") from None
    return listener


def local_url(host: str, port: int) -> str:
    """Return where this machine finds the server."""
    name = "localhost" if host in EVERYWHERE else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}"


def read_public_url(url: str) -> str:
    """Return where people find the server, without a slash at the end; raises `UsageError` where it is no such."""
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
