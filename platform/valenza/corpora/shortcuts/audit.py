"""Judges what the probes found, in words that the owner of the data can act on."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64

from valenza.corpora.card import Card, Meaning, weights
from valenza.corpora.clip import Clip
from valenza.corpora.listen import Job
from valenza.corpora.parse import clips
from valenza.corpora.shortcuts.duplicates import Copy, find_copies
from valenza.corpora.shortcuts.joins import Cuts, find_cuts
from valenza.corpora.shortcuts.measure import Measured, measure_all
from valenza.corpora.shortcuts.probe import SHUFFLES, Design, Probed, design, probe
from valenza.corpora.shortcuts.speakers import Oracle, oracle
from valenza.corpora.shortcuts.traits import TRAITS, Trait
from valenza.errors import DataError
from valenza.labels.words import find
from valenza.terminal import track

Verdict = Literal["ok", "notice", "warning"]

_LEAST_CLIPS = 5
"""A label with fewer clips takes no part in the probes."""
_NOTICE, _WARNING = 0.02, 0.15
"""Share of the way from chance to certainty."""
_ABRUPT = 0.3
_CERTAIN = 0.005


@dataclass(frozen=True, slots=True)
class Finding:
    """One way in which labels may be known without listening, and what to do about it."""

    name: str
    verdict: Verdict
    figure: str
    chance: str
    """What the figure would be if labels had nothing to do with it."""
    sentence: str
    probed: Probed | None = None


@dataclass(frozen=True)
class Audit:
    """What gives a corpus's labels away."""

    corpus: str
    root: str
    clips: int
    unreadable: Sequence[str]
    """Files that could not be decoded or hold no sound; a plain check says why."""
    probed: int
    """Clips that the probes saw: those with a label that is used and is not rare."""
    speakers: int
    chance: float
    """Macro recall of any guess that ignores the clip; 0 where there is nothing to guess, like the two below."""
    majority: float
    oracle: Oracle | None
    findings: Sequence[Finding]
    copies: Sequence[Copy]
    cuts: Cuts

    def as_dict(self) -> dict[str, Any]:
        """Return the audit as plain values for JSON."""
        return asdict(self)


def audit(card: Card, root: Path, jobs: int = 1, skip: Collection[str] = ()) -> Audit:
    """Decode each clip once in `jobs` processes and look for shortcuts, copies and cut recordings.

    The same files give the same audit. Files in `skip` are not opened. Raises `DataError` where no clip can be read.
    """
    found = clips(card, root).clips
    sane = [clip for clip in found if clip.source not in skip]
    heard = measure_all([Job(c.audio, c.start, c.end) for c in sane], jobs, f"{card.id}: measuring")
    kept = [(clip, what) for clip, what in zip(sane, heard, strict=True) if what is not None]
    if not kept:
        raise DataError(f"{root}: no clip of {card.id} can be read")
    sound, measured = [clip for clip, _ in kept], [what for _, what in kept]
    copies, cuts = find_copies(sound, measured, f"{card.id}: comparing"), find_cuts(sound, measured)
    rows, labels = _used(card, sound)
    who = design(labels, [sound[i].speaker for i in rows]) if len(set(labels)) > 1 else None
    oracled = oracle(who) if who is not None else None
    findings = _probed(card, [measured[i] for i in rows], labels, who) if who is not None else []
    findings += [_speaker(oracled)] if oracled is not None else []
    findings += [_copied("equal copies", [c for c in copies if c.exact])]
    findings += [_copied("altered copies", [c for c in copies if not c.exact]), _cut(cuts, len(sound))]
    return Audit(
        card.id,
        str(root),
        len(found),
        tuple(sorted({clip.source for clip in found} - {clip.source for clip in sound})),
        len(rows) if who is not None else 0,
        len({clip.speaker for clip in found}),
        who.chance if who is not None else 0.0,
        who.majority if who is not None else 0.0,
        oracled,
        findings,
        copies,
        cuts,
    )


def _probed(card: Card, told: Sequence[Measured], labels: Sequence[str], who: Design) -> list[Finding]:
    tracked = track(TRAITS, f"{card.id}: probing", len(TRAITS))
    names = {label: _readable(label, card.labels[label]) for label in set(labels)}
    said = [names[label] for label in labels]
    return [*(_judge(trait, told, said, who) for trait in tracked), _format(told, who)]


def _readable(native: str, meaning: Meaning) -> str:
    """Return a label with what it means, where it is a code such as `02` rather than a word."""
    try:
        find(native)
    except LookupError:
        return f"{native} ({meaning})" if isinstance(meaning, str) else native
    return native


def _used(card: Card, sound: Sequence[Clip]) -> tuple[list[int], list[str]]:
    """Return the clips that the probes see and their native labels; clips that nobody heard anything in have none."""
    said = [clip.loudest or "" for clip in sound]
    counts = Counter(said)
    rows = [i for i, label in enumerate(said) if weights(card.labels.get(label)) and counts[label] >= _LEAST_CLIPS]
    return rows, [said[i] for i in rows]


def verdict(probed: Probed, chance: float) -> Verdict:
    """Judge a probe: `ok` unless it beats every shuffle of the labels, then by its share of the way to certainty."""
    gain = (probed.ua - chance) / (1 - chance)
    if probed.p > 1 / (1 + SHUFFLES) or gain < _NOTICE:
        return "ok"
    return "warning" if gain >= _WARNING else "notice"


def _judge(trait: Trait, told: Sequence[Measured], labels: Sequence[str], who: Design) -> Finding:
    values = np.array([trait.values(what) for what in told], dtype=np.float64)
    if not np.ptp(values, axis=0).any():
        return Finding(trait.name, "ok", "all alike", f"{who.chance:.2f}", "every clip is the same in this")
    result = probe(values, who)
    judged = verdict(result, who.chance)
    if judged == "ok":
        sentence = "no more than chance"
    else:
        shown = np.exp(values[:, 0]) if trait.unit == "s" else values[:, 0]
        sentence = f"{_extremes(shown, labels, trait.unit)}{trait.advice}"
    return Finding(trait.name, judged, f"{result.ua:.2f}", f"{who.chance:.2f}", sentence, result)


def _extremes(values: Float64[np.ndarray, " clips"], labels: Sequence[str], unit: str) -> str:
    """Say which label is lowest and which is highest, as far as medians tell."""
    said = np.array(labels)
    medians = sorted((float(np.median(values[said == label])), label) for label in set(labels))
    (low, first), (high, last) = medians[0], medians[-1]
    if not unit or f"{low:.3g}" == f"{high:.3g}":
        return ""
    return f"{first} has {low:.3g}, {last} {high:.3g} {unit} (medians): "


def _format(told: Sequence[Measured], who: Design) -> Finding:
    """Judge whether files of different labels came from different places."""
    formats = Counter(what.format for what in told)
    if len(formats) == 1:
        return Finding("file format", "ok", "all alike", f"{who.chance:.2f}", f"every file is {next(iter(formats))}")
    names = sorted(formats)
    result = probe(np.array([[names.index(what.format)] for what in told], dtype=np.float64), who, alike=False)
    judged = verdict(result, who.chance)
    advice = (
        f"{len(formats)} formats ({formats.most_common(1)[0][0]} most often) that differ by label: "
        "labels come from different sources, so a model can learn the source; convert alike and check the recordings"
    )
    sentence = f"{len(formats)} formats, no more telling than chance" if judged == "ok" else advice
    return Finding("file format", judged, f"{result.ua:.2f}", f"{who.chance:.2f}", sentence, result)


def _speaker(result: Oracle) -> Finding:
    gain = (result.accuracy - result.independent) / max(1 - result.independent, 1e-9)
    judged: Verdict = "ok"
    if result.p <= 1 / (1 + SHUFFLES) and gain >= _NOTICE:
        judged = "warning" if gain >= _WARNING else "notice"
    sentence = {
        "ok": "who speaks does not tell what is felt",
        "notice": "some speakers favour a label: keep speakers whole in splits, and score by speaker",
        "warning": "who speaks tells the label, so a model that knows the voice needs no emotion: "
        "score on unseen speakers only, and do not train on this corpus alone",
    }[judged]
    return Finding("speaker (accuracy)", judged, f"{result.accuracy:.2f}", f"{result.independent:.2f}", sentence)


def _copied(name: str, copies: Sequence[Copy]) -> Finding:
    if not copies:
        return Finding(name, "ok", "0 pairs", "0", "no recording is there twice")
    unlike = Counter(what for copy in copies for what in copy.unlike)
    figure = f"{len(copies)} pair" + ("" if len(copies) == 1 else "s")
    if not unlike:
        return Finding(name, "notice", figure, "0", "drop one of each (`ignore:`), or it counts twice")
    contradictions = ", ".join(f"{count} under another {what}" for what, count in sorted(unlike.items()))
    sentence = (
        f"{contradictions.upper() if 'split' in unlike else contradictions}: listen, then `ignore:` what is wrong"
    )
    return Finding(name, "warning", figure, "0", sentence)


def _cut(cuts: Cuts, count: int) -> Finding:
    figure = f"{len(cuts.joined)} of {cuts.neighbours}"
    abrupt = f"{cuts.abrupt_starts / count:.0%} begin and {cuts.abrupt_ends / count:.0%} end in mid-sound"
    judged: Verdict = "ok"
    sentence = abrupt
    if cuts.p <= _CERTAIN:
        judged = "warning"
        sentence = (
            f"{abrupt}, and neighbours go on from one another: clips are pieces of longer recordings; "
            "name the take in the manifest's `recording:`, or splits tear it apart"
        )
    elif max(cuts.abrupt_starts, cuts.abrupt_ends) > _ABRUPT * count:
        judged = "notice"
        sentence = f"{abrupt}: if they were cut from longer recordings, name the take in the manifest's `recording:`"
    return Finding("cut recordings", judged, figure, f"{cuts.backwards}", sentence)


def tally(findings: Sequence[Finding]) -> Mapping[str, int]:
    """Count findings by verdict."""
    return Counter(finding.verdict for finding in findings)
