"""Runs a network over single clips: the part of an evaluation that needs audio."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32, Int16

from valenza.features.batch import SILENCE, hear, join
from valenza.model.heads import clip_means
from valenza.model.network import Network
from valenza.recipe import Recipe
from valenza.shards.read import Reader
from valenza.stages.frozen import Listener, may_hear_once
from valenza.terminal import track

_TOGETHER = 8
"""Padded clips that go through the network at once."""


@dataclass(frozen=True)
class Heard:
    """Means over time, with the clip's own frames alone (masked) and over the padded window too (unmasked)."""

    logits: dict[str, Float32[np.ndarray, "clips classes"]]
    """`masked` and `unmasked`."""
    read: dict[str, Float32[np.ndarray, "clips width"]]
    """What the heads read."""


@torch.inference_mode()
def listen(
    network: Network,
    clips: Iterable[Int16[np.ndarray, " _"]],
    total: int,
    *,
    padding: Literal["window", "none"],
    label: str,
) -> Heard:
    """Hear every clip by itself, padded with silence to the encoder's window or at its own length.

    Unpadded, the two means are the same. Raises `ValueError` for a clip longer than the window.
    """
    network.eval()
    device = next(network.parameters()).device
    hearing = network.encoder.hearing
    logits: dict[str, list[np.ndarray]] = {"masked": [], "unmasked": []}
    read: dict[str, list[np.ndarray]] = {"masked": [], "unmasked": []}
    together = _TOGETHER if padding == "window" else 1
    for group in _groups(track(clips, label, total), together):
        joined = [join([clip], hearing.window_samples if padding == "window" else None) for clip in group]
        waveforms = torch.stack([waveform for waveform, _ in joined]).to(device)
        clip_of_frame = torch.stack([frames for _, frames in joined]).to(device)
        features = [hear(w[None], c[None], hearing) for w, c in zip(waveforms, clip_of_frame, strict=True)]
        frames = network.read(torch.cat(features), clip_of_frame).float()
        number = torch.arange(len(group), device=device)[:, None]
        own = torch.where(clip_of_frame == SILENCE, SILENCE, number)
        for name, mean in (("masked", clip_means(frames, own, len(group))), ("unmasked", frames.mean(dim=1))):
            read[name].append(mean.cpu().numpy())
            # The head is linear, so its mean logit is its logit of the mean.
            logits[name].append(network.head(mean).cpu().numpy())
    return Heard({k: np.concatenate(v) for k, v in logits.items()}, {k: np.concatenate(v) for k, v in read.items()})


@torch.inference_mode()
def recall(network: Network, means: Float32[np.ndarray, "clips layers width"]) -> Heard:
    """Return what `listen` would for clips at their own length, from the layer means of a frozen encoder."""
    network.eval()
    layers = torch.from_numpy(means)[None].to(next(network.parameters()).device)
    frames = network.read(layers, torch.arange(len(means))[None]).float()[0]
    read, logits = frames.cpu().numpy(), network.head(frames).cpu().numpy()
    return Heard({"masked": logits, "unmasked": logits}, {"masked": read, "unmasked": read})


@dataclass(frozen=True)
class Ear:
    """Hears clips of any corpus with a trained network."""

    recipe: Recipe
    network: Network
    listener: Listener
    """The network's encoder, with what it has heard already."""

    def hear(
        self, reader: Reader, ids: Sequence[str], every: Sequence[int], rows: Sequence[int], *, label: str
    ) -> Heard:
        """Return what the network says of these rows; `every` are all rows of their corpus."""
        padding = self.recipe.evaluation.padding
        if padding == "none" and may_hear_once(self.recipe, self.network.encoder, len(rows)):
            return recall(self.network, layer_means(self.listener, reader, ids, every, rows, label=label))
        return listen(self.network, (reader.audio(row) for row in rows), len(rows), padding=padding, label=label)


def layer_means(
    listener: Listener, reader: Reader, ids: Sequence[str], every: Sequence[int], rows: Sequence[int], *, label: str
) -> Float32[np.ndarray, "clips layers width"]:
    """Return the layer means of these rows of a corpus; the whole is heard, and kept, where they are most of it.

    Training, its baselines and every run that holds another corpus out then share one file.
    """
    whole = listener.file(reader, ids, every, 0).exists()
    if not whole and 2 * len(rows) < len(every):
        return listener.means(reader, ids, rows, label=label)
    return listener.means(reader, ids, every, label=label)[np.searchsorted(every, rows)]


def _groups(clips: Iterable[np.ndarray], size: int) -> Iterator[list[np.ndarray]]:
    group: list[np.ndarray] = []
    for clip in clips:
        group.append(clip)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
