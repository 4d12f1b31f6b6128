"""How much of each target a corpus has, from native labels through every step to what a loss is given."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Float64

from valenza.corpora.card import Card, weights
from valenza.corpora.clip import Clip
from valenza.labels.harmonise import Scores, scores
from valenza.labels.smoothing import smooth
from valenza.labels.taxonomy import EMOTIONS
from valenza.terminal import table

_HEADS = {
    "harmonised": "label map",
    "votes and intensities": "as annotated",
    "smoothed: paper": "paper",
    "smoothed: neutral_only": "neutral_only",
    "target: none": "→ none",
    "target: paper": "→ paper",
    "target: neutral_only": "→ neutral_only",
}
"""Step → what stands over its column on a terminal."""
_LEGEND = """\
label map: one label a clip, by the manifest. as annotated: by votes, marks and intensities, not normalised.
paper, neutral_only: after neutral smoothing of either variant. →: what a loss is given, each clip normalised
over what the corpus knows, by the recipe's `data.smoothing`."""

VARIANTS: tuple[Literal["none", "paper", "neutral_only"], ...] = ("none", "paper", "neutral_only")


@dataclass(frozen=True)
class Native:
    """One native label of the manifest."""

    label: str
    clips: int
    """Clips whose own label it is, or whose most votes or highest mark it has."""
    votes: float
    """Votes or marks that it has in all clips together."""
    meaning: Mapping[str, float]
    """Target → weight; empty for labels that are left out."""


@dataclass(frozen=True)
class Step:
    """The mass of each target after one step, summed over clips: 1 is what one clip of a full emotion has."""

    name: str
    what: str
    mass: Mapping[str, float]
    smoothing: str | None = None
    """The variant, from the step on where the variants part."""


@dataclass(frozen=True)
class LabelMass:
    """The label mass of a corpus, step by step."""

    corpus: str
    title: str
    clips: int
    used: int
    """Clips that say anything."""
    unlisted: int
    """Clips with a label that is not in the manifest, which no step counts."""
    weak: int
    """Used clips with less mass than the mean clip, which smoothing changes."""
    silent: int
    """Used clips without any mass, which end neutral."""
    mean: float
    """Mean mass of the used clips."""
    natives: Sequence[Native]
    steps: Sequence[Step]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def label_mass(card: Card, clips: Sequence[Clip]) -> LabelMass:
    """Follow the clips of a corpus through harmonisation, votes and intensities, smoothing and normalisation."""
    listed = [clip for clip in clips if _natives(clip) <= card.labels.keys()]
    lone = [clip.loudest for clip in listed]
    index = _index(card, [(clip.label, clip.votes, clip.intensity) for clip in listed])
    meaning = scores(index, {card.id: card})
    plain = scores(_index(card, [(label, None, None) for label in lone]), {card.id: card})
    steps = [
        _step("harmonised", "one label a clip, by the label map", plain.values),
        _step("votes and intensities", "what annotators said, not normalised", meaning.values),
    ]
    steps += _smoothed(card, meaning)
    mass, counts = meaning.values.sum(axis=1)[meaning.used], Counter(lone)
    votes = Counter[str]()
    for clip in listed:
        votes.update(clip.votes or {})
    mean = float(mass.mean()) if len(mass) else 0.0
    return LabelMass(
        corpus=card.id,
        title=card.title,
        clips=len(clips),
        used=int(meaning.used.sum()),
        unlisted=len(clips) - len(listed),
        weak=int((mass < mean * (1 - 1e-6)).sum()),
        silent=int((mass == 0).sum()),
        mean=mean,
        natives=[
            Native(label, counts[label], float(votes[label]), {str(k): v for k, v in weights(means).items()})
            for label, means in card.labels.items()
        ],
        steps=steps,
    )


def show_label_mass(mass: LabelMass) -> None:
    """Print the mass of each target after each step, in clips, and what the steps are."""
    if not mass.used:
        print(f"\nHow much of each target: {summary(mass)}")  # noqa: T201
        return
    rows = [[target, *(f"{step.mass[target]:.1f}" for step in mass.steps)] for target in EMOTIONS]
    rows.append(["sum", *(f"{sum(step.mass.values()):.1f}" for step in mass.steps)])
    heads = (_HEADS[step.name] for step in mass.steps)
    table(f"\nHow much of each target, in clips: {summary(mass)}", ("target", *heads), rows)
    idle = "" if mass.weak else "\nNo clip is weaker than the mean, so smoothing changes nothing here."
    print(f"\n{_LEGEND}{idle}")  # noqa: T201


def summary(mass: LabelMass) -> str:
    """Say in one line how many clips speak, and how many of them smoothing changes."""
    if not mass.used:
        return f"none of {mass.clips} clips says anything"
    silent = f", {mass.silent} of them with none" if mass.silent else ""
    unlisted = f", {mass.unlisted} with a label that is not in the manifest" if mass.unlisted else ""
    said = f"{mass.used} of {mass.clips} clips say something{unlisted}"
    return f"{said}; mean mass {mass.mean:.3f}, {mass.weak} clips below it{silent}"


def _smoothed(card: Card, meaning: Scores) -> Iterator[Step]:
    """Yield what each variant of smoothing leads to, first as it is and then normalised."""
    corpora, every = [card.id] * len(meaning.used), np.ones(len(meaning.used), dtype=bool)
    found = {variant: smooth(meaning, corpora, variant, within=every) for variant in VARIANTS}
    for variant in VARIANTS[1:]:
        what = f"neutral smoothing, variant {variant}"
        yield _step(f"smoothed: {variant}", what, found[variant].values, variant)
    for variant in VARIANTS:
        what = "normalised over what the corpus knows" + ("" if variant == "none" else f", after {variant}")
        yield _step(f"target: {variant}", what, found[variant].targets, variant)


def _step(name: str, what: str, values: Float64[np.ndarray, "clips classes"], smoothing: str | None = None) -> Step:
    return Step(name, what, dict(zip(EMOTIONS, values.sum(axis=0).tolist(), strict=True)), smoothing)


def _natives(clip: Clip) -> set[str]:
    """Return the native labels that are said of a clip."""
    voted = {native for native, count in (clip.votes or {}).items() if count > 0}
    return voted | ({clip.label} if clip.label is not None else set())


def _index(card: Card, said: Sequence[tuple[str | None, Mapping[str, float] | None, str | None]]) -> pa.Table:
    """Return what harmonisation reads of a shard index."""
    return pa.table(
        {
            "id": pa.array([str(row) for row in range(len(said))], pa.string()),
            "corpus": pa.array([card.id] * len(said), pa.string()),
            "label": pa.array([label for label, _, _ in said], pa.string()),
            "votes": pa.array(
                [None if votes is None else list(votes.items()) for _, votes, _ in said],
                pa.map_(pa.string(), pa.float64()),
            ),
            "intensity": pa.array([intensity for _, _, intensity in said], pa.string()),
        }
    )
