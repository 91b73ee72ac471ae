"""Inference with a BLSP-Emo: replies to speech, and what its parts make of an utterance."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from blsp_core.data import prompts
from blsp_core.data.manifest import Utterance, as_row
from blsp_core.data.prompts import spoken_chat
from blsp_core.inference import shards
from blsp_core.inference.answers import load_model
from blsp_core.inference.batches import run_in_batches
from blsp_core.inference.llm import generate
from blsp_core.model import BlspEmoForConditionalGeneration as Model
from blsp_core.model import BlspEmoProcessor
from blsp_core.model.audio import load_audio

DIMENSIONS = 16  # principal axes of `pooled`
MOST = 300  # utterances of `pooled`: enough for a plot, small enough for git


def reply(model: Model, processor: BlspEmoProcessor, utterances: list[Utterance], root: Path, **settings) -> list[str]:
    """The replies of `reply_with_emotion`, which says what the settings are."""
    return [one["reply"] for one in reply_with_emotion(model, processor, utterances, root, **settings)]


def reply_with_emotion(
    model: Model, processor: BlspEmoProcessor, utterances: list[Utterance], root: Path, *, system: str,
    instruction: str, max_new_tokens: int, batch_size: int = 64, desc: str = "replies to speech",
    unfinished: Path | None = None,
) -> list[dict]:  # fmt: skip
    """Greedy replies to utterances whose sound is below `root`, in their order, each with its earlier turns; and what
    the emotion head reads from the last turn in the same pass: {"reply", "emotion", "share"}, the most probable
    emotion and its probability. unfinished: of `run_in_batches`."""

    def run(batch: list[int]) -> list[dict]:
        chats = [spoken_dialogue(system, instruction, utterances[i], root) for i in batch]
        inputs = processor(chats).to(model.device)
        found, logits = generate(model, processor.tokenizer, inputs, max_new_tokens)
        last = np.cumsum([len(utterances[i].spoken) for i in batch]) - 1  # the clips of all turns are in `logits`
        shares, places = logits[last].float().softmax(dim=-1).max(dim=-1)
        heads = zip(places.tolist(), shares.tolist(), strict=True)
        return [
            {"reply": answer.text, "emotion": model.config.emotions[place], "share": share}
            for answer, (place, share) in zip(found, heads, strict=True)
        ]

    settings = {"system": system, "instruction": instruction, "max_new_tokens": max_new_tokens}
    settings |= {"root": Path(root).resolve(), "batch_size": batch_size, "desc": desc}
    shards.ahead(load_model, reply_with_emotion, model, utterances, unfinished, **settings)
    lengths = [sum(turn.duration for turn in utterance.spoken) for utterance in utterances]
    keys = [[system, instruction, max_new_tokens, as_row(utterance)] for utterance in utterances]
    return run_in_batches(run, lengths, batch_size, desc, keys, unfinished)


def spoken_dialogue(system: str, instruction: str, utterance: Utterance, root: Path) -> list[dict]:
    """The chat that ends with the utterance: the user's turns in speech, the assistant's in text."""
    first, last = spoken_chat(system, instruction, load_audio(utterance.audio, root))
    earlier = [
        {"role": "assistant", "content": turn}
        if isinstance(turn, str)
        else spoken_chat(system, "", load_audio(turn.audio, root))[1]
        for turn in utterance.turns[:-1]
    ]
    return [first, *earlier, last]


class Conversation:
    """A dialogue so far: the user's turns as sound, the model's in text."""

    def __init__(
        self, model: Model, processor: BlspEmoProcessor, system: str = prompts.SYSTEM_EMPATHY, max_new_tokens: int = 64
    ):
        self.model, self.processor, self.max_new_tokens = model, processor, max_new_tokens
        self.system, self.turns = system, []

    @torch.no_grad()
    def say(self, sound: np.ndarray) -> str:
        """The model's greedy reply to the next turn: a waveform (samples,), mono, 16 kHz, within [-1, 1]."""
        first, spoken = spoken_chat(self.system, "", sound)
        inputs = self.processor([[first, *self.turns, spoken]]).to(self.model.device)
        (reply,), _ = generate(self.model, self.processor.tokenizer, inputs, self.max_new_tokens)
        self.turns += [spoken, {"role": "assistant", "content": reply.text}]
        return reply.text


def speech_embeddings(
    model: Model, processor: BlspEmoProcessor, utterances: list[Utterance], root: Path, batch_size: int = 64
) -> list[torch.Tensor]:
    """What the LLM gets in place of each transcript: (speech embeddings, width of the LLM), float32, each."""

    def run(batch: list[int]) -> list[torch.Tensor]:
        sounds = [load_audio(utterances[i].audio, root) for i in batch]
        embeddings, mask = model.get_speech_embeddings(**processor.features(sounds).to(model.device))
        return [row[real].float().cpu() for row, real in zip(embeddings, mask, strict=True)]

    return run_in_batches(run, [u.duration for u in utterances], batch_size, "speech embeddings")


def word_similarity(
    model: Model, processor: BlspEmoProcessor, utterance: Utterance, root: Path
) -> tuple[torch.Tensor, list[str]]:
    """Cosine of every token's embedding with every speech embedding, (tokens, speech embeddings), and the tokens."""
    speech = speech_embeddings(model, processor, [utterance], root)[0]
    ids = processor.tokenizer(" " + utterance.text, add_special_tokens=False).input_ids
    words = model.get_input_embeddings()(torch.tensor(ids, device=model.device)).detach().float().cpu()
    cosine = torch.nn.functional.normalize(words, dim=-1) @ torch.nn.functional.normalize(speech, dim=-1).T
    return cosine, [processor.tokenizer.decode(token).strip() for token in ids]


def pooled(model: Model, processor: BlspEmoProcessor, utterances: list[Utterance], root: Path) -> pd.DataFrame:
    """The mean speech embedding of the first `MOST` utterances on its principal axes.

    Columns: id, emotion, speaker, then d00, d01 ... in falling order of variance. Without utterances the first three.
    """
    if not utterances:
        return pd.DataFrame(columns=["id", "emotion", "speaker"])
    from sklearn.decomposition import PCA  # slow to import

    chosen = utterances[:MOST]
    means = np.stack([row.mean(0).numpy() for row in speech_embeddings(model, processor, chosen, root)])
    axes = PCA(min(DIMENSIONS, *means.shape), svd_solver="full").fit_transform(means)
    table = pd.DataFrame({"id": u.id, "emotion": u.emotion, "speaker": u.speaker} for u in chosen)
    return table.join(pd.DataFrame(axes, columns=[f"d{place:02d}" for place in range(axes.shape[1])]).round(5))
