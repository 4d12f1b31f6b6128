"""A frame-level network makes one pass over a recording."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int16

from valenza.features.batch import FRAME, join, whole_frames
from valenza.model.network import Network
from valenza.model.student import Student


@torch.inference_mode()
def logits(network: Network | Student, audio: Int16[np.ndarray, " samples"]) -> Float32[np.ndarray, "frames classes"]:
    """Return what a network says of every 20 ms of a recording, heard by itself at its own length.

    Of a Dirichlet head these are log α. A recording that is longer than the encoder's window is heard in equal parts.
    """
    network.eval()
    device = next(network.parameters()).device
    frames = whole_frames(len(audio)) // FRAME
    parts = -(-frames * FRAME // network.encoder.hearing.window_samples)
    cuts = [number * frames // parts * FRAME for number in range(1, parts)]
    said = []
    for part in np.split(audio, cuts):
        waveform, clip_of_frame = (tensor[None].to(device) for tensor in join([part]))
        said.append(network(waveform, clip_of_frame)[0].float().cpu().numpy())
    return np.concatenate(said)


def mixtures(
    logits: Float[np.ndarray, "frames classes"], seen: Bool[np.ndarray, " classes"]
) -> Float64[np.ndarray, "frames classes"]:
    """Return the softmax of logits over the classes that were seen in training; the others have no share."""
    raised = np.where(seen, logits.astype(np.float64), -np.inf)
    powers = np.exp(raised - raised.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
