"""The LLM writes its own targets: continuations of what was said, plain for stage 1, in the label's tone for 2."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from blsp_core.data import prompts
from blsp_core.data.manifest import Utterance, as_row, of_row
from blsp_core.errors import StudyError
from blsp_core.inference.endpoint import Endpoint
from blsp_core.inference.llm import answer, chat, ready
from blsp_core.inference.llm import load as load_llm

MIN_SECONDS, MAX_SECONDS = 1.0, 30.0
# An LLM that declines, or talks about itself, has not continued the sentence (after the released noise filter's idea).
REFUSAL = re.compile(r"\b(as an ai|language model|i'm sorry, but|i am sorry, but|i cannot|i can't assist)\b", re.I)


def write_continuations(
    llm,
    tokenizer,
    utterances: list[Utterance],
    *,
    emotional: bool,
    writer: str,
    max_new_tokens: int,
    batch_size: int,
) -> list[dict]:
    """Rows of the manifest with `instruction`, `output`, `early_stop` (the token limit cut it), `writer`.

    `emotional`: the LLM is told the utterance's emotion (paper §3.2); otherwise it continues in a coherent style.
    Raises StudyError when an utterance has no label that the instruction needs.
    """
    instructions = [_instruction(utterance, emotional) for utterance in utterances]
    answers = answer(ready(llm), tokenizer, _chats(instructions, utterances), max_new_tokens, batch_size)
    return _rows(utterances, instructions, answers, writer)


def second_llm(root: Path, name: str) -> Path:
    """The folder of the LLM that the foundation raised beside the study's own. root: data/<scale>. Raises StudyError
    when it raised none."""
    folder = root / name
    if not folder.is_dir():
        raise StudyError(
            f"continuations.other_writer names {name}, which is not in {root}: foundation.other_steps is 0, or none "
            "is called so; raise one by other_steps (400 at mini), or set other_writer: null"
        )
    return folder


def write_elsewhere(
    other: Mapping[str, str], utterances: list[Utterance], *, cache: Path, max_new_tokens: int, batch_size: int
) -> list[dict]:
    """Emotional rows as of `write_continuations`, written by another LLM: `model`, a folder or hub name, or what is
    called so at `base_url`, an OpenAI-compatible address whose replies are kept in `cache`."""
    if other.get("base_url"):
        return ask_for_continuations(
            Endpoint(other["base_url"], other["model"], cache, max_tokens=max_new_tokens), utterances
        )
    llm, tokenizer = load_llm(other["model"])
    manner = {"emotional": True, "max_new_tokens": max_new_tokens, "batch_size": batch_size}
    return write_continuations(llm, tokenizer, utterances, writer="other", **manner)


def ask_for_continuations(endpoint: Endpoint, utterances: list[Utterance]) -> list[dict]:
    """Emotional rows as of `write_continuations`, written by an LLM behind an address that is asked the very same.
    `refused`: it declined."""
    instructions = [_instruction(utterance, True) for utterance in utterances]
    answers = endpoint.replies(_chats(instructions, utterances))
    rows = _rows(utterances, instructions, answers, endpoint.model)
    return [{**row, "refused": reply.refused} for row, reply in zip(rows, answers, strict=True)]


def write_repeats(
    llm, tokenizer, utterances: list[Utterance], *, writer: str, max_new_tokens: int, batch_size: int
) -> list[dict]:
    """Rows as of `write_continuations` in which the LLM says the sentence again. Ours, not the paper's: a second task
    keeps the speech embeddings from meaning "continue" by themselves, whatever the instruction asks."""
    instructions = [prompts.REPEAT] * len(utterances)
    answers = answer(ready(llm), tokenizer, _chats(instructions, utterances), max_new_tokens, batch_size)
    return _rows(utterances, instructions, answers, writer)


def utterances(rows: Iterable[dict]) -> list[Utterance]:
    """The utterances that rows were written for, one a row."""
    return [of_row(row) for row in rows]


def _instruction(utterance: Utterance, emotional: bool) -> str:
    if not emotional:
        return prompts.CONTINUE
    if not utterance.emotion:
        raise StudyError(f"{utterance.id}: has no emotion label, and stage 2 needs one; drop the row or label it")
    return prompts.CONTINUE_EMOTION.format(emotion=utterance.emotion)


def _chats(instructions: list[str], utterances: list[Utterance]) -> list[list[dict]]:
    return [chat(prompts.SYSTEM, i + u.text) for i, u in zip(instructions, utterances, strict=True)]


def _rows(utterances: list[Utterance], instructions: list[str], answers: list, writer: str) -> list[dict]:
    return [
        {**as_row(u), "instruction": i, "output": a.text, "early_stop": a.early_stop, "writer": writer}
        for u, i, a in zip(utterances, instructions, answers, strict=True)
    ]


def fault(row: dict) -> str | None:
    """Why a continuation cannot serve as a target; None when it can."""
    if not MIN_SECONDS <= row["duration"] <= MAX_SECONDS:
        return f"duration outside {MIN_SECONDS:.0f}-{MAX_SECONDS:.0f} s"
    if row.get("refused"):
        return "refusal"
    if not row["output"].strip():
        return "empty"
    if REFUSAL.search(row["output"]):
        return "refusal"
    repeated = row["output"].strip().lower() == row["text"].strip().lower()
    if row["instruction"] == prompts.REPEAT:
        return None if repeated else "does not repeat the sentence"
    if row["output"].strip().lower().startswith(row["text"].strip().lower()):
        return "repeats the sentence"
    return None


def clean(rows: Iterable[dict], check: Callable[[dict], str | None] = fault) -> tuple[list[dict], list[dict]]:
    """Rows that can serve as targets, and the others with the `reason` they cannot."""
    kept, rejected = [], []
    for row in rows:
        reason = check(row)
        if reason:
            rejected.append({**row, "reason": reason})
        else:
            kept.append(row)
    return kept, rejected


def reasons(rejected: list[dict]) -> dict[str, int]:
    """How many were rejected for each reason."""
    return dict(Counter(row["reason"] for row in rejected))
