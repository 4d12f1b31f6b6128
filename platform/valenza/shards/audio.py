"""Turns any recording into 16 kHz mono FLAC, and refuses what is not sound."""

import io
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile
import soxr
from jaxtyping import Float32, Int16

from valenza.corpora.clip import Clip
from valenza.corpora.frames import FRAME_SAMPLES, FrameLabelsError, frame_count, read_frames
from valenza.corpora.frames import SAMPLE_RATE as SAMPLE_RATE
from valenza.shards import frames

LONGEST_SECONDS = 30
"""Whisper's window; a longer clip is stored in parts."""
LONGEST = LONGEST_SECONDS * SAMPLE_RATE

_LONGEST_READ_SECONDS = 3600
_MOST_CHANNELS = 32
_SLOWEST, _FASTEST = 4_000, 384_000
_LOUDEST = 4.0
_SLACK_SECONDS = 0.1
_BLOCK_FRAMES = 1 << 19
_COMPRESSION = 0.625  # FLAC's level 5 of 8: higher levels save 0.4 %

VERSIONS = {"libsndfile": soundfile.__libsndfile_version__, "soxr": soxr.__version__}
"""The libraries that decide the bytes of a shard."""


class AudioError(Exception):
    """What is wrong with one recording, in a few words."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stored stretch of a clip: the whole of it, unless it was over 30 s."""

    flac: bytes
    samples: int
    start: float
    """Seconds into the source file."""
    frames: bytes | None = None
    """The NumPy file of its frame labels."""


def load(clip: Clip) -> Int16[np.ndarray, " samples"]:
    """Read a clip as 16 kHz mono int16, whatever its container, rate and channels.

    Channels are averaged; there is no dither, so the same file always gives the same samples. Overshoot of the
    resampler is clipped. Raises `AudioError` for a file that is unreadable, cut short, empty, non-finite or not scaled.
    """
    if not stat.S_ISREG(_stat(clip.audio).st_mode):
        raise AudioError("is not a regular file")
    try:
        # Absolute, because libsndfile takes "-" for standard input.
        with soundfile.SoundFile(clip.audio.absolute()) as file:
            rate = int(file.samplerate)
            mono = _mono(file, *_stretch(file, clip))
    except (soundfile.SoundFileError, OSError, ValueError, TypeError) as error:
        raise AudioError(f"cannot be read: {error}") from None
    if mono.size == 0:
        raise AudioError("holds no samples")
    if not np.isfinite(mono).all():
        raise AudioError("holds samples that are not finite numbers")
    peak = float(np.abs(mono).max())
    if peak > _LOUDEST:
        raise AudioError(f"reaches {peak:.3g} where full scale is 1: its samples are not scaled")
    if rate != SAMPLE_RATE:
        mono = soxr.resample(mono, rate, SAMPLE_RATE, quality="HQ")
        if mono.size == 0:
            raise AudioError("is too short to resample")
    return np.clip(np.rint(mono * 32768.0), -32768, 32767).astype(np.int16)


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except (OSError, ValueError) as error:
        raise AudioError(f"cannot be read: {error}") from None


def _stretch(file: soundfile.SoundFile, clip: Clip) -> tuple[int, int]:
    """Return the first frame of a clip in its file, and the one after its last."""
    rate, channels = int(file.samplerate), int(file.channels)
    if not _SLOWEST <= rate <= _FASTEST or channels > _MOST_CHANNELS:
        raise AudioError(f"has an implausible header: {rate} Hz, {channels} channels")
    length = file.frames / rate
    start = clip.start if clip.start is not None else 0.0
    end = clip.end if clip.end is not None else length
    if not (math.isfinite(start) and math.isfinite(end)) or start < 0 or end <= start:
        raise AudioError(f"holds no samples from {start:g} s to {end:g} s" if length else "holds no samples")
    if end > length + _SLACK_SECONDS:
        raise AudioError(f"lasts {length:.2f} s, but the clip ends at {end:.2f} s")
    if end - start > _LONGEST_READ_SECONDS:
        raise AudioError(f"lasts {(end - start) / 3600:.1f} h; clips are at most an hour long")
    return round(start * rate), min(round(end * rate), file.frames)


def _mono(file: soundfile.SoundFile, first: int, stop: int) -> Float32[np.ndarray, " samples"]:
    """Read frames block by block, so that many channels never lie in memory at full length."""
    if first:
        file.seek(first)
    blocks: list[np.ndarray] = []
    wanted = stop - first
    while wanted > 0:
        block = file.read(min(wanted, _BLOCK_FRAMES), dtype="float32", always_2d=True)
        if len(block) == 0:
            raise AudioError(f"is cut short: {wanted} of {stop - first} samples are missing")
        # A copy: a view would keep all channels alive.
        blocks.append(block[:, 0].copy() if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32))
        wanted -= len(block)
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def parts(clip: Clip) -> list[Part]:
    """Read a clip and encode it, in equal parts of at most 30 s; raises `AudioError`.

    A clip with frame labels is cut between two frames, so that each part has whole ones.
    """
    samples = load(clip)
    count = -(-len(samples) // LONGEST)
    labels = _frame_labels(clip, len(samples))
    begin = clip.start if clip.start is not None else 0.0
    if labels is None:
        cuts = [i * len(samples) // count for i in range(count + 1)]
    else:
        cuts = [min(i * len(labels) // count * FRAME_SAMPLES, len(samples)) for i in range(count + 1)]
    found = []
    for first, stop in pairwise(cuts):
        stored = None if labels is None else frames.encode(labels[first // FRAME_SAMPLES : frame_count(stop)])
        found.append(Part(encode(samples[first:stop]), stop - first, begin + first / SAMPLE_RATE, stored))
    return found


def _frame_labels(clip: Clip, samples: int) -> Float32[np.ndarray, "frames classes"] | None:
    if clip.frames is None:
        return None
    try:
        return read_frames(clip.frames, (frame_count(samples),))
    except FrameLabelsError as error:
        raise AudioError(f"has frame labels that cannot be stored: {clip.frames.name} {error}") from None


def encode(samples: Int16[np.ndarray, " samples"]) -> bytes:
    """Return 16 kHz mono int16 samples as a FLAC file."""
    out = io.BytesIO()
    soundfile.write(out, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16", compression_level=_COMPRESSION)
    return out.getvalue()


def decode(flac: bytes, samples: int) -> Int16[np.ndarray, " samples"]:
    """Return the samples of a stored FLAC file; raises `AudioError` unless there are exactly `samples` of them."""
    try:
        with soundfile.SoundFile(io.BytesIO(flac)) as file:
            if (file.format, file.samplerate, file.channels, file.frames) != ("FLAC", SAMPLE_RATE, 1, samples):
                raise AudioError(
                    f"is {file.format} of {file.frames} frames, {file.channels} channels at {file.samplerate} Hz; "
                    f"expected FLAC of {samples} frames, mono at {SAMPLE_RATE} Hz"
                )
            data: Int16[np.ndarray, " samples"] = file.read(dtype="int16")
    except (soundfile.SoundFileError, OSError, ValueError, TypeError) as error:
        raise AudioError(f"cannot be decoded: {error}") from None
    if len(data) != samples:
        raise AudioError(f"decodes to {len(data)} samples, not {samples}")
    return data


def seconds(path: Path) -> float:
    """Return how long a file says it is; 0 where it cannot be read, which `load` will explain."""
    try:
        info = soundfile.info(str(path.absolute())) if stat.S_ISREG(path.stat().st_mode) else None
    except (soundfile.SoundFileError, OSError, ValueError, TypeError):
        return 0.0
    return min(info.frames / info.samplerate, _LONGEST_READ_SECONDS) if info and info.samplerate else 0.0


@contextmanager
def quiet() -> Iterator[None]:
    """Send what C decoders print on file descriptor 2 nowhere; their errors are reported as exceptions anyway."""
    saved, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(sink)
