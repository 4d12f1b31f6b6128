"""Languages as other projects write them: ISO 639-3 codes and English names for the codes of BCP-47."""

import re

_TABLE = """
am amh Amharic|ar ara Arabic|bg bul Bulgarian|bn ben Bengali|ca cat Catalan|cs ces Czech|da dan Danish|de deu German
el ell Greek|en eng English|es spa Spanish|et est Estonian|eu eus Basque|fa fas Persian|fi fin Finnish|fr fra French
gl glg Galician|he heb Hebrew|hi hin Hindi|hr hrv Croatian|hu hun Hungarian|id ind Indonesian|it ita Italian
ja jpn Japanese|ko kor Korean|lt lit Lithuanian|lv lav Latvian|ml mal Malayalam|ms msa Malay|nb nob Norwegian
nl nld Dutch|pl pol Polish|pt por Portuguese|ro ron Romanian|ru rus Russian|sk slk Slovak|sl slv Slovenian
sr srp Serbian|sv swe Swedish|sw swa Swahili|ta tam Tamil|te tel Telugu|th tha Thai|tr tur Turkish|uk ukr Ukrainian
ur urd Urdu|vi vie Vietnamese|zh zho Chinese"""
_ROWS = [row.split() for row in re.split(r"[|\n]", _TABLE.strip())]
_ALSO = {"farsi": "fa", "bangla": "bn", "mandarin": "zh", "norwegian bokmål": "nb", "ger": "de", "fre": "fr",
         "gre": "el", "dut": "nl", "per": "fa", "rum": "ro", "cze": "cs", "chi": "zh"}  # fmt: skip
_CODES = {spelling.lower(): row[0] for row in _ROWS for spelling in row} | _ALSO
_NAMES = {row[0]: row[2] for row in _ROWS}
_THREE = {row[0]: row[1] for row in _ROWS}


def code(written: str) -> str | None:
    """Return the BCP-47 code of a language given by code or English name; nothing for what is neither."""
    known = _CODES.get(written.strip().lower())
    if known is not None:
        return known
    return written if re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*", written) else None


def name(tag: str) -> str:
    """Return the English name of a language, or its tag where this table lacks it."""
    return _NAMES.get(tag.split("-")[0].lower(), tag)


def three_letters(tag: str) -> str:
    """Return the ISO 639-3 code of a language, or its own subtag where this table lacks it."""
    return _THREE.get(tag.split("-")[0].lower(), tag.split("-")[0])
