"""The record of an utterance, and the JSONL files that hold rows."""

import json
import os
import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from blsp_core.data.emotions import EMOTIONS
from blsp_core.errors import StudyError, first_line


@dataclass(frozen=True)
class Turn:
    """An earlier turn of a dialogue: spoken by the user, or written by the assistant."""

    role: str  # user or assistant
    text: str
    audio: str = ""  # this and what follows as of an utterance, for the user's turns only
    emotion: str = ""
    duration: float = 0.0


TURN_FIELDS = {"user": {"role", "text", "audio", "emotion", "duration"}, "assistant": {"role", "text"}}


@dataclass(frozen=True)
class Utterance:
    """One line of a manifest. The first three names are those of the released code."""

    audio: str  # path relative to the scale's data folder, or path:start:frames for a slice (16 kHz frames)
    text: str  # the transcript
    emotion: str  # one of EMOTIONS, or "" where it is unknown
    id: str
    speaker: str
    language: str  # two letters, ISO 639-1
    duration: float  # seconds
    corpus: str
    split: str  # train, validation or test
    history: tuple[Turn, ...] = ()  # the earlier turns of a dialogue, alternating, the user's first

    @property
    def turns(self) -> list["Utterance | str"]:
        """The dialogue up to this utterance, which is the last: the user's turns as utterances with the ids `<id>#0`,
        `<id>#2` ... by their positions, the assistant's turns as text."""
        earlier = []
        for place, turn in enumerate(self.history):
            own = {"audio": turn.audio, "text": turn.text, "emotion": turn.emotion, "duration": turn.duration}
            spoken = turn.role == "user"
            earlier.append(replace(self, **own, id=f"{self.id}#{place}", history=()) if spoken else turn.text)
        return [*earlier, replace(self, history=())]

    @property
    def spoken(self) -> list["Utterance"]:
        """The user's turns of `turns`: this utterance alone where there is no history."""
        return [turn for turn in self.turns if isinstance(turn, Utterance)]


# As <|speech|>: a tokenizer would not read it as text. Those of Qwen and Llama 3; Llama 2 and Mistral; Gemma.
CONTROL = re.compile(r"<\|[^|<>]*\|>|</?s>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>")
LANGUAGE = re.compile(r"([a-z]{2,3})?")
FIELDS = {field.name for field in fields(Utterance)} - {"history"}


def as_row(utterance: Utterance) -> dict:
    """The utterance as a line of a manifest; without `history` where there is none."""
    row = asdict(utterance)
    history = [{name: turn[name] for name in turn if name in TURN_FIELDS[turn["role"]]} for turn in row.pop("history")]
    return row | ({"history": history} if history else {})


def of_row(row: dict) -> Utterance:
    """The utterance of such a line; other keys of the line are ignored."""
    history = tuple(Turn(**turn) for turn in row.get("history") or ())
    return Utterance(**{name: row[name] for name in FIELDS}, history=history)


def read_manifest(path: str | Path, faults: list[str] | None = None, places: dict | None = None) -> list[Utterance]:
    """The utterances of a JSONL manifest.

    Raises StudyError, with file and line, when the file is missing or empty, a line is not JSON, a field is missing or
    unknown or not of its kind, an emotion is outside `EMOTIONS`, a text has a control token, an id occurs twice, or
    earlier turns do not alternate. faults: a list that gets these sentences; their lines are then left out. places: a
    mapping that gets the line of every id.
    """
    rows, ids = [], {} if places is None else places
    for where, line in _lines(path):
        try:
            rows.append(_utterance(_parse(line, where), where, ids))
        except StudyError as error:
            if faults is None:
                raise
            faults.append(str(error))
    if not rows:
        raise StudyError(f"{path}: the manifest is empty; at least one utterance that can be used is wanted")
    return rows


def _utterance(row: dict, where: str, ids: dict[str, str]) -> Utterance:
    """The utterance of a line; ids: of the lines before it, and where they are."""
    _check({name: row[name] for name in row if name != "history"}, FIELDS, where)
    history = row.get("history", [])
    turns = history if isinstance(history, list) else [history]
    roles = [turn.get("role") if isinstance(turn, dict) else None for turn in turns]
    if roles != ["user", "assistant"] * (len(roles) // 2):
        raise StudyError(f"{where}: history has the roles {roles}; wanted are user and assistant in alternation")
    for place, turn in enumerate(turns):
        _check(turn, TURN_FIELDS[turn["role"]], f"{where}, history, turn {place}")
    first = ids.setdefault(row["id"], where)
    if first != where:
        raise StudyError(f"{where}: the id {row['id']!r} is that of {first} too; wanted is one of its own")
    return of_row(row)


def _check(row: dict, wanted: set[str], where: str) -> None:
    wrong = sorted(set(row) ^ wanted)
    if wrong:
        raise StudyError(f"{where}: fields missing or unknown: {wrong}; wanted are {sorted(wanted)}")
    for name, value in row.items():
        text = value if isinstance(value, str) else None
        if name == "duration":
            good, kind = type(value) in (int, float) and 0 < value <= 86_400, "seconds above 0, at most a day"
        elif name == "text":
            good, kind = text is not None and has_words(text) and "\0" not in text, "a text with words"
        elif name == "language":
            good = text is not None and LANGUAGE.fullmatch(text)
            kind = "a code of two or three small letters, or an empty text"
        elif name in ("emotion", "speaker"):
            good, kind = text is not None, "a text"
        else:
            good, kind = text is not None and text.strip(), "a text that is not empty"
        if not good:
            raise StudyError(f"{where}: {name} is {repr(value)[:60]}; wanted is {kind}")
    length = len(row["text"])
    if length > 100 * (1 + row.get("duration", length)):
        raise StudyError(
            f"{where}: text has {length:,} characters for {row['duration']} s; wanted is what is said in the clip"
        )
    if row.get("emotion") and row["emotion"] not in EMOTIONS:
        raise StudyError(
            f"{where}: emotion {row['emotion']!r} is outside the set {', '.join(EMOTIONS)}; map or drop the row"
        )
    if token := CONTROL.search(row["text"]):
        raise StudyError(f"{where}: text has {token[0]}, a control token of LLMs; remove it")


def write_manifest(path: str | Path, rows: Iterable[Utterance]) -> None:
    """Write utterances as JSONL; the file appears only when it is complete."""
    write_jsonl(path, (as_row(row) for row in rows))


def write_jsonl(path: str | Path, rows: Iterable[dict]) -> None:
    """Write dictionaries as JSON lines; the file appears only when it is complete."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    with open(unfinished, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(json_line(row) for row in rows)
    os.replace(unfinished, path)


def append_jsonl(path: str | Path, rows: Iterable[dict]) -> None:
    """Add lines to a file that is still being written; see `read_jsonl`."""
    with open(path, "a", encoding="utf-8", newline="\n") as file:
        file.writelines(json_line(row) for row in rows)


def json_line(row: dict) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def read_jsonl(path: str | Path, unfinished: bool = False) -> list[dict]:
    """The dictionaries of a JSONL file. Raises StudyError when it is missing or a line is not a JSON object.

    unfinished: a last line without a line feed, of a process that was killed, is ignored.
    """
    return [_parse(line, where) for where, line in _lines(path, unfinished)]


class JsonlRows(Sequence):
    """The dictionaries of a JSONL file of any size, read-only. Only the byte offsets of its lines are in memory; a line
    is read and parsed when it is indexed.

    Serves forked and spawned worker processes. The file must not change meanwhile. Raises StudyError when it is
    missing, and when a line that is not a JSON object is indexed.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        with _open(path) as file:
            offset = file.tell()
            offsets = [np.array([offset])]  # of the start of every line, and of the end of the last
            while block := file.read(1 << 22):
                offsets.append(offset + 1 + np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n")))
                offset += len(block)
        offsets = np.concatenate(offsets, dtype=np.int64)
        self.offsets = offsets if offsets[-1] == offset else np.append(offsets, offset)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> dict:
        index = range(len(self))[index]
        start, end = map(int, self.offsets[index : index + 2])
        with open(self.path, "rb") as file:  # anew: a handle would share its position with forked processes
            file.seek(start)
            return _parse(file.read(end - start), f"{self.path}, line {index + 1}")

    def __iter__(self) -> Iterator[dict]:
        return (_parse(line, where) for where, line in _lines(self.path))


def _lines(path: str | Path, unfinished: bool = False) -> Iterator[tuple[str, bytes]]:
    """Place and content of every line. Only a line feed ends one: texts may hold U+2028 and other separators."""
    with _open(path) as file:
        for number, line in enumerate(file, start=1):
            if line.endswith(b"\n") or not unfinished:
                yield f"{path}, line {number}", line


def _open(path: str | Path) -> BinaryIO:
    """The file at its first line, after a byte order mark."""
    if not Path(path).is_file():
        raise StudyError(f"{path}: there is no such file; check its name, or run the stage that writes it")
    file = open(path, "rb")
    file.seek(len(BOM_UTF8) if file.read(len(BOM_UTF8)) == BOM_UTF8 else 0)
    return file


def _parse(line: bytes, where: str) -> dict:
    try:
        row = json.loads(line.decode("utf-8"), object_pairs_hook=_object)
        if b"\\ud" in line.lower():  # half of a surrogate pair would fail when it is written again
            json_line(row).encode("utf-8")
    except UnicodeDecodeError as error:
        raise StudyError(f"{where}: not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from None
    except UnicodeEncodeError:
        raise StudyError(f"{where}: holds a lone surrogate, which is half a character; correct it") from None
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", first_line(error))
        raise StudyError(f"{where}: not a JSON object ({reason}); write one a line") from None
    if not isinstance(row, dict):
        raise StudyError(f"{where}: not a JSON object (a {type(row).__name__}); write one a line")
    return row


def _object(pairs: list[tuple]) -> dict:
    row = dict(pairs)
    if len(row) < len(pairs):
        raise ValueError("a name occurs twice")
    return row


def has_words(text: str) -> bool:
    """Whether there is a letter or a digit in a text."""
    return any(character.isalnum() for character in text)


def plain_words(text: str) -> str:
    """Small letters, digits and inner apostrophes, single blanks: the text of the toy corpora, and what error rates
    compare."""
    return " ".join(re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower().replace("\u2019", "'")))
