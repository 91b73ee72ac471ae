"""Checks of the miniature's models: the LLM by instruction, thresholds, and the answers of a trained model."""

import random
from statistics import fmean
from types import SimpleNamespace

from blsp_core.data.emotions import EMOTIONS, parse_emotion
from blsp_core.data.manifest import Utterance
from blsp_core.errors import StudyError
from blsp_core.inference.llm import answer
from blsp_core.toy.grammar import parse_reply
from blsp_core.toy.instruction_data import SHARES, SOURCES, draw_example
from blsp_core.toy.judge import ToyJudge


def instruction_accuracy(model, tokenizer, count: int, seed: int) -> dict[str, dict]:
    """For each instruction, n = `count` and the shares of answers with the right `object` and the right `emotion`.

    Validation sentences, the paper's own prompts; a malformed answer is wrong in both. `identify` has no object, a
    plain `reply` no emotion; where the answer is fixed (`repeat`, `feeling`), `exact` is the share of equal answers.
    """
    report = {}
    for task in SHARES:
        rng = random.Random(f"{seed} {task} validation")
        sources = [source for source in SOURCES if source != "blend"]
        examples = [draw_example(rng, "validation", task, rng.choice(sources), paper_prompt=True) for _ in range(count)]
        answers = [found.text for found in answer(model, tokenizer, [one.chat for one in examples], 40, 100)]
        report[task] = {"n": count, **_shares([one.answer for one in examples], answers)}
    return report


def _shares(wanted: list[str], answers: list[str]) -> dict[str, float]:
    pairs, shares = [[parse_reply(text) for text in pair] for pair in zip(wanted, answers, strict=True)], {}
    for what in ("object", "emotion"):
        if all(right.well_formed and getattr(right, what) for right, _ in pairs):
            shares[what] = fmean(r.well_formed and getattr(r, what) == getattr(right, what) for right, r in pairs)
    return shares or {"exact": fmean(right == text for right, text in zip(wanted, answers, strict=True))}


def check_llm(accuracy: dict[str, dict], threshold: float) -> dict[str, float]:
    """The worst instruction's share of right objects and of right emotions.

    accuracy: from `instruction_accuracy`. Raises StudyError when a share is below the threshold, `llm.min_accuracy`.
    """
    worst = {}
    for what in ("object", "emotion"):
        shares = {task: row[what] for task, row in accuracy.items() if what in row}
        task = min(shares, key=shares.get)
        worst[what] = shares[task]
        if worst[what] < threshold:
            raise StudyError(
                f"the LLM has the right {what} in {worst[what]:.3f} of its answers to the instruction {task!r}, llm."
                f"min_accuracy is {threshold}: too weak for the study; use another "
                "llm.source, or none and more llm.training.steps"
            )
    return worst


def check_whisper(wer: float, threshold: float) -> None:
    """Raises StudyError when the word error rate is above the threshold, `whisper.max_wer`."""
    if wer > threshold:
        raise StudyError(
            f"the Whisper's word error rate is {wer:.3f}, whisper.max_wer is {threshold}: too weak for the study; "
            "use another whisper.source, or none and more whisper.training.steps or whisper.training.utterances"
        )


def judge_replies(utterances: list[Utterance], replies: list[str]) -> dict:
    """Replies to requests: the shares that are `well_formed`, advise on the right `object`, and open in the speaker's
    `emotion`; the last one `by_emotion`; n. A malformed reply is wrong in all; a question is not advice."""
    prompts = [SimpleNamespace(turns=[("user", one.text)], emotion=one.emotion) for one in utterances]
    marks = ToyJudge().mark(prompts, replies)
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
    pairs = list(zip((one.emotion for one in utterances), right, strict=True))
    found = {emotion: [r for name, r in pairs if name == emotion] for emotion in EMOTIONS}
    return {emotion: fmean(values) for emotion, values in found.items() if values}
