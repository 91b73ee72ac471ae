"""What a system is asked in the evaluation, and how the name of an emotion is read from a free answer."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from blsp_core.data.manifest import Utterance, read_manifest
from blsp_core.data.prompts import IDENTIFY, SYSTEM, SYSTEM_EMPATHY
from blsp_core.errors import StudyError

FOLD = ".fold"  # what parts a corpus from the number of its fold


def whole(corpus: str) -> str:
    """The corpus that a fold belongs to, or the corpus itself."""
    return corpus.partition(FOLD)[0]


@dataclass(frozen=True)
class Task:
    """One question put to every utterance of one manifest."""

    name: str  # the head of its results' names: ser.<corpus>, requests or dialogue
    corpus: str
    split: str
    kind: (
        str  # ser: name the speaker's emotion; requests: answer the spoken request; dialogue: the last of several turns
    )
    prompt: str  # a short key for the wording: identify or empathy
    system: str  # the system prompt
    instruction: str  # stands before the speech in the user's turn; may be empty
    max_new_tokens: int
    measured: bool = True  # False: for people to read

    @property
    def in_folds(self) -> bool:
        """Whether its manifest is one of several that belong to the task."""
        return FOLD in self.corpus

    @property
    def manifest(self) -> str:
        """Where the utterances lie, relative to the scale's data folder."""
        return f"manifests/{self.corpus}.{self.split}.jsonl" if self.split else f"manifests/{self.corpus}.jsonl"

    def utterances(self, manifest: Path) -> list[Utterance]:
        """Those of the manifest, each with the turns before it in a dialogue and alone in every other task."""
        rows = read_manifest(manifest)
        unlabelled = [row.id for row in rows if not row.emotion] if self.measured else []
        if unlabelled:
            raise StudyError(
                f"{manifest}: {len(unlabelled)} of {len(rows)} utterances have no emotion, the first is "
                f"{unlabelled[0]}; the task {self.name} asks for it: label them or take them out"
            )
        return rows if self.kind == "dialogue" else [replace(row, history=()) for row in rows]


def recognition(corpus: str, split: str = "test", max_new_tokens: int = 32) -> Task:
    """Emotion recognition with the paper's test prompt, under the plain system prompt. All folds of a corpus are parts
    of one task."""
    return Task(f"ser.{whole(corpus)}", corpus, split, "ser", "identify", SYSTEM, IDENTIFY, max_new_tokens)


def spoken_requests(corpus: str = "requests", split: str = "test", max_new_tokens: int = 64) -> Task:
    """Spoken requests as in the paper: no instruction, a system prompt that asks for empathy."""
    return Task("requests", corpus, split, "requests", "empathy", SYSTEM_EMPATHY, "", max_new_tokens)


def dialogue(corpus: str = "dialogues", split: str = "test", max_new_tokens: int = 64) -> Task:
    """Several turns as in the paper's figure 3, the last of which is to be answered, under the prompt for empathy."""
    return Task("dialogue", corpus, split, "dialogue", "empathy", SYSTEM_EMPATHY, "", max_new_tokens)


def showcase(max_new_tokens: int = 64) -> Task:
    """One sentence in every tone by one voice, answered like a request: for people to read, never measured."""
    return Task("showcase", "showcase", "", "requests", "empathy", SYSTEM_EMPATHY, "", max_new_tokens, measured=False)


def task_list(settings) -> list[Task]:
    """Every task of a scale, from the settings `ser` (corpora), `requests` and `dialogues` (a corpus each, or empty),
    `split`, `ser_tokens` and `reply_tokens` (longest answers, in tokens)."""
    tasks = [recognition(corpus, settings.split, settings.ser_tokens) for corpus in settings.ser]
    if settings.requests:
        tasks.append(spoken_requests(settings.requests, settings.split, settings.reply_tokens))
    if settings.dialogues:
        tasks.append(dialogue(settings.dialogues, settings.split, settings.reply_tokens))
    return tasks


_SYNONYMS = {
    "neutral": "neutral neutrality neutrally emotionless unemotional calm",
    "happy": "happy happiness happily joy joyful joyous cheerful cheerfulness cheery glad delighted excited excitement",
    "sad": "sad sadness sadly unhappy unhappiness sorrow sorrowful melancholy depressed",
    "angry": "angry anger angrily mad furious fury outraged rage irate",
    "surprise": "surprise surprised surprising surprisingly astonished astonishment amazed amazement shocked",
}
_EMOTION_OF = {word: emotion for emotion, words in _SYNONYMS.items() for word in words.split()}
_DENIALS = {"not", "no", "never", "neither", "nor", "without", "cannot"}
_PAIRED_DENIALS = {("rather", "than"), ("instead", "of"), ("lack", "of")}
_REACH = 3  # words that a negation reaches over: "does not sound very happy"


def parse_emotion(text: str) -> str | None:
    """The one emotion of `EMOTIONS` that an answer names, or None.

    Reads free sentences ("The speaker sounds cheerful."). A denied emotion ("not sad", "rather than sad") is not
    named. An answer that names none, or more than one, is None: an unparsed answer is an error, never a guess.
    """
    named = set()
    for clause in re.split(r"[.,;:!?\n]|\bbut\b", text.lower().replace("’", "'")):
        words = re.findall(r"[a-z]+(?:'[a-z]+)?", clause.replace("not only", "").replace("n't", " not"))
        for place, word in enumerate(words):
            if word in _EMOTION_OF and not _denied(words[max(0, place - _REACH) : place]):
                named.add(_EMOTION_OF[word])
    return named.pop() if len(named) == 1 else None


def _denied(before: list[str]) -> bool:
    """Whether the words before an emotion deny it."""
    return bool(_DENIALS & set(before) or _PAIRED_DENIALS & set(zip(before, before[1:], strict=False)))
