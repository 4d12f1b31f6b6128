"""A model of whole clips, slid over a recording whose emotion changes (Fedorov & Korobchenko, §4.1)."""

import hashlib
from collections.abc import Sequence as Many
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int16, Int64

from valenza.features.batch import FRAME, hear
from valenza.labels.sequences import FRAME_RATE, Sequence
from valenza.model.network import Network
from valenza.recipe import Augment
from valenza.shards.read import Reader
from valenza.stages.frozen import Listener, keep
from valenza.terminal import track

_TOGETHER = 32
"""Windows that go through the encoder at once."""


@dataclass(frozen=True)
class Sliding:
    """How a window moves."""

    window: float = 1.4
    """Seconds that are heard at once."""
    step: float = 1.0
    """Seconds from one window to the next."""

    @property
    def frames(self) -> tuple[int, int]:
        """Window and step in whole frames, each at least one."""
        return max(1, round(self.window * FRAME_RATE)), max(1, round(self.step * FRAME_RATE))


def starts(frames: int, sliding: Sliding) -> Int64[np.ndarray, " windows"]:
    """Return the frame that each window begins with: every `step`, and once more where the end would not be heard."""
    window, step = sliding.frames
    last = max(frames - window, 0)
    begins = np.arange(0, last + 1, step)
    return begins if begins[-1] == last else np.append(begins, last)


def moments(frames: int, sliding: Sliding) -> np.ndarray:
    """Return the middle of each window, in seconds: the time that its mixture is of."""
    window = min(sliding.frames[0], frames)
    return np.asarray((starts(frames, sliding) + window / 2) / FRAME_RATE)


def cut(audio: Int16[np.ndarray, " samples"], sliding: Sliding) -> Int16[np.ndarray, "windows window"]:
    """Return the windows of a recording; one that is shorter than a window is heard whole."""
    frames = max(1, -(-len(audio) // FRAME))
    padded = np.zeros(frames * FRAME, dtype=np.int16)
    padded[: len(audio)] = audio
    window = min(sliding.frames[0], frames)
    return np.stack([padded[s * FRAME : (s + window) * FRAME] for s in starts(frames, sliding)])


@dataclass(frozen=True)
class Slider:
    """Slides networks over recordings; what their frozen encoder hears of each window is kept."""

    listener: Listener
    sliding: Sliding

    def means(
        self, reader: Reader, ids: Many[str], rows: Many[int], *, label: str = "sliding"
    ) -> list[Float32[np.ndarray, "windows layers width"]]:
        """Return each layer's mean over every window of these recordings."""
        counts = [len(starts(max(1, -(-int(reader.samples(row)) // FRAME)), self.sliding)) for row in rows]
        file = self.listener.file(reader, ids, rows, 0)
        mark = hashlib.sha256(f"{file.stem} {self.sliding.frames}".encode()).hexdigest()
        file = file.with_name(f"slid-{mark[:32]}.npy")
        if file.exists():
            whole = np.load(file)
        else:
            whole = np.concatenate([self.hear(reader.audio(row)) for row in track(rows, label, len(rows))])
            keep(file, whole)
        return np.split(whole, np.cumsum(counts)[:-1])

    @torch.inference_mode()
    def hear(self, audio: Int16[np.ndarray, " samples"]) -> Float32[np.ndarray, "windows layers width"]:
        """Return each layer's mean over every window of one recording, each heard by itself."""
        encoder = self.listener.encoder.eval()
        device = next(encoder.parameters()).device
        heard = []
        for waveforms in torch.split(torch.from_numpy(cut(audio, self.sliding)).to(device), _TOGETHER):
            frames = waveforms.shape[1] // FRAME
            clip = torch.arange(len(waveforms), device=device)[:, None].expand(-1, frames)
            layers = encoder(hear(waveforms, clip, encoder.hearing), clip)
            heard.append(torch.stack([layer.float().mean(dim=1) for layer in layers], dim=1).cpu())
        return torch.cat(heard).numpy()

    @torch.inference_mode()
    def sequence(
        self,
        network: Network,
        means: Float32[np.ndarray, "windows layers width"],
        frames: int,
        seen: Bool[np.ndarray, " classes"] | None = None,
    ) -> Sequence:
        """Return what a network of whole clips says of each window, at the window's middle.

        Only classes that were `seen` in its training are said; what it gives to others is what it began with.
        """
        network.eval()
        layers = torch.from_numpy(means)[None].to(next(network.parameters()).device)
        order = torch.arange(len(means), device=layers.device)[None]
        logits = network.head(network.read(layers, order).float()[0])
        if seen is not None:
            logits = logits.masked_fill(~torch.from_numpy(seen).to(logits.device), -torch.inf)
        mixtures = logits.softmax(dim=-1).double().cpu().numpy()
        return Sequence(moments(frames, self.sliding), mixtures / mixtures.sum(axis=1, keepdims=True))


def slide(network: Network, sliding: Sliding) -> Slider:
    """Return what slides a network's encoder over recordings."""
    return Slider(Listener(network.encoder, Augment()), sliding)
