"""Algorithm 1 compiled to machine code: the windows of `plan.plan_windows`, clip for clip, some six times as fast.

Imported only where an epoch is large, since Numba takes a second to load (`pip install 'valenza[scale]'`).

The pool is sorted once for each refill. A draw then clears a bit rather than moving memory: `alive` has one bit a clip,
`before` counts the clips left in front of each word of 64, and both "how many fit" and "which is the k-th" are searches
in them, without branches where it cannot be foreseen which way they go. What is put back is merged behind its equals,
as `bisect_right` inserts it.
"""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

_WORD = 64
_BYTES = np.uint64(0x0101010101010101)
_BIT = np.array([([i for i in range(8) if byte >> i & 1] + [0] * 8)[:8] for byte in range(256)])
"""The place of each bit that is set in a byte."""


def plan_compiled(
    lengths: npt.NDArray[np.float64],
    waiting: npt.NDArray[np.int32],
    rng: np.random.Generator,
    *,
    limit: float,
    enough: float,
    pool: int,
    tries: int,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Return the clips of all windows one after the other, and where in them each window ends.

    `lengths` are seconds, one a clip; `waiting` holds the clips in the order in which they come last to first; `rng`
    stands where the drawing begins.
    """
    codes = _codes(lengths, np.argsort(lengths))
    clips, ends = _plan(lengths, codes, waiting, rng, limit, enough, pool, tries)
    return clips, ends


def _compiled(function: Callable[..., Any]) -> Any:
    """Compile a function at its first call and keep the code on disk; what type checkers wrap around it is left out."""
    return njit(cache=True)(inspect.unwrap(function))


@_compiled
def _ones(word):  # type: ignore[no-untyped-def]
    """Return, byte by byte, how many bits of a word are set in this byte and those below it."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return word * np.uint64(0x0101010101010101)


@_compiled
def _alive_before(at, alive, before):  # type: ignore[no-untyped-def]
    """Return how many clips are left among the first `at` of the pool."""
    word, bit = at >> 6, at & 63
    if bit == 0:
        return before[word]
    below = alive[word] & ((np.uint64(1) << np.uint64(bit)) - np.uint64(1))
    return before[word] + np.int64(_ones(below) >> np.uint64(56))


@_compiled
def _take(nth, words, alive, before):  # type: ignore[no-untyped-def]
    """Remove the `nth` clip that is left (from 0) and return its place in the pool."""
    low, span = 0, words  # the last word with at most `nth` clips before it
    while span > 1:
        half = span >> 1
        low += half * (before[low + half] <= nth)
        span -= half
    # The search in a word is Vigna's (2008): how many bytes end before it, then a table for the byte itself.
    rest = np.uint64(nth - before[low])
    sums = _ones(alive[low])
    behind = (((rest * _BYTES) | (_BYTES << np.uint64(7))) - sums) & (_BYTES << np.uint64(7))
    shift = (((behind >> np.uint64(7)) * _BYTES) >> np.uint64(56)) << np.uint64(3)
    rest -= ((sums << np.uint64(8)) >> shift) & np.uint64(255)
    bit = np.int64(shift) + _BIT[np.int64((alive[low] >> shift) & np.uint64(255)), np.int64(rest)]
    alive[low] &= ~(np.uint64(1) << np.uint64(bit))
    later = before[low + 1 :]
    for word in range(later.size):
        later[word] -= 1
    return _WORD * low + bit


@_compiled
def _codes(lengths, order):  # type: ignore[no-untyped-def]
    """Return whole numbers that are ordered as the lengths are, equal where they are equal."""
    codes, code, last = np.empty(lengths.size, np.int32), 0, 0.0
    for clip in order:
        code += lengths[clip] > last
        last = lengths[clip]
        codes[clip] = code
    return codes


@_compiled
def _sort(fresh, count, codes):  # type: ignore[no-untyped-def]
    """Sort clips by their codes; equals stay in their order."""
    if count < 64:
        for i in range(1, count):
            clip, at = fresh[i], i
            while at and codes[fresh[at - 1]] > codes[clip]:
                fresh[at] = fresh[at - 1]
                at -= 1
            fresh[at] = clip
        return
    other = np.empty(count, np.int32)
    shift = 0
    while codes.size >> shift:
        places = np.zeros(2049, np.int64)
        for i in range(count):
            places[((codes[fresh[i]] >> shift) & 2047) + 1] += 1
        for i in range(2048):
            places[i + 1] += places[i]
        for i in range(count):
            digit = (codes[fresh[i]] >> shift) & 2047
            other[places[digit]] = fresh[i]
            places[digit] += 1
        fresh[:count] = other
        shift += 11


@_compiled
def _merge(ids, size, alive, fresh, count, lengths, codes):  # type: ignore[no-untyped-def]
    """Return the pool with `fresh` clips behind their equals: clips, seconds, how many, bits and counts."""
    _sort(fresh, count, codes)
    old, old_codes, left = np.empty(size + 1, np.int32), np.empty(size + 1, np.int32), np.int64(0)
    for at in range(size):
        old[left], old_codes[left] = ids[at], codes[ids[at]]
        left += np.int64((alive[at >> 6] >> np.uint64(at & 63)) & np.uint64(1))
    new_codes = np.empty(count + 1, np.int32)
    for at in range(count):
        new_codes[at] = codes[fresh[at]]
    old_codes[left] = new_codes[count] = 2147483647
    size = left + count
    merged, seconds = np.empty(size, np.int32), np.empty(size, np.float64)
    first, second = 0, 0
    for place in range(size):
        stays = old_codes[first] <= new_codes[second]
        clip = old[first] if stays else fresh[second]
        merged[place], seconds[place] = clip, lengths[clip]
        first += stays
        second += 1 - stays
    words = (size + _WORD - 1) // _WORD
    alive = np.full(words, ~np.uint64(0), np.uint64)
    if size & 63:
        alive[words - 1] = (np.uint64(1) << np.uint64(size & 63)) - np.uint64(1)
    return merged, seconds, size, alive, np.minimum(np.arange(words + 1) * _WORD, size)


@_compiled
def _fitting(seconds, size, filled, limit):  # type: ignore[no-untyped-def]
    """Return how many clips of the pool, gone or not, are short enough for what is left of a window."""
    room = limit - filled
    if seconds[size - 1] <= room:
        return size
    low, span = 0, size
    while span > 1:
        half = span >> 1
        low += half * (seconds[low + half - 1] <= room)
        span -= half
    low += seconds[low] <= room
    while low and filled + seconds[low - 1] > limit:
        low -= 1  # the difference above was rounded up
    return low


@_compiled
def _uniform(rng, uniforms, used):  # type: ignore[no-untyped-def]
    """Return the next uniform; the reference takes each batch of them from its end."""
    if used[0] == uniforms.size:
        uniforms[:] = rng.random(uniforms.size)
        used[0] = 0
    used[0] += 1
    return uniforms[uniforms.size - used[0]]


@_compiled
def _take_made(rng, uniforms, used, starts, counts, made, tries):  # type: ignore[no-untyped-def]
    """Move an earlier window, of some drawn the one with the most clips, behind those that stay; returns its place."""
    drawn = np.empty(tries, np.int64)
    for i in range(tries):
        drawn[i] = int(_uniform(rng, uniforms, used) * made)
    drawn.sort()
    at = drawn[0]
    for i in drawn:
        if counts[i] > counts[at]:
            at = i
    last = made - 1
    starts[at], starts[last] = starts[last], starts[at]
    counts[at], counts[last] = counts[last], counts[at]
    return last


@_compiled
def _gather(store, starts, counts, made, short_starts, short_counts, shorts, n):  # type: ignore[no-untyped-def]
    """Return clips and ends of the full windows, then of the others."""
    clips, ends = np.empty(n, np.int32), np.empty(made + shorts, np.int64)
    at = 0
    for i in range(made + shorts):
        start = starts[i] if i < made else short_starts[i - made]
        count = counts[i] if i < made else short_counts[i - made]
        clips[at : at + count] = store[start : start + count]
        at += count
        ends[i] = at
    return clips, ends


@_compiled
def _draw(  # type: ignore[no-untyped-def]
    ids, seconds, size, alive, before, limit, enough, stranded, rng, uniforms, used, store, stored
):
    """Draw clips into `store` until the window is full or nothing fits; returns where they end, and their seconds."""
    filled = 0.0
    while filled < enough:
        fitting = _alive_before(_fitting(seconds, size, filled, limit), alive, before)
        if not fitting:
            break
        nth = fitting - 1 if stranded else int(_uniform(rng, uniforms, used) * fitting)
        at = _take(nth, alive.size, alive, before)
        store[stored] = ids[at]
        stored += 1
        filled += seconds[at]
    return stored, filled


@_compiled
def _plan(lengths, codes, waiting, rng, limit, enough, pool, tries):  # type: ignore[no-untyped-def]
    """Do what `plan._Planner.windows` does, line by line."""
    n = waits = lengths.size
    ids, seconds, size = np.empty(0, np.int32), np.empty(0, np.float64), 0
    alive, before = np.empty(0, np.uint64), np.zeros(1, np.int64)
    # Each clip is stored once, and again when it is given back: at most twice the clips in all.
    store, stored = np.empty(3 * n + 1, np.int32), 0
    starts, counts, made = np.empty(n + 1, np.int64), np.empty(n + 1, np.int32), 0
    short_starts, short_counts, shorts = np.empty(n + 1, np.int64), np.empty(n + 1, np.int32), 0
    fresh = np.empty(n + 1, np.int32)
    uniforms, used = np.empty(4096, np.float64), np.full(1, 4096, np.int64)
    failures, give_backs, stranded = 0, n, False
    while True:
        if waits and before[-1] < pool // 2:
            count = min(pool - before[-1], waits)
            fresh[:count] = waiting[waits - count : waits][::-1]
            waits -= count
            ids, seconds, size, alive, before = _merge(ids, size, alive, fresh, count, lengths, codes)
        if not before[-1]:
            return _gather(store, starts, counts, made, short_starts, short_counts, shorts, n)
        start = stored
        stored, filled = _draw(
            ids, seconds, size, alive, before, limit, enough, stranded, rng, uniforms, used, store, start
        )
        count = stored - start
        if filled >= enough:
            starts[made], counts[made] = start, count
            made += 1
            failures = 0
            continue
        failures += 1
        if failures > tries and not (made and give_backs > 0):
            short_starts[shorts], short_counts[shorts] = start, count
            shorts += 1
            continue
        fresh[:count] = store[start:stored]
        stored = start
        if failures > tries:
            for _ in range(min(tries, made)):
                made = _take_made(rng, uniforms, used, starts, counts, made, tries)
                returned = counts[made]
                fresh[count : count + returned] = store[starts[made] : starts[made] + returned]
                count += returned
                give_backs -= returned
            stranded, failures = True, 0
        ids, seconds, size, alive, before = _merge(ids, size, alive, fresh, count, lengths, codes)
