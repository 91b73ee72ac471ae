"""Speech of the miniature: eSpeak NG voices, and tone as prosody laid over them.

The library and its voices come with the package `espeakng-loader`. A tone moves rate, pitch, pitch range, loudness,
pauses and tremor; each is drawn anew for every utterance from distributions that overlap between tones, on top of what
the speaker's own voice is like. The words are spoken as they are written: the tone is in the sound alone.
"""

import _ctypes
import ctypes
import random
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import espeakng_loader
import numpy as np

from blsp_core.data.audio import SAMPLE_RATE, resample
from blsp_core.errors import StudyError

_RATE, _PITCH, _RANGE, _WORD_GAP = 1, 3, 4, 7  # espeak_PARAMETER
_RETRIEVAL, _UTF8, _CHARACTERS, _PHONEME_EVENTS = 2, 1, 1, 1
_EVENT_END, _EVENT_WORD, _EVENT_PHONEME = 0, 1, 7  # espeak_EVENT_TYPE


class _Event(ctypes.Structure):
    """espeak_EVENT; `name` holds up to eight bytes of a phoneme's mnemonic."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # ms
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),
    ]


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
LOUDNESS = 0.05  # root mean square of a speaker's neutral voice, full scale = 1


@dataclass(frozen=True)
class Prosody:
    """Means of one tone. Standard deviations are `SPREAD`, the same for all tones."""

    rate: float  # words a minute
    pitch: float  # eSpeak's 0-99
    range: float  # eSpeak's 0-99: how far the pitch moves
    gain: float  # dB
    gap: float  # pause between words, units of 10 ms
    tremor: float  # depth of the loudness modulation, 0-1
    effort: float  # how far the high frequencies stand out, -1 to 1: strained voices are bright, slack ones dull
    ending: str  # punctuation that eSpeak turns into a contour


TONES = {
    "neutral": Prosody(172, 45, 30, 0, 0.5, 0.05, 0.0, "."),
    "happy": Prosody(202, 74, 95, 2, 0.0, 0.05, 0.1, "!"),
    "sad": Prosody(128, 25, 10, -7, 3.0, 0.35, -0.4, ","),
    "angry": Prosody(225, 36, 15, 8, 0.0, 0.15, 0.5, "!"),
    "surprise": Prosody(143, 92, 99, 3, 1.0, 0.05, 0.1, "?"),
}
SPREAD = Prosody(9, 6, 9, 1.6, 0.7, 0.06, 0.1, "")


@dataclass(frozen=True)
class Speaker:
    """A voice variant of eSpeak NG with habits of its own."""

    name: str
    voice: str
    rate: float = 1.0  # factor
    pitch: float = 0.0  # offset
    size: float = 1.0  # of the body, inverse: a factor on pitch, formants and tempo alike

    @property
    def language(self) -> str:
        """Its two letters, as of ISO 639-1."""
        return self.voice[:2]

    def speaking(self, language: str) -> "Speaker":
        """The same body and habits in another language of eSpeak NG ("el", "fr", "ru")."""
        return replace(self, voice=f"{language}+{self.voice.partition('+')[2]}")


# None of the voices with breath: eSpeak NG draws its noise by the clock.
_TRAIN = (
    "m1 m3 m4 m6 m7 f1 f4 Alex Andy Andrea Annie Denis Diogo Gene2 Henrique Jacky Lee Marco Mike adam antonio belinda "
    "david ed edward klatt klatt4 max pablo quincy rob steph travis anika pedro"
)
_VALIDATION = "aunty m8 Mario boris shelby benjamin"
_TEST = "m2 linda Nguyen Michael Storm grandma ian gustave paul marcelo kaukovalta edward2"


def _habits(voices: str, people: int = 1, sizes: float = 0.05) -> list[Speaker]:
    """Speakers with fixed habits, drawn once from their names; `people` of each voice, who differ in size by up to
    the share `sizes` either way."""
    speakers = []
    for name in (voice + "'" * i for voice in voices.split() for i in range(people)):
        rng = random.Random(name)
        habits = 1 + rng.uniform(-0.08, 0.08), rng.uniform(-8, 8), 1 + rng.uniform(-sizes, sizes)
        speakers.append(Speaker(name, "en-us+" + name.rstrip("'"), *habits))
    return speakers


SPEAKERS = {
    "train": _habits(_TRAIN, people=4, sizes=0.13),
    "validation": _habits(_VALIDATION),
    "test": _habits(_TEST),
}


@dataclass(frozen=True)
class Spoken:
    """`sound`: float32, mono, 16 kHz, (samples,), within [-1, 1]. When (s) each phoneme begins, by its name; and when
    each word, by its place in the text (words that eSpeak NG runs together count as the first of them)."""

    sound: np.ndarray
    phonemes: list[tuple[float, str]]
    words: list[tuple[float, int]]


def speak(text: str, speaker: Speaker, tone: str, rng: random.Random) -> Spoken:
    """The text, by the speaker, in the tone."""
    mean = TONES[tone]
    spoken = _espeak(
        text + mean.ending,
        speaker.voice,
        rate=rng.gauss(mean.rate, SPREAD.rate) * speaker.rate,
        pitch=rng.gauss(mean.pitch, SPREAD.pitch) + speaker.pitch,
        range_=rng.gauss(mean.range, SPREAD.range),
        gap=max(0.0, rng.gauss(mean.gap, SPREAD.gap)),
        size=speaker.size,
    )
    depth = min(max(rng.gauss(mean.tremor, SPREAD.tremor), 0.0), 0.9)
    effort = min(max(rng.gauss(mean.effort, SPREAD.effort), -0.9), 0.9)
    sound = np.append(spoken.sound[:1], spoken.sound[1:] - effort * spoken.sound[:-1])
    sound *= np.sqrt(np.mean(spoken.sound**2) / np.mean(sound**2))
    seconds = np.arange(len(sound), dtype=np.float32) / SAMPLE_RATE
    tremor = 1 - depth * (0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(4.5, 6.5) * seconds + rng.uniform(0, 6.28)))
    level = LOUDNESS / natural_level(speaker.voice) * 10 ** (rng.gauss(mean.gain, SPREAD.gain) / 20)
    return replace(spoken, sound=np.clip(sound * tremor * level, -1, 1).astype(np.float32))


@cache
def natural_level(voice: str) -> float:
    """How loud the voice is by itself, so that loudness tells the tone and not the voice. Measured afresh, once."""
    start_afresh()
    sound = _espeak("the children talked about the piano at home.", voice, 172, 45, 40, 0).sound
    return float(np.sqrt(np.mean(sound**2)))


_loaded: list[ctypes.CDLL] = []
_unload = _ctypes.dlclose if hasattr(_ctypes, "dlclose") else _ctypes.FreeLibrary


def start_afresh() -> None:
    """Load eSpeak NG anew. It remembers what it said before, so what it says next depends on that; from here on it
    says the same whenever it is asked the same in the same order."""
    while _loaded:
        library = _loaded.pop()
        library.espeak_Terminate()
        _unload(library._handle)
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = str(espeakng_loader.get_data_path()).encode()
    if library.espeak_Initialize(_RETRIEVAL, 0, data, _PHONEME_EVENTS) != 22050:
        raise StudyError("eSpeak NG did not start; reinstall the package espeakng-loader")
    library.espeak_SetSynthCallback(_receive)
    _loaded.append(library)


def _library() -> ctypes.CDLL:
    if not _loaded:
        start_afresh()
    return _loaded[0]


_chunks: list[np.ndarray] = []
_phonemes: list[tuple[float, str]] = []
_words: list[tuple[float, int]] = []


@_CALLBACK
def _receive(samples, count, events):
    if samples and count > 0:
        _chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
    i = 0
    while events[i].type != _EVENT_END:
        seconds = events[i].audio_position / 1000
        if events[i].type == _EVENT_PHONEME:
            _phonemes.append((seconds, events[i].name.decode("utf-8", "replace")))
        elif events[i].type == _EVENT_WORD:
            _words.append((seconds, events[i].text_position - 1))
        i += 1
    return 0


def _espeak(text: str, voice: str, rate: float, pitch: float, range_: float, gap: float, size: float = 1.0) -> Spoken:
    """What eSpeak NG says, silence at both ends cut away, 16 kHz; played `size` times as fast."""
    library = _library()
    if library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise StudyError(f"eSpeak NG has no voice {voice!r}; its voices lie in {Path(espeakng_loader.get_data_path())}")
    for parameter, value, low, high in (
        (_RATE, rate, 80, 450),
        (_PITCH, pitch, 0, 99),
        (_RANGE, range_, 0, 99),
        (_WORD_GAP, gap, 0, 30),
    ):
        library.espeak_SetParameter(parameter, int(min(max(round(value), low), high)), 0)
    _chunks.clear()
    _phonemes.clear()
    _words.clear()
    data = text.encode()
    library.espeak_Synth(data, len(data) + 1, 0, _CHARACTERS, 0, _UTF8, None, None)
    library.espeak_Synchronize()
    sound = np.concatenate(_chunks).astype(np.float32) / 32768
    loud = np.flatnonzero(np.abs(sound) > 1e-3)
    offset = float(loud[0]) / 22050

    def from_there(times: list) -> list:
        return [(max(0.0, seconds - offset) / size, what) for seconds, what in times]

    return Spoken(resample(sound[loud[0] : loud[-1] + 1], 22050 * size), from_there(_phonemes), from_there(_words))
