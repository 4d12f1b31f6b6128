"""Each change on one clip: what it sounds and looks like, what was drawn, and what it costs."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int16

from valenza.features.augment import change, draw, explained
from valenza.features.batch import join
from valenza.features.specaugment import mask
from valenza.features.spectrogram import SAMPLE_RATE, log_mel
from valenza.recipe import Augment, Change

_TIMES = 5
TOGETHER = "together"


@dataclass(frozen=True)
class Example:
    """A clip after one change, or after all that a recipe draws."""

    name: str
    said: str
    """What the change is, in a sentence."""
    settings: str
    """As a recipe has them."""
    drawn: str
    """What was drawn from them."""
    audio: Int16[np.ndarray, " samples"] | None
    """None where only the spectrogram changes."""
    mel: Float32[np.ndarray, "mels steps"]
    milliseconds: float | None = None
    """On one core of this machine, the median of five."""


def examples(audio: Int16[np.ndarray, " samples"], settings: Augment, seed: int, draws: int = 4) -> Iterator[Example]:
    """Yield the clip after each change of a recipe, as if it happened always, and then after `draws` of them all."""
    for name, each in settings.waveform.items():
        certain = {name: each.model_copy(update={"p": 1.0})}
        heard, drawn = explained(audio, str(seed), certain)
        cost = _cost(partial(change, audio, str(seed), certain))
        yield Example(name, _said(each), _written(name, each), told(drawn[name], audio), heard, _mel(heard), cost)
    before, (_, clip_of_frame) = torch.from_numpy(_mel(audio))[None], join([audio])
    for name, each in settings.spectrogram.items():
        work = partial(mask, before, clip_of_frame[None], [str(seed)], {name: each.model_copy(update={"p": 1.0})})
        yield Example(name, _said(each), _written(name, each), "", None, work()[0].numpy(), _cost(work))
    for number in range(1, draws + 1):
        key = f"{seed} {number}"
        heard, drawn = explained(audio, key, settings.waveform)
        names = [name for name, each in settings.changes.items() if draw(f"{key} {name}", each.p) is not None]
        mel = _masked(heard, key, settings.spectrogram)
        yield Example(TOGETHER, ", ".join(names) or "unchanged", "", "", heard, mel)


def plain(audio: Int16[np.ndarray, " samples"]) -> Example:
    """Return the clip as it is."""
    return Example("clip", "", "", "", audio, _mel(audio))


def told(drawn: Mapping[str, Any], audio: Int16[np.ndarray, " samples"]) -> str:
    """Return what was drawn, in the units of its field; nothing where there was nothing to draw."""
    seconds = len(audio) / SAMPLE_RATE
    match drawn:
        case {"amplitude_ratio": float(ratio)}:
            return f"{20 * np.log10(ratio):+.1f} dB"
        case {"target_sample_rate": int(rate)}:
            return f"{SAMPLE_RATE / rate:.3f} times as fast"
        case {"noise_std": float(deviation)}:
            level = np.sqrt(np.square(audio / 32768.0).mean())
            return f"SNR {20 * np.log10(level / deviation):.1f} dB" if deviation > 0 and level > 0 else "silence"
        case {"delay": int(delay), "level": float(level)}:
            return f"after {1000 * delay / SAMPLE_RATE:.0f} ms, {20 * np.log10(level):.1f} dB"
        case {"kept": int(kept), "start": int(start)}:
            return f"{start / SAMPLE_RATE:.2f} s to {(start + kept) / SAMPLE_RATE:.2f} s"
        case {"shift_amount": float(share)}:
            return f"by {share * seconds:+.2f} s"
    return ""


def _said(change: Change) -> str:
    return str(type(change).__doc__).splitlines()[0]


def _written(name: str, each: Change) -> str:
    """Return a change as a line of a recipe."""
    values = ", ".join(f"{key}: {_short(value)}" for key, value in each.model_dump(mode="json").items())
    return f"{name}: {{{values}}}"


def _short(value: Any) -> str:
    return f"[{', '.join(map(_short, value))}]" if isinstance(value, list) else f"{value:g}"


def _mel(audio: Int16[np.ndarray, " samples"], mels: int = 80) -> Float32[np.ndarray, "mels steps"]:
    waveform, _ = join([audio])
    return log_mel(waveform[None] / 32768.0, mels)[0].numpy()


def _masked(
    audio: Int16[np.ndarray, " samples"], key: str, settings: Mapping[str, Change]
) -> Float32[np.ndarray, "mels steps"]:
    _, clip_of_frame = join([audio])
    return mask(torch.from_numpy(_mel(audio))[None], clip_of_frame[None], [key], settings)[0].numpy()


def _cost(work: Callable[[], object]) -> float:
    """Return milliseconds."""
    times = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return 1000 * median(times)
