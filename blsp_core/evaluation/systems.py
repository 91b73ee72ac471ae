"""The systems that are compared. Each is a class `(study, name)` with one method, `answer(utterances, task)`: one reply
to each utterance, in order, greedily decoded.

A new baseline is a class here and a line in `systems` of params.yaml.
"""

import random
from collections import Counter
from functools import partial
from itertools import cycle
from pathlib import Path

from blsp_core.data import prompts
from blsp_core.data.conditions import names_of
from blsp_core.data.manifest import EMOTIONS, Utterance, read_jsonl
from blsp_core.errors import StudyError
from blsp_core.evaluation.tasks import FOLD, Task, task_list
from blsp_core.inference import llm, speech
from blsp_core.inference.answers import load_model
from blsp_core.inference.asr import read_transcripts
from blsp_core.params import all_runs, resolve

STAGES = {"stage1": "BlspEmo", "stage2": "BlspEmo", "classifier": "ClassifierLLM"}  # the class of what a stage trains


class TextLLM:
    """The LLM reads the true transcripts. Other cascades read other words, or the emotion as well: of every turn of the
    user, in a dialogue."""

    def __init__(self, study, name: str):
        self.llm, self.tokenizer = llm.load(study.read("llm"))
        self.study, self.batch_size = study, study.settings.batch_size

    def words(self, turns: list[Utterance]) -> list[str]:
        """The text of each turn."""
        return [turn.text for turn in turns]

    def emotions(self, turns: list[Utterance]) -> list[str] | None:
        """The emotion of each turn, which the LLM reads before the text; None: the text alone."""
        return None

    def answer(self, utterances: list[Utterance], task: Task) -> list[str]:
        spoken = [turn for utterance in utterances for turn in utterance.spoken]
        words, emotions = self.words(spoken), self.emotions(spoken)
        if emotions is not None:
            words = [prompts.TOLD.format(emotion=e) + text for e, text in zip(emotions, words, strict=True)]
        left, chats = iter(words), []
        for utterance in utterances:
            *turns, last = [turn if isinstance(turn, str) else next(left) for turn in utterance.turns]
            first, last = prompts.chat(task.system, task.instruction + last)
            earlier = zip(cycle(("user", "assistant")), turns)
            chats.append([first, *({"role": role, "content": turn} for role, turn in earlier), last])
        places = self.batch_size, _unfinished(self.study, task)
        return [one.text for one in llm.answer(self.llm, self.tokenizer, chats, task.max_new_tokens, *places)]


def _unfinished(study, task: Task) -> Path:
    """Where the replies to a task are kept until the notebook has ended."""
    return study.checkpoints / f"{task.name}.{task.corpus}.jsonl"


class GoldLLM(TextLLM):
    """The LLM reads the true transcript and the true emotion: the upper limit of a cascade."""

    def emotions(self, turns: list[Utterance]) -> list[str]:
        return [turn.emotion for turn in turns]


class RandomLLM(TextLLM):
    """The LLM reads the true transcript and a random emotion, the same for an utterance in every task."""

    def __init__(self, study, name: str):
        super().__init__(study, name)
        self.seed = study.seed

    def emotions(self, turns: list[Utterance]) -> list[str]:
        return [random.Random(f"{self.seed} {turn.id}").choice(EMOTIONS) for turn in turns]


class WhisperLLM(TextLLM):
    """The LLM reads Whisper's transcripts."""

    def __init__(self, study, name: str):
        super().__init__(study, name)
        self.words = partial(read_transcripts, study.read("transcripts"))


class ClassifierLLM(WhisperLLM):
    """The LLM reads Whisper's transcripts and the emotion that a trained classifier names."""

    def __init__(self, study, name: str):
        from blsp_core.training.ser_classifier import Classifier

        super().__init__(study, name)
        self.emotions = Classifier(study.read(f"models/{name}"), study.folder).emotions


class BlspEmo:
    """A BLSP-Emo, of any stage or variant. `has_head`: its emotion head was trained. `by_head`: for the utterances that
    were answered last, the emotion that the head alone names, and its probability."""

    def __init__(self, study, name: str):
        folder, own = study.read(f"models/{name}"), all_runs(study.params)[name]
        self.model, self.processor = load_model(folder)
        self.study, self.root, self.batch_size = study, study.folder, study.settings.batch_size
        self.has_head = resolve(study.params, own["stage"], name).get("emotion_weight", 0) > 0

    def answer(self, utterances: list[Utterance], task: Task) -> list[str]:
        settings = {name: getattr(task, name) for name in ("system", "instruction", "max_new_tokens")}
        settings |= {"batch_size": self.batch_size, "desc": task.name, "unfinished": _unfinished(self.study, task)}
        found = speech.reply_with_emotion(self.model, self.processor, utterances, self.root, **settings)
        self.by_head = [(one["emotion"], one["share"]) for one in found]
        return [one["reply"] for one in found]


class External:
    """Another program: its answers are a file of JSON lines, {id, task, response}; other fields are ignored."""

    def __init__(self, study, name: str):
        reads, self.responses = study.params["systems"][name]["reads"], {}
        self.path = study.folder / reads
        if not self.path.is_file():
            raise StudyError(f"{self.path}: there is no such file; put the answers of {name} there, or correct `reads`")
        study.read(reads)
        for number, row in enumerate(read_jsonl(self.path), start=1):
            fields = row if isinstance(row, dict) else {}
            missing = [field for field in ("id", "task", "response") if not isinstance(fields.get(field), str)]
            if missing:
                raise StudyError(
                    f"{self.path}, line {number}: no text in {', '.join(missing)}; a row has id, task, response"
                )
            self.responses.setdefault(row["task"], []).append((row["id"], row["response"]))
        known = {task.name for task in task_list(study.settings, altered(name, study))} | {"showcase", "reply"}
        if unknown := self.responses.keys() - known:
            raise StudyError(f"{self.path}: no task {min(unknown)!r}; there are {', '.join(sorted(known))}")

    def answer(self, utterances: list[Utterance], task: Task) -> list[str]:
        """Raises StudyError when utterances are missing, unknown or answered twice; a task that is not measured may be
        left out altogether. Of a corpus in folds, the rows of the other folds are ignored."""
        if not task.measured and task.name not in self.responses:
            return [""] * len(utterances)
        rows, wanted = self.responses.get(task.name, []), [utterance.id for utterance in utterances]
        if FOLD in task.corpus:
            rows = [row for row in rows if row[0] in set(wanted)]
        found = Counter(name for name, _ in rows)
        for faults, what, cure in (
            (found.keys() - wanted, "rows with ids that the manifest lacks", "take them out"),
            (set(wanted) - found.keys(), f"of {len(wanted)} utterances without an answer", "add a row for each"),
            ({i for i in found if found[i] > 1}, "ids with more than one answer", "keep one row of each"),
        ):
            if faults:
                what = f"{len(faults)} {what}, the first is {min(faults)}"
                raise StudyError(f"{self.path}: task {task.name}: {what}; {cure}")
        responses = dict(rows)
        return [responses[name] for name in wanted]


def altered(name: str, study) -> list[str]:
    """The corpora of altered clips that the system of a run, or one that is not trained, is asked for."""
    system = all_runs(study.params).get(name, {}).get("system", name)
    return names_of(study.params["data"]["altered"]) if system in study.settings.altered else []


def load(name: str, study):
    """The system of that name: a run of params.yaml, read from models/<name>, or an entry of its `systems`."""
    run, entry = all_runs(study.params).get(name), (study.params.get("systems") or {}).get(name)
    if run is None and entry is None:
        raise StudyError(f"params.yaml: no {name!r} in runs or systems; add it there, or ask for another system")
    wanted = STAGES.get(run.get("stage")) if run else entry.get("class")
    known = {key: one for key, one in globals().items() if hasattr(one, "answer") and isinstance(one, type)}
    if wanted not in known:
        raise StudyError(f"params.yaml, {name}: no class or stage for {run or entry}; known: {', '.join(known)}")
    return known[wanted](study, name)
