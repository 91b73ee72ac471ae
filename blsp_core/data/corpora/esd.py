"""ESD: 350 sentences in five emotions by ten speakers of Mandarin and ten of English (Zhou et al. 2022).

    0011/0011.txt                         id, text, emotion; by tabs or blanks, in one of four encodings
    0011/Angry/0011_000351.wav            or one folder deeper, in train, evaluation and test

All 35,000 clips are in the five classes. Everybody speaks all sentences in every emotion, so the splits are by speaker:
a woman and a man of each language for validation, and as many for the test.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from blsp_core.data.corpora.base import UNPARSED, Clip, Corpus, Fault, named, speakers

LINE = re.compile(r"\s*(\d{4}_\d{6})\s+(.*\S)\s+\S+\s*")


def read(folder: Path) -> Iterator[Clip | Fault]:
    texts = {}
    for table in sorted(folder.glob("[0-9][0-9][0-9][0-9]/[0-9][0-9][0-9][0-9].txt")):
        lines = _decode(table.read_bytes(), mandarin=table.stem <= "0010").split("\n")
        texts |= {line[1]: line[2] for line in map(LINE.fullmatch, lines) if line}
    for path, name in named(folder, "[0-9][0-9][0-9][0-9]/*/**/*.wav", r"(\d{4})_(\d{6})"):
        speaker, label = path.relative_to(folder).parts[:2]
        if name is None or name[1] != speaker:
            yield Fault(path, UNPARSED)
        else:
            language = "zh" if speaker <= "0010" else "en"
            yield Clip(path, path.stem, label, texts.get(path.stem), speaker, speaker, language)


def _decode(data: bytes, mandarin: bool) -> str:
    if b"\x00" in data or data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-16-le", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        chinese = mandarin or b"\xa1\xaf" in data  # the apostrophe of an English file that a Chinese editor saved
        return data.decode("gb18030" if chinese else "cp1252", errors="replace")


CORPUS = Corpus(
    name="esd",
    source="https://github.com/HLTSingapore/Emotional-Speech-Data",
    licence="by agreement, for research only",
    labels={"Neutral": "neutral", "Happy": "happy", "Sad": "sad", "Angry": "angry", "Surprise": "surprise"},
    expected={f"{speaker:04}": 1750 for speaker in range(1, 21)},
    kept={"train": 21_000, "validation": 7000, "test": 7000},
    read=read,
    splits=speakers(validation=("0007", "0008", "0014", "0018"), test=("0009", "0010", "0019", "0020")),
    inside="Emotion Speech Dataset",
)
