"""Talking to a BLSP-Emo, turn by turn."""

import numpy as np
import torch

from blsp_core.data import prompts
from blsp_core.data.dataset import spoken_chat
from blsp_core.inference.llm import decode
from blsp_core.model import BlspEmoForConditionalGeneration, BlspEmoProcessor


class Conversation:
    """What was said so far: the user's turns as sound, the model's in text."""

    def __init__(
        self,
        model: BlspEmoForConditionalGeneration,
        processor: BlspEmoProcessor,
        system: str = prompts.SYSTEM_EMPATHY,
        max_new_tokens: int = 64,
    ):
        self.model, self.processor, self.max_new_tokens = model, processor, max_new_tokens
        self.system, self.turns = system, []

    @torch.no_grad()
    def say(self, sound: np.ndarray) -> str:
        """The model's greedy reply to the next turn: a waveform (samples,), mono, 16 kHz, within [-1, 1]."""
        first, spoken = spoken_chat(self.system, "", sound)
        self.turns.append(spoken)
        batch = self.processor([[first, *self.turns]]).to(self.model.device)
        ids = self.model.generate(**batch, max_new_tokens=self.max_new_tokens, do_sample=False)
        reply = decode(self.processor.tokenizer, ids[0, batch["input_ids"].shape[1] :]).text
        self.turns.append({"role": "assistant", "content": reply})
        return reply
