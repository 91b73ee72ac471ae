"""LibriSpeech: read English books, without emotions (Panayotov et al. 2015, https://www.openslr.org/12).

    train-clean-100/103/1240/103-1240-0000.flac     part/speaker/chapter/speaker-chapter-number
    train-clean-100/103/1240/103-1240.trans.txt     103-1240-0000 CHAPTER ONE ...

The import option `parts` names those that are there. Transcripts are all capitals and become small letters.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from blsp_core.data.corpora.base import UNPARSED, Clip, Corpus, Fault, named, text_lines


def read(folder: Path) -> Iterator[Clip | Fault]:
    texts = cache(_transcripts)
    for path, name in named(folder, "*-*/*/*/*.flac", r"(\d+)-(\d+)-(\d+)"):
        if name is None:
            yield Fault(path, UNPARSED)
        else:
            text = texts(path.with_name(f"{name[1]}-{name[2]}.trans.txt")).get(path.stem)
            yield Clip(path, path.stem, "", text, name[1], path.relative_to(folder).parts[0])


def _transcripts(path: Path) -> dict[str, str]:
    parts = (line.partition(" ") for line in text_lines(path))
    return {name: words.strip().capitalize() for name, _, words in parts}


CORPUS = Corpus(
    name="librispeech",
    source="https://www.openslr.org/12",
    licence="CC BY 4.0",
    labels={"": ""},
    expected={
        "train-clean-100": 28_539,
        "train-clean-360": 104_014,
        "train-other-500": 148_688,
        "dev-clean": 2703,
        "dev-other": 2864,
        "test-clean": 2620,
        "test-other": 2939,
    },
    kept={"train": 281_241, "validation": 5567, "test": 5559},
    read=read,
    splits={"dev-clean": "validation", "dev-other": "validation", "test-clean": "test", "test-other": "test"},
    inside="LibriSpeech",
)
