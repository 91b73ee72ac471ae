"""From a corpus's folder to the study's own sound and manifests."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile

from blsp_core.data.corpora import find
from blsp_core.data.corpora.base import SPLITS, speakers
from blsp_core.data.corpora.checks import CUT_SHORT, SILENT, TOO_SHORT, UNREADABLE, WORDLESS, check_folder
from blsp_core.data.manifest import CONTROL, Utterance, has_words, plain_words, write_manifest
from blsp_core.data.progress import progress
from blsp_core.errors import StudyError
from blsp_core.model.audio import SAMPLE_RATE, SHORTEST, is_silent, load_audio, resample, split_slice, write_corpus
from blsp_core.params import check
from blsp_core.schema import ImportOptions

LONGEST = 30.0  # seconds, the window of Whisper; longer clips are cut
TOGETHER = 64  # clips that are decoded at a time
VALIDATION_SPEAKERS = 2  # in each fold


def read_options(name: str, settings: Mapping | None) -> ImportOptions:
    """The options of a corpus. Raises StudyError for an unknown key or value, or options that exclude each other."""
    where = f"params.yaml, data.corpora.{name}"
    check(ImportOptions, settings or {}, where)
    options = ImportOptions.model_validate(settings or {})
    if (options.speeds or options.trim_below is not None) and not options.copy_sound:
        raise StudyError(f"{where}: speeds and trim_below need a copy of the sound; set `copy` to true, or drop them")
    if options.folds and options.split:
        raise StudyError(f"{where}: has both folds and a split for everything; leave one of them out")
    own_folds = options.folds is None and not options.split
    return options.model_copy(update={"folds": find(name).folds}) if own_folds else options


@dataclass(frozen=True)
class Imported:
    """manifests: name without .jsonl -> rows, as written; report: counts, for the results file."""

    manifests: Mapping[str, list[Utterance]]
    report: dict


def import_corpus(name: str, settings: Mapping | None, study: Path, root: Path) -> Imported:
    """Read the corpus `name` with the options in `settings` and write it below `root`.

    Sound: corpora/<name>.flac, 16 kHz mono. Manifests: manifests/<name>.<split>.jsonl; with folds
    manifests/<name>.fold<k>.<split>.jsonl, and manifests/<name>.test.jsonl with everybody, for each is tested once.
    `study`: base of a relative folder. Copies at other speeds are in train splits only, and byte-identical files in one
    split only. Raises StudyError, with counts, when the folder is missing, or incomplete without `incomplete`.
    """
    corpus, options, root = find(name), read_options(name, settings), Path(root)
    contents = check_folder(corpus, Path(study) / (options.folder or f"data/corpora/{name}"), options.parts)
    complaint = contents.complaint()
    if complaint and not options.incomplete:
        raise StudyError(
            f"{contents.folder}: the corpus {name} is not complete: {complaint}; {corpus.where_to_get_it}; get it "
            f"again, or set data.corpora.{name}.incomplete to true in params.yaml to go on with what can be used"
        )
    planned, faults = [], Counter(fault.what for fault in contents.faults)
    for clip, seconds in zip(contents.clips, contents.seconds, strict=True):
        if clip.label in corpus.labels:
            row = Utterance(
                audio="",
                text=plain_words(clip.text) if options.plain else clip.text,
                emotion=corpus.labels[clip.label],
                id=f"{name}-{clip.id}",
                speaker=f"{name}-{clip.speaker}",
                language=clip.language or corpus.language,
                duration=round(min(seconds, LONGEST), 3),
                corpus=name,
                split=options.split or corpus.split(clip),
            )
            if not has_words(row.text) or CONTROL.search(row.text):
                faults[WORDLESS] += 1
            elif options.folds or row.split in options.splits:
                planned.append((row, clip.path))
    if options.folds:
        folds_by_speaker([row for row, _ in planned], options.folds)  # before hours are spent on the sound
    if options.copy_sound:
        groups = _copy_sounds(planned, root / "corpora" / f"{name}.flac", options, faults)
    else:
        groups = [[replace(row, audio=_in_place(path))] for row, path, _ in _sounds(planned, options, faults)]
    rows, perturbed = [row for row, *_ in groups], {row.id: copies for row, *copies in groups}
    identical = [[f"{name}-{clip.id}" for clip in group] for group in contents.identical]
    manifests, left_out = _manifests(name, rows, options, identical, perturbed)
    empty = [stem for stem, held in manifests.items() if not held]
    if empty or not rows:
        (root / "corpora" / f"{name}.flac").unlink(missing_ok=True)
        counts = ", ".join(f"{count} {what}" for what, count in faults.items()) or "none"
        raise StudyError(
            f"{contents.folder}: no utterance of {name} is in {empty[0] if empty else 'any split'}; ask for other "
            f"splits or parts (left out: {counts})"
        )
    for stem, held in manifests.items():
        write_manifest(root / "manifests" / f"{stem}.jsonl", held)
    labels, pairs = Counter(clip.label for clip in contents.clips), {(row.speaker, row.split) for row in rows}
    report = {
        "corpus": name,
        "source": corpus.source,
        "licence": corpus.licence,
        "clips": len(contents.clips),
        "expected": sum(contents.expected.values()),
        "complaint": complaint,
        "faults": dict(faults),
        "left_out_by_label": {label: labels[label] for label in corpus.left_out if labels[label]},
        "utterances": len(rows),
        "emotions": dict(Counter(row.emotion for row in rows)),
        "at_other_speeds": sum(map(len, perturbed.values())),
        "folds": options.folds or 0,
        "manifests": {stem: len(held) for stem, held in manifests.items()},
        "speakers_in_two_splits": 0 if options.folds else len(pairs) - len({speaker for speaker, _ in pairs}),
        "cut": sum(seconds > LONGEST for seconds in contents.seconds),
        "same_file": identical,
        "same_file_left_out": left_out,
    }
    return Imported(manifests, report)


def _copy_sounds(
    planned: list[tuple[Utterance, Path]], path: Path, options: ImportOptions, faults: Counter
) -> list[list[Utterance]]:
    """Write all sound to `path`, clip by clip; the rows with their place and length, each with its copies at other
    speeds."""
    groups = []

    def sounds() -> Iterator[np.ndarray]:
        for row, _, sound in _sounds(planned, options, faults):
            if options.trim_below is not None:
                sound = sound[slice(*voiced_part(sound, options.trim_below))]
            speeds = options.speeds if options.folds or row.split == "train" else ()
            groups.append([row, *(replace(row, id=f"{row.id}-at-{speed:g}") for speed in speeds)])
            yield sound
            yield from (resample(sound, SAMPLE_RATE * speed) for speed in speeds)

    places = iter(write_corpus(path, sounds()))
    return [[_placed(row, next(places)) for row in group] for group in groups]


def _sounds(
    planned: list[tuple[Utterance, Path]], options: ImportOptions, faults: Counter
) -> Iterator[tuple[Utterance, Path, np.ndarray]]:
    """Each row, its file and its sound. Faulty files are counted in `faults` and left out; a silent or very short one
    does not stop the import, for published corpora have some (CREMA-D's 1076_MTI_SAD_XX)."""

    def read(place: tuple[Utterance, Path]) -> np.ndarray | StudyError:
        try:
            return load_audio(place[1])[: round(LONGEST * SAMPLE_RATE)]
        except StudyError as error:
            return error

    with ThreadPoolExecutor() as pool:  # decoding leaves the interpreter
        for start in progress(range(0, len(planned), TOGETHER), f"sound, {TOGETHER} clips a step"):
            group = planned[start : start + TOGETHER]
            for (row, source), sound in zip(group, pool.map(read, group), strict=True):
                if isinstance(sound, StudyError):
                    fault = UNREADABLE
                else:
                    fault = CUT_SHORT if len(sound) / SAMPLE_RATE < row.duration - 0.01 else ""
                if fault and not options.incomplete:
                    raise StudyError(
                        f"{source}: {fault}; get it again, or set data.corpora.{row.corpus}.incomplete to true in "
                        "params.yaml to go on without such files"
                    )
                if not fault and len(sound) < SHORTEST * SAMPLE_RATE:
                    fault = TOO_SHORT
                elif not fault and is_silent(sound):
                    fault = SILENT
                if fault:
                    faults[fault] += 1
                else:
                    yield row, source, sound


def _placed(row: Utterance, place: str) -> Utterance:
    return replace(row, audio=f"corpora/{place}", duration=round(split_slice(place)[2] / SAMPLE_RATE, 3))


def _in_place(path: Path) -> str:
    """The place of a sound on this machine, as a slice where it is too long."""
    info = soundfile.info(str(path))
    longest = int(LONGEST * info.samplerate)
    return f"{path.resolve()}:0:{longest}" if info.frames > longest else str(path.resolve())


def voiced_part(sound: np.ndarray, below: float) -> tuple[int, int]:
    """First sample and the one after the last, of 16 kHz sound (samples,), without a quiet start and end.

    below: dB under the loudest fiftieth of the clip. Quieter frames of 20 ms at both ends are cut off, except for a
    tenth of a second.
    """
    hop, margin = SAMPLE_RATE // 50, SAMPLE_RATE // 10
    count = len(sound) // hop
    rms = np.sqrt(np.mean(sound[: count * hop].reshape(count, hop).astype(np.float64) ** 2, axis=1))
    loud = np.flatnonzero(rms > np.quantile(rms, 0.98) * 10 ** (-below / 20)) if count else []
    if not len(loud):
        return 0, len(sound)
    return max(0, int(loud[0]) * hop - margin), min(len(sound), (int(loud[-1]) + 1) * hop + margin)


def folds_by_speaker(rows: Sequence[Utterance], count: int) -> list[list[Utterance]]:
    """`count` versions of the rows, whose splits differ: fold k tests the k-th run of speakers, in the order of their
    names; the next `VALIDATION_SPEAKERS` are for validation; all others for training.

    Raises StudyError when that leaves a split without speakers.
    """
    names = sorted({row.speaker for row in rows})
    runs = [list(run) for run in np.array_split(names, count)] if 1 < count <= len(names) else []
    if not runs or VALIDATION_SPEAKERS >= len(names) - max(map(len, runs)):
        raise StudyError(
            f"folds: {count} of {len(names)} speakers with {VALIDATION_SPEAKERS} for validation leave a split "
            "empty; wanted are 2 folds or more, and speakers for test, validation and training in each"
        )
    folds = []
    for run in runs:
        after = names.index(run[-1]) + 1
        split_of = speakers((names * 2)[after : after + VALIDATION_SPEAKERS], run)
        folds.append([replace(row, split=split_of.get(row.speaker, "train")) for row in rows])
    return folds


def without_copies(rows: list[Utterance], groups: Iterable[Sequence[str]]) -> list[Utterance]:
    """The rows without those of byte-identical files (groups of ids) that a later split also has."""
    split_of, out = {row.id: row.split for row in rows}, set()
    for group in groups:
        last = max((split_of[name] for name in group if name in split_of), key=SPLITS.index, default="")
        out |= {name for name in group if split_of.get(name) != last}
    return [row for row in rows if row.id not in out]


def _manifests(
    name: str, rows: list[Utterance], options: ImportOptions, identical: list, perturbed: Mapping
) -> tuple[dict[str, list[Utterance]], int]:
    """The manifests by name, and how many rows are left out because another split has the same file."""
    versions = {name: rows}
    if options.folds:
        made = folds_by_speaker(rows, options.folds)
        versions = {f"{name}.fold{number}": version for number, version in enumerate(made, start=1)}
    manifests, left_out = {}, 0
    for stem, version in versions.items():
        kept = without_copies(version, identical)
        left_out += len(version) - len(kept)
        for split in (split for split in SPLITS if split in options.splits):
            held = [row for row in kept if row.split == split]
            if split == "train":
                held += [replace(other, split="train") for row in held for other in perturbed[row.id]]
            if held or tuple(options.splits) != SPLITS:
                manifests[f"{stem}.{split}"] = held
    if options.folds:
        manifests[f"{name}.test"] = [replace(row, split="test") for row in rows]
    return manifests, left_out
