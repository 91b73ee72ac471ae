"""Are the backbones good enough to build on? The LLM's answers instruction by instruction, the Whisper's words."""

import random

import jiwer

from blsp_core.inference.llm import answer
from blsp_core.toy import instruction_data as diet
from blsp_core.toy.grammar import parse_reply

OBJECT_TASKS = ("continue", "continue_emotion", "continue_conveyed", "reply", "empathy", "dialogue")
TONE_TASKS = ("continue", "continue_emotion", "continue_conveyed", "identify", "empathy", "dialogue")


def examine(model, tokenizer, per_task: int, seed: int, split: str = "test", batch_size: int = 100) -> dict[str, dict]:
    """For each instruction the share of answers with the right object and the right tone, and n.

    The sentences are of the split, the wordings the paper's own; a malformed answer is wrong in both. An instruction
    that has no object (identify) or no tone (reply) has no such share. In a dialogue the object is that of the first
    turn, the tone that of the last.
    """
    report = {}
    for task in diet.SHARES:
        rng = random.Random(f"{seed} {task} {split}")
        sources = [s for s in diet.TONE_SOURCES if s != "blend"]
        examples = [
            diet.draw_example(rng, split, task, rng.choice(sources), paper_wording=True) for _ in range(per_task)
        ]
        answers = [a.text for a in answer(model, tokenizer, [e.chat for e in examples], 40, batch_size)]
        report[task] = {"n": per_task, **_shares(task, examples, answers)}
    return report


def _shares(task: str, examples: list[diet.Example], answers: list[str]) -> dict[str, float]:
    parsed = [parse_reply(text) for text in answers]
    pairs = list(zip(examples, parsed, strict=True))
    shares = {}
    if task in OBJECT_TASKS:
        shares["object"] = _mean(r.well_formed and r.object == e.words.object for e, r in pairs)
    if task in TONE_TASKS:
        shares["tone"] = _mean(r.well_formed and r.tone == parse_reply(e.answer).tone for e, r in pairs)
    if not shares:
        shares["exact"] = _mean(e.answer == text for e, text in zip(examples, answers, strict=True))
    return shares


def _mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)


def examine_words(said: list[str], heard: list[str], groups: dict[str, list[str]]) -> dict:
    """Word error rate over all (`wer`), the share of sentences heard exactly, n, and the rate of every group.

    groups: name -> the group of each sentence; {"tone": [...]} gives `by_tone`, group -> word error rate.
    """
    report = {"wer": jiwer.wer(said, heard), "exact": _mean(a == b for a, b in zip(said, heard, strict=True))}
    for name, members in groups.items():
        rows = {group: [i for i, found in enumerate(members) if found == group] for group in dict.fromkeys(members)}
        rates = {group: jiwer.wer([said[i] for i in r], [heard[i] for i in r]) for group, r in rows.items()}
        report[f"by_{name}"] = rates
    return {**report, "n": len(said)}
