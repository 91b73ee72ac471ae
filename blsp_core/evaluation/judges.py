"""Who scores replies: a chat LLM behind an endpoint or on this machine; at toy scales the grammar of the toy language.

Every judge has a name and two methods. `mark` takes what was said (`Asked`) and the replies, and gives each reply the
fields of its row in a predictions file: quality and empathy, shares in 0..1, or None where the judge refused or its
verdict could not be parsed. `prefer` takes rows of two systems on the same dialogues, and gives the outcome of each
pair for the first; an LLM judges both orders. A verdict that is missing is counted as missing, never guessed.

The paper's prompts for its GPT-4 judge are not published; these are the study's. Quality and empathy are two separate
questions, so that a kind answer does not count as a good one. The judge is given the speaker's true emotion, which it
has no access to, for empathy and for preferences only.
"""

import hashlib
import importlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from blsp_core.data.manifest import Utterance, read_jsonl, write_jsonl
from blsp_core.errors import StudyError

WIN, TIE, LOSS = "win", "tie", "loss"
FLIPPED = "flipped"  # the verdict changed with the order of the replies, which counts as a tie
BOTH_ORDERS = {("A", "B"): WIN, ("B", "A"): LOSS, ("C", "C"): TIE}  # of choices
FIRST = 20  # verdicts of which one at least must be readable, before the rest is asked for
Chat = Callable[[list[list[dict]]], list[str]]  # chats in, one reply each

SYSTEM = "You are a careful and impartial judge of replies that a voice assistant gave to what a person said aloud."
QUALITY = """What was said:
{conversation}

The assistant's reply:
{reply}

How good is the reply's content? Consider only whether it understands what was asked, answers it, and is correct, clear
and complete. Leave its warmth or tone out of account. Neither length nor style earns marks of its own.
Explain your judgement in one or two sentences. Then give a whole number from 0 (of no use) to 10 (could not be better)
on the last line, in double brackets: [[number]]"""
EMPATHY = """What was said:
{conversation}

The voice of the last turn sounded {emotion}.

The assistant's reply:
{reply}

How well does the reply meet the emotion of that voice? Consider only whether it takes notice of that emotion and
answers it as a considerate person would; to a neutral voice, that is without reading an emotion into it. Leave the
usefulness of its content out of account. Neither length nor style earns marks of its own.
Explain your judgement in one or two sentences. Then give a whole number from 0 (ignores or misreads the emotion) to 10
(could not be better) on the last line, in double brackets: [[number]]"""
PREFERENCE = """What was said:
{conversation}

The voice of the last turn sounded {emotion}.

Reply A:
{first}

Reply B:
{second}

Which reply is better, all in all? A good reply takes up what was said in the earlier turns, helps with it, and meets
the emotion of the voice. Help that is wrong or misses the point is not made up for by warmth. The order in which the
replies stand, and their length, mean nothing.
Explain your judgement in one or two sentences. Then write on the last line [[A]] if reply A is better, [[B]] if reply B
is better, or [[C]] if neither is."""


@dataclass(frozen=True)
class Asked:
    """What a reply answers: the turns so far in words, the last one the user's, and the emotion of its voice."""

    turns: tuple[tuple[str, str], ...]  # (role, words) each: user or assistant
    emotion: str

    @classmethod
    def of(cls, utterance: Utterance) -> "Asked":
        turns = [("assistant", turn) if isinstance(turn, str) else ("user", turn.text) for turn in utterance.turns]
        return cls(tuple(turns), utterance.emotion)

    @classmethod
    def of_row(cls, row: dict) -> "Asked":
        turns = row.get("turns") or [("user", row["text"])]
        return cls(tuple((role, words) for role, words in turns), row["reference"])

    def __str__(self) -> str:
        return "\n".join(f"{role}: {words}" for role, words in self.turns)


class ChatJudge:
    """An LLM as judge. `chat` answers chats at temperature 0: `Endpoint(...).chat`, or that of a `LocalChat`.

    Marks of 0 to 10 become shares. Quality and empathy are asked for in separate calls. Raises StudyError when none of
    the first 20 verdicts on a task can be read.
    """

    def __init__(self, name: str, chat: Chat):
        self.name, self.chat = name, chat

    def mark(self, asked: list[Asked], replies: list[str]) -> list[dict]:
        pairs = list(zip(asked, replies, strict=True))
        questions = [
            prompt.format(conversation=one, emotion=one.emotion, reply=reply)
            for one, reply in pairs
            for prompt in (QUALITY, EMPATHY)
        ]
        marks = iter(self._ask(questions, read_mark))
        both = zip(marks, marks, strict=True)
        return [{"judge": self.name, "quality": quality, "empathy": empathy} for quality, empathy in both]

    def prefer(self, first: list[dict], second: list[dict]) -> list[str | None]:
        questions = [
            PREFERENCE.format(
                conversation=Asked.of_row(a), emotion=a["reference"], first=one["response"], second=other["response"]
            )
            for a, b in zip(first, second, strict=True)
            for one, other in ((a, b), (b, a))
        ]
        chosen = iter(self._ask(questions, read_choice))
        pairs = zip(chosen, chosen, strict=True)  # of each pair in its order, and swapped
        return [None if None in pair else BOTH_ORDERS.get(pair, FLIPPED) for pair in pairs]

    def _ask(self, questions: list[str], read: Callable[[str], object]) -> list:
        """What is read in the judge's verdicts, in the order of the questions; None where nothing can be."""
        system = {"role": "system", "content": SYSTEM}
        chats = [[system, {"role": "user", "content": question}] for question in questions]
        first = self.chat(chats[:FIRST])
        if first and all(read(verdict) is None for verdict in first):
            raise StudyError(
                f"evaluation.judge.model: none of the first {len(first)} verdicts of {self.name} can be read, one is "
                f"{first[0][-200:]!r}; wanted is a last line as [[7]], or [[A]] of two replies: choose another judge"
            )
        return [read(verdict) for verdict in first + (self.chat(chats[FIRST:]) if len(chats) > FIRST else [])]


def read_mark(verdict: str) -> float | None:
    """The mark of a verdict as a share in 0..1; None unless it holds one number of 0 to 10 in double brackets."""
    found = {float(number) for number in re.findall(r"\[\[\s*(\d+(?:\.\d+)?)\s*\]\]", verdict)}
    return found.pop() / 10 if len(found) == 1 and max(found) <= 10 else None


def read_choice(verdict: str) -> str | None:
    """A, B or C (neither) of a pairwise verdict; None where it names none, or several."""
    found = set(re.findall(r"\[\[\s*([ABC])\s*\]\]", verdict))
    return found.pop() if len(found) == 1 else None


class LocalChat:
    """A chat LLM on this machine, greedy. Replies are kept in `cache`, one file each, named by model and chat.

    model: a hub name, with @revision or not, or a folder. It is loaded when the first reply is wanted that is not in
    the cache.
    """

    max_new_tokens, batch_size = 256, 8

    def __init__(self, model: str | Path, cache: Path):
        self.model, self.cache = str(model), Path(cache)

    def chat(self, chats: list[list[dict]]) -> list[str]:
        texts = (json.dumps([self.model, self.max_new_tokens, chat], sort_keys=True) for chat in chats)
        places = [self.cache / f"{hashlib.sha256(text.encode()).hexdigest()}.json" for text in texts]
        missing = {place: chat for place, chat in zip(places, chats, strict=True) if not place.is_file()}
        if missing:
            self._answer(list(missing.items()))
        return [read_jsonl(place)[0]["reply"] for place in places]

    @cached_property
    def loaded(self) -> tuple:
        from blsp_core.inference import llm

        return llm.load(self.model)

    def _answer(self, missing: list[tuple[Path, list[dict]]]) -> None:
        from blsp_core.inference import llm

        for start in range(0, len(missing), 8 * self.batch_size):  # written as they come
            places, chats = zip(*missing[start : start + 8 * self.batch_size], strict=True)
            replies = llm.answer(*self.loaded, list(chats), self.max_new_tokens, self.batch_size)
            for place, chat, reply in zip(places, chats, replies, strict=True):
                write_jsonl(place, [{"model": self.model, "chat": chat, "reply": reply.text}])


def load(model: str, base_url: str, cache: Path):
    """The judge that the settings name. "": none, and replies have no scores; "toy": the grammar of the toy language;
    with `base_url`, the model of that name behind an OpenAI-compatible address; else a chat LLM by its hub name or
    folder. Replies of LLMs are kept below `cache`."""
    if not model:
        return None
    if model == "toy":
        return importlib.import_module("blsp_core.toy.judge").ToyJudge()
    if base_url:
        from blsp_core.inference.endpoint import Endpoint

        return ChatJudge(model, Endpoint(base_url, model, cache).chat)
    from blsp_core.inference.llm import pinned

    source = pinned(model)
    name = Path(source).name if Path(source).is_dir() else source  # no product holds a path of this machine
    return ChatJudge(name, LocalChat(source, cache).chat)
