"""A frozen encoder says the same of a clip every time, so it is asked once and its answer is kept."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Bool, Float, Float32
from torch.utils.data import Dataset

from valenza.features.augment import Augmentation, alter, fingerprint, version_key
from valenza.features.batch import DAMAGE, SILENCE, Batch, hear, join
from valenza.features.specaugment import mask
from valenza.mixture.stream import Window
from valenza.model.encoders import SpeechEncoder
from valenza.recipe import Augment, Recipe
from valenza.shards.read import Reader
from valenza.terminal import say, track
from valenza.training.peers import add_up

Damaged = dict[int, str]
"""Rows that cannot be heard, and why."""

_LARGEST = 4 << 30
"""Bytes of layer means that are held in memory; beyond, windows are heard anew in each epoch."""


def may_hear_once(recipe: Recipe, encoder: SpeechEncoder, clips: int) -> bool:
    """Return whether training on each clip's layer means is the same as training on its frames.

    It is when nothing in the encoder is trained, clips do not hear each other, and the loss sees a clip's mean:
    scaling and mixture are linear, so they may be applied after the mean, and all else acts on it anyway.
    """
    frozen = not any(p.requires_grad for p in encoder.parameters())
    on_means = recipe.objective.level == "clip"
    size = clips * (recipe.augment.versions or 1) * encoder.depth * encoder.width * 4
    return frozen and on_means and encoder.hearing.alone and size <= _LARGEST


@dataclass
class Listener:
    """Hears single clips with an encoder whose weights do not change, and keeps what it heard on disk."""

    encoder: SpeechEncoder
    augment: Augment
    """What version 1 and up of a clip are; version 0 is the clip itself."""

    def __post_init__(self) -> None:
        digest = hashlib.sha256(f"{self.encoder.hearing.kind}{self.encoder.manner}".encode())
        for name, weight in self.encoder.state_dict().items():
            digest.update(name.encode() + weight.cpu().contiguous().numpy().tobytes())
        self.digest = digest.hexdigest()

    def means(
        self, reader: Reader, ids: Sequence[str], rows: Sequence[int], *, number: int = 0, label: str = "hearing"
    ) -> Float32[np.ndarray, "clips layers width"]:
        """Return each layer's mean over time for version `number` of these clips, heard alone at their own length.

        Raises `ShardError` at a damaged clip: scores and probes without it would not be those that they are said to be.
        """
        rows = list(rows)
        file = self.file(reader, ids, rows, number)
        if file.exists():
            return np.asarray(np.load(file))
        means = self.listen(reader, ids, rows, number, label)
        keep(file, means)
        return means

    @torch.inference_mode()
    def listen(
        self,
        reader: Reader,
        ids: Sequence[str],
        rows: Sequence[int],
        number: int,
        label: str,
        damaged: Damaged | None = None,
    ) -> Float32[np.ndarray, "clips layers width"]:
        """Return what `means` returns, without looking whether it was kept.

        With `damaged`, clips that cannot be heard are zero, and the reasons are put there.
        """
        self.encoder.eval()
        device = next(self.encoder.parameters()).device
        means = np.zeros((len(rows), self.encoder.depth, self.encoder.width), dtype=np.float32)
        for i, row in enumerate(track(rows, label, len(rows))):
            try:
                clip = alter(reader.audio(row), ids[row], number, self.augment)
            except DAMAGE as error:
                if damaged is None:
                    raise
                damaged[row] = str(error)
                continue
            waveform, clip_of_frame = (t[None].to(device) for t in join([clip]))
            heard = hear(waveform, clip_of_frame, self.encoder.hearing)
            if self.augment.spectrogram:
                heard = mask(heard, clip_of_frame, [version_key(ids[row], number)], self.augment.spectrogram)
            layers = self.encoder(heard, clip_of_frame)
            means[i] = torch.stack([layer.float().mean(dim=1)[0] for layer in layers]).cpu().numpy()
        return means

    def file(self, reader: Reader, ids: Sequence[str], rows: Sequence[int], number: int) -> Path:
        """Return where the means of these clips are kept: a name that changes with weights, samples and version."""
        digest = hashlib.sha256(f"1 {self.digest}".encode())
        for row in rows:
            digest.update(f"{ids[row]} {reader.checksum(row)}\n".encode())
        if number:
            digest.update(f"{number} {fingerprint(self.augment)}".encode())
        return cache(f"{digest.hexdigest()[:32]}.npy")


def cache(name: str) -> Path:
    """Return where a file of what was heard is kept: under $VALENZA_CACHE, or in the user's own cache."""
    return Path(os.environ.get("VALENZA_CACHE", Path.home() / ".cache" / "valenza")) / "heard" / name


def keep(file: Path, means: Float32[np.ndarray, "..."]) -> None:
    """Write a file of the cache whole or not at all; a cache that cannot be written costs time, not the run."""
    partial = file.with_suffix(f".{os.getpid()}.npy")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(partial, means)
        partial.replace(file)
    except OSError as error:
        partial.unlink(missing_ok=True)
        say(f"{file.parent}: what was heard is not kept: {error.strerror}")


def hear_once(
    listener: Listener,
    reader: Reader,
    ids: Sequence[str],
    corpora: Mapping[str, Sequence[int]],
    accelerator: Accelerator,
) -> tuple[Float32[np.ndarray, "versions clips layers width"], Damaged]:
    """Return the layer means of every version of all clips, and which are damaged: all versions of those are zero.

    The processes share the hearing, corpus by corpus. What is heard of a corpus with damaged clips is not kept on disk,
    since the name of the file is that of the whole clips.
    """
    every: Damaged = {}
    rank, ranks, encoder = accelerator.process_index, accelerator.num_processes, listener.encoder
    versions = listener.augment.versions or 1
    heard = np.zeros((versions, len(ids), encoder.depth, encoder.width), dtype=np.float32)
    for corpus, rows in corpora.items():
        for number in range(versions):
            file = listener.file(reader, ids, rows, number)
            kept = add_up(accelerator, [float(file.exists())])[0] == ranks
            if kept:
                heard[number, rows] = np.load(file)
                continue
            part = torch.zeros(len(rows), encoder.depth, encoder.width)
            damaged: Damaged = {}
            told = f"hearing {corpus}, version {number}"
            own = listener.listen(reader, ids, rows[rank::ranks], number, told, damaged)
            part[rank::ranks] = torch.from_numpy(own)
            if ranks > 1:
                moved = part.to(accelerator.device)
                torch.distributed.all_reduce(moved)
                part = moved.cpu()
            heard[number, rows] = part.numpy()
            damaged = of_all(accelerator, damaged)
            every |= damaged
            if accelerator.is_main_process and not damaged:
                keep(file, part.numpy())
    heard[:, list(every)] = 0.0
    return heard, every


def of_all(accelerator: Accelerator, damaged: Damaged) -> Damaged:
    """Return what all processes found damaged."""
    if accelerator.num_processes == 1:
        return damaged
    parts: list[Damaged] = [{} for _ in range(accelerator.num_processes)]
    torch.distributed.all_gather_object(parts, damaged)
    return {row: reason for part in parts for row, reason in part.items()}


class HeardDataset(Dataset[Batch]):
    """Serves windows whose clips have been heard: every clip is one frame, its mean."""

    def __init__(
        self,
        means: Float32[np.ndarray, "versions clips layers width"],
        targets: Float[np.ndarray, "clips classes"],
        known: Bool[np.ndarray, "clips classes"],
        augment: Augmentation | None,
        *,
        damaged: Mapping[int, str],
        ids: Sequence[str],
    ) -> None:
        self.means, self.targets = torch.from_numpy(means), torch.from_numpy(targets).float()
        self.known, self.augment = torch.from_numpy(known), augment
        self.damaged, self.ids = damaged, ids

    def __getitem__(self, windows: Sequence[Window]) -> Batch:
        """Return the layer means of these windows' clips, in the version that the epoch hears."""
        clips = [(row, window) for window in windows for row in window.clips]
        rows = torch.tensor([row for row, _ in clips])
        versions = torch.tensor([self.augment.version(row, w.epoch) if self.augment else 0 for row, w in clips])
        damaged = {row: self.damaged[row] for row, _ in clips if row in self.damaged}
        counts = torch.tensor([window.real and row not in damaged for row, window in clips])
        order = torch.tensor([[SILENCE if row in damaged else number for number, (row, _) in enumerate(clips)]])
        means, targets, known = self.means[versions, rows][None], self.targets[rows], self.known[rows]
        return Batch(means, order, rows, targets, known, counts, quarantined=tuple(damaged.items()))

    def name(self, row: int) -> str:
        """Return the id of a clip."""
        return self.ids[row]
