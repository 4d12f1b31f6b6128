"""Guesses which token of the file names is the label and which the speaker, from how their values are spread."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from valenza.corpora.tokens import GENDERS, Token
from valenza.corpora.words import likeness

_PERSON = "actor|speaker|sprecher(?:in)?|spkr?|subj(?:ect)?|sub|sp|person|voice|talker|participant|id"
_SPEAKER_WORD = re.compile(rf"(?:^|[^a-z])(?:(?:{_PERSON})[-_ .]*|s|p)$")
_THING = "sess?(?:ion)?|sent(?:ence)?|utt(?:erance)?|take|rep(?:etition)?|text|line|file|clip|no|nr|n|item|trial|t|u"
_OTHER_WORD = re.compile(rf"(?:^|[^a-z])(?:{_THING})[-_ .]*$")
_LABEL_WORD = re.compile(r"(?:^|[^a-z])(?:emotion|emo|label|style|mood|class)[-_ .]*$")
_GENDERED = re.compile(r"(?:f|m|w|female|male)\d+|\d+[fmw]", re.IGNORECASE)
_SPLITS = {"train", "training", "trn", "dev", "devel", "val", "valid", "validation", "test", "tst", "eval"}
_NEVER = {
    *_SPLITS,
    "faible",
    "fort",
    "normal",
    "strong",
    "weak",
    "low",
    "lo",
    "high",
    "hi",
    "md",
    "medium",
    "xx",
    "en",
    "de",
    "it",
    "fr",
    "zh",
}
"""Values that are intensities, splits or languages."""
_ENOUGH = 2.5
"""Below this, nothing in the names is taken for the speaker."""


@dataclass(frozen=True)
class Role:
    """One or two tokens in a row that together say something."""

    places: tuple[int, ...]
    """Positions among the tokens."""
    values: tuple[str, ...]
    score: float


@dataclass(frozen=True)
class Guess:
    """The likeliest reading of the names, and what else it might be."""

    label: Role | None
    speaker: Role | None
    gender: int | None
    """Position of the token that tells women from men."""
    split: int | None
    """Position of the token that says train, validation or test."""
    other_labels: tuple[Role, ...]
    other_speakers: tuple[Role, ...]


def guess(tokens: Sequence[Token]) -> Guess:
    """Choose the pair of label and speaker that fits best: both spread evenly, crossing each other."""
    labels = sorted((r for i, t in enumerate(tokens) if (r := _label(i, t)) is not None), key=lambda r: -r.score)[:8]
    speakers = sorted(_speakers(tokens), key=lambda r: -r.score)[:8]
    pairs = [
        (label.score + speaker.score + _cross(tokens, label, speaker), label, speaker)
        for label in labels
        for speaker in speakers
        if not set(label.places) & set(speaker.places) and tokens[label.places[0]].values != speaker.values
    ]
    pairs = [p for p in pairs if p[2].score + _cross(tokens, p[1], p[2]) >= _ENOUGH]
    best = max(pairs, key=lambda pair: pair[0], default=None)
    label = best[1] if best else (labels[0] if labels else None)
    speaker = best[2] if best else None
    used = {*(label.places if label else ()), *(speaker.places if speaker else ())}
    gender = next(
        (i for i, t in enumerate(tokens) if t.is_gender and (speaker is None or i in speaker.places or i not in used)),
        None,
    )
    if gender is not None and speaker is not None:
        speaker = _with_gender(tokens, speaker, gender)
    return Guess(
        label,
        speaker,
        gender,
        next((i for i, t in enumerate(tokens) if {kind.lower() for kind in t.kinds} <= _SPLITS), None),
        _alternatives(labels, label, used) if label is None or likeness(set(label.values)) < 0.5 else (),
        _alternatives([r for r in speakers if r.score > 0], speaker, used),
    )


def _alternatives(roles: Sequence[Role], chosen: Role | None, used: set[int]) -> tuple[Role, ...]:
    """Return two more readings that would make a difference."""
    said = {chosen.values} if chosen else set()
    return tuple(role for role in roles if role.values not in said and not set(role.places) & used)[:2]


def _label(place: int, token: Token) -> Role | None:
    kinds = token.kinds
    if len(kinds) < 2 or len(kinds) > max(4, min(40, len(token.values) // 3)) or token.is_gender or _never(kinds):
        return None
    words = likeness(kinds)
    score = 1.5 * _evenness(token.values) + (6 * words if words >= 0.4 else 0.0) - 0.05 * place
    score += 1.2 if 5 <= len(kinds) <= 9 else 1.0 if 3 <= len(kinds) <= 12 else -1.0 if len(kinds) == 2 else 0.0
    score += 0.5 * all(kind.isalpha() for kind in kinds) + 0.3 * all(kind.isupper() for kind in kinds)
    before = token.before.lower()
    score += 2.0 * bool(_LABEL_WORD.search(before)) - 2.0 * bool(
        _SPEAKER_WORD.search(before) or _OTHER_WORD.search(before)
    )
    return Role((place,), token.values, score)


def _speakers(tokens: Sequence[Token]) -> list[Role]:
    roles: list[Role] = []
    for i, token in enumerate(tokens):
        role = _speaker((i,), token.values, tokens)
        if role is not None:
            roles.append(role)
        if i + 1 < len(tokens) and tokens[i + 1].part == token.part and not token.rest:
            following = tokens[i + 1].values
            numbered = not tokens[i + 1].before and token.values[0][-1:].isalpha() and following[0][:1].isdigit()
            if numbered or token.is_gender or (tokens[i + 1].is_gender and not tokens[i + 1].before):
                pair = tuple(a + b for a, b in zip(token.values, following, strict=True))
                role = _speaker((i, i + 1), pair, tokens)
                if role is not None:
                    roles.append(role)
    return roles


def _speaker(places: tuple[int, ...], values: tuple[str, ...], tokens: Sequence[Token]) -> Role | None:
    kinds = sorted(set(values))
    token = tokens[places[0]]
    clips_each = len(values) / len(kinds)
    if (
        len(kinds) < 2
        or clips_each < 2
        or {k.lower() for k in kinds} in GENDERS
        or likeness(kinds) >= 0.4
        or _never(kinds)
    ):
        return None
    gendered = all(_GENDERED.fullmatch(kind) for kind in kinds)
    before = token.before.lower()
    score = _evenness(values) - places[0] / len(tokens)
    score += 3.0 * bool(_SPEAKER_WORD.search(before)) - 3.0 * (bool(_OTHER_WORD.search(before)) and not gendered)
    score += 1.5 * (token.part < tokens[-1].part)  # a folder
    score += 1.5 * any(other.values == values for k, other in enumerate(tokens) if k not in places)  # said twice
    score += 3.0 * gendered
    score += 0.5 if len(kinds) >= 4 else -1.0 if len(kinds) == 2 else 0.0
    score -= 0.7 * _counts_up(kinds)
    score -= 0.3 * (len(places) - 1) - min(0.0, math.log10(clips_each / 8))
    return Role(places, values, score)


def _never(kinds: Sequence[str]) -> bool:
    return all(kind.lower() in _NEVER for kind in kinds)


def _counts_up(kinds: Sequence[str]) -> bool:
    """Tell running numbers, from 0 or 1 to more than a dozen without a gap."""
    if len(kinds) <= 12 or not all(kind.isdecimal() for kind in kinds):
        return False
    numbers = sorted({int(kind) for kind in kinds})
    return numbers[0] in {0, 1} and numbers[-1] - numbers[0] + 1 == len(numbers)


def _cross(tokens: Sequence[Token], label: Role, speaker: Role) -> float:
    """Reward labels that many speakers share; refuse one that says the other, and running numbers."""
    cells = Counter(zip(label.values, speaker.values, strict=True))
    labels, speakers = len(set(label.values)), len(set(speaker.values))
    if len(cells) == max(labels, speakers):
        return -5.0
    score = 2.0 * len(cells) / (labels * speakers)
    if max(cells.values()) == 1:
        score -= 4.0 if all(value.isdigit() for value in speaker.values) else 0.5
    behind, own = tokens[label.places[0]], tokens[speaker.places[0]]
    glued = speaker.places[0] == label.places[0] + 1 and own.part == behind.part and not own.before
    if glued and speaker.values[0].isdigit():
        score -= 1.5  # a number right behind the label counts its clips
    return score


def _with_gender(tokens: Sequence[Token], speaker: Role, gender: int) -> Role:
    """Join the gender to a speaker's number where the number starts again for each gender."""
    if gender in speaker.places:
        return speaker
    pairs = set(zip(tokens[gender].values, speaker.values, strict=True))
    if len(pairs) == len(set(speaker.values)):
        return speaker
    places = tuple(sorted((gender, *speaker.places)))
    both = tuple("".join(tokens[p].values[k] for p in places) for k in range(len(speaker.values)))
    return Role(places, both, speaker.score)


def _evenness(values: Sequence[str]) -> float:
    counts = Counter(values)
    total = len(values)
    entropy = -sum(c / total * math.log(c / total) for c in counts.values())
    return entropy / math.log(len(counts)) if len(counts) > 1 else 0.0
