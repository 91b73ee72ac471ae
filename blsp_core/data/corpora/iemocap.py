"""IEMOCAP: dyadic sessions of ten actors, improvised and scripted (Busso et al. 2008).

    Session1/dialog/EmoEvaluation/Ses01F_impro01.txt    [6.2901 - 8.2357]  Ses01F_impro01_F000  neu  [2.5, 2.5, 2.5]
    Session1/dialog/transcriptions/Ses01F_impro01.txt   Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.
    Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav

Excited counts as happy. Of 10,039 turns 5,531 are neutral, happy, sad or angry; the rest (frustrated, surprised,
without a majority ...) is left out, as in the published protocol. Session 5 is the test, 1,241 turns.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from blsp_core.data.corpora.base import Clip, Corpus, named, text_lines

TURN = re.compile(r"\s*\[[\d.]+ - [\d.]+\]\s+(\S+)\s+([a-z]{3})\s+\[.*")
LINE = re.compile(r"\s*(Ses\S+)\s+\[[^\]]*\]:\s*(.*)")
NOISE = re.compile(r"\[[A-Z ]+\]")  # [LAUGHTER] and the like, which would reveal the emotion


def read(folder: Path) -> Iterator[Clip]:
    for labels, _ in named(folder, "Session[1-5]/dialog/EmoEvaluation/Ses*.txt", ".*"):
        session = labels.parents[2]
        transcripts = map(LINE.fullmatch, text_lines(session / "dialog/transcriptions" / labels.name))
        texts = {line[1]: " ".join(NOISE.sub(" ", line[2]).split()) for line in transcripts if line}
        for turn in filter(None, map(TURN.fullmatch, text_lines(labels))):
            sound = session / "sentences/wav" / labels.stem / f"{turn[1]}.wav"
            speaker = f"{session.name}{turn[1].rsplit('_', 1)[1][0]}"  # the F or M before the turn's number
            yield Clip(sound, turn[1], turn[2], texts.get(turn[1]), speaker, session.name)


CORPUS = Corpus(
    name="iemocap",
    source="https://sail.usc.edu/iemocap/iemocap_release.htm",
    licence="by agreement, for research only",
    labels={"neu": "neutral", "hap": "happy", "exc": "happy", "sad": "sad", "ang": "angry"},
    left_out=("fru", "sur", "fea", "dis", "oth", "xxx"),
    expected={"Session1": 1819, "Session2": 1811, "Session3": 2136, "Session4": 2103, "Session5": 2170},
    kept={"train": 3259, "validation": 1031, "test": 1241},
    read=read,
    splits={"Session4": "validation", "Session5": "test"},
    inside="IEMOCAP_full_release",
)
