"""Emotion words of several languages, so that a first manifest can propose what a native label means."""

from collections import Counter
from collections.abc import Iterable, Mapping

from valenza.labels.taxonomy import EMOTIONS

_TARGETS = ("happiness", "sadness", "disgust", "fear", "surprise", "anger", "neutral")
_WORDS = {
    "en": "happiness happy joy joyful|sadness sad|disgust disgusted|fear fearful scared|surprise surprised|"
    "anger angry|neutral normal",
    "de": "freude freudig glücklich|trauer traurig traurigkeit|ekel|angst furcht|überraschung überrascht|"
    "wut ärger wütend zorn|neutral",
    "it": "gioia felicità|tristezza triste|disgusto|paura|sorpresa|rabbia|neutro neutrale neutralità",
    "fr": "joie heureux|tristesse triste|dégoût degout|peur|surprise|colère colere|neutre",
    "es": "alegría alegria felicidad feliz|tristeza triste|asco|miedo|sorpresa|ira enojo enfado|neutral neutro",
    "pt": "alegria felicidade feliz|tristeza triste|nojo|medo|surpresa|raiva|neutro",
    "nl": "blij vreugde|verdrietig verdriet|walging|angst bang|verrassing|boos woede|neutraal",
    "pl": "radość radosc|smutek|wstręt wstret|strach|zaskoczenie|złość zlosc gniew|neutralny",
    "tr": "mutlu mutluluk|üzgün uzgun üzüntü uzuntu|iğrenme igrenme|korku|şaşkın saskin şaşkınlık|"
    "kızgın kizgin öfke ofke|nötr notr",
    "ru": "радость|грусть печаль|отвращение|страх|удивление|злость гнев|нейтрально нейтральный",
    "el": "χαρά|λύπη|αηδία|φόβος|έκπληξη|θυμός|ουδέτερο",
    "zh": "高兴 快乐 开心|伤心 悲伤 难过|厌恶|害怕 恐惧|惊讶 惊喜 惊奇|生气 愤怒|中立 中性 平静",
    "ja": "喜び|悲しみ|嫌悪|恐れ 恐怖|驚き|怒り|平静 中立",
    "zh-Latn": "gaoxing|shangxin|yanwu|haipa|jingya|shengqi|zhongxing",
}
_ALSO: Mapping[str, str] = {
    "other": "other",
    "calm": "{neutral: 0.9, happiness: 0.1}",
    "boredom": "{neutral: 0.5, other: 0.3, sadness: 0.2}",
    "bored": "{neutral: 0.5, other: 0.3, sadness: 0.2}",
    "contempt": "{disgust: 0.5}",
    "excitement": "{happiness: 0.8, surprise: 0.2}",
    "excited": "{happiness: 0.8, surprise: 0.2}",
    "amused": "{happiness: 0.8}",
    "amusement": "{happiness: 0.8}",
    "frustration": "{anger: 0.7, sadness: 0.3}",
    "frustrated": "{anger: 0.7, sadness: 0.3}",
    "pleasant surprise": "{surprise: 0.7, happiness: 0.3}",
    "pleasant surprised": "{surprise: 0.7, happiness: 0.3}",
}
"""Words whose weights are conventions of the field rather than one target."""

_LANGUAGES: dict[str, dict[str, str]] = {
    language: {word: target for target, group in zip(_TARGETS, text.split("|"), strict=True) for word in group.split()}
    for language, text in _WORDS.items()
}


def meanings(natives: Iterable[str]) -> dict[str, str]:
    """Return native label → proposed meaning as YAML, for the labels that one language explains.

    Codes such as `gio` are read as beginnings of words, in the language that explains most of them.
    """
    natives = list(natives)
    found = {language: _explained(natives, words) for language, words in _LANGUAGES.items()}
    best = max(found, key=lambda language: (len(found[language]), _whole(natives, language)))
    proposed = dict(found[best])
    for native in natives:
        word = _plain(native)
        whole = {words[word] for words in _LANGUAGES.values() if word in words}
        if native not in proposed and word in _ALSO:
            proposed[native] = _ALSO[word]
        elif native not in proposed and len(whole) == 1:
            proposed[native] = whole.pop()
    return proposed


def likeness(natives: Iterable[str]) -> float:
    """Return the share of values that are emotion words, or the beginnings of some in one language."""
    natives = list(natives)
    return len(meanings(natives)) / len(natives) if natives else 0.0


def _explained(natives: list[str], words: Mapping[str, str]) -> dict[str, str]:
    known: dict[str, str] = {**words, **dict(zip(EMOTIONS, EMOTIONS, strict=True))}
    found: dict[str, str] = {}
    for native in natives:
        word = _plain(native)
        targets = (
            {known[word]} if word in known else {t for w, t in words.items() if len(word) >= 3 and w.startswith(word)}
        )
        if len(targets) == 1:
            found[native] = targets.pop()
    # one code for several words of the same target is a coincidence more often than not
    crowded = {target for target, count in Counter(found.values()).items() if count > 2}
    return {native: target for native, target in found.items() if target not in crowded or _plain(native) in known}


def _whole(natives: list[str], language: str) -> int:
    return sum(_plain(native) in _LANGUAGES[language] for native in natives)


def _plain(native: str) -> str:
    return " ".join(native.lower().replace("_", " ").replace("-", " ").split())
