"""The one record of an utterance, and the JSONL file that holds many of them."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from blsp_core.errors import StudyError

EMOTIONS = ("neutral", "happy", "sad", "angry", "surprise")


@dataclass(frozen=True)
class Utterance:
    """One line of a manifest. The first three names are those of the released code."""

    audio: str  # path relative to the scale's data folder, or path:start:frames for a slice (16 kHz frames)
    text: str  # what is said, as a transcript without tone
    emotion: str  # one of EMOTIONS, or "" where it is unknown
    id: str
    speaker: str
    language: str
    duration: float  # seconds
    corpus: str
    split: str  # train, validation or test


def read_manifest(path: str | Path) -> list[Utterance]:
    """The utterances of a JSONL manifest.

    Raises StudyError, naming file and line, when the file is missing or empty, when a line is not JSON, when a field
    is missing or unknown, or when an emotion is outside `EMOTIONS`.
    """
    path = Path(path)
    if not path.is_file():
        raise StudyError(f"{path}: there is no such manifest; run the pipeline stage that writes it")
    names = {field.name for field in fields(Utterance)}
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        where = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise StudyError(f"{where}: not a JSON object ({error.msg}); write one utterance a line") from None
        if not isinstance(row, dict) or set(row) != names:
            wrong = sorted(names.symmetric_difference(row)) if isinstance(row, dict) else "no object"
            raise StudyError(f"{where}: fields missing or unknown: {wrong}; wanted are {sorted(names)}")
        if row["emotion"] and row["emotion"] not in EMOTIONS:
            raise StudyError(
                f"{where}: emotion {row['emotion']!r} is outside the set {', '.join(EMOTIONS)}; map or drop the row"
            )
        rows.append(Utterance(**row))
    if not rows:
        raise StudyError(f"{path}: the manifest is empty; at least one utterance is wanted")
    return rows


def write_manifest(path: str | Path, rows: Iterable[Utterance]) -> None:
    """Write utterances as JSONL; the file appears only when it is complete."""
    write_jsonl(path, (asdict(row) for row in rows))


def write_jsonl(path: str | Path, rows: Iterable[dict]) -> None:
    """Write dictionaries as JSON lines; the file appears only when it is complete."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    with open(unfinished, "w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    os.replace(unfinished, path)


def read_jsonl(path: str | Path) -> list[dict]:
    """The dictionaries of a JSONL file. Raises StudyError when it is missing or a line is not JSON."""
    path = Path(path)
    if not path.is_file():
        raise StudyError(f"{path}: there is no such file; run the pipeline stage that writes it")
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise StudyError(f"{path}, line {number}: not a JSON object ({error.msg})") from None
    return rows
