"""What every request passes before the application: its host, its origin, its size; and what every answer carries."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from valenza.annotate.schema import RefusedError
from valenza.terminal import say

LARGEST_BODY = 16_384
"""Bytes; a vote has some 250."""
SLOWEST_BODY = 5.0
"""Seconds."""
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
_RAW_HEADERS = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Guard:
    """An ASGI application around another.

    It answers only under the hosts it was told, so that a stranger's domain that points here reads nothing; refuses
    requests that a page of another origin makes; reads bodies up to a limit; and logs method, path and status, but
    no address, header or query, so neither a token nor a person can be found in the log.
    """

    def __init__(self, app: App, hosts: Collection[str], known: Callable[[str], bool]) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._known = known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 0

        async def answer(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *_RAW_HEADERS]
            await send(message)

        try:
            self._admit(scope)
            if scope["method"] in ("POST", "PUT", "PATCH", "DELETE"):
                receive = _again(await _read(scope, receive))
            await self._app(scope, receive, answer)
        except RefusedError as error:
            await _refuse(answer, error)
        finally:
            path = scope["path"] if self._known(scope["path"]) else "(unknown)"
            if path != "/healthz":
                say(f"{scope['method'][:8]} {path} {status} {1000 * (time.monotonic() - began):.0f} ms")

    def _admit(self, scope: Scope) -> None:
        headers = _single(scope)
        host = headers.get("host", "")
        if _name(host) not in self._hosts:
            raise RefusedError(421, "this server answers under another name; see --public-url")
        origin = headers.get("origin")
        foreign = origin is not None and _place(origin) != _place(f"//{host}")
        elsewhere = headers.get("sec-fetch-site", "same-origin") in ("cross-site", "same-site")
        # Following a link to the page is no harm; anything else that a foreign page starts is.
        followed = headers.get("sec-fetch-mode") == "navigate" and scope["path"] == "/"
        if foreign or (elsewhere and not followed):
            raise RefusedError(403, "requests of other sites are not answered")
        if scope["method"] == "POST" and headers.get("content-type", "").partition(";")[0].strip().lower() != (
            "application/json"
        ):
            raise RefusedError(415, "send JSON, as application/json")


def _single(scope: Scope) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw, value in scope["headers"]:
        name = raw.decode("latin-1").lower()
        if name in headers and name in ("host", "origin", "content-type", "content-length"):
            raise RefusedError(400, f"the header {name} is there twice")
        headers[name] = value.decode("latin-1")
    return headers


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


async def _read(scope: Scope, receive: Receive) -> bytes:
    length = _single(scope).get("content-length", "0")
    if not length.isdecimal() or int(length[:12]) > LARGEST_BODY:
        raise RefusedError(413, f"a request has at most {LARGEST_BODY:,} bytes")
    body = b""
    try:
        async with asyncio.timeout(SLOWEST_BODY):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise RefusedError(400, "the request was cut off")
                body += bytes(message.get("body", b""))
                if len(body) > LARGEST_BODY:
                    raise RefusedError(413, f"a request has at most {LARGEST_BODY:,} bytes")
                if not message.get("more_body"):
                    return body
    except TimeoutError:
        raise RefusedError(408, "the request came too slowly") from None


def _again(body: bytes) -> Receive:
    sent = False

    async def receive() -> MutableMapping[str, Any]:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _refuse(send: Send, error: RefusedError) -> None:
    body = json.dumps({"detail": error.reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if error.status in (408, 413):  # the rest of the body is not wanted
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
