"""The one record of an utterance, and the JSONL file that holds many of them."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from blsp_core.errors import StudyError

EMOTIONS = ("neutral", "happy", "sad", "angry", "surprise")


@dataclass(frozen=True)
class Turn:
    """What was said earlier in a dialogue: spoken by the user, or written by the assistant."""

    role: str  # user or assistant
    text: str
    audio: str = ""  # this and what follows as of an utterance; the user's turns alone have it
    emotion: str = ""
    duration: float = 0.0


TURN_FIELDS = {"user": {"role", "text", "audio", "emotion", "duration"}, "assistant": {"role", "text"}}


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
    history: tuple[Turn, ...] = ()  # the earlier turns of a dialogue, the user's first, in alternation

    @property
    def turns(self) -> list["Utterance | str"]:
        """The dialogue up to this utterance, itself the last: the user's turns as utterances of their own with the ids
        `<id>#0`, `<id>#2` ... by their places, between them the assistant's words."""
        earlier = [
            turn.text
            if turn.role == "assistant"
            else replace(
                self,
                audio=turn.audio,
                text=turn.text,
                emotion=turn.emotion,
                id=f"{self.id}#{place}",
                duration=turn.duration,
                history=(),
            )
            for place, turn in enumerate(self.history)
        ]
        return [*earlier, replace(self, history=())]

    @property
    def spoken(self) -> list["Utterance"]:
        """The user's turns of `turns`: this utterance alone where nothing went before."""
        return [turn for turn in self.turns if isinstance(turn, Utterance)]


def as_row(utterance: Utterance) -> dict:
    """The utterance as a line of a manifest has it; without `history` where nothing went before."""
    row = asdict(utterance)
    history = [{name: turn[name] for name in turn if name in TURN_FIELDS[turn["role"]]} for turn in row.pop("history")]
    return row | ({"history": history} if history else {})


def of_row(row: dict) -> Utterance:
    """The utterance of such a line; what else the line holds is left out."""
    names = [field.name for field in fields(Utterance) if field.name != "history"]
    history = tuple(Turn(**turn) for turn in row.get("history") or ())
    return Utterance(**{name: row[name] for name in names}, history=history)


def read_manifest(path: str | Path) -> list[Utterance]:
    """The utterances of a JSONL manifest.

    Raises StudyError, naming file and line, when the file is missing or empty, when a line is not JSON, when a field
    is missing or unknown, when an emotion is outside `EMOTIONS`, or when earlier turns do not alternate.
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
        _check_fields(row, names, names - {"history"}, where)
        _check_emotion(row, where)
        if "history" in row:
            _check_history(row["history"], where)
        rows.append(of_row(row))
    if not rows:
        raise StudyError(f"{path}: the manifest is empty; at least one utterance is wanted")
    return rows


def _check_fields(row, known: set[str], needed: set[str], where: str) -> None:
    if not isinstance(row, dict) or not needed <= set(row) <= known:
        wrong = sorted((needed - set(row)) | (set(row) - known)) if isinstance(row, dict) else "no object"
        raise StudyError(f"{where}: fields missing or unknown: {wrong}; wanted are {sorted(needed)}")


def _check_emotion(row: dict, where: str) -> None:
    if row["emotion"] and row["emotion"] not in EMOTIONS:
        raise StudyError(
            f"{where}: emotion {row['emotion']!r} is outside the set {', '.join(EMOTIONS)}; map or drop the row"
        )


def _check_history(history, where: str) -> None:
    turns = history if isinstance(history, list) else [history]
    roles = [turn.get("role") if isinstance(turn, dict) else None for turn in turns]
    if len(roles) % 2 or roles != ["user", "assistant"] * (len(roles) // 2):
        raise StudyError(
            f"{where}: history has the roles {roles}; wanted is user, assistant and so on by turns, an assistant last"
        )
    for place, turn in enumerate(history):
        here = f"{where}, history, turn {place}"
        _check_fields(turn, TURN_FIELDS[turn["role"]], TURN_FIELDS[turn["role"]], here)
        if turn["role"] == "user":
            _check_emotion(turn, here)


def write_manifest(path: str | Path, rows: Iterable[Utterance]) -> None:
    """Write utterances as JSONL; the file appears only when it is complete."""
    write_jsonl(path, (as_row(row) for row in rows))


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
