"""A trained network as one function of a batch of recordings: what is exported, and what predicts in batches."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from valenza.inference.hearing import Spectrogram, frames_of, own, whole
from valenza.inference.waveform import WaveformRows
from valenza.inference.whisper import FAR, WhisperRows
from valenza.labels.taxonomy import EMOTIONS
from valenza.model.encoders import WaveformStack, WhisperStack
from valenza.model.network import Network
from valenza.model.student import Student

OUTPUTS = ("logits", "mixture", "frames", "concentration", "frame_concentration")
"""What a recogniser says, in order; the last two of Dirichlet heads only."""


@dataclass(frozen=True)
class Decision:
    """How logits become shares, as `evaluation.protocol.predict` has it."""

    seen: tuple[str, ...]
    """Emotions that training had; no other is ever told."""
    shift: tuple[float, ...]
    """What is taken from each logit: the logarithm of the training prior, or nothing."""
    temperature: float = 1.0


class Shares(nn.Module):
    """Logits to shares that sum to 1, exactly 0 for emotions that training never had."""

    def __init__(self, decision: Decision) -> None:
        super().__init__()
        self.temperature = decision.temperature
        self.shift: Tensor
        self.banned: Tensor
        self.register_buffer("shift", torch.tensor(decision.shift), persistent=False)
        banned = [0.0 if emotion in decision.seen else FAR for emotion in EMOTIONS]
        self.register_buffer("banned", torch.tensor(banned), persistent=False)

    def forward(self, logits: Float[Tensor, "*batch classes"]) -> Float[Tensor, "*batch classes"]:
        """Return the softmax over what was seen."""
        return ((logits - self.shift) / self.temperature + self.banned).softmax(dim=-1)


class Recogniser(nn.Module):
    """Recordings of unequal length to the emotions of each and of its 50 Hz frames.

    A row says what its recording alone would: nothing in it depends on the rest of the batch, nor on what lies past
    its end. Frames past a recording's end are 0. Recordings are at least two frames, 40 ms, and at most the encoder's
    window, 30 s.
    """

    def __init__(self, network: Network | Student, decision: Decision) -> None:
        super().__init__()
        self.network, self.shares = network, Shares(decision)
        stack = network.encoder
        self.spectrogram: Spectrogram | None = None
        self.rows: WhisperRows | WaveformRows
        if isinstance(stack, WhisperStack):
            self.spectrogram = Spectrogram(stack.hearing.mels)
            self.rows = WhisperRows(stack)
        else:
            assert isinstance(stack, WaveformStack)  # noqa: S101 - there are two kinds
            self.rows = WaveformRows(stack)
        self.dirichlet = network.head.emotion == "dirichlet"

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what `forward` returns."""
        return OUTPUTS if self.dirichlet else OUTPUTS[:3]

    def forward(
        self, audio: Float[Tensor, "batch samples"], lengths: Int64[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "..."], ...]:
        """Return `outputs` of 16 kHz audio in −1 … 1, of which each row has so many samples."""
        heard = whole(audio)
        heard = heard * own(heard.shape[1], lengths)
        frames = frames_of(lengths)
        if self.spectrogram is not None:
            return self.of_mel(self.spectrogram(heard, frames), frames)
        return self._said(self.rows(heard, frames), frames)

    def of_mel(
        self, mel: Float[Tensor, "batch mels steps"], frames: Int64[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "..."], ...]:
        """Return `outputs` of Whisper's log-mel spectrograms, two steps a frame, of which each row has so many."""
        inside = own(mel.shape[2], 2 * frames)[:, None]
        return self._said(self.rows(mel * inside, frames), frames)

    def _said(self, layers: list[Tensor], frames: Int64[Tensor, " batch"]) -> tuple[Tensor, ...]:
        inside = own(layers[0].shape[1], frames)
        if isinstance(self.network, Student):
            return self._framewise(self.network, layers, inside)
        head = self.network.head
        read = head.before(self.network.layer_reader(layers)).float()
        mean = (read * inside[..., None]).sum(dim=1) / inside.sum(dim=1, keepdim=True)
        said = head(torch.cat([mean[:, None], read], dim=1))  # once: quantisers spoil weights that are used twice
        logits, each = said[:, 0], said[:, 1:]
        outputs = (logits, self.shares(logits), self.shares(each) * inside[..., None])
        if not self.dirichlet:
            return outputs
        return (*outputs, logits.exp().sum(dim=-1), each.exp().sum(dim=-1) * inside)

    def _framewise(self, student: Student, layers: list[Tensor], inside: Tensor) -> tuple[Tensor, ...]:
        """Of a network that learned frames, a recording's mixture is the mean of its frames'."""
        read = student.layer_reader([student.context(layer, inside) for layer in layers])
        each = student.head(read, inside)
        shares = self.shares(each) * inside[..., None]
        count = inside.sum(dim=1, keepdim=True)
        mixture = shares.sum(dim=1) / count
        outputs = (mixture.clamp(min=1e-30).log(), mixture, shares)
        if not self.dirichlet:
            return outputs
        strength = each.exp().sum(dim=-1) * inside
        return (*outputs, strength.sum(dim=1) / count[:, 0], strength)
