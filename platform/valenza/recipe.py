"""Every setting of an experiment. Each default is written here and nowhere else."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Discriminator,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Tag,
    model_validator,
)

from valenza.changes import Augment as Augment
from valenza.config import Document, Problem, Settings

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
    labels: Literal["soft", "hard"] = "soft"
    """`hard` keeps a clip's highest score alone (or what share it), as a comparison for soft labels."""
    smoothing: Literal["none", "paper", "neutral_only"] = "paper"
    """How the targets of weak clips are drawn towards neutral, corpus by corpus (Osman et al. 2023, §2.2): `paper` by
    the formula as printed, `neutral_only` by what its text asks for. What a clip is scored by is never smoothed."""

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

    @classmethod
    def conflicts(cls, raw: Mapping[str, Any]) -> Iterator[Problem]:
        if (raw.get("name") is None) == (raw.get("new") is None):
            yield (), "give either `name` (a hub model or a folder) or `new` (a random one)"


class Heads(Settings):
    """What is predicted for every frame."""

    emotion: Literal["softmax"] = "softmax"
    dropout: Share = 0.0
    """Of what the last linear layer reads: of a frame, or of a clip's mean where the loss is one per clip."""
    projection: PositiveInt | None = None
    """Width of a trained layer before the last one; it is what the domain adversary acts on under a frozen encoder."""
    hidden: Literal["linear", "relu", "gelu", "tanh"] = "linear"
    """What the projection ends with; on a clip's mean where the loss is one per clip, else on every frame."""

    @classmethod
    def conflicts(cls, raw: Mapping[str, Any]) -> Iterator[Problem]:
        if raw.get("projection") is None and raw.get("hidden", "linear") != "linear":
            yield ("hidden",), "there is no `projection` that could end with it"


class Domain(Settings):
    """The adversary that makes what the heads read forget where a clip comes from."""

    mode: Literal["none", "ascent", "reversal"] = "none"
    """`ascent`: L = CE − weight · CE_domain for all parameters (Osman et al. 2023, §2.5); `reversal`: the domain head
    learns downhill, and what it reads receives its gradient times −weight (Ganin et al. 2016)."""
    weight: NonNegativeFloat = 0.01
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the steps over which the weight grows from 0, by Ganin's schedule."""
    penalty: NonNegativeFloat = 0.0
    """Times the squared gradient of the domain logits by what is read, added to the loss. Without it the two play a
    game that need not converge (Mescheder et al. 2018, R1), and a fresh probe may find more than before."""
    lr: PositiveFloat | None = None
    """Learning rate of the domain head, the same at every step, so that it catches up as the others slow down (two time
    scales, Heusel et al. 2017); where absent, that of the other heads, with their schedule."""
    of: Annotated[tuple[Literal["corpus", "speaker", "language"], ...], Field(min_length=1)] = (
        "corpus",
        "speaker",
        "language",
    )
    """What makes up a domain: each combination that occurs among the training clips is one."""


class Objective(Settings):
    """The losses and their weights."""

    soft_labels: NonNegativeFloat = 1.0
    label_smoothing: Share = 0.0
    """Share of each target that is spread evenly over the classes known to its corpus."""
    level: Literal["frame", "clip"] = "frame"
    """One loss per 50 Hz frame, or one per clip on the mean of its frames."""
    domain: Domain = Domain()


class Average(Settings):
    """A running mean of the weights, which is what is validated and used."""

    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay a step of an exponential mean; over the first 1 / (1 − decay) steps it is the plain mean."""
    last: Annotated[float, Field(gt=0, le=1)] | None = None
    """The plain mean over this last share of the steps; before, the weights as they are."""

    @classmethod
    def conflicts(cls, raw: Mapping[str, Any]) -> Iterator[Problem]:
        if (raw.get("ema") is None) == (raw.get("last") is None):
            yield (), "give either `ema` (a decay) or `last` (a share of the steps)"


Growing = Annotated[
    Annotated[PositiveInt, Tag("[number]")] | Annotated[tuple[PositiveInt, PositiveInt], Tag("[from, to]")],
    Discriminator(lambda value: "[from, to]" if isinstance(value, list | tuple) else "[number]"),
]
"""One number, or the first and the last of a number that grows."""


class Training(Settings):
    """How the loop runs; no setting here depends on the machine."""

    steps: PositiveInt
    windows_per_step: Growing = 16
    """Over all processes and accumulated passes together; [from, to] doubles them at equal distances."""
    windows_per_pass: PositiveInt = 4
    """The most that one process puts through the network at once; changes memory, not the result,
    but for what is drawn pass by pass: dropout, and augmentation that is `drawn: batch`."""
    peak_lr: PositiveFloat = 2e-5
    head_lr: PositiveFloat | None = None
    """Peak learning rate of what is new (heads and layer mixture); the encoder's where absent."""
    schedule: Literal["one_cycle", "constant"] = "one_cycle"
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the steps in which the one-cycle schedule rises."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Each block of the encoder learns at this share of the rate of the block above it."""
    weight_decay: NonNegativeFloat = 0.01
    average: Annotated[
        Annotated[Literal["none"], Tag("[none]")] | Annotated[Average, Tag("[average]")],
        Discriminator(lambda value: "[none]" if isinstance(value, str) else "[average]"),
    ] = "none"
    clip_norm: PositiveFloat = 1.0
    validate_every: PositiveInt = 200
    checkpoint_every: PositiveInt = 200
    keep_checkpoints: PositiveInt = 2
    tracker: Literal["none", "tensorboard", "wandb"] = "none"

    @classmethod
    def conflicts(cls, raw: Mapping[str, Any]) -> Iterator[Problem]:
        windows = raw.get("windows_per_step")
        if isinstance(windows, list) and len(windows) == 2 and all(isinstance(w, int) for w in windows):
            first, last = windows
            if first > last:
                yield ("windows_per_step",), f"windows grow from the first number to the second, but {first} > {last}"


class Evaluation(Settings):
    """How a clip becomes one prediction."""

    padding: Literal["window", "none"] = "window"
    """`window` pads each clip to 30 s as the paper does; `none` feeds it at its own length."""
    frames: Literal["masked", "unmasked"] = "masked"
    """Mean over the clip's own frames, or over the whole padded window; both are reported, this one heads the table."""
    prior: Literal["train", "none"] = "train"
    """Logit adjustment by the prior of the training targets (Menon et al. 2020); never the target corpus's."""
    baselines: tuple[Literal["best_layer_probe", "egemaps_svm"], ...] = ()
    """More to beat: each corpus's own best layer (flattered on purpose), and openSMILE's eGeMAPS with a linear SVM."""


class Adapt(Settings):
    """A trained run that learns a new corpus, or other outputs (Osman et al. 2023, §3.2)."""

    model_config = ConfigDict(serialize_by_alias=True)

    source: Annotated[Path, Field(alias="from")]
    """The run folder that it starts from; its newest checkpoint is taken."""
    outputs: Literal["emotions"] | tuple[str, ...] = "emotions"
    """`emotions` keeps the run's head; the names of native classes replace it with a new one of that many outputs."""
    loss: Literal["soft_labels", "regression"] = "soft_labels"
    """`regression`: a sigmoid for each output and the mean squared error to the native ratings."""
    per_class: PositiveInt | None = None
    """Few-shot: so many training clips of each class, of one half of the speakers; the other half is scored."""
    freeze: tuple[str, ...] | None = None
    """Parts of the encoder that are not trained; those of the run where absent."""


class Recipe(Settings):
    """One experiment: data, model, objective and schedule, and never a machine."""

    stage: Literal["utterance", "adapt"]
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 7
    data: Data
    encoder: Encoder
    heads: Heads = Heads()
    objective: Objective = Objective()
    augment: Augment = Augment()
    training: Training
    evaluation: Evaluation = Evaluation()
    adapt: Adapt | None = None

    @classmethod
    def conflicts(cls, raw: Mapping[str, Any]) -> Iterator[Problem]:
        adapt = raw.get("adapt")
        if (raw.get("stage") == "adapt") != isinstance(adapt, Mapping):
            yield ("adapt",), "`stage: adapt` and a section `adapt` with what it starts from go together"
        elif isinstance(adapt, Mapping):
            yield from _adapting(raw, adapt)

    @model_validator(mode="before")
    @classmethod
    def _inherited(cls, raw: Any) -> Any:
        """An adapted network is that of the run it starts from, unless the recipe says otherwise."""
        adapt = raw.get("adapt") if isinstance(raw, Mapping) else None
        if not isinstance(adapt, Mapping):
            return raw
        values = dict(raw)
        if earlier := _source(adapt):
            values.setdefault("encoder", earlier.get("encoder"))
            if adapt.get("outputs", "emotions") == "emotions":
                values.setdefault("heads", earlier.get("heads", {}))
            level = {"level": earlier.get("objective", {}).get("level", "frame")}
            if isinstance(objective := raw.get("objective", {}), Mapping):
                values["objective"] = level | dict(objective)
        if adapt.get("freeze") is not None and isinstance(values.get("encoder"), Mapping):
            values["encoder"] = {**values["encoder"], "freeze": adapt["freeze"]}
        return values


def _source(adapt: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the recipe of the run that is adapted; nothing where there is no such run."""
    file = Path(str(adapt.get("from"))) / "recipe.yaml"
    values = Document(file).values if file.is_file() else {}
    return values if isinstance(values, dict) else {}


def _heard(earlier: Mapping[str, Any]) -> set[str]:
    """Return the corpora that a run was trained on, and those of the run that it was itself adapted from."""
    data, before = earlier.get("data"), earlier.get("adapt")
    train = data.get("train") if isinstance(data, Mapping) else None
    own = set(train) if isinstance(train, Mapping) else set()
    return own | (_heard(_source(before)) if isinstance(before, Mapping) else set())


def _adapting(raw: Mapping[str, Any], adapt: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong between an adapted run and the run that it starts from."""
    data = raw.get("data")
    data = data if isinstance(data, Mapping) else {}
    if data.get("zero_shot"):
        yield ("data", "zero_shot"), "an adapted run is scored on the other speakers of what it learned"
    if adapt.get("loss") == "regression" and adapt.get("outputs", "emotions") == "emotions":
        yield ("adapt", "loss"), "ratings are of native classes; name them in `outputs`"
    earlier = _source(adapt)
    if "encoder" not in raw and "encoder" not in earlier:
        yield ("adapt", "from"), f"{adapt.get('from')} is not a run folder: it has no recipe.yaml"
    train, heard = data.get("train"), _heard(earlier)
    for corpus in train if isinstance(train, Mapping) else ():
        if corpus in heard:
            yield ("data", "train", corpus), "the run has learned it already, so that no speaker is left to score it by"
