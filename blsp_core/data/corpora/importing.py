"""From a corpus's folder to the study's own sound and manifests."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from blsp_core.errors import StudyError
from blsp_core.data.corpora import find
from blsp_core.data.corpora import folds
from blsp_core.data.corpora.base import Clip, Corpus
from blsp_core.data.corpora.options import SPLITS, Reading, reading
from blsp_core.data.corpora.sound import Sounds, copy_sounds, name_sounds
from blsp_core.data.corpora.checks import Survey, survey
from blsp_core.data.manifest import Utterance, write_manifest


@dataclass(frozen=True)
class Taken:
    """manifests: name without .jsonl -> rows, as written; report: counts, for the results file."""

    manifests: Mapping[str, list[Utterance]]
    report: dict


def take_corpus(name: str, settings: Mapping | None, study: Path, root: Path) -> Taken:
    """Read the corpus `name` as `settings` say and write it below `root`.

    Sound: corpora/<name>.flac, 16 kHz mono. Manifests: manifests/<name>.<split>.jsonl; with folds, for each of them
    manifests/<name>.fold<k>.<split>.jsonl, and manifests/<name>.test.jsonl with everybody, for each is tested once.
    Clips at other speeds are in train splits alone.
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
    heard = copy_sounds(name, rows, sounds, Path(root), asked) if asked.copy else name_sounds(rows, sounds, asked)
    taken = {row.id for row in heard.rows}
    twins = [[f"{name}-{clip.id}" for clip in group] for group in found.twins]
    manifests, left_out = _manifests(name, heard, asked, [set(group) & taken for group in twins])
    for stem, held in manifests.items():
        if not held:
            raise StudyError(
                f"{found.folder}: no utterance of {name} is left for {stem}; ask for other splits or parts"
            )
        write_manifest(Path(root) / "manifests" / f"{stem}.jsonl", held)
    same = {"same_file": twins, "same_file_left_out": left_out}
    return Taken(manifests, _report(found, heard, asked, manifests) | same)


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


def _manifests(
    name: str, heard: Sounds, asked: Reading, twins: list[set[str]]
) -> tuple[dict[str, list[Utterance]], int]:
    """The manifests by name, and how many rows are left out of one because another split has the same file."""
    versions = {name: heard.rows}
    if asked.folds:
        made = folds.by_speaker(heard.rows, asked.folds, asked.validation_speakers)
        versions = {f"{name}.fold{number}": version for number, version in enumerate(made, start=1)}
    manifests, left_out = {}, 0
    for stem, version in versions.items():
        kept = without_copies(version, twins)
        left_out += len(version) - len(kept)
        manifests |= {f"{stem}.{split}": [row for row in kept if row.split == split] for split in _splits(kept, asked)}
        if f"{stem}.train" in manifests:
            manifests[f"{stem}.train"] += [
                replace(other, split="train") for row in manifests[f"{stem}.train"] for other in heard.at_speeds[row.id]
            ]
    if asked.folds:
        manifests[f"{name}.test"] = [replace(row, split="test") for row in heard.rows]
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


def _report(found: Survey, heard: Sounds, asked: Reading, manifests: Mapping[str, list[Utterance]]) -> dict:
    """What was found and what became of it, in counts; no path of this machine is in it."""
    corpus, labels, rows = found.corpus, found.labels(), heard.rows
    pairs = {(row.speaker, row.split) for row in rows}
    return {
        "corpus": corpus.name,
        "source": corpus.source,
        "licence": corpus.licence,
        "clips": len(found.clips),
        "expected": found.expected,
        "complaint": found.complaint(),
        "faults": dict(Counter(fault.what for fault in found.faults) + heard.broken),
        "left_out_by_label": {
            label: labels[label] for label, kept in corpus.labels.items() if kept is None and labels[label]
        },
        "utterances": len(rows),
        "at_other_speeds": sum(map(len, heard.at_speeds.values())),
        "emotions": dict(Counter(row.emotion for row in rows)),
        "folds": asked.folds or 0,
        "manifests": {stem: len(held) for stem, held in manifests.items()},
        "cut": sum(seconds > asked.longest for seconds in found.seconds),
        "speakers_in_two_splits": 0 if asked.folds else len(pairs) - len({speaker for speaker, _ in pairs}),
    }
