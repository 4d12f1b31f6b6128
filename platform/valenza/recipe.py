"""Every setting of an experiment. Each default is written here and nowhere else."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from valenza.config import Problem, Settings

Share = Annotated[float, Field(ge=0, lt=1)]


class Data(Settings):
    """Which corpora are seen, how often, and which are kept for the zero-shot score."""

    shards: Path
    train: dict[str, PositiveFloat] = Field(min_length=1)
    """Corpus → how often each of its clips is seen in an epoch; .5 draws another half of them each time."""
    zero_shot: tuple[str, ...] = ()
    claim: Literal["cross_lingual", "cross_corpus"] = "cross_lingual"
    """What the zero-shot score is said to show. `cross_lingual` refuses a corpus whose language is trained on."""
    validation: Share = 0.05
    """Share of each training corpus, in whole speakers, kept for validation where it has no split of its own."""
    window_seconds: Annotated[float, Field(gt=0, le=30)] = 30.0
    fill: Annotated[float, Field(gt=0, le=1)] = 0.8
    """A window is full when this share of it is speech (Osman et al. 2023, Algorithm 1)."""

    @classmethod
    def conflicts(cls, raw: Mapping[str, Any]) -> Iterator[Problem]:
        train, zero_shot = raw.get("train"), raw.get("zero_shot")
        if isinstance(train, Mapping) and isinstance(zero_shot, list):
            for i, corpus in enumerate(zero_shot):
                if isinstance(corpus, str) and corpus in train:
                    yield ("zero_shot", i), f"{corpus} is trained on, so a score on it is not zero-shot"


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


class Encoder(Settings):
    """The pre-trained network under the heads."""

    name: str | None = None
    """A model on the hub or a local folder: Whisper, Wav2Vec2, HuBERT or WavLM."""
    new: NewEncoder | None = None
    freeze: tuple[str, ...] = ()
    """Parts that are not trained: `all`, `conv`, `positions`, `blocks.0-3`, `blocks.5` or `norm`."""
    attention: Literal["window", "clip"] = "window"
    """What a frame attends to: the whole window as in the paper, or its own clip alone (Whisper only)."""
    layers: Literal["last", "mixture"] = "last"
    """What the heads read: the last layer, or a learned softmax mixture over the outputs of all blocks."""

    @classmethod
    def conflicts(cls, raw: Mapping[str, Any]) -> Iterator[Problem]:
        if (raw.get("name") is None) == (raw.get("new") is None):
            yield (), "give either `name` (a hub model or a folder) or `new` (a random one)"


class Heads(Settings):
    """What is predicted for every frame."""

    emotion: Literal["softmax"] = "softmax"
    dropout: Share = 0.0


class Objective(Settings):
    """The losses and their weights."""

    soft_labels: NonNegativeFloat = 1.0
    label_smoothing: Share = 0.0
    """Share of each target that is spread evenly over the classes known to its corpus."""
    level: Literal["frame", "clip"] = "frame"
    """One loss per 50 Hz frame, or one per clip on the mean of its frames' logits."""


class Augment(Settings):
    """What is changed in a training clip."""

    versions: PositiveInt = 1
    """How many versions of each clip there are; an epoch hears one of them. The first is the clip itself."""
    gain_db: NonNegativeFloat = 0.0
    """Level drawn evenly from minus to plus this many decibels, and stopped before it clips."""

    @classmethod
    def conflicts(cls, raw: Mapping[str, Any]) -> Iterator[Problem]:
        if raw.get("gain_db") and raw.get("versions", 1) == 1:
            yield ("versions",), "with one version, every clip stays as it is; give at least 2"


class Training(Settings):
    """How the loop runs; no setting here depends on the machine."""

    steps: PositiveInt
    windows_per_step: PositiveInt = 16
    """Over all processes and accumulated passes together."""
    windows_per_pass: PositiveInt = 4
    """The most that one process puts through the network at once; changes memory, not the result."""
    peak_lr: PositiveFloat = 2e-5
    head_lr: PositiveFloat | None = None
    """Peak learning rate of what is new (heads and layer mixture); the encoder's where absent."""
    schedule: Literal["one_cycle", "constant"] = "one_cycle"
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the steps in which the one-cycle schedule rises."""
    weight_decay: NonNegativeFloat = 0.01
    clip_norm: PositiveFloat = 1.0
    validate_every: PositiveInt = 200
    checkpoint_every: PositiveInt = 200
    keep_checkpoints: PositiveInt = 2
    tracker: Literal["none", "tensorboard", "wandb"] = "none"


class Evaluation(Settings):
    """How a clip becomes one prediction."""

    padding: Literal["window", "none"] = "window"
    """`window` pads each clip to 30 s as the paper does; `none` feeds it at its own length."""
    frames: Literal["masked", "unmasked"] = "masked"
    """Mean over the clip's own frames, or over the whole padded window; both are reported, this one heads the table."""
    prior: Literal["train", "none"] = "train"
    """Logit adjustment by the prior of the training targets (Menon et al. 2020); never the target corpus's."""


class Recipe(Settings):
    """One experiment: data, model, objective and schedule, and never a machine."""

    stage: Literal["utterance"]
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 7
    data: Data
    encoder: Encoder
    heads: Heads = Heads()
    objective: Objective = Objective()
    augment: Augment = Augment()
    training: Training
    evaluation: Evaluation = Evaluation()
