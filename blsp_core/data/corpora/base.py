"""What a reader has to say about its corpus, and what it finds in a folder."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Clip:
    """One sound file of a corpus and what the corpus says about it."""

    path: Path
    id: str  # unique within the corpus
    label: str  # the corpus's own word or code for the emotion
    text: str  # what is said, as the corpus writes it
    speaker: str
    part: str  # the group whose clips `Corpus.expected` counts
    language: str = ""  # where it is not the corpus's


@dataclass(frozen=True)
class Fault:
    """A file of the corpus that cannot serve, and why: "<n> <what>" is how the sentence about it goes."""

    path: Path
    what: str


@dataclass(frozen=True)
class Corpus:
    """A corpus: where it comes from, how it is read, what a complete copy holds.

    labels: its own labels -> one of `manifest.EMOTIONS`, "" for speech without a label, None for what is left out.
    expected: part -> clips in a complete copy, all labels; `kept`: split, or "all" -> utterances after the labels.
    inside: the folder that its archive unpacks to, when that may lie within the one given.
    read: from the folder to clips and faults; split: the part of the study that a clip serves.
    folds: how many by default, 0 for none (see `folds`).
    """

    name: str
    source: str
    licence: str
    language: str
    labels: Mapping[str, str | None]
    expected: Mapping[str, int]
    kept: Mapping[str, int]
    read: Callable[[Path], Iterable[Clip | Fault]]
    split: Callable[[Clip], str]
    folds: int = 0
    inside: str = ""

    @property
    def where_to_get_it(self) -> str:
        return f"it comes from {self.source} (licence: {self.licence})"


UNPARSED = "with a name that does not parse"
NO_SOUND = "listed in its tables, but without sound"
NO_TEXT = "without a transcript"


def named(folder: Path, glob: str, pattern: str) -> Iterator[tuple[Path, re.Match | None]]:
    """The files that `glob` finds, in order, and how their names (without suffix) match; `._` files of macOS aside."""
    compiled = re.compile(pattern)
    for path in sorted(folder.glob(glob)):
        if not path.name.startswith("."):
            yield path, compiled.fullmatch(path.stem)
