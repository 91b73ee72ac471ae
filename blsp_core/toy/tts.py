"""Speech of the miniature: eSpeak NG voices with emotional prosody.

The package `espeakng-loader` brings the library and its voices. An emotion sets the means of rate, pitch, pitch range,
loudness, pauses and tremor; the values of an utterance are drawn from distributions that overlap between emotions, on
top of the speaker's own voice. The words are spoken as written, so the emotion is in the sound alone.
"""

import _ctypes
import ctypes
import itertools
import random
from dataclasses import dataclass, replace
from functools import cache

import espeakng_loader
import numpy as np

from blsp_core.errors import StudyError
from blsp_core.model.audio import SAMPLE_RATE, resample
from blsp_core.toy.domains import PLAIN, Domain

LOUDNESS = 0.05  # root mean square of a speaker's neutral voice, full scale = 1
_NATIVE_RATE = 22_050  # eSpeak NG's samples a second
_RATE, _PITCH, _RANGE, _WORD_GAP = 1, 3, 4, 7  # espeak_PARAMETER
_RETRIEVAL, _UTF8, _CHARACTERS, _PHONEME_EVENTS = 2, 1, 1, 1
_EVENT_END, _EVENT_WORD, _EVENT_PHONEME = 0, 1, 7  # espeak_EVENT_TYPE


@dataclass(frozen=True)
class Prosody:
    """Means of one emotion. The standard deviations are `SPREAD`, the same for all emotions."""

    rate: float  # words a minute
    pitch: float  # eSpeak's 0-99
    range: float  # of the pitch, eSpeak's 0-99
    gain: float  # dB
    gap: float  # pause between words, units of 10 ms
    tremor: float  # depth of the loudness modulation, 0-1
    effort: float  # pre-emphasis, -1 to 1: strained voices are bright, slack ones dull
    ending: str  # punctuation that sets eSpeak's final contour


PROSODY = {
    "neutral": Prosody(172, 45, 30, 0, 0.5, 0.05, 0.0, "."),
    "happy": Prosody(202, 74, 95, 2, 0.0, 0.05, 0.1, "!"),
    "sad": Prosody(128, 25, 10, -7, 3.0, 0.35, -0.4, ","),
    "angry": Prosody(225, 36, 15, 8, 0.0, 0.15, 0.5, "!"),
    "surprise": Prosody(143, 92, 99, 3, 1.0, 0.05, 0.1, "?"),
}
SPREAD = Prosody(9, 6, 9, 1.6, 0.7, 0.06, 0.1, "")


@dataclass(frozen=True)
class Speaker:
    """A voice variant of eSpeak NG with a speaker's own habits."""

    name: str
    voice: str
    rate: float = 1.0  # factor
    pitch: float = 0.0  # offset
    size: float = 1.0  # inverse body size: a factor on pitch, formants and tempo

    @property
    def language(self) -> str:
        """ISO 639-1."""
        return self.voice[:2]

    def speaking(self, language: str) -> "Speaker":
        """The same speaker in another language of eSpeak NG ("el", "fr", "ru")."""
        return replace(self, voice=f"{language}+{self.voice.partition('+')[2]}")


def _speakers(voices: str, people: int = 1, sizes: float = 0.05, world: str = "") -> list[Speaker]:
    """Speakers with habits drawn from their names and the `world`; `people` of each voice, whose sizes differ by up to
    the share `sizes` either way."""
    speakers = []
    for name in (voice + "'" * i for voice in voices.split() for i in range(people)):
        rng = random.Random(world + name)
        habits = 1 + rng.uniform(-0.08, 0.08), rng.uniform(-8, 8), 1 + rng.uniform(-sizes, sizes)
        speakers.append(Speaker(name, "en-us+" + name.rstrip("'"), *habits))
    return speakers


# No breathy voices: eSpeak NG seeds their noise by the clock. No test voice is a variant of a
# training voice or of another test voice.
_TRAIN = """m1 m3 m4 m6 m7 f1 f4 Alex Andy Andrea Annie Denis Diogo Gene2 Henrique Jacky Lee Marco Mike adam antonio
    belinda david ed edward klatt klatt4 max pablo quincy rob steph travis anika pedro"""
_VALIDATION = "aunty m8 Mario boris shelby benjamin iven zac michel norbert"
_TEST = """m2 m5 linda Nguyen Michael grandma grandpa ian gustave paul marcelo kaukovalta Hugo RicishayMax Tweaky
    UniRobot announcer croak john miguel robert robosoft"""
TEST_SPEAKERS = 20
SPEAKERS = {
    "train": _speakers(_TRAIN, people=4, sizes=0.13),
    "validation": _speakers(_VALIDATION),
}


def speakers_of(split: str, seed: int) -> list[Speaker]:
    """The speakers of a split. Those of the test split, and their habits, are drawn by the data seed."""
    if split != "test":
        return SPEAKERS[split]
    return random.Random(f"speakers {seed}").sample(_speakers(_TEST, world=f"{seed} "), TEST_SPEAKERS)


@dataclass(frozen=True)
class Spoken:
    """`sound`: float32, mono, 16 kHz, (samples,), within [-1, 1]. Onsets in s: of each phoneme with its name, of each
    word with its position in the text (words that eSpeak NG merges count as the first of them)."""

    sound: np.ndarray
    phonemes: list[tuple[float, str]]
    words: list[tuple[float, int]]


def speak(text: str, speaker: Speaker, emotion: str, rng: random.Random, domain: Domain = PLAIN) -> Spoken:
    """The text in the speaker's voice, with the prosody of the emotion, in the manner and recording of a domain."""
    mean, neutral = PROSODY[emotion], PROSODY["neutral"]

    def drawn(what: str) -> float:
        return rng.gauss(domain.of(what, getattr(neutral, what), getattr(mean, what)), getattr(SPREAD, what))

    rate, pitch = drawn("rate") * speaker.rate * domain.rate, drawn("pitch") + speaker.pitch + domain.pitch
    height = drawn("range") * domain.range
    spoken = _espeak(text + mean.ending, speaker.voice, rate, pitch, height, drawn("gap"), speaker.size)
    depth = min(max(drawn("tremor"), 0.0), 0.9)
    effort = min(max(drawn("effort"), -0.9), 0.9)
    sound = np.append(spoken.sound[:1], spoken.sound[1:] - effort * spoken.sound[:-1])
    sound *= np.sqrt(np.mean(spoken.sound**2) / np.mean(sound**2))
    seconds = np.arange(len(sound), dtype=np.float32) / SAMPLE_RATE
    tremor = 1 - depth * (0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(4.5, 6.5) * seconds + rng.uniform(0, 6.28)))
    level = LOUDNESS / natural_level(speaker.voice) * 10 ** (drawn("gain") / 20)
    recorded = domain.record(sound * tremor * level, LOUDNESS, rng)
    return replace(spoken, sound=np.clip(recorded, -1, 1).astype(np.float32))


@cache
def natural_level(voice: str) -> float:
    """Root mean square of the unmodified voice: `speak` divides by it, so that loudness depends on the emotion alone.
    Restarts eSpeak NG when it measures."""
    start_afresh()
    sound = _espeak("the children talked about the piano at home.", voice, 172, 45, 40, 0).sound
    return float(np.sqrt(np.mean(sound**2)))


class _Event(ctypes.Structure):
    """espeak_EVENT; `audio_position` in ms, `name` up to eight bytes of a phoneme's mnemonic."""

    _fields_ = [
        ("type", ctypes.c_int), ("unique_identifier", ctypes.c_uint), ("text_position", ctypes.c_int),
        ("length", ctypes.c_int), ("audio_position", ctypes.c_int), ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p), ("name", ctypes.c_char * 8),
    ]  # fmt: skip


_chunks: list[np.ndarray] = []
_events: dict[int, list] = {_EVENT_PHONEME: [], _EVENT_WORD: []}  # (onset in s, name or position in the text)
_loaded: list[ctypes.CDLL] = []


@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
def _receive(samples, count, events):
    if samples and count > 0:
        _chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
    for i in itertools.count():
        event = events[i]
        if event.type == _EVENT_END:
            return 0
        if event.type in _events:
            what = event.text_position - 1 if event.type == _EVENT_WORD else event.name.decode("utf-8", "replace")
            _events[event.type].append((event.audio_position / 1000, what))


def start_afresh() -> None:
    """Load eSpeak NG again. Its output depends on earlier requests; after a restart the same requests in the same order
    give the same sound."""
    while _loaded:
        library = _loaded.pop()
        library.espeak_Terminate()
        _ctypes.dlclose(library._handle)
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = str(espeakng_loader.get_data_path()).encode()
    if library.espeak_Initialize(_RETRIEVAL, 0, data, _PHONEME_EVENTS) != _NATIVE_RATE:
        raise StudyError("eSpeak NG did not start; reinstall the package espeakng-loader")
    library.espeak_SetSynthCallback(_receive)
    _loaded.append(library)


def _espeak(text: str, voice: str, rate: float, pitch: float, range_: float, gap: float, size: float = 1.0) -> Spoken:
    """eSpeak NG's speech at 16 kHz, without silence at both ends, played `size` times as fast."""
    if not _loaded:
        start_afresh()
    library = _loaded[0]
    if library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise StudyError(f"eSpeak NG has no voice {voice!r}; its voices are in {espeakng_loader.get_data_path()}")
    values = ((_RATE, rate, 80, 450), (_PITCH, pitch, 0, 99), (_RANGE, range_, 0, 99), (_WORD_GAP, gap, 0, 30))
    for parameter, value, low, high in values:
        library.espeak_SetParameter(parameter, int(min(max(round(value), low), high)), 0)
    for received in (_chunks, *_events.values()):
        received.clear()
    data = text.encode()
    library.espeak_Synth(data, len(data) + 1, 0, _CHARACTERS, 0, _UTF8, None, None)
    library.espeak_Synchronize()
    sound = np.concatenate(_chunks).astype(np.float32) / 32768
    loud = np.flatnonzero(np.abs(sound) > 1e-3)
    start = float(loud[0]) / _NATIVE_RATE
    onsets = [[(max(0.0, time - start) / size, what) for time, what in events] for events in _events.values()]
    return Spoken(resample(sound[loud[0] : loud[-1] + 1], _NATIVE_RATE * size), *onsets)
