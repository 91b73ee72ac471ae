"""Who scores replies: a chat LLM behind an endpoint or on this machine; at toy scales the grammar of the toy language.

Every judge has a name and two methods. `mark` gives each reply its marks for quality and empathy, shares in 0..1, or
None where the judge refused or its verdict could not be read. `prefer` says which of two replies is better; an LLM is
asked in both orders. A verdict that is missing is counted as missing, never guessed.

The paper's prompts for its GPT-4 judge are not published; these are the study's. Quality and empathy are two separate
questions, so that a kind answer does not count as a good one. The judge is given the speaker's true emotion, which it
cannot hear, for empathy and for preferences only.
"""

import hashlib
import importlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from blsp_core.data.manifest import Utterance, read_jsonl, write_jsonl

WIN, TIE, LOSS = "win", "tie", "loss"
MARKED, REFUSED, UNPARSED = "marked", "refused", "unparsed"
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
        """From an utterance and the earlier turns of its dialogue."""
        turns = [("assistant", turn) if isinstance(turn, str) else ("user", turn.text) for turn in utterance.turns]
        return cls(tuple(turns), utterance.emotion)

    @classmethod
    def of_row(cls, row: dict) -> "Asked":
        """From a row of a predictions file."""
        turns = row.get("turns") or [("user", row["text"])]
        return cls(tuple((role, words) for role, words in turns), row["reference"])

    def __str__(self) -> str:
        return "\n".join(f"{role}: {words}" for role, words in self.turns)


@dataclass(frozen=True)
class Preference:
    """Of two replies: win where the first is better, loss where the second is, tie; None without a verdict.

    `flipped`: the two orders gave different verdicts, which counts as a tie.
    """

    outcome: str | None
    flipped: bool = False


class Judge(Protocol):
    name: str

    def mark(self, asked: list[Asked], replies: list[str]) -> list[dict]:
        """For each reply the fields of its row in a predictions file, `quality` and `empathy` among them."""

    def prefer(self, first: list[dict], second: list[dict]) -> list[Preference | str]:
        """For each pair of rows, replies of two systems to the same, whether the first is better."""


class ChatJudge:
    """An LLM as judge. `chat` answers chats at temperature 0: `Endpoint(...).chat`, or that of a `LocalChat`.

    Marks of 0 to 10 become shares. Quality and empathy are asked for in separate calls.
    """

    def __init__(self, name: str, chat: Chat):
        self.name, self.chat = name, chat

    def mark(self, asked: list[Asked], replies: list[str]) -> list[dict]:
        questions = [
            prompt.format(conversation=one, emotion=one.emotion, reply=reply)
            for prompt in (QUALITY, EMPATHY)
            for one, reply in zip(asked, replies, strict=True)
        ]
        verdicts = [read_mark(verdict) for verdict in self._ask(questions)]
        return [
            {"judge": self.name, "quality": q, "quality_verdict": how_q, "empathy": e, "empathy_verdict": how_e}
            for (q, how_q), (e, how_e) in zip(verdicts[: len(asked)], verdicts[len(asked) :], strict=True)
        ]

    def prefer(self, first: list[dict], second: list[dict]) -> list[Preference]:
        straight = [self._pair(a, b) for a, b in zip(first, second, strict=True)]
        swapped = [self._pair(b, a) for a, b in zip(first, second, strict=True)]
        chosen = [read_choice(verdict) for verdict in self._ask(straight + swapped)]
        one = [{"A": WIN, "B": LOSS, "C": TIE}.get(choice) for choice in chosen[: len(first)]]
        other = [{"A": LOSS, "B": WIN, "C": TIE}.get(choice) for choice in chosen[len(first) :]]
        return [both_orders(*orders) for orders in zip(one, other, strict=True)]

    def _pair(self, a: dict, b: dict) -> str:
        asked = Asked.of_row(a)
        told = {"conversation": asked, "emotion": asked.emotion, "first": a["response"], "second": b["response"]}
        return PREFERENCE.format(**told)

    def _ask(self, questions: list[str]) -> list[str]:
        system = {"role": "system", "content": SYSTEM}
        return self.chat([[system, {"role": "user", "content": question}] for question in questions])


def both_orders(one: str | None, other: str | None) -> Preference:
    """The verdicts in both orders, as seen by the first reply, made one: a win or loss only when both agree."""
    if one is None or other is None:
        return Preference(None)
    return Preference(one if one == other else TIE, flipped=one != other)


_REFUSAL = re.compile(
    r"\b(?:i(?:'m| am) (?:sorry|unable|not able)|i (?:can(?:no|')t|cannot|won't|will not)|as an ai)\b"
)


def read_mark(verdict: str) -> tuple[float | None, str]:
    """The mark of a verdict as a share in 0..1, and whether it is marked, refused or unparsed; None without a mark.

    A verdict holds one number of 0 to 10 in double brackets; two that differ, or one beyond 10, cannot be read. An
    empty verdict is a refusal.
    """
    found = {float(number) for number in re.findall(r"\[\[\s*(\d+(?:\.\d+)?)\s*\]\]", verdict)}
    if len(found) == 1 and max(found) <= 10:
        return found.pop() / 10, MARKED
    refused = not found and (not verdict.strip() or _REFUSAL.search(verdict.lower().replace("’", "'")))
    return None, REFUSED if refused else UNPARSED


def read_choice(verdict: str) -> str | None:
    """A, B or C (neither) of a pairwise verdict; None where it names none, or several."""
    found = set(re.findall(r"\[\[\s*([ABC])\s*\]\]", verdict))
    return found.pop() if len(found) == 1 else None


class LocalChat:
    """A chat LLM on this machine, greedy. Replies are kept in `cache`, one file each, named by model and chat.

    model: a hub name or a folder. It is loaded when the first reply is wanted that is not in the cache.
    """

    def __init__(self, model: str | Path, cache: Path, max_new_tokens: int = 256, batch_size: int = 8):
        self.model, self.cache = str(model), Path(cache)
        self.max_new_tokens, self.batch_size = max_new_tokens, batch_size

    def chat(self, chats: list[list[dict]]) -> list[str]:
        places = [self.cache / f"{self._key(chat)}.json" for chat in chats]
        missing = {place: chat for place, chat in zip(places, chats, strict=True) if not place.is_file()}
        if missing:
            for (place, chat), reply in zip(missing.items(), self._answer([*missing.values()]), strict=True):
                write_jsonl(place, [{"model": self.model, "chat": chat, "reply": reply}])
        return [read_jsonl(place)[0]["reply"] for place in places]

    def _key(self, chat: list[dict]) -> str:
        content = json.dumps([self.model, self.max_new_tokens, chat], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    def _answer(self, chats: list[list[dict]]) -> list[str]:
        from blsp_core.inference import llm

        return [one.text for one in llm.answer(*llm.load(self.model), chats, self.max_new_tokens, self.batch_size)]


def load(model: str, base_url: str, cache: Path) -> Judge | None:
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
    return ChatJudge(model, LocalChat(model, cache).chat)
