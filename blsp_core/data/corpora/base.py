"""What a reader says about its corpus, and what it finds in a folder."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SPLITS = ("train", "validation", "test")
UNPARSED = "with a name that does not parse"


@dataclass(frozen=True)
class Clip:
    """One sound file of a corpus and what the corpus says about it."""

    path: Path  # perhaps missing: `checks` counts what cannot be used
    id: str  # unique within the corpus
    label: str  # the corpus's own word or code for the emotion
    text: str | None  # the transcript, as the corpus writes it; None where it is missing
    speaker: str
    part: str  # the group whose clips `Corpus.expected` counts
    language: str = ""  # where it is not the corpus's


@dataclass(frozen=True)
class Fault:
    """A file of the corpus that cannot be used, and why; `what` completes "2 files are ..."."""

    path: Path
    what: str


@dataclass(frozen=True)
class Corpus:
    """A corpus: where it comes from, how it is read, what a complete copy holds."""

    name: str
    source: str
    licence: str
    labels: Mapping[str, str]  # its own labels -> one of EMOTIONS, "" for speech without a label
    expected: Mapping[str, int]  # part -> clips in a complete copy, all labels
    kept: Mapping[str, int]  # split, or "all" -> utterances with one of `labels`
    read: Callable[[Path], Iterable[Clip | Fault]]  # from the folder
    language: str = "en"
    left_out: Sequence[str] = ()  # further labels of its own
    splits: Mapping[str, str] = field(default_factory=dict)  # speaker or part -> split; the others are in train
    folds: int = 0  # by default, 0 for none
    inside: str = ""  # the folder that its archive unpacks to, when that may lie within the one given

    def split(self, clip: Clip) -> str:
        return self.splits.get(clip.speaker) or self.splits.get(clip.part, "train")

    @property
    def where_to_get_it(self) -> str:
        return f"it comes from {self.source} (licence: {self.licence})"


def speakers(validation: Iterable[str], test: Iterable[str]) -> dict[str, str]:
    """`Corpus.splits` by speaker."""
    return dict.fromkeys(validation, "validation") | dict.fromkeys(test, "test")


def named(folder: Path, glob: str, pattern: str) -> Iterator[tuple[Path, re.Match | None]]:
    """The files that `glob` finds, in order, and the match of their names (without suffix); hidden files are left
    out, as macOS makes them."""
    compiled = re.compile(pattern)
    for path in sorted(folder.glob(glob)):
        if not path.name.startswith("."):
            yield path, compiled.fullmatch(path.stem)


def text_lines(path: Path) -> list[str]:
    """The lines of a text in UTF-8, none of a missing one. Only a line feed ends a line."""
    return path.read_bytes().decode("utf-8-sig", errors="replace").split("\n") if path.is_file() else []
