"""Tells clips that were cut from one recording: where one ends in mid-sound, the next goes on."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float32, Float64
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter
from scipy.stats import binomtest

from valenza.corpora.clip import Clip
from valenza.corpora.shortcuts.fingerprint import RATE
from valenza.corpora.shortcuts.measure import ABRUPT_DECIBELS, Measured

_CLOSE = 0.02
"""A join is as smooth as the smoothest 2 % of ends and beginnings of one speaker that do not belong together."""
_STRANGERS = 1000
"""Pairs that set that limit."""
_SEED = 13
_ORDER = 16
_SAMPLES = 4
_SPECTRUM = 256
_FAINT = 1e-12


@dataclass(frozen=True, slots=True)
class Cuts:
    """Signs that clips are pieces of longer recordings."""

    abrupt_starts: int
    """Clips that begin in mid-sound; `abrupt_ends` clips that end so."""
    abrupt_ends: int
    neighbours: int
    """Pairs of one speaker and label, next to each other by name, of which the first ends and the second begins so."""
    joined: tuple[tuple[str, str], ...]
    """Those whose sound goes on."""
    backwards: int
    """How many seem to go on from the second's end to the first's beginning, which no cut explains."""
    p: float
    """Probability of as many joins over backward ones by chance (sign test)."""


def find_cuts(clips: Sequence[Clip], measured: Sequence[Measured]) -> Cuts:
    """Compare how smoothly neighbours go on forwards and backwards; clips of one `recording:` are left out."""
    groups: dict[tuple[str, str | None], list[int]] = defaultdict(list)
    for i in sorted(range(len(clips)), key=lambda i: _natural(clips[i])):
        groups[clips[i].speaker, clips[i].label].append(i)
    pairs = [(a, b) for rows in groups.values() for a, b in pairwise(rows) if clips[a].recording != clips[b].recording]
    limit = _limit(list(groups.values()), measured)
    forwards = [pair for pair in pairs if _open(measured, *pair)]
    joined = [(a, b) for a, b in forwards if _jump(measured[a].closing, measured[b].opening) <= limit]
    backwards = sum(
        _open(measured, b, a) and _jump(measured[b].closing, measured[a].opening) <= limit for a, b in pairs
    )
    tried = len(joined) + backwards
    return Cuts(
        sum(what.head < ABRUPT_DECIBELS for what in measured),
        sum(what.tail < ABRUPT_DECIBELS for what in measured),
        len(forwards),
        tuple((clips[a].source, clips[b].source) for a, b in joined),
        backwards,
        float(binomtest(len(joined), tried, alternative="greater").pvalue) if tried else 1.0,
    )


def _natural(clip: Clip) -> tuple[list[tuple[int, str]], float]:
    """Order names as people count: 9 before 10."""
    parts = re.findall(r"\d+|\D+", clip.source)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], clip.start or 0.0


def _open(measured: Sequence[Measured], first: int, second: int) -> bool:
    return len(measured[first].closing) > _SPECTRUM and len(measured[second].opening) > _SPECTRUM


def _limit(groups: Sequence[Sequence[int]], measured: Sequence[Measured]) -> float:
    """Return the jump that 2 % of pairs which are no neighbours stay under, or nothing passes where there are few."""
    strangers = [
        (a, b)
        for rows in groups
        for i, a in enumerate(rows)
        if len(measured[a].closing)
        for j, b in enumerate(rows)
        if abs(i - j) > 1 and _open(measured, a, b)
    ]
    if len(strangers) < 1 / _CLOSE:
        return float("-inf")
    rng = np.random.default_rng(_SEED)
    drawn = rng.permutation(len(strangers))[:_STRANGERS]
    jumps = [_jump(measured[strangers[i][0]].closing, measured[strangers[i][1]].opening) for i in drawn]
    return float(np.quantile(jumps, _CLOSE))


def _jump(before: Float32[np.ndarray, " before"], after: Float32[np.ndarray, " after"]) -> float:
    """Return how abruptly one sound follows another: dB between their spectra, and error of the predicted samples.

    The first four samples after the cut are predicted linearly from those before (order 16, autocorrelation method);
    a decade more error than before the cut counts as 8 dB.
    """
    spectrum = float(np.sqrt(np.mean((_bands(before[-_SPECTRUM:]) - _bands(after[:_SPECTRUM])) ** 2)))
    windowed = before.astype(np.float64) * np.hanning(len(before))
    lags = np.correlate(windowed, windowed, "full")[len(before) - 1 : len(before) + _ORDER]
    lags[0] = lags[0] * 1.0001 + _FAINT
    weights = solve_toeplitz(lags[:-1], lags[1:])
    error = lfilter(np.concatenate([[1.0], -weights]), [1.0], np.concatenate([before, after[:_SAMPLES]]))
    usual = np.sqrt(np.mean(error[-_SAMPLES - 100 : -_SAMPLES] ** 2) + _FAINT)
    surprise = np.log10(np.sqrt(np.mean(error[-_SAMPLES:] ** 2) + _FAINT) / usual)
    return spectrum + 8.0 * max(float(surprise), -0.5)


def _bands(samples: Float32[np.ndarray, " samples"]) -> Float64[np.ndarray, " bands"]:
    """Return the level in dB of 24 bands that are equal on the mel scale up to 6 kHz."""
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 1024)) ** 2 / len(samples) ** 2
    mel = np.linspace(2595 * np.log10(1 + 80 / 700), 2595 * np.log10(1 + 6000 / 700), 25)
    edges = np.round(700 * (10 ** (mel / 2595) - 1) * 1024 / RATE).astype(int)
    return np.asarray(10 * np.log10(np.add.reduceat(power[: edges[-1]], edges[:-1]) + _FAINT))
