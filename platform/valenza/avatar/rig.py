"""A face's weights from emotion and voice: the numbers are in rig.json, which the browser reads too."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Literal

import pydantic
import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, FiniteFloat
from torch import Tensor

from valenza.avatar.arkit import ARKIT
from valenza.errors import DataError
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.labels.sequences import FRAME_RATE
from valenza.labels.taxonomy import EMOTIONS

RIG = Path(__file__).with_name("rig.json")
_FRAME = SAMPLE_RATE // FRAME_RATE
_SILENT = 1e-4
"""RMS of the loud frames, of a full scale of 1, up to which a recording is silent."""
_LOUD = 0.95
"""Share of the frames that are no louder than a loud one."""
_RANGE = 32.0
"""Decibels under a loud frame at which the mouth is shut."""
_CURVE = 1.6
_RELEASE = 0.65
"""Share of the opening that is left a frame after the voice has stopped: lips are slower than sound."""


@dataclass(frozen=True, eq=False)
class Rig:
    """What each emotion, and the voice, does to each of the 52 channels."""

    presets: Float[Tensor, "classes channels"]
    """One row for each emotion of the taxonomy: the face that shows it alone, in silence."""
    mouth: Float[Tensor, " channels"]
    """What full voice adds."""

    def weights(
        self, mixture: Float[Tensor, "frames classes"], voice: Float[Tensor, " frames"]
    ) -> Float[Tensor, "frames channels"]:
        """Return clamp(Σ_c mixture_c · preset_c + voice · mouth, 0, 1) in the order of `ARKIT`.

        `mixture` is over the emotions of the taxonomy, `voice` runs from 0 to 1. The gradient is that of the sum where
        the sum lies in [0, 1], its ends included. Where it goes beyond, the gradient is 0: a channel that is fully on
        does not tell how much more was asked for.
        """
        opened = voice.to(mixture)[:, None] * self.mouth.to(mixture)
        return (mixture @ self.presets.to(mixture) + opened).clamp(0.0, 1.0)

    @property
    def shown(self) -> tuple[str, ...]:
        """Emotions that can be told apart on the face; of those that look alike neutral, or else the first."""
        looks: dict[tuple[float, ...], str] = {}
        for emotion in ("neutral", *EMOTIONS):
            looks.setdefault(tuple(self.presets[EMOTIONS.index(emotion)].tolist()), emotion)
        return tuple(emotion for emotion in EMOTIONS if emotion in looks.values())


class _Numbers(BaseModel):
    """The part of rig.json that Python reads; the browser may find more in it."""

    model_config = ConfigDict(extra="ignore")

    format: Literal[1]
    emotions: dict[str, dict[str, FiniteFloat]]
    mouth: dict[str, FiniteFloat]


def read_rig(path: Path = RIG) -> Rig:
    """Read a rig's numbers; raises `DataError` that names the file and what is wrong in it."""
    try:
        numbers = _Numbers.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"{path}: {'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}") from None
    if set(numbers.emotions) != set(EMOTIONS):
        raise DataError(f"{path}: emotions: there must be exactly {', '.join(EMOTIONS)}")
    rows = [_row(path, f"emotions.{emotion}", numbers.emotions[emotion]) for emotion in EMOTIONS]
    return Rig(torch.stack(rows), _row(path, "mouth", numbers.mouth))


def _row(path: Path, field: str, weights: Mapping[str, float]) -> Float[Tensor, " channels"]:
    if strange := sorted(set(weights) - set(ARKIT)):
        raise DataError(f"{path}: {field}: {strange[0]!r} is not one of ARKit's 52 names")
    return torch.tensor([weights.get(channel, 0.0) for channel in ARKIT], dtype=torch.float64)


def voice_of(waveform: Float[Tensor, " samples"]) -> Float[Tensor, " frames"]:
    """Return how far 16 kHz audio opens the mouth in each frame that it reaches, 0 to 1: the same as web/voice.js.

    A frame's level is its RMS in decibels against the recording's own 95th percentile, so that a quiet take moves the
    mouth as a loud one does. The audio has no gradient here.
    """
    short = -len(waveform) % _FRAME
    power = torch.nn.functional.pad(waveform.detach().double().square(), (0, short)).view(-1, _FRAME).sum(dim=1)
    samples = torch.full_like(power, _FRAME)
    samples[-1:] -= short
    rms = (power / samples).sqrt()
    loud = float(rms.sort().values[int(_LOUD * (len(rms) - 1))]) if len(rms) else 0.0
    if loud <= _SILENT:
        return torch.zeros_like(rms)
    opening = (1 + 20 * (rms.clamp(min=1e-9) / loud).log10() / _RANGE).clamp(0.0, 1.0) ** _CURVE
    return torch.tensor(list(accumulate(opening.tolist(), lambda before, now: max(now, before * _RELEASE)))).to(rms)
