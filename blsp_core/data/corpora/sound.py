"""The sound of a corpus: copied into the study, or left where it is."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import soundfile

from blsp_core.errors import StudyError
from blsp_core.data.audio import SAMPLE_RATE, load_audio, resample
from blsp_core.data.corpora.options import Reading
from blsp_core.data.corpora.silence import voiced_part
from blsp_core.data.corpora.checks import CUT_SHORT, UNREADABLE
from blsp_core.data.manifest import Utterance


@dataclass(frozen=True)
class Sounds:
    """rows: the utterances, each with the place and the length of its sound; at_speeds: by id, the same utterance
    spoken faster or slower; broken: what could not be read, counted."""

    rows: list[Utterance]
    at_speeds: Mapping[str, list[Utterance]] = field(default_factory=lambda: defaultdict(list))
    broken: Counter = field(default_factory=Counter)


def copy_sounds(name: str, rows: list[Utterance], sources: list[Path], root: Path, asked: Reading) -> Sounds:
    """All sound of the corpus `name` in corpora/<name>.flac, clip by clip, so that memory holds one at a time.

    Raises StudyError for a file that is cut short or no sound, unless `asked.incomplete` allows that.
    """
    path = root / "corpora" / f"{name}.flac"
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished, made, start = path.with_name("part." + path.name), Sounds([]), 0
    with soundfile.SoundFile(unfinished, "w", SAMPLE_RATE, 1, "PCM_16") as file:

        def put(row: Utterance, sound: np.ndarray) -> Utterance:
            nonlocal start
            file.write(sound)
            place, start = f"corpora/{path.name}:{start}:{len(sound)}", start + len(sound)
            return replace(row, audio=place, duration=round(len(sound) / SAMPLE_RATE, 3))

        for number, (row, source) in enumerate(zip(rows, sources, strict=True), start=1):
            try:
                sound = load_audio(source)[: round(asked.longest * SAMPLE_RATE)]
                fault = CUT_SHORT if len(sound) / SAMPLE_RATE < row.duration - 0.01 else ""
            except StudyError:
                fault = UNREADABLE
            if fault and not asked.incomplete:
                raise StudyError(
                    f"{source}: {fault}, clip {number:,} of {len(rows):,} of {name}; get it again, or set "
                    f"data.readers.{name}.incomplete to true in params.yaml to go on without such files"
                )
            if fault:
                made.broken[fault] += 1
                continue
            if asked.trim_below is not None:
                sound = sound[slice(*voiced_part(sound, asked.trim_below))]
            made.rows.append(put(row, sound))
            for speed in asked.speeds if asked.folds or row.split == "train" else ():
                faster = replace(row, id=f"{row.id}-at-{speed:g}")
                made.at_speeds[row.id].append(put(faster, resample(sound, SAMPLE_RATE * speed)))
    unfinished.replace(path)
    return made


def name_sounds(rows: list[Utterance], sources: list[Path], asked: Reading) -> Sounds:
    """Each row with the place of its sound on this machine, as a slice where the whole file is not wanted."""
    return Sounds([_in_place(row, path, asked) for row, path in zip(rows, sources, strict=True)])


def _in_place(row: Utterance, path: Path, asked: Reading) -> Utterance:
    info = soundfile.info(str(path))
    start, end = 0, min(info.frames, int(asked.longest * info.samplerate))
    if asked.trim_below is not None:
        voiced = voiced_part(load_audio(f"{path}:0:{end}"), asked.trim_below)
        start, end = (min(end, round(sample * info.samplerate / SAMPLE_RATE)) for sample in voiced)
    if (start, end) == (0, info.frames):
        return replace(row, audio=str(path.resolve()))
    seconds = round((end - start) / info.samplerate, 3)
    return replace(row, audio=f"{path.resolve()}:{start}:{end - start}", duration=seconds)
