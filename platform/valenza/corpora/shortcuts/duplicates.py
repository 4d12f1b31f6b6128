"""Finds clips that are the same recording: sample for sample, or after another codec, level or trim."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
import soxr
from jaxtyping import Float32, Int64, UInt32
from scipy.fft import irfft, next_fast_len, rfft

from valenza.corpora.clip import Clip
from valenza.corpora.shortcuts.fingerprint import HOP, NONE, RATE
from valenza.corpora.shortcuts.measure import Measured
from valenza.terminal import track

_NEIGHBOURS = 8
"""Frames of equal fingerprint are paired with this many next ones, so that a hum costs no more than a word."""
_MOST_FRAMES = 4_000_000
"""Beyond, only fingerprints of certain values are looked up: the same ones in every copy."""
_LEAST_FRAMES = 8
_ERRORS = 0.30
"""Share of differing bits up to which two stretches may be one recording; strangers differ in .4 to .5."""
_ALIKE = 0.7
"""Correlation of the waveforms from which they are: copies in the poorest codecs have .8, two takes .4."""
_CHUNK = 20_000
_NARROW = 8000
"""Hz: rate at which waveforms are compared; four times the highest frequency, so that half a sample does not matter."""
_BAND = 150.0, 2000.0
"""Hz: below is hum, which all clips of a room share; above, poor codecs invent."""


@dataclass(frozen=True, slots=True)
class Copy:
    """Two clips that are one recording."""

    first: str
    """The clips' files under the corpus root."""
    second: str
    exact: bool
    """Whether every decoded sample is equal."""
    correlation: float
    shift: float
    """Seconds by which the second clip begins later in the recording."""
    unlike: tuple[str, ...]
    """Where they contradict each other: `label`, `speaker`, `split`."""


def find_copies(clips: Sequence[Clip], measured: Sequence[Measured], label: str) -> list[Copy]:
    """Return every pair of copies, in order of their files; of n equal files, n − 1 pairs with the first.

    Cost grows with the number of fingerprints, not of pairs of clips: equal fingerprints suggest a pair and its shift
    (Haitsma and Kalker 2002, sec. 5), bit errors along the overlap thin them out, and what is left is decoded
    again and decided by the correlation of the waveforms.
    """
    same: dict[str, list[int]] = defaultdict(list)
    for i, what in enumerate(measured):
        same[what.digest].append(i)
    groups = list(same.values())
    copies = [_copy(clips, group[0], i, True, 1.0, 0.0) for group in groups for i in group[1:]]
    firsts = [group[0] for group in groups]
    pairs = _suspects([measured[i].prints for i in firsts])
    for a, b, shift in track(pairs, label, len(pairs)):
        one, other = firsts[a], firsts[b]
        likeness, at = _correlate(clips[one], clips[other], shift * HOP / RATE)
        if likeness >= _ALIKE:
            copies.append(_copy(clips, one, other, False, likeness, at))
    _waveform.cache_clear()
    return sorted(copies, key=lambda copy: (copy.first, copy.second))


def _copy(clips: Sequence[Clip], one: int, other: int, exact: bool, likeness: float, shift: float) -> Copy:
    a, b = clips[one], clips[other]
    said = (("label", a.label, b.label), ("speaker", a.speaker, b.speaker), ("split", a.split, b.split))
    unlike = tuple(name for name, x, y in said if x != y)
    return Copy(a.source, b.source, exact, round(likeness, 3), round(shift, 3), unlike)


def _suspects(prints: Sequence[UInt32[np.ndarray, " _"]]) -> list[tuple[int, int, int]]:
    """Return pairs of clips and the shift in frames at which their fingerprints agree best."""
    lengths = np.array([len(p) for p in prints], dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    codes = np.concatenate([*prints, np.zeros(0, np.uint32)])
    best: dict[tuple[int, int], tuple[float, int]] = {}
    for pairs in _meetings(codes, starts):
        for i in range(0, len(pairs), _CHUNK):
            part = pairs[i : i + _CHUNK]
            for (a, b, shift), wrong in zip(part.tolist(), _errors(codes, starts, part).tolist(), strict=True):
                if wrong <= _ERRORS and (wrong, shift) < best.get((a, b), (1.0, 0)):
                    best[a, b] = wrong, shift
    return [(a, b, shift) for (a, b), (_, shift) in sorted(best.items())]


def _meetings(
    codes: UInt32[np.ndarray, " frames"], starts: Int64[np.ndarray, " bounds"]
) -> Iterator[Int64[np.ndarray, "pairs three"]]:
    """Yield (clip, clip, shift) wherever two clips share a fingerprint."""
    rows = np.flatnonzero(codes != NONE)
    part = 1 + len(rows) // _MOST_FRAMES
    if part > 1:
        rows = rows[(codes[rows].astype(np.uint64) * np.uint64(2654435761) >> np.uint64(16)) % np.uint64(part) == 0]
    rows = rows[np.argsort(codes[rows], kind="stable")]
    clip = np.searchsorted(starts, rows, side="right") - 1
    frame = rows - starts[clip]
    for step in range(1, _NEIGHBOURS + 1):
        meet = (codes[rows[step:]] == codes[rows[:-step]]) & (clip[step:] != clip[:-step])
        # rows of one code are in the order of clips, so the first of a pair has the smaller number
        shift = frame[:-step][meet] - frame[step:][meet]
        found = np.stack([clip[:-step][meet], clip[step:][meet], shift], axis=1)
        yield np.unique(found, axis=0).astype(np.int64)


def _errors(
    codes: UInt32[np.ndarray, " frames"],
    starts: Int64[np.ndarray, " bounds"],
    pairs: Int64[np.ndarray, "pairs three"],
) -> np.ndarray:
    """Return each pair's share of differing bits along its overlap; 1 where that is under half of the shorter clip."""
    a, b, shift = pairs.T
    first, second = np.maximum(shift, 0), np.maximum(-shift, 0)
    lengths = np.diff(starts)
    span = np.maximum(0, np.minimum(lengths[a] - first, lengths[b] - second))
    pair = np.repeat(np.arange(len(pairs)), span)
    along = np.arange(len(pair)) - np.repeat(np.cumsum(span) - span, span)
    left = codes[starts[a][pair] + first[pair] + along]
    right = codes[starts[b][pair] + second[pair] + along]
    both = (left != NONE) & (right != NONE)
    wrong = np.bincount(pair, np.bitwise_count(left ^ right) * both, len(pairs))
    heard = np.bincount(pair, both, len(pairs))
    enough = (heard >= _LEAST_FRAMES) & (span * 2 >= np.minimum(lengths[a], lengths[b]))
    return np.where(enough, wrong / np.maximum(32 * heard, 1), 1.0)


def _correlate(one: Clip, other: Clip, shift: float) -> tuple[float, float]:
    """Return the largest correlation of two waveforms within 50 ms of a shift, and where; the sign is ignored."""
    a, b = (_waveform(clip.audio, clip.start, clip.end) for clip in (one, other))
    size = next_fast_len(len(a) + len(b), real=True)
    products = irfft(rfft(a, size) * np.conj(rfft(b, size)), size)
    energy_a = np.concatenate([[0.0], np.cumsum(np.square(a, dtype=np.float64))])
    energy_b = np.concatenate([[0.0], np.cumsum(np.square(b, dtype=np.float64))])
    middle, reach = round(shift * _NARROW), _NARROW // 20
    lags = np.arange(max(middle - reach, 1 - len(b)), min(middle + reach, len(a) - 1) + 1)
    start_a, start_b = np.maximum(lags, 0), np.maximum(-lags, 0)
    span = np.minimum(len(a) - start_a, len(b) - start_b)
    norms = (energy_a[start_a + span] - energy_a[start_a]) * (energy_b[start_b + span] - energy_b[start_b])
    likeness = np.abs(products[lags % size]) / np.sqrt(np.maximum(norms, 1e-20))
    at = int(likeness.argmax())
    return min(1.0, float(likeness[at])), float(lags[at] / _NARROW)


@lru_cache(maxsize=64)
def _waveform(path: Path, start: float | None, end: float | None) -> Float32[np.ndarray, " samples"]:
    """Decode a stretch and keep the band that is compared."""
    with soundfile.SoundFile(path) as file:
        rate = file.samplerate
        file.seek(round((start or 0.0) * rate))
        frames = -1 if end is None else round(end * rate) - file.tell()
        sound = file.read(frames, dtype="float32", always_2d=True).mean(axis=1)
    narrow = soxr.resample(sound, rate, _NARROW, quality="MQ")
    spectrum = rfft(narrow)
    low, high = (round(edge * len(narrow) / _NARROW) for edge in _BAND)
    spectrum[:low] = 0
    spectrum[high:] = 0
    return np.asarray(irfft(spectrum, len(narrow)), dtype=np.float32)
