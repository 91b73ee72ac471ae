"""CREMA-D: twelve sentences, six emotions, 91 actors (Cao et al. 2014, doi 10.1109/TAFFC.2014.2336244).

    AudioWAV/1001_IEO_ANG_HI.wav    actor_sentence_emotion_level

The emotion is the one that the actor was asked for. Of 7,442 clips 4,900 are in the five classes, none in surprise. The
repository keeps sound by git-lfs: without it, files are pointers of a few lines. Splits by actor: 71, 10 and 10.
"""

from collections.abc import Iterator
from pathlib import Path

from blsp_core.data.corpora.base import UNPARSED, Clip, Corpus, Fault, named, speakers

SENTENCE = {
    "IEO": "It's eleven o'clock.",
    "TIE": "That is exactly what happened.",
    "IOM": "I'm on my way to the meeting.",
    "IWW": "I wonder what this is about.",
    "TAI": "The airplane is almost full.",
    "MTI": "Maybe tomorrow it will be cold.",
    "IWL": "I would like a new alarm clock.",
    "ITH": "I think I have a doctor's appointment.",
    "DFA": "Don't forget a jacket.",
    "ITS": "I think I've seen this before.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}
# older copies have one clip whose level is X, not XX
PATTERN = rf"(1\d{{3}})_({'|'.join(SENTENCE)})_([A-Z]{{3}})_(LO|MD|HI|XX?)"


def read(folder: Path) -> Iterator[Clip | Fault]:
    for path, name in named(folder, "AudioWAV/*.wav", PATTERN):
        yield Clip(path, path.stem, name[3], SENTENCE[name[2]], name[1], "AudioWAV") if name else Fault(path, UNPARSED)


CORPUS = Corpus(
    name="cremad",
    source="https://github.com/CheyneyComputerScience/CREMA-D, by git-lfs",
    licence="Open Database License 1.0",
    labels={"NEU": "neutral", "HAP": "happy", "SAD": "sad", "ANG": "angry"},
    left_out=("DIS", "FEA"),
    expected={"AudioWAV": 7442},
    kept={"all": 4900},
    read=read,
    splits=speakers(map(str, range(1072, 1082)), map(str, range(1082, 1092))),
)
