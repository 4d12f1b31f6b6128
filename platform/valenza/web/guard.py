"""What every request passes before the application: its host, its origin, its size; and what every answer carries."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from valenza.terminal import say
from valenza.web.address import CROWD

HEADERS = {
    # Blobs are how three.js reads the textures inside a GLB; element styles are set by script, which needs no leave.
    "content-security-policy": (
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "media-src 'self' blob:; connect-src 'self' blob:; worker-src 'self'; object-src 'none'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
_PATH = 120  # characters of one in the log
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class RefusedError(Exception):
    """A request that is refused, with its HTTP status and the reason for whoever made it."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True)
class Intake:
    """Which bodies are taken."""

    types: Collection[str]
    """Media types."""
    largest: int
    """Bytes."""
    slowest: float
    """Seconds."""


JSON = Intake(("application/json",), 16_384, 5.0)
"""Small JSON; a vote has some 250 bytes."""


class Guard:
    """An ASGI application around another.

    It answers only under the hosts it was told, so that a stranger's domain that points here reads nothing; refuses
    requests and sockets that a page of another origin opens, `public` being an origin of its own wherever a proxy
    says that it is; answers so many requests at once; reads bodies up to a limit, except at the addresses in `unread`,
    where the application does; and logs method, path and status, but no address, header or query, so neither a token
    nor a person can be found in the log.
    """

    def __init__(
        self,
        app: App,
        hosts: Collection[str],
        known: Callable[[str], bool],
        *,
        intake: Intake = JSON,
        unread: Collection[str] = (),
        headers: Mapping[str, str] = HEADERS,
        public: str | None = None,
    ) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._known = known
        self._intake = intake
        self._unread = frozenset(unread)
        self._public = None if public is None else _origin(public)
        self._under_way = 0
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        socket = scope["type"] == "websocket"
        began, status = time.monotonic(), 101 if socket else 0

        async def answer(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *self._headers]
            await send(message)

        self._under_way += not socket
        try:
            self._admit(scope)
            if not socket and _has_body(scope) and scope["path"] not in self._unread:
                receive = _again(await self._read(scope, receive))
            await self._app(scope, receive, answer)
        except RefusedError as error:
            await refuse(answer, error, "websocket.http" if socket else "http")
        finally:
            self._under_way -= not socket
            # Quoted: whoever asks for a path with a line break in it must not write lines of this log.
            path = repr(scope["path"][:_PATH])[1:-1] if self._known(scope["path"]) else "(unknown)"
            if path != "/healthz":
                took = time.monotonic() - began
                method = "SOCKET" if socket else scope["method"][:8]
                say(f"{method} {path} {status} " + (f"{took:.1f} s" if socket else f"{1000 * took:.0f} ms"))

    def _admit(self, scope: Scope) -> None:
        headers = single_headers(scope)
        host = headers.get("host", "")
        if _name(host) not in self._hosts:
            raise RefusedError(421, "this server answers under another name; see --public-url")
        origin = headers.get("origin")
        foreign = origin is not None and _place(origin) != _place(f"//{host}") and _origin(origin) != self._public
        elsewhere = headers.get("sec-fetch-site", "same-origin") in ("cross-site", "same-site")
        # Following a link to the page is no harm; anything else that a foreign page starts is.
        followed = headers.get("sec-fetch-mode") == "navigate" and scope["path"] == "/"
        if foreign or (elsewhere and not followed):
            raise RefusedError(403, "requests of other sites are not answered")
        if scope["type"] != "http":
            return
        if self._under_way > CROWD:
            raise RefusedError(503, "too many requests at once; try again later")
        if scope["method"] != "POST" or scope["path"] in self._unread:
            return
        if headers.get("content-type", "").partition(";")[0].strip().lower() not in self._intake.types:
            raise RefusedError(415, "send JSON, as application/json")

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        largest = self._intake.largest
        length = single_headers(scope).get("content-length", "0")
        if not length.isdecimal() or int(length[:12]) > largest:
            raise RefusedError(413, f"a request has at most {largest:,} bytes")
        body = b""
        try:
            async with asyncio.timeout(self._intake.slowest):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise RefusedError(400, "the request was cut off")
                    body += bytes(message.get("body", b""))
                    if len(body) > largest:
                        raise RefusedError(413, f"a request has at most {largest:,} bytes")
                    if not message.get("more_body"):
                        return body
        except TimeoutError:
            raise RefusedError(408, "the request came too slowly") from None


def single_headers(scope: Scope) -> dict[str, str]:
    """Return the headers of a request by their names in small letters; raises where one that decides is there twice."""
    headers: dict[str, str] = {}
    for raw, value in scope["headers"]:
        name = raw.decode("latin-1").lower()
        if name in headers and name in ("host", "origin", "content-type", "content-length"):
            raise RefusedError(400, f"the header {name} is there twice")
        headers[name] = value.decode("latin-1")
    return headers


async def refuse(send: Send, error: RefusedError, kind: str = "http") -> None:
    """Answer a request with the reason why it is refused."""
    body = json.dumps({"detail": error.reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if error.status in (408, 413):  # the rest of the body is not wanted
        headers.append((b"connection", b"close"))
    await send({"type": f"{kind}.response.start", "status": error.status, "headers": headers})
    await send({"type": f"{kind}.response.body", "body": body})


def _has_body(scope: Scope) -> bool:
    return scope["method"] in ("POST", "PUT", "PATCH", "DELETE")


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _place(url: str) -> tuple[str, int | None] | None:
    """Return host and port of an origin, a usual port being none."""
    try:
        parts = urlsplit(url)
        return (parts.hostname or "", None if parts.port in (80, 443) else parts.port)
    except ValueError:
        return None


def _origin(url: str) -> tuple[str, tuple[str, int | None] | None]:
    return url.partition(":")[0].lower(), _place(url)


def _again(body: bytes) -> Receive:
    sent = False

    async def receive() -> MutableMapping[str, Any]:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
