"""Wav2Vec2, HuBERT and WavLM over recordings of unequal length in one batch."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from valenza.inference.hearing import normalised, own
from valenza.inference.whisper import FAR
from valenza.model.encoders import WaveformStack


class WaveformRows(nn.Module):
    """Gives each row of a batch what `WaveformStack` gives the recording alone at its own length.

    The convolutions over the waveform are not padded, so what lies past a recording's end reaches no frame of its own,
    but for the moments of a group norm, which are taken over its own frames. The positional convolution sees zeros
    there, and the blocks attend to none of it.
    """

    def __init__(self, stack: WaveformStack) -> None:
        super().__init__()
        self.stack = stack

    def forward(
        self, audio: Float[Tensor, "batch samples"], frames: Int64[Tensor, " batch"]
    ) -> list[Float[Tensor, "batch frames width"]]:
        """Return the layers; samples are a multiple of 320, two frames at least, and zero past each recording's end."""
        model = self.stack.model
        if self.stack.hearing.normalise:
            audio = normalised(audio, frames)
        heard = (frames - 1).clamp(min=1)  # the convolutions lose a frame at the end
        features = self._convolved(audio, frames)
        projected = model.feature_projection(features.transpose(1, 2))
        hidden = projected[0] if isinstance(projected, tuple) else projected
        inside = own(hidden.shape[1], heard)
        hidden = hidden * inside[..., None]
        # The last frame stands for the one that is lost.
        place = torch.minimum(torch.arange(hidden.shape[1] + 1, device=audio.device), (heard - 1)[:, None])[..., None]
        return [layer.gather(1, place.expand(-1, -1, layer.shape[2])) for layer in self._blocks(hidden, inside)]

    def _convolved(
        self, audio: Float[Tensor, "batch samples"], frames: Int64[Tensor, " batch"]
    ) -> Float[Tensor, "batch channels heard"]:
        hidden = audio[:, None]
        for layer in self.stack.model.feature_extractor.conv_layers:
            norm = layer.layer_norm if hasattr(layer, "layer_norm") else None
            if isinstance(norm, nn.GroupNorm):
                hidden = layer.conv(hidden)
                ends = (frames * 320 - layer.conv.kernel_size[0]) // layer.conv.stride[0] + 1
                hidden = layer.activation(_scaled(hidden, ends, norm))
            else:
                hidden = layer(hidden)
        return hidden

    def _blocks(
        self, hidden: Float[Tensor, "batch heard width"], inside: Bool[Tensor, "batch heard"]
    ) -> list[Float[Tensor, "batch heard width"]]:
        encoder, config = self.stack.model.encoder, self.stack.model.config
        hidden = hidden + encoder.pos_conv_embed(hidden)
        if not config.do_stable_layer_norm:
            hidden = encoder.layer_norm(hidden)
        mask = torch.where(inside, 0.0, FAR).to(hidden.dtype)[:, None, None].expand(-1, 1, hidden.shape[1], -1)
        bias = encoder.layers[0].attention.compute_bias(*[hidden.shape[1]] * 2) if self._relative else None
        layers = []
        for block in encoder.layers:
            if bias is None:
                hidden = block(hidden, attention_mask=mask)
                hidden = hidden[0] if isinstance(hidden, tuple) else hidden
            else:
                hidden = _wavlm_block(block, hidden, mask, bias, stable=config.do_stable_layer_norm)
            layers.append(hidden)  # the last one too is read before the norm that would follow it, as in training
        return layers

    @property
    def _relative(self) -> bool:
        """Whether attention is biased by how far apart frames are, as WavLM's is."""
        return str(self.stack.model.config.model_type) == "wavlm"


def _scaled(
    hidden: Float[Tensor, "batch channels steps"], ends: Int64[Tensor, " batch"], norm: nn.GroupNorm
) -> Float[Tensor, "batch channels steps"]:
    """Return a group norm of one channel a group, over each recording's own steps."""
    inside = own(hidden.shape[2], ends)[:, None].to(hidden.dtype)
    count = inside.sum(dim=2, keepdim=True)
    mean = (hidden * inside).sum(dim=2, keepdim=True) / count
    variance = ((hidden - mean).square() * inside).sum(dim=2, keepdim=True) / count
    return (hidden - mean) / (variance + norm.eps).sqrt() * norm.weight[:, None] + norm.bias[:, None]


def _wavlm_block(block: Any, hidden: Tensor, mask: Tensor, bias: Tensor, *, stable: bool) -> Tensor:
    """Return a block's output with gated relative positions (Chen et al. 2022, §III-B).

    The library's own takes padding only as a kind of mask that PyTorch warns of.
    """
    before = block.layer_norm(hidden) if stable else hidden
    hidden = hidden + _wavlm_attention(block.attention, before, mask, bias)
    if stable:
        return hidden + block.feed_forward(block.final_layer_norm(hidden))  # type: ignore[no-any-return]
    hidden = block.layer_norm(hidden)
    return block.final_layer_norm(hidden + block.feed_forward(hidden))  # type: ignore[no-any-return]


def _wavlm_attention(attention: Any, hidden: Tensor, mask: Tensor, bias: Tensor) -> Tensor:
    heads = (hidden.shape[0], hidden.shape[1], attention.num_heads, attention.head_dim)
    gates = attention.gru_rel_pos_linear(hidden.reshape(heads).transpose(1, 2))
    gates = gates.reshape(*gates.shape[:3], 2, 4).sum(dim=-1).sigmoid()
    gate = gates[..., :1] * (gates[..., 1:] * attention.gru_rel_pos_const - 1.0) + 2.0
    query, key, value = (
        projection(hidden).reshape(heads).transpose(1, 2)
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    scores = query * attention.scaling @ key.transpose(2, 3) + gate * bias + mask
    said = scores.softmax(dim=-1) @ value  # PyTorch's one function for this cannot be traced here
    return attention.out_proj(said.transpose(1, 2).reshape(hidden.shape))  # type: ignore[no-any-return]
