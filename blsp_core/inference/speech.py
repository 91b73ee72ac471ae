"""Asking a BLSP-Emo in speech: utterances in, replies out."""

from pathlib import Path

import torch
from tqdm.auto import tqdm

from blsp_core.data.audio import load_audio
from blsp_core.data.dataset import spoken_chat
from blsp_core.data.manifest import Utterance
from blsp_core.inference.llm import decode
from blsp_core.model import BlspEmoForConditionalGeneration, BlspEmoProcessor


@torch.no_grad()
def reply(
    model: BlspEmoForConditionalGeneration,
    processor: BlspEmoProcessor,
    utterances: list[Utterance],
    root: Path,
    *,
    system: str,
    instruction: str,
    max_new_tokens: int,
    batch_size: int = 64,
    desc: str | None = None,
) -> list[str]:
    """Greedy replies to utterances whose sound lies below `root`, in their order, each with the turns before it.
    Rows of like length share a batch."""
    order = sorted(range(len(utterances)), key=lambda i: sum(turn.duration for turn in utterances[i].spoken))
    replies = [""] * len(utterances)
    for start in tqdm(range(0, len(order), batch_size), desc=desc, unit="batch"):
        rows = order[start : start + batch_size]
        chats = [spoken_dialogue(system, instruction, utterances[i], root) for i in rows]
        batch = processor(chats).to(model.device)
        ids = model.generate(**batch, max_new_tokens=max_new_tokens, do_sample=False)
        for i, new in zip(rows, ids[:, batch["input_ids"].shape[1] :], strict=True):
            replies[i] = decode(processor.tokenizer, new).text
    return replies


def spoken_dialogue(system: str, instruction: str, utterance: Utterance, root: Path) -> list[dict]:
    """The chat that ends with the utterance: earlier turns of the user in speech as well, the assistant's in text."""
    first, last = spoken_chat(system, instruction, load_audio(utterance.audio, root))
    earlier = [
        {"role": "assistant", "content": turn}
        if isinstance(turn, str)
        else {"role": "user", "content": [{"type": "audio", "audio": load_audio(turn.audio, root)}]}
        for turn in utterance.turns[:-1]
    ]
    return [first, *earlier, last]


@torch.no_grad()
def speech_embeddings(
    model: BlspEmoForConditionalGeneration,
    processor: BlspEmoProcessor,
    utterances: list[Utterance],
    root: Path,
    batch_size: int = 64,
) -> list[torch.Tensor]:
    """What the LLM is given in place of each utterance's words: (speech embeddings, width of the LLM) each."""
    rows = []
    for start in range(0, len(utterances), batch_size):
        sounds = [load_audio(u.audio, root) for u in utterances[start : start + batch_size]]
        embeddings, mask = model.get_speech_embeddings(**processor.features(sounds).to(model.device))
        rows += [row[real].float().cpu() for row, real in zip(embeddings, mask, strict=True)]
    return rows


def named_by_head(
    model: BlspEmoForConditionalGeneration, processor: BlspEmoProcessor, utterances: list[Utterance], root: Path
) -> list[str]:
    """The emotion that the emotion head reads off each utterance's speech embeddings; the LLM has no part in it."""
    named = []
    with torch.no_grad():
        for start in range(0, len(utterances), 64):
            sounds = [load_audio(u.audio, root) for u in utterances[start : start + 64]]
            heard = model.get_speech_embeddings(**processor.features(sounds).to(model.device))
            named += [model.config.emotions[int(best)] for best in model.get_emotion_logits(*heard).argmax(dim=-1)]
    return named


@torch.no_grad()
def likeness_to_words(
    model: BlspEmoForConditionalGeneration, processor: BlspEmoProcessor, utterance: Utterance, root: Path
) -> tuple[torch.Tensor, list[str]]:
    """Cosine of every word's embedding with every speech embedding, (words, speech embeddings), and the words."""
    speech = speech_embeddings(model, processor, [utterance], root)[0]
    ids = processor.tokenizer(" " + utterance.text, add_special_tokens=False).input_ids
    words = model.get_input_embeddings()(torch.tensor(ids, device=model.device)).float().cpu()
    cosine = torch.nn.functional.normalize(words, dim=-1) @ torch.nn.functional.normalize(speech, dim=-1).T
    return cosine, [processor.tokenizer.decode(token).strip() for token in ids]
