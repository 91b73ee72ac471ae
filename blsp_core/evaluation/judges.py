"""Who judges a reply: the grammar of the miniature, an LLM behind an endpoint, or an LLM on this machine.

Every judge has the same two methods. `mark` gives each reply its marks for quality and empathy, shares in 0..1, or
None where the judge refused or its verdict could not be read. `prefer` says of pairs of replies which is better, asked
in both orders. A verdict that is not there is counted as missing, never guessed.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from blsp_core.data.manifest import Utterance
from blsp_core.evaluation import judge_prompts
from blsp_core.study.record import write_json
from blsp_core.toy.grammar import object_of, parse_reply

WIN, TIE, LOSS = "win", "tie", "loss"
MARKED, REFUSED, UNPARSED = "marked", "refused", "unparsed"
Chat = Callable[[list[list[dict]]], list[str]]  # chats in, one reply each


@dataclass(frozen=True)
class Asked:
    """What a reply answers: the turns so far in words, the last one the user's, and the tone of its voice."""

    turns: tuple[tuple[str, str], ...]  # (role, words) each: user or assistant
    tone: str

    @classmethod
    def of(cls, utterance: Utterance) -> "Asked":
        """From an utterance and what went before it in its dialogue."""
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
    """Of two replies: win where the first is better, loss where the second is, tie; None where nobody could say.

    `flipped`: the two orders gave different verdicts, which counts as a tie.
    """

    outcome: str | None
    flipped: bool = False


class Judge(Protocol):
    name: str

    def mark(self, asked: list[Asked], replies: list[str]) -> list[dict]:
        """For each reply the fields of its row in a predictions file, `quality` and `empathy` among them."""

    def prefer(self, first: list[dict], second: list[dict]) -> list[Preference]:
        """For each pair of rows, replies of two systems to the same, whether the first is better."""


class Grammar:
    """The judge of the miniature: it parses, and marks with 0 or 1.

    quality 1: a well-formed reply whose advice is about the object asked for, which is named in the first turn. To ask
    for more instead ("please tell me more about the door") is an answer to a statement, and none to a request.
    empathy 1: a well-formed reply that opens in the tone of the last turn.
    Of two replies the one of better quality is preferred; where both are alike in that, the one of more empathy: help
    with the wrong thing is not made up for by its tone. Being the same in both is a tie. The order means nothing to it.
    """

    name = "grammar"

    def mark(self, asked: list[Asked], replies: list[str]) -> list[dict]:
        return [self._mark(one, reply) for one, reply in zip(asked, replies, strict=True)]

    def prefer(self, first: list[dict], second: list[dict]) -> list[Preference]:
        ranks = [[(row["quality"], row["empathy"]) for row in rows] for rows in (first, second)]
        return [Preference(WIN if a > b else LOSS if a < b else TIE) for a, b in zip(*ranks, strict=True)]

    def _mark(self, asked: Asked, response: str) -> dict:
        reply = parse_reply(response)
        advises = (
            len(asked.turns) == 1 or reply.topic is not None
        )  # to ask for more will not do at the end of a dialogue
        well_formed = reply.well_formed and reply.kind == "reply" and advises
        wanted = object_of(asked.turns[0][1])
        return {
            "well_formed": int(well_formed),
            "object": reply.object,
            "tone": reply.tone,
            "quality": int(well_formed and reply.topic is not None and reply.object == wanted),
            "empathy": int(well_formed and reply.tone is not None and reply.tone == asked.tone),
        }


class ChatJudge:
    """An LLM as judge. `chat` answers chats at temperature 0: `Endpoint(...).chat`, or that of a `LocalChat`.

    Marks of 0 to 10 become shares. Quality and empathy are asked for in separate calls.
    """

    def __init__(self, name: str, chat: Chat):
        self.name, self.chat = name, chat

    def mark(self, asked: list[Asked], replies: list[str]) -> list[dict]:
        questions = [
            prompt.format(conversation=one, tone=one.tone, reply=reply)
            for prompt in (judge_prompts.QUALITY, judge_prompts.EMPATHY)
            for one, reply in zip(asked, replies, strict=True)
        ]
        verdicts = [read_mark(said) for said in self._ask(questions)]
        pairs = zip(verdicts[: len(asked)], verdicts[len(asked) :], strict=True)
        return [
            {"judge": self.name, "quality": q, "quality_verdict": how_q, "empathy": e, "empathy_verdict": how_e}
            for (q, how_q), (e, how_e) in pairs
        ]

    def prefer(self, first: list[dict], second: list[dict]) -> list[Preference]:
        pairs = list(zip(first, second, strict=True))
        orders = [[(a, b) for a, b in pairs], [(b, a) for a, b in pairs]]
        questions = [self._pair(a, b) for order in orders for a, b in order]
        chosen = [read_choice(said) for said in self._ask(questions)]
        outcome = {"A": WIN, "B": LOSS, "C": TIE}, {"A": LOSS, "B": WIN, "C": TIE}
        return [
            both_orders(outcome[0].get(one), outcome[1].get(other))
            for one, other in zip(chosen[: len(pairs)], chosen[len(pairs) :], strict=True)
        ]

    def _pair(self, a: dict, b: dict) -> str:
        asked = Asked.of_row(a)
        return judge_prompts.PREFERENCE.format(
            conversation=asked, tone=asked.tone, first=a["response"], second=b["response"]
        )

    def _ask(self, questions: list[str]) -> list[str]:
        system = {"role": "system", "content": judge_prompts.SYSTEM}
        return self.chat([[system, {"role": "user", "content": question}] for question in questions])


def both_orders(one: str | None, other: str | None) -> Preference:
    """The verdicts in both orders, as seen by the first reply, made one: a win or loss only when both agree."""
    if one is None or other is None:
        return Preference(None)
    return Preference(one if one == other else TIE, flipped=one != other)


_REFUSAL = re.compile(
    r"\b(?:i(?:'m| am) (?:sorry|unable|not able)|i (?:can(?:no|')t|cannot|won't|will not)|as an ai)\b"
)


def read_mark(said: str) -> tuple[float | None, str]:
    """The mark of a verdict as a share in 0..1, and whether it is marked, refused or unparsed; None without a mark.

    A verdict holds one number of 0 to 10 in double brackets; two that differ, or one beyond 10, cannot be read. Silence
    is a refusal.
    """
    found = {float(number) for number in re.findall(r"\[\[\s*(\d+(?:\.\d+)?)\s*\]\]", said)}
    if len(found) == 1 and max(found) <= 10:
        return found.pop() / 10, MARKED
    refused = not found and (not said.strip() or _REFUSAL.search(said.lower().replace("’", "'")))
    return None, REFUSED if refused else UNPARSED


def read_choice(said: str) -> str | None:
    """A, B or C (neither) of a pairwise verdict; None where it names none, or several."""
    found = set(re.findall(r"\[\[\s*([ABC])\s*\]\]", said))
    return found.pop() if len(found) == 1 else None


class LocalChat:
    """A chat LLM on this machine, greedy. Replies are kept in `cache`, one file each, named by what was asked of whom.

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
                write_json(place, {"model": self.model, "chat": chat, "reply": reply})
        return [json.loads(place.read_text(encoding="utf-8"))["reply"] for place in places]

    def _key(self, chat: list[dict]) -> str:
        content = json.dumps([self.model, self.max_new_tokens, chat], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    def _answer(self, chats: list[list[dict]]) -> list[str]:
        from blsp_core.inference import llm

        return [one.text for one in llm.answer(*llm.load(self.model), chats, self.max_new_tokens, self.batch_size)]


def load(name: str, url: str, cache: Path) -> Judge:
    """The judge that the settings name: `grammar`; with `url`, the model of that name behind an OpenAI-compatible
    address; else a chat LLM by its hub name or folder. Replies of LLMs are kept below `cache`."""
    if name == Grammar.name:
        return Grammar()
    if url:
        from blsp_core.inference.endpoint import Endpoint

        return ChatJudge(name, Endpoint(url, name, cache).chat)
    return ChatJudge(name, LocalChat(name, cache).chat)
