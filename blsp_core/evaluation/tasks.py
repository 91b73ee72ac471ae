"""The tasks of the evaluation: which prompt is put to which corpus."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from blsp_core.data.manifest import Utterance, read_manifest
from blsp_core.data.prompts import IDENTIFY, SYSTEM, SYSTEM_EMPATHY
from blsp_core.errors import StudyError

FOLD = ".fold"  # between the name of a corpus and the number of its fold


def whole(corpus: str) -> str:
    """The corpus that a fold belongs to, or the corpus itself."""
    return corpus.partition(FOLD)[0]


@dataclass(frozen=True)
class Task:
    """One prompt for every utterance of one manifest."""

    name: str  # the head of its results' names: ser.<corpus>, requests or dialogue
    corpus: str
    kind: str  # ser: name the emotion; requests: answer the spoken request; dialogue: answer the last of several turns
    prompt: str  # a short key for the prompt: identify or empathy
    system: str  # the system prompt
    instruction: str  # stands before the speech in the user's turn; may be empty
    max_new_tokens: int
    split: str = "test"
    measured: bool = True  # False: for people to read

    @property
    def manifest(self) -> str:
        """The manifest's path, relative to the scale's data folder."""
        return f"manifests/{self.corpus}.{self.split}.jsonl" if self.split else f"manifests/{self.corpus}.jsonl"

    def utterances(self, manifest: Path) -> list[Utterance]:
        """Those of the manifest, each with the earlier turns in a dialogue and without them in every other task."""
        rows = read_manifest(manifest)
        unlabelled = [row.id for row in rows if not row.emotion] if self.measured else []
        if unlabelled:
            raise StudyError(
                f"{manifest}: {len(unlabelled)} of {len(rows)} utterances have no emotion, the first is "
                f"{unlabelled[0]}; the task {self.name} asks for it: label them or take them out"
            )
        return rows if self.kind == "dialogue" else [replace(row, history=()) for row in rows]


def recognition(corpus: str, max_new_tokens: int = 32) -> Task:
    """Emotion recognition with the paper's test prompt, under the plain system prompt. All folds of a corpus are parts
    of one task."""
    return Task(f"ser.{whole(corpus)}", corpus, "ser", "identify", SYSTEM, IDENTIFY, max_new_tokens)


def spoken_requests(corpus: str = "requests", max_new_tokens: int = 64, kind: str = "requests") -> Task:
    """Spoken requests as in the paper: no instruction, a system prompt that asks for empathy. Of kind `dialogue`,
    several turns as in the paper's figure 3."""
    return Task(kind, corpus, kind, "empathy", SYSTEM_EMPATHY, "", max_new_tokens)


def showcase(max_new_tokens: int = 64) -> Task:
    """One sentence in every emotion by one speaker, answered like a request: for people to read, never measured."""
    return replace(spoken_requests("showcase", max_new_tokens), name="showcase", split="", measured=False)


def task_list(settings, altered: Sequence[str] = ()) -> list[Task]:
    """Every measured task of a scale, from the settings `ser` (corpora), `requests` and `dialogues` (a corpus each, or
    empty) and `max_new_tokens` ({ser, reply}); and emotion recognition in the `altered` corpora."""
    longest, replies = settings.max_new_tokens, {"requests": settings.requests, "dialogue": settings.dialogues}
    tasks = [recognition(corpus, longest["ser"]) for corpus in [*settings.ser, *altered]]
    return tasks + [spoken_requests(corpus, longest["reply"], kind) for kind, corpus in replies.items() if corpus]
