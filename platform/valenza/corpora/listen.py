"""Decodes one file and says what is wrong with it; runs in worker processes, where a decoder may crash or hang."""

import hashlib
import os
import signal
import struct
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import soundfile

T = TypeVar("T")
_BLOCK = 1 << 16
_FULL_SCALE = 0.9999
"""16-bit audio at its limit is 32767 / 32768 = .99997."""
_SILENCE = 1e-3
"""−60 dB of full scale."""
_SECONDS_PER_FILE = 120
_EXTENSIONS = {
    "WAV": {"wav", "wave", "wavex"},
    "FLAC": {"flac"},
    "OGG": {"ogg", "oga", "opus"},
    "MP3": {"mp3"},
    "AIFF": {"aif", "aiff", "aifc"},
}


@dataclass(frozen=True, slots=True)
class Job:
    """A stretch of a file to listen to."""

    path: Path
    start: float | None = None
    """Seconds; the file's beginning where absent."""
    end: float | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """What a stretch of audio is like."""

    duration: float = 0.0
    """Seconds."""
    rate: int = 0
    channels: int = 0
    container: str = ""
    peak: float = 0.0
    clipped: float = 0.0
    """Share of samples at full scale."""
    digest: str = ""
    """Hash of the decoded samples, rate and channels."""
    faults: tuple[str, ...] = ()
    """Why the clip cannot be used."""
    remarks: tuple[str, ...] = ()
    """What its owner may want to know."""


def prepare() -> None:
    """Silence what decoders print by themselves, so that only reports reach the terminal."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 2)
    os.close(quiet)


def in_time(work: Callable[[Job], T], jobs: Sequence[Job]) -> list[T]:
    """Do something with several stretches; a decoder that hangs ends this process, which its parent notices."""
    done: list[T] = []
    for job in jobs:
        if sys.platform != "win32":
            signal.alarm(_SECONDS_PER_FILE)
        done.append(work(job))
        if sys.platform != "win32":
            signal.alarm(0)
    return done


def listen_all(jobs: Sequence[Job]) -> list[Heard]:
    """Listen to several stretches in a worker."""
    return in_time(listen, jobs)


def listen(job: Job) -> Heard:
    """Decode a stretch block by block, so that a header that claims hours costs no memory."""
    cut: str | None = None
    try:
        if job.path.stat().st_size == 0:
            return Heard(faults=("the file is empty",))
        cut = cut_short(job.path)
        with soundfile.SoundFile(job.path) as file:
            return _measure(file, job, cut)
    except (soundfile.LibsndfileError, RuntimeError, OSError, ValueError) as error:
        reason = error.error_string if isinstance(error, soundfile.LibsndfileError) else str(error)
        fault = f"cannot be decoded: {reason.strip().rstrip('.')}"
        return Heard(faults=(fault,) if cut is None else (cut, fault))


def _measure(file: soundfile.SoundFile, job: Job, cut: str | None) -> Heard:
    rate, channels = file.samplerate, file.channels
    first = round((job.start or 0.0) * rate)
    last = file.frames if job.end is None else round(job.end * rate)
    part = job.start is not None or job.end is not None
    if part and (first >= file.frames or last > file.frames + rate // 10):
        where = f"{job.start or 0.0:g}–{job.end or file.frames / rate:g} s"
        fault = f"the stretch {where} is not in a file of {file.frames / rate:.2f} s"
        return Heard(faults=(fault,) if cut is None else (cut, fault))
    last = min(last, file.frames)
    if first:
        file.seek(first)
    digest = hashlib.blake2b(f"{rate} {channels}".encode(), digest_size=16)
    frames = broken = full = 0
    peak = 0.0
    while frames < last - first:
        block = file.read(min(_BLOCK, last - first - frames), dtype="float32", always_2d=True)
        if not len(block):
            break
        frames += len(block)
        digest.update(block.tobytes())
        finite = np.isfinite(block)
        broken += block.size - int(finite.sum())
        size = np.abs(block, where=finite, out=np.zeros_like(block))
        peak = max(peak, float(size.max()))
        full += int((size >= _FULL_SCALE).sum())
    faults = _faults(frames, last - first, rate, channels, broken, peak)
    if cut is not None:
        faults.insert(0, cut)
    clipped = full / (frames * channels) if frames else 0.0
    remarks = _remarks(job.path, file.format, frames / rate, clipped)
    return Heard(
        frames / rate, rate, channels, file.format, peak, clipped, digest.hexdigest(), tuple(faults), tuple(remarks)
    )  # fmt: skip


def _faults(frames: int, promised: int, rate: int, channels: int, broken: int, peak: float) -> list[str]:
    faults: list[str] = []
    if not 4_000 <= rate <= 192_000:
        faults.append(f"a sample rate of {rate} Hz is implausible")
    if channels > 8:
        faults.append(f"{channels} channels are implausible")
    if frames == 0:
        return [*faults, "holds no samples"]
    if frames < promised:
        faults.append(f"truncated: {frames / rate:.2f} s of the {promised / rate:.2f} s that its header promises")
    if broken:
        faults.append(f"{broken} samples are NaN or infinite")
    elif peak < _SILENCE:
        level = "all samples are zero" if peak == 0 else f"the peak is {20 * np.log10(peak):.0f} dB of full scale"
        faults.append(f"silent: {level}")
    if frames / rate < 0.1:
        faults.append(f"{frames / rate * 1000:.0f} ms is too short for speech")
    return faults


def _remarks(path: Path, container: str, duration: float, clipped: float) -> list[str]:
    remarks: list[str] = []
    if clipped > 0.001:
        remarks.append(f"clipped: {clipped:.1%} of its samples are at full scale")
    if duration > 30:
        remarks.append(f"{duration:.0f} s is longer than a window of 30 s, so it will be split")
    extension, usual = path.suffix[1:].lower(), _EXTENSIONS.get(container)
    if usual is not None and extension not in usual and any(extension in names for names in _EXTENSIONS.values()):
        remarks.append(f"is {container} in a file that calls itself .{extension}")
    return remarks


def cut_short(path: Path) -> str | None:
    """Compare the container's own size with the file's; libsndfile reads what is left without a word."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] == b"RIFF" and head[8:] == b"WAVE":
            while len(chunk := file.read(8)) == 8:
                length = struct.unpack("<I", chunk[4:])[0]
                missing = file.tell() + length - size
                # a writer into a pipe cannot know the length, and says the largest there is
                if chunk[:4] == b"data" and missing > 0 and length < 0x7FFFF000:
                    return f"truncated: {missing} of the {length} bytes of samples that its header promises are missing"
                file.seek(length + length % 2, os.SEEK_CUR)
        elif head[:4] == b"FORM":
            missing = 8 + struct.unpack(">I", head[4:8])[0] - size
            return f"truncated: {missing} bytes are missing at its end" if missing > 0 else None
        elif head[:4] == b"OggS":
            file.seek(max(0, size - 70_000))
            tail = file.read()
            page = tail.rfind(b"OggS")
            # every Ogg stream ends with a whole page that is marked as the last
            if page < 0 or len(tail) < page + 27 or not tail[page + 5] & 4 or _page_size(tail, page) > len(tail) - page:
                return "truncated: the last page of its Ogg stream is missing"
    return None


def _page_size(data: bytes, page: int) -> int:
    segments = data[page + 26]
    return 27 + segments + sum(data[page + 27 : page + 27 + segments])
