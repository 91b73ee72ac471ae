"""RAVDESS: two sentences, eight emotions, 24 actors (Livingstone & Russo 2018, doi 10.5281/zenodo.1188976).

    Actor_01/03-01-05-01-02-01-01.wav    modality-channel-emotion-intensity-statement-repetition-actor

Of 1,440 spoken clips 864 are in the five classes. Odd actors are men, even ones women, so any run of actors has both.
Both sentences are spoken in every emotion: the text does not predict it.
"""

from collections.abc import Iterator
from pathlib import Path

from blsp_core.data.corpora.base import UNPARSED, Clip, Corpus, Fault, named, speakers

EMOTION = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")  # 01 to 08
STATEMENT = {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."}


def read(folder: Path) -> Iterator[Clip | Fault]:
    for path, name in named(folder, "Actor_*/*.wav", r"03-01-(0[1-8])-(0[12])-(0[12])-(0[12])-(\d\d)"):
        if name is None or path.parent.name != f"Actor_{name[5]}":
            yield Fault(path, UNPARSED)
        else:
            yield Clip(path, path.stem, EMOTION[int(name[1]) - 1], STATEMENT[name[3]], name[5], path.parent.name)


CORPUS = Corpus(
    name="ravdess",
    source="https://zenodo.org/records/1188976, Audio_Speech_Actors_01-24.zip",
    licence="CC BY-NC-SA 4.0",
    labels={"neutral": "neutral", "happy": "happy", "sad": "sad", "angry": "angry", "surprised": "surprise"},
    left_out=("calm", "fearful", "disgust"),
    expected={f"Actor_{actor:02}": 60 for actor in range(1, 25)},
    kept={"all": 864},
    read=read,
    splits=speakers(validation=("17", "18", "19", "20"), test=("21", "22", "23", "24")),  # without folds
    folds=6,
    inside="Audio_Speech_Actors_01-24",
)
