"""What the miniature LLM is raised on: the grammar, under the study's own instructions, in chat form.

A real LLM knows how a feeling shows in writing; the miniature learns it here, from text alone. The tone of a sentence
is spelled out (a cue), marked (an emoji anywhere), told (in brackets), blended (the emoji's embedding added onto the
words, as a voice lies over the words it speaks, and often a second one, fainter), or absent: then the tone is neutral.
One tone, read by many instructions, is what lets speech that learnt one instruction be understood under the others.
"""

import random
from dataclasses import dataclass

from blsp_core.data import prompts
from blsp_core.data.manifest import EMOTIONS
from blsp_core.inference.llm import chat
from blsp_core.toy import grammar
from blsp_core.toy.languages import LANGUAGES, draw_foreign
from blsp_core.toy.lexicon import INTERJECTIONS, MARKERS

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
    "dialogue": [""],
}
SHARES = {
    "continue": 0.13,
    "continue_emotion": 0.10,
    "continue_conveyed": 0.12,
    "identify": 0.09,
    "repeat": 0.12,
    "feeling": 0.04,
    "reply": 0.09,
    "empathy": 0.11,
    "dialogue": 0.20,
}
GUESTS = 0.02  # share of sentences from outside the miniature
FOREIGN = 0.2  # share of foreign sentences where what is asked can be answered without understanding them
WRITTEN = 0.5  # share of dialogues that are read as they are written: there a turn is half as long as in speech
FOREIGN_TASKS = ("identify", "feeling", "repeat")
TONE_SOURCES = {"none": 0.30, "cue": 0.27, "marker": 0.08, "told": 0.10, "blend": 0.25}


@dataclass
class Turn:
    """What was said before; `blend` as in an Example."""

    role: str
    text: str
    blend: str = ""


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
    earlier: tuple[Turn, ...] = ()
    written: bool = False  # to be read as it is written, not as if it were spoken

    @property
    def chat(self) -> list[dict]:
        """What the LLM is asked, in text alone."""
        first, last = chat(self.system, self.instruction + self.sentence)
        return [first, *({"role": turn.role, "content": turn.text} for turn in self.earlier), last]


def draw_example(
    rng: random.Random, split: str, task: str | None = None, source: str | None = None, paper_wording: bool = False
) -> Example:
    """A random exchange on sentences of the split; task and tone source are drawn by their shares unless given.

    With `paper_wording` the instruction is always the first of its `WORDINGS`.
    """
    task = task or _weighted(rng, SHARES)
    source = source or _weighted(rng, TONE_SOURCES)
    tone = "neutral" if source == "none" else rng.choice(EMOTIONS)
    cue_tone, earlier = tone if source == "cue" else None, ()
    if task == "dialogue":
        sentence, earlier = _dialogue(rng, split, cue_tone)
    elif split == "train" and rng.random() < GUESTS:
        sentence = grammar.draw_guest(rng, cue_tone)
    elif split == "train" and task in FOREIGN_TASKS and source != "cue" and rng.random() < FOREIGN:
        sentence = draw_foreign(rng, rng.choice(list(LANGUAGES)), split)
    else:
        sentence = grammar.draw_sentence(rng, split, rng.random() < _REQUESTS.get(task, 0.3), cue_tone)
    text, blend = _toned(rng, sentence.text, source, tone)
    system = _SYSTEMS.get(task) or rng.choice([prompts.SYSTEM, prompts.SYSTEM_EMPATHY])
    asked = rng.choice(EMOTIONS) if rng.random() < 0.5 else tone
    instruction = rng.choice(WORDINGS[task][:1] if paper_wording else WORDINGS[task]).format(emotion=asked)
    answer = _answer(rng, task, sentence, tone, asked)
    written = (task == "dialogue" and rng.random() < WRITTEN) or source == "told"  # in brackets: no voice could say it
    return Example(task, system, instruction, text, answer, tone, sentence, blend, earlier, written)


def _dialogue(rng: random.Random, split: str, cue_tone: str | None) -> tuple[grammar.Sentence, tuple[Turn, Turn]]:
    """The last sentence of a dialogue and the turns before it. The first always shows a tone of its own, which misleads
    whoever reads it as that of the last."""
    source = _weighted(rng, {name: share for name, share in TONE_SOURCES.items() if name != "none"})
    tone = rng.choice(EMOTIONS)
    dialogue = grammar.draw_dialogue(rng, split, tone, tone if source == "cue" else None, cue_tone)
    first = Turn("user", *_toned(rng, dialogue.first.text, source, tone))
    return dialogue.last, (first, Turn("assistant", dialogue.reply))


def _toned(rng: random.Random, text: str, source: str, tone: str) -> tuple[str, str]:
    """The text as the source shows its tone, and the marker to blend it with; a cue is in the text already."""
    match source:
        case "marker":
            return mark(rng, text, tone), ""
        case "told":
            return prompts.TOLD.format(emotion=tone) + text, ""
        case "blend":
            return text, MARKERS[tone]
    return text, ""


def mark(rng: random.Random, text: str, tone: str) -> str:
    """The text with one to three markers of the tone between its words."""
    words = text.split()
    for _ in range(rng.randint(1, 3)):
        words.insert(rng.randint(0, len(words)), MARKERS[tone])
    return " ".join(words)


_REQUESTS = {"reply": 0.85, "empathy": 0.85}
_SYSTEMS = {"reply": prompts.SYSTEM, "empathy": prompts.SYSTEM_EMPATHY, "dialogue": prompts.SYSTEM_EMPATHY}


def _answer(rng: random.Random, task: str, sentence: grammar.Sentence, tone: str, asked: str) -> str:
    match task:
        case "continue" | "continue_conveyed":
            return grammar.continuation(rng, sentence, tone)
        case "continue_emotion":
            return grammar.continuation(rng, sentence, asked)
        case "identify":
            return grammar.name_of_tone(tone)
        case "repeat":
            return sentence.text
        case "feeling":
            return f"{INTERJECTIONS[tone]} {tone}"
        case "reply":
            return grammar.plain_reply(rng, sentence)
        case "empathy" | "dialogue":
            return grammar.empathetic_reply(rng, sentence, tone)
    raise ValueError(f"no task {task!r}")


def _weighted(rng: random.Random, shares: dict[str, float]) -> str:
    return rng.choices(list(shares), weights=list(shares.values()))[0]
