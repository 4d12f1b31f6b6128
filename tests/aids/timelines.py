"""Timelines that tests write down and read back, and names that are hard to write down."""

import numpy as np

from valenza.labels.sequences import frame_times
from valenza.labels.taxonomy import EMOTIONS
from valenza.timeline.timeline import Timeline

ODD = 'a "b"\tc\nd, é 第3回 <NA> #;=x \udcff.wav'
NAMES = ("plain.wav", ODD, "dir/plain.wav", "", "  .wav", "=1+1.wav", "x\u2028y\x85z.wav")


def spoken(count: int = 120, seed: int = 0, name: str = "take.wav", sure: bool = False) -> Timeline:
    rng = np.random.default_rng(seed)
    anchors = rng.dirichlet(np.full(len(EMOTIONS), 0.2), 1 + count // 30)
    mixtures = np.repeat(anchors, 30, axis=0)[:count] * 0.98 + 0.02 / 8
    duration = count / 50 - 0.0034375
    return Timeline(frame_times(count), EMOTIONS, mixtures, duration, rng.gamma(2, 5, count) if sure else None, name)
