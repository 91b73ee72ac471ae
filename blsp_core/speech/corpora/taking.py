"""From a corpus's folder to the study's own sound and manifests."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import soundfile

from blsp_core.errors import StudyError
from blsp_core.speech.audio import SAMPLE_RATE, load_audio
from blsp_core.speech.corpora import find, folds
from blsp_core.speech.corpora.corpus import Clip, Corpus
from blsp_core.speech.corpora.survey import CUT_SHORT, UNREADABLE, Survey, survey
from blsp_core.speech.manifest import Utterance, write_manifest

SPLITS = ("train", "validation", "test")  # a later one keeps a file that two of them have


@dataclass(frozen=True)
class Reading:
    """How a corpus is to be read: an entry of params.yaml, data.readers."""

    folder: str = ""  # of the corpus, relative to the study; "" for data/corpora/<name>
    parts: Sequence[str] | None = None  # of the corpus, by its own names; None for all
    split: str = ""  # everything serves as this split; "" for the corpus's own
    splits: Sequence[str] = SPLITS  # those that are wanted
    folds: int | None = None  # by speaker, 0 for none; None for the corpus's own
    validation_speakers: int = 2  # in each fold
    plain: bool = False  # words in small letters, without punctuation
    longest: float = 30.0  # seconds; what lasts longer is cut there
    copy: bool = True  # False: the sound stays where it is, and the manifests name this machine's paths
    incomplete: bool = False  # True: what can be used of a faulty folder is used


@dataclass(frozen=True)
class Taken:
    """manifests: name without .jsonl -> rows, as written; report: counts, for the results file."""

    manifests: Mapping[str, list[Utterance]]
    report: dict


def reading(name: str, settings: Mapping | None) -> Reading:
    """The entry of params.yaml, checked. Raises StudyError for a key that is unknown or a split that is none."""
    settings, where = settings or {}, f"params.yaml, data.readers.{name}"
    unknown = [key for key in settings if key not in Reading.__dataclass_fields__]
    if unknown:
        raise StudyError(f"{where}: {unknown[0]!r} is no setting; there are {', '.join(Reading.__dataclass_fields__)}")
    made = Reading(**settings)
    wrong = [split for split in (*made.splits, made.split or "test") if split not in SPLITS]
    if wrong:
        raise StudyError(f"{where}: {wrong[0]!r} is no split; there are {', '.join(SPLITS)}")
    if made.folds and made.split:
        raise StudyError(f"{where}: has both folds and a split for everything; take one of them out")
    return replace(made, folds=find(name).folds) if made.folds is None and not made.split else made


def take_corpus(name: str, settings: Mapping | None, study: Path, root: Path) -> Taken:
    """Read the corpus `name` as `settings` say and write it below `root`.

    Sound: corpora/<name>.flac, 16 kHz mono. Manifests: manifests/<name>.<split>.jsonl; with folds, for each of them
    manifests/<name>.fold<k>.<split>.jsonl, and manifests/<name>.test.jsonl with everybody, for each is tested once.
    `study` is what a relative folder is relative to. A file that two names have is in one split only.
    Raises StudyError, with counts, when the folder is missing, or is not whole and `incomplete` does not allow that.
    """
    corpus, asked = find(name), reading(name, settings)
    found = survey(corpus, Path(study) / (asked.folder or f"data/corpora/{name}"), asked.parts)
    complaint = found.complaint()
    if complaint and not asked.incomplete:
        raise _not_whole(found, complaint)
    rows, sounds = [], []
    for clip, seconds in zip(found.clips, found.seconds, strict=True):
        row = _row(corpus, clip, asked, min(seconds, asked.longest))
        if corpus.labels[clip.label] is not None and (asked.folds or row.split in asked.splits):
            rows.append(row)
            sounds.append(clip.path)
    broken = Counter()
    if asked.copy:
        rows, broken = _copied(rows, sounds, Path(root), corpus, asked)
    else:
        rows = [replace(row, audio=_in_place(path, asked)) for row, path in zip(rows, sounds, strict=True)]
    taken = {row.id for row in rows}
    twins = [[f"{name}-{clip.id}" for clip in group] for group in found.twins]
    manifests, left_out = _manifests(name, rows, asked, [set(group) & taken for group in twins])
    for stem, held in manifests.items():
        if not held:
            raise StudyError(
                f"{found.folder}: no utterance of {name} is left for {stem}; ask for other splits or parts"
            )
        write_manifest(Path(root) / "manifests" / f"{stem}.jsonl", held)
    same = {"same_file": twins, "same_file_left_out": left_out}
    return Taken(manifests, _report(found, rows, asked, manifests, broken) | same)


def plain_words(text: str) -> str:
    """Small letters, digits and inner apostrophes, single blanks: as the miniature writes what is said."""
    return " ".join(re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower().replace("\u2019", "'")))


def _not_whole(found: Survey, complaint: str) -> StudyError:
    name = found.corpus.name
    return StudyError(
        f"{found.folder}: the corpus {name} is not whole: {complaint}; {found.corpus.where_to_get_it}; get it again, "
        f"or set data.readers.{name}.incomplete to true in params.yaml to go on with what can be used"
    )


def _row(corpus: Corpus, clip: Clip, asked: Reading, seconds: float) -> Utterance:
    return Utterance(
        audio="",
        text=plain_words(clip.text) if asked.plain else clip.text,
        emotion=corpus.labels[clip.label] or "",
        id=f"{corpus.name}-{clip.id}",
        speaker=f"{corpus.name}-{clip.speaker}",
        language=clip.language or corpus.language,
        duration=round(seconds, 3),
        corpus=corpus.name,
        split=asked.split or corpus.split(clip),
    )


def _copied(
    rows: list[Utterance], sounds: list[Path], root: Path, corpus: Corpus, asked: Reading
) -> tuple[list[Utterance], Counter]:
    """The rows with their sound in one file, clip by clip, so that memory holds one at a time; and what broke."""
    path = root / "corpora" / f"{corpus.name}.flac"
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished, start, copied, broken = path.with_name("part." + path.name), 0, [], Counter()
    with soundfile.SoundFile(unfinished, "w", SAMPLE_RATE, 1, "PCM_16") as file:
        for row, source in zip(rows, sounds, strict=True):
            try:
                sound = load_audio(source)[: round(asked.longest * SAMPLE_RATE)]
                fault = CUT_SHORT if len(sound) / SAMPLE_RATE < row.duration - 0.01 else ""
            except StudyError:
                fault = UNREADABLE
            if fault and not asked.incomplete:
                raise StudyError(
                    f"{source}: {fault}, clip {len(copied) + 1:,} of {len(rows):,} of {corpus.name}; get it again, or "
                    f"set data.readers.{corpus.name}.incomplete to true in params.yaml to go on without such files"
                )
            if fault:
                broken[fault] += 1
                continue
            file.write(sound)
            seconds = round(len(sound) / SAMPLE_RATE, 3)
            copied.append(replace(row, audio=f"corpora/{path.name}:{start}:{len(sound)}", duration=seconds))
            start += len(sound)
    unfinished.replace(path)
    return copied, broken


def _in_place(path: Path, asked: Reading) -> str:
    info = soundfile.info(str(path))
    whole = info.frames <= asked.longest * info.samplerate
    return str(path.resolve()) if whole else f"{path.resolve()}:0:{int(asked.longest * info.samplerate)}"


def _manifests(
    name: str, rows: list[Utterance], asked: Reading, twins: list[set[str]]
) -> tuple[dict[str, list[Utterance]], int]:
    """The manifests by name, and how many rows are left out of one because another split has the same file."""
    versions = {name: rows}
    if asked.folds:
        made = folds.by_speaker(rows, asked.folds, asked.validation_speakers)
        versions = {f"{name}.fold{number}": version for number, version in enumerate(made, start=1)}
    manifests, left_out = {}, 0
    for stem, version in versions.items():
        kept = without_copies(version, twins)
        left_out += len(version) - len(kept)
        manifests |= {f"{stem}.{split}": [row for row in kept if row.split == split] for split in _splits(kept, asked)}
    if asked.folds:
        manifests[f"{name}.test"] = [replace(row, split="test") for row in rows]
    return manifests, left_out


def _splits(rows: Iterable[Utterance], asked: Reading) -> list[str]:
    """Those that are asked for by name, else those that there are."""
    there = {row.split for row in rows}
    return [split for split in SPLITS if split in asked.splits and (split in there or tuple(asked.splits) != SPLITS)]


def without_copies(rows: list[Utterance], twins: Iterable[set[str]]) -> list[Utterance]:
    """The rows, but of files that are the same to the byte (sets of ids) none that a later split has too."""
    split_of, out = {row.id: row.split for row in rows}, set()
    for group in twins:
        last = max((split_of[name] for name in group if name in split_of), key=SPLITS.index, default="")
        out |= {name for name in group if split_of.get(name) != last}
    return [row for row in rows if row.id not in out]


def _report(
    found: Survey, rows: list[Utterance], asked: Reading, manifests: Mapping[str, list[Utterance]], broken: Counter
) -> dict:
    """What was found and what became of it, in counts; no path of this machine is in it."""
    corpus, labels = found.corpus, found.labels()
    pairs = {(row.speaker, row.split) for row in rows}
    return {
        "corpus": corpus.name,
        "source": corpus.source,
        "licence": corpus.licence,
        "clips": len(found.clips),
        "expected": found.expected,
        "complaint": found.complaint(),
        "faults": dict(Counter(fault.what for fault in found.faults) + broken),
        "left_out_by_label": {
            label: labels[label] for label, kept in corpus.labels.items() if kept is None and labels[label]
        },
        "utterances": len(rows),
        "emotions": dict(Counter(row.emotion for row in rows)),
        "folds": asked.folds or 0,
        "manifests": {stem: len(held) for stem, held in manifests.items()},
        "cut": sum(seconds > asked.longest for seconds in found.seconds),
        "speakers_in_two_splits": 0 if asked.folds else len(pairs) - len({speaker for speaker, _ in pairs}),
    }
