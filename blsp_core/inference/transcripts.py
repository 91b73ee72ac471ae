"""What a Whisper heard, written once and read by every cascade: transcripts/<corpus>.<split>.jsonl, rows {id, text}."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from blsp_core.data.manifest import Utterance, read_jsonl, write_jsonl
from blsp_core.errors import StudyError


def write_transcripts(folder: Path, utterances: list[Utterance], words: Callable[[list[Utterance]], list[str]]) -> Path:
    """Write what `words` makes of the utterances of one corpus and split; in a dialogue, of every turn of the user."""
    turns = [turn for utterance in utterances for turn in utterance.spoken]
    path = _place(Path(folder), turns[0])
    rows = ({"id": turn.id, "text": text} for turn, text in zip(turns, words(turns), strict=True))
    write_jsonl(path, rows)
    return path


class Transcripts:
    """The words of utterances as the files in `folder` have them."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self._read = cache(lambda path: {row["id"]: row["text"] for row in read_jsonl(path)})

    def words(self, utterances: list[Utterance]) -> list[str]:
        """The transcripts, in order. Raises StudyError when a file, or an utterance in it, is missing."""
        missing = [u for u in utterances if u.id not in self._read(_place(self.folder, u))]
        if missing:
            raise StudyError(
                f"{_place(self.folder, missing[0])}: {len(missing)} utterances are missing, the first is "
                f"{missing[0].id}; run the pipeline stage that writes the transcripts again"
            )
        return [self._read(_place(self.folder, u))[u.id] for u in utterances]


def _place(folder: Path, utterance: Utterance) -> Path:
    return folder / f"{utterance.corpus}.{utterance.split}.jsonl"
