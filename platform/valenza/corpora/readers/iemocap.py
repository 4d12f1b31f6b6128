"""IEMOCAP's `dialog/EmoEvaluation/*.txt`: blocks of one turn and what each of its raters heard."""

import re
from collections.abc import Iterator

from valenza.corpora.rows import Row, Source

WORDS = ("Anger", "Happiness", "Sadness", "Neutral", "Frustration", "Excited", "Surprise", "Fear", "Disgust", "Other")
_PLAIN = {word.lower(): word for word in WORDS} | {"neutral state": "Neutral"}
_TURN = re.compile(r"\[\d+\.\d+ - \d+\.\d+\]\t(?P<turn>Ses\w+)\t(?P<code>\w{3})\t\[.*\]\s*")
_RATER = re.compile(r"C-(?P<rater>\w+):\s*(?P<words>[^(\t]*?)\s*(?:\(.*)?")
_SELF = re.compile(r"[FM]\d+")


def rows(source: Source) -> Iterator[Row]:
    """Yield `turn`, `code` (the consensus) and, under each of `WORDS`, how many raters chose it.

    A rater who chose several words counts as a part of one for each. The actors' reports on themselves (`C-F1`,
    `C-M1`) are not counted: they know what they meant. Source: Busso et al. 2008, LRE 42.
    """
    line, turn, code, fault = 0, "", "", ""
    votes: dict[str, float] = {}
    for number, text in source.lines():
        if text.startswith("["):
            if turn:
                yield _row(line, turn, code, votes, fault)
            match = _TURN.fullmatch(text)
            line, votes, fault = number, dict.fromkeys(WORDS, 0.0), ""
            turn, code = (match["turn"], match["code"]) if match else ("", "")
            if match is None:
                yield Row(number, fault=f"{text!r} begins a turn, but is not `[start - end] turn code [v, a, d]`")
        elif text.startswith("C-") and turn:
            fault = fault or _count(text, number, votes)
    if turn:
        yield _row(line, turn, code, votes, fault)


def _row(line: int, turn: str, code: str, votes: dict[str, float], fault: str) -> Row:
    return Row(
        line, {"turn": turn, "code": code, **{word: repr(round(share, 9)) for word, share in votes.items()}}, fault
    )


def _count(text: str, number: int, votes: dict[str, float]) -> str:
    """Add one rater's words to the votes; return what is wrong with the line."""
    match = _RATER.fullmatch(text)
    if match is None:
        return f"line {number}: {text!r} is not `C-<rater>: <words>; (<comment>)`"
    if _SELF.fullmatch(match["rater"]):
        return ""
    said = [word.strip() for word in match["words"].split(";") if word.strip()]
    unknown = [word for word in said if word.lower() not in _PLAIN]
    if unknown:
        return f"line {number}: the rater's word {unknown[0]!r} is not one of {', '.join(WORDS)}"
    for word in said:
        votes[_PLAIN[word.lower()]] += 1 / len(said)
    return ""
