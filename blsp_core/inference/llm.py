"""Asking a causal LLM in text: chats in, replies out."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from accelerate import PartialState
from tqdm.auto import tqdm
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Answer:
    """A reply and whether the token limit cut it short."""

    text: str
    early_stop: bool


def chat(system: str, user: str) -> list[dict]:
    """One question in chat form."""
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def precision() -> torch.dtype:
    """Of what is read and does not learn: bfloat16 on a GPU that computes in it, float32 elsewhere."""
    return torch.bfloat16 if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else torch.float32


def load(source) -> tuple[torch.nn.Module, PreTrainedTokenizerBase]:
    """A causal LLM from a folder or the hub, ready to answer, and its tokenizer."""
    model = AutoModelForCausalLM.from_pretrained(source, dtype=precision())
    return ready(model), AutoTokenizer.from_pretrained(source)


def ready(model: torch.nn.Module) -> torch.nn.Module:
    """The model in evaluation mode, on the device that accelerate chooses: a GPU where there is one."""
    return model.to(PartialState().device).eval()


@torch.no_grad()
def answer(model, tokenizer, chats: list[list[dict]], max_new_tokens: int, batch_size: int) -> list[Answer]:
    """The LLM's greedy replies to the chats, in their order. Rows of like length share a batch."""
    prompts = [
        tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=True, return_dict=False)
        for chat in chats
    ]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    answers: list[Answer | None] = [None] * len(prompts)
    for rows in _batches(order, batch_size):
        batch = tokenizer.pad({"input_ids": [prompts[i] for i in rows]}, padding_side="left", return_tensors="pt")
        batch = batch.to(model.device)
        ids = model.generate(**batch, max_new_tokens=max_new_tokens, do_sample=False)[:, batch["input_ids"].shape[1] :]
        for i, new in zip(rows, ids, strict=True):
            answers[i] = decode(tokenizer, new)
    return answers


def decode(tokenizer, ids: torch.Tensor) -> Answer:
    """The text of generated ids up to the end of the turn; without one, the limit has cut it short."""
    ended = ids == tokenizer.eos_token_id
    length = int(ended.long().argmax()) if ended.any() else len(ids)
    return Answer(tokenizer.decode(ids[:length], skip_special_tokens=True).strip(), not bool(ended.any()))


def _batches(order: list[int], size: int) -> Iterable[list[int]]:
    starts = range(0, len(order), size)
    return (order[start : start + size] for start in tqdm(starts, unit="batch"))
