"""Test clips under other conditions: quieter, over a telephone, in noise, slower or faster."""

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import signal

from blsp_core.data.manifest import Utterance, read_manifest, write_manifest
from blsp_core.errors import StudyError
from blsp_core.model.audio import SAMPLE_RATE, load_audio, resample, write_corpus

MARK = "@"  # between the name of a corpus and a condition; no corpus of params.yaml has it in its name
EVERY = 3  # of the test clips of each emotion, one in so many is altered
TELEPHONE = (300, 3400)  # Hz
WANTED = "level-20 (dB), telephone, noise10 (signal-to-noise ratio, dB), speed80 (per cent of the speed, pitch too)"


def names_of(altered: Mapping[str, Sequence[str]]) -> list[str]:
    """The corpora that `data.altered` makes: <corpus>@<condition>."""
    return [f"{corpus}{MARK}{condition}" for corpus, conditions in altered.items() for condition in conditions]


def alter(sound: np.ndarray, condition: str, seed: int) -> np.ndarray:
    """The waveform (samples,), 16 kHz, under a condition (see `WANTED`), within [-1, 1]. Noise is white and drawn by
    the seed. Raises StudyError for an unknown condition."""
    found = re.fullmatch(r"(level|noise|speed|telephone)([+-]?\d+)?", condition)
    if not found or (found[1] == "telephone") is bool(found[2]):
        raise StudyError(f"data.altered: {condition!r} is no condition; wanted is one such as {WANTED}")
    what, number = found[1], float(found[2] or 0)
    match what:
        case "level":
            sound = sound * 10 ** (number / 20)
        case "noise":
            noise = np.random.default_rng(seed).standard_normal(len(sound))
            sound = sound + noise * np.sqrt(np.mean(sound**2)) * 10 ** (-number / 20)
        case "speed":
            sound = resample(sound, SAMPLE_RATE * number / 100)
        case "telephone":
            sound = signal.sosfilt(signal.butter(8, TELEPHONE, "bandpass", fs=SAMPLE_RATE, output="sos"), sound)
    return np.clip(sound, -1, 1).astype(np.float32)


def build_altered(root: Path, corpus: str, condition: str) -> list[Utterance]:
    """A third of the test clips of a corpus under a condition, the same under each, below `root`:
    corpora/<corpus>@<condition>.flac and manifests/<corpus>@<condition>.test.jsonl. The ids are those of the corpus, so
    that answers can be paired. Raises StudyError for a corpus in folds, whose speakers are in training too."""
    name = f"{corpus}{MARK}{condition}"
    if list((root / "manifests").glob(f"{corpus}.fold*")):
        raise StudyError(f"data.altered: {corpus} is tested in folds, which cannot be altered; name another corpus")
    rows = _third(read_manifest(root / f"manifests/{corpus}.test.jsonl"))
    sounds = (alter(load_audio(row.audio, root), condition, zlib.crc32(row.id.encode())) for row in rows)
    slices = write_corpus(root / f"corpora/{name}.flac", sounds)
    lengths = [int(piece.rsplit(":", 1)[1]) / SAMPLE_RATE for piece in slices]
    made = [
        replace(row, audio=f"corpora/{piece}", duration=round(seconds, 3), corpus=name, history=())
        for row, piece, seconds in zip(rows, slices, lengths, strict=True)
    ]
    write_manifest(root / f"manifests/{name}.test.jsonl", made)
    return made


def _third(rows: list[Utterance]) -> list[Utterance]:
    """A third of the utterances of each emotion, drawn by their ids, in their order."""
    groups: dict[str, list[Utterance]] = {}
    for row in sorted(rows, key=lambda row: zlib.crc32(row.id.encode())):
        groups.setdefault(row.emotion, []).append(row)
    chosen = {row.id for group in groups.values() for row in group[: -(-len(group) // EVERY)]}
    return [row for row in rows if row.id in chosen]
