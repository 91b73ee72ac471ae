"""Greedy decoding of a batch in which the tokens that all prompts begin with are read once and finished rows leave.

transformers' `generate` reads these tokens for every row, and computes all rows until the longest reply has ended.
"""

import inspect
from collections.abc import Mapping

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

from blsp_core.data.dataset import shared_prefix
from blsp_core.inference.batches import GREEDY

LEAVING = 0.75  # the share of unfinished rows at which the others leave: each time, the cache is copied


@torch.no_grad()
def greedy(
    model: torch.nn.Module, inputs: Mapping[str, torch.Tensor], max_new_tokens: int, ends: list[int],
    temperature: float = 0.0,
) -> tuple[torch.Tensor, torch.Tensor | None]:  # fmt: skip
    """New tokens (rows, at most max_new_tokens), of which those after a row's first end mean nothing; and the logits of
    the emotion head (clips, emotions), from the same pass, of a model that has one and prompts with speech.

    inputs: left-padded input_ids and attention_mask (rows, tokens), and what the model takes besides with the prompt.
    ends: tokens that end a reply. temperature: above 0, tokens are sampled instead, with torch's random state. A model
    whose cache is not that of plain attention is left to `generate`.
    """
    speech = {name: value for name, value in inputs.items() if name not in ("input_ids", "attention_mask")}
    if not _has_plain_attention(model):
        emotions = model.get_emotion_logits(*model.get_speech_embeddings(**speech)) if speech else None
        settings = GREEDY | ({"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {})
        found = model.generate(**inputs, **settings, max_new_tokens=max_new_tokens, eos_token_id=ends)
        return found[:, inputs["input_ids"].shape[1] :], emotions
    ids, mask, cache = inputs["input_ids"], inputs["attention_mask"].long(), DynamicCache()
    # as a tensor: a slice is not contiguous, and torch then copies the output head's weight for every row
    keep = torch.tensor([-1], device=ids.device)
    last = {"logits_to_keep": keep} if "logits_to_keep" in _arguments(model) else {}
    first, rest, mask = _prefix_apart(ids, mask, getattr(model.config, "speech_token_id", None))
    if first.shape[1]:
        model(input_ids=first, past_key_values=cache, use_cache=True, **last)
        cache.batch_repeat_interleave(len(ids))
    limit = getattr(model, "_longest_sequence", lambda: None)()  # of a converted LLM
    if limit is not None:
        model._check_length(ids.shape[1] + 1)
        max_new_tokens = min(max_new_tokens, limit - ids.shape[1])
    never = getattr(model.generation_config, "suppress_tokens", None) or []
    ended, written = torch.tensor(ends, device=ids.device), ids.new_zeros(len(ids), max_new_tokens)
    rows, going = torch.arange(len(ids), device=ids.device), torch.ones_like(ids[:, 0], dtype=torch.bool)
    emotions = None
    for step in range(max_new_tokens):
        places = {"attention_mask": mask, "position_ids": (mask.cumsum(1) - 1).clamp(min=0)[:, -rest.shape[1] :]}
        more = last if step else {**last, **speech}
        output = model(input_ids=rest, **places, past_key_values=cache, use_cache=True, **more)
        emotions = emotions if step else getattr(output, "emotion_logits", None)
        logits = output.logits[:, -1].float()
        logits[:, never] = float("-inf")
        tokens = (logits / temperature).softmax(-1).multinomial(1)[:, 0] if temperature else logits.argmax(dim=-1)
        written[rows, step] = tokens
        going = going & ~torch.isin(tokens, ended)
        left = int(going.sum())
        if not left:
            return written[:, : step + 1], emotions
        if left <= LEAVING * len(rows):
            cache.batch_select_indices(going.nonzero()[:, 0].cpu())  # layers may be on several devices
            rows, mask, tokens, going = rows[going], mask[going], tokens[going], going[going]
        rest, mask = tokens[:, None], torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
    return written, emotions


def _prefix_apart(
    ids: torch.Tensor, mask: torch.Tensor, speech_token_id: int | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Left-padded prompts as the n tokens that all begin with, (1, n), the other tokens, (rows, tokens - n), still
    left-padded, and the mask of both, (rows, tokens), where the padding is between them."""
    padding = mask.shape[1] - mask.sum(1)  # (rows,)
    columns = torch.arange(ids.shape[1], device=ids.device)
    begun = ids.gather(1, (columns + padding[:, None]) % ids.shape[1])  # padding last
    longest = int(ids.shape[1] - padding.max()) - 1 if len(ids) > 1 else 0  # one row has nothing to share
    if speech_token_id is not None and longest:
        places = (begun == speech_token_id).any(dim=0).nonzero()
        longest = min(longest, int(places[0])) if len(places) else longest
    length = shared_prefix(begun, longest)
    rest = columns[: ids.shape[1] - length] >= padding[:, None]
    return begun[:1, :length], ids[:, length:], torch.cat([torch.ones_like(mask[:, :length]), rest.to(mask.dtype)], 1)


def _arguments(model: torch.nn.Module) -> Mapping:
    return inspect.signature(model.forward).parameters


def _has_plain_attention(model: torch.nn.Module) -> bool:
    """Whether the cache holds keys and values of all tokens in every layer, and positions can be given."""
    layers = DynamicCache(config=model.config.get_text_config()).layers
    return "position_ids" in _arguments(model) and all(type(layer) is DynamicLayer for layer in layers)
