"""MELD: utterances of a television series, in their dialogues (Poria et al. 2019).

    test_sent_emo.csv                            Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,...
    output_repeated_splits_test/dia0_utt0.wav    beside the .mp4 of the release
    train_sent_emo.csv, train_splits/; dev_sent_emo.csv, dev_splits_complete/

The release has films; their sound must be extracted beside them, see `FILM`. Of 2,610 test utterances 2,492 are in the
five classes. The split is the release's own: speakers are in all of its parts.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from blsp_core.data.corpora.base import Clip, Corpus, Fault

FOLDERS = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
BROKEN = {("train", "dia125_utt3"), ("dev", "dia110_utt7")}  # a damaged film, a missing one, in every copy
FILM = "with a film only (`ffmpeg -i X.mp4 -ac 1 -ar 16000 X.wav` beside it makes its sound)"
CONTROLS = {code: bytes([code]).decode("cp1252", errors="ignore") for code in range(0x80, 0xA0)}  # apostrophes


def read(folder: Path) -> Iterator[Clip | Fault]:
    for part, name in FOLDERS.items():
        table, films = (next(folder.rglob(wanted), None) for wanted in (f"{part}_sent_emo.csv", name))
        if table is None or films is None:
            continue  # the counts will tell
        for row in csv.DictReader(io.StringIO(_decode(table.read_bytes()))):
            clip = f"dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}"
            sound = films / f"{clip}.wav"
            if (part, clip) in BROKEN:
                continue
            if not sound.is_file() and sound.with_suffix(".mp4").is_file():
                yield Fault(sound, FILM)
            else:
                yield Clip(sound, f"{part}-{clip}", row["Emotion"], row["Utterance"].strip(), row["Speaker"], part)


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig").translate(CONTROLS)
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


CORPUS = Corpus(
    name="meld",
    source="https://github.com/declare-lab/MELD, MELD.Raw.tar.gz",
    licence="GPL-3.0; the films belong to their makers",
    labels={"neutral": "neutral", "joy": "happy", "sadness": "sad", "anger": "angry", "surprise": "surprise"},
    left_out=("disgust", "fear"),
    expected={"train": 9988, "dev": 1108, "test": 2610},
    kept={"test": 2492},
    read=read,
    splits={"dev": "validation", "test": "test"},
    inside="MELD.Raw",
)
