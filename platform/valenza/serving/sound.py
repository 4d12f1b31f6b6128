"""The sound in a file of any container, read from memory, whatever is wrong with it."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import soundfile
from jaxtyping import Int16

from valenza.errors import UsageError
from valenza.shards.audio import quiet
from valenza.timeline.sound import Inflow
from valenza.web.guard import RefusedError

_BLOCK = 1 << 16  # sample frames
_SAMPLES = 1 << 29  # of all channels: what takes longer to read than it is worth
_one = threading.Lock()


def decode(data: bytes, longest: float) -> Int16[np.ndarray, " samples"]:
    """Return the sound of a file as 16 kHz mono samples, of any container that libsndfile reads.

    Raises `RefusedError` where it is none, lasts longer than so many seconds, or holds nothing that can be heard.
    """
    try:
        with _silence():
            file = soundfile.SoundFile(_Bytes(data))
        with file:
            parts = list(_decoded(file, longest))
    except soundfile.LibsndfileError as error:
        raise RefusedError(415, f"this cannot be read as audio: {error.error_string}") from None
    except (UsageError, ValueError) as error:
        raise RefusedError(422, f"the file cannot be heard: {error}") from None
    audio = np.concatenate(parts)
    if not len(audio):
        raise RefusedError(422, "the file holds no samples")
    return audio


class _Bytes(io.BytesIO):
    """Bytes whose places begin and end with them, also for damaged headers that point elsewhere."""

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move; what lies outside is the nearest end."""
        size = len(self.getbuffer())
        return super().seek(min(max(0, (0, self.tell(), size)[whence] + offset), size))


@contextmanager
def _silence() -> Iterator[None]:
    """Let C decoders print nothing; `quiet` is for one thread at a time, and the log goes elsewhere meanwhile."""
    with _one, quiet():
        yield


def _decoded(file: soundfile.SoundFile, longest: float) -> Iterator[Int16[np.ndarray, " _"]]:
    """Yield 16 kHz mono samples; what a header claims of the length is not trusted."""
    inflow = Inflow(file.samplerate, file.channels)
    most = min(int(longest * file.samplerate), _SAMPLES // file.channels)
    count = 0
    while len(block := _block(file)):
        count += len(block)
        if count > most:
            raise RefusedError(413, f"a recording lasts at most {most / file.samplerate:g} s")
        yield inflow.put(block)
    yield inflow.end()


def _block(file: soundfile.SoundFile) -> np.ndarray:
    if file.format != "MP3":
        return np.asarray(file.read(_BLOCK, dtype="float32", always_2d=True))
    with _silence():  # mpg123 prints by itself
        return np.asarray(file.read(_BLOCK, dtype="float32", always_2d=True))
