"""The systems that are compared: each answers utterances under a task."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from transformers import AutoModelForCausalLM, AutoTokenizer

from blsp_core.errors import StudyError
from blsp_core.model import BlspEmoForConditionalGeneration, BlspEmoProcessor
from blsp_core.speech.manifest import EMOTIONS, Utterance
from blsp_core.study import prompts
from blsp_core.study.hearing import reply
from blsp_core.study.llm import answer, chat, ready
from blsp_core.study.recognition import Recognition
from blsp_core.study.tasks import Task


class System(Protocol):
    """Whatever answers speech."""

    def answer(self, utterances: list[Utterance], task: Task) -> list[str]:
        """One reply to each utterance, in order, greedily decoded."""


class Cascade:
    """An LLM that is given words, and perhaps told the speaker's emotion.

    `words` and `emotion` turn utterances into what the LLM is told; without `emotion` it is told the words only.
    """

    def __init__(
        self,
        llm: Path,
        words: Callable[[list[Utterance]], list[str]],
        emotion: Callable[[list[Utterance]], list[str]] | None = None,
        batch_size: int = 64,
    ):
        self.llm, self.tokenizer = ready(AutoModelForCausalLM.from_pretrained(llm)), AutoTokenizer.from_pretrained(llm)
        self.words, self.emotion, self.batch_size = words, emotion, batch_size

    def answer(self, utterances: list[Utterance], task: Task) -> list[str]:
        told = self.words(utterances)
        if self.emotion is not None:
            told = [prompts.TOLD.format(emotion=e) + w for e, w in zip(self.emotion(utterances), told, strict=True)]
        chats = [chat(task.system, task.instruction + text) for text in told]
        return [a.text for a in answer(self.llm, self.tokenizer, chats, task.max_new_tokens, self.batch_size)]


class Hearing:
    """A BLSP-Emo, of any stage or variant."""

    def __init__(self, model: Path, root: Path, batch_size: int = 64):
        self.model = ready(BlspEmoForConditionalGeneration.from_pretrained(model))
        self.processor, self.root, self.batch_size = BlspEmoProcessor.from_pretrained(model), root, batch_size

    def answer(self, utterances: list[Utterance], task: Task) -> list[str]:
        return reply(
            self.model,
            self.processor,
            utterances,
            self.root,
            system=task.system,
            instruction=task.instruction,
            max_new_tokens=task.max_new_tokens,
            batch_size=self.batch_size,
            desc=task.name,
        )


def transcripts(utterances: list[Utterance]) -> list[str]:
    """The true words."""
    return [utterance.text for utterance in utterances]


def labels(utterances: list[Utterance]) -> list[str]:
    """The true emotions."""
    return [utterance.emotion for utterance in utterances]


def random_emotions(seed: int) -> Callable[[list[Utterance]], list[str]]:
    """Emotions that have nothing to do with the speech, the same for an utterance in every task."""
    return lambda utterances: [random.Random(f"{seed} {u.id}").choice(EMOTIONS) for u in utterances]


def load(name: str, study) -> System:
    """The system of that name, from the products of the pipeline; a name that is no cascade is a trained model."""
    llm, root = study.read("foundation/llm"), study.read("manifests").parent
    match name:
        case "text+llm":
            return Cascade(llm, transcripts)
        case "whisper+llm":
            return Cascade(llm, Recognition(study.read("foundation/asr"), root).words)
        case "gold+llm":
            return Cascade(llm, transcripts, labels)
        case "random+llm":
            return Cascade(llm, transcripts, random_emotions(study.seed))
    if name not in study.systems:
        raise StudyError(f"params.yaml, systems: has no {name!r}; there are {', '.join(study.systems)}; add it there")
    return Hearing(study.read(study.systems[name]["model"]), root)
