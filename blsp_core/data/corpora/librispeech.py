"""LibriSpeech: read English books, without emotions (Panayotov et al. 2015, https://www.openslr.org/12).

    train-clean-100/103/1240/103-1240-0000.flac     part/speaker/chapter/speaker-chapter-number
    train-clean-100/103/1240/103-1240.trans.txt     103-1240-0000 CHAPTER ONE ...

Whoever has some of its parts only names them in `parts`. The transcripts are all capitals, which reads like shouting;
they become small letters.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from blsp_core.data.corpora.base import NO_TEXT, UNPARSED, Clip, Corpus, Fault, named

SPLIT = {"train": "train", "dev": "validation", "test": "test"}


def read(folder: Path) -> Iterator[Clip | Fault]:
    texts = cache(_transcripts)
    for path, name in named(folder, "*-*/*/*/*.flac", r"(\d+)-(\d+)-(\d+)"):
        if name is None:
            yield Fault(path, UNPARSED)
            continue
        text = texts(path.with_name(f"{name[1]}-{name[2]}.trans.txt")).get(path.stem)
        if text is None:
            yield Fault(path, NO_TEXT)
        else:
            yield Clip(path, path.stem, "", text, name[1], path.relative_to(folder).parts[0])


def _transcripts(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    lines = (line.partition(" ") for line in path.read_text(encoding="utf-8").splitlines())
    return {name: text.strip().capitalize() for name, _, text in lines}


def split(clip: Clip) -> str:
    return SPLIT[clip.part.partition("-")[0]]


LIBRISPEECH = Corpus(
    name="librispeech",
    source="https://www.openslr.org/12",
    licence="CC BY 4.0",
    language="en",
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
    split=split,
    inside="LibriSpeech",
)
