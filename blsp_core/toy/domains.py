"""How the corpora of the miniature differ: in the manner of their speakers, in sentence templates and in recording.

In domain and out of domain mean something only where corpora are not drawn from one distribution, and a language is
unseen only where its speakers show emotions in another way. The figures are ours and stand for nothing measured.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy import signal

from blsp_core.model.audio import SAMPLE_RATE

_ORDER = 4  # of the band-pass filter
_COLOUR = 0.9  # of the noise: its pole, 0 for white


@dataclass(frozen=True)
class Domain:
    """The manner of a corpus's speakers and its recording."""

    rate: float = 1.0  # factor on the tempo
    pitch: float = 0.0  # offset, eSpeak's units
    range: float = 1.0  # factor on the range of the pitch
    emphasis: Mapping[str, float] = field(default_factory=dict, hash=False)  # see `of`
    noise: tuple[float, float] | None = None  # dB below a neutral voice, between these; None: none
    band: tuple[float, float] | None = None  # Hz that the line transmits; None: all
    templates: tuple[int, ...] = ()  # of statements and of requests, in the lexicon's lists; () for all

    def of(self, what: str, neutral: float, emotion: float) -> float:
        """A mean of the prosody (`tts.Prosody`) in this domain: its distance from neutral times the emphasis on it, or
        that of `all` where it has none of its own."""
        return neutral + self.emphasis.get(what, self.emphasis.get("all", 1.0)) * (emotion - neutral)

    def record(self, sound: np.ndarray, neutral_level: float, rng: random.Random) -> np.ndarray:
        """The sound with this domain's noise, in its band. neutral_level: root mean square of a neutral voice."""
        if self.noise:
            white = np.random.default_rng(rng.getrandbits(64)).standard_normal(len(sound))
            noise = signal.lfilter([1.0], [1.0, -_COLOUR], white)
            level = neutral_level * 10 ** (-rng.uniform(*self.noise) / 20)
            sound = sound + noise * level / np.sqrt(np.mean(noise**2))
        if self.band:
            sound = signal.sosfilt(signal.butter(_ORDER, self.band, "bandpass", fs=SAMPLE_RATE, output="sos"), sound)
        return sound


PLAIN = Domain()
ACTED = Domain(noise=(30, 40), templates=(0, 1, 2))
DOMAINS = {  # by corpus; all others are plain
    "acted": ACTED,
    "control": ACTED,
    "dialogues": Domain(noise=(30, 40)),
    "talk": Domain(rate=1.06, range=1.1, emphasis={"all": 0.85}, noise=(12, 25), templates=(1, 2, 3)),
    "statements": Domain(rate=0.92, pitch=3, emphasis={"gain": 0.5, "rate": 1.1}, templates=(3, 4)),
    "requests": Domain(rate=1.03, emphasis={"all": 0.9}, noise=(25, 35), band=(250, 3700)),
    "greek": Domain(rate=1.12, pitch=-5, range=1.2, emphasis={"pitch": 0.7, "range": 0.8}, noise=(30, 40)),
    "french": Domain(rate=1.08, pitch=6, emphasis={"rate": 0.6, "gap": 0.5}, noise=(30, 40)),
    "russian": Domain(rate=0.94, range=0.7, emphasis={"gain": 0.6, "pitch": 0.9}, noise=(30, 40)),
}
