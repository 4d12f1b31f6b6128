"""Configurations of encoders that are small enough to be run many times."""

from typing import Any

import transformers


def waveform_config(family: str, **others: Any) -> Any:
    """Return that of a Wav2Vec2, HuBERT or WavLM of two blocks."""
    return transformers.AutoConfig.for_model(
        family,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(8,) * 7,
        num_conv_pos_embedding_groups=4,
        **others,
    )
