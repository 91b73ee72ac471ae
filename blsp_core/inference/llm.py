"""Batched greedy generation of a causal LLM: chats in, replies out."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from blsp_core.data.manifest import append_jsonl, read_jsonl, write_jsonl
from blsp_core.data.prompts import chat as chat
from blsp_core.inference.batches import GREEDY, precision, ready, run_in_batches


@dataclass(frozen=True)
class Answer:
    """A reply and whether the token limit cut it short."""

    text: str
    early_stop: bool


def load(source) -> tuple[torch.nn.Module, PreTrainedTokenizerBase]:
    """A causal LLM from a folder or the hub, ready for inference, and its tokenizer."""
    model = AutoModelForCausalLM.from_pretrained(source, dtype=precision())
    return ready(model), AutoTokenizer.from_pretrained(source)


def answer(
    model, tokenizer, chats: list[list[dict]], max_new_tokens: int, batch_size: int, unfinished: Path | None = None
) -> list[Answer]:
    """The LLM's greedy replies to the chats, in their order; equal chats are answered once.

    unfinished: a JSONL file to which every batch is appended. After a kill, a call with the same file continues.
    """
    keys = [hashlib.sha256(json.dumps([chat, max_new_tokens]).encode()).hexdigest() for chat in chats]
    rows = read_jsonl(unfinished, unfinished=True) if unfinished and unfinished.is_file() else []
    if rows:
        write_jsonl(unfinished, rows)  # without a broken last line
    known = {row["key"]: Answer(row["text"], row["early_stop"]) for row in rows}
    missing = {key: chat for key, chat in zip(keys, chats, strict=True) if key not in known}
    names = list(missing)
    prompts = [
        tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=True, return_dict=False)
        for chat in missing.values()
    ]

    def run(batch: list[int]) -> list[Answer]:
        inputs = tokenizer.pad({"input_ids": [prompts[i] for i in batch]}, padding_side="left", return_tensors="pt")
        found = generate(model, tokenizer, inputs.to(model.device), max_new_tokens)
        if unfinished:
            append_jsonl(unfinished, [{"key": names[i], **vars(a)} for i, a in zip(batch, found, strict=True)])
        return found

    found = run_in_batches(run, [len(ids) for ids in prompts], batch_size, "replies")
    known |= dict(zip(names, found, strict=True))
    return [known[key] for key in keys]


def generate(model, tokenizer, inputs, max_new_tokens: int) -> list[Answer]:
    """Greedy replies to a batch, left-padded; penalties in the model's own generation settings have no effect."""
    ends = end_tokens(model, tokenizer)
    ids = model.generate(**inputs, **GREEDY, max_new_tokens=max_new_tokens, eos_token_id=ends)
    return [decode(tokenizer, new, ends) for new in ids[:, inputs["input_ids"].shape[1] :]]


def end_tokens(model, tokenizer) -> list[int]:
    """The ids that end a turn, of the tokenizer and of the model's generation settings."""
    own = getattr(model.generation_config, "eos_token_id", None)
    own = own if isinstance(own, list) else [own]
    return sorted({end for end in [*own, tokenizer.eos_token_id] if end is not None})


def decode(tokenizer, ids: torch.Tensor, ends: list[int] | None = None) -> Answer:
    """The text of generated ids up to the end of the turn; without one, the limit has cut it short."""
    ended = torch.isin(ids, torch.tensor(ends or [tokenizer.eos_token_id], device=ids.device))
    length = int(ended.long().argmax()) if ended.any() else len(ids)
    return Answer(tokenizer.decode(ids[:length], skip_special_tokens=True).strip(), not bool(ended.any()))
