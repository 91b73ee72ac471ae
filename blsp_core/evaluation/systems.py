"""The systems that are compared: each answers utterances under a task."""

import random
from collections import Counter
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Protocol

from blsp_core.data import prompts
from blsp_core.data.manifest import EMOTIONS, Utterance, read_jsonl
from blsp_core.errors import StudyError
from blsp_core.evaluation.tasks import Task
from blsp_core.inference.llm import answer, chat, precision, ready
from blsp_core.inference.llm import load as load_llm
from blsp_core.inference.speech import named_by_head, reply
from blsp_core.inference.transcripts import Transcripts
from blsp_core.model import BlspEmoForConditionalGeneration, BlspEmoProcessor
from blsp_core.study.settings import RUNS, resolve


class System(Protocol):
    """Whatever answers speech."""

    def answer(self, utterances: list[Utterance], task: Task) -> list[str]:
        """One reply to each utterance, in order, greedily decoded."""


class Cascade:
    """An LLM that is given words, and perhaps told the speaker's emotion.

    `words` and `emotion` turn utterances into what the LLM is told; without `emotion` it is told the words only. In a
    dialogue every turn of the user is such an utterance.
    """

    def __init__(
        self,
        llm: Path,
        words: Callable[[list[Utterance]], list[str]],
        emotion: Callable[[list[Utterance]], list[str]] | None = None,
        batch_size: int = 64,
    ):
        self.llm, self.tokenizer = load_llm(llm)
        self.words, self.emotion, self.batch_size = words, emotion, batch_size

    def answer(self, utterances: list[Utterance], task: Task) -> list[str]:
        spoken = [turn for utterance in utterances for turn in utterance.spoken]
        told = self.words(spoken)
        if self.emotion is not None:
            told = [prompts.TOLD.format(emotion=e) + w for e, w in zip(self.emotion(spoken), told, strict=True)]
        said = iter(told)
        texts = [[turn if isinstance(turn, str) else next(said) for turn in u.turns] for u in utterances]
        chats = [_written_dialogue(task, turns) for turns in texts]
        return [a.text for a in answer(self.llm, self.tokenizer, chats, task.max_new_tokens, self.batch_size)]


def _written_dialogue(task: Task, turns: list[str]) -> list[dict]:
    """The chat of these turns, the user's first and last; the task's instruction stands before the last."""
    first, last = chat(task.system, task.instruction + turns[-1])
    earlier = [{"role": role, "content": turn} for role, turn in zip(cycle(("user", "assistant")), turns[:-1])]
    return [first, *earlier, last]


class Hearing:
    """A BLSP-Emo, of any stage or variant. `has_head`: its emotion head was trained."""

    def __init__(self, model: Path, root: Path, batch_size: int = 64, has_head: bool = False):
        self.model = ready(BlspEmoForConditionalGeneration.from_pretrained(model, dtype=precision()))
        self.processor, self.root, self.batch_size = BlspEmoProcessor.from_pretrained(model), root, batch_size
        self.has_head = has_head

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

    def by_head(self, utterances: list[Utterance]) -> list[str]:
        """What the emotion head alone would name."""
        return named_by_head(self.model, self.processor, utterances, self.root)


class External:
    """Any other program: its answers stand in a file of JSON lines, {id, task, response}, what else they hold aside."""

    def __init__(self, path: Path):
        self.path, self.responses = path, {}
        for number, row in enumerate(read_jsonl(path), start=1):
            fields = row if isinstance(row, dict) else {}
            missing = [field for field in ("id", "task", "response") if not isinstance(fields.get(field), str)]
            if missing:
                raise StudyError(
                    f"{path}, line {number}: no text in {', '.join(missing)}; a row has id, task, response"
                )
            self.responses.setdefault(row["task"], []).append((row["id"], row["response"]))

    def answer(self, utterances: list[Utterance], task: Task) -> list[str]:
        """Raises StudyError when utterances are missing, unknown or answered twice; a task that is not measured may be
        left out altogether. Of a corpus in folds, the rows of the other folds are passed over."""
        if not task.measured and task.name not in self.responses:
            return [""] * len(utterances)
        rows, wanted = self.responses.get(task.name, []), [utterance.id for utterance in utterances]
        if task.in_folds:
            rows = [row for row in rows if row[0] in set(wanted)]
        found = Counter(name for name, _ in rows)
        for faults, what, cure in (
            (sorted(set(found) - set(wanted)), "rows with ids that the manifest lacks", "take them out"),
            (sorted(set(wanted) - set(found)), f"of {len(wanted)} utterances without an answer", "add a row for each"),
            (sorted(i for i in found if found[i] > 1), "ids with more than one answer", "keep one row of each"),
        ):
            if faults:
                raise StudyError(
                    f"{self.path}: task {task.name}: {len(faults)} {what}, the first is {faults[0]}; {cure}"
                )
        responses = dict(rows)
        return [responses[name] for name in wanted]


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
    """The system of that name, from the products of the pipeline and for the training seed of the study.

    Beside the cascades named here there are those of `classifiers`, what is trained as one of `semantic` or
    `variants`, and what `external` names with its file, all in params.yaml.
    """
    llm, root = study.read("foundation/llm"), study.read("manifests").parent
    size = {"batch_size": study.settings.batch_size}
    match name:
        case "text+llm":
            return Cascade(llm, transcripts, **size)
        case "whisper+llm":
            return Cascade(llm, Transcripts(study.read("transcripts")).words, **size)
        case "gold+llm":
            return Cascade(llm, transcripts, labels, **size)
        case "random+llm":
            return Cascade(llm, transcripts, random_emotions(study.seed), **size)
    named = {kind: study.params.get(kind) or {} for kind in (*RUNS.values(), "external")}
    if name in named["external"]:
        return External(study.root / named["external"][name])
    kind = next((kind for kind in named if name in named[kind]), None)
    if kind is None:
        raise StudyError(f"params.yaml: no {name!r} in {', '.join(named)}; add it there, or ask for another system")
    model = study.read(f"models/seed{study.train_seed}/{name}")
    if kind == RUNS["classifier"]:
        from blsp_core.training.ser_classifier import Classifier

        return Cascade(llm, Transcripts(study.read("transcripts")).words, Classifier(model, root).emotions, **size)
    trained_by = resolve(study.params, "stage2", study.scale, name) if kind == RUNS["stage2"] else {}
    return Hearing(model, root, **size, has_head=trained_by.get("emotion_weight", 0) > 0)
