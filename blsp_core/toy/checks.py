"""Checks of the miniature's models: the LLM by instruction, thresholds, and the answers of a trained model."""

import random
from statistics import fmean
from types import SimpleNamespace

from blsp_core.data.emotions import EMOTIONS, parse_emotion
from blsp_core.data.manifest import Utterance
from blsp_core.errors import StudyError
from blsp_core.inference.llm import answer
from blsp_core.toy.grammar import parse_reply
from blsp_core.toy.instruction_data import SHARES, SOURCES, Example, draw_example
from blsp_core.toy.judge import ToyJudge

OBJECT_TASKS = ("continue", "continue_emotion", "continue_conveyed", "reply", "empathy", "dialogue")
EMOTION_TASKS = ("continue", "continue_emotion", "continue_conveyed", "identify", "empathy", "dialogue")


def instruction_accuracy(model, tokenizer, count: int, seed: int, split: str = "test") -> dict[str, dict]:
    """For each instruction, n = `count` and the shares of answers with the right `object` and the right `emotion`.

    Sentences are of the split, prompts the paper's own; a malformed answer is wrong in both. `identify` has no object,
    a plain `reply` no emotion; where the answer is fixed (`repeat`, `feeling`), `exact` is the share of equal answers.
    """
    report = {}
    for task in SHARES:
        rng = random.Random(f"{seed} {task} {split}")
        sources = [source for source in SOURCES if source != "blend"]
        examples = [draw_example(rng, split, task, rng.choice(sources), paper_prompt=True) for _ in range(count)]
        answers = [found.text for found in answer(model, tokenizer, [one.chat for one in examples], 40, 100)]
        report[task] = {"n": count, **_shares(task, examples, answers)}
    return report


def _shares(task: str, examples: list[Example], answers: list[str]) -> dict[str, float]:
    pairs = [(example, parse_reply(text)) for example, text in zip(examples, answers, strict=True)]
    shares = {}
    if task in OBJECT_TASKS:
        shares["object"] = fmean(r.well_formed and r.object == e.words.object for e, r in pairs)
    if task in EMOTION_TASKS:
        shares["emotion"] = fmean(r.well_formed and r.emotion == parse_reply(e.answer).emotion for e, r in pairs)
    return shares or {"exact": fmean(e.answer == text for e, text in zip(examples, answers, strict=True))}


def check_llm(accuracy: dict[str, dict], threshold: float) -> dict[str, float]:
    """The worst instruction's share of right objects and of right emotions.

    accuracy: from `instruction_accuracy`. Raises StudyError when a share is below the threshold, `llm.min_accuracy`.
    """
    worst = {}
    for what in ("object", "emotion"):
        task, share = min(((t, row[what]) for t, row in accuracy.items() if what in row), key=lambda pair: pair[1])
        if share < threshold:
            raise StudyError(
                f"the LLM has the right {what} in {share:.3f} of its answers to the instruction {task!r}, llm."
                f"min_accuracy is {threshold}: too weak for the study; raise llm.training.steps"
            )
        worst[what] = share
    return worst


def check_whisper(wer: float, threshold: float) -> None:
    """Raises StudyError when the word error rate is above the threshold, `whisper.max_wer`."""
    if wer > threshold:
        raise StudyError(
            f"the Whisper's word error rate is {wer:.3f}, whisper.max_wer is {threshold}: too weak for the study; "
            "raise whisper.training.steps or whisper.training.utterances"
        )


def judge_replies(utterances: list[Utterance], replies: list[str]) -> dict:
    """Replies to requests: the shares that are `well_formed`, advise on the right `object`, and open in the speaker's
    `emotion`; the last one `by_emotion`; n. A malformed reply is wrong in all; a question is not advice."""
    asked = [SimpleNamespace(turns=[("user", one.text)], emotion=one.emotion) for one in utterances]
    marks = ToyJudge().mark(asked, replies)
    named = {"well_formed": "well_formed", "object": "quality", "emotion": "empathy"}
    shares = {name: fmean(one[mark] for one in marks) for name, mark in named.items()}
    by_emotion = _by_emotion(utterances, [one["empathy"] for one in marks])
    return {**shares, "by_emotion": by_emotion, "n": len(replies)}


def judge_names(utterances: list[Utterance], answers: list[str]) -> dict:
    """Answers to the question for the emotion: the share that is right as `emotion`, the same `by_emotion`, and how
    often each emotion was `named`; n."""
    named = [parse_emotion(answer) for answer in answers]
    right = [name == utterance.emotion for name, utterance in zip(named, utterances, strict=True)]
    shares = {emotion: named.count(emotion) / len(named) for emotion in EMOTIONS}
    return {"emotion": fmean(right), "by_emotion": _by_emotion(utterances, right), "named": shares, "n": len(answers)}


def _by_emotion(utterances: list[Utterance], right: list[bool]) -> dict[str, float]:
    pairs = list(zip(utterances, right, strict=True))
    return {e: fmean(r for u, r in pairs if u.emotion == e) for e in EMOTIONS if any(u.emotion == e for u, _ in pairs)}
