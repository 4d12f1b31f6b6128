"""Sound as models hear it, 16 kHz mono: from files of any container, from arrays, and from what is still coming in."""

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from jaxtyping import Float32, Int16

from valenza.corpora.listen import cut_short
from valenza.errors import DataError, UsageError
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.shards.audio import quiet

_SLOWEST, _FASTEST = 4_000, 384_000
_MOST_CHANNELS = 32
_LOUDEST = 4.0
"""Of samples whose full scale is 1; what is louder was never scaled."""
BLOCK_SECONDS = 20.0
_UNKNOWN = 1 << 40
"""Samples, which no recording has: where a container does not say how many there are, libsndfile says 2⁶³ − 1."""


class Inflow:
    """Makes 16 kHz mono int16 of what comes in bit by bit; the same samples as of the whole at once."""

    def __init__(self, rate: int, channels: int = 1) -> None:
        if not _SLOWEST <= rate <= _FASTEST or not 1 <= channels <= _MOST_CHANNELS:
            raise UsageError(f"{rate} Hz and {channels} channels cannot be heard")
        self._resampler = None
        if rate != SAMPLE_RATE:
            self._resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")

    def put(self, samples: Float32[np.ndarray, "samples channels"]) -> Int16[np.ndarray, " _"]:
        """Return what can be heard with these samples, whose full scale is 1; channels are averaged.

        Raises `ValueError` for samples that are not finite or not scaled.
        """
        mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32)
        if not np.isfinite(mono).all():
            raise ValueError("holds samples that are not finite")
        if len(mono) and (peak := float(np.abs(mono).max())) > _LOUDEST:
            raise ValueError(f"reaches {peak:.3g} where full scale is 1: its samples are not scaled")
        return self._rounded(mono if self._resampler is None else self._resampler.resample_chunk(mono))

    def end(self) -> Int16[np.ndarray, " _"]:
        """Return what was held back; there will be no more."""
        nothing = np.zeros(0, np.float32)
        return self._rounded(nothing if self._resampler is None else self._resampler.resample_chunk(nothing, last=True))

    def _rounded(self, mono: Float32[np.ndarray, " samples"]) -> Int16[np.ndarray, " samples"]:
        return np.asarray(np.clip(np.rint(mono * 32768), -32768, 32767).astype(np.int16))


def read_audio(path: Path) -> Int16[np.ndarray, " samples"]:
    """Return a file as 16 kHz mono samples; raises `DataError` as `blocks` does."""
    return np.concatenate(list(blocks(path)))


def blocks(path: Path, seconds: float = BLOCK_SECONDS) -> Iterator[Int16[np.ndarray, " _"]]:
    """Yield a file's samples, 16 kHz mono, in stretches of about so many seconds: no more than one is in memory.

    Raises `DataError` that names a file that cannot be read, is empty, cut short, not finite or not scaled.
    """
    told = 0
    try:
        with _opened(path, counted=True) as file:
            inflow = Inflow(file.samplerate, file.channels)
            heard = 0
            for block in _decoded(file, max(1, int(seconds * file.samplerate))):
                heard += len(block)
                samples = inflow.put(block)
                told += len(samples)
                yield samples
            if heard < file.frames < _UNKNOWN:
                raise ValueError(f"is cut short: {file.frames - heard} of {file.frames} samples are missing")
            if (rest := inflow.end()).size:
                told += len(rest)
                yield rest
    except (OSError, RuntimeError, ValueError, UsageError) as error:
        reason = error.error_string if isinstance(error, soundfile.LibsndfileError) else str(error)
        raise DataError(f"{path}: {_told(reason)}") from None
    if not told:
        raise DataError(f"{path}: holds no samples at 16 kHz")


class _Forward(soundfile.SoundFile):  # type: ignore[misc]
    """A file that is read from its beginning to its end.

    soundfile seeks to where it is after each read, which fails at the end of a FLAC that does not say its length.
    """

    def seekable(self) -> bool:
        return False


class _Sizeless(io.FileIO):
    """A file that tells its size once, to libsndfile, and not to mpg123, which then counts the frames of an MP3.

    It would guess their number from the size and the first few, where no header says it; the guess is wrong where the
    bit rate varies.
    """

    _asked = False

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_END and self._asked:
            return super().seek(0)
        self._asked = self._asked or whence == os.SEEK_END
        return super().seek(offset, whence)


@contextmanager
def _opened(path: Path, *, counted: bool = False) -> Iterator[soundfile.SoundFile]:
    """Open a file; unless they are to be counted, which takes time, its number of samples may be a guess."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("is not a regular file")
    if not path.stat().st_size:
        raise ValueError("is an empty file")
    if fault := cut_short(path):
        raise ValueError(f"is {fault}")
    with quiet():  # mpg123 prints by itself
        file = _Forward(path.absolute())  # a bare "-" is standard input to libsndfile
    with file:
        if not counted or file.format != "MP3":
            yield file
            return
    with _Sizeless(path) as data:
        with quiet():
            file = _Forward(data)
        with file:
            yield file


def _decoded(file: soundfile.SoundFile, size: int) -> Iterator[Float32[np.ndarray, "_ channels"]]:
    while True:
        if file.format == "MP3":
            try:
                with quiet():
                    block = file.read(size, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError:  # where samples are missing, which are counted
                return
        else:
            block = file.read(size, dtype="float32", always_2d=True)
        if not len(block):
            return
        yield block


def _told(reason: str) -> str:
    said = reason.strip().rstrip(".")
    return said if said.startswith(("is ", "holds ", "reaches ")) else f"cannot be read as audio: {said}"


def promised(path: Path) -> int:
    """Return how many samples at 16 kHz a file seems to have: as its header says, or as an MP3's first frames suggest.

    0 where it does not say, or cannot be read, which `blocks` explains.
    """
    try:
        with _opened(path) as file:
            frames = int(file.frames) if file.frames < _UNKNOWN else 0
            return -(-frames * SAMPLE_RATE // int(file.samplerate))
    except (OSError, RuntimeError, ValueError):
        return 0


def as_heard(waveform: Any, sample_rate: int) -> Int16[np.ndarray, " samples"]:
    """Return an array, a tensor or a list of samples as 16 kHz mono.

    Floats have their full scale at 1, integers at that of their type, of 8 (unsigned), 16 or 32 bits. Of two axes the
    shorter one is the channels, which are averaged. Raises `UsageError` for what is no sound.
    """
    if hasattr(waveform, "detach"):
        waveform = waveform.detach().cpu()
        waveform = waveform.float() if waveform.is_floating_point() else waveform  # NumPy knows no bfloat16
    samples = np.asarray(waveform)
    if samples.ndim not in (1, 2) or not samples.size:
        raise UsageError(f"a waveform has one axis, or two with channels, and samples; this one is {samples.shape}")
    scaled = _scaled(samples)
    scaled = scaled[:, None] if scaled.ndim == 1 else scaled
    inflow = Inflow(sample_rate, min(scaled.shape))
    try:
        parts = [inflow.put(scaled if scaled.shape[0] >= scaled.shape[1] else scaled.T), inflow.end()]
    except ValueError as error:
        raise UsageError(f"the waveform {error}") from None
    return np.concatenate(parts)


def _scaled(samples: np.ndarray) -> np.ndarray:
    if samples.dtype.kind == "f":
        return samples.astype(np.float32)
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128) / np.float32(128)
    if samples.dtype in (np.int16, np.int32):
        return (samples / -float(np.iinfo(samples.dtype).min)).astype(np.float32)
    raise UsageError(f"samples are floats, or integers of 8, 16 or 32 bits; these are {samples.dtype}")
