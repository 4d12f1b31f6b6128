"""Whether a folder that was written says what the run says, on recordings, read back as its users will read it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

from valenza.evaluation.listen import listen
from valenza.export.gate.parity import Clip
from valenza.features.batch import FRAME
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.inference.hearing import frames_of, normalised, whole
from valenza.inference.hub import ValenzaForAudioClassification
from valenza.inference.recogniser import Recogniser
from valenza.recipe import Recipe

LOGITS, SHARES = 1e-4, 1e-5
"""The most by which logits and probabilities may differ."""


@dataclass
class Agreement:
    """The greatest differences that were found."""

    of: str
    clips: int
    differences: dict[str, float] = field(default_factory=dict)
    """What was compared → the greatest difference."""
    same_label: int = 0
    """Clips of which both name the same emotion first."""
    predict: dict[str, float] = field(default_factory=dict)
    """Against `valenza predict`, where the class that was written hears recordings a little differently."""

    def note(self, what: str, mine: Tensor, theirs: Tensor) -> None:
        """Keep the greatest difference of two tensors; infinity where something is not a number."""
        apart = (mine.double() - theirs.double()).abs()
        found = float(apart.max()) if apart.numel() else 0.0
        self.differences[what] = max(found if apart.isfinite().all() else math.inf, self.differences.get(what, 0.0))

    def fault(self) -> str:
        """Return what is wrong; empty where both agree."""
        for what, found in self.differences.items():
            limit = SHARES if what in ("probabilities", "frames") else LOGITS
            if found > limit:
                return f"{what} differ by {found:.1e} where {limit:.0e} is allowed"
        if self.same_label < self.clips:
            return f"{self.clips - self.same_label} of {self.clips} clips get another label than from `valenza predict`"
        return ""


@torch.inference_mode()
def compare(folder: Path, recogniser: Recogniser, recipe: Recipe, clips: Sequence[Clip], of: str) -> Agreement:
    """Read a folder back and compare what it says with what the run says of the same recordings."""
    model = AutoModelForAudioClassification.from_pretrained(folder, dtype=torch.float32).eval()
    extract = AutoFeatureExtractor.from_pretrained(folder)
    found = Agreement(of, len(clips))
    if isinstance(model, ValenzaForAudioClassification):
        for start in range(0, len(clips), 3):
            _ours(found, model, extract, recogniser, clips[start : start + 3])
    else:
        for clip in clips:
            _stock(found, model, extract, recogniser, recipe, clip)
    return found


def _ours(found: Agreement, model: Any, extract: Any, recogniser: Recogniser, clips: Sequence[Clip]) -> None:
    """Three in a batch must say what the run says of that batch, and, though padded, what it says of each alone."""
    inputs = extract([_waveform(clip) for clip in clips], sampling_rate=SAMPLE_RATE, padding=True, return_tensors="pt")
    said = model(**inputs)
    together = _said(recogniser, inputs["input_values"], [len(clip) for clip in clips])
    logits, mixtures = _decided(recogniser, together["logits"]), said.logits.softmax(dim=-1)
    found.note("logits", said.logits, logits)
    found.note("probabilities", mixtures, together["mixture"])
    found.note("frames", said.frames, together["frames"])
    if recogniser.dirichlet:
        found.note("concentration", said.concentration / together["concentration"], torch.ones(len(clips)))
    for row, clip in enumerate(clips):
        alone = _alone(recogniser, clip)
        mixture, frames = alone["mixture"][0], alone["frames"][0]
        found.note("padded against alone", mixtures[row], mixture)
        found.note("padded against alone", said.frames[row, : len(frames)], frames)
        found.same_label += int(mixtures[row].argmax() == mixture.argmax())


def _stock(found: Agreement, model: Any, extract: Any, recogniser: Recogniser, recipe: Recipe, clip: Clip) -> None:
    """A stock class must compute the same of what it hears, and name the same emotion of a recording as it is."""
    audio = _waveform(clip)
    said = model(**extract(audio, sampling_rate=SAMPLE_RATE, return_tensors="pt")).logits[0]
    mixture = _alone(recogniser, clip)["mixture"][0]
    seen = mixture > 0
    if model.config.model_type == "whisper":
        network: Any = recogniser.network
        told = listen(network, [clip], 1, padding="window", label="").logits[recipe.evaluation.frames]
        same, wanted = said, _decided(recogniser, torch.from_numpy(told))[0]
        label = wanted.argmax()
    else:
        same, wanted = model(_whole(recogniser, clip)).logits[0], _without_last(recogniser, clip)
        label = mixture.argmax()
    found.note("logits", same[seen], wanted[seen])
    found.note("probabilities", same.softmax(dim=-1), wanted.softmax(dim=-1))
    found.same_label += int(said.argmax() == label)
    apart = float((said.softmax(dim=-1) - mixture).abs().max())
    found.predict["probabilities"] = max(apart, found.predict.get("probabilities", 0.0))
    found.predict["same_label"] = found.predict.get("same_label", 0) + int(said.argmax() == mixture.argmax())


def _waveform(clip: Clip) -> Float[np.ndarray, " samples"]:
    return np.asarray(clip / np.float32(32768))


def _said(recogniser: Recogniser, audio: Tensor, lengths: Sequence[int]) -> dict[str, Tensor]:
    return dict(zip(recogniser.outputs, recogniser(audio, torch.tensor(lengths)), strict=True))


def _alone(recogniser: Recogniser, clip: Clip) -> dict[str, Tensor]:
    return _said(recogniser, torch.from_numpy(_waveform(clip))[None], [len(clip)])


def _decided(recogniser: Recogniser, logits: Tensor) -> Tensor:
    shares = recogniser.shares
    return (logits - shares.shift) / shares.temperature + shares.banned


def _whole(recogniser: Recogniser, clip: Clip) -> Tensor:
    """Return a clip with silence up to a whole frame, as our network hears it."""
    audio = whole(torch.from_numpy(_waveform(clip))[None])
    hearing = recogniser.network.encoder.hearing
    return normalised(audio, torch.tensor([audio.shape[1] // FRAME])) if hearing.normalise else audio


def _without_last(recogniser: Recogniser, clip: Clip) -> Tensor:
    """Return our network's logits over the frames that the convolutions give: it repeats the last, stock does not."""
    network: Any = recogniser.network
    frames = frames_of(torch.tensor([len(clip)]))
    layers = recogniser.rows(whole(torch.from_numpy(_waveform(clip))[None]), frames)
    read = network.head.before(network.layer_reader(layers))[:, :-1]
    return _decided(recogniser, network.head(read.mean(dim=1)))[0]
