"""Is a corpus's folder complete and readable? Files are counted, opened and compared; nothing is changed."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile

from blsp_core.data.corpora.base import Clip, Corpus, Fault
from blsp_core.errors import StudyError, refused
from blsp_core.model.audio import SHORTEST

CUT_SHORT, UNREADABLE = "cut short", "no sound that can be read"
SILENT = "silent, or with channels that cancel each other out"
TOO_SHORT, WORDLESS = f"shorter than {SHORTEST} s", "without words, or with a control token of LLMs, in its transcript"


@dataclass(frozen=True)
class Contents:
    """What a folder holds: usable clips with their seconds, faults, groups of byte-identical files."""

    corpus: Corpus
    folder: Path
    expected: dict[str, int]  # part -> clips in a complete copy, of the wanted parts
    clips: list[Clip]
    seconds: list[float]
    faults: list[Fault]
    identical: list[list[Clip]]

    def complaint(self) -> str:
        """What is wrong with the folder, with counts; "" when it holds exactly what it should."""
        found, corpus = Counter(clip.part for clip in self.clips), self.corpus
        short = [f"{part}: {found[part]:,} of {n:,}" for part, n in self.expected.items() if found[part] != n]
        more = f" and {len(short) - 4} more such parts" if len(short) > 4 else ""
        total = sum(self.expected.values())
        wrong = [f"{len(self.clips):,} of {total:,} clips can be used ({', '.join(short[:4])}{more})"] if short else []
        for what, number in Counter(fault.what for fault in self.faults).items():
            first = next(fault.path for fault in self.faults if fault.what == what)
            files = "1 file is" if number == 1 else f"{number:,} files are"
            wrong.append(f"{files} {what} (the first: {first.relative_to(self.folder)})")
        if not wrong and len(self.expected) == len(corpus.expected):
            used = [corpus.split(clip) for clip in self.clips if clip.label in corpus.labels]
            kept = Counter(used) | Counter({"all": len(used)})
            wrong = [
                f"{kept[split]:,} utterances with a wanted label in {split}, expected are {n:,}"
                for split, n in corpus.kept.items()
                if kept[split] != n
            ]
        return "; ".join(wrong)


def check_folder(corpus: Corpus, folder: Path, parts: Sequence[str] | None = None) -> Contents:
    """Look through a folder. `parts`: those of `corpus.expected` that are wanted, None for all.

    Raises StudyError when the folder is not there, holds nothing of the corpus, or a part is unknown.
    """
    parts, where = corpus.expected if parts is None else parts, f"params.yaml, data.corpora.{corpus.name}"
    for part in parts:
        if part not in corpus.expected:
            raise StudyError(f"{where}.parts: no part {part!r}; there are {', '.join(corpus.expected)}")
    if not folder.is_dir():
        raise StudyError(
            f"{folder} is not there: the corpus {corpus.name} is not part of this study, {corpus.where_to_get_it}; "
            f"unpack it there (a symbolic link is enough), or name its folder in {where}.folder"
        )
    folder = folder / corpus.inside if corpus.inside and (folder / corpus.inside).is_dir() else folder
    clips, seconds, faults, ids = [], [], [], set()
    with refused(f"{folder}: the tables of {corpus.name} cannot be read as their makers publish them; get it again"):
        items = list(corpus.read(folder))
    for item in items:
        if isinstance(item, Fault):
            faults.append(item)
        elif item.part in parts:
            length, what = _length(item.path)
            if not what and item.text is None:
                what = "without a transcript"
            if not what and item.id in ids:
                what = "listed or stored twice"
            ids.add(item.id)
            if not what and item.label not in {*corpus.labels, *corpus.left_out}:
                what = f"labelled {item.label!r}, which is no label of the corpus"
            if what:
                faults.append(Fault(item.path, what))
            else:
                clips.append(item)
                seconds.append(length)
    expected = {part: corpus.expected[part] for part in parts}
    if not clips and not faults:
        raise StudyError(
            f"{folder}: holds none of the {sum(expected.values()):,} clips of {corpus.name}; {corpus.where_to_get_it}, "
            "and its own folders are expected just below"
        )
    return Contents(corpus, folder, expected, clips, seconds, faults, _identical(clips))


def _length(path: Path) -> tuple[float, str]:
    """Seconds of a sound file, by its header, and what is wrong with it ("" for nothing)."""
    if not path.is_file():
        return 0.0, "listed in its tables, but without sound"
    with open(path, "rb") as file:
        head = file.read(24)
    if head.startswith(b"version https://git-lfs"):
        return 0.0, "a git-lfs pointer without its sound"
    size = int.from_bytes(head[4:8], "little")  # 0 or 0xFFFFFFFF of a wav that was written into a pipe
    if head[:4] == b"RIFF" and path.stat().st_size + 1 < size + 8 < 0xFFFFFFFF:  # a last odd byte may go unpadded
        return 0.0, CUT_SHORT
    try:
        info = soundfile.info(str(path))
    except (soundfile.LibsndfileError, RuntimeError):
        return 0.0, UNREADABLE
    return info.frames / info.samplerate, "" if info.frames else UNREADABLE


def _identical(clips: Sequence[Clip]) -> list[list[Clip]]:
    """Groups of clips whose files have the same bytes. Only files of one size are read."""
    sizes, same = defaultdict(list), defaultdict(list)
    for clip in clips:
        sizes[clip.path.stat().st_size].append(clip)
    for group in (group for group in sizes.values() if len(group) > 1):
        for clip in group:
            same[hashlib.sha256(clip.path.read_bytes()).digest()].append(clip)
    return [group for group in same.values() if len(group) > 1]
