"""The file systems of fsspec that shards are read through, and their files as blocks of bytes; nothing is retried."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Protocol, runtime_checkable

from valenza.place import Remote

_LASTING = frozenset(range(400, 500)) - {408, 425, 429}
"""HTTP errors that asking again does not mend."""


class RefusedError(Exception):
    """What asking again does not mend."""


class BrokenOffError(Exception):
    """What asking again may mend."""


@runtime_checkable
class Blocks(Protocol):
    """A file as a server gives it out."""

    def block(self, start: int, count: int) -> bytes:
        """Return `count` bytes from `start`; fewer where the file ends there, or is said to."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


@contextmanager
def opened(place: Remote, seconds: float) -> Iterator[Blocks]:
    """Lend a file of a server; nothing is asked before the first block is, and no block takes longer than `seconds`."""
    found: Blocks = (_Stream if place.scheme in {"https", "http"} else _Object)(place, seconds)
    try:
        yield found
    finally:
        found.close()


def listed(place: Remote, seconds: float) -> list[str]:
    """Return the names of the folders in a folder of a bucket."""
    found = _file_system(place.scheme).ls(f"{place.host}{place.path}", detail=True, timeout=seconds)
    return [one["name"].rstrip("/").rpartition("/")[2] for one in found if one["type"] == "directory"]


_file_systems: dict[tuple[int, str], Any] = {}
"""(process, scheme) → its fsspec file system. A forked process makes its own, and keeps its parent's, because closing
that would end the parent's connections."""


def _file_system(scheme: str) -> Any:
    found = _file_systems.get((os.getpid(), scheme))
    if found is None:
        found = _file_systems[os.getpid(), scheme] = _MADE[scheme]()
    return found


def _s3() -> Any:
    from botocore.session import Session
    from s3fs import S3FileSystem

    found = S3FileSystem(
        # Tries and time limits are the caller's.
        config_kwargs={"retries": {"total_max_attempts": 1}, "connect_timeout": 10, "read_timeout": 60},
        anon=Session().get_credentials() is None,  # a public bucket needs none
        use_listings_cache=False,
        skip_instance_cache=True,
    )
    found.retries = 1
    return found


def _gs() -> Any:
    from gcsfs import GCSFileSystem

    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # it prints tracebacks of tries
    return GCSFileSystem(access="read_only", use_listings_cache=False, skip_instance_cache=True)


def _web() -> Any:
    from fsspec.implementations.http import HTTPFileSystem

    return HTTPFileSystem(get_client=_client, skip_instance_cache=True)


_MADE: Mapping[str, Callable[[], Any]] = {"s3": _s3, "gs": _gs, "https": _web, "http": _web}


async def _client(**settings: Any) -> Any:
    from aiohttp import ClientSession, ClientTimeout, TraceConfig

    trace = TraceConfig()
    trace.on_request_redirect.append(_follow)
    limits = ClientTimeout(total=None, sock_connect=10)
    return ClientSession(trace_configs=[trace], timeout=limits, trust_env=True, **settings)  # proxies, ~/.netrc


async def _follow(session: Any, context: Any, step: Any) -> None:
    """Refuse to be sent to an address that a recipe could not name."""
    target = step.response.url.join(type(step.url)(step.response.headers.get("Location", "")))
    if target.scheme != "https" and target.origin() != step.url.origin():
        raise PermissionError("it redirects to an address without encryption")


class _Object:
    """An object of a bucket, asked for block by block."""

    def __init__(self, place: Remote, seconds: float) -> None:
        self._place, self._seconds = place, seconds

    def block(self, start: int, count: int) -> bytes:
        path = f"{self._place.host}{self._place.path}"
        try:
            system = _file_system(self._place.scheme)
            return bytes(system.cat_file(path, start=start, end=start + count, timeout=self._seconds))
        except Exception as error:
            if _past_the_end(error):
                return b""
            raise

    def close(self) -> None:
        """Do nothing: connections are the file system's."""


def _past_the_end(error: BaseException | None) -> bool:
    """Tell whether a server answered 416, as it does where an object ends where the last block did."""
    while error is not None:
        if any(sign in str(error) for sign in ("InvalidRange", "not satisfiable", "416")):
            return True
        error = error.__cause__ or error.__context__
    return False


class _Stream:
    """A file of a web server, read from one answer as long as that goes on."""

    def __init__(self, place: Remote, seconds: float) -> None:
        self._place, self._seconds = place, seconds
        self._answer: Any = None
        self._at = 0

    def block(self, start: int, count: int) -> bytes:
        from fsspec.asyn import sync

        system = _file_system(self._place.scheme)
        try:
            if self._answer is None or self._at != start:
                self.close()
                if not sync(system.loop, self._ask, system, start, timeout=self._seconds):
                    return b""
            while self._at < start:  # a server that gives out whole files only
                if not sync(system.loop, self._read, min(1 << 20, start - self._at), timeout=self._seconds):
                    raise BrokenOffError("the file ends early")
            data: bytes = sync(system.loop, self._read, count, timeout=self._seconds)
        except BaseException:
            self.close()
            raise
        if len(data) < count:
            self.close()
        return data

    async def _ask(self, system: Any, start: int) -> bool:
        """Ask for all from `start` on; returns whether there is any."""
        session = await system.set_session()
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
        self._answer = answer = await session.get(system.encode_url(self._place.address), headers=headers)
        if answer.status == 416 and start:
            return False
        if answer.status in {404, 410}:
            raise FileNotFoundError
        if answer.status not in {200, 206}:
            kind = RefusedError if answer.status in _LASTING else BrokenOffError
            raise kind(f"the server answers {answer.status} {answer.reason}")
        if answer.status == 206 and not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise BrokenOffError("the server answers with another part of the file")
        self._at = start if answer.status == 206 else 0
        return True

    async def _read(self, count: int) -> bytes:
        from asyncio import IncompleteReadError

        try:
            data: bytes = await self._answer.content.readexactly(count)
        except IncompleteReadError as short:
            data = short.partial
        self._at += len(data)
        return data

    def close(self) -> None:
        if self._answer is not None:
            with suppress(RuntimeError):  # the loop has ended with its process
                _file_system(self._place.scheme).loop.call_soon_threadsafe(self._answer.close)
            self._answer = None
