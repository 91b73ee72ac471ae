"""Is a corpus's folder what it should be? Counted, opened, compared; nothing is changed."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile

from blsp_core.errors import StudyError
from blsp_core.data.corpora.base import Clip, Corpus, Fault

CUT_SHORT, UNREADABLE, POINTER = "cut short", "no sound that can be read", "a git-lfs pointer without its sound"
UNKNOWN_SIZE = (0, 0xFFFFFFFF)  # what a program that wrote into a pipe leaves in a wav's header


@dataclass(frozen=True)
class Survey:
    """What a folder holds: clips that can serve, with their seconds; faults; byte-identical files under two names."""

    corpus: Corpus
    folder: Path
    parts: tuple[str, ...]
    clips: tuple[Clip, ...]
    seconds: tuple[float, ...]
    faults: tuple[Fault, ...]
    twins: tuple[tuple[Clip, ...], ...]

    @property
    def expected(self) -> int:
        return sum(self.corpus.expected[part] for part in self.parts)

    def labels(self) -> Counter:
        """How many clips have each of the corpus's own labels."""
        return Counter(clip.label for clip in self.clips)

    def complaint(self) -> str:
        """What is wrong with the folder, with counts; "" when it holds exactly what it should."""
        found = Counter(clip.part for clip in self.clips)
        wanted = self.corpus.expected
        short = [f"{part}: {found[part]:,} of {wanted[part]:,}" for part in self.parts if found[part] != wanted[part]]
        wrong = [f"{len(self.clips):,} of {self.expected:,} clips can be used ({_some(short)})"] if short else []
        for what, number in Counter(fault.what for fault in self.faults).items():
            first = next(fault.path for fault in self.faults if fault.what == what)
            files = "1 file is" if number == 1 else f"{number:,} files are"
            wrong.append(f"{files} {what} (the first: {first.relative_to(self.folder)})")
        return "; ".join(wrong or self._miscounted())

    def _miscounted(self) -> list[str]:
        """Where all files are there, but their labels are not what they were."""
        if len(self.parts) < len(self.corpus.expected):
            return []
        used = [clip for clip in self.clips if self.corpus.labels[clip.label] is not None]
        found = Counter(map(self.corpus.split, used)) | Counter({"all": len(used)})
        return [
            f"{found[split]:,} utterances with a wanted label in {split}, expected are {count:,}"
            for split, count in self.corpus.kept.items()
            if found[split] != count
        ]


def survey(corpus: Corpus, folder: Path, parts: Sequence[str] | None = None) -> Survey:
    """Look through a folder. `parts`: those of `corpus.expected` that are wanted, None for all.

    Raises StudyError when the folder is not there, holds nothing of the corpus, or a part is unknown.
    """
    parts = tuple(corpus.expected) if parts is None else tuple(parts)
    unknown = [part for part in parts if part not in corpus.expected]
    if unknown:
        raise StudyError(
            f"params.yaml, data.readers.{corpus.name}.parts: no part {unknown[0]!r}; "
            f"there are {', '.join(corpus.expected)}"
        )
    if not folder.is_dir():
        raise StudyError(
            f"{folder} is not there: the corpus {corpus.name} is not part of this study, {corpus.where_to_get_it}; "
            "unpack it there (a symbolic link serves), or name its folder in params.yaml, "
            f"data.readers.{corpus.name}.folder"
        )
    folder = folder / corpus.inside if corpus.inside and (folder / corpus.inside).is_dir() else folder
    found = list(corpus.read(folder))
    clips, seconds, faults = [], [], [item for item in found if isinstance(item, Fault)]
    for clip in (item for item in found if isinstance(item, Clip) and item.part in parts):
        length, what = _length(clip.path)
        if not what and clip.label not in corpus.labels:
            what = f"labelled {clip.label!r}, which is no label of the corpus"
        if what:
            faults.append(Fault(clip.path, what))
        else:
            clips.append(clip)
            seconds.append(length)
    if not clips and not faults:
        raise StudyError(
            f"{folder}: holds none of the {sum(corpus.expected[part] for part in parts):,} clips of {corpus.name}; "
            f"{corpus.where_to_get_it}, and its own folders are expected just below"
        )
    return Survey(corpus, folder, parts, tuple(clips), tuple(seconds), tuple(faults), tuple(_twins(clips)))


def _length(path: Path) -> tuple[float, str]:
    """Seconds of a sound file, by its header, and what is wrong with it ("" for nothing)."""
    with open(path, "rb") as file:
        head = file.read(24)
    if head.startswith(b"version https://git-lfs"):
        return 0.0, POINTER
    if head[:4] == b"RIFF":
        promised = int.from_bytes(head[4:8], "little")
        if promised not in UNKNOWN_SIZE and promised + 8 > path.stat().st_size + 1:  # a last odd byte may go unpadded
            return 0.0, CUT_SHORT
    try:
        info = soundfile.info(str(path))
    except (soundfile.LibsndfileError, RuntimeError):
        return 0.0, UNREADABLE
    return info.frames / info.samplerate, "" if info.frames else UNREADABLE


def _twins(clips: Sequence[Clip]) -> list[tuple[Clip, ...]]:
    """Clips whose files are the same to the byte. Only files of one size are read."""
    sizes, same = defaultdict(list), defaultdict(list)
    for clip in clips:
        sizes[clip.path.stat().st_size].append(clip)
    for alike in (group for group in sizes.values() if len(group) > 1):
        for clip in alike:
            same[hashlib.sha256(clip.path.read_bytes()).digest()].append(clip)
    return [tuple(group) for group in same.values() if len(group) > 1]


def _some(items: list[str], most: int = 4) -> str:
    return ", ".join(items[:most]) + (f" and {len(items) - most} more such parts" if len(items) > most else "")
