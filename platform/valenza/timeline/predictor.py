"""What `valenza.load` gives: a model for those who have waveforms and files, and want emotions."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from valenza.inference.load import load as load_model
from valenza.inference.model import Model
from valenza.labels.taxonomy import EMOTIONS
from valenza.timeline.sound import as_heard, blocks, promised
from valenza.timeline.stream import Stream, Streaming
from valenza.timeline.timeline import Timeline
from valenza.timeline.windows import Whole, Windows, hear_recording, mixture_of, timeline_of


@dataclass(frozen=True)
class Predictor:
    """Tells the emotions of recordings of any length."""

    model: Model

    @property
    def classes(self) -> tuple[str, ...]:
        """Emotions in the order of mixtures."""
        return EMOTIONS

    def predict(
        self, waveform: Any, sample_rate: int, *, window: float | None = None, step: float | None = None, name: str = ""
    ) -> Timeline:
        """Return the emotions over time of an array, a tensor or a list of samples.

        Floats have their full scale at 1, integers at that of their type; of two axes the shorter is the channels.
        Raises `UsageError` for what is no sound.
        """
        return timeline_of(self.model, as_heard(waveform, sample_rate), Windows(window, step), name=name)

    def predict_file(self, path: str | Path, *, window: float | None = None, step: float | None = None) -> Timeline:
        """Return the emotions over time of a file, which may be longer than memory; raises `DataError`."""
        return timeline_of(self.model, blocks(Path(path)), Windows(window, step), name=Path(path).name)

    def classify(self, waveform: Any, sample_rate: int) -> dict[str, float]:
        """Return each emotion's share of a whole recording, which sum to 1."""
        return _named(mixture_of(self.model, as_heard(waveform, sample_rate)))

    def classify_file(self, path: str | Path) -> dict[str, float]:
        """Return each emotion's share of a whole file; raises `DataError`."""
        whole = Whole(self.model, promised(Path(path)), str(path))
        hear_recording(self.model, whole, blocks(Path(path)), 1)
        return _named(whole.mixture()[0])

    def stream(
        self, *, window: float | None = None, step: float | None = None, look_ahead: float | None = None
    ) -> Stream:
        """Return what hears a recording while it is being spoken, in 16 kHz mono int16 samples."""
        return Stream(self.model, Streaming(Windows(window, step), look_ahead))


def _named(mixture: Float64[np.ndarray, " classes"]) -> dict[str, float]:
    return dict(zip(EMOTIONS, mixture.tolist(), strict=True))


def load(place: str | Path) -> Predictor:
    """Return the model of a run folder, an exported folder, an .onnx file, or a name on the Hugging Face hub.

    Raises `UsageError` for what is none of these.
    """
    return Predictor(load_model(place))


def stream(
    place: str | Path, *, window: float | None = None, step: float | None = None, look_ahead: float | None = None
) -> Stream:
    """Return a stream of the model at such a place; `load(place).stream()` for several of one model."""
    return load(place).stream(window=window, step=step, look_ahead=look_ahead)
