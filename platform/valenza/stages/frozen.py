"""A frozen encoder says the same of a clip every time, so it is asked once."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Bool, Float, Float32
from torch.utils.data import Dataset

from valenza.features.batch import Batch, hear, join
from valenza.mixture.stream import Window
from valenza.model.encoders import SpeechEncoder
from valenza.recipe import Recipe
from valenza.shards.read import Reader
from valenza.stages.prepare import Prepared
from valenza.terminal import track

_LARGEST = 4 << 30
"""Bytes of layer means that are held in memory; beyond, windows are heard anew in each epoch."""


def may_hear_once(recipe: Recipe, encoder: SpeechEncoder, clips: int) -> bool:
    """Return whether training on each clip's layer means is the same as training on its frames.

    It is when nothing in the encoder is trained, clips do not hear each other, and the loss sees a clip's mean: scaling,
    mixture and head are linear, so they may be applied after the mean.
    """
    frozen = not any(p.requires_grad for p in encoder.parameters())
    linear = recipe.objective.level == "clip" and recipe.heads.dropout == 0
    return frozen and linear and encoder.hearing.alone and clips * encoder.depth * encoder.width * 4 <= _LARGEST


@torch.inference_mode()
def layer_means(
    encoder: SpeechEncoder, clips: Sequence[int], reader: Reader, *, label: str
) -> Float32[np.ndarray, "clips layers width"]:
    """Return each layer's mean over time for clips heard alone at their own length."""
    encoder.eval()
    device = next(encoder.parameters()).device
    means = np.zeros((len(clips), encoder.depth, encoder.width), dtype=np.float32)
    for i, row in enumerate(track(clips, label, len(clips))):
        waveform, clip_of_frame = (t[None].to(device) for t in join([reader.audio(row)]))
        layers = encoder(hear(waveform, clip_of_frame, encoder.hearing), clip_of_frame)
        means[i] = torch.stack([layer.float().mean(dim=1)[0] for layer in layers]).cpu().numpy()
    return means


def hear_once(
    recipe: Recipe, prepared: Prepared, encoder: SpeechEncoder, reader: Reader, run: Path, accelerator: Accelerator
) -> Float32[np.ndarray, "clips layers width"]:
    """Return the layer means of all clips of the index, kept in the run folder for a resumed run."""
    key = json.dumps([prepared.digest, recipe.encoder.model_dump(mode="json"), recipe.seed])
    file = run / f"heard-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npy"
    if not file.exists():
        own = np.arange(prepared.index.num_rows)[accelerator.process_index :: accelerator.num_processes]
        means = torch.zeros(prepared.index.num_rows, encoder.depth, encoder.width)
        means[own] = torch.from_numpy(layer_means(encoder, own.tolist(), reader, label="hearing"))
        if accelerator.num_processes > 1:
            moved = means.to(accelerator.device)
            torch.distributed.all_reduce(moved)
            means = moved.cpu()
        if accelerator.is_main_process:
            partial = file.with_suffix(".partial.npy")
            np.save(partial, means.numpy())
            partial.rename(file)
        accelerator.wait_for_everyone()
    return np.asarray(np.load(file))


class HeardDataset(Dataset[Batch]):
    """Serves windows whose clips have been heard: every clip is one frame, its mean."""

    def __init__(
        self,
        means: Float32[np.ndarray, "clips layers width"],
        targets: Float[np.ndarray, "clips classes"],
        known: Bool[np.ndarray, "clips classes"],
    ) -> None:
        self.means, self.targets = torch.from_numpy(means), torch.from_numpy(targets).float()
        self.known = torch.from_numpy(known)

    def __getitem__(self, windows: Sequence[Window]) -> Batch:  # type: ignore[override]
        """Return the layer means of these windows' clips."""
        rows = torch.tensor([row for window in windows for row in window.clips])
        counts = torch.tensor([window.real for window in windows for _ in window.clips])
        order = torch.arange(len(rows))[None]
        return Batch(self.means[rows][None], order, rows, self.targets[rows], self.known[rows], counts)
