"""nEMO: Polish sentences, six emotions, nine actors (Christop 2024, https://github.com/amu-cai/nEMO).

    data.tsv                      file_id, emotion, raw_text, normalized_text, speaker_id, gender, age
    samples/WR0_surprised_64.wav  speaker_emotion_sentence

Of 4,481 clips 3,745 are in the five classes.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from blsp_core.data.corpora.base import UNPARSED, Clip, Corpus, Fault, named, speakers


def read(folder: Path) -> Iterator[Clip | Fault]:
    table = folder / "data.tsv"
    if not table.is_file():
        yield Fault(table, "missing table of transcripts")
        return
    with open(table, encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        texts = {row["file_id"]: row["raw_text"] for row in rows}
    for path, name in named(folder, "samples/*.wav", r"([A-Z]+\d)_([a-z]+)_(\d+)"):
        clip = name and Clip(path, path.stem, name[2], texts.get(path.name), name[1], "samples")
        yield clip or Fault(path, UNPARSED)


CORPUS = Corpus(
    name="nemo",
    source="https://github.com/amu-cai/nEMO",
    licence="CC BY-NC-SA 4.0",
    language="pl",
    labels={"neutral": "neutral", "happiness": "happy", "sadness": "sad", "anger": "angry", "surprised": "surprise"},
    left_out=("fear",),
    expected={"samples": 4481},
    kept={"all": 3745},
    read=read,
    splits=speakers(validation=("IC0", "KS0"), test=("EB0", "WR0")),  # a woman and a man in both
)
