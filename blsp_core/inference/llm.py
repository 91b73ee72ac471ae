"""Batched greedy generation of a causal LLM: chats in, replies out; and one reply as it grows."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import torch
from accelerate.utils import send_to_device
from huggingface_hub import snapshot_download
from torch.nn.functional import cross_entropy
from transformers import AutoTokenizer, PreTrainedTokenizerBase, TextIteratorStreamer

from blsp_core.data.dataset import collate_tokens
from blsp_core.errors import refused
from blsp_core.inference import shards
from blsp_core.inference.batches import GREEDY, backbone_precision, ready, run_in_batches
from blsp_core.inference.greedy import greedy
from blsp_core.model.checkpoint import load_llm
from blsp_core.model.losses import response_rows, response_targets
from blsp_core.model.templates import render


@dataclass(frozen=True)
class Answer:
    """A reply, whether the token limit cut it short, and whether the model or the service declined."""

    text: str
    early_stop: bool = False
    refused: bool = False


def pinned(name: str) -> str:
    """`name@commit` for `name` or `name@revision` on the hub, a folder as it is: what results record."""
    if Path(name).is_dir():
        return name
    name, _, revision = name.partition("@")
    with refused(f"{name}: neither a folder nor a chat LLM on the hub; name one of them"):
        return f"{name}@{Path(snapshot_download(name, revision=revision or None, allow_patterns='config.json')).name}"


def load(source) -> tuple[torch.nn.Module, PreTrainedTokenizerBase]:
    """A causal LLM from a folder, or `name` or `name@revision` on the hub, ready for inference, and its tokenizer."""
    name, _, revision = (str(source), "", "") if Path(source).is_dir() else str(source).partition("@")
    with refused(f"{source}: no chat LLM can be read there; name a folder or a hub name of one"):
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision or "main", trust_remote_code=False)
        llm = ready(load_llm(name, revision or None, backbone_precision()["dtype"]))
    llm.loaded_from = str(source)
    return llm, tokenizer


def answer(
    model, tokenizer, chats: list[list[dict]], max_new_tokens: int, batch_size: int, unfinished: Path | None = None,
    temperature: float = 0.0, seed: int = 0,
) -> list[Answer]:  # fmt: skip
    """The LLM's greedy replies to the chats, in their order; equal chats are answered once. A reply that a chat ends
    with is continued. unfinished: of `run_in_batches`. temperature: above 0, replies are sampled, to equal chats apart,
    and depend on the seed. Raises StudyError where `render` does, before anything is generated."""
    begun = [chat[-1]["role"] == "assistant" for chat in chats]
    ends = [{"continue_final_message": True} if yes else {"add_generation_prompt": True} for yes in begun]
    texts = [render(tokenizer, chat, **end) for chat, end in zip(chats, ends, strict=True)]
    prompts = [tokenizer(text, add_special_tokens=False).input_ids for text in texts]

    def run(batch: list[int]) -> list[dict]:
        inputs = tokenizer.pad({"input_ids": [prompts[i] for i in batch]}, padding_side="left", return_tensors="pt")
        if temperature:
            torch.manual_seed(seed * len(prompts) + batch[0])  # the same after a kill, and in any process
        found, _ = generate(model, tokenizer, inputs.to(model.device), max_new_tokens, temperature)
        return [vars(one) for one in found]

    sampling = {"temperature": temperature, "seed": seed}
    limits = {"max_new_tokens": max_new_tokens, "batch_size": batch_size}
    shards.ahead(load, answer, model, chats, unfinished, **limits, **sampling)
    keys = [[chat, max_new_tokens, *([i, *sampling.values()] if temperature else [])] for i, chat in enumerate(chats)]
    found = run_in_batches(run, [len(ids) for ids in prompts], batch_size, "replies", keys, unfinished)
    return [Answer(**one) for one in found]


def log_probabilities(model, tokenizer, chats: list[list[dict]], replies: list[str], batch_size: int) -> list[float]:
    """The log-probability that the LLM gives to each reply, without its end of turn, after its chat."""
    items = []
    for chat, reply in zip(chats, replies, strict=True):
        text = render(tokenizer, chat, add_generation_prompt=True)
        prompt, ids = (tokenizer(part, add_special_tokens=False).input_ids for part in (text, reply))
        items.append({"text_ids": prompt + ids, "text_labels": [-100] * len(prompt) + ids, "text_prefix": 0})

    def run(batch: list[int]) -> list[float]:
        inputs = send_to_device(collate_tokens([items[i] for i in batch], "text"), model.device)
        labels = inputs["text_labels"]
        logits = model(input_ids=inputs["text_ids"], attention_mask=inputs["text_mask"]).logits
        losses = cross_entropy(response_rows(logits, labels).float(), response_targets(labels), reduction="none")
        return [-float(part.sum()) for part in losses.split((labels != -100).sum(dim=1).tolist())]

    return run_in_batches(run, [len(item["text_ids"]) for item in items], batch_size, "log-probabilities")


def generate(
    model, tokenizer, inputs, max_new_tokens: int, temperature: float = 0.0
) -> tuple[list[Answer], torch.Tensor | None]:
    """Greedy replies to a batch, left-padded, and the emotion logits of the speech in its prompts, as of `greedy`. A
    turn ends at an end token of the tokenizer or of the model's generation settings; penalties in these have no effect.
    """
    ends = end_tokens(model, tokenizer)
    ids, emotions = greedy(model, inputs, max_new_tokens, ends, temperature)
    return [decode(tokenizer, new, ends) for new in ids], emotions


def stream(model, tokenizer, inputs, max_new_tokens: int, temperature: float = 0.0) -> Iterator[str]:
    """The reply to one prompt as it grows: all of its text so far, again with every token. temperature: 0 is greedy.
    Generation stops when the iterator is closed. Raises what `generate` raises."""
    pieces, closed, failed = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True), Event(), []
    settings = GREEDY | ({"do_sample": True, "temperature": temperature} if temperature else {})
    settings |= {"max_new_tokens": max_new_tokens, "eos_token_id": end_tokens(model, tokenizer)}

    def stop(ids, scores, **_):
        return torch.full((len(ids),), closed.is_set(), device=ids.device)

    def work() -> None:
        try:
            with torch.no_grad():
                model.generate(**inputs, **settings, streamer=pieces, stopping_criteria=[stop])
        except Exception as error:
            failed.append(error)
            pieces.end()

    thread, text = Thread(target=work, daemon=True), ""
    thread.start()
    try:
        for piece in pieces:
            text += piece
            yield text
    finally:
        closed.set()
        thread.join()
    if failed:
        raise failed[0]


def end_tokens(model, tokenizer) -> list[int]:
    """The tokens that end a turn: of the tokenizer and of the model's generation settings."""
    own = getattr(model.generation_config, "eos_token_id", None)
    own = own if isinstance(own, list) else [own]
    return sorted({end for end in [*own, tokenizer.eos_token_id] if end is not None})


def decode(tokenizer, ids: torch.Tensor, ends: list[int]) -> Answer:
    """The text of generated ids up to the end of the turn; without one, the limit has cut it short."""
    ended = torch.isin(ids, torch.tensor(ends, device=ids.device))
    length = int(ended.long().argmax()) if ended.any() else len(ids)
    return Answer(tokenizer.decode(ids[:length], skip_special_tokens=True).strip(), not bool(ended.any()))
