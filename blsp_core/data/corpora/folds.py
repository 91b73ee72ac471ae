"""Folds by speaker: everybody is tested once, by a model that met neither them nor their copies."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from blsp_core.errors import StudyError
from blsp_core.data.manifest import Utterance


def by_speaker(rows: Sequence[Utterance], count: int, validation_speakers: int) -> list[list[Utterance]]:
    """`count` versions of the rows, whose splits differ: fold k tests the k-th run of speakers, in the order of their
    names; the next speakers, `validation_speakers` of them, validate; all others train.

    Raises StudyError when that leaves a split without speakers.
    """
    speakers = sorted({row.speaker for row in rows})
    runs = [list(run) for run in np.array_split(speakers, count)] if 1 < count <= len(speakers) else []
    if not runs or not 0 < validation_speakers < len(speakers) - max(map(len, runs)):
        raise StudyError(
            f"folds: {count} of {len(speakers)} speakers with {validation_speakers} for validation leave somebody out; "
            "wanted are 2 folds or more, and speakers for test, validation and training in each"
        )
    folds = []
    for run in runs:
        after = speakers.index(run[-1]) + 1
        validation = {speakers[(after + i) % len(speakers)] for i in range(validation_speakers)}
        split_of = (
            dict.fromkeys(speakers, "train") | dict.fromkeys(validation, "validation") | dict.fromkeys(run, "test")
        )
        folds.append([replace(row, split=split_of[row.speaker]) for row in rows])
    return folds
