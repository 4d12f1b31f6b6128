"""Speaks text with espeak-ng, in this process, so that the same call always gives the same samples."""

import atexit
import ctypes
import shutil
import tempfile
import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Int16

from valenza.errors import DataError, UsageError, WriteError

NATIVE_RATE = 22_050
"""espeak-ng's own sample rate."""

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: samples arrive through the callback before espeak_Synth returns
_DO_NOT_EXIT = 0x8000  # without it, missing data would end the process
_UTF8 = 1
_CHARACTERS = 1
_RATE, _VOLUME, _PITCH, _RANGE, _GAP = 1, 2, 3, 4, 7
_LARGEST_PATH = 140
"""espeak-ng cuts the path of its data at 160 characters, and then finds nothing there."""
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)

LANGUAGES = {
    "en-us": "gmw/en-US",
    "en-gb": "gmw/en",
    "de": "gmw/de",
    "el": "grk/el",
    "es": "roa/es",
    "fr": "roa/fr",
    "it": "roa/it",
    "ja": "jpx/ja",
    "ko": "ko",
    "pl": "zlw/pl",
    "pt": "roa/pt-BR",
    "ru": "zle/ru",
    "tr": "trk/tr",
    "ur": "inc/ur",
    "zh": "sit/cmn",
}
"""Accents that the scripts need → espeak-ng's file of rules."""
_DICTIONARIES = ("en", "de", "el", "es", "fr", "it", "ja", "ko", "pl", "pt", "ru", "tr", "ur", "cmn")


@dataclass(frozen=True)
class Manner:
    """How a sentence is spoken, in espeak-ng's own units."""

    rate: int
    """Words a minute, 80 to 450."""
    pitch: int
    """0 to 99; 50 is the voice's own, and 50 more are an octave."""
    range: int
    """0 to 99; 50 is the voice's own, 0 a monotone."""
    gap: int
    """Pause between words, in 10 ms at the default rate."""


@dataclass(frozen=True)
class Timbre:
    """What tells one speaker's voice from another's."""

    pitch: float
    """Hz, the middle of the voice."""
    spread: float
    """Hz between the lowest and the highest pitch of calm speech."""
    formants: float
    """Formant frequencies relative to the average man's; women's are some 15 % higher."""
    brightness: float
    """Strength of the upper formants relative to the average."""

    def variant(self) -> str:
        """Return espeak-ng's text for this voice.

        Two of its habits go on from clip to clip, so that a clip would depend on those spoken before it, and are off:
        flutter, a slow drift of pitch, and roughness, which weakens every second or fourth cycle. 8 is no degree of
        roughness that it knows, and the only value that stops the cycles from being counted.
        """
        low, high = round(self.pitch - self.spread / 2), round(self.pitch + self.spread / 2)
        scale, upper = round(100 * self.formants), round(100 * self.brightness)
        lines = ["language variant", "name demo", "flutter 0", "roughness 8", f"pitch {low} {high}"]
        lines += [f"formant {i} {scale} {upper if i > 2 else 100} 100" for i in range(9)]
        return "\n".join(lines) + "\n"


class Espeak:
    """The one espeak-ng of a process: it keeps its state in globals, so there cannot be two."""

    def __init__(self) -> None:
        try:
            import espeakng_loader
        except ImportError:
            raise UsageError('the demo corpora need espeak-ng: pip install "valenza[demo]"') from None
        self._lock = threading.Lock()
        self._chunks: list[bytes] = []
        self._voices: dict[Timbre, str] = {}
        self._data = _copy_data(Path(espeakng_loader.get_data_path()))
        try:
            self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        except OSError as error:
            raise UsageError(f"espeak-ng's library cannot be loaded: {error}") from None
        self._declare()
        self._receive = _CALLBACK(self._collect)  # ctypes keeps no reference, so we must
        rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, str(self._data).encode(), _DO_NOT_EXIT)
        if rate != NATIVE_RATE:
            raise UsageError(f"espeak-ng does not start: it answers {rate} instead of {NATIVE_RATE}")
        self._library.espeak_SetSynthCallback(self._receive)

    def say(self, accent: str, timbre: Timbre, text: str, manner: Manner) -> Int16[np.ndarray, " samples"]:
        """Return the sentence at `NATIVE_RATE`; raises `DataError` where espeak-ng refuses it."""
        with self._lock:
            name = f"{LANGUAGES[accent]}+{self._voice(timbre)}"
            self._must(self._library.espeak_SetVoiceByName(name.encode()), f"voice {name}")
            values = {_RATE: manner.rate, _VOLUME: 100, _PITCH: manner.pitch, _RANGE: manner.range, _GAP: manner.gap}
            for parameter, value in values.items():
                self._must(self._library.espeak_SetParameter(parameter, value, 0), f"parameter {parameter} = {value}")
            self._library.espeak_ng_SetRandSeed(1)
            self._chunks.clear()
            raw = text.encode() + b"\0"
            self._must(self._library.espeak_Synth(raw, len(raw), 0, _CHARACTERS, 0, _UTF8, None, None), repr(text))
            samples = np.frombuffer(b"".join(self._chunks), dtype=np.int16)
            if not samples.any():
                raise DataError(f"espeak-ng says nothing for {text!r} in {accent}")
            return samples

    def _voice(self, timbre: Timbre) -> str:
        if timbre not in self._voices:
            name = f"demo{len(self._voices)}"
            (self._data / "voices" / "!v" / name).write_text(timbre.variant(), encoding="ascii")
            self._voices[timbre] = name
        return self._voices[timbre]

    def _collect(self, samples: "ctypes._Pointer[ctypes.c_short]", count: int, events: int | None) -> int:
        if samples and count > 0:
            self._chunks.append(ctypes.string_at(samples, 2 * count))
        return 0

    def _declare(self) -> None:
        c = ctypes
        self._library.espeak_Initialize.argtypes = [c.c_int, c.c_int, c.c_char_p, c.c_int]
        self._library.espeak_SetSynthCallback.argtypes = [_CALLBACK]
        self._library.espeak_SetSynthCallback.restype = None
        self._library.espeak_SetVoiceByName.argtypes = [c.c_char_p]
        self._library.espeak_SetParameter.argtypes = [c.c_int, c.c_int, c.c_int]
        self._library.espeak_ng_SetRandSeed.argtypes = [c.c_long]
        position = [c.c_uint, c.c_int, c.c_uint, c.c_uint]
        self._library.espeak_Synth.argtypes = [c.c_char_p, c.c_size_t, *position, c.c_void_p, c.c_void_p]

    @staticmethod
    def _must(status: int, what: str) -> None:
        if status != 0:
            raise DataError(f"espeak-ng refuses {what} (status {status})")


@lru_cache(maxsize=1)
def espeak() -> Espeak:
    """Return this process's espeak-ng, started on first use; raises `UsageError` where it is not installed."""
    return Espeak()


def _copy_data(source: Path) -> Path:
    """Copy what our languages need to a short path that we may add voices to; it goes when the process ends."""
    try:
        parent = tempfile.mkdtemp(prefix="valenza-")
        atexit.register(shutil.rmtree, parent, ignore_errors=True)
        target = Path(parent) / "espeak-ng-data"
        (target / "voices" / "!v").mkdir(parents=True)
        shutil.copytree(source / "lang", target / "lang")
        for name in ("phontab", "phonindex", "phondata", "intonations", *(f"{d}_dict" for d in _DICTIONARIES)):
            shutil.copyfile(source / name, target / name)
    except OSError as error:
        raise WriteError(f"espeak-ng's data cannot be copied to the temporary folder: {error}") from None
    if len(str(target)) > _LARGEST_PATH:
        raise UsageError(f"{target} is too long a path for espeak-ng; set TMPDIR to a shorter one")
    return target
