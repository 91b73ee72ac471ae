"""What the miniature LLM is raised on: the grammar, under the study's own instructions, in chat form.

A real LLM knows how a feeling shows in writing; the miniature learns it here, from text alone. The tone of a sentence
is spelled out (a cue), marked (an emoji anywhere), told (in brackets), blended (the emoji's embedding added onto the
words, as a voice lies over the words it speaks), or absent: then the tone is neutral. One tone, read by many
instructions, is what lets speech that learnt one instruction be understood under the others.
"""

import random
from dataclasses import dataclass

from blsp_core.speech import grammar
from blsp_core.speech.lexicon import MARKERS
from blsp_core.speech.manifest import EMOTIONS
from blsp_core.study import prompts

# Wordings beside the paper's own, so that an instruction is more than one string.
WORDINGS = {
    "continue": prompts.CONTINUE_WORDINGS,
    "continue_emotion": [prompts.CONTINUE_EMOTION, "Please continue this sentence in a '{emotion}' tone: "],
    "continue_conveyed": prompts.CONTINUE_CONVEYED_WORDINGS,
    "identify": [prompts.IDENTIFY, "Please name the emotion tone of the speech: ", "Which emotion tone is this? "],
    "repeat": [prompts.REPEAT, "Please say this again: "],
    "feeling": ["How does the speaker feel? ", "In one word, the mood of the speaker: "],
    "reply": [""],
    "empathy": [""],
}
SHARES = {
    "continue": 0.14,
    "continue_emotion": 0.12,
    "continue_conveyed": 0.14,
    "identify": 0.14,
    "repeat": 0.17,
    "feeling": 0.05,
    "reply": 0.10,
    "empathy": 0.14,
}
TONE_SOURCES = {"none": 0.30, "cue": 0.27, "marker": 0.10, "told": 0.07, "blend": 0.26}


@dataclass
class Example:
    """One exchange. The user's turn is `instruction` + `sentence`; `blend` adds a marker's embedding onto the words."""

    task: str
    system: str
    instruction: str
    sentence: str
    answer: str
    tone: str
    words: grammar.Sentence
    blend: str = ""


def draw_example(
    rng: random.Random, split: str, task: str | None = None, source: str | None = None, paper_wording: bool = False
) -> Example:
    """A random exchange on sentences of the split; task and tone source are drawn by their shares unless given.

    With `paper_wording` the instruction is always the first of its `WORDINGS`.
    """
    task = task or _weighted(rng, SHARES)
    source = source or _weighted(rng, TONE_SOURCES)
    tone = "neutral" if source == "none" else rng.choice(EMOTIONS)
    sentence = grammar.draw_sentence(
        rng, split, request=rng.random() < _REQUESTS.get(task, 0.3), cue_tone=tone if source == "cue" else None
    )
    text = sentence.text
    if source == "marker":
        text = mark(rng, text, tone)
    elif source == "told":
        text = prompts.TOLD.format(emotion=tone) + text
    system = {"empathy": prompts.SYSTEM_EMPATHY, "reply": prompts.SYSTEM}.get(task) or rng.choice(
        [prompts.SYSTEM, prompts.SYSTEM_EMPATHY]
    )
    asked = rng.choice(EMOTIONS) if rng.random() < 0.5 else tone
    instruction = rng.choice(WORDINGS[task][:1] if paper_wording else WORDINGS[task]).format(emotion=asked)
    answer = _answer(rng, task, sentence, tone, asked)
    return Example(task, system, instruction, text, answer, tone, sentence, MARKERS[tone] if source == "blend" else "")


def mark(rng: random.Random, text: str, tone: str) -> str:
    """The text with one to three markers of the tone between its words."""
    words = text.split()
    for _ in range(rng.randint(1, 3)):
        words.insert(rng.randint(0, len(words)), MARKERS[tone])
    return " ".join(words)


_REQUESTS = {"reply": 0.85, "empathy": 0.85}


def _answer(rng: random.Random, task: str, sentence: grammar.Sentence, tone: str, asked: str) -> str:
    match task:
        case "continue" | "continue_conveyed":
            return grammar.continuation(rng, sentence, tone)
        case "continue_emotion":
            return grammar.continuation(rng, sentence, asked)
        case "identify":
            return grammar.NAMED.format(emotion=tone)
        case "repeat":
            return sentence.text
        case "feeling":
            return tone
        case "reply":
            return grammar.plain_reply(rng, sentence)
        case "empathy":
            return grammar.empathetic_reply(rng, sentence, tone)
    raise ValueError(f"no task {task!r}")


def _weighted(rng: random.Random, shares: dict[str, float]) -> str:
    return rng.choices(list(shares), weights=list(shares.values()))[0]
