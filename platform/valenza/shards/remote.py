"""Reads files of servers block by block, and again from where it broke off when a server stalls, cuts or refuses."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from valenza.errors import ShardError, UsageError
from valenza.place import Remote, redacted
from valenza.shards import servers
from valenza.shards.servers import BrokenOffError, RefusedError
from valenza.terminal import say

if TYPE_CHECKING:
    from tenacity import RetryCallState

BLOCK = 8 << 20
"""Bytes that are asked for at a time; half of that after each failure, down to a 128th."""

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How long a server is borne with.

    One that refuses connections or answers with errors is given up after 91 to 98 s, one that says nothing after at
    most 338 s. Every block that arrives starts the count anew.
    """

    seconds: float = 30.0
    """For a block, connecting included."""
    tries: int = 8
    """For a block."""
    first: float = 1.0
    """Seconds before the second try; each wait is twice the one before, and up to `jitter` longer."""
    longest: float = 30.0
    """Seconds between two tries at most, before the jitter."""
    jitter: float = 1.0
    wholes: int = 3
    """How often a file is fetched whose checksum is another than was written."""


PATIENCE = Patience()


class MissingError(ShardError):
    """A file that a server says is not there."""


def blocks(place: Remote, start: int, end: int | None) -> Iterator[bytes]:
    """Yield a file's bytes from `start` to `end`, or to where it ends where that is not known.

    Raises `MissingError`, `UsageError` where an address or what it needs is wrong, and `ShardError` that names the
    address where the server refuses, or cannot be borne with any longer.
    """
    with servers.opened(place, PATIENCE.seconds) as file:
        reading = _Reading(file, start, end)
        while not reading.ended:
            yield insist(place, reading.ask)


@dataclass
class _Reading:
    """How far a file has been read."""

    file: servers.Blocks
    start: int
    end: int | None
    count: int = 0

    def __post_init__(self) -> None:
        self.count = BLOCK
        self.ended = self.start == self.end

    def ask(self) -> bytes:
        """Return the next bytes, and ask for fewer at once as long as they do not arrive."""
        wanted = self.count if self.end is None else min(self.count, self.end - self.start)
        self.count = max(BLOCK // 128, self.count // 2)
        data = self.file.block(self.start, wanted)
        if len(data) > wanted or (not data and self.end is not None):
            raise BrokenOffError("the server gives more than was asked for" if data else "the file ends early")
        self.count = min(BLOCK, 4 * self.count)
        self.start += len(data)
        self.ended = len(data) < wanted if self.end is None else self.start >= self.end
        return data


def folders(place: Remote) -> list[str]:
    """Return the names of the folders in a bucket's folder, sorted; raises `UsageError` for a web server."""
    if place.scheme in {"https", "http"}:
        raise UsageError(f"{place}: a web server does not tell which corpora it has; name them")
    return sorted(insist(place, lambda: servers.listed(place, PATIENCE.seconds)))


def insist(place: Remote, ask: Callable[[], T]) -> T:
    """Return what a server answers, asking as often as `PATIENCE` says; raises as `blocks` does."""
    from tenacity import Retrying, retry_if_not_exception_type, stop_after_attempt, wait_exponential, wait_random

    patience = PATIENCE

    def tell(state: "RetryCallState") -> None:
        if state.attempt_number > 2 and state.outcome is not None:  # one or two failures are everyday
            say(f"{place}: {_why(state.outcome.exception())}; asking again")

    final = (RefusedError, MissingError, UsageError)
    wait = wait_exponential(patience.first, patience.longest) + wait_random(0, patience.jitter)
    stop = stop_after_attempt(patience.tries)
    calls = Retrying(stop=stop, wait=wait, retry=retry_if_not_exception_type(final), before_sleep=tell, reraise=True)
    try:
        answer: T = calls(_translated, place, ask)
    except (MissingError, UsageError):
        raise
    except Exception as error:
        tries = "" if isinstance(error, RefusedError) else f", tried {patience.tries} times in a row"
        raise ShardError(f"{place}: cannot be read: {_why(error)}{tries}") from None
    return answer


def _translated(place: Remote, ask: Callable[[], T]) -> T:
    """Sort what fsspec's file systems raise into what asking again may mend and what it does not."""
    try:
        return ask()
    except FileNotFoundError:
        raise MissingError(f"{place}: is not there") from None
    except PermissionError as error:
        raise RefusedError(f"access is refused ({_why(error)})") from None
    except ImportError as error:
        raise UsageError(f"{place}: needs {error.name}; pip install 'valenza[remote]'") from None
    except Exception as error:
        if type(error).__name__ in {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "InvalidURL"}:
            raise UsageError(f"{place}: {_why(error)}") from None
        raise


def _why(error: BaseException | None) -> str:
    """Return what went wrong in a line that shows no secret."""
    if isinstance(error, TimeoutError) or type(error).__name__ == "FSTimeoutError":
        return f"nothing usable arrived within {PATIENCE.seconds:g} s"
    text = redacted(" ".join(str(error).split()))[:300]
    return text or type(error).__name__
