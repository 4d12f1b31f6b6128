"""What a recipe says of its network: the encoder and the heads."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from valenza.config import Problem, Settings
from valenza.recipe.shares import Share


class NewEncoder(Settings):
    """An encoder with random weights, for tests and for demonstrations that download nothing."""

    family: Literal["whisper", "wav2vec2", "hubert", "wavlm"] = "whisper"
    width: PositiveInt = 96
    layers: PositiveInt = 2
    attention_heads: PositiveInt = 2
    mels: PositiveInt = 80

    @classmethod
    def conflicts(cls, raw: Mapping[str, Any]) -> Iterator[Problem]:
        width, heads = raw.get("width", 96), raw.get("attention_heads", 2)
        if isinstance(width, int) and isinstance(heads, int) and heads > 0 and width % (2 * heads):
            yield ("width",), f"{width} is not a multiple of twice the {heads} attention heads"


class Adapters(Settings):
    """Low-rank adapters beside the attention of an encoder's blocks (Hu et al. 2022)."""

    rank: PositiveInt = 8
    blocks: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    """Which blocks have them, the first being 0; all where absent."""
    scale: PositiveFloat = 1.0
    """What their product is multiplied by."""


class Encoder(Settings):
    """The pre-trained network under the heads."""

    name: str | None = None
    """A model on the hub or a local folder: Whisper, Wav2Vec2, HuBERT or WavLM."""
    new: NewEncoder | None = None
    freeze: tuple[str, ...] = ()
    """Parts that are not trained: `all`, `conv`, `positions`, `blocks.0-3`, `blocks.5` or `norm`."""
    attention: Literal["window", "clip"] = "window"
    """What a frame attends to: the whole window as in the paper, or its own clip alone (Whisper only)."""
    layers: Literal["last", "mixture", "joined"] = "last"
    """What the heads read: the last layer, a learned softmax mixture over the outputs of all blocks, or all of them
    side by side, which wants a strong weight decay."""
    adapters: Adapters | None = None
    """Trained whatever is frozen, at the rate of the encoder."""
    blocks: PositiveInt | None = None
    """Only so many blocks are used, from the first; all where absent (Whisper only)."""
    every: PositiveInt = 1
    """Of the frames that the convolutions give, the blocks hear one in so many; it then stands for the others too
    (`attention: clip` only). A block costs that many times less."""
    chunk: PositiveFloat | None = None
    """Seconds: longer clips are heard in equal parts of at most this length (`attention: clip` only)."""

    @classmethod
    def conflicts(cls, raw: Mapping[str, Any]) -> Iterator[Problem]:
        if (raw.get("name") is None) == (raw.get("new") is None):
            yield (), "give either `name` (a hub model or a folder) or `new` (a random one)"
        for name in ("every", "chunk"):
            if raw.get(name) not in (None, 1) and raw.get("attention", "window") != "clip":
                yield (name,), "only where clips are heard one by one: `attention: clip`"


class Heads(Settings):
    """What is predicted for every frame."""

    emotion: Literal["softmax", "dirichlet"] = "softmax"
    """`dirichlet`: a distribution over mixtures, whose mean is the prediction and whose concentration is the confidence
    (Fedorov & Korobchenko, §4.2)."""
    dropout: Share = 0.0
    """Of what the last linear layer reads: of a frame, or of a clip's mean where the loss is one per clip."""
    projection: PositiveInt | None = None
    """Width of a trained layer before the last one; it is what the domain adversary acts on under a frozen encoder."""
    hidden: Literal["linear", "relu", "gelu", "tanh"] = "linear"
    """What the projection ends with; on a clip's mean where the loss is one per clip, else on every frame."""
    context: PositiveFloat = 1.4
    """Seconds around each moment over which a student takes mean and deviation of what it reads."""
    smooth: Annotated[int, Field(ge=1, le=101)] = 5
    """Frames of the moving average before a student's last layer (Fedorov & Korobchenko, §4.2); an odd number."""

    @classmethod
    def conflicts(cls, raw: Mapping[str, Any]) -> Iterator[Problem]:
        if raw.get("projection") is None and raw.get("hidden", "linear") != "linear":
            yield ("hidden",), "there is no `projection` that could end with it"
        smooth = raw.get("smooth", 5)
        if isinstance(smooth, int) and smooth % 2 == 0:
            yield ("smooth",), f"{smooth} frames have no middle; give an odd number"
