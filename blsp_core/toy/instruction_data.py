"""Instruction data for the toy LLM: the toy language under the study's own instructions, as chats.

A pretrained LLM knows how emotion shows in writing; the toy LLM learns it here. The source of a sentence's emotion is
a cue, emojis between the words, a statement in brackets, a blend (the emoji's embedding is added to those of the words,
as speech embeddings will carry words and emotion together) or none, which means neutral. All instructions share these
sources, so that speech aligned under one instruction is understood under the others.
"""

import random
from dataclasses import dataclass

from blsp_core.data import prompts
from blsp_core.data.emotions import EMOTIONS
from blsp_core.data.prompts import chat
from blsp_core.toy import grammar
from blsp_core.toy.lexicon import INTERJECTIONS, LANGUAGES, MARKERS

# Prompt templates of each task. The first is the paper's; more than one, so that a task is not a single string.
PROMPTS = {
    "continue": [prompts.CONTINUE, "Please continue this sentence: ", "Go on from here: "],
    "continue_emotion": [prompts.CONTINUE_EMOTION, "Please continue this sentence in a '{emotion}' tone: "],
    "continue_conveyed": [prompts.CONTINUE_CONVEYED, "Please continue this sentence in the tone it conveys: "],
    "identify": [prompts.IDENTIFY, "Please name the emotion tone of the speech: ", "Which emotion tone is this? "],
    "repeat": [prompts.REPEAT, "Please say this again: "],
    "feeling": ["How does the speaker feel? ", "In one word, the mood of the speaker: "],
    **{task: [""] for task in ("reply", "empathy", "dialogue")},
}
SHARES = {  # of the tasks
    "continue": 0.13, "continue_emotion": 0.10, "continue_conveyed": 0.12, "identify": 0.09, "repeat": 0.12,
    "feeling": 0.04, "reply": 0.09, "empathy": 0.11, "dialogue": 0.20,
}  # fmt: skip
SOURCES = {"none": 0.30, "cue": 0.27, "marker": 0.08, "stated": 0.10, "blend": 0.25}  # of the emotion, with shares
RAVDESS = 0.02  # share of sentences of RAVDESS
FOREIGN = 0.2  # share of foreign sentences in the tasks that need no understanding of them
FOREIGN_TASKS = ("identify", "feeling", "repeat")
WRITTEN = 0.5  # share of dialogues that are read as text: their turns are half as long as in speech
_SYSTEMS = {"reply": prompts.SYSTEM, "empathy": prompts.SYSTEM_EMPATHY, "dialogue": prompts.SYSTEM_EMPATHY}


@dataclass
class Turn:
    """An earlier turn; `blend` as in an Example."""

    role: str
    text: str
    blend: str = ""


@dataclass
class Example:
    """One exchange. The user's turn is `instruction` + `sentence`; `blend`: the marker whose embedding is added."""

    task: str
    system: str
    instruction: str
    sentence: str
    answer: str
    emotion: str
    words: grammar.Sentence
    blend: str = ""
    earlier: tuple[Turn, ...] = ()
    written: bool = False  # read as text, without the noise and the lengthening of speech

    @property
    def chat(self) -> list[dict]:
        """The prompt, in text alone."""
        first, last = chat(self.system, self.instruction + self.sentence)
        return [first, *({"role": turn.role, "content": turn.text} for turn in self.earlier), last]


def draw_example(
    rng: random.Random,
    split: str,
    task: str | None = None,
    source: str | None = None,
    paper_prompt: bool = False,
    other: bool = False,
    blended: float = SOURCES["blend"],
) -> Example:
    """A random exchange on sentences of the split; task and source are drawn by their shares unless given.

    paper_prompt: the first of the task's `PROMPTS` only. other: continuations in the style of the second LLM. blended:
    the share of the source `blend`, relative to those of the others in `SOURCES`; 0: no embeddings are blended.
    """
    sources = SOURCES | {"blend": blended}
    task, source = task or _weighted(rng, SHARES), source or _weighted(rng, sources)
    emotion = "neutral" if source == "none" else rng.choice(EMOTIONS)
    cue_emotion, earlier = emotion if source == "cue" else None, ()
    if task == "dialogue":
        sentence, earlier = _dialogue(rng, split, cue_emotion, sources)
    elif split == "train" and rng.random() < RAVDESS:
        sentence = grammar.draw_ravdess(rng, cue_emotion)
    elif split == "train" and task in FOREIGN_TASKS and source != "cue" and rng.random() < FOREIGN:
        sentence = rng.choice(grammar.foreign_sentences(rng.choice(list(LANGUAGES)), split))
    else:
        request = rng.random() < (0.85 if task in ("reply", "empathy") else 0.3)
        sentence = grammar.draw_sentence(rng, split, request, cue_emotion)
    text, blend = _with_emotion(rng, sentence.text, source, emotion)
    system = _SYSTEMS.get(task) or rng.choice([prompts.SYSTEM, prompts.SYSTEM_EMPATHY])
    named = rng.choice(EMOTIONS) if rng.random() < 0.5 else emotion
    instruction = rng.choice(PROMPTS[task][:1] if paper_prompt else PROMPTS[task]).format(emotion=named)
    answer = _answer(rng, task, sentence, named if task == "continue_emotion" else emotion, other)
    written = (task == "dialogue" and rng.random() < WRITTEN) or source == "stated"
    return Example(task, system, instruction, text, answer, emotion, sentence, blend, earlier, written)


def _weighted(rng: random.Random, shares: dict[str, float]) -> str:
    return rng.choices(list(shares), weights=list(shares.values()))[0]


def _dialogue(
    rng: random.Random, split: str, cue_emotion: str | None, sources: dict[str, float]
) -> tuple[grammar.Sentence, tuple[Turn, Turn]]:
    """The last sentence of a dialogue and the turns before it. The first turn has an independent emotion, a distractor:
    the answer depends on that of the last."""
    source = _weighted(rng, {name: share for name, share in sources.items() if name != "none"})
    emotion = rng.choice(EMOTIONS)
    cue = emotion if source == "cue" else None
    first, reply, last = grammar.draw_dialogue(rng, split, emotion, cue, cue_emotion)
    return last, (Turn("user", *_with_emotion(rng, first.text, source, emotion)), Turn("assistant", reply))


def _with_emotion(rng: random.Random, text: str, source: str, emotion: str) -> tuple[str, str]:
    """The text as the source shows the emotion, and the marker to blend it with; a cue is in the text already."""
    if source == "marker":
        words = text.split()
        for _ in range(rng.randint(1, 3)):
            words.insert(rng.randint(0, len(words)), MARKERS[emotion])
        return " ".join(words), ""
    if source == "stated":
        return prompts.TOLD.format(emotion=emotion) + text, ""
    return text, MARKERS[emotion] if source == "blend" else ""


def _answer(rng: random.Random, task: str, sentence: grammar.Sentence, emotion: str, other: bool) -> str:
    match task:
        case "identify":
            return grammar.name_emotion(emotion)
        case "repeat":
            return sentence.text
        case "feeling":
            return f"{INTERJECTIONS[emotion]} {emotion}"
        case "reply":
            return grammar.plain_reply(rng, sentence)
        case "empathy" | "dialogue":
            return grammar.empathetic_reply(rng, sentence, emotion)
    return grammar.continuation(rng, sentence, emotion, other)
