"""Speech encoders from a hub, a folder or random weights, all as a stack of 50 Hz layer outputs."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from jaxtyping import Float, Int64
from torch import Tensor, nn

from valenza.errors import UsageError
from valenza.features.batch import Hearing
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.model.adapters import attach
from valenza.model.segments import Segments
from valenza.recipe import Encoder, NewEncoder

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


class SpeechEncoder(nn.Module):
    """A transformer over speech that returns `depth` layers of 50 Hz frames."""

    def __init__(self, hearing: Hearing, width: int, depth: int) -> None:
        super().__init__()
        self.hearing, self.width, self.depth = hearing, width, depth
        self.manner = ""
        """What beside weights decides what it says of a clip alone: names what is kept of it."""

    def parts(self) -> dict[str, list[nn.Module]]:
        """Return what can be frozen: part name → modules."""
        raise UsageError(f"{type(self).__name__} has no parts")  # pragma: no cover - both families define it

    def freeze(self, names: Sequence[str]) -> None:
        """Stop training the named parts: `all`, `conv`, `positions`, `blocks.N`, `blocks.N-M` or `norm`."""
        parts = self.parts()
        for name in names:
            chosen = [name]
            if match := re.fullmatch(r"blocks\.(\d+)-(\d+)", name):
                chosen = [f"blocks.{i}" for i in range(int(match[1]), int(match[2]) + 1)] or [name]
            for part in chosen:
                if part != "all" and part not in parts:
                    raise UsageError(f"encoder.freeze: there is no part {part!r}; there are all, {', '.join(parts)}")
                for module in [self] if part == "all" else parts[part]:
                    module.requires_grad_(False)


class WhisperStack(SpeechEncoder):
    """Whisper's encoder, at any length up to 30 s: the position table is cut to the input.

    With `alone` each clip of a window attends to itself only and its positions start at zero, so that it is heard
    as it would be by itself; without, every frame sees the whole window, as in Osman et al. 2023.
    """

    def __init__(
        self, encoder: Any, *, alone: bool, blocks: int | None = None, every: int = 1, chunk: float | None = None
    ) -> None:
        config = encoder.config
        if blocks is not None and blocks > len(encoder.layers):
            raise UsageError(f"encoder.blocks: there are {len(encoder.layers)}, not {blocks}")
        seconds = config.max_source_positions / 50
        hearing = Hearing("mel", config.num_mel_bins, int(seconds * SAMPLE_RATE), alone=alone)
        # Whisper's last norm is for its last block.
        super().__init__(hearing, config.d_model, len(encoder.layers) + 1 if blocks is None else blocks)
        encoder.layers = encoder.layers[:blocks]
        self.encoder: Any = encoder
        self.whole, self.every = blocks is None, every
        self.longest = None if chunk is None else max(1, round(chunk * 50))
        if (blocks, every, chunk) != (None, 1, None):
            self.manner = f"blocks {blocks}, every {every}, longest {self.longest}"

    def parts(self) -> dict[str, list[nn.Module]]:
        """Return `conv`, `positions`, `blocks.N` and `norm`."""
        e = self.encoder
        blocks = {f"blocks.{i}": [block] for i, block in enumerate(e.layers)}
        return {"conv": [e.conv1, e.conv2], "positions": [e.embed_positions], **blocks, "norm": [e.layer_norm]}

    def forward(
        self, inputs: Float[Tensor, "batch mels steps"], clip_of_frame: Int64[Tensor, "batch frames"]
    ) -> list[Float[Tensor, "batch frames width"]]:
        """Return the output of each block and, where all blocks are used, the normalised output of the last one."""
        e = self.encoder
        hidden = nn.functional.gelu(e.conv1(inputs))
        hidden = nn.functional.gelu(e.conv2(hidden)).transpose(1, 2)
        if not self.hearing.alone:
            hidden = hidden + e.embed_positions.weight[: hidden.shape[1]]
            layers = self._blocks(hidden, None)
        else:
            layers = self._apart(hidden, clip_of_frame)
        return [*layers, e.layer_norm(layers[-1])] if self.whole else layers

    def _blocks(self, hidden: Float[Tensor, "batch frames width"], mask: Tensor | None) -> list[Tensor]:
        hidden = nn.functional.dropout(hidden, p=self.encoder.dropout, training=self.training)
        layers = []
        for block in self.encoder.layers:
            hidden = block(hidden, mask)
            hidden = hidden[0] if isinstance(hidden, tuple) else hidden
            layers.append(hidden)
        return layers

    def _apart(
        self, hidden: Float[Tensor, "batch frames width"], clip_of_frame: Int64[Tensor, "batch frames"]
    ) -> list[Float[Tensor, "batch frames width"]]:
        """Send each clip through the blocks by itself, and return its frames to where they were."""
        segments = Segments(clip_of_frame, longest=self.longest, every=self.every)
        flat = hidden.flatten(0, 1) + self.encoder.embed_positions.weight[segments.since_start]
        places: list[Tensor] = []
        outputs: list[list[Tensor]] = []
        for bucket in segments.buckets():
            layers = self._blocks(flat[bucket.frames], bucket.mask(flat.dtype))
            places.append(bucket.spoken(bucket.frames[..., None])[:, 0])
            outputs.append([bucket.spoken(layer) for layer in layers])
        back = torch.cat(places).argsort()[segments.of_heard()]
        return [torch.cat(parts)[back].view(hidden.shape) for parts in zip(*outputs, strict=True)]


class WaveformStack(SpeechEncoder):
    """Wav2Vec2, HuBERT or WavLM, over the raw waveform."""

    def __init__(self, model: Any, *, normalise: bool) -> None:
        config = model.config
        super().__init__(Hearing("waveform", normalise=normalise), config.hidden_size, config.num_hidden_layers)
        # Both draw from generators that a resumed run does not restore; SpecAugment is the recipe's.
        config.apply_spec_augment, config.layerdrop = False, 0.0
        self.model: Any = model

    def parts(self) -> dict[str, list[nn.Module]]:
        """Return `conv`, `positions`, `blocks.N` and `norm`."""
        m = self.model
        blocks = {f"blocks.{i}": [block] for i, block in enumerate(m.encoder.layers)}
        conv = [m.feature_extractor, m.feature_projection]
        return {"conv": conv, "positions": [m.encoder.pos_conv_embed], **blocks, "norm": [m.encoder.layer_norm]}

    def forward(
        self, inputs: Float[Tensor, "batch steps"], clip_of_frame: Int64[Tensor, "batch frames"]
    ) -> list[Float[Tensor, "batch frames width"]]:
        """Return the output of each block; the one frame that the convolutions lose at the end is repeated."""
        frames = clip_of_frame.shape[1]
        layers = self._blocks(inputs)
        return [torch.cat([h, h[:, -1:].expand(-1, frames - h.shape[1], -1)], dim=1) for h in layers]

    def _blocks(self, inputs: Float[Tensor, "batch steps"]) -> Sequence[Float[Tensor, "batch frames width"]]:
        if not getattr(self.model.config, "do_stable_layer_norm", False):
            return tuple(self.model(inputs, output_hidden_states=True).hidden_states[1:])
        # Before transformers 5.16 the last state of such an encoder is told after its final norm, since then before it.
        last: list[Any] = []
        watch = self.model.encoder.layers[-1].register_forward_hook(lambda _block, _inputs, said: last.append(said))
        try:
            states = self.model(inputs, output_hidden_states=True).hidden_states[1:]
        finally:
            watch.remove()
        said = last[0][0] if isinstance(last[0], tuple) else last[0]
        return (*states[:-1], said)


def load_encoder(settings: Encoder) -> SpeechEncoder:
    """Build the encoder of a recipe with frozen parts and adapters; what is random draws from torch's generator."""
    alone = settings.attention == "clip"
    encoder = _new(settings) if settings.new is not None else _pretrained(settings)
    if not isinstance(encoder, WhisperStack):
        if alone:
            raise UsageError("encoder.attention: `clip` is for Whisper; waveform encoders hear the whole window")
        if settings.blocks is not None:
            raise UsageError("encoder.blocks: is for Whisper; waveform encoders use all of theirs")
    encoder.freeze(settings.freeze)
    if settings.adapters is not None:
        blocks = [module for name, (module, *_) in encoder.parts().items() if name.startswith("blocks.")]
        attach(blocks, settings.adapters)
    return encoder


def _whisper(encoder: Any, settings: Encoder) -> WhisperStack:
    alone = settings.attention == "clip"
    return WhisperStack(encoder, alone=alone, blocks=settings.blocks, every=settings.every, chunk=settings.chunk)


def _new(settings: Encoder) -> SpeechEncoder:
    new = settings.new or NewEncoder()
    if new.family == "whisper":
        whisper = transformers.WhisperConfig(
            d_model=new.width,
            encoder_layers=new.layers,
            encoder_attention_heads=new.attention_heads,
            encoder_ffn_dim=4 * new.width,
            num_mel_bins=new.mels,
            decoder_layers=0,
            vocab_size=8,
            pad_token_id=0,
            bos_token_id=0,
            eos_token_id=0,
            decoder_start_token_id=0,
        )
        return _whisper(transformers.WhisperModel(whisper).encoder, settings)
    config = transformers.AutoConfig.for_model(
        new.family,
        hidden_size=new.width,
        num_hidden_layers=new.layers,
        num_attention_heads=new.attention_heads,
        intermediate_size=4 * new.width,
        conv_dim=(new.width // 2,) * 7,
        num_conv_pos_embedding_groups=2 * new.attention_heads,
        vocab_size=8,
    )
    return WaveformStack(transformers.AutoModel.from_config(config), normalise=False)


def _pretrained(settings: Encoder) -> SpeechEncoder:
    name = str(settings.name)
    if name.startswith((".", "/", "~")) and not Path(name).expanduser().is_dir():
        raise UsageError(f"encoder.name: there is no folder {name}")
    place = str(Path(name).expanduser()) if Path(name).expanduser().is_dir() else name
    try:
        config = transformers.AutoConfig.from_pretrained(place)
        if config.model_type == "whisper":
            config.decoder_layers = 0  # its 2/3 of the weights are not used
            whisper = transformers.WhisperModel.from_pretrained(place, config=config, dtype=torch.float32)
            return _whisper(whisper.encoder, settings)
        if config.model_type not in {"wav2vec2", "hubert", "wavlm"}:
            raise UsageError(
                f"encoder.name: {name} is a {config.model_type} model; Whisper, Wav2Vec2, HuBERT and WavLM are known"
            )
        features = transformers.AutoFeatureExtractor.from_pretrained(place)
        model = transformers.AutoModel.from_pretrained(place, config=config, dtype=torch.float32)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(f"encoder.name: {name} cannot be loaded: {reason}") from None
    return WaveformStack(model, normalise=bool(features.do_normalize))
