"""Several timelines made into one: recordings one after another, or several opinions of one recording."""

from collections.abc import Sequence as Many
from dataclasses import replace
from itertools import pairwise

import numpy as np
from jaxtyping import Float64

from valenza.timeline.timeline import FRAME, Timeline

_SEAM = 1e-5
"""Seconds before the end of a recording at which it is held where another is joined: less than a sample at 16 kHz."""


def join(timelines: Many[Timeline], name: str | None = None) -> Timeline:
    """Return recordings one after another; each says what it says alone, up to the seam.

    Where two do not agree at their seam, the first is held until 10 µs before it. The name is that of the first
    unless another is given. There is a concentration where all have one. Raises `ValueError` for unlike classes.
    """
    first, sure = _alike(timelines)
    parts = [_table(first, 0.0)]
    begun = first.duration
    for before, timeline in pairwise(timelines):
        parts[-1:] = _sewn(parts[-1], _table(timeline, begun), begun, min(_SEAM, before.duration / 2))
        begun += timeline.duration
    keys = np.concatenate(parts)
    name = first.name if name is None else name
    return Timeline(keys[:, 0], first.classes, keys[:, 2:], begun, keys[:, 1] if sure else None, name)


def mean(timelines: Many[Timeline], weights: Many[float | int] | None = None) -> Timeline:
    """Return the weighted mean of what several models, or several hearings, say of the same recording.

    It has the moments of all of them. There is a concentration, also a mean, where all have one. Raises `ValueError`
    for unlike classes or lengths, and for weights that are no shares.
    """
    first, sure = _alike(timelines)
    shares = np.ones(len(timelines)) if weights is None else np.asarray(weights, np.float64)
    if shares.shape != (len(timelines),) or not np.isfinite(shares).all() or (shares < 0).any() or not shares.sum():
        raise ValueError(f"{len(timelines)} timelines take as many weights of 0 or more, not all 0: {weights}")
    if max(abs(timeline.duration - first.duration) for timeline in timelines) > FRAME:
        lengths = ", ".join(f"{timeline.duration:g} s" for timeline in timelines)
        raise ValueError(f"timelines of one recording are equally long; these are {lengths}")
    if any(not np.array_equal(timeline.times, first.times) for timeline in timelines):
        together = np.unique(np.round(np.concatenate([timeline.times for timeline in timelines]), 6))
        shortest = min(timeline.duration for timeline in timelines)
        within = together[together <= shortest] if together[0] <= shortest else np.array([shortest])
        timelines = [timeline.read(within) for timeline in timelines]
    shares = shares / shares.sum()
    return replace(
        first,
        times=timelines[0].times,
        mixtures=np.einsum("t,tkc->kc", shares, np.stack([timeline.mixtures for timeline in timelines])),
        concentration=shares @ np.stack([_sureness(timeline) for timeline in timelines]) if sure else None,
    )


def _alike(timelines: Many[Timeline]) -> tuple[Timeline, bool]:
    """Return the first, and whether all have a concentration; refuses none at all and unlike classes."""
    if not timelines:
        raise ValueError("there is no timeline")
    for timeline in timelines[1:]:
        if timeline.classes != timelines[0].classes:
            one, other = ", ".join(timelines[0].classes), ", ".join(timeline.classes)
            raise ValueError(f"timelines of the same classes can be put together, not {one} and {other}")
    return timelines[0], all(timeline.concentration is not None for timeline in timelines)


def _sureness(timeline: Timeline) -> Float64[np.ndarray, " keys"]:
    return np.zeros(len(timeline.times)) if timeline.concentration is None else timeline.concentration


def _table(timeline: Timeline, start: float) -> Float64[np.ndarray, "keys columns"]:
    """Return one row a moment: its time on a longer recording, its concentration or 0, its mixture."""
    return np.column_stack([timeline.times + start, _sureness(timeline), timeline.mixtures])


def _sewn(
    before: Float64[np.ndarray, "keys columns"], after: Float64[np.ndarray, "more columns"], seam: float, gap: float
) -> list[Float64[np.ndarray, "_ columns"]]:
    """Return two neighbours with what holds each up to the seam."""
    if np.array_equal(before[-1, 1:], after[0, 1:]):
        rest = after[int(before[-1, 0] >= after[0, 0]) :]
        return [before, rest] if len(rest) else [before]
    held = np.array([np.interp(seam - gap, before[:, 0], column) for column in before.T])
    held[0] = seam - gap
    parts = [before[before[:, 0] < seam - gap], held[None]]
    if after[0, 0] > seam:
        parts.append(np.concatenate([[seam], after[0, 1:]])[None])
    return [np.concatenate(parts), after]
